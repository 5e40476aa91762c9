//! Starts the real server and the real client and compares what they print and send
//! with what the lecture promises. It judges a program by its behaviour alone.

mod program;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use std::{fs, thread};

use program::{Ended, PATIENCE, Program, assert_shown};
use socket2::{Domain, Socket, Type};

const README: &str = include_str!("../README.md");
const CLIENT: &str = env!("CARGO_BIN_EXE_ws-client");
const MAX_MESSAGE: usize = 64 * 1024;

// The first byte of a frame: the bit that says that it is the last of its message,
// and its kind.
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;

fn start_server(address: &str) -> (Program, SocketAddr) {
    let mut server = Program::start(env!("CARGO_BIN_EXE_ws-server"), &[address]);
    let address = server.address("WebSocket server on ws://");
    (server, address)
}

fn start_client(server: SocketAddr, more: &[&str]) -> Program {
    let url = format!("ws://{server}");
    Program::start(CLIENT, &[&[&url as &str], more].concat())
}

/// Runs the client with these bytes, as printf takes them, as its input.
fn type_lines(server: SocketAddr, input: &str) -> Ended {
    let command = format!("printf '{input}' | {CLIENT} ws://{server}");
    Program::run("/bin/sh", &["-c", &command])
}

/// A connection of the test's own, to send what the client program would not.
fn connect(server: SocketAddr) -> TcpStream {
    let connection = TcpStream::connect(server).unwrap();
    connection.set_nodelay(true).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.set_write_timeout(Some(PATIENCE)).unwrap();
    connection
}

fn read_to_end(mut connection: &TcpStream) -> String {
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// The request of RFC 6455, section 1.3, and more headers.
fn upgrade_request(host: &str, more: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// Sends a request and returns the head of the response.
fn ask(mut connection: &TcpStream, request: &str) -> String {
    connection.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A WebSocket of the test's own, which can break every rule.
struct Peer {
    tcp: TcpStream,
}

impl Peer {
    fn join(server: SocketAddr) -> Peer {
        let tcp = connect(server);
        let response = ask(&tcp, &upgrade_request(&server.to_string(), ""));
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        Peer { tcp }
    }

    fn port(&self) -> u16 {
        self.tcp.local_addr().unwrap().port()
    }

    fn send(&mut self, kind: u8, payload: &[u8]) {
        self.tcp.write_all(&frame(kind, payload)).unwrap();
    }

    fn say(&mut self, text: &str) {
        self.send(TEXT, text.as_bytes());
    }

    /// The next frame but for the server's own pings: its first byte, and its payload.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        loop {
            let mut head = [0; 2];
            self.tcp.read_exact(&mut head).unwrap();
            let mut length = u64::from(head[1]);
            assert!(length < 128, "a server does not mask");
            if length > 125 {
                let mut long = [0; 8];
                let begin = if length == 126 { 6 } else { 0 };
                self.tcp.read_exact(&mut long[begin..]).unwrap();
                length = u64::from_be_bytes(long);
            }
            let mut payload = vec![0; length as usize];
            self.tcp.read_exact(&mut payload).unwrap();
            if head[0] != PING {
                return (head[0], payload);
            }
            self.send(PONG, &payload);
        }
    }

    fn text(&mut self) -> String {
        let (kind, payload) = self.frame();
        assert_eq!(kind, TEXT, "{}", String::from_utf8_lossy(&payload));
        String::from_utf8(payload).unwrap()
    }

    /// Reads on until the server closes; returns the code and the reason.
    fn closing(&mut self) -> (u16, String) {
        loop {
            let (kind, payload) = self.frame();
            if kind == CLOSE {
                return close_code(&payload);
            }
        }
    }

    /// After the closing handshake it is the server that ends the connection.
    fn assert_ended(&mut self) {
        assert_eq!(self.tcp.read(&mut [0]).unwrap(), 0);
    }
}

fn close_code(payload: &[u8]) -> (u16, String) {
    let code = payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
    (code, String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).to_string())
}

fn close_payload(code: u16) -> Vec<u8> {
    [&code.to_be_bytes(), "bye".as_bytes()].concat()
}

/// A masked frame, as a client has to send it.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xFA, 0x21, 0x3D];
    let mut frame = vec![kind];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length @ ..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(
        payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask),
    );
    frame
}

