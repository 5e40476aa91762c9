//! What a real network does to the programs: pieces, limits, slow, vanishing and
//! hostile peers.
// Some tests need what only Linux or Unix has.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

mod program;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use std::{fs, thread};

use program::{Ended, PATIENCE, Program};
use socket2::SockRef;

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
    connection.write_all(bytes).expect("the server does not take the bytes");
    let mut echo = vec![0; bytes.len()];
    connection.read_exact(&mut echo).expect("the echo is not complete");
    echo
}

fn read_to_end(mut connection: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes).expect("no end of the echo");
    bytes
}

/// A client that meets this instead of the real server.
fn start_fake_server(
    serve: impl FnOnce(TcpStream) + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, thread::spawn(move || serve(listener.accept().unwrap().0)))
}

/// Hint: A name can stand for several addresses, and the first one need not answer.
#[test]
fn a_name_is_looked_up_and_every_address_tried() {
    let (_server, address) = start_server("127.0.0.1:0");
    // On many systems the first address of this name is ::1, where nobody listens.
    let server = format!("localhost:{}", address.port());
    let client = Program::run(env!("CARGO_BIN_EXE_tcp-client"), &[&server]);
    let shown = client.output.get(1).map(String::as_str);
    assert_eq!(shown, Some("Received echo: Hello, world"), "{}", client.errors);
}

/// A server that is not started is one cause of many.
/// Hint: Only a refused connection suggests that no server is running; look at the
/// kind of the error.
#[test]
fn the_hint_is_given_only_where_it_fits() {
    // To this address nobody may connect, and a name that ends so does not exist.
    for elsewhere in ["255.255.255.255:9", "no-such-host.invalid:9"] {
        let client = Program::run(env!("CARGO_BIN_EXE_tcp-client"), &[elsewhere]);
        assert_eq!(client.code, Some(1), "{elsewhere}");
        let errors = client.errors;
        assert!(!errors.contains("is the server running"), "{elsewhere}: {errors}");
    }
}

/// Claims 21 and 25: TCP is a stream, and 1024 bytes are a maximum, not a message.
/// Hint: Is one read always one message, and does your buffer have the size of the
/// contract?
/// Wiretap: -
#[test]
fn five_sends_come_back_complete_though_reads_do_not_match_sends() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let first = connect(address);
    echo(&first, b"served");
    // All sends are in the kernel's buffer before the server reads the first of them.
    let (mut small, mut large) = (connect(address), connect(address));
    for text in ["a", "b", "c", "d", "e"] {
        small.write_all(text.as_bytes()).expect("no second client is served");
        large.write_all(&[b'x'; 700]).unwrap();
    }
    small.shutdown(Shutdown::Write).unwrap();
    large.shutdown(Shutdown::Write).unwrap();
    // By the time of this echo all of it has crossed, on a busy machine too.
    echo(&first, b"served once more");
    drop(first);
    assert_eq!(read_to_end(&small), b"abcde");
    assert_eq!(read_to_end(&large), [b'x'; 3500]);
    server.wait_for("Received: abcde");
    let lines = {
        server.wait_for("Connected by ");
        server.output_up_to("Closing")
    };
    let reads = lines.iter().filter(|line| line.starts_with("Received: xxx")).count();
    assert_eq!(reads, 4, "1024 + 1024 + 1024 + 428: {lines:?}");
}

/// Claim 25: one receive is not one message, for the client neither.
/// Hint: How does the client know that it has the whole reply?
/// Wiretap: --slice 4 --rate 80B/s
#[test]
fn the_client_reads_on_when_a_reply_comes_in_pieces() {
    let (server, _thread) = start_fake_server(|mut connection| {
        let _ = connection.read(&mut [0; 100]);
        let _ = connection.write_all(b"Hello, ");
        // Slowness is what is tested here; nothing waits for it.
        thread::sleep(Duration::from_millis(300));
        let _ = connection.write_all(b"world");
    });
    let client = run_client(server, &[]);
    assert_eq!(client.code, Some(0), "{}", client.errors);
    let shown = client.output.get(1).map(String::as_str);
    assert_eq!(shown, Some("Received echo: Hello, world"), "{}", client.errors);
}

/// Claim 23: one write may send only a part; the server goes on until all is sent.
/// Hint: What does one write return when the buffer of the connection is almost full?
/// Wiretap: --rate 500kB/s
#[test]
fn eight_mebibytes_come_back_unchanged_to_a_client_that_reads_slowly() {
    let (_server, address) = start_server("127.0.0.1:0");
    let connection = connect(address);
    // A small buffer, or the kernel would take almost all of it off the server's
    // hands.
    SockRef::from(&connection).set_recv_buffer_size(256 * 1024).unwrap();
    let bytes: Vec<u8> =
        (0..8 << 20).map(|n: u32| (n.wrapping_mul(n) >> 7) as u8).collect();
    let mut received = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&connection).write_all(&bytes).expect("the server does not take it");
            connection.shutdown(Shutdown::Write).unwrap();
        });
        let mut block = vec![0; 16 * 1024];
        for number in 0.. {
            // Slowness is what is tested here; nothing waits for it.
            thread::sleep(Duration::from_millis(if number < 100 { 10 } else { 0 }));
            match (&connection).read(&mut block).expect("the echo broke off") {
                0 => break,
                length => received.extend_from_slice(&block[..length]),
            }
        }
    });
    assert!(received == bytes, "{} of {} bytes", received.len(), bytes.len());
}

