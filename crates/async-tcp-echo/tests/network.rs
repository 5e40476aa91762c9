//! What a real network does to the programs: pieces, limits, slow, vanishing and
//! hostile peers.
// Some tests need what only Linux or Unix has.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

mod program;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use std::{env, fs, thread};

use program::{Ended, PATIENCE, Program};
use socket2::SockRef;

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
    connection.write_all(bytes).expect("the server does not take the bytes");
    let mut echo = vec![0; bytes.len()];
    connection.read_exact(&mut echo).expect("the echo is not complete");
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

/// A number from Linux's own account of the process.
#[cfg(target_os = "linux")]
fn status(program: &Program, field: &str) -> u64 {
    let path = format!("/proc/{}/status", program.child.id());
    let status = fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Starts the program with a limit of open files, as `ulimit -n` sets it.
#[cfg(unix)]
fn start_with_few_files(arguments: &str) -> Program {
    let path = env!("CARGO_BIN_EXE_async-tcp-server");
    let command =
        env::var("ASYNC_TCP_SERVER").unwrap_or(shell_words::quote(path).into());
    let command = format!("ulimit -n 40; exec {command} {arguments}");
    Program::start("/bin/sh", &["-c", &command])
}

/// No draft: it is about the client.
/// Hint: A name can stand for several addresses, and the first one need not answer.
#[test]
fn a_name_is_looked_up_and_every_address_tried() {
    let (_server, address) = start_server("127.0.0.1:0");
    // On many systems the first address of this name is ::1, where nobody listens.
    let server = format!("localhost:{}", address.port());
    let client = Program::run(env!("CARGO_BIN_EXE_async-tcp-client"), &[&server]);
    let shown = client.output.first().map(String::as_str);
    assert_eq!(shown, Some("Received echo: Hello, world"), "{}", client.errors);
}

/// A server that is not started is one cause of many.
/// No draft: it is about the client.
/// Hint: Only a refused connection suggests that no server is running; look at the
/// kind of the error.
#[test]
fn the_hint_is_given_only_where_it_fits() {
    // To this address nobody may connect, and a name that ends so does not exist.
    for elsewhere in ["255.255.255.255:9", "no-such-host.invalid:9"] {
        let client =
            Program::run(env!("CARGO_BIN_EXE_async-tcp-client"), &[elsewhere]);
        assert_eq!(client.code, Some(1), "{elsewhere}");
        let errors = client.errors;
        assert!(!errors.contains("is the server running"), "{elsewhere}: {errors}");
    }
}

/// Claims 37 and 46: whatever one client does, the others are served at once.
/// Hint: Which call waits for one client while the others want something?
/// Wiretap: --cut-after 20B
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

/// No draft: it is about the client.
/// Hint: Which calls of the client can wait for ever, and what bounds them?
/// Wiretap: --freeze 60s
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
        assert_eq!(client.code, Some(1), "{}", client.errors);
        assert_ne!(client.errors, "", "it gives no reason");
    }
}

/// Claim 23 for a client that never reads: the server stops reading from it.
/// Hint: Where are the echoes kept that the client does not read?
#[cfg(target_os = "linux")]
#[test]
fn a_client_that_never_reads_takes_no_memory_of_the_server() {
    let (server, address) = start_server("127.0.0.1:0");
    echo(&connect(address), b"warm");
    let before = status(&server, "VmRSS");
    let mut connection = connect(address);
    connection.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let blocks = (0..4096).take_while(|_| connection.write(&[b'x'; 65_536]).is_ok());
    assert!(blocks.count() < 4096, "256 MiB went into nowhere");
    let grown = status(&server, "VmRSS").saturating_sub(before);
    assert!(grown < 512, "{grown} kB more");
}

/// Hint: Accepting can fail; should that end the server, or make it try again without
/// a pause?
#[cfg(unix)]
#[test]
fn out_of_open_files_the_server_pauses_accepting_and_serves_on() {
    let mut server = start_with_few_files("127.0.0.1:0");
    let address = server.address("Async TCP server listening on ");
    let mut connections: Vec<TcpStream> = (0..60).map(|_| connect(address)).collect();
    server.wait_for_error("Cannot accept");
    echo(&connections[0], b"served on");
    // Those that waited are served as soon as others have left.
    connections.drain(..40);
    connections.iter().for_each(|connection| drop(echo(connection, b"at last")));
    let complaints = server.kill().errors.lines().count();
    assert!(complaints < 300, "it complains without a pause: {complaints} times");
}

/// No draft: it is about the client.
/// Hint: Not every failed connection is the fault of the server; look at the kind of
/// the error.
#[cfg(unix)]
#[test]
fn a_client_out_of_open_files_says_so_and_hints_at_nothing_else() {
    let (_server, address) = start_server("127.0.0.1:0");
    let path = env!("CARGO_BIN_EXE_async-tcp-client");
    let command = env::var("ASYNC_TCP_CLIENT");
    let command = command.unwrap_or(shell_words::quote(path).into());
    let command =
        format!("ulimit -n 40; exec {command} {address} --clients 60 --hold 1");
    let client = Program::run("/bin/sh", &["-c", &command]);
    assert_eq!(client.code, Some(1), "{}", client.errors);
    assert!(!client.errors.contains("is the server running"), "{}", client.errors);
}

/// No draft: it is about the client.
/// Hint: One failed connection is no reason to forget the others.
#[test]
fn the_client_counts_the_echoes_that_came_when_one_does_not() {
    let (fake, _thread) = start_fake_server(|mut connection| {
        let mut message = Vec::new();
        let _ = connection.read_to_end(&mut message);
        let _ = connection.write_all(&message);
    });
    // The fake server serves one client and is gone.
    let client = run_client(fake, &["--clients", "3"]);
    assert_eq!(client.code, Some(1), "{}", client.errors);
    assert!(client.errors.contains("1 of 3 echoed"), "{}", client.errors);
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
    let peer = connection.local_addr().unwrap();
    server.wait_for(&format!("Received from {peer}: \u{fffd}\u{fffd}\u{fffd}"));
    // The echo of the first half shows that the server read it alone.
    assert_eq!(echo(&connection, b"a\xc3"), b"a\xc3");
    assert_eq!(echo(&connection, b"\xa7b"), b"\xa7b");
    server.wait_for(&format!("Received from {peer}: a\u{fffd}"));
    server.wait_for(&format!("Received from {peer}: \u{fffd}b"));
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
        Some(&format!("Received echo: {shown}")),
        "{}",
        client.errors
    );
    assert!(server.wait_for("Received from ").ends_with(&format!(": {shown}")));
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

/// No draft: it is about the client.
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
        client.errors.contains("a wrong echo: Hello, moon!"),
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
    assert!(run_client(short, &[]).errors.ends_with("a wrong echo: Hello"));
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
}