#[test]
fn server_and_clients_print_what_the_readme_shows() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let mut listener = start_client(address, &["--listen", "--show-upgrade"]);
    listener.wait_for("Connected to server");
    let talker = type_lines(address, "Hello, world\\n");
    assert_eq!(talker.code, Some(0));
    let command = "echo Hello, world | cargo run -p ws-chat --bin ws-client";
    assert_shown(README, command, &talker.output);
    let command = "cargo run -p ws-chat --bin ws-client -- --listen --show-upgrade";
    let mut lines = listener.output_up_to("[");
    // The key is random: the README has that of RFC 6455.
    for (header, value) in [
        ("> sec-websocket-key: ", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("< sec-websocket-accept: ", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ] {
        let line = lines.iter_mut().find(|line| line.starts_with(header)).unwrap();
        *line = format!("{header}{value}");
    }
    assert_shown(README, command, &lines);
    let lines = server.output_up_to("Client disconnected: ");
    assert_shown(README, "cargo run -p ws-chat", &lines);
}

/// Claim 60: HTTP is client-pull: every look for news costs a request and a response.
#[test]
fn ten_polls_cost_over_a_thousand_bytes_and_one_push_costs_a_frame() {
    let (_server, address) = start_server("127.0.0.1:0");
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let polls = (0..10).map(|_| {
        // The page itself is left out: only what every request and response carry.
        request.len() + ask(&connect(address), &request).len()
    });
    let polled: usize = polls.sum();
    let (mut talker, mut listener) = (Peer::join(address), Peer::join(address));
    talker.say("news");
    let pushed = 2 + listener.text().len();
    assert!(polled > 1000 && pushed < 20, "{polled} and {pushed} bytes");
}

/// Claim 61: it starts as an HTTP Upgrade, with the key and the answer of RFC 6455.
#[test]
fn it_starts_as_an_http_upgrade() {
    let (_server, address) = start_server("127.0.0.1:0");
    let response = ask(&connect(address), &upgrade_request(&address.to_string(), ""));
    let response = response.to_ascii_lowercase();
    assert!(
        response.starts_with("http/1.1 101 switching protocols\r\n"),
        "{response}"
    );
    for header in ["upgrade: websocket", "connection: upgrade"] {
        assert!(response.contains(&format!("\r\n{header}\r\n")), "{response}");
    }
    let accept = "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=";
    assert!(response.contains(accept), "{response}");
}

/// Claim 62: one connection stays, and both sides talk at once.
#[test]
fn both_sides_talk_at_once_on_one_connection() {
    let (_server, address) = start_server("127.0.0.1:0");
    let mut peers = [Peer::join(address), Peer::join(address)];
    let ports = [peers[1].port(), peers[0].port()];
    thread::scope(|scope| {
        for (peer, other) in peers.iter_mut().zip(ports) {
            let mut half = Peer { tcp: peer.tcp.try_clone().unwrap() };
            scope.spawn(move || (0..2000).for_each(|n| half.say(&n.to_string())));
            scope.spawn(move || {
                for n in 0..2000 {
                    assert_eq!(peer.text(), format!("[{other}]: {n}"));
                }
            });
        }
    });
}

/// Claim 63: not like raw TCP: messages keep their bounds.
#[test]
fn messages_keep_their_bounds_however_tcp_cuts_them() {
    let (_server, address) = start_server("127.0.0.1:0");
    let (mut talker, mut listener) = (Peer::join(address), Peer::join(address));
    let port = talker.port();
    let three =
        ["one", "", "three"].map(|text| frame(TEXT, text.as_bytes())).concat();
    talker.tcp.write_all(&three).unwrap();
    for text in ["one", "", "three"] {
        assert_eq!(listener.text(), format!("[{port}]: {text}"));
    }
    for byte in frame(TEXT, b"byte by byte") {
        talker.tcp.write_all(&[byte]).unwrap();
    }
    assert_eq!(listener.text(), format!("[{port}]: byte by byte"));
}

/// Claim 64: a message costs 2 bytes down and 6 up, not a set of HTTP headers.
#[test]
fn a_short_message_costs_2_bytes_down_and_6_up() {
    let (_server, address) = start_server("127.0.0.1:0");
    let (mut talker, mut listener) = (Peer::join(address), Peer::join(address));
    let up = frame(TEXT, b"hello");
    assert_eq!(up.len(), 6 + "hello".len());
    talker.tcp.write_all(&up).unwrap();
    let text = format!("[{}]: hello", talker.port());
    // Exactly so many bytes arrive, and not one more before the next message.
    let mut down = vec![0; 2 + text.len()];
    listener.tcp.read_exact(&mut down).unwrap();
    assert_eq!(down, [&[TEXT, text.len() as u8], text.as_bytes()].concat());
    talker.say("next");
    assert_eq!(listener.text(), format!("[{}]: next", talker.port()));
}

/// Claim 65: the server pushes at once, without being asked.
#[test]
fn the_server_pushes_at_once_to_a_client_that_asked_for_nothing() {
    let (_server, address) = start_server("127.0.0.1:0");
    let (mut talker, mut listener) = (Peer::join(address), Peer::join(address));
    let mut times: Vec<Duration> = (0..21)
        .map(|_| {
            let start = Instant::now();
            talker.say("now");
            listener.text();
            start.elapsed()
        })
        .collect();
    times.sort();
    // The workaround on the slide asks every 2 seconds.
    assert!(times[10] < Duration::from_millis(200), "{times:?}");
}

/// Claim 66, as far as the page shows it: lab's tests open it in a real browser.
#[test]
fn the_page_needs_no_library_and_no_other_host() {
    let (_server, address) = start_server("127.0.0.1:0");
    let connection = connect(address);
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let head = ask(&connection, &request);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Content-Type: text/html; charset=utf-8\r\n"), "{head}");
    let page = read_to_end(&connection);
    assert_eq!(page, include_str!("../chat.html"));
    assert!(page.contains("new WebSocket(`${scheme}://${location.host}`)"));
    for outside in ["http://", "https://", "<script src", "import", "innerHTML ="] {
        assert!(!page.contains(outside), "{outside}");
    }
}

/// Claim 67.
#[test]
fn a_message_goes_to_all_others_and_to_none_that_left() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let mut peers = [(); 4].map(|()| Peer::join(address));
    let port = peers[0].port();
    peers[0].say("one");
    for other in &mut peers[1..] {
        assert_eq!(other.text(), format!("[{port}]: one"));
    }
    peers[3].send(CLOSE, &close_payload(1000));
    assert_eq!(peers[3].closing(), (1000, "bye".to_string()));
    server.wait_for(&format!("Client disconnected: 127.0.0.1:{}", peers[3].port()));
    peers[0].say("two");
    peers[1].text();
    peers[2].say("three");
    // The first one's next message is this one: it never gets its own.
    assert_eq!(peers[0].text(), format!("[{}]: three", peers[2].port()));
    peers[3].assert_ended();
}

