//! What a real network does to the programs: pieces, limits, slow, vanishing and
//! hostile peers.

mod program;

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use program::{Ended, PATIENCE, Program};

/// What fits into a datagram: 65,535 bytes less the headers of IPv4 and UDP.
const LARGEST: usize = 65_507;

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

/// Sends a datagram and returns the next one that the server sends back.
fn echo(socket: &UdpSocket, server: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    assert_eq!(socket.send_to(datagram, server).unwrap(), datagram.len());
    receive(socket, server)
}

fn receive(socket: &UdpSocket, server: SocketAddr) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let (length, peer) =
        socket.recv_from(&mut buffer).expect("no echo of the datagram");
    assert_eq!(peer, server, "the echo comes from elsewhere");
    buffer[..length].to_vec()
}

/// Hint: A name can stand for several addresses, and the first one need not answer.
#[test]
fn a_name_is_looked_up_and_every_address_tried() {
    let (_server, address) = start_server("127.0.0.1:0");
    // On many systems the first address of this name is ::1, where nobody listens.
    let server = format!("localhost:{}", address.port());
    let client = Program::run(env!("CARGO_BIN_EXE_udp-client"), &[&server]);
    assert_eq!(client.output, [format!("Received echo: Hello, UDP! from {address}")]);
}

/// A server that is not started is one cause of many.
/// Hint: Sending without a reply suggests that no server is running; a send that
/// fails has another cause.
#[test]
fn the_hint_is_given_only_where_it_fits() {
    // To this address nobody may connect, and a name that ends so does not exist.
    for elsewhere in ["255.255.255.255:9", "no-such-host.invalid:9"] {
        let client = Program::run(env!("CARGO_BIN_EXE_udp-client"), &[elsewhere]);
        assert_eq!(client.code, Some(1), "{elsewhere}");
        let errors = client.errors;
        assert!(!errors.contains("is the server running"), "{elsewhere}: {errors}");
    }
}

/// A server on 0.0.0.0 answers from the address that its way back to the client has,
/// which need not be the one that was asked.
/// Hint: The reply may come from another address of the server than the one that was
/// asked; say which.
/// Wiretap: --udp
#[cfg(target_os = "linux")] // Elsewhere 127.0.0.2 is not an address of this machine.
#[test]
fn a_server_of_all_addresses_answers_or_the_error_names_the_cause() {
    let (_server, address) = start_server("0.0.0.0:0");
    let port = address.port();
    // Both at once, since each may try for three seconds.
    let clients = ["127.0.0.2", "0.0.0.0"].map(|asked| {
        let asked = format!("{asked}:{port}");
        Program::start(env!("CARGO_BIN_EXE_udp-client"), &[&asked])
    });
    for client in clients.map(Program::end) {
        if client.code == Some(0) {
            assert!(client.output[0].starts_with("Received echo: Hello, UDP! from "));
            continue;
        }
        let errors = client.errors;
        assert!(errors.contains(&format!("127.0.0.1:{port}")), "{errors}");
        assert!(!errors.contains("is the server running"), "{errors}");
    }
}

/// Claim 31: a buffer of 1024 bytes would cut what is longer, without a word.
/// Hint: How large can a datagram be, and what happens to the part that the buffer
/// has no room for?
/// Wiretap: --udp
#[test]
fn the_largest_datagram_and_bytes_that_are_not_utf_8_come_back_whole() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let socket = bind("127.0.0.1:0");
    for length in [1, 1024, 1025, LARGEST] {
        let datagram: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
        assert!(echo(&socket, address, &datagram) == datagram, "{length} bytes");
    }
    assert_eq!(echo(&socket, address, b"\xff\xfe"), b"\xff\xfe");
    server.wait_for("Received \u{fffd}\u{fffd} from ");
}

/// An argument of that length is more than Windows takes.
/// Hint: How much room does the client have for the echo, and how much of it is
/// printed?
/// Wiretap: --udp
#[cfg(unix)]
#[test]
fn a_client_sends_the_largest_datagram_and_prints_its_beginning() {
    let (_server, address) = start_server("127.0.0.1:0");
    let client = run_client(address, &[&"x".repeat(LARGEST)]);
    assert_eq!(client.code, Some(0), "{}", client.errors);
    let shown = format!("Received echo: {} from {address}", "x".repeat(200));
    assert_eq!(client.output, [shown]);
}

