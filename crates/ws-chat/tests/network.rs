//! What a real network does to the chat: pieces, limits, pages from elsewhere, and peers
//! that are slow, hostile or gone. The tests judge a program by its behaviour alone.

mod peer;
mod program;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use peer::*;
use program::{PATIENCE, Program};
use socket2::{Domain, Socket, Type};

/// Claim 68: in the slide's server one client that stops reading stalls all.
/// Hint: Sending to one client must not hold up the others.
#[test]
fn a_client_that_does_not_read_is_closed_and_nobody_waits_for_it() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let mut slow = Peer::join(address);
    let (mut talker, mut listener) = (Peer::join(address), Peer::join(address));
    let text = "x".repeat(30_000);
    let mut longest = Duration::ZERO;
    for _ in 0..700 {
        let start = Instant::now();
        talker.say(&text);
        listener.text();
        longest = longest.max(start.elapsed());
    }
    assert!(longest < Duration::from_secs(2), "they waited {longest:?}");
    let lost = format!("Lost connection with 127.0.0.1:{}: it ", slow.port());
    server.wait_for_error(&lost);
    slow.assert_let_go();
}

/// What one client that stops reading may cost the server, with the longest messages.
/// Hint: What waits for a slow client needs a bound.
#[cfg(target_os = "linux")]
#[test]
fn beside_one_that_stops_reading_long_messages_keep_at_most_64_mib() {
    let (server, address) = start_server("127.0.0.1:0");
    let _never_reading = Peer::join(address);
    let (mut talker, mut listener) = (Peer::join(address), Peer::join(address));
    let text = "x".repeat(MAX_MESSAGE);
    thread::scope(|scope| {
        scope.spawn(|| (0..1600).for_each(|_| talker.say(&text)));
        (0..1600).for_each(|_| drop(listener.text()));
    });
    // 100 MiB were said, and the program itself takes some.
    let used = memory(&server);
    assert!(used < 74 * 1024, "{used} kB");
}

/// Of the system: the most memory that the program had, in kB.
#[cfg(target_os = "linux")]
fn memory(program: &Program) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", program.child.id()));
    let status = status.unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

/// Claim 68, and what it may cost the server: a queue, and never more.
/// Hint: What waits for a slow client needs a bound.
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
    let used = memory(&server);
    assert!(used < 12_000, "{used} kB");
}

/// Each has something to say before it has heard what the others say.
/// Hint: How many messages may come before each client has had its turn?
#[test]
fn three_hundred_clients_talk_at_once_and_each_hears_all_the_others() {
    let (_server, address) = start_server("127.0.0.1:0");
    let mut peers: Vec<Peer> = (0..300).map(|_| Peer::join(address)).collect();
    peers.iter_mut().for_each(|peer| peer.say("hi"));
    for peer in &mut peers {
        (1..300).for_each(|_| drop(peer.text()));
    }
}

/// Claim 69: the slide's set of clients changes while it is iterated, and that fails.
/// Hint: The set of clients may change while a message goes round.
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

/// They are sent nothing more, and their goodbyes are not cut short.
/// Hint: A client may leave while a message for it is on the way.
/// No draft: which event comes first is a matter of chance.
#[cfg(unix)]
#[test]
fn clients_that_leave_while_another_talks_get_the_answer_to_their_close() {
    let (server, address) = start_server("127.0.0.1:0");
    let mut talker = Peer::join(address);
    let mut leaving: Vec<Peer> = (0..30).map(|_| Peer::join(address)).collect();
    // All of it is there when the server goes on.
    server.signal("STOP");
    talker.say("hello");
    leaving.iter_mut().for_each(|peer| peer.send(CLOSE, &close_payload(1000)));
    server.signal("CONT");
    for peer in &mut leaving {
        assert_eq!(peer.closing().0, 1000);
        peer.assert_ended();
    }
    let errors = server.kill().errors;
    assert!(!errors.contains("Lost connection"), "{errors}");
}

/// Hint: RFC 6455, section 5.4: a control frame may stand between two fragments.
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