/// Claim 68: in the slide's server one client that stops reading stalls all.
#[test]
fn a_client_that_does_not_read_is_closed_and_nobody_waits_for_it() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let mut slow = Peer::join(address);
    let (mut talker, mut listener) = (Peer::join(address), Peer::join(address));
    let text = "x".repeat(30_000);
    let mut longest = Duration::ZERO;
    for _ in 0..1200 {
        let start = Instant::now();
        talker.say(&text);
        listener.text();
        longest = longest.max(start.elapsed());
    }
    assert!(longest < Duration::from_secs(2), "they waited {longest:?}");
    // It reads again, and learns why it was closed.
    let (code, reason) = slow.closing();
    assert_eq!(code, 1008);
    assert!(
        reason == "it reads too slowly" || reason == "it does not read",
        "{reason}"
    );
    slow.assert_ended();
    server.wait_for_error(&format!(
        "Lost connection with 127.0.0.1:{}: it ",
        slow.port()
    ));
}

/// Claim 68, and what it may cost the server: a queue, and never more.
#[cfg(target_os = "linux")]
#[test]
fn beside_three_that_never_read_three_talk_on_and_memory_stays_bounded() {
    let (server, address) = start_server("127.0.0.1:0");
    let _never_reading = [(); 3].map(|()| Peer::join(address));
    let mut peers: Vec<Peer> = (0..3).map(|_| Peer::join(address)).collect();
    let text = "x".repeat(1000);
    thread::scope(|scope| {
        for peer in &mut peers {
            let mut half = Peer { tcp: peer.tcp.try_clone().unwrap() };
            let text = &text;
            scope.spawn(move || (0..10_000).for_each(|_| half.say(text)));
            scope.spawn(move || (0..20_000).for_each(|_| drop(peer.text())));
        }
    });
    // 30 MB were said.
    let used = server.status("VmHWM");
    assert!(used < 12_000, "{used} kB");
}

