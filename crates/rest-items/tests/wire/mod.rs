//! A connection of the test's own, on which HTTP is typed by hand, byte by byte.
#![allow(dead_code)] // No test uses all of it.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::program::{Ended, PATIENCE, Program};

pub const SERVER: &str = env!("CARGO_BIN_EXE_rest-server");

pub const CLIENT: &str = env!("CARGO_BIN_EXE_rest-client");

pub const READY: &str = "REST server on http://";

pub fn start_server() -> (Program, SocketAddr) {
    let mut server = Program::start(SERVER, &["127.0.0.1:0"]);
    let address = server.address(READY);
    (server, address)
}

pub fn run_client(server: SocketAddr, arguments: &[&str]) -> Ended {
    let url = format!("http://{server}");
    Program::run(CLIENT, &[&["--server", &url], arguments].concat())
}

/// A connection of the test's own, on which HTTP is typed by hand.
pub struct Wire(pub BufReader<TcpStream>);

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The status line and the headers, in small letters.
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let name = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(&name))
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Asserts that it is an error with this status, in JSON.
    pub fn assert_error(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
        let json = self.json();
        let error = json["error"].as_str().unwrap_or_default();
        assert!(json.as_object().unwrap().len() == 1 && error.len() > 3, "{json}");
    }
}

impl Wire {
    pub fn to(server: SocketAddr) -> Wire {
        let connection = TcpStream::connect(server).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection.set_write_timeout(Some(PATIENCE)).unwrap();
        Wire(BufReader::new(connection))
    }

    pub fn send(&mut self, text: &str) {
        self.0.get_ref().write_all(text.as_bytes()).unwrap();
    }

    /// Reads one answer; to a HEAD there is no body, whatever length is told.
    pub fn receive_to(&mut self, method: &str) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let length = self.0.read_line(&mut head).unwrap();
            assert!(length > 0, "closed after: {head:?}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer =
            Answer { status, head: head.to_lowercase(), body: String::new() };
        let length =
            answer.header("content-length").map_or(0, |n| n.parse().unwrap());
        if method != "HEAD" {
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).unwrap();
            answer.body = String::from_utf8(body).unwrap();
        }
        answer
    }

    pub fn receive(&mut self) -> Answer {
        self.receive_to("GET")
    }

    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> Answer {
        self.send(&request(method, path, body));
        self.receive_to(method)
    }

    /// Whether the server closes, in order or not, without another byte.
    pub fn is_closed(&mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

/// A request with a body of JSON, unless that is empty.
pub fn request(method: &str, path: &str, body: &str) -> String {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n");
    let (kind, length) = ("Content-Type: application/json", body.len());
    match body {
        "" => format!("{head}\r\n"),
        _ => format!("{head}{kind}\r\nContent-Length: {length}\r\n\r\n{body}"),
    }
}

pub fn ask(server: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    Wire::to(server).ask(method, path, body)
}

/// Asserts that the next client is served as if nothing had happened.
pub fn assert_serves(server: SocketAddr) {
    let answer = ask(server, "GET", "/items/1", "");
    assert_eq!((answer.status, &*answer.body), (200, LAPTOP), "the next client");
}

pub const LAPTOP: &str = r#"{"name":"Laptop","price":1200}"#;

pub const BOTH: &str =
    r#"[{"id":1,"name":"Laptop","price":1200},{"id":2,"name":"Mouse","price":50}]"#;

pub const LAMP: &str = r#"{"name":"Lamp","price":19.5}"#;