/// Hint: RFC 6455, section 5.5, says what becomes of a ping and of a pong.
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

/// Hint: How much memory may one message take?
#[test]
fn a_message_of_64_kib_goes_through_and_a_longer_one_ends_its_connection() {
    let (_server, address) = start_server("127.0.0.1:0");
    let mut listener = Peer::join(address);
    let mut peer = Peer::join(address);
    let text = "x".repeat(MAX_MESSAGE);
    peer.say(&text);
    assert_eq!(listener.text(), format!("[{}]: {text}", peer.port()));
    peer.say(&format!("{text}x"));
    peer.assert_let_go();

    let mut peer = Peer::join(address);
    peer.send(0x01, text.as_bytes());
    peer.send(0x80, b"x");
    peer.assert_let_go();
    // Only announced: nobody waits for so much.
    let mut peer = Peer::join(address);
    let huge = [&[TEXT, 0xFF][..], &(u64::MAX >> 1).to_be_bytes(), &[0; 4]].concat();
    peer.tcp.write_all(&huge).unwrap();
    peer.assert_let_go();
    // And nobody else notices.
    listener.say("still here");
    Peer::join(address);
}

/// RFC 6455, sections 5 and 7: what breaks them fails the connection, and only it.
/// Hint: RFC 6455 names the frames that a server must refuse.
#[test]
fn every_class_of_invalid_frame_ends_its_connection_and_no_other() {
    let (_server, address) = start_server("127.0.0.1:0");
    let mut bystander = Peer::join(address);
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |what: String, bytes: Vec<u8>| cases.push((what, bytes));
    add("no mask".into(), vec![TEXT, 2, b'h', b'i']);
    for bit in [0x40, 0x20, 0x10] {
        add(format!("reserved bit {bit:x}"), frame(TEXT | bit, b"hi"));
    }
    for opcode in (0x3..=0x7).chain(0xB..=0xF) {
        add(format!("opcode {opcode:x}"), frame(0x80 | opcode, b"hi"));
    }
    for kind in [CLOSE, PING, PONG] {
        let parts = [frame(kind & 0x0F, b""), frame(0x80, b"")].concat();
        add(format!("{kind:x} in fragments"), parts);
        add(format!("{kind:x} too long"), frame(kind, &[b'x'; 126]));
    }
    add("nothing to continue".into(), frame(0x80, b"hi"));
    let parts = [frame(0x01, b"one"), frame(TEXT, b"two")].concat();
    add("a message within a message".into(), parts);
    for bytes in [
        &b"\xFF"[..],
        b"\xC0\xAF",
        b"\xED\xA0\x80",
        b"\xF4\x90\x80\x80",
        b"cut \xE2\x82",
    ] {
        add(format!("no UTF-8: {bytes:x?}"), frame(TEXT, bytes));
    }
    let parts = [frame(0x01, b"ok \xE2"), frame(0x80, b"(\xA1")].concat();
    add("no UTF-8 across fragments".into(), parts);
    for (what, bytes) in cases {
        let mut peer = Peer::join(address);
        peer.tcp.write_all(&bytes).unwrap();
        println!("{what}");
        peer.assert_let_go();
    }
    let mut good = Peer::join(address);
    good.say("still served");
    assert_eq!(bystander.text(), format!("[{}]: still served", good.port()));
}

/// Hint: RFC 6455, section 7: closing is a handshake too.
#[test]
fn a_close_is_answered_with_its_code_and_a_bad_one_ends_the_connection() {
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
    let bad = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65_535];
    let bad = bad.map(close_payload).into_iter();
    // Half a code, and a reason that is not UTF-8.
    for payload in bad.chain([b"\x03".to_vec(), b"\x03\xE8\xFF".to_vec()]) {
        let mut peer = Peer::join(address);
        peer.send(CLOSE, &payload);
        println!("{payload:x?}");
        peer.assert_let_go();
    }
}