/// Claim 69: the slide's set of clients changes while it is iterated, and that fails.
#[test]
fn joining_and_leaving_during_a_broadcast_loses_no_message() {
    let (_server, address) = start_server("127.0.0.1:0");
    let (mut talker, mut listener) = (Peer::join(address), Peer::join(address));
    let port = talker.port();
    thread::scope(|scope| {
        scope.spawn(move || (0..5000).for_each(|n| talker.say(&n.to_string())));
        for leaves_orderly in [true, false] {
            scope.spawn(move || {
                for _ in 0..200 {
                    let mut passing = Peer::join(address);
                    if leaves_orderly {
                        passing.send(CLOSE, &close_payload(1000));
                        passing.closing();
                    }
                }
            });
        }
        for n in 0..5000 {
            assert_eq!(listener.text(), format!("[{port}]: {n}"));
        }
    });
}

#[test]
fn a_message_may_come_in_fragments_with_a_ping_between() {
    let (_server, address) = start_server("127.0.0.1:0");
    let (mut talker, mut listener) = (Peer::join(address), Peer::join(address));
    talker.send(0x01, b"frag");
    talker.send(PING, b"are you there?");
    assert_eq!(talker.frame(), (PONG, b"are you there?".to_vec()));
    talker.send(0x00, b"");
    // A character of four bytes, in two fragments.
    talker.send(0x00, b"ment \xF0\x9F");
    talker.send(0x80, b"\x98\x80");
    assert_eq!(listener.text(), format!("[{}]: fragment 😀", talker.port()));
    // Text is text, also in a binary message.
    talker.send(0x82, b"binary");
    assert_eq!(listener.text(), format!("[{}]: binary", talker.port()));
}

#[test]
fn a_ping_is_answered_and_a_pong_nobody_asked_for_is_ignored() {
    let (_server, address) = start_server("127.0.0.1:0");
    let mut peer = Peer::join(address);
    for payload in [&b""[..], &[0xFF; 125]] {
        peer.send(PONG, payload);
        peer.send(PING, payload);
        assert_eq!(peer.frame(), (PONG, payload.to_vec()));
    }
}

#[test]
fn a_message_of_64_kib_goes_through_and_a_longer_one_closes_with_1009() {
    let (_server, address) = start_server("127.0.0.1:0");
    let mut listener = Peer::join(address);
    let mut peer = Peer::join(address);
    let text = "x".repeat(MAX_MESSAGE);
    peer.say(&text);
    assert_eq!(listener.text(), format!("[{}]: {text}", peer.port()));
    peer.say(&format!("{text}x"));
    assert_eq!(peer.closing().0, 1009);
    peer.assert_ended();

    let mut peer = Peer::join(address);
    peer.send(0x01, text.as_bytes());
    peer.send(0x80, b"x");
    assert_eq!(peer.closing().0, 1009);
    // Only announced: nobody waits for so much.
    let mut peer = Peer::join(address);
    let huge = [&[TEXT, 0xFF][..], &(u64::MAX >> 1).to_be_bytes(), &[0; 4]].concat();
    peer.tcp.write_all(&huge).unwrap();
    assert_eq!(peer.closing().0, 1009);
}

/// RFC 6455, sections 5 and 7: what breaks them fails the connection, and only it.
#[test]
fn every_class_of_invalid_frame_closes_with_its_code() {
    let (_server, address) = start_server("127.0.0.1:0");
    let mut bystander = Peer::join(address);
    let mut cases: Vec<(String, Vec<u8>, u16)> = Vec::new();
    let mut add =
        |what: String, bytes: Vec<u8>, code| cases.push((what, bytes, code));
    add("no mask".into(), vec![TEXT, 2, b'h', b'i'], 1002);
    for bit in [0x40, 0x20, 0x10] {
        add(format!("reserved bit {bit:x}"), frame(TEXT | bit, b"hi"), 1002);
    }
    for opcode in (0x3..=0x7).chain(0xB..=0xF) {
        add(format!("opcode {opcode:x}"), frame(0x80 | opcode, b"hi"), 1002);
    }
    for kind in [CLOSE, PING, PONG] {
        let parts = [frame(kind & 0x0F, b""), frame(0x80, b"")].concat();
        add(format!("{kind:x} in fragments"), parts, 1002);
        add(format!("{kind:x} too long"), frame(kind, &[b'x'; 126]), 1002);
    }
    add("nothing to continue".into(), frame(0x80, b"hi"), 1002);
    let parts = [frame(0x01, b"one"), frame(TEXT, b"two")].concat();
    add("a message within a message".into(), parts, 1002);
    for bytes in [
        &b"\xFF"[..],
        b"\xC0\xAF",
        b"\xED\xA0\x80",
        b"\xF4\x90\x80\x80",
        b"cut \xE2\x82",
    ] {
        add(format!("no UTF-8: {bytes:x?}"), frame(TEXT, bytes), 1007);
    }
    let parts = [frame(0x01, b"ok \xE2"), frame(0x80, b"(\xA1")].concat();
    add("no UTF-8 across fragments".into(), parts, 1007);
    for (what, bytes, code) in cases {
        let mut peer = Peer::join(address);
        peer.tcp.write_all(&bytes).unwrap();
        assert_eq!(peer.closing().0, code, "{what}");
        peer.assert_ended();
    }
    let mut good = Peer::join(address);
    good.say("still served");
    assert_eq!(bystander.text(), format!("[{}]: still served", good.port()));
}

