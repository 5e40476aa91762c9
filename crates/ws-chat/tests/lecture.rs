//! What the slides promise of the WebSocket chat. The tests judge a program by its
//! behaviour alone, so by what it prints and sends.

mod peer;
mod program;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use peer::*;
use program::{Program, assert_shown};

const README: &str = include_str!("../README.md");

/// Hint: Compare what is printed with the README, line by line and word by word.
#[test]
fn server_and_clients_print_what_the_readme_shows() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let mut listener = start_client(address, &["--listen", "--show-upgrade"]);
    listener.wait_for("Connected to server");
    let talker = type_lines(address, "Hello, world\n");
    assert_eq!(talker.code, Some(0));
    let command = "echo Hello, world | cargo run -p ws-chat --bin ws-client";
    assert_shown(README, command, &talker.output);
    let command = "cargo run -p ws-chat --bin ws-client -- --listen --show-upgrade";
    let lines = headers_as_shown(&listener.output_up_to("["));
    assert_shown(README, command, &lines);
    let lines = server.output_up_to("Client disconnected: ");
    assert_shown(README, "cargo run -p ws-chat", &lines);
}

/// What a client printed, with those headers alone that the README shows, as it shows them:
/// a program may have more of them, in any order and spelling. The key is random, and the
/// date is that of today, so the README has those of RFC 6455.
fn headers_as_shown(lines: &[String]) -> Vec<String> {
    let is_head = |line: &&str| line.starts_with("> ") || line.starts_with("< ");
    let same = |shown: &str| {
        let (name, _) = shown.split_once(": ").unwrap_or((shown, ""));
        let is_it = |line: &&String| {
            line.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name))
        };
        let line =
            lines.iter().find(is_it).unwrap_or_else(|| panic!("no line {name}"));
        let is_fixed =
            !["-key", "-accept", "date"].iter().any(|it| name.ends_with(it));
        if is_fixed {
            [name, &line[name.len()..]].concat()
        } else {
            shown.to_string()
        }
    };
    let head = README.lines().filter(is_head).map(same);
    let rest = lines.iter().filter(|line| !is_head(&line.as_str())).cloned();
    head.chain(rest).collect()
}

/// Claim 60: HTTP is client-pull: every look for news costs a request and a response.
/// Hint: What does the server send unasked, and what only in answer to a request?
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
/// Hint: RFC 6455, section 4.2.2, says what the server makes of the key.
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
/// Hint: Does your program wait for one side before it listens to the other?
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
/// Hint: Which bytes of a frame say where it ends?
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
/// Hint: Which direction is masked, and is anything sent beside the message?
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
/// Hint: What makes the server send to this client, which says nothing?
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

/// Claim 66, as far as the page shows it: the tests of claims open it in a real browser.
/// Hint: A page in class works without the internet.
#[test]
fn the_page_needs_no_library_and_no_other_host() {
    let (_server, address) = start_server("127.0.0.1:0");
    let connection = connect(address);
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let head = ask(&connection, &request);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.to_lowercase().contains("content-type: text/html; charset=utf-8\r\n"),
        "{head}"
    );
    let page = read_to_end(&connection);
    assert!(page.contains("new WebSocket(`${scheme}://${location.host}`)"));
    for outside in ["http://", "https://", "<script src", "import", "innerHTML ="] {
        assert!(!page.contains(outside), "{outside}");
    }
}

/// Claim 67.
/// Hint: Who is on the list when a message is passed on, and who takes them off it?
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
    // The server ends the connection, and then the client does, as browsers do.
    peers[3].assert_ended();
    peers[3].tcp.shutdown(Shutdown::Write).unwrap();
    server.wait_for(&format!("Client disconnected: 127.0.0.1:{}", peers[3].port()));
    peers[0].say("two");
    peers[1].text();
    peers[2].say("three");
    // The first one's next message is this one: it never gets its own.
    assert_eq!(peers[0].text(), format!("[{}]: three", peers[2].port()));
}

/// Hint: Which two things does the client wait for at the same time?
#[test]
fn lines_typed_go_out_while_what_arrives_is_printed() {
    let (_server, address) = start_server("127.0.0.1:0");
    let mut peer = Peer::join(address);
    let url = format!("ws://{address}");
    let mut client = Program::start_with_input(CLIENT, &[&url]);
    client.wait_for("Connected to server");
    let mut sender = String::new();
    for n in 0..3 {
        peer.say(&format!("you {n}"));
        assert_eq!(client.wait_for("["), format!("{}]: you {n}", peer.port()));
        client.type_in(format!("me {n}\n"));
        let text = peer.text();
        let (from, said) = text.split_once(": ").unwrap();
        assert_eq!(said, format!("me {n}"));
        sender = from.to_string();
    }
    assert_ne!(sender, format!("[{}]", peer.port()));
    client.child.stdin = None;
    assert_eq!(client.end().code, Some(0));
}