/// Any page on the web could otherwise talk here in its reader's name.
/// Hint: A browser says in Origin where its page came from.
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
        format!("http://{here}/"),
        format!("http://{here}, http://{here}"),
        "http://\u{e9}xample.com".to_string(),
        // Browsers send both headers in small letters, and say http where they used it.
        format!("HTTP://{here}"),
        format!("https://{here}"),
        "\u{9b}".to_string(),
        String::new(),
    ];
    for origin in refused {
        let origin = format!("Origin: {origin}\r\n");
        let response = ask(&connect(address), &upgrade_request(&here, &origin));
        assert!(response.starts_with("HTTP/1.1 403 "), "{origin}{response}");
    }
    for origin in [
        format!("Origin: http://{here}\r\n"),
        format!("ORIGIN: http://{here}\r\n"),
        String::new(),
    ] {
        let response = ask(&connect(address), &upgrade_request(&here, &origin));
        assert!(response.starts_with("HTTP/1.1 101 "), "{origin}{response}");
    }
    // Phones in the room ask for the machine's name or address, whichever it is. Browsers
    // leave out port 80, and put an address of IPv6 in brackets, in both headers.
    for host in ["laptop.example:8765", "laptop.example", "[::1]:8765", "localhost:1"]
    {
        let origin = format!("Origin: http://{host}\r\n");
        let response = ask(&connect(address), &upgrade_request(host, &origin));
        assert!(response.starts_with("HTTP/1.1 101 "), "{origin}{response}");
    }
    // Two names of one machine are two places to a browser.
    let other = format!("Origin: http://localhost:{}\r\n", address.port());
    let response = ask(&connect(address), &upgrade_request(&here, &other));
    assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
}

/// The slide's page is opened from disk, and browsers call that place `null`.
/// Hint: Who runs the server must learn why a page was refused.
#[test]
fn a_refused_origin_is_told_with_the_option_that_lets_it_in() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let here = address.to_string();
    let from_disk = upgrade_request(&here, "Origin: null\r\n");
    let response = ask(&connect(address), &from_disk);
    assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
    assert!(server.wait_for_error("Refused ").contains("--allow-origin null"));
    let (_server, address) = start_server_with(&[
        "127.0.0.1:0",
        "--allow-origin",
        "null",
        "--allow-origin",
        "http://example.com",
    ]);
    for origin in ["null", "http://example.com"] {
        let request = upgrade_request(&here, &format!("Origin: {origin}\r\n"));
        let response = ask(&connect(address), &request);
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
    }
    let other = upgrade_request(&here, "Origin: http://example.com:81\r\n");
    let response = ask(&connect(address), &other);
    assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
}

/// What clients and proxies do that the slide does not show, and what comes of it.
/// Hint: Browsers, proxies and curl all send requests that differ a little.
#[test]
fn habits_of_real_clients_get_a_sensible_answer() {
    let (_server, address) = start_server("127.0.0.1:0");
    let host = format!("Host: {address}\r\n");
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n";
    let good = upgrade_request(&address.to_string(), "");
    let habits = [
        ("GET / HTTP/1.0\r\n\r\n".to_string(), 200),
        (format!("GET /?from=mail HTTP/1.1\r\n{host}\r\n"), 200),
        (format!("GET http://{address}/ HTTP/1.1\r\n{host}\r\n"), 200),
        (format!("HEAD / HTTP/1.1\r\n{host}\r\n"), 200),
        // An offer of another protocol may be ignored: `curl --http2` makes it.
        (format!("GET / HTTP/1.1\r\n{host}{h2c}\r\n"), 200),
        (format!("GET /nope HTTP/1.1\r\n{host}\r\n"), 404),
        (format!("GET /favicon.ico HTTP/1.1\r\n{host}\r\n"), 404),
        (good.replace("GET / ", "GET /chat "), 404),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n"), 405),
        (format!("OPTIONS / HTTP/1.1\r\n{host}\r\n"), 405),
        // Firefox keeps alive what it upgrades, and names may be in capital letters.
        (good.replace("Connection: Upgrade", "Connection: keep-alive, Upgrade"), 101),
        (good.replace("websocket", "WebSocket"), 101),
        (good.replace("GET / ", &format!("GET http://{address}/ ")), 101),
    ];
    for (request, status) in habits {
        let response = ask(&connect(address), &request);
        assert_eq!(
            response.split(' ').nth(1),
            Some(&*status.to_string()),
            "{request}"
        );
        if status == 405 {
            assert!(response.to_lowercase().contains("\r\nallow: get, head\r\n"));
        }
    }
}