#[test]
fn a_close_is_answered_with_its_code_and_a_bad_code_with_1002() {
    let (_server, address) = start_server("127.0.0.1:0");
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 4999] {
        let mut peer = Peer::join(address);
        peer.send(CLOSE, &close_payload(code));
        assert_eq!(peer.frame(), (CLOSE, close_payload(code)), "{code}");
        peer.assert_ended();
    }
    let mut peer = Peer::join(address);
    peer.send(CLOSE, b"");
    assert_eq!(peer.frame(), (CLOSE, vec![]));
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65_535] {
        let mut peer = Peer::join(address);
        peer.send(CLOSE, &close_payload(code));
        assert_eq!(peer.closing().0, 1002, "{code}");
        peer.assert_ended();
    }
    let mut peer = Peer::join(address);
    peer.send(CLOSE, b"\x03");
    assert_eq!(peer.closing().0, 1002, "half a code");
    let mut peer = Peer::join(address);
    peer.send(CLOSE, b"\x03\xE8\xFF");
    assert_eq!(peer.closing().0, 1007, "a reason that is no UTF-8");
}

/// Any page on the web could otherwise talk here in its reader's name.
#[test]
fn a_page_from_elsewhere_is_refused_with_403() {
    let (_server, address) = start_server("127.0.0.1:0");
    let here = address.to_string();
    let refused = [
        "null".to_string(),
        "http://example.com".to_string(),
        format!("http://example.com:{}", address.port()),
        format!("http://{here}.example.com"),
        format!("http://{}", address.ip()),
        "file://".to_string(),
        String::new(),
    ];
    for origin in refused {
        let origin = format!("Origin: {origin}\r\n");
        let response = ask(&connect(address), &upgrade_request(&here, &origin));
        assert!(response.starts_with("HTTP/1.1 403 "), "{origin}{response}");
    }
    for origin in [
        format!("Origin: http://{here}\r\n"),
        format!("Origin: https://{here}\r\n"),
        String::new(),
    ] {
        let response = ask(&connect(address), &upgrade_request(&here, &origin));
        assert!(response.starts_with("HTTP/1.1 101 "), "{origin}{response}");
    }
    // Phones in the room ask for the machine's name or address, whichever it is.
    let phone = "Origin: http://laptop.example:8765\r\n";
    let response =
        ask(&connect(address), &upgrade_request("laptop.example:8765", phone));
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
}

#[test]
fn what_is_no_request_for_the_page_or_for_a_websocket_is_refused() {
    let (_server, address) = start_server("127.0.0.1:0");
    let good = upgrade_request(&address.to_string(), "");
    let cases = [
        "\0\0\0\0\r\n\r\n".to_string(),
        format!("POST / HTTP/1.1\r\nHost: {address}\r\n\r\n"),
        good.replace("Version: 13", "Version: 12"),
        good.replace("Sec-WebSocket-Key", "No-Key"),
        good.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"),
    ];
    for request in cases {
        let response = ask(&connect(address), &request);
        assert!(response.starts_with("HTTP/1.1 400 "), "{request}{response}");
    }
    // Headers without end are cut off.
    let mut connection = connect(address);
    let headers = format!("GET / HTTP/1.1\r\nX: {}\r\n", "x".repeat(1 << 20));
    let written = connection.write_all(headers.as_bytes());
    let mut response = Vec::new();
    let read = connection.read_to_end(&mut response);
    assert!(
        written.is_err() || read.is_err() || response.starts_with(b"HTTP/1.1 400 ")
    );
    Peer::join(address);
}

