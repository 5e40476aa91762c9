//! Starts the real server and the real client and compares what they print with what
//! the lecture promises. It judges a program by its behaviour alone.

mod program;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use std::{fs, thread};

use program::{Ended, PATIENCE, Program, assert_shown};
use socket2::{Domain, SockRef, Socket, Type};

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

/// A client that meets this instead of the real server.
fn start_fake_server(
    serve: impl FnOnce(TcpStream) + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, thread::spawn(move || serve(listener.accept().unwrap().0)))
}

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
    let client = Program::run(env!("CARGO_BIN_EXE_threaded-tcp-client"), &[&server]);
    assert_eq!(client.output[1], "Received echo: Hello, world");
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
    let hint = "(is the server running? cargo run -p threaded-tcp-echo)";
    let error = format!("Error: cannot connect to {address} {hint}");
    assert_eq!(client.errors.lines().next(), Some(&*error));
    assert!(client.errors.contains("Connection refused"), "{}", client.errors);
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let (_server, address) = start_server("127.0.0.1:0");
    let path = env!("CARGO_BIN_EXE_threaded-tcp-server");
    let second = Program::run(path, &[&address.to_string()]);
    assert_eq!(second.code, Some(1));
    let error = format!("Error: cannot listen on {address} (try another port)");
    assert!(second.errors.starts_with(&error), "{}", second.errors);
    assert!(second.errors.contains("in use"), "{}", second.errors);
}

/// Claims 37 and 46: whatever one client does, the others are served at once.
#[test]
fn an_idle_a_resetting_and_a_never_reading_client_harm_nobody_else() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let idle = connect(address);
    drop(connect(address));
    let resetting = connect(address);
    echo(&resetting, b"half a mess");
    // Closing with nothing to linger for sends a reset instead of an orderly end.
    SockRef::from(&resetting).set_linger(Some(Duration::ZERO)).unwrap();
    drop(resetting);
    server.wait_for_error("Lost connection with ");
    let mut never_reading = connect(address);
    never_reading.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    while never_reading.write(&[b'x'; 65_536]).is_ok() {}
    let client = run_client(address, &["served"]);
    assert!(client.output.contains(&"Received echo: served".to_string()));
    assert_eq!(echo(&idle, b"me too"), b"me too");
}

#[test]
fn a_silent_and_a_dripping_server_do_not_hold_the_client_for_long() {
    let (silent, _thread) = start_fake_server(|mut connection| {
        let _ = connection.read_to_end(&mut Vec::new());
        thread::sleep(PATIENCE);
    });
    let (dripping, _thread) = start_fake_server(|mut connection| {
        for byte in b"Hello, wo" {
            let _ = connection.write_all(&[*byte]);
            thread::sleep(Duration::from_secs(1));
        }
    });
    for client in [silent, dripping].map(|server| start_client(server, &[])) {
        let client = client.end();
        assert_eq!(client.code, Some(1));
        assert!(
            client.errors.contains("no end of it within 5 s"),
            "{}",
            client.errors
        );
    }
}

/// Claim 37, by Linux's own account of the process.
#[cfg(target_os = "linux")]
#[test]
fn each_client_has_a_thread_of_its_own() {
    let (mut server, address) = start_server("127.0.0.1:0");
    assert_eq!(server.status("Threads"), 1);
    let _clients = start_client(address, &["--clients", "50", "--hold", "3600"]);
    (0..50).for_each(|_| drop(server.wait_for("Connected by ")));
    assert_eq!(server.status("Threads"), 51);
}

#[test]
fn a_hundred_clients_at_once_are_all_served() {
    let (_server, address) = start_server("127.0.0.1:0");
    let client = run_client(address, &["many", "--clients", "100", "--hold", "1"]);
    assert_eq!(client.code, Some(0), "{}", client.errors);
    let echoed = |line: &&String| line.as_str() == "Received echo: many";
    assert_eq!(client.output.iter().filter(echoed).count(), 100);
}

#[test]
fn who_comes_when_max_clients_are_served_waits_for_one_to_leave() {
    let path = env!("CARGO_BIN_EXE_threaded-tcp-server");
    let mut server = Program::start(path, &["127.0.0.1:0", "--max-clients", "2"]);
    let address = server.address("Threaded TCP server listening on ");
    let (first, second) = (connect(address), connect(address));
    echo(&first, b"first");
    echo(&second, b"second");
    server.wait_for_error("Full at 2 clients: others wait");
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
    server.signal("KILL");
    assert_eq!(server.end().errors, "Full at 2 clients: others wait", "said once");
}

#[cfg(unix)]
#[test]
fn the_server_allows_itself_the_open_files_it_needs_or_says_that_it_cannot() {
    let server = |limit: &str| {
        let path = env!("CARGO_BIN_EXE_threaded-tcp-server");
        let command = format!("ulimit {limit}; exec {path} 127.0.0.1:0");
        Program::start("/bin/sh", &["-c", &command])
    };
    let mut lifted = server("-S -n 64");
    let address = lifted.address("Threaded TCP server listening on ");
    let client = run_client(address, &["--clients", "100", "--hold", "1"]);
    assert_eq!(client.code, Some(0), "{}", client.errors);
    let mut limited = server("-n 64");
    limited.wait_for_error("Only 64 open files allowed for 1000 clients");
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
    let peer = connection.local_addr().unwrap();
    server.wait_for(&format!(r"Received from {peer}: \xff\xfe\u{{0}}"));
    // The echo of the first half shows that the server read it alone.
    assert_eq!(echo(&connection, b"a\xc3"), b"a\xc3");
    assert_eq!(echo(&connection, b"\xa7b"), b"\xa7b");
    server.wait_for(&format!(r"Received from {peer}: a\xc3"));
    server.wait_for(&format!(r"Received from {peer}: \xa7b"));
}

#[test]
fn control_characters_are_printed_escaped_and_text_as_it_is() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let message = "\u{1b}[2J\u{202e}\r\n\u{9b} Olá, \"ação\" {'a': 1} 😀";
    let shown = r#"\u{1b}[2J\u{202e}\u{d}\u{a}\u{9b} Olá, "ação" {'a': 1} 😀"#;
    let client = run_client(address, &[message]);
    assert_eq!(client.output[1], format!("Received echo: {shown}"));
    assert!(server.wait_for("Received from ").ends_with(&format!(": {shown}")));
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

#[test]
fn wrong_arguments_exit_with_2_and_an_unknown_name_with_1() {
    let client = env!("CARGO_BIN_EXE_threaded-tcp-client");
    for wrong in ["127.0.0.1", ":65432", "127.0.0.1:65536", "127.0.0.1:http"] {
        let ended = Program::run(client, &[wrong]);
        assert_eq!(ended.code, Some(2), "{wrong}");
        assert!(ended.errors.contains("HOST:PORT"), "{}", ended.errors);
    }
    assert_eq!(Program::run(client, &["--hold", "soon"]).code, Some(2));
    let server = env!("CARGO_BIN_EXE_threaded-tcp-server");
    assert_eq!(Program::run(server, &["localhost:65432"]).code, Some(2));
    // No name ends in .invalid (RFC 2606).
    let unknown = Program::run(client, &["no-such-host.invalid:65432"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.errors.contains("cannot connect to no-such-host.invalid:65432"));
}