/// RFC 6455, section 4.2.2: the client is told which version would do.
/// Hint: RFC 6455, section 4.2.2, says how to refuse a version.
#[test]
fn another_version_of_websocket_is_refused_with_the_one_that_is_spoken() {
    let (_server, address) = start_server("127.0.0.1:0");
    for version in ["25", "12", "x", ""] {
        let good = upgrade_request(&address.to_string(), "");
        let request = good.replace("Version: 13", &format!("Version: {version}"));
        let response = ask(&connect(address), &request).to_lowercase();
        let status = response.split(' ').nth(1).unwrap();
        assert!(["400", "426"].contains(&status), "{response}");
        assert!(response.contains("\r\nsec-websocket-version: 13\r\n"), "{response}");
    }
}

/// A slow path may deliver single bytes.
/// Hint: A request is complete at its empty line, however many reads that takes.
#[test]
fn a_handshake_and_a_page_request_may_come_byte_by_byte() {
    let (_server, address) = start_server("127.0.0.1:0");
    let page = format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let requests =
        [(page, "200"), (upgrade_request(&address.to_string(), ""), "101")];
    for (request, status) in requests {
        let mut slow = connect(address);
        let start = Instant::now();
        for byte in request.bytes() {
            slow.write_all(&[byte]).unwrap();
            // Slowness is what is tested here: 300 bytes in a second.
            thread::sleep(Duration::from_micros(3300));
        }
        let response = ask(&slow, "");
        assert_eq!(response.split(' ').nth(1), Some(status), "{response}");
        println!("{status} after {:?}", start.elapsed());
    }
}