/// Claims 24 and 48: sockets carry bytes, not text, and a read can end in the middle
/// of a character.
/// Hint: What are the bytes, text or bytes, and when does that matter?
/// Wiretap: --slice 1 --rate 20B/s
#[test]
fn bytes_that_are_not_utf_8_and_a_split_character_come_back_unchanged() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let connection = connect(address);
    assert_eq!(echo(&connection, b"\xff\xfe\0"), b"\xff\xfe\0");
    server.wait_for("Received: \u{fffd}\u{fffd}\u{fffd}");
    // The echo of the first half shows that the server read it alone.
    assert_eq!(echo(&connection, b"a\xc3"), b"a\xc3");
    assert_eq!(echo(&connection, b"\xa7b"), b"\xa7b");
    server.wait_for("Received: a\u{fffd}");
    server.wait_for("Received: \u{fffd}b");
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
        client.output.get(1),
        Some(&format!("Received echo: {shown}")),
        "{}",
        client.errors
    );
    assert_eq!(server.wait_for("Received: "), shown);
}

/// Hint: What is printed is a shortened copy; and 200 characters may be more than 200
/// bytes.
#[test]
fn a_long_message_is_printed_cut_and_comes_back_whole() {
    let (_server, address) = start_server("127.0.0.1:0");
    let client = run_client(address, &[&"ç".repeat(30_000)]);
    assert_eq!(client.code, Some(0), "{}", client.errors);
    let shown = format!("Received echo: {}", "ç".repeat(200));
    assert_eq!(client.output.get(1), Some(&shown), "{}", client.errors);
    let client = run_client(address, &[&"😀".repeat(200)]);
    assert_eq!(
        client.output.get(1),
        Some(&format!("Received echo: {}", "😀".repeat(200))),
        "{}",
        client.errors
    );
}

/// Claim 27: without SO_REUSEADDR the second start fails: "address already in use".
/// Hint: Which socket option lets a port be bound while old connections on it time
/// out?
#[test]
fn the_server_restarts_at_once_on_its_port_while_a_client_holds_a_connection() {
    let (server, address) = start_server("127.0.0.1:0");
    let held = connect(address);
    echo(&held, b"held");
    drop(server);
    let (_server, again) = start_server(&address.to_string());
    assert_eq!(again, address);
    assert_eq!(run_client(address, &[]).code, Some(0));
}

/// Hint: Which errors of one connection reach the loop that accepts?
/// Wiretap: --cut-after 20B
#[test]
fn after_a_client_that_resets_or_vanishes_the_next_one_is_served() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let resetting = connect(address);
    echo(&resetting, b"half a mess");
    // Closing with nothing to linger for sends a reset instead of an orderly end.
    SockRef::from(&resetting).set_linger(Some(Duration::ZERO)).unwrap();
    drop(resetting);
    server.wait_for_error("Lost connection with ");
    drop(connect(address));
    let mut never_reading = connect(address);
    never_reading.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    while never_reading.write(&[b'x'; 65_536]).is_ok() {}
    let waiting = start_client(address, &[]);
    drop(never_reading);
    assert_eq!(waiting.end().code, Some(0));
}

/// A client whose machine lost its power is found because the kernel asks.
/// Hint: A machine without power says nothing; which socket option makes the kernel
/// ask?
#[cfg(target_os = "linux")]
#[test]
fn an_accepted_connection_has_a_keepalive_timer() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let _connection = connect(address);
    server.wait_for("Connected by ");
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!("0100007F:{:04X}", address.port());
    // State 01 is an established connection, timer 02 the one for keepalive.
    let connection =
        table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut timers =
        connection.filter(|f| f[1] == local && f[3] == "01").map(|f| f[5]);
    let timer = timers.next().expect("no connection is accepted");
    assert!(timer.starts_with("02:"), "the connection has no keepalive timer");
}

/// Hint: How much of a reply has the client to read to know that it is wrong?
/// Wiretap: -
#[test]
fn the_client_reports_a_wrong_a_short_and_an_endless_reply() {
    let (wrong, _thread) = start_fake_server(|mut connection| {
        let _ = connection.read(&mut [0; 100]);
        let _ = connection.write_all(b"Hello, moon!");
    });
    let client = run_client(wrong, &[]);
    assert_eq!(client.code, Some(1), "{}", client.errors);
    assert!(
        client.errors.contains("Error: a wrong echo: Hello, moon!"),
        "{}",
        client.errors
    );
    let (long, _thread) = start_fake_server(|mut connection| {
        let _ = connection.read(&mut [0; 100]);
        let _ = connection.write_all(b"Hello, world and more");
    });
    let client = run_client(long, &[]);
    assert_eq!(client.code, Some(1), "more than the message passes for an echo");
    let (short, _thread) = start_fake_server(|mut connection| {
        let _ = connection.read(&mut [0; 100]);
        let _ = connection.write_all(b"Hello");
    });
    assert_eq!(run_client(short, &[]).errors, "Error: a wrong echo: Hello");
    let (endless, _thread) =
        start_fake_server(
            |mut connection| {
                while connection.write_all(&[b'x'; 1000]).is_ok() {}
            },
        );
    let client = run_client(endless, &[]);
    assert_eq!(client.code, Some(1), "{}", client.errors);
    // It does not wait for the end of a stream that has none.
    assert!(client.errors.contains("a wrong echo: xxx"), "{}", client.errors);

    // Closing with nothing to linger for sends a reset, which is no timeout.
    let (resetting, _thread) = start_fake_server(|mut connection| {
        let _ = connection.read_to_end(&mut Vec::new());
        SockRef::from(&connection).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let client = run_client(resetting, &[]);
    assert_eq!(client.code, Some(1));
    for wrong in ["within", "timed out"] {
        assert!(!client.errors.contains(wrong), "{}", client.errors);
    }
}