#[test]
fn a_client_that_never_ends_its_request_is_closed_after_5_seconds() {
    let (_server, address) = start_server("127.0.0.1:0");
    let start = Instant::now();
    let silent = connect(address);
    let mut slow = connect(address);
    thread::scope(|scope| {
        scope.spawn(|| {
            // A line of the header each second keeps no connection open.
            while slow.write_all(b"X: x\r\n").is_ok() && start.elapsed() < PATIENCE {
                thread::sleep(Duration::from_millis(500));
            }
        });
        assert_eq!(read_to_end(&silent), "");
    });
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[test]
fn the_thousand_and_first_client_is_refused_until_another_leaves() {
    // Each is an open file of this test as well.
    rlimit::increase_nofile_limit(4096).unwrap();
    let (mut server, address) = start_server("127.0.0.1:0");
    let mut peers: Vec<Peer> = (0..1000).map(|_| Peer::join(address)).collect();
    let request = upgrade_request(&address.to_string(), "");
    let response = ask(&connect(address), &request);
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    // All talk at once, and nobody is too slow for that.
    for peer in &mut peers {
        peer.say("hi");
    }
    for peer in &mut peers[..10] {
        (0..999).for_each(|_| drop(peer.text()));
    }
    let leaving = peers.pop().unwrap();
    let port = leaving.port();
    drop(leaving);
    server.wait_for(&format!("Client disconnected: 127.0.0.1:{port}"));
    Peer::join(address);
}

#[test]
fn a_client_that_answers_no_ping_is_closed_and_one_that_does_stays() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let (mut dead, mut alive) = (Peer::join(address), Peer::join(address));
    let mut head = [0; 2];
    dead.tcp.read_exact(&mut head).unwrap();
    assert_eq!(head, [PING, 0]);
    thread::scope(|scope| {
        // Reading answers pings.
        let reader = scope.spawn(move || alive.text());
        let (code, reason) = {
            let mut frame = [0; 2];
            dead.tcp.read_exact(&mut frame).unwrap();
            while frame[0] == PING {
                dead.tcp.read_exact(&mut frame).unwrap();
            }
            let mut payload = vec![0; frame[1] as usize];
            dead.tcp.read_exact(&mut payload).unwrap();
            close_code(&payload)
        };
        assert_eq!((code, reason.as_str()), (1008, "it answers no ping"));
        server.wait_for_error("Lost connection with ");
        Peer::join(address).say("hello");
        assert!(reader.join().unwrap().ends_with("hello"));
    });
}

#[cfg(target_os = "linux")]
#[test]
fn pings_that_come_faster_than_their_answers_are_read_cost_no_memory() {
    let (server, address) = start_server("127.0.0.1:0");
    let mut peer = Peer::join(address);
    peer.tcp.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let pings = frame(PING, &[b'x'; 125]).repeat(500);
    let written =
        (0..1000).take_while(|_| peer.tcp.write_all(&pings).is_ok()).count();
    let used = server.status("VmHWM");
    assert!(used < 12_000, "{used} kB after {written} times 500 pings");
    Peer::join(address);
}

#[test]
fn ctrl_c_and_sigterm_close_every_client_and_end_the_server_with_0() {
    for signal in ["INT", "TERM"] {
        let (server, address) = start_server("127.0.0.1:0");
        let mut peer = Peer::join(address);
        let _never_answers = Peer::join(address);
        let start = Instant::now();
        server.signal(signal);
        assert_eq!(peer.closing().0, 1001);
        peer.send(CLOSE, &close_payload(1001));
        peer.assert_ended();
        let server = server.end();
        // Within a second, on a machine that does nothing else.
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        assert_eq!((server.code, server.errors.as_str()), (Some(0), ""), "{signal}");
    }
}

#[test]
fn the_server_restarts_at_once_on_its_port_while_a_client_is_connected() {
    let (server, address) = start_server("127.0.0.1:0");
    let _held = Peer::join(address);
    drop(server);
    let (_server, again) = start_server(&address.to_string());
    assert_eq!(again, address);
    Peer::join(address);
}

#[cfg(unix)]
#[test]
fn out_of_open_files_the_server_pauses_accepting_and_serves_on() {
    let path = env!("CARGO_BIN_EXE_ws-server");
    let command = format!("ulimit -n 40; exec {path} 127.0.0.1:0");
    let mut server = Program::start("/bin/sh", &["-c", &command]);
    let address = server.address("WebSocket server on ws://");
    let (mut talker, mut listener) = (Peer::join(address), Peer::join(address));
    let connections: Vec<TcpStream> = (0..60).map(|_| connect(address)).collect();
    server.wait_for_error("Cannot accept a client: Too many open files");
    talker.say("served on");
    assert!(listener.text().ends_with("served on"));
    drop(connections);
    Peer::join(address);
    server.signal("TERM");
    let complaints = server.end().errors.lines().count();
    assert!(complaints < 300, "it complains without a pause: {complaints} times");
}

