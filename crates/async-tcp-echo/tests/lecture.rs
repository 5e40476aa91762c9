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
        Program::start(env!("CARGO_BIN_EXE_async-tcp-server"), &[address]);
    let address = server.address("Async TCP server listening on ");
    (server, address)
}

fn start_client(server: SocketAddr, more: &[&str]) -> Program {
    let address = server.to_string();
    Program::start(
        env!("CARGO_BIN_EXE_async-tcp-client"),
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

fn read_to_end(mut connection: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes).unwrap();
    bytes
}

/// A number from Linux's own account of the process.
#[cfg(target_os = "linux")]
fn status(program: &Program, field: &str) -> u64 {
    let path = format!("/proc/{}/status", program.child.id());
    let status = fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Hint: Compare what is printed with the README, line by line and word by word.
#[test]
fn server_and_client_print_what_the_readme_shows() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let client = run_client(address, &[]);
    assert_eq!(client.code, Some(0));
    assert_shown(
        README,
        "cargo run -p async-tcp-echo --bin async-tcp-client",
        &client.output,
    );
    let lines = server.output_up_to("Closing connection");
    assert_shown(README, "cargo run -p async-tcp-echo", &lines);
}

/// Hint: An IPv6 address stands in brackets, and its sockets are of another family.
#[test]
fn both_programs_work_over_ipv6() {
    let (_server, address) = start_server("[::1]:0");
    assert!(
        run_client(address, &[]).output[0].contains("Received echo: Hello, world")
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
    let what = format!("cannot connect to any of [{address}");
    assert!(client.errors.contains(&what), "{}", client.errors);
}

/// Hint: The error should name the address and the reason.
#[test]
fn a_port_in_use_is_a_clear_error() {
    let (_server, address) = start_server("127.0.0.1:0");
    let path = env!("CARGO_BIN_EXE_async-tcp-server");
    let second = Program::run(path, &[&address.to_string()]);
    assert_eq!(second.code, Some(1));
    let error = format!("Error: cannot listen on {address}");
    assert!(second.errors.starts_with(&error), "{}", second.errors);
}

/// Hint: Exit status 2 is for arguments that cannot be understood, and 1 for what
/// fails afterwards.
#[test]
fn what_clap_rejects_exits_with_2_and_whatever_else_fails_with_1() {
    let client = env!("CARGO_BIN_EXE_async-tcp-client");
    assert_eq!(Program::run(client, &["--no-such-flag"]).code, Some(2));
    assert_eq!(Program::run(client, &["--hold", "soon"]).code, Some(2));
    let server = env!("CARGO_BIN_EXE_async-tcp-server");
    assert_eq!(Program::run(server, &["localhost:65432"]).code, Some(2));
    // A connection needs a port of its own, and there are no more.
    for count in ["0", "65536"] {
        assert_eq!(
            Program::run(client, &["--clients", count]).code,
            Some(2),
            "{count}"
        );
    }
    // No name ends in .invalid (RFC 2606).
    let unknown = "no-such-host.invalid:65432";
    for wrong in ["127.0.0.1", ":65432", "127.0.0.1:65536", "127.0.0.1:http", unknown]
    {
        let ended = Program::run(client, &[wrong]);
        assert_eq!(ended.code, Some(1), "{wrong}: {}", ended.errors);
        assert!(ended.errors.contains(wrong), "it names {wrong}: {}", ended.errors);
    }
}

/// Claims 41 and 45.
/// Hint: How many files may a program have open, and how many clients may wait to be
/// accepted?
#[cfg(target_os = "linux")]
#[test]
fn a_thousand_clients_at_once_are_served_by_one_thread() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let clients = start_client(address, &["--clients", "1000", "--hold", "3"]);
    (0..1000).for_each(|_| drop(server.wait_for("Connected by ")));
    assert_eq!(status(&server, "Threads"), 1);
    let open =
        fs::read_dir(format!("/proc/{}/fd", server.child.id())).unwrap().count();
    assert!(open > 1000, "all are there at once: {open}");
    let clients = clients.end();
    assert_eq!(clients.code, Some(0), "{}", clients.errors);
    assert_eq!(clients.output[1], "1000 of 1000 echoed");
}

/// Hint: What happens to the event loop, and to its connections, when the program is
/// interrupted?
#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_server_and_closes_its_connections() {
    let (server, address) = start_server("127.0.0.1:0");
    let connection = connect(address);
    echo(&connection, b"open");
    server.signal("INT");
    assert_eq!(read_to_end(&connection), b"");
    server.end();
}