/// Hint: Each request deserves a status of its own.
#[test]
fn what_is_not_a_request_for_the_page_or_for_a_websocket_is_refused() {
    let (_server, address) = start_server("127.0.0.1:0");
    let good = upgrade_request(&address.to_string(), "");
    let cases = [
        "\0\0\0\0\r\n\r\n".to_string(),
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
    let is_refusal = response.starts_with(b"HTTP/1.1 4");
    assert!(written.is_err() || read.is_err() || is_refusal);
    Peer::join(address);
}

/// Hint: How long may a request take to arrive?
#[test]
fn a_client_that_never_ends_its_request_is_closed() {
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

/// Hint: A place must be given back whatever ends its client.
#[test]
fn the_thousand_and_first_client_is_refused_until_another_leaves() {
    // Each is an open file of this test as well.
    #[cfg(unix)]
    assert!(rlimit::increase_nofile_limit(4096).unwrap() > 2100);
    let (mut server, address) = start_server("127.0.0.1:0");
    let mut peers: Vec<Peer> = (0..1000).map(|_| Peer::join(address)).collect();
    let request = upgrade_request(&address.to_string(), "");
    let response = ask(&connect(address), &request);
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    // Many talk at once, and nobody is too slow for that.
    for peer in &mut peers[..100] {
        peer.say("hi");
    }
    for peer in &mut peers[..10] {
        (0..99).for_each(|_| drop(peer.text()));
    }
    let leaving = peers.pop().unwrap();
    let port = leaving.port();
    drop(leaving);
    server.wait_for(&format!("Client disconnected: 127.0.0.1:{port}"));
    Peer::join(address);
}

/// A client whose machine lost its power is found because the kernel asks.
/// Hint: A client that loses power never says so.
#[cfg(target_os = "linux")]
#[test]
fn an_accepted_connection_has_a_keepalive_timer() {
    let (_server, address) = start_server("127.0.0.1:0");
    let _connection = connect(address);
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!("0100007F:{:04X}", address.port());
    // State 01 is an established connection, timer 02 the one for keepalive.
    let connection =
        table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut timers =
        connection.filter(|f| f[1] == local && f[3] == "01").map(|f| f[5]);
    assert!(timers.next().unwrap().starts_with("02:"));
}

/// Hint: An answer that nobody reads waits somewhere.
#[cfg(target_os = "linux")]
#[test]
fn pings_that_come_faster_than_their_answers_are_read_cost_no_memory() {
    let (server, address) = start_server("127.0.0.1:0");
    let mut peer = Peer::join(address);
    peer.tcp.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let pings = frame(PING, &[b'x'; 125]).repeat(500);
    let written =
        (0..1000).take_while(|_| peer.tcp.write_all(&pings).is_ok()).count();
    let used = memory(&server);
    assert!(used < 12_000, "{used} kB after {written} times 500 pings");
    Peer::join(address);
}

/// Hint: Clients deserve a goodbye, and it must not take long.
#[cfg(unix)]
#[test]
fn ctrl_c_closes_every_client_and_ends_the_server_with_0() {
    {
        let (server, address) = start_server("127.0.0.1:0");
        let mut peer = Peer::join(address);
        let _never_answers = Peer::join(address);
        let start = Instant::now();
        server.signal("INT");
        assert_eq!(peer.closing().0, 1001);
        peer.send(CLOSE, &close_payload(1001));
        peer.assert_ended();
        let server = server.end();
        // Within a second, on a machine that does nothing else.
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        assert_eq!((server.code, server.errors.as_str()), (Some(0), ""));
    }
}

/// Hint: A connection of the last run may still occupy the port.
#[test]
fn the_server_restarts_at_once_on_its_port_while_a_client_is_connected() {
    let (server, address) = start_server("127.0.0.1:0");
    let _held = Peer::join(address);
    drop(server);
    let (_server, again) = start_server(&address.to_string());
    assert_eq!(again, address);
    Peer::join(address);
}

/// Hint: What should a server do when accepting fails?
#[cfg(unix)]
#[test]
fn out_of_open_files_the_server_pauses_accepting_and_serves_on() {
    let program = std::env::var("WS_SERVER").unwrap_or(SERVER.to_string());
    let command = format!("ulimit -n 40; exec {program} 127.0.0.1:0");
    let mut server = Program::start("/bin/sh", &["-c", &command]);
    let address = server.address("WebSocket server on ws://");
    let (mut talker, mut listener) = (Peer::join(address), Peer::join(address));
    let connections: Vec<_> = (0..60).map(|_| connect(address)).collect();
    server.wait_for_error("Cannot accept: Too many open files");
    talker.say("served on");
    assert!(listener.text().ends_with("served on"));
    drop(connections);
    Peer::join(address);
    let complaints = server.kill().errors.lines().count();
    assert!(complaints < 300, "it complains without a pause: {complaints} times");
}

/// Hint: What was typed before the end must still arrive.
/// No draft: it is about the client.
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
    let client = type_lines(fake, "one\r\n\nthree");
    assert_eq!((client.code, client.errors.as_str()), (Some(0), ""));
    assert_eq!(client.output, ["Connected to server", "Disconnected"]);
    let frames = ["one", "", "three"].map(str::to_string).to_vec();
    assert_eq!(thread.join().unwrap(), (frames, 1000));
}

/// Hint: The server should learn that the client leaves.
/// No draft: it is about the client.
#[cfg(unix)]
#[test]
fn a_listening_client_takes_no_input_and_says_goodbye_on_ctrl_c() {
    let (mut server, address) = start_server("127.0.0.1:0");
    // Its standard input has ended already.
    let mut client = start_client(address, &["--listen"]);
    client.wait_for("Connected to server");
    let port = server.wait_for("Client connected: 127.0.0.1:");
    let mut peer = Peer::join(address);
    peer.say("\u{1b}[2J\u{9b} Ol\u{e1} \u{1f600}");
    let heard = client.wait_for(&format!("[{}]: ", peer.port()));
    assert_eq!(heard, "\u{fffd}[2J\u{fffd} Ol\u{e1} \u{1f600}");
    client.signal("INT");
    let client = client.end();
    assert_eq!((client.code, client.errors.as_str()), (Some(0), ""));
    server.wait_for(&format!("Client disconnected: 127.0.0.1:{port}"));
    let errors = server.kill().errors;
    assert!(!errors.contains(&port), "{errors}");
}

/// Hint: A goodbye may have to wait for the server to read: this wait needs a bound.
/// No draft: it is about the client.
#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_client_whose_server_has_stopped_reading() {
    let (stop, stopped) = mpsc::channel::<()>();
    let (fake, thread) = start_fake_server(move |peer| drop((stopped.recv(), peer)));
    let mut client = Program::start_with_input(CLIENT, &[&format!("ws://{fake}")]);
    client.wait_for("Connected to server");
    let mut input = client.child.stdin.take().unwrap();
    let (typed, progress) = mpsc::channel();
    // Ends when the client does.
    let typing = thread::spawn(move || {
        while input.write_all(("x".repeat(50_000) + "\n").as_bytes()).is_ok() {
            typed.send(()).unwrap_or_default();
        }
    });
    // Until everything on the way is full.
    while progress.recv_timeout(Duration::from_millis(500)).is_ok() {}
    client.signal("INT");
    let client = client.end();
    assert_eq!(client.code, Some(1), "{}", client.errors);
    typing.join().unwrap();
    drop(stop);
    thread.join().unwrap();
}

