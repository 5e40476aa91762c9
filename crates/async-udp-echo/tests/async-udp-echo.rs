//! Starts the real server and the real client and compares what they print with what
//! the lecture promises. It judges a program by its behaviour alone.

mod program;

use std::net::{SocketAddr, TcpListener, UdpSocket};

use program::{Ended, PATIENCE, Program, assert_shown};

const README: &str = include_str!("../README.md");
/// What fits into a datagram: 65,535 bytes less the headers of IPv4 and UDP.
const LARGEST: usize = 65_507;

fn start_server(address: &str) -> (Program, SocketAddr) {
    let mut server =
        Program::start(env!("CARGO_BIN_EXE_async-udp-server"), &[address]);
    let address = server.address("Async UDP server listening on ");
    (server, address)
}

fn start_client(server: SocketAddr, more: &[&str]) -> Program {
    let address = server.to_string();
    Program::start(
        env!("CARGO_BIN_EXE_async-udp-client"),
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

/// Sends a datagram and returns the next one that the server sends back.
fn echo(socket: &UdpSocket, server: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    assert_eq!(socket.send_to(datagram, server).unwrap(), datagram.len());
    receive(socket, server)
}

fn receive(socket: &UdpSocket, server: SocketAddr) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let (length, peer) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(peer, server);
    buffer[..length].to_vec()
}

#[test]
fn server_and_client_print_what_the_readme_shows() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let client = run_client(address, &[]);
    assert_eq!(client.code, Some(0));
    assert_shown(
        README,
        "cargo run -p async-udp-echo --bin async-udp-client",
        &client.output,
    );
    let lines = server.output_up_to("Received ");
    assert_shown(README, "cargo run -p async-udp-echo", &lines);
}

#[test]
fn both_programs_work_over_ipv6() {
    let (_server, address) = start_server("[::1]:0");
    let shown = format!("Received echo: Hello, UDP! from {address}");
    assert_eq!(run_client(address, &[]).output, [shown]);
}

#[test]
fn a_name_is_looked_up_and_every_address_tried() {
    let (_server, address) = start_server("127.0.0.1:0");
    // On many systems the first address of this name is ::1, where nobody listens.
    let server = format!("localhost:{}", address.port());
    let client = Program::run(env!("CARGO_BIN_EXE_async-udp-client"), &[&server]);
    assert_eq!(client.output, [format!("Received echo: Hello, UDP! from {address}")]);
}

/// Claims 28, 29 and 33: one socket for all; each sender has a port of its own.
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

/// Claim 31: a buffer of 1024 bytes would cut what is longer, without a word.
#[test]
fn the_largest_datagram_and_bytes_that_are_no_utf_8_come_back_whole() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let socket = bind("127.0.0.1:0");
    for length in [1, 1024, 1025, LARGEST] {
        let datagram: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
        assert!(echo(&socket, address, &datagram) == datagram, "{length} bytes");
    }
    assert_eq!(echo(&socket, address, b"\xff\xfe"), b"\xff\xfe");
    server.wait_for(r"Received \xff\xfe from ");
    let client = run_client(address, &[&"x".repeat(LARGEST)]);
    assert_eq!(client.code, Some(0), "{}", client.errors);
    assert!(client.output[0].contains("... (65507 bytes) from "));
}

#[test]
fn a_message_that_fits_no_datagram_is_a_clear_error() {
    let (_server, address) = start_server("127.0.0.1:0");
    let client = run_client(address, &[&"x".repeat(LARGEST + 1)]);
    assert_eq!(client.code, Some(1));
    assert!(client.errors.contains("cannot send 65508 bytes at once"));
}

/// Claim 32: on the slide anybody can end the server with an empty datagram.
#[test]
fn an_empty_datagram_does_not_stop_the_server() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let socket = bind("127.0.0.1:0");
    assert_eq!(echo(&socket, address, b""), b"");
    server.wait_for("Received  from ");
    assert_eq!(echo(&socket, address, b"still there?"), b"still there?");
    let client = run_client(address, &[""]);
    assert_eq!(client.output, [format!("Received echo:  from {address}")]);
}

/// An echo to its own port would reach the server itself, and go round for ever.
#[cfg(target_os = "linux")]
#[test]
fn a_datagram_from_the_servers_own_port_is_not_answered() {
    let (mut server, address) = start_server("127.0.0.1:0");
    // The whole of 127.0.0.0/8 is this machine, and another address has its own
    // ports.
    let twin = bind(&format!("127.0.0.2:{}", address.port()));
    twin.send_to(b"ping-pong", address).unwrap();
    let claimed = server.wait_for_error("Ignored a datagram that claims to be from ");
    assert_eq!(claimed, twin.local_addr().unwrap().to_string());
    let socket = bind("127.0.0.1:0");
    assert_eq!(echo(&socket, address, b"next"), b"next");
    twin.set_nonblocking(true).unwrap();
    assert!(twin.recv(&mut [0; 100]).is_err(), "it was answered");
}

