//! What a real network does: pieces, limits, and peers that are slow, vanish, or mean
//! harm. It judges a program by its behaviour alone.
// Some tests need what only Linux or Unix has.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

mod program;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use std::{env, fs, thread};

use program::{Ended, PATIENCE, Program};
use socket2::{Domain, SockRef, Socket, Type};

const LINES: Server = Server {
    program: env!("CARGO_BIN_EXE_lines-server"),
    variable: "LINES_SERVER",
    ready: "Lines server listening on ",
};
const FRAMES: Server = Server {
    program: env!("CARGO_BIN_EXE_frames-server"),
    variable: "FRAMES_SERVER",
    ready: "Frames server listening on ",
};
const CLIENTS: [&str; 2] =
    [env!("CARGO_BIN_EXE_lines-client"), env!("CARGO_BIN_EXE_frames-client")];

struct Server {
    program: &'static str,
    /// Holds the command of another program that takes its place.
    variable: &'static str,
    ready: &'static str,
}

impl Server {
    fn start(&self) -> (Program, SocketAddr) {
        self.start_at("127.0.0.1:0")
    }

    fn start_at(&self, address: &str) -> (Program, SocketAddr) {
        let mut server = Program::start(self.program, &[address]);
        let address = server.address(self.ready);
        (server, address)
    }

    /// A message of this server's protocol that asks for something small.
    fn request(&self) -> Vec<u8> {
        if self.ready == LINES.ready { b"get a\n".to_vec() } else { frame(GET_A) }
    }

