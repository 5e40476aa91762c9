//! Starts the real server and the real client and compares what they print with what
//! the lecture promises. It judges a program by its behaviour alone.

mod program;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};
use std::{fs, thread};

use program::{Ended, PATIENCE, Program, assert_shown};
use socket2::{Domain, SockRef, Socket, Type};

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
    let connection = TcpStream::connect(server).unwrap();
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

/// A client that meets this instead of the real server.
fn start_fake_server(
    serve: impl FnOnce(TcpStream) + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, thread::spawn(move || serve(listener.accept().unwrap().0)))
}

/// Claims 3, 17 and 47: request and reply, at the address that the socket tells.
#[test]
fn server_and_client_print_what_the_readme_shows() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let client = run_client(address, &[]);
    assert_eq!(client.code, Some(0));
    assert_shown(README, "cargo run -p tcp-echo --bin tcp-client", &client.output);
    let lines = server.output_up_to("Closing connection");
    assert_shown(README, "cargo run -p tcp-echo", &lines);
}

#[test]
fn both_programs_work_over_ipv6() {
    let (_server, address) = start_server("[::1]:0");
    assert!(
        run_client(address, &[]).output[1].contains("Received echo: Hello, world")
    );
}

#[test]
fn a_name_is_looked_up_and_every_address_tried() {
    let (_server, address) = start_server("127.0.0.1:0");
    // On many systems the first address of this name is ::1, where nobody listens.
    let server = format!("localhost:{}", address.port());
    let client = Program::run(env!("CARGO_BIN_EXE_tcp-client"), &[&server]);
    assert_eq!(client.output[1], "Received echo: Hello, world");
}

/// Claims 1 and 20: the two ends know each other by the same two addresses.
#[test]
fn accept_gives_the_address_that_the_client_has() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let connection = connect(address);
    assert_eq!(connection.peer_addr().unwrap(), address);
    let peer = server.wait_for("Connected by ");
    assert_eq!(peer, connection.local_addr().unwrap().to_string());
}

/// Claim 4: a port is a door, of one address and one protocol.
#[test]
fn the_same_door_twice_is_refused_and_another_one_is_not() {
    let (_server, address) = start_server("127.0.0.1:0");
    let second =
        Program::run(env!("CARGO_BIN_EXE_tcp-server"), &[&address.to_string()]);
    assert_eq!(second.code, Some(1));
    assert!(second.errors.contains(&format!("cannot listen on {address}")));
    assert!(second.errors.contains("in use"), "{}", second.errors);
    start_server(&format!("[::1]:{}", address.port()));
    UdpSocket::bind(address).expect("UDP has ports of its own");
}

/// Claim 6.
#[test]
fn a_closed_port_is_a_clear_error() {
    // Bound but not listening: the port is taken, and closed.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let client = run_client(address, &[]);
    assert_eq!(client.code, Some(1));
    let hint = "(is the server running? cargo run -p tcp-echo)";
    let error = format!("Error: cannot connect to {address} {hint}");
    assert_eq!(client.errors.lines().next(), Some(&*error));
    assert!(client.errors.contains("Connection refused"), "{}", client.errors);
}

#[test]
fn wrong_arguments_exit_with_2_and_an_unknown_name_with_1() {
    let client = env!("CARGO_BIN_EXE_tcp-client");
    for wrong in ["127.0.0.1", ":65432", "127.0.0.1:65536", "127.0.0.1:http"] {
        let ended = Program::run(client, &[wrong]);
        assert_eq!(ended.code, Some(2), "{wrong}");
        assert!(ended.errors.contains("HOST:PORT"), "{}", ended.errors);
    }
    assert_eq!(Program::run(client, &["--hold", "soon"]).code, Some(2));
    let server = env!("CARGO_BIN_EXE_tcp-server");
    assert_eq!(Program::run(server, &["localhost:65432"]).code, Some(2));
    // No name ends in .invalid (RFC 2606).
    let unknown = Program::run(client, &["no-such-host.invalid:65432"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.errors.contains("cannot connect to no-such-host.invalid:65432"));
}

/// Claim 12: TCP has flow control. The server stops reading when its echo is not
/// read, and then sending blocks.
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
#[test]
fn the_end_of_one_side_is_an_empty_read_on_the_other() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let connection = connect(address);
    connection.shutdown(Shutdown::Write).unwrap();
    server.wait_for("Closing connection with ");
    assert_eq!(read_to_end(&connection), b"");
}

