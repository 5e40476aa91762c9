//! What the slides promise, judged by what the programs print and send.
// Some tests need what only Linux or Unix has.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

mod program;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};
use std::{fs, thread};

use program::{Ended, PATIENCE, Program, assert_shown};
use socket2::{Domain, Socket, Type};

const README: &str = include_str!("../README.md");

fn start_server(address: &str) -> (Program, SocketAddr) {
    let mut server = Program::start(env!("CARGO_BIN_EXE_tcp-server"), &[address]);
    let address = server.address("TCP server listening on ");
    (server, address)
}

fn start_client(server: SocketAddr, more: &[&str]) -> Program {
    let address = server.to_string();
    Program::start(
        env!("CARGO_BIN_EXE_tcp-client"),
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

/// Claims 3, 17 and 47: request and reply, at the address that the socket tells.
/// Hint: Compare what is printed with the README, line by line and word by word.
#[test]
fn server_and_client_print_what_the_readme_shows() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let client = run_client(address, &[]);
    assert_eq!(client.code, Some(0));
    assert_shown(README, "cargo run -p tcp-echo --bin tcp-client", &client.output);
    let lines = server.output_up_to("Closing connection");
    assert_shown(README, "cargo run -p tcp-echo", &lines);
}

/// Hint: An IPv6 address stands in brackets, and its sockets are of another family.
#[test]
fn both_programs_work_over_ipv6() {
    let (_server, address) = start_server("[::1]:0");
    assert!(
        run_client(address, &[]).output[1].contains("Received echo: Hello, world")
    );
}

/// Claims 1 and 20: the two ends know each other by the same two addresses.
/// Hint: Which call tells the server the address of its client?
#[test]
fn accept_gives_the_address_that_the_client_has() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let connection = connect(address);
    assert_eq!(connection.peer_addr().unwrap(), address);
    let peer = server.wait_for("Connected by ");
    assert_eq!(peer, connection.local_addr().unwrap().to_string());
}

/// Claim 4: a port is a door, of one address and one protocol.
/// Hint: Which socket option lets two programs share a port, and should a server want
/// that?
#[test]
fn the_same_door_twice_is_refused_and_another_one_is_not() {
    let (_server, address) = start_server("127.0.0.1:0");
    let second =
        Program::run(env!("CARGO_BIN_EXE_tcp-server"), &[&address.to_string()]);
    assert_eq!(second.code, Some(1));
    assert!(second.errors.contains(&format!("cannot listen on {address}")));
    start_server(&format!("[::1]:{}", address.port()));
    UdpSocket::bind(address).expect("UDP has ports of its own");
    // The whole of 127.0.0.0/8 is this machine.
    #[cfg(target_os = "linux")]
    TcpStream::connect(("127.0.0.2", address.port()))
        .expect_err("it listens on more addresses than it was told to");
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

/// Hint: Exit status 2 is for arguments that cannot be understood, and 1 for what
/// fails afterwards.
#[test]
fn what_clap_rejects_exits_with_2_and_whatever_else_fails_with_1() {
    let client = env!("CARGO_BIN_EXE_tcp-client");
    assert_eq!(Program::run(client, &["--no-such-flag"]).code, Some(2));
    assert_eq!(Program::run(client, &["--hold", "soon"]).code, Some(2));
    let server = env!("CARGO_BIN_EXE_tcp-server");
    assert_eq!(Program::run(server, &["localhost:65432"]).code, Some(2));
    // No name ends in .invalid (RFC 2606).
    let unknown = "no-such-host.invalid:65432";
    for wrong in ["127.0.0.1", ":65432", "127.0.0.1:65536", "127.0.0.1:http", unknown]
    {
        let ended = Program::run(client, &[wrong]);
        assert_eq!(ended.code, Some(1), "{wrong}: {}", ended.errors);
        assert!(ended.errors.contains(wrong), "it names {wrong}: {}", ended.errors);
    }
    // The most likely slip: no port.
    let ended = Program::run(client, &["127.0.0.1"]);
    assert!(ended.errors.contains("HOST:PORT"), "{}", ended.errors);
}

/// Claim 12: TCP has flow control. The server stops reading when its echo is not
/// read, and then sending blocks.
/// Hint: What does the server do with the bytes that a client sends but does not read
/// back?
#[test]
fn a_writer_blocks_when_the_reader_stops() {
    let (_server, address) = start_server("127.0.0.1:0");
    let mut connection = connect(address);
    connection.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let block = vec![b'x'; 64 * 1024];
    // The kernel's buffers on the way are a few MiB at most.
    let full = (0..4096).map(|_| connection.write(&block)).find(Result::is_err);
    let error = full.expect("256 MiB went into nowhere").unwrap_err();
    assert!([ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()));
}

/// Claims 16, 26 and 36: the kernel connects the second client, the server lets it
/// wait.
/// Hint: What becomes of the second client while the server waits for the first, and
/// afterwards?
#[test]
fn an_idle_client_blocks_the_next_one_which_is_then_served() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let first = connect(address);
    assert_eq!(echo(&first, b"first"), b"first");
    let mut second = start_client(address, &["second"]);
    second.wait_for("Connected to ");
    assert_eq!(echo(&first, b"still first"), b"still first");
    drop(first);
    assert_eq!(second.end().output[1], "Received echo: second");
    let lines = server.output_up_to("Received: second");
    let order = ["Connected", "Received: first", "Received: still first", "Closing"];
    for (line, start) in lines[1..].iter().zip(order) {
        assert!(line.starts_with(start), "{lines:?}");
    }
}

/// Hint: Is the connection made before the pause, or after it?
#[test]
fn hold_keeps_the_connection_open_before_sending() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let mut holding = start_client(address, &["held", "--hold", "3600"]);
    holding.wait_for("Connected to ");
    let mut next = start_client(address, &["next"]);
    next.wait_for("Connected to ");
    server.wait_for("Connected by ");
    drop(holding);
    let lines = {
        next.end();
        server.output_up_to("Received: ")
    };
    assert_eq!(lines.last().unwrap(), "Received: next");
}

/// Claims 18 and 22: leaving the scope closes the socket; the peer reads an empty
/// read.
/// Hint: What does reading return when the peer has stopped sending?
#[test]
fn the_end_of_one_side_is_an_empty_read_on_the_other() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let connection = connect(address);
    connection.shutdown(Shutdown::Write).unwrap();
    server.wait_for("Closing connection with ");
    assert_eq!(read_to_end(&connection), b"");
}

/// Claim 35, by the kernel's own account of the process.
/// Hint: Does the program wait inside a call of the system, or ask again and again?
#[cfg(target_os = "linux")]
#[test]
fn waiting_in_accept_and_in_read_takes_no_cpu() {
    let (mut server, address) = start_server("127.0.0.1:0");
    // The state, and the time in user and in kernel mode, in hundredths of a second.
    let usage = |server: &Program| {
        let stat =
            fs::read_to_string(format!("/proc/{}/stat", server.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split(' ').collect();
        [fields[1].to_string(), fields[12].to_string(), fields[13].to_string()]
    };
    let idle = |server: &Program| {
        let deadline = Instant::now() + PATIENCE;
        while usage(server)[0] != "S" {
            assert!(Instant::now() < deadline, "it never sleeps");
        }
        let before = usage(server);
        thread::sleep(Duration::from_millis(300));
        assert_eq!(usage(server), before);
    };
    idle(&server);
    let connection = connect(address);
    server.wait_for("Connected by ");
    echo(&connection, b"x");
    idle(&server);
}