#[test]
fn lines_typed_go_out_while_what_arrives_is_printed() {
    let (_server, address) = start_server("127.0.0.1:0");
    let mut peer = Peer::join(address);
    // Standard input is a pipe with a name, which the test writes into.
    let folder = std::env::temp_dir().join(format!("ws-chat-{}", address.port()));
    fs::create_dir(&folder).unwrap();
    let pipe = folder.join("input").display().to_string();
    assert_eq!(Program::run("mkfifo", &[&pipe]).code, Some(0));
    let command = format!("exec {CLIENT} ws://{address} < {pipe}");
    let mut client = Program::start("/bin/sh", &["-c", &command]);
    let mut input = fs::File::options().write(true).open(&pipe).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    client.wait_for("Connected to server");
    let mut sender = String::new();
    for n in 0..3 {
        peer.say(&format!("you {n}"));
        assert_eq!(client.wait_for("["), format!("{}]: you {n}", peer.port()));
        writeln!(input, "me {n}").unwrap();
        let text = peer.text();
        let (from, said) = text.split_once(": ").unwrap();
        assert_eq!(said, format!("me {n}"));
        sender = from.to_string();
    }
    assert_ne!(sender, format!("[{}]", peer.port()));
    drop(input);
    assert_eq!(client.end().code, Some(0));
}

#[test]
fn the_end_of_input_closes_with_the_handshake_after_all_was_sent() {
    let (fake, thread) = start_fake_server(|mut peer| {
        let mut frames = Vec::new();
        // Reads what the client masked.
        loop {
            let (kind, payload) = masked_frame(&mut peer.tcp);
            if kind == CLOSE {
                peer.tcp.write_all(&[CLOSE, 2, 0x03, 0xE8]).unwrap();
                return (frames, close_code(&payload).0);
            }
            frames.push(String::from_utf8(payload).unwrap());
        }
    });
    let client = type_lines(fake, "one\\n\\nthree");
    assert_eq!((client.code, client.errors.as_str()), (Some(0), ""));
    assert_eq!(client.output, ["Connected to server", "Disconnected"]);
    let frames = ["one", "", "three"].map(str::to_string).to_vec();
    assert_eq!(thread.join().unwrap(), (frames, 1000));
}

/// A frame from a client, which has to be masked.
fn masked_frame(tcp: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 6];
    tcp.read_exact(&mut head).unwrap();
    assert!((0x80..0x80 + 126).contains(&head[1]), "masked and short: {head:x?}");
    let mut payload = vec![0; (head[1] & 0x7F) as usize];
    tcp.read_exact(&mut payload).unwrap();
    let mask = head[2..].iter().cycle();
    (head[0], payload.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect())
}

/// A client that meets this instead of the real server. It answers the key of the
/// client by the server of the test's own: it asks the real one.
fn start_fake_server<T: Send + 'static>(
    serve: impl FnOnce(Peer) -> T + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let mut tcp = listener.accept().unwrap().0;
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = ask(&tcp, "");
        // The real server knows the answer to the client's key.
        let (_server, real) = start_server("127.0.0.1:0");
        let response = ask(&connect(real), &request);
        tcp.write_all(response.as_bytes()).unwrap();
        serve(Peer { tcp })
    });
    (address, thread)
}

#[test]
fn a_listening_client_takes_no_input_and_says_goodbye_on_ctrl_c_and_sigterm() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let mut listeners = Vec::new();
    for signal in ["INT", "TERM"] {
        // Its standard input has ended already.
        let mut client = start_client(address, &["--listen"]);
        client.wait_for("Connected to server");
        let port = server.wait_for("Client connected: 127.0.0.1:");
        let mut peer = Peer::join(address);
        peer.say("\u{1b}[2J \u{202e}Olá 😀");
        let heard = client.wait_for(&format!("[{}]: ", peer.port()));
        assert_eq!(heard, r"\u{1b}[2J \u{202e}Olá 😀");
        let start = Instant::now();
        client.signal(signal);
        let client = client.end();
        // Within a second, on a machine that does nothing else.
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        assert_eq!((client.code, client.errors.as_str()), (Some(0), ""), "{signal}");
        server.wait_for(&format!("Client disconnected: 127.0.0.1:{port}"));
        listeners.push(port);
    }
    server.signal("TERM");
    let errors = server.end().errors;
    assert!(!listeners.iter().any(|port| errors.contains(port)), "{errors}");
}