    /// Makes the reply to that request longer than the request.
    fn keep_a_value(&self, address: SocketAddr) {
        let value = "v".repeat(4000);
        let set = if self.ready == LINES.ready {
            format!("set a {value}\n").into_bytes()
        } else {
            frame(format!(r#"{{"do":"set","key":"a","value":"{value}"}}"#))
        };
        talk(address, &set);
    }

    /// Sends a request and returns whether an answer came.
    fn answers(&self, mut connection: &TcpStream) -> bool {
        connection.write_all(&self.request()).expect("it takes no request");
        connection.read(&mut [0; 100]).expect("no answer came") > 0
    }
}

const GET_A: &str = r#"{"do":"get","key":"a"}"#;
const LIST: &str = r#"{"do":"list"}"#;

fn run_client(program: &str, server: SocketAddr, requests: &[&str]) -> Ended {
    let address = server.to_string();
    Program::run(program, &[&[&address as &str], requests].concat())
}

/// A connection of the test's own, to send what the client program would not.
fn connect(server: SocketAddr) -> TcpStream {
    let connection = TcpStream::connect_timeout(&server, PATIENCE).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.set_write_timeout(Some(PATIENCE)).unwrap();
    connection.set_nodelay(true).unwrap();
    connection
}

/// Sends bytes and the end of the stream; returns all that comes back.
fn talk(server: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut connection = connect(server);
    connection.write_all(bytes).unwrap();
    connection.shutdown(Shutdown::Write).unwrap();
    read_to_end(&connection)
}

fn read_to_end(mut connection: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes).expect("expected the end of the stream");
    bytes
}

/// The lines that come back.
fn lines(server: SocketAddr, requests: impl AsRef<[u8]>) -> Vec<String> {
    let replies = String::from_utf8(talk(server, requests.as_ref())).unwrap();
    replies.lines().map(str::to_string).collect()
}

fn frame(json: impl AsRef<[u8]>) -> Vec<u8> {
    let json = json.as_ref();
    [&(json.len() as u32).to_be_bytes(), json].concat()
}

/// The JSON of each frame that comes back.
fn frames(server: SocketAddr, sent: &[u8]) -> Vec<String> {
    let replies = talk(server, sent);
    let (mut rest, mut frames) = (&replies[..], Vec::new());
    while let Some((length, after)) = rest.split_first_chunk() {
        let (json, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        frames.push(String::from_utf8(json.to_vec()).unwrap());
        rest = after;
    }
    assert_eq!(rest, b"", "the last frame is not whole");
    frames
}

fn is_error(reply: &str) -> bool {
    reply.starts_with("error ") || reply.starts_with(r#"{"error":"#)
}

/// Closing with nothing to linger for sends a reset instead of an orderly end.
fn reset(connection: TcpStream) {
    SockRef::from(&connection).set_linger(Some(Duration::ZERO)).unwrap();
}

/// What the kernel says of a process, in kB or as a number.
#[cfg(target_os = "linux")]
fn status(program: &Program, field: &str) -> u64 {
    let status =
        fs::read_to_string(format!("/proc/{}/status", program.child.id())).unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    value.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

/// A client that meets this instead of the real server.
fn start_fake_server(
    serve: impl FnOnce(TcpStream) + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, thread::spawn(move || serve(listener.accept().unwrap().0)))
}

// Pieces, and several messages at once.

/// Hint: What does the server do with what it has read beyond the end of a message,
/// or short of it?
/// Wiretap: --slice 1
#[test]
fn lines_in_single_bytes_and_all_at_once_get_the_same_replies() {
    let requests = "set a olá\r\nget a\nlist\nhello\nquit\n";
    let (_server, address) = LINES.start();
    let at_once = lines(address, requests);
    assert_eq!((at_once.len(), &*at_once[1]), (5, "value olá"));
    let mut connection = connect(address);
    for byte in requests.bytes() {
        connection.write_all(&[byte]).unwrap();
    }
    let in_pieces = String::from_utf8(read_to_end(&connection)).unwrap();
    assert_eq!(in_pieces.lines().collect::<Vec<_>>(), at_once);
}

/// No draft: it is about the frames.
/// Hint: What does the server do with what it has read beyond the end of a message,
/// or short of it?
/// Wiretap: --slice 1
#[test]
fn frames_in_single_bytes_and_all_at_once_get_the_same_replies() {
    let set = r#"{"do":"set","key":"a","value":"olá"}"#;
    let requests = [frame(set), frame(GET_A), frame(LIST), frame("{}")].concat();
    let (_server, address) = FRAMES.start();
    let at_once = frames(address, &requests);
    assert_eq!((at_once.len(), &*at_once[1]), (4, r#"{"value":"olá"}"#));
    let mut connection = connect(address);
    for byte in requests {
        connection.write_all(&[byte]).unwrap();
    }
    connection.shutdown(Shutdown::Write).unwrap();
    let expected: Vec<u8> = at_once.iter().flat_map(frame).collect();
    assert_eq!(read_to_end(&connection), expected);
}

/// The pieces are apart in time, so that each is a read of its own: the answer to the
/// whole line before shows that the server has read as far as that.
/// Hint: What marks the end of a message, and what if it has not arrived yet?
/// Wiretap: --slice 4 --rate 80B/s
#[test]
fn a_message_is_answered_when_it_is_complete_and_not_before() {
    let (_server, address) = LINES.start();
    let mut connection = connect(address);
    connection.write_all(b"set a 1\nget").unwrap();
    let mut reader = BufReader::new(connection.try_clone().unwrap()).lines();
    let reply = reader.next().expect("the server hung up").expect("no reply came");
    assert_eq!(reply, "ok");
    connection.write_all(b" a\nget a").unwrap();
    assert_eq!(reader.next().unwrap().unwrap(), "value 1");
    connection.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let early = reader.next().unwrap().unwrap_err();
    assert!([ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&early.kind()));
}

/// Hint: One read may bring many requests; does each of them get its reply?
/// Wiretap: --freeze 1s
#[test]
fn ten_thousand_requests_at_once_get_ten_thousand_replies() {
    for server in [LINES, FRAMES] {
        let (_server, address) = server.start();
        let connection = connect(address);
        let sent = server.request().repeat(10_000);
        let one = talk(address, &server.request());
        let replies = thread::scope(|scope| {
            scope.spawn(|| {
                (&connection).write_all(&sent).unwrap();
                connection.shutdown(Shutdown::Write).unwrap();
            });
            read_to_end(&connection)
        });
        assert!(replies == one.repeat(10_000), "{} bytes came back", replies.len());
    }
}

// Limits of a message.

/// Hint: Does the limit count the end of the line, and is the check for more, or for
/// as much?
/// Wiretap: --as lines
#[test]
fn a_line_of_4096_bytes_is_kept_and_a_longer_one_ends_the_connection() {
    let (_server, address) = LINES.start();
    let value = "v".repeat(4096 - "set a \n".len());
    let replies = lines(address, format!("set a {value}\nget a\n"));
    assert_eq!(replies, ["ok", &format!("value {value}")]);
    let replies = lines(address, format!("list\nset b {value}v\nlist\n"));
    assert_eq!((replies.len(), &*replies[0]), (2, "keys a"), "{replies:?}");
    assert!(is_error(&replies[1]), "{replies:?}");
    assert_eq!(lines(address, "list\n"), ["keys a"], "the long line was carried out");
}

/// The client sends 16 MiB and only then reads: the error must still be there.
/// Hint: Closing a connection with bytes that were not read resets it, and what was
/// sent last may be lost.
/// Wiretap: --as lines
#[test]
fn what_follows_a_line_that_is_too_long_does_not_destroy_the_error() {
    let (_server, address) = LINES.start();
    let replies = lines(address, vec![b'x'; 16 << 20]);
    assert_eq!(replies.len(), 1);
    assert!(is_error(&replies[0]), "{replies:?}");
}

/// Hint: When is the length of a line checked: at its end, or while it arrives?
/// Wiretap: --as lines
#[test]
fn a_line_without_an_end_is_refused_while_it_is_still_coming() {
    let (_server, address) = LINES.start();
    let mut connection = connect(address);
    connection.write_all(&[b'x'; 5000]).unwrap();
    // The client does not close: the end of the stream is the server's own.
    let reply = String::from_utf8(read_to_end(&connection)).unwrap();
    assert!(is_error(&reply), "{reply}");
}

/// No draft: it is about the frames.
/// Hint: Is the check for more than the limit, or for as much?
/// Wiretap: --as frames
#[test]
fn a_frame_of_32768_bytes_is_answered() {
    let (_server, address) = FRAMES.start();
    let value = "v".repeat(32_768 - r#"{"do":"set","key":"a","value":""}"#.len());
    let set = frame(format!(r#"{{"do":"set","key":"a","value":"{value}"}}"#));
    let replies = frames(address, &[set, frame(GET_A)].concat());
    assert!(replies == [r#"{"ok":true}"#, &format!(r#"{{"value":"{value}"}}"#)]);
}

/// 32,769; the largest; what is negative for those who read it so; a line of text.
/// No draft: it is about the frames.
/// Hint: The length comes first; what can be decided before anything else has
/// arrived?
/// Wiretap: --as frames
#[test]
fn a_length_over_the_limit_is_refused_at_once_and_ends_the_connection() {
    let (_server, address) = FRAMES.start();
    for length in [[0, 0, 0x80, 1], [0xff; 4], [0x80, 0, 0, 0], *b"list"] {
        let mut connection = connect(address);
        connection.write_all(&[frame(LIST), length.to_vec()].concat()).unwrap();
        // Nothing of the frame itself has been sent, and the client does not close.
        let replies = read_to_end(&connection);
        let listed = frame(r#"{"keys":[]}"#);
        let error = replies.strip_prefix(&listed[..]).expect("no reply to the list");
        let error = String::from_utf8_lossy(&error[4..]);
        assert!(is_error(&error), "{length:?}: {error}");
    }
    // The client sends 16 MiB and only then reads: the error must still be there.
    let replies = frames(address, &vec![0xff; 16 << 20]);
    assert!(is_error(&replies[0]) && replies.len() == 1, "{replies:?}");
}

/// It sends for longer than the server would wait in silence.
/// No draft: it is about the frames.
/// Hint: Closing a connection with bytes that were not read resets it, and what was
/// sent last may be lost.
/// Wiretap: --as frames
#[test]
fn a_client_that_goes_on_sending_after_a_length_over_the_limit_gets_the_error() {
    let (_server, address) = FRAMES.start();
    let mut connection = connect(address);
    connection.write_all(&[0xff; 4]).unwrap();
    for _ in 0..50 {
        connection.write_all(&[0; 1000]).unwrap();
        thread::sleep(Duration::from_millis(100));
    }
    connection.shutdown(Shutdown::Write).unwrap();
    let replies = read_to_end(&connection);
    let error = String::from_utf8_lossy(&replies[4..]);
    assert!(is_error(&error), "{error}");
}

/// No draft: it is about the frames.
/// Hint: Anybody can send four bytes that promise four gigabytes; when is memory
/// taken for them?
/// Wiretap: --as frames
#[cfg(target_os = "linux")]
#[test]
fn nothing_is_allocated_for_a_length_over_the_limit_and_little_for_one_within() {
    let (server, address) = FRAMES.start();
    assert!(FRAMES.answers(&connect(address)));
    let before = status(&server, "VmPeak:");
    let mut connections = Vec::new();
    for length in [u32::MAX, 1 << 30, 100 << 20].repeat(20) {
        let mut connection = connect(address);
        connection.write_all(&length.to_be_bytes()).unwrap();
        read_to_end(&connection);
        connections.push(connection);
    }
    let grown = status(&server, "VmPeak:") - before;
    assert!(grown < 50 << 10, "it took {grown} kB for frames that never came");
}

/// No draft: it is about the frames.
/// Hint: Nothing is no valid JSON, and it ends nothing.
/// Wiretap: --as frames
#[test]
fn a_frame_of_length_0_is_an_error_and_the_connection_goes_on() {
    let (_server, address) = FRAMES.start();
    let replies = frames(address, &[vec![0; 8], frame(LIST)].concat());
    assert!(is_error(&replies[0]) && is_error(&replies[1]), "{replies:?}");
    assert_eq!(replies[2..], [r#"{"keys":[]}"#]);
}

/// No draft: it is about the frames.
/// Hint: A parser that calls itself for each bracket can run out of stack.
/// Wiretap: --as frames
#[test]
fn json_that_is_nested_too_deep_is_an_error_and_the_connection_goes_on() {
    let (_server, address) = FRAMES.start();
    let deep = frame([b'['; 30_000]);
    let replies = frames(address, &[deep, frame(LIST)].concat());
    assert!(is_error(&replies[0]), "{replies:?}");
    assert_eq!(replies[1..], [r#"{"keys":[]}"#]);
}

// Bytes that are not text.

/// Hint: What happens to the connection when a line cannot be decoded, and what is
/// printed of it?
/// Wiretap: --as lines --hex
#[test]
fn a_line_that_is_not_text_is_an_error_and_the_connection_goes_on() {
    let (mut server, address) = LINES.start();
    let not_text: [&[u8]; 5] = [
        b"set a \xff",
        b"\xc3",
        b"set a \x1b[2J",
        b"set \0 1",
        "set a \u{9b}".as_bytes(),
    ];
    let sent = [&not_text.join(&b'\n')[..], b"\nlist\n"].concat();
    let replies = lines(address, sent);
    let (last, errors) = replies.split_last().unwrap();
    assert_eq!((errors.len(), &**last), (5, "keys"), "{replies:?}");
    assert!(errors.iter().all(|reply| is_error(reply)), "{replies:?}");
    assert!(server.wait_for("Received from ").ends_with(": set a \u{fffd}"));
    server.wait_for("Received from ");
    assert!(server.wait_for("Received from ").ends_with(": set a \u{fffd}[2J"));
}

/// A value may hold control characters. On the terminals of server and client they must
/// do nothing.
/// No draft: it is about the frames.
/// Hint: What happens to the connection when a frame cannot be decoded, and what is
/// printed of it?
/// Wiretap: --as frames --hex
#[test]
fn frames_that_are_not_utf_8_are_an_error_and_control_characters_are_not_printed() {
    let (mut server, address) = FRAMES.start();
    let set = "{\"do\":\"set\",\"key\":\"a\",\"value\":\"\u{9b}2J\"}";
    let replies =
        frames(address, &[frame(b"{\"do\":\"\xff\"}"), frame(set)].concat());
    assert!(is_error(&replies[0]), "{replies:?}");
    assert_eq!(replies[1..], [r#"{"ok":true}"#]);
    server.wait_for("Received from ");
    assert!(server.wait_for("Received from ").ends_with("\"value\":\"\u{fffd}2J\"}"));
    let client = run_client(CLIENTS[1], address, &["get a"]);
    assert_eq!(client.output[2], "Received: {\"value\":\"\u{fffd}2J\"}");
}

// Peers that vanish.

/// Half of `set a 100` may look like `set a 10`.
/// Hint: The stream can end in the middle of a message; what is done with the half?
/// Wiretap: --cut-after 15B
#[test]
fn half_a_message_is_never_carried_out() {
    let (mut server, address) = LINES.start();
    // One client ends its stream in an orderly way, and one vanishes.
    let replies = lines(address, "set a 10");
    assert!(is_error(&replies[0]) && replies.len() == 1, "{replies:?}");
    let mut vanishing = connect(address);
    vanishing.write_all(b"list\nset a 10").unwrap();
    vanishing.read_exact(&mut [0; 5]).unwrap();
    reset(vanishing);
    server.wait_for_error("Lost connection with ");
    assert_eq!(lines(address, "list\n"), ["keys"]);

    let (mut server, address) = FRAMES.start();
    let set = frame(r#"{"do":"set","key":"a","value":"1"}"#);
    for length in [1, 3, 5, set.len() - 1] {
        let replies = frames(address, &set[..length]);
        assert!(is_error(&replies[0]) && replies.len() == 1, "{length}: {replies:?}");
    }
    let mut vanishing = connect(address);
    vanishing.write_all(&[&frame(LIST), &set[..20]].concat()).unwrap();
    vanishing.read_exact(&mut [0; 5]).unwrap();
    reset(vanishing);
    server.wait_for_error("Lost connection with ");
    assert_eq!(frames(address, &frame(LIST)), [r#"{"keys":[]}"#]);
}

// Peers that do harm to others.

/// Hint: How long may the writing of one reply take, and what waits meanwhile?
#[test]
fn a_client_that_sends_and_never_reads_harms_nobody_and_is_let_go() {
    // Both at the same time, since both take their time.
    thread::scope(|scope| {
        scope.spawn(|| send_and_never_read(LINES));
        scope.spawn(|| send_and_never_read(FRAMES));
    });
}

fn send_and_never_read(kind: Server) {
    let (mut server, address) = kind.start();
    // A write that took a part of a reply is tried once more, for as long again.
    server.patience *= 2;
    kind.keep_a_value(address);
    let waiting = connect(address);
    let mut sending = connect(address);
    let peer = sending.local_addr().unwrap();
    sending.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let requests = kind.request().repeat(10_000);
    #[cfg(target_os = "linux")]
    let before = status(&server, "VmRSS:");
    // The kernel's buffers on the way are a few MiB at most.
    let full = (0..4096).map(|_| sending.write(&requests)).find(Result::is_err);
    full.expect("256 MiB went into nowhere").unwrap_err();
    #[cfg(target_os = "linux")]
    {
        let grown = status(&server, "VmRSS:").saturating_sub(before);
        assert!(grown < 8 << 10, "{grown} kB for requests that wait");
    }
    assert!(kind.answers(&waiting), "one that was there is not served");
    assert!(kind.answers(&connect(address)), "a new one is not served");
    server.wait_for_error(&format!("Lost connection with {peer}: "));
}

/// A client that reads slowly is served to the end.
/// Hint: A client that reads slowly is not one that does not read at all.
/// Wiretap: --rate 20kB/s
#[test]
fn a_slow_reader_gets_all_replies() {
    for kind in [LINES, FRAMES] {
        let (_server, address) = kind.start();
        let connection = connect(address);
        SockRef::from(&connection).set_recv_buffer_size(64 * 1024).unwrap();
        let one = talk(address, &kind.request());
        let (count, mut received) = (50_000, 0);
        let requests = kind.request().repeat(count);
        thread::scope(|scope| {
            scope.spawn(|| {
                (&connection).write_all(&requests).unwrap();
                connection.shutdown(Shutdown::Write).unwrap();
            });
            let mut block = vec![0; 64 * 1024];
            for number in 0.. {
                // Slowness is what is tested here; nothing waits for it.
                let pause = if number < 50 { 10 } else { 0 };
                thread::sleep(Duration::from_millis(pause));
                match (&connection).read(&mut block).unwrap() {
                    0 => break,
                    length => received += length,
                }
            }
        });
        assert_eq!(received, count * one.len());
    }
}

/// Hint: How much of a line is kept while its end has not come?
#[cfg(target_os = "linux")]
#[test]
fn a_line_without_an_end_takes_no_memory() {
    let (server, address) = LINES.start();
    assert!(LINES.answers(&connect(address)));
    let before = status(&server, "VmRSS:");
    let mut connection = connect(address);
    for _ in 0..64 {
        connection.write_all(&vec![b'x'; 1 << 20]).unwrap();
    }
    let grown = status(&server, "VmRSS:").saturating_sub(before);
    assert!(grown < 4 << 10, "{grown} kB for one line");
}

/// Hint: Which call waits for one client while the others want something?
/// Wiretap: --cut-after 20B
#[test]
fn idle_and_resetting_clients_harm_nobody() {
    for kind in [LINES, FRAMES] {
        let (_server, address) = kind.start();
        let idle = connect(address);
        for _ in 0..20 {
            reset(connect(address));
            let half = connect(address);
            (&half).write_all(&kind.request()[..3]).unwrap();
            reset(half);
        }
        assert!(kind.answers(&connect(address)), "a new client is not served");
        assert!(kind.answers(&idle), "the idle client is not served");
    }
}

/// Hint: How many clients can be connected at a time, and how many can wait to be?
#[test]
fn three_hundred_clients_at_once_are_all_served() {
    for kind in [LINES, FRAMES] {
        let (_server, address) = kind.start();
        rlimit::increase_nofile_limit(4096).unwrap();
        let connections: Vec<_> = (0..300).map(|_| connect(address)).collect();
        // All are connected before the first one asks, and all ask before one reads.
        for mut connection in &connections {
            connection.write_all(&kind.request()).unwrap();
        }
        for mut connection in &connections {
            assert!(connection.read(&mut [0; 100]).expect("no answer came") > 0);
        }
    }
}

/// Hint: A limit on the clients means waiting, and each client that leaves gives its
/// place back.
#[test]
fn the_next_client_after_a_thousand_waits_for_one_to_leave() {
    rlimit::increase_nofile_limit(4096).unwrap();
    for kind in [LINES, FRAMES] {
        let (mut server, address) = kind.start();
        let mut connections: Vec<_> = (0..1000).map(|_| connect(address)).collect();
        server.wait_for_error("Cannot serve a client: ");
        let mut waiting = connect(address);
        waiting.write_all(&kind.request()).unwrap();
        waiting.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        waiting.read(&mut [0; 100]).expect_err("it was served, or turned away");
        connections.pop();
        waiting.set_read_timeout(Some(PATIENCE)).unwrap();
        let served = waiting.read(&mut [0; 100]);
        let served = served.unwrap_or_else(|error| {
            panic!("the next one gets {error}. {}", server.kill().errors)
        });
        assert!(served > 0, "it is turned away");
    }
}

/// Hint: Accepting can fail; should that end the server, or make it try again without
/// a pause?
#[cfg(unix)]
#[test]
fn out_of_open_files_a_server_pauses_accepting_and_serves_on() {
    for kind in [LINES, FRAMES] {
        let own = shell_words::quote(kind.program).into();
        let command = env::var(kind.variable).unwrap_or(own);
        let command = format!("ulimit -n 40; exec {command} 127.0.0.1:0");
        let mut server = Program::start("/bin/sh", &["-c", &command]);
        let address = server.address(kind.ready);
        let mut connections: Vec<_> = (0..60).map(|_| connect(address)).collect();
        server.wait_for_error("Cannot serve a client: ");
        assert!(kind.answers(&connections[0]), "one that was there is not served");
        // Those who waited are served as soon as others have left.
        connections.drain(..40);
        assert!(connections.iter().all(|connection| kind.answers(connection)));
        let complaints = server.kill().errors.lines().count();
        assert!(complaints < 300, "it complains without a pause: {complaints} times");
    }
}

// A store that a peer could fill.

/// Hint: Is a key that is there already a new key, and is the length of a key counted
/// in bytes?
/// Wiretap: --as lines
#[test]
fn the_store_takes_a_hundred_keys_of_32_bytes_and_no_more() {
    let (_server, address) = LINES.start();
    let key = |number: usize| format!("{number:032}");
    let set: String = (0..101).map(|n| format!("set {} {n}\n", key(n))).collect();
    let replies = lines(address, set);
    assert_eq!(replies[..100], ["ok"; 100]);
    assert!(is_error(&replies[100]), "{}", replies[100]);
    // A key that is there may still be set, and the list of all fits a line.
    let replies = lines(address, format!("set {} new\nget {0}\nlist\n", key(7)));
    assert_eq!(replies[..2], ["ok", "value new"]);
    assert_eq!(replies[2].split(' ').count(), 101);
    assert!(replies[2].len() < 4096);
    let (_server, address) = LINES.start();
    for long in [key(7) + "x", "é".repeat(17)] {
        let replies = lines(address, format!("set {long} 1\n"));
        assert!(is_error(&replies[0]), "a key of more than 32 bytes: {long}");
    }
}

/// A control character in a key takes six bytes in JSON.
/// No draft: it is about the frames.
/// Hint: How long can a key become when it is written as JSON?
/// Wiretap: --as frames
#[test]
fn the_store_behind_frames_takes_a_hundred_keys_and_a_list_of_them_fits_a_frame() {
    let (_server, address) = FRAMES.start();
    let control = r"\u0001".repeat(30);
    let set = |number: usize| {
        frame(format!(r#"{{"do":"set","key":"{control}{number:02}","value":""}}"#))
    };
    let replies = frames(address, &(0..100).flat_map(set).collect::<Vec<_>>());
    assert_eq!(replies, [r#"{"ok":true}"#; 100]);
    let more = r#"{"do":"set","key":"more","value":""}"#;
    let replies = frames(address, &[frame(more), set(7), frame(LIST)].concat());
    assert!(is_error(&replies[0]), "{replies:?}");
    assert_eq!(replies[1], r#"{"ok":true}"#);
    assert_eq!(replies[2].matches(&control).count(), 100);
    let (_server, address) = FRAMES.start();
    for wrong in ["x".repeat(33), "é".repeat(17), String::new()] {
        let set = frame(format!(r#"{{"do":"set","key":"{wrong}","value":""}}"#));
        let replies = frames(address, &set);
        assert!(is_error(&replies[0]), "a key of {} bytes", wrong.len());
    }
}

/// Hint: What is kept beside the keys and the values themselves?
#[cfg(target_os = "linux")]
#[test]
fn a_full_store_takes_little_memory() {
    let (server, address) = LINES.start();
    let before = status(&server, "VmRSS:");
    let value = "v".repeat(4000);
    let set: String = (0..2000).map(|n| format!("set key{n} {value}\n")).collect();
    lines(address, set);
    let grown = status(&server, "VmRSS:").saturating_sub(before);
    assert!(grown < 4 << 10, "{grown} kB for 100 values of 4 kB");
}

// The clients.

/// What arrives is one reply in pieces, then two at once.
/// No draft: it is about the clients.
/// Hint: How does the client find the end of a reply, and what does it do with the
/// bytes behind it?
/// Wiretap: --slice 1
#[test]
fn the_clients_read_replies_in_pieces_and_several_at_once() {
    let pieces = |sent: [Vec<u8>; 4]| {
        start_fake_server(move |mut connection| {
            let _ = connection.set_nodelay(true);
            let _ = connection.read(&mut [0; 1000]);
            for piece in sent {
                let _ = connection.write_all(&piece);
                // Slowness is what is tested here; nothing waits for it.
                thread::sleep(Duration::from_millis(100));
            }
            let _ = connection.read_to_end(&mut Vec::new());
        })
    };
    let sent = ["va", "lue ol\u{e1}", "\r", "\nok\nkeys a\n"];
    let (server, _thread) = pieces(sent.map(|text| text.as_bytes().to_vec()));
    let client = run_client(CLIENTS[0], server, &["get a", "set a 1", "list"]);
    assert_eq!(client.code, Some(0), "{}", client.errors);
    let received = ["Received: value olá", "Received: ok", "Received: keys a"];
    assert_eq!(client.output[4..], received);
    let whole =
        [frame(r#"{"value":"1"}"#), frame(r#"{"ok":true}"#), frame("{}")].concat();
    let sent = [&whole[..2], &whole[2..6], &whole[6..10], &whole[10..]];
    let (server, _thread) = pieces(sent.map(<[u8]>::to_vec));
    let client = run_client(CLIENTS[1], server, &["get a", "set a 1", "list"]);
    assert_eq!(client.code, Some(0), "{}", client.errors);
    let received =
        [r#"Received: {"value":"1"}"#, r#"Received: {"ok":true}"#, "Received: {}"];
    assert_eq!(client.output[4..], received);
}

/// No draft: it is about the clients.
/// Hint: How long may a reply be, and how much of it did the person ask for?
#[test]
fn the_longest_reply_is_printed_whole() {
    for (kind, client, most) in
        [(LINES, CLIENTS[0], 4000), (FRAMES, CLIENTS[1], 32_000)]
    {
        let (_server, address) = kind.start();
        let value = "v".repeat(most);
        let set = format!("set a {value}");
        let client = run_client(client, address, &[&set, "get a"]);
        assert_eq!(client.code, Some(0), "{:.200}", client.errors);
        assert!(client.output[4].contains(&value), "{:.200}", client.output[4]);
    }
}

/// No draft: it is about the clients.
/// Hint: Which calls of the client can wait for ever, and what bounds them?
/// Wiretap: --freeze 60s
#[test]
fn a_silent_server_does_not_hold_a_client_for_long() {
    let clients = CLIENTS.map(|program| {
        let (silent, _thread) = start_fake_server(|mut connection| {
            let _ = connection.read_to_end(&mut Vec::new());
        });
        Program::start(program, &[&silent.to_string(), "list"])
    });
    for client in clients {
        let client = client.end();
        assert_eq!(client.code, Some(1), "{}", client.errors);
        assert!(client.errors.starts_with("Error: no reply"), "{}", client.errors);
        // Each says in its own words that the time was up.
        let timed_out = ["timed out", "elapsed"];
        let said = timed_out.iter().any(|words| client.errors.contains(words));
        assert!(said, "{}", client.errors);
    }
}

/// A server that ends its stream too early or in the middle of a reply, or never.
/// No draft: it is about the clients.
/// Hint: How many replies are expected, and how long may one be?
/// Wiretap: --cut-after 40B
#[test]
fn a_missing_a_half_and_an_endless_reply_are_errors() {
    let half: [&'static [u8]; 2] = [b"value hal", b"\0\0\0\x09half"];
    let endless: [&'static [u8]; 2] = [&[b'x'; 4096], &[0xff; 4096]];
    for (place, program) in CLIENTS.into_iter().enumerate() {
        for sent in [b"", half[place]] {
            let (server, _thread) = start_fake_server(move |mut connection| {
                let _ = connection.read(&mut [0; 100]);
                let _ = connection.write_all(sent);
            });
            let client = run_client(program, server, &["list"]);
            assert_eq!(client.code, Some(1), "after {sent:?}: {:?}", client.output);
            assert!(
                client.errors.starts_with("Error: no reply"),
                "{}",
                client.errors
            );
            if sent.is_empty() {
                let why = "the server has ended the stream";
                assert!(client.errors.contains(why), "{}", client.errors);
            }
        }
        let (server, _thread) =
            start_fake_server(
                move |mut connection| {
                    while connection.write_all(endless[place]).is_ok() {}
                },
            );
        let client = run_client(program, server, &["list"]);
        assert_eq!(client.code, Some(1), "{:?}", client.output);
        assert!(client.errors.contains("no reply"), "{}", client.errors);
    }
}

/// No draft: it is about the clients.
/// Hint: What would the terminal do with these characters if they were printed as
/// they are?
/// Wiretap: --hex
#[test]
fn a_peers_control_characters_do_not_reach_the_terminal() {
    let (server, _thread) = start_fake_server(|mut connection| {
        let _ = connection.read(&mut [0; 100]);
        let _ = connection.write_all(b"value \x1b[2J\xff\n");
    });
    let client = run_client(CLIENTS[0], server, &["get a"]);
    assert_eq!(client.output[2], "Received: value \u{fffd}[2J\u{fffd}");
}

/// No draft: it is about the clients.
/// Hint: The error should name the address, the reason, and what to try.
#[test]
fn a_closed_port_is_a_clear_error() {
    // Bound but not listening: the port is taken, and closed.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    for program in CLIENTS {
        let client = run_client(program, address, &[]);
        assert_eq!(client.code, Some(1), "{}", client.errors);
        let error = format!("cannot connect to {address}");
        assert!(client.errors.contains(&error), "{}", client.errors);
        assert!(
            client.errors.contains("is the server running?"),
            "{}",
            client.errors
        );
    }
}

/// Hint: The error should name the address and the reason.
#[test]
fn a_port_in_use_is_a_clear_error() {
    for server in [LINES, FRAMES] {
        let (_server, address) = server.start();
        let second = Program::run(server.program, &[&address.to_string()]);
        assert_eq!(second.code, Some(1));
        let error = format!("cannot listen on {address}");
        assert!(second.errors.contains(&error), "{}", second.errors);
    }
}

/// No draft: it is about the arguments.
/// Hint: Exit status 2 is for arguments that cannot be understood, and 1 for what
/// fails afterwards.
#[test]
fn wrong_arguments_exit_with_2_and_an_unknown_name_with_1() {
    for server in [LINES, FRAMES] {
        assert_eq!(Program::run(server.program, &["localhost"]).code, Some(2));
        assert_eq!(Program::run(server.program, &["--max"]).code, Some(2));
    }
    for program in CLIENTS {
        assert_eq!(Program::run(program, &["--max"]).code, Some(2));
        // No name ends in .invalid (RFC 2606).
        let name = "no-such-host.invalid:65435";
        let client = Program::run(program, &[name]);
        assert_eq!(client.code, Some(1), "{}", client.errors);
        let error = format!("cannot connect to {name}");
        assert!(client.errors.contains(&error), "{}", client.errors);
        // The most likely slip: a request where the address belongs.
        let client = Program::run(program, &["get greeting"]);
        assert_eq!(client.code, Some(1));
        assert!(client.errors.contains("HOST:PORT"), "{}", client.errors);
    }
}

/// Without SO_REUSEADDR the second start fails: "address already in use".
/// Hint: Which socket option lets a port be bound while old connections on it time
/// out?
#[test]
fn a_server_restarts_at_once_on_its_port_while_a_client_holds_a_connection() {
    for kind in [LINES, FRAMES] {
        let (server, address) = kind.start();
        let held = connect(address);
        assert!(kind.answers(&held));
        drop(server);
        let (_server, again) = kind.start_at(&address.to_string());
        assert_eq!(again, address);
        assert!(kind.answers(&connect(address)), "a new client is not served");
    }
}

/// A client whose machine lost its power is found by the kernel's own questions.
/// Hint: A machine without power says nothing; which socket option makes the kernel
/// ask?
#[cfg(target_os = "linux")]
#[test]
fn an_accepted_connection_has_a_keepalive_timer() {
    for kind in [LINES, FRAMES] {
        let (_server, address) = kind.start();
        let connection = connect(address);
        assert!(kind.answers(&connection));
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let local = format!("0100007F:{:04X}", address.port());
        // State 01 is an established connection, timer 02 the one for keepalive.
        let sockets =
            table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut timers =
            sockets.filter(|f| f[1] == local && f[3] == "01").map(|f| f[5]);
        let timer = timers.next().expect("no connection is accepted");
        assert!(timer.starts_with("02:"), "the connection has no keepalive timer");
    }
}
