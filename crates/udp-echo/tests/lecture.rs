//! What the slides promise, judged by what the programs print and send.

mod program;

use std::net::{SocketAddr, TcpListener, UdpSocket};

use program::{Ended, PATIENCE, Program, assert_shown};

const README: &str = include_str!("../README.md");

fn start_server(address: &str) -> (Program, SocketAddr) {
    let mut server = Program::start(env!("CARGO_BIN_EXE_udp-server"), &[address]);
    let address = server.address("UDP server listening on ");
    (server, address)
}

fn start_client(server: SocketAddr, more: &[&str]) -> Program {
    let address = server.to_string();
    Program::start(
        env!("CARGO_BIN_EXE_udp-client"),
        &[&[&address as &str], more].concat(),
    )
}

fn run_client(server: SocketAddr, more: &[&str]) -> Ended {
    start_client(server, more).end()
}

/// A socket of the test's own, to send and to answer what the programs would not.
fn bind(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket, server: SocketAddr) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let (length, peer) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(peer, server);
    buffer[..length].to_vec()
}

/// Hint: Compare what is printed with the README, line by line and word by word.
#[test]
fn server_and_client_print_what_the_readme_shows() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let client = run_client(address, &[]);
    assert_eq!(client.code, Some(0));
    assert_shown(README, "cargo run -p udp-echo --bin udp-client", &client.output);
    let lines = server.output_up_to("Received ");
    assert_shown(README, "cargo run -p udp-echo", &lines);
}

/// Hint: An IPv6 address stands in brackets, and its sockets are of another family.
#[test]
fn both_programs_work_over_ipv6() {
    let (_server, address) = start_server("[::1]:0");
    let shown = format!("Received echo: Hello, UDP! from {address}");
    assert_eq!(run_client(address, &[]).output, [shown]);
}

/// Claims 28, 29 and 33: one socket for all; each sender has a port of its own.
/// Hint: Where does the server learn to whom a datagram is to be answered?
#[test]
fn two_clients_at_once_get_their_own_replies() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let (first, second) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    first.send_to(b"from the first", address).unwrap();
    second.send_to(b"from the second", address).unwrap();
    assert_eq!(receive(&second, address), b"from the second");
    assert_eq!(receive(&first, address), b"from the first");
    for (socket, text) in [(&first, "from the first"), (&second, "from the second")] {
        let peer = server.wait_for(&format!("Received {text} from "));
        assert_eq!(peer, socket.local_addr().unwrap().to_string());
    }
    let clients = ["one", "two"].map(|text| start_client(address, &[text]));
    let shown = clients.map(|client| client.end().output.join("\n"));
    let expected = |text| format!("Received echo: {text} from {address}");
    assert_eq!(shown, ["one", "two"].map(expected));
}

/// Claim 30: each send is one receive, unlike on a TCP stream.
/// Hint: How many datagrams does one receive return?
#[test]
fn two_sends_are_two_receives() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let socket = bind("127.0.0.1:0");
    socket.send_to(b"one", address).unwrap();
    socket.send_to(b"two", address).unwrap();
    assert_eq!(receive(&socket, address), b"one");
    assert_eq!(receive(&socket, address), b"two");
    server.wait_for("Received one from ");
    server.wait_for("Received two from ");
}

/// Claims 7 and 34: sending to nobody succeeds, so only time can tell.
/// Hint: Nothing tells a client that a datagram was lost; what can it do instead of
/// waiting for ever?
#[test]
fn without_an_answer_the_client_tries_three_times_and_gives_up() {
    let silent = bind("127.0.0.1:0");
    let address = silent.local_addr().unwrap();
    let client = run_client(address, &["anybody?"]);
    assert_eq!((client.code, client.output.len()), (Some(1), 0));
    for attempt in 1..=3 {
        let said = format!("No reply in 1 s to try {attempt} of 3");
        assert!(client.errors.contains(&said), "{}", client.errors);
        let mut buffer = [0; 100];
        let length = silent.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"anybody?");
    }
    let error = format!("Error: no echo from {address}");
    assert!(client.errors.contains(&error), "{}", client.errors);
    let hint = "is the server running?";
    assert!(client.errors.contains(hint), "{}", client.errors);
}

/// Hint: Which socket option lets two programs share a port, and should a server want
/// that?
#[test]
fn a_port_in_use_is_a_clear_error_but_tcp_has_ports_of_its_own() {
    // Taken for TCP, and so free for UDP as far as TCP is concerned.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let (_server, address) = start_server(&taken);
    let second = Program::run(env!("CARGO_BIN_EXE_udp-server"), &[&taken]);
    assert_eq!(second.code, Some(1));
    let error = format!("Error: cannot listen on {address}");
    assert!(second.errors.starts_with(&error), "{}", second.errors);
}

/// Hint: Exit status 2 is for arguments that cannot be understood, and 1 for what
/// fails afterwards.
#[test]
fn what_clap_rejects_exits_with_2_and_whatever_else_fails_with_1() {
    let client = env!("CARGO_BIN_EXE_udp-client");
    assert_eq!(Program::run(client, &["--no-such-flag"]).code, Some(2));
    let server = env!("CARGO_BIN_EXE_udp-server");
    assert_eq!(Program::run(server, &["localhost:65432"]).code, Some(2));
    // No name ends in .invalid (RFC 2606).
    let unknown = "no-such-host.invalid:65432";
    for wrong in ["127.0.0.1", ":65432", "127.0.0.1:65536", "127.0.0.1:dns", unknown]
    {
        let ended = Program::run(client, &[wrong]);
        assert_eq!(ended.code, Some(1), "{wrong}: {}", ended.errors);
        assert!(ended.errors.contains(wrong), "it names {wrong}: {}", ended.errors);
    }
    // The most likely slip: no port.
    let ended = Program::run(client, &["127.0.0.1"]);
    assert!(ended.errors.contains("HOST:PORT"), "{}", ended.errors);
}