/// Claims 21 and 25: TCP is a stream, and 1024 bytes are a maximum, not a message.
#[test]
fn five_sends_come_back_complete_though_reads_do_not_match_sends() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let first = connect(address);
    echo(&first, b"served");
    // All sends are in the kernel's buffer before the server reads the first of them.
    let (mut small, mut large) = (connect(address), connect(address));
    for text in ["a", "b", "c", "d", "e"] {
        small.write_all(text.as_bytes()).unwrap();
        large.write_all(&[b'x'; 700]).unwrap();
    }
    small.shutdown(Shutdown::Write).unwrap();
    large.shutdown(Shutdown::Write).unwrap();
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
    assert_eq!(client.output[1], "Received echo: Hello, world");
}

/// Claim 23: one write may send only a part; the server goes on until all is sent.
#[test]
fn eight_mebibytes_come_back_unchanged_to_a_client_that_reads_slowly() {
    let (_server, address) = start_server("127.0.0.1:0");
    let connection = connect(address);
    // A small buffer, or the kernel would take almost all of it off the server's hands.
    SockRef::from(&connection).set_recv_buffer_size(256 * 1024).unwrap();
    let bytes: Vec<u8> =
        (0..8 << 20).map(|n: u32| (n.wrapping_mul(n) >> 7) as u8).collect();
    let mut received = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&connection).write_all(&bytes).unwrap();
            connection.shutdown(Shutdown::Write).unwrap();
        });
        let mut block = vec![0; 16 * 1024];
        for number in 0.. {
            // Slowness is what is tested here; nothing waits for it.
            thread::sleep(Duration::from_millis(if number < 100 { 10 } else { 0 }));
            match (&connection).read(&mut block).unwrap() {
                0 => break,
                length => received.extend_from_slice(&block[..length]),
            }
        }
    });
    assert!(received == bytes, "{} of {} bytes", received.len(), bytes.len());
}

/// Claims 24 and 48: sockets carry bytes, not text, and a read can end in the middle of
/// a character.
#[test]
fn bytes_that_are_no_utf_8_and_a_split_character_come_back_unchanged() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let connection = connect(address);
    assert_eq!(echo(&connection, b"\xff\xfe\0"), b"\xff\xfe\0");
    server.wait_for(r"Received: \xff\xfe\u{0}");
    // The echo of the first half shows that the server read it alone.
    assert_eq!(echo(&connection, b"a\xc3"), b"a\xc3");
    assert_eq!(echo(&connection, b"\xa7b"), b"\xa7b");
    server.wait_for(r"Received: a\xc3");
    server.wait_for(r"Received: \xa7b");
}

#[test]
fn control_characters_are_printed_escaped_and_text_as_it_is() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let message = "\u{1b}[2J\u{202e}\r\n\u{9b} Olá, \"ação\" {'a': 1} 😀";
    let shown = r#"\u{1b}[2J\u{202e}\u{d}\u{a}\u{9b} Olá, "ação" {'a': 1} 😀"#;
    let client = run_client(address, &[message]);
    assert_eq!(client.output[1], format!("Received echo: {shown}"));
    assert_eq!(server.wait_for("Received: "), shown);
}

#[test]
fn a_long_message_is_printed_cut_with_its_size_and_comes_back_whole() {
    let (_server, address) = start_server("127.0.0.1:0");
    let client = run_client(address, &[&"ç".repeat(30_000)]);
    assert_eq!(client.code, Some(0), "{}", client.errors);
    let shown = format!("Received echo: {}... (60000 bytes)", "ç".repeat(200));
    assert_eq!(client.output[1], shown);
    let client = run_client(address, &[&"😀".repeat(200)]);
    assert_eq!(client.output[1], format!("Received echo: {}", "😀".repeat(200)));
}

/// Claim 27: without SO_REUSEADDR the second start fails: "address already in use".
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

/// Claim 35, by the kernel's own account of the process.
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

/// A client whose machine lost its power is found by the kernel's own questions.
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
    assert!(timers.next().unwrap().starts_with("02:"));
}

#[test]
fn the_client_reports_a_wrong_a_short_and_an_endless_reply() {
    let (wrong, _thread) = start_fake_server(|mut connection| {
        let _ = connection.read(&mut [0; 100]);
        let _ = connection.write_all(b"Hello, moon!");
    });
    let client = run_client(wrong, &[]);
    assert_eq!(client.code, Some(1));
    assert!(client.errors.contains("Error: a wrong echo: Hello, moon!"));
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
    assert_eq!(client.code, Some(1));
    // It does not wait for the end of a stream that has none.
    assert!(client.errors.contains("a wrong echo: xxx"), "{}", client.errors);
}