/// Hint: A client that has its answer need not wait until the server hangs up.
/// No draft: it is about the client.
#[test]
fn a_server_that_says_goodbye_and_does_not_hang_up_is_left_all_the_same() {
    let (stop, stopped) = mpsc::channel::<()>();
    let (fake, thread) = start_fake_server(move |mut peer| {
        while masked_frame(&mut peer.tcp).0 != CLOSE {}
        peer.tcp.write_all(&[CLOSE, 2, 0x03, 0xE8]).unwrap();
        drop((stopped.recv(), peer));
    });
    let client = type_lines(fake, "one\n");
    assert_eq!((client.code, client.errors.as_str()), (Some(0), ""));
    assert_eq!(client.output, ["Connected to server", "Disconnected"]);
    drop(stop);
    thread.join().unwrap();
}

/// Hint: Printing is one thing, and passing on is another.
/// No draft: it is about the client.
#[test]
fn what_peers_send_is_printed_without_control_characters_and_passed_on_unchanged() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let (mut talker, mut listener) = (Peer::join(address), Peer::join(address));
    let text = "\u{1b}[2J\r\n\u{9b} \"ol\u{e1}\" <b>";
    talker.say(text);
    assert_eq!(listener.text(), format!("[{}]: {text}", talker.port()));
    let line = format!("Received from 127.0.0.1:{}: ", talker.port());
    let shown = server.wait_for(&line);
    assert_eq!(shown, "\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd} \"ol\u{e1}\" <b>");
}

/// The purpose of the client is to show what arrives, however long it is.
/// Hint: The message is what the person wants to read.
/// No draft: it is about the client.
#[test]
fn the_client_shows_a_long_message_whole_and_a_binary_one_too() {
    let (_server, address) = start_server("127.0.0.1:0");
    let mut client = start_client(address, &["--listen"]);
    client.wait_for("Connected to server");
    let mut peer = Peer::join(address);
    let text = "Ol\u{e1} ".repeat(10_000);
    peer.say(&text);
    assert_eq!(
        client.wait_for("["),
        format!("{}]: {}", peer.port(), text.trim_end())
    );
    let (fake, _thread) = start_fake_server(|mut peer| {
        // Not masked, since it comes from a server.
        peer.tcp.write_all(&[0x82, 3, b'a', 0xFF, b'b']).unwrap();
        read_to_end(&peer.tcp)
    });
    let mut client = start_client(fake, &["--listen"]);
    client.wait_for("a\u{fffd}b");
}