/// Claims 7 and 34: sending to nobody succeeds, so only time can tell.
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
    let hint = "(is the server running? cargo run -p async-udp-echo)";
    assert!(client.errors.contains(&format!("Error: no echo from {address} {hint}")));
}

#[test]
fn a_lost_datagram_is_sent_again() {
    let forgetful = bind("127.0.0.1:0");
    let address = forgetful.local_addr().unwrap();
    let client = start_client(address, &[]);
    let mut buffer = [0; 100];
    forgetful.recv(&mut buffer).unwrap(); // This one is lost.
    let (length, peer) = forgetful.recv_from(&mut buffer).unwrap();
    forgetful.send_to(&buffer[..length], peer).unwrap();
    let client = client.end();
    assert_eq!(client.code, Some(0));
    assert!(client.errors.contains("No reply in 1 s to try 1 of 3"));
}

#[test]
fn the_client_ignores_strangers_and_refuses_a_wrong_echo() {
    let server = bind("127.0.0.1:0");
    let stranger = bind("127.0.0.1:0");
    let mut client = start_client(server.local_addr().unwrap(), &["truth"]);
    let (_, peer) = server.recv_from(&mut [0; 100]).unwrap();
    stranger.send_to(b"lies", peer).unwrap();
    let ignored = client.wait_for_error("Ignored a datagram from ");
    assert_eq!(ignored, stranger.local_addr().unwrap().to_string());
    server.send_to(b"truth", peer).unwrap();
    assert!(client.end().output[0].starts_with("Received echo: truth from "));

    let client = start_client(server.local_addr().unwrap(), &["truth"]);
    let (_, peer) = server.recv_from(&mut [0; 100]).unwrap();
    server.send_to(b"\x1b[2Jlies", peer).unwrap();
    let client = client.end();
    assert_eq!(client.code, Some(1));
    assert!(client.errors.contains(r"a wrong echo: \u{1b}[2Jlies"));
}

#[test]
fn control_characters_are_printed_escaped_and_text_as_it_is() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let message = "\u{1b}[2J\u{202e}\r\n\u{9b} Olá, \"ação\" {'a': 1} 😀";
    let shown = r#"\u{1b}[2J\u{202e}\u{d}\u{a}\u{9b} Olá, "ação" {'a': 1} 😀"#;
    let client = run_client(address, &[message]);
    assert_eq!(client.output[0], format!("Received echo: {shown} from {address}"));
    server.wait_for(&format!("Received {shown} from "));
}

#[test]
fn a_port_in_use_is_a_clear_error_but_tcp_has_ports_of_its_own() {
    // Taken for TCP, and so free for UDP as far as TCP is concerned.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let (_server, address) = start_server(&taken);
    let second = Program::run(env!("CARGO_BIN_EXE_async-udp-server"), &[&taken]);
    assert_eq!(second.code, Some(1));
    let error = format!("Error: cannot listen on {address} (try another port)");
    assert!(second.errors.starts_with(&error), "{}", second.errors);
    assert!(second.errors.contains("in use"), "{}", second.errors);
}

#[test]
fn wrong_arguments_exit_with_2_and_an_unknown_name_with_1() {
    let client = env!("CARGO_BIN_EXE_async-udp-client");
    for wrong in ["127.0.0.1", ":65432", "127.0.0.1:65536", "127.0.0.1:dns"] {
        let ended = Program::run(client, &[wrong]);
        assert_eq!(ended.code, Some(2), "{wrong}");
        assert!(ended.errors.contains("HOST:PORT"), "{}", ended.errors);
    }
    let server = env!("CARGO_BIN_EXE_async-udp-server");
    assert_eq!(Program::run(server, &["localhost:65432"]).code, Some(2));
    // No name ends in .invalid (RFC 2606).
    let unknown = Program::run(client, &["no-such-host.invalid:65432"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.errors.contains("cannot look up no-such-host.invalid:65432"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_and_sigterm_end_the_server_with_0() {
    for signal in ["INT", "TERM"] {
        let (server, _address) = start_server("127.0.0.1:0");
        server.signal(signal);
        let server = server.end();
        assert_eq!((server.code, server.errors.as_str()), (Some(0), ""), "{signal}");
    }
}

/// Claim 41, by Linux's own account of the process.
#[cfg(target_os = "linux")]
#[test]
fn one_thread_serves_all_clients() {
    let (server, address) = start_server("127.0.0.1:0");
    let sockets: Vec<UdpSocket> = (0..100).map(|_| bind("127.0.0.1:0")).collect();
    for (number, socket) in sockets.iter().enumerate() {
        let datagram = number.to_string();
        assert_eq!(echo(socket, address, datagram.as_bytes()), datagram.as_bytes());
    }
    assert_eq!(server.status("Threads"), 1);
}
