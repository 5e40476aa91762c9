//! What the slides promise, judged by what the programs print and send.
// Some tests need what only Linux or Unix has.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

mod program;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use program::{Ended, PATIENCE, Program, assert_shown};
use socket2::{Domain, Socket, Type};

const README: &str = include_str!("../README.md");

fn start_server(address: &str) -> (Program, SocketAddr) {
    let mut server =
        Program::start(env!("CARGO_BIN_EXE_threaded-tcp-server"), &[address]);
    let address = server.address("Threaded TCP server listening on ");
    (server, address)
}

fn start_client(server: SocketAddr, more: &[&str]) -> Program {
    let address = server.to_string();
    Program::start(
        env!("CARGO_BIN_EXE_threaded-tcp-client"),
        &[&[&address as &str], more].concat(),
    )
}

fn run_client(server: SocketAddr, more: &[&str]) -> Ended {
    start_client(server, more).end()
}

/// A connection of the test's own, to send what the client program would not.
fn connect(server: SocketAddr) -> TcpStream {
    let connection = TcpStream::connect_timeout(&server, PATIENCE).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.set_write_timeout(Some(PATIENCE)).unwrap();
    connection
}

/// Sends bytes and returns as many from the echo.
fn echo(mut connection: &TcpStream, bytes: &[u8]) -> Vec<u8> {
    connection.write_all(bytes).unwrap();
    let mut echo = vec![0; bytes.len()];
    connection.read_exact(&mut echo).unwrap();
    echo
}

/// The threads of a process, by Linux's own account.
#[cfg(target_os = "linux")]
fn threads(program: &Program) -> usize {
    fs::read_dir(format!("/proc/{}/task", program.child.id())).unwrap().count()
}

/// Hint: Compare what is printed with the README, line by line and word by word.
#[test]
fn server_and_client_print_what_the_readme_shows() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let client = run_client(address, &[]);
    assert_eq!(client.code, Some(0));
    assert_shown(
        README,
        "cargo run -p threaded-tcp-echo --bin threaded-tcp-client",
        &client.output,
    );
    let lines = server.output_up_to("Closing connection");
    assert_shown(README, "cargo run -p threaded-tcp-echo", &lines);
}

/// Hint: An IPv6 address stands in brackets, and its sockets are of another family.
#[test]
fn both_programs_work_over_ipv6() {
    let (_server, address) = start_server("[::1]:0");
    assert!(
        run_client(address, &[]).output[1].contains("Received echo: Hello, world")
    );
}

/// Claim 6.
/// Hint: The error should name the address, the reason, and what to try.
#[test]
fn a_closed_port_is_a_clear_error() {
    // Bound but not listening: the port is taken, and closed.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let client = run_client(address, &[]);
    assert_eq!(client.code, Some(1));
    let hint = "is the server running?";
    assert!(client.errors.contains(hint), "{}", client.errors);
    let what = format!("cannot connect to {address}");
    assert!(client.errors.contains(&what), "{}", client.errors);
}

/// Hint: The error should name the address and the reason.
#[test]
fn a_port_in_use_is_a_clear_error() {
    let (_server, address) = start_server("127.0.0.1:0");
    let path = env!("CARGO_BIN_EXE_threaded-tcp-server");
    let second = Program::run(path, &[&address.to_string()]);
    assert_eq!(second.code, Some(1));
    let error = format!("Error: cannot listen on {address}");
    assert!(second.errors.starts_with(&error), "{}", second.errors);
}

/// Hint: Exit status 2 is for arguments that cannot be understood, and 1 for what
/// fails afterwards.
#[test]
fn what_clap_rejects_exits_with_2_and_whatever_else_fails_with_1() {
    let client = env!("CARGO_BIN_EXE_threaded-tcp-client");
    assert_eq!(Program::run(client, &["--no-such-flag"]).code, Some(2));
    assert_eq!(Program::run(client, &["--hold", "soon"]).code, Some(2));
    // A connection needs a port of its own, and there are no more.
    for count in ["0", "65536"] {
        assert_eq!(
            Program::run(client, &["--clients", count]).code,
            Some(2),
            "{count}"
        );
    }
    let server = env!("CARGO_BIN_EXE_threaded-tcp-server");
    assert_eq!(Program::run(server, &["localhost:65432"]).code, Some(2));
    assert_eq!(Program::run(server, &["--max-clients", "0"]).code, Some(2));
    // No name ends in .invalid (RFC 2606).
    let unknown = "no-such-host.invalid:65432";
    for wrong in ["127.0.0.1", ":65432", "127.0.0.1:65536", "127.0.0.1:http", unknown]
    {
        let ended = Program::run(client, &[wrong]);
        assert_eq!(ended.code, Some(1), "{wrong}: {}", ended.errors);
        assert!(ended.errors.contains(wrong), "it names {wrong}: {}", ended.errors);
    }
}

/// Claim 37.
/// Hint: How many threads are there, and when does each of them end?
#[cfg(target_os = "linux")]
#[test]
fn each_client_has_a_thread_of_its_own() {
    let (mut server, address) = start_server("127.0.0.1:0");
    assert_eq!(threads(&server), 1);
    let _clients = start_client(address, &["--clients", "50", "--hold", "3600"]);
    (0..50).for_each(|_| drop(server.wait_for("Connected by ")));
    assert_eq!(threads(&server), 51);
}

/// Hint: Which of these clients has to wait for another one, and in which call?
#[test]
fn a_hundred_clients_at_once_are_all_served() {
    let (_server, address) = start_server("127.0.0.1:0");
    let client = run_client(address, &["many", "--clients", "100", "--hold", "1"]);
    assert_eq!(client.code, Some(0), "{}", client.errors);
    let echoed = |line: &&String| line.as_str() == "Received echo: many";
    assert_eq!(client.output.iter().filter(echoed).count(), 100);
}

/// Hint: What counts the clients that are served, and when does it count one less?
#[test]
fn a_client_that_comes_when_max_clients_are_served_waits_for_one_to_leave() {
    let path = env!("CARGO_BIN_EXE_threaded-tcp-server");
    let mut server = Program::start(path, &["127.0.0.1:0", "--max-clients", "2"]);
    let address = server.address("Threaded TCP server listening on ");
    let (first, second) = (connect(address), connect(address));
    echo(&first, b"first");
    echo(&second, b"second");
    let mut third = start_client(address, &["third"]);
    third.wait_for("Connected to ");
    echo(&second, b"second again");
    let gone = first.local_addr().unwrap();
    drop(first);
    assert_eq!(third.end().code, Some(0));
    echo(&second, b"second to the end");
    let connected = server.output_up_to(&format!("Closing connection with {gone}"));
    let connected = connected.iter().filter(|line| line.starts_with("Connected by "));
    assert_eq!(
        connected.count(),
        2,
        "the third was served before the first had left"
    );
    drop(second);
    assert_eq!(run_client(address, &["--clients", "5"]).code, Some(0));
}