#[test]
fn what_peers_send_is_printed_escaped_and_passed_on_unchanged() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let (mut talker, mut listener) = (Peer::join(address), Peer::join(address));
    let text = "\u{1b}[2J\r\n\u{202e} \"olá\" <b>";
    talker.say(text);
    assert_eq!(listener.text(), format!("[{}]: {text}", talker.port()));
    let shown = r#"\u{1b}[2J\u{d}\u{a}\u{202e} "olá" <b>"#;
    let line = format!("Received from 127.0.0.1:{}: ", talker.port());
    assert_eq!(server.wait_for(&line), shown);
}

#[test]
fn the_client_says_why_the_server_ended_the_connection() {
    let (_server, address) = start_server("127.0.0.1:0");
    let command =
        format!("head -c 70000 /dev/zero | tr '\\0' x | {CLIENT} ws://{address}");
    let client = Program::run("/bin/sh", &["-c", &command]);
    assert_eq!(client.code, Some(1));
    assert!(client.errors.contains("1009"), "{}", client.errors);

    let (server, address) = start_server("127.0.0.1:0");
    let mut client = start_client(address, &["--listen"]);
    client.wait_for("Connected to server");
    server.signal("TERM");
    let client = client.end();
    assert_eq!(client.code, Some(1));
    assert!(client.errors.contains("the server ended it: 1001"), "{}", client.errors);

    let (server, address) = start_server("127.0.0.1:0");
    let mut client = start_client(address, &["--listen"]);
    client.wait_for("Connected to server");
    drop(server);
    let client = client.end();
    assert_eq!(client.code, Some(1));
    assert!(
        client.errors.contains("Error: lost the connection"),
        "{}",
        client.errors
    );
}

#[test]
fn a_server_that_is_missing_silent_or_no_websocket_is_a_clear_error() {
    // Bound but not listening: the port is taken, and closed.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let client = start_client(address, &[]).end();
    assert_eq!(client.code, Some(1));
    let hint = "(is the server running? cargo run -p ws-chat)";
    let error = format!("Error: cannot connect to {address} {hint}");
    assert!(client.errors.starts_with(&error), "{}", client.errors);

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = start_client(silent.local_addr().unwrap(), &[]).end();
    assert_eq!(client.code, Some(1));
    assert!(
        client.errors.starts_with("Error: no WebSocket at ws://"),
        "{}",
        client.errors
    );

    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = web.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let mut connection = web.accept().unwrap().0;
        ask(&connection, "");
        connection.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap();
        connection.shutdown(Shutdown::Write).unwrap();
        read_to_end(&connection)
    });
    let client = start_client(address, &[]).end();
    thread.join().unwrap();
    assert_eq!(client.code, Some(1));
    assert!(client.errors.contains("404 Not Found"), "{}", client.errors);
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let (_server, address) = start_server("127.0.0.1:0");
    let path = env!("CARGO_BIN_EXE_ws-server");
    let second = Program::run(path, &[&address.to_string()]);
    assert_eq!(second.code, Some(1));
    let error = format!("Error: cannot listen on {address} (try another port)");
    assert!(second.errors.starts_with(&error), "{}", second.errors);
}

#[test]
fn both_programs_work_over_ipv6_and_a_name_is_looked_up() {
    let (mut server, address) = start_server("[::1]:0");
    assert_eq!(type_lines(address, "six\\n").code, Some(0));
    server.wait_for("Received from [::1]:");
    let (_server, address) = start_server("127.0.0.1:0");
    // On many systems the first address of this name is ::1, where nobody listens.
    let url = format!("ws://localhost:{}/", address.port());
    assert_eq!(Program::run(CLIENT, &[&url]).code, Some(0));
}

#[test]
fn wrong_arguments_exit_with_2_and_an_unknown_name_with_1() {
    for wrong in [
        "127.0.0.1:8765",
        "http://127.0.0.1:8765",
        "ws://127.0.0.1",
        "ws://:1",
        "ws://x:65536",
        "wss://x:1",
    ] {
        let ended = Program::run(CLIENT, &[wrong]);
        assert_eq!(ended.code, Some(2), "{wrong}");
        assert!(ended.errors.contains("ws://HOST:PORT"), "{}", ended.errors);
    }
    let server = env!("CARGO_BIN_EXE_ws-server");
    assert_eq!(Program::run(server, &["localhost:8765"]).code, Some(2));
    // No name ends in .invalid (RFC 2606).
    let unknown = Program::run(CLIENT, &["ws://no-such-host.invalid:8765"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.errors.contains("cannot look up no-such-host.invalid:8765"));
}