/// An argument of that length is more than Windows takes.
/// Hint: Sending fails here; what does the program do with that error?
#[cfg(unix)]
#[test]
fn a_message_that_fits_no_datagram_is_a_clear_error() {
    let (_server, address) = start_server("127.0.0.1:0");
    let client = run_client(address, &[&"x".repeat(LARGEST + 1)]);
    assert_eq!(client.code, Some(1), "{}", client.errors);
    assert_ne!(client.errors, "", "it gives no reason");
    assert!(!client.errors.contains("is the server running"), "{}", client.errors);
}

/// Claim 32: on the slide anybody can end the server with an empty datagram.
/// Hint: What do zero bytes mean in a protocol that has no connection?
/// Wiretap: --udp
#[test]
fn an_empty_datagram_does_not_stop_the_server() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let socket = bind("127.0.0.1:0");
    assert_eq!(echo(&socket, address, b""), b"");
    server.wait_for("Received (empty) from ");
    assert_eq!(echo(&socket, address, b"still there?"), b"still there?");
    let client = run_client(address, &[""]);
    assert_eq!(client.output, [format!("Received echo: (empty) from {address}")]);
}

/// An echo to its own port would reach the server itself, and go round for ever.
/// Hint: To whom does the echo of this datagram go, and what happens next?
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

/// Hint: How long does the client wait, and what does it do then?
/// Wiretap: --udp --drop 50% --seed 2
#[test]
fn a_lost_datagram_is_sent_again() {
    let forgetful = bind("127.0.0.1:0");
    let address = forgetful.local_addr().unwrap();
    let client = start_client(address, &[]);
    let mut buffer = [0; 100];
    forgetful.recv(&mut buffer).unwrap(); // This one is lost.
    let (length, peer) =
        forgetful.recv_from(&mut buffer).expect("it is not sent again");
    forgetful.send_to(&buffer[..length], peer).unwrap();
    let client = client.end();
    assert_eq!(client.code, Some(0), "{}", client.errors);
    assert!(
        client.errors.contains("No reply in 1 s to try 1 of 3"),
        "{}",
        client.errors
    );
}

/// Hint: Who may send to the port of the client, and how does it know who did?
/// Wiretap: --udp
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
    assert_eq!(client.code, Some(1), "{}", client.errors);
    assert!(
        client.errors.contains("a wrong echo: \u{fffd}[2Jlies"),
        "{}",
        client.errors
    );
}

/// Hint: Does a datagram from a stranger begin the waiting anew?
/// Wiretap: --udp
#[test]
fn strangers_who_keep_sending_do_not_keep_the_client() {
    let (silent, stranger) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let mut client = start_client(silent.local_addr().unwrap(), &["truth"]);
    let (_, peer) = silent.recv_from(&mut [0; 100]).unwrap();
    let start = Instant::now();
    while client.is_running() && start.elapsed() < PATIENCE {
        // Often enough that no second goes by without one.
        let _ = stranger.send_to(b"lies", peer);
        thread::sleep(Duration::from_millis(200));
    }
    assert!(!client.is_running(), "it waits for as long as a stranger sends");
    assert_eq!(client.end().code, Some(1));
}

/// Hint: What would the terminal do with these characters if they were printed as
/// they are?
#[test]
fn control_characters_are_replaced_where_they_are_printed_and_text_is_not() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let message = "\u{1b}[2J\u{202e}\r\n\u{9b} Olá, \"ação\" {'a': 1} 😀";
    let shown =
        "\u{fffd}[2J\u{202e}\u{fffd}\u{fffd}\u{fffd} Olá, \"ação\" {'a': 1} 😀";
    let client = run_client(address, &[message]);
    assert_eq!(
        client.output.first(),
        Some(&format!("Received echo: {shown} from {address}")),
        "{}",
        client.errors
    );
    server.wait_for(&format!("Received {shown} from "));
}