/// Hint: Standard input holds bytes, and a text message holds UTF-8.
/// No draft: it is about the client.
#[test]
fn a_line_that_is_not_utf_8_is_sent_with_a_replacement_and_the_next_one_too() {
    let (_server, address) = start_server("127.0.0.1:0");
    let mut peer = Peer::join(address);
    let client = type_lines(address, b"caf\xe9\nnext\n");
    assert_eq!((client.code, client.errors.as_str()), (Some(0), ""));
    assert!(peer.text().ends_with("]: caf\u{fffd}"));
    assert!(peer.text().ends_with("]: next"));
}

/// Hint: A close frame has a code and a reason.
/// No draft: it is about the client.
#[test]
fn the_client_says_why_the_server_ended_the_connection() {
    let (_server, address) = start_server("127.0.0.1:0");
    let client = type_lines(address, "x".repeat(70_000));
    assert_eq!(client.code, Some(1));
    let error = "Error: lost the connection";
    assert!(client.errors.starts_with(error), "{}", client.errors);

    #[cfg(unix)] // Where one program can be sent Ctrl-C.
    {
        let (server, address) = start_server("127.0.0.1:0");
        let mut client = start_client(address, &["--listen"]);
        client.wait_for("Connected to server");
        server.signal("INT");
        let client = client.end();
        assert_eq!(client.code, Some(1));
        let why = "the server ended it: 1001";
        assert!(client.errors.contains(why), "{}", client.errors);
    }

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

/// Hint: Every wait of a client needs a bound.
/// No draft: it is about the client.
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
        let mut connection = accept(&web);
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

/// Hint: Say what failed, where, and what the system says.
#[test]
fn a_port_in_use_is_a_clear_error() {
    let (_server, address) = start_server("127.0.0.1:0");
    let second = Program::run(SERVER, &[&address.to_string()]);
    assert_eq!(second.code, Some(1));
    let error = format!("cannot listen on {address}");
    assert!(second.errors.contains(&error), "{}", second.errors);
}

/// Hint: A name may have several addresses, and not all of them answer.
/// No draft: it is about the client.
#[test]
fn both_programs_work_over_ipv6_and_a_name_is_looked_up() {
    let (mut server, address) = start_server("[::1]:0");
    assert_eq!(type_lines(address, "six\n").code, Some(0));
    server.wait_for("Received from [::1]:");
    let (_server, address) = start_server("127.0.0.1:0");
    // On many systems the first address of this name is ::1, where nobody listens.
    let url = format!("ws://localhost:{}/", address.port());
    assert_eq!(Program::run(CLIENT, &[&url]).code, Some(0));
}

/// Hint: The contract says which exit status means what.
/// No draft: it is about the arguments.
#[test]
fn wrong_arguments_exit_with_2_and_a_wrong_or_unknown_server_with_1() {
    for wrong in [
        "127.0.0.1:8765",
        "http://127.0.0.1:8765",
        "ws://:1",
        "ws://x:65536",
        "ws://x:y",
        "wss://x:1",
    ] {
        let ended = Program::run(CLIENT, &[wrong]);
        assert!(matches!(ended.code, Some(1 | 2)), "{wrong}");
        assert!(ended.errors.contains("ws://HOST:PORT"), "{}", ended.errors);
    }
    assert_eq!(Program::run(CLIENT, &["--shout"]).code, Some(2));
    assert_eq!(Program::run(SERVER, &["localhost:8765"]).code, Some(2));
    // No name ends in .invalid (RFC 2606).
    let unknown = Program::run(CLIENT, &["ws://no-such-host.invalid:8765"]);
    assert_eq!(unknown.code, Some(1));
    let error = "cannot connect to no-such-host.invalid:8765";
    assert!(unknown.errors.contains(error), "{}", unknown.errors);
    assert!(!unknown.errors.contains("is the server running"), "{}", unknown.errors);
}
