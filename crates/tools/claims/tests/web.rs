//! What the lecture says of the web, on programs of several crates at once.

#[path = "examples/mod.rs"]
mod examples;
#[path = "../../../tcp-echo/tests/program/mod.rs"]
mod program;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use program::{PATIENCE, Program};

fn start(package: &str, program: &str, ready: &str) -> (Program, SocketAddr) {
    let path = examples::program(package, program);
    let mut server = Program::start(path.to_str().unwrap(), &["127.0.0.1:0"]);
    let address = server.address(ready);
    (server, address)
}

/// Both servers, and what a client of HTTP gets from each.
struct Both([(Program, SocketAddr); 2]);

impl Both {
    fn start() -> Both {
        let echo = start("tcp-echo", "tcp-server", "TCP server listening on ");
        Both([echo, start("rest-items", "rest-server", "REST server on http://")])
    }

    /// Sends bytes to each server; returns what the echo server answers, then the
    /// other, each as far as it comes.
    fn ask(&self, request: &[u8]) -> [String; 2] {
        self.0.each_ref().map(|(_, server)| {
            let mut connection = TcpStream::connect(server).unwrap();
            connection.set_read_timeout(Some(PATIENCE)).unwrap();
            connection.set_write_timeout(Some(PATIENCE)).unwrap();
            // Neither has to take it all.
            let _ = connection.write_all(request);
            let _ = connection.shutdown(Shutdown::Write);
            let mut answer = Vec::new();
            match connection.read_to_end(&mut answer) {
                Err(error) if error.kind() != ErrorKind::ConnectionReset => {
                    panic!("{error}")
                }
                _ => String::from_utf8(answer).unwrap(),
            }
        })
    }
}

fn statuses(answer: &str) -> Vec<&str> {
    let lines = answer.split("HTTP/1.1 ").skip(1);
    lines.filter_map(|line| line.split(' ').next()).collect()
}

/// Claim 59: "you would be re-inventing HTTP".
#[test]
fn two_requests_on_one_connection_are_two_answers_in_http_and_one_echo_on_a_socket() {
    let get = "GET /items/1 HTTP/1.1\r\nHost: test\r\n\r\n";
    let [echo, http] = Both::start().ask(get.repeat(2).as_bytes());
    assert_eq!(echo, get.repeat(2), "where one ends nobody says");
    assert_eq!(statuses(&http), ["200", "200"], "{http}");
}

#[test]
fn chunks_become_one_body_in_http_and_stay_as_they_are_on_a_socket() {
    let head =
        "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    let chunks = "7\r\n{\"name\"\r\n13\r\n:\"Lamp\",\"price\":25}\r\n0\r\n\r\n";
    let request = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}");
    let [echo, http] = Both::start().ask(request.as_bytes());
    assert_eq!(echo, request);
    assert_eq!(statuses(&http), ["201"], "{http}");
    assert!(http.ends_with(r#"{"id":3,"name":"Lamp","price":25}"#), "{http}");
}

#[test]
fn what_is_too_long_is_refused_in_http_and_echoed_without_end_on_a_socket() {
    let long = format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(60_000));
    let both = Both::start();
    let [echo, http] = both.ask(long.as_bytes());
    assert!(echo == long, "{} bytes came back", echo.len());
    assert!(http.is_empty() || statuses(&http) == ["431"], "{http}");
    // And what is no request at all is an answer too, or an end.
    let [echo, http] = both.ask(b"Hello, world\r\n\r\n");
    assert_eq!(echo, "Hello, world\r\n\r\n");
    assert_eq!(statuses(&http), ["400"], "{http}");
}

/// A server of HTTP knows when an answer is complete, so the connection can stay.
#[test]
fn a_connection_is_kept_for_the_next_request_and_the_next_client_need_not_wait() {
    let Both([(_echo, echo), (_http, http)]) = Both::start();
    let mut held = [echo, http].map(|server| TcpStream::connect(server).unwrap());
    let get = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    for connection in &mut held {
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection.write_all(get).unwrap();
        assert!(connection.read(&mut [0; 1024]).unwrap() > 0);
    }
    let mut next = TcpStream::connect(http).unwrap();
    next.set_read_timeout(Some(PATIENCE)).unwrap();
    next.write_all(get).unwrap();
    assert!(next.read(&mut [0; 1024]).unwrap() > 0);
    let mut next = TcpStream::connect(echo).unwrap();
    next.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    next.write_all(get).unwrap();
    let waits = next.read(&mut [0; 1024]).unwrap_err().kind();
    assert!(matches!(waits, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{waits}");
    held[1].write_all(get).unwrap();
    assert!(held[1].read(&mut [0; 1024]).unwrap() > 0, "the same connection again");
}
