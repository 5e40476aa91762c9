//! What a real network does: pieces, limits, proxies, and peers that are slow, hostile or
//! gone. The tests judge a program by its behaviour alone.

mod program;
mod wire;

use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use program::{Ended, PATIENCE, Program};
use socket2::{Domain, SockRef, Socket, Type};
use wire::*;

/// As `printf ... | nc` does.
/// Hint: The end of what a client sends is not the end of what it wants to read.
/// No draft: whether it holds there depends on which of two things comes first.
#[test]
fn a_client_that_closes_its_sending_side_gets_all_its_answers() {
    let (_server, address) = start_server();
    for _ in 0..20 {
        let mut wire = Wire::to(address);
        wire.send(&request("GET", "/items/1", "").repeat(300));
        wire.0.get_ref().shutdown(Shutdown::Write).unwrap();
        for _ in 0..300 {
            assert_eq!(wire.receive().body, LAPTOP);
        }
        assert!(wire.is_closed());
    }
}

/// Hint: In HTTP/1.0 a connection ends with its answer, and no Host is needed.
#[test]
fn http_1_0_gets_its_answer_and_the_end_of_the_connection() {
    let (_server, address) = start_server();
    let mut wire = Wire::to(address);
    wire.send("GET /items/1 HTTP/1.0\r\n\r\n");
    assert_eq!(wire.receive().body, LAPTOP);
    assert!(wire.is_closed());
    let mut wire = Wire::to(address);
    wire.send("GET /items/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(wire.receive().header("connection"), Some("keep-alive"));
    assert_eq!(wire.ask("GET", "/items/1", "").body, LAPTOP);
}

/// Hint: A path is compared with the routes and is not a file name.
#[test]
fn an_unknown_path_is_404_and_no_path_leads_to_a_file() {
    let (_server, address) = start_server();
    let paths = [
        "/nowhere",
        "/items/",
        "/items/1/",
        "/items/1/name",
        "//items",
        "/ITEMS",
        "/../../../../etc/passwd",
        "/items/../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/items/..",
        "/etc/passwd",
    ];
    for path in paths {
        let answer = ask(address, "GET", path, "");
        assert!(matches!(answer.status, 404 | 422), "{path}: {answer:?}");
        answer.assert_error(answer.status);
        assert!(!answer.body.contains("root:"), "{answer:?}");
    }
    ask(address, "GET", "/../../../../etc/passwd", "").assert_error(404);
    assert_serves(address);
}

/// Hint: A content type may have parameters, and its case does not matter.
#[test]
fn json_is_known_by_its_essence_and_other_types_are_415() {
    let (_server, address) = start_server();
    let post = |kind: &str| {
        let length = LAMP.len();
        let mut wire = Wire::to(address);
        wire.send(&format!(
            "POST /items HTTP/1.1\r\nHost: test\r\n{kind}Content-Length: {length}\r\n\r\n{LAMP}"
        ));
        wire.receive()
    };
    for kind in
        ["application/json", "Application/JSON;charset=utf-8", "application/json ; x"]
    {
        assert_eq!(post(&format!("Content-Type: {kind}\r\n")).status, 201, "{kind}");
    }
    for kind in
        ["text/plain", "application/jsonx", "text/json, application/json", "\u{e9}"]
    {
        post(&format!("Content-Type: {kind}\r\n")).assert_error(415);
    }
    post("").assert_error(415);
}

/// Hint: A parser tells what is not JSON, and the client made that mistake.
#[test]
fn malformed_json_is_400() {
    let (_server, address) = start_server();
    let deep = "[".repeat(100_000);
    for text in [
        "{",
        "{\"name\":\"Lamp\"",
        "Lamp",
        &format!("{LAMP}{LAMP}"),
        "\u{feff}{}",
        &deep,
    ] {
        ask(address, "POST", "/items", text).assert_error(400);
    }
    let mut wire = Wire::to(address);
    let head =
        "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    wire.send(&format!("{head}Content-Length: 0\r\n\r\n"));
    wire.receive().assert_error(400);
    wire.send(&format!("{head}Content-Length: 23\r\n\r\n"));
    wire.0.get_ref().write_all(b"{\"name\":\"\xff\xfe\",\"price\":5}").unwrap();
    wire.receive().assert_error(400);
    assert_serves(address);
}

/// A server that waits for the whole body first would take what the client can send.
/// Hint: Content-Length announces the size before the body comes.
#[test]
fn a_body_over_1_mib_is_413_before_it_was_sent() {
    let (_server, address) = start_server();
    let head =
        "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    for expect in ["", "Expect: 100-continue\r\n"] {
        let mut wire = Wire::to(address);
        wire.send(&format!("{head}{expect}Content-Length: 104857600\r\n\r\n"));
        let answer = wire.receive();
        answer.assert_error(413);
        assert_eq!(answer.header("connection"), Some("close"));
    }
    // The greatest that may be: an item and much white space.
    let text = format!("{LAMP}{}", " ".repeat((1 << 20) - LAMP.len()));
    assert_eq!(ask(address, "POST", "/items", &text).status, 201);
    ask(address, "POST", "/items", &format!("{text} ")).assert_error(413);
    let mut wire = Wire::to(address);
    let chunk = format!("100001\r\n{text} \r\n0\r\n\r\n");
    wire.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}"));
    wire.receive().assert_error(413);
}

/// Hint: Closing while the client still sends may destroy the answer.
#[test]
fn a_client_that_sends_100_mib_reads_its_413_and_fills_no_memory() {
    let (server, address) = start_server();
    let head =
        "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    let mebibyte = vec![b' '; 1 << 20];
    for chunked in [false, true] {
        let mut wire = Wire::to(address);
        match chunked {
            true => wire.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n")),
            false => wire.send(&format!("{head}Content-Length: 104857600\r\n\r\n")),
        }
        for _ in 0..100 {
            let mut stream = wire.0.get_ref();
            if chunked {
                stream.write_all(b"100000\r\n").unwrap();
            }
            // It sends all before it reads, as many clients do.
            stream.write_all(&mebibyte).unwrap();
            if chunked {
                stream.write_all(b"\r\n").unwrap();
            }
        }
        wire.receive().assert_error(413);
    }
    assert_serves(address);
    #[cfg(target_os = "linux")] // Where /proc says it.
    assert!(memory(&server, "VmHWM") < 40_000, "{} kB", memory(&server, "VmHWM"));
    drop(server);
}

/// Hint: A client with Expect: 100-continue waits for a word before it sends the body.
#[test]
fn expect_100_continue_is_answered_before_the_body() {
    let (_server, address) = start_server();
    let mut wire = Wire::to(address);
    let head =
        "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    let length = LAMP.len();
    wire.send(&format!(
        "{head}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    ));
    assert_eq!(wire.receive().status, 100);
    wire.send(LAMP);
    assert_eq!(wire.receive().status, 201);
}

/// RFC 9112, section 3.2. HTTP/1.0 knows no Host, and browsers write it as a URL does.
/// Hint: RFC 9112, section 3.2, says which Host is valid.
#[test]
fn a_request_names_exactly_one_host_as_a_url_would() {
    let (_server, address) = start_server();
    for hosts in [
        "",
        "Host: a\r\nHost: b\r\n",
        "Host: a b/c\r\n",
        "Host: a/b\r\n",
        "Host: \r\n",
        "Host: [::1\r\n",
        "Host: \u{e9}\r\n",
    ] {
        let mut wire = Wire::to(address);
        wire.send(&format!("GET /items/1 HTTP/1.1\r\n{hosts}\r\n"));
        let answer = wire.receive();
        assert_eq!(answer.status, 400, "{hosts:?}: {answer:?}");
        answer.assert_error(400);
        // The connection goes on: the request was read to its end.
        assert_eq!(wire.ask("GET", "/items/1", "").body, LAPTOP);
    }
    for host in ["a", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"] {
        let mut wire = Wire::to(address);
        wire.send(&format!("GET /items/1 HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(wire.receive().body, LAPTOP, "{host}");
    }
}

/// What clients and proxies do that the slide does not show, and what comes of it.
/// Hint: Browsers, proxies and curl all send requests that differ a little.
#[test]
fn habits_of_real_clients_get_a_sensible_answer() {
    let (_server, address) = start_server();
    let host = "Host: test\r\n";
    let habits = [
        // A proxy asks by the whole URL.
        (format!("GET http://test/items/1 HTTP/1.1\r\n{host}\r\n"), 200),
        // An offer of another protocol may be ignored: `curl --http2` makes it.
        (
            format!(
                "GET /items/1 HTTP/1.1\r\n{host}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
            ),
            200,
        ),
        // A path with a slash at its end is another path, of which nothing is known.
        (format!("GET /items/ HTTP/1.1\r\n{host}\r\n"), 422),
        (format!("GET /items/1/ HTTP/1.1\r\n{host}\r\n"), 422),
        (format!("OPTIONS * HTTP/1.1\r\n{host}\r\n"), 404),
        (format!("OPTIONS /items HTTP/1.1\r\n{host}\r\n"), 405),
        (format!("CONNECT test:80 HTTP/1.1\r\n{host}\r\n"), 404),
        // An empty line before a request: some clients end a body with one.
        (format!("\r\nGET /items/1 HTTP/1.1\r\n{host}\r\n"), 200),
        // A GET with a body, of which HTTP says nothing.
        (
            format!("GET /items/1 HTTP/1.1\r\n{host}Content-Length: 2\r\n\r\n{{}}"),
            200,
        ),
    ];
    for (request, status) in habits {
        let mut wire = Wire::to(address);
        wire.send(&request);
        assert_eq!(wire.receive().status, status, "{request}");
    }
}

/// Each is answered with the status, or the connection closed, as RFC 9112 allows.
/// Hint: What one client sends must not end the server.
#[test]
fn hostile_requests_get_an_error_and_the_next_client_is_served() {
    let (_server, address) = start_server();
    let post =
        "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    let headers = "X-Long: ".to_string() + &"x".repeat(64 * 1024) + "\r\n";
    let many: String = (0..5000).map(|n| format!("X-{n}: y\r\n")).collect();
    let hostile = [
        ("\0\u{1}\u{2}garbage\r\n\r\n".to_string(), 400),
        ("Hello, world\r\n\r\n".to_string(), 400),
        ("GET / HTTP/9.9\r\nHost: test\r\n\r\n".to_string(), 400),
        ("GET /\r\n\r\n".to_string(), 400),
        ("GET / HTTP/1.1\r\nHost : test\r\n\r\n".to_string(), 400),
        ("GET / HTTP/1.1\r\n Host: test\r\n\r\n".to_string(), 400),
        ("GET / HTTP/1.1\r\nHost: test\r\nX: a\0b\r\n\r\n".to_string(), 400),
        (format!("GET / HTTP/1.1\r\nHost: test\r\n{headers}\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: test\r\n{many}\r\n"), 431),
        (
            format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(64 * 1024)),
            431,
        ),
        (format!("{post}Content-Length: 28\r\nContent-Length: 3\r\n\r\n{LAMP}"), 400),
        (format!("{post}Content-Length: 28, 3\r\n\r\n{LAMP}"), 400),
        (format!("{post}Content-Length: -1\r\n\r\n{LAMP}"), 400),
        (format!("{post}Content-Length: 99999999999999999999\r\n\r\n{LAMP}"), 400),
        (format!("{post}Transfer-Encoding: gzip\r\n\r\n{LAMP}"), 400),
        (format!("{post}Transfer-Encoding: chunked\r\n\r\nxyz\r\n{LAMP}"), 400),
    ];
    for (text, expected) in hostile {
        let start: String = text.chars().take(80).collect();
        let mut wire = Wire::to(address);
        // It may close before all is sent.
        let _ = wire.0.get_ref().write_all(text.as_bytes());
        let mut line = String::new();
        let _ = wire.0.read_line(&mut line);
        let status = line.split(' ').nth(1).unwrap_or_default();
        assert!(
            line.is_empty() || status == expected.to_string(),
            "{start:?}: {line}, not {expected}"
        );
        assert_serves(address);
    }
    assert_eq!(ask(address, "GET", "/items", "").body, BOTH, "nothing was changed");
}

/// Two lengths, or a length and chunks, are how requests are smuggled past a proxy.
/// Hint: Two lengths in one request are an attack: which one would a proxy believe?
#[test]
fn a_request_with_two_lengths_never_becomes_two_requests() {
    let (_server, address) = start_server();
    let post =
        "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    let hidden = request("DELETE", "/items/1", "");
    let two = format!(
        "{post}Content-Length: 0\r\nContent-Length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    let both = format!(
        "{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
    );
    for text in [two, both] {
        let mut wire = Wire::to(address);
        wire.send(&text);
        assert_eq!(wire.receive().status, 400);
        assert!(wire.is_closed(), "the rest was taken for a request");
    }
    let same =
        format!("{post}Content-Length: 28\r\nContent-Length: 28\r\n\r\n{LAMP}");
    let mut wire = Wire::to(address);
    wire.send(&same);
    // RFC 9112 allows either; hyper takes the two for one.
    assert!(matches!(wire.receive().status, 201 | 400));
    assert_serves(address);
}

/// Hint: How long may a request take to arrive?
#[test]
fn headers_that_never_end_on_200_connections_block_nobody_and_are_closed() {
    let (_server, address) = start_server();
    let start = Instant::now();
    let mut slow: Vec<Wire> = (0..200).map(|_| Wire::to(address)).collect();
    for (n, wire) in slow.iter_mut().enumerate() {
        // Some have said nothing at all.
        wire.send(["", "GET / HT", "GET / HTTP/1.1\r\nHost: test\r\nX: "][n % 3]);
    }
    assert_serves(address);
    assert!(start.elapsed() < Duration::from_secs(5), "they had to wait");
    for wire in &mut slow {
        let mut rest = Vec::new();
        // In order or by a reset, but not by the test's own patience.
        let end = wire.0.read_to_end(&mut rest).map_err(|error| error.kind());
        assert!(matches!(end, Ok(_) | Err(ErrorKind::ConnectionReset)), "{end:?}");
        let text = String::from_utf8(rest).unwrap();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
    }
    assert!(start.elapsed() > Duration::from_secs(5), "patience with the slow ones");
    assert_serves(address);
}

/// Hint: How long may a body take to arrive?
#[test]
fn a_body_that_never_ends_is_closed_and_a_client_that_leaves_harms_nobody() {
    let (_server, address) = start_server();
    let head =
        "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    let mut slow = Wire::to(address);
    slow.send(&format!("{head}Content-Length: 28\r\n\r\n{{\"name\""));
    let mut leaving = Wire::to(address);
    leaving.send(&format!("{head}Content-Length: 28\r\n\r\n{{\"name\""));
    leaving.0.get_ref().shutdown(Shutdown::Both).unwrap();
    let mut resetting = Wire::to(address);
    resetting.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\n{{\"n"));
    SockRef::from(resetting.0.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(resetting);
    assert_serves(address);
    // 408 before the end would be an answer, too.
    let mut answer = String::new();
    let end = slow.0.read_to_string(&mut answer).map_err(|error| error.kind());
    assert!(matches!(end, Ok(_) | Err(ErrorKind::ConnectionReset)), "{end:?}");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(ask(address, "GET", "/items", "").body, BOTH);
}

/// A client that asks for megabytes and never reads fills the buffers between, no
/// more; and it is closed, which no library does by itself.
/// Hint: For how long does writing wait while a client does not read?
#[test]
fn a_client_that_never_reads_harms_nobody_and_is_closed() {
    let (server, address) = start_server();
    let mut wire = Wire::to(address);
    // Answers of some 16 kB each, of which the buffers between hold a few MiB.
    wire.send(&request("POST", "/items", LAMP).repeat(400));
    (0..400).for_each(|_| assert_eq!(wire.receive().status, 201));
    let requests = request("GET", "/items", "").repeat(1000);
    let mut stream = wire.0.get_ref();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.write_all(requests.as_bytes()).unwrap();
    assert_serves(address);
    #[cfg(target_os = "linux")]
    assert!(memory(&server, "VmRSS") < 40_000, "{} kB", memory(&server, "VmRSS"));
    // Nothing of the answers is read, so the server's end shows in sending alone.
    let start = Instant::now();
    let error = loop {
        match stream.write(requests.as_bytes()) {
            Ok(_) => continue,
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut
                ) =>
            {
                assert!(start.elapsed() < Duration::from_secs(20), "still connected");
            }
            Err(error) => break error.kind(),
        }
    };
    let is_end = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    assert!(is_end.contains(&error), "{error}");
    drop(server);
}

/// A client that reads slowly, but reads, gets all of its answers.
/// Hint: A client that reads slowly is not a client that does not read.
#[test]
fn a_client_that_reads_slowly_gets_all_its_answers() {
    let (_server, address) = start_server();
    let mut slow = Wire::to(address);
    SockRef::from(slow.0.get_ref()).set_recv_buffer_size(16 * 1024).unwrap();
    let count = 2000;
    let requests = request("GET", "/items", "").repeat(count);
    let mut sending = slow.0.get_ref().try_clone().unwrap();
    let sender = thread::spawn(move || sending.write_all(requests.as_bytes()));
    for number in 0..count {
        if number % 500 == 0 {
            // Slowness is what is tested here; nothing waits for it.
            thread::sleep(Duration::from_millis(500));
        }
        assert_eq!(slow.receive().body, BOTH);
    }
    sender.join().unwrap().unwrap();
}

/// Of the system: `VmRSS` is the memory in use, `VmHWM` the most there was, in kB.
#[cfg(target_os = "linux")]
fn memory(program: &Program, what: &str) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", program.child.id()));
    let status = status.unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

/// Hint: What clients can make a server keep needs a bound.
#[test]
fn there_is_room_for_so_many_items_and_no_more() {
    let (_server, address) = start_server();
    let mut wire = Wire::to(address);
    let requests = request("POST", "/items", LAMP).repeat(100);
    let mut statuses = Vec::new();
    for _ in 0..100 {
        wire.send(&requests);
        statuses.extend((0..100).map(|_| wire.receive().status));
    }
    let created = statuses.iter().filter(|status| **status == 201).count();
    assert_eq!(created, 9998);
    assert_eq!(&statuses[9998..], [507, 507]);
    wire.ask("POST", "/items", LAMP).assert_error(507);
    assert_eq!(wire.ask("PUT", "/items/10000", LAMP).status, 200);
}

/// Hint: A path may hold any bytes, and a terminal obeys some of them.
#[test]
fn what_a_peer_sent_is_printed_without_control_characters_and_cut() {
    let (mut server, address) = start_server();
    ask(address, "GET", &format!("/{}", "x".repeat(1000)), "").assert_error(404);
    let line = server.wait_for("127.0.0.1:");
    let (_, line) = line.split_once(' ').unwrap();
    assert_eq!(line, format!("GET /{}: 404", "x".repeat(199)));
    let mut wire = Wire::to(address);
    wire.send("GET /\u{9b} HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut answer = String::new();
    let _ = wire.0.read_line(&mut answer);
    assert_eq!(ask(address, "GET", "/%1b", "").status, 404);
    let line = server.wait_for("127.0.0.1:");
    assert!(!line.contains(char::is_control), "{line}");
}

/// Without a free file descriptor it serves on, and does not spin.
/// Hint: What should a server do when accepting fails?
#[cfg(target_os = "linux")]
#[test]
fn running_out_of_file_descriptors_makes_clients_wait_and_no_more() {
    let program = std::env::var("REST_SERVER").unwrap_or(SERVER.to_string());
    let limited = format!("ulimit -n 40; exec {program} 127.0.0.1:0");
    let mut server = Program::start("/bin/sh", &["-c", &limited]);
    let address = server.address(READY);
    let mut wires: Vec<Wire> = (0..60).map(|_| Wire::to(address)).collect();
    server.wait_for_error("Cannot accept: ");
    assert_eq!(wires[0].ask("GET", "/items/1", "").body, LAPTOP);
    wires.drain(..40);
    for wire in &mut wires {
        assert_eq!(wire.ask("GET", "/items/1", "").body, LAPTOP);
    }
    let complaints = server.kill().errors.lines().count();
    assert!(complaints < 300, "it complains without a pause: {complaints} times");
}

/// Hint: An IPv6 address stands in brackets in a URL.
/// No draft: it is about the client.
#[test]
fn both_programs_work_over_ipv6() {
    let mut server = Program::start(SERVER, &["[::1]:0"]);
    let address = server.address(READY);
    assert_eq!(run_client(address, &["get", "1"]).output[0], "HTTP/1.1 200 OK");
}

/// Hint: A name may have several addresses, and not all of them answer.
/// No draft: it is about the client.
#[test]
fn a_name_is_looked_up_and_every_address_tried() {
    let (_server, address) = start_server();
    // On many systems the first address of this name is ::1, where nobody listens.
    let url = format!("http://localhost:{}/", address.port());
    let client = Program::run(CLIENT, &["list", "--server", &url]);
    assert_eq!(client.output[0], "HTTP/1.1 200 OK");
}

/// Hint: Say what failed, where, and what the system says.
/// No draft: it is about the client.
#[test]
fn a_closed_port_is_a_clear_error() {
    // Bound but not listening: the port is taken, and closed.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let client = run_client(address, &["list"]);
    assert_eq!(client.code, Some(1));
    let error = format!("Error: cannot connect to {address}");
    assert!(client.errors.starts_with(&error), "{}", client.errors);
    assert!(client.errors.contains("is the server running?"), "{}", client.errors);
}

/// Hint: Say what failed, where, and what the system says.
#[test]
fn a_port_in_use_is_a_clear_error() {
    let (_server, address) = start_server();
    let second = Program::run(SERVER, &[&address.to_string()]);
    assert_eq!(second.code, Some(1));
    let error = format!("cannot listen on {address}");
    assert!(second.errors.contains(&error), "{}", second.errors);
}

/// The next connection; a program that never connects fails the test in time.
fn accept(listener: &TcpListener) -> TcpStream {
    let (sender, accepted) = mpsc::channel();
    let listener = listener.try_clone().unwrap();
    thread::spawn(move || sender.send(listener.accept().unwrap().0));
    accepted.recv_timeout(PATIENCE).expect("expected a connection, and none came")
}

/// A client that meets this instead of the real server.
fn start_fake_server(
    serve: impl FnOnce(TcpStream) + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, thread::spawn(move || serve(accept(&listener))))
}

fn run_client_against(answer: &str) -> Ended {
    let answer = answer.to_string();
    let (fake, _thread) = start_fake_server(move |mut connection| {
        let _ = connection.read(&mut [0; 1000]);
        let _ = connection.write_all(answer.as_bytes());
    });
    run_client(fake, &["list"])
}

/// Hint: Not everything on a port speaks the protocol that you expect.
/// No draft: it is about the client.
#[test]
fn the_client_shows_what_is_not_json_and_refuses_what_is_not_http() {
    let html = "HTTP/1.0 502 Bad Gateway\r\n\r\n<h1>\u{1b}[2J</h1>\n";
    let client = run_client_against(html);
    assert_eq!(client.output, ["HTTP/1.0 502 Bad Gateway", "<h1>\u{fffd}[2J</h1>"]);
    assert_eq!(client.code, Some(1));
    for body in ["Hello, world", "", "{\"name\":"] {
        let length = body.len();
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        let client = run_client_against(&answer);
        assert_eq!(client.output[0], "HTTP/1.1 200 OK");
        assert_eq!(client.code, Some(1), "{body:?} is not JSON");
        assert!(
            client.errors.contains("the answer is not JSON"),
            "{}",
            client.errors
        );
    }
    let moved = "HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(run_client_against(moved).code, Some(1));
    for broken in
        ["Hello, world", "", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
    {
        let client = run_client_against(broken);
        assert_eq!((client.code, client.output.len()), (Some(1), 0), "{broken}");
        assert!(client.errors.starts_with("Error: no answer from 127.0.0.1:"));
    }
}

/// Hint: Every wait of a client needs a bound, and so does every size.
/// No draft: it is about the client.
#[test]
fn the_client_waits_for_no_endless_and_for_no_missing_answer() {
    let (endless, _thread) = start_fake_server(|mut connection| {
        let _ = connection.read(&mut [0; 1000]);
        let _ = connection.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        while connection.write_all(&[b'x'; 1 << 16]).is_ok() {}
    });
    let client = run_client(endless, &["list"]);
    assert_eq!(client.code, Some(1));
    assert!(client.errors.contains("no answer from 127.0.0.1:"), "{}", client.errors);
    let (silent, thread) = start_fake_server(|mut connection| {
        let _ = connection.read_to_end(&mut Vec::new());
    });
    let client = run_client(silent, &["list"]);
    assert_eq!(client.code, Some(1));
    assert!(client.errors.contains("no answer from 127.0.0.1:"), "{}", client.errors);
    thread.join().unwrap();
}

/// The purpose of the client is to show the answer, however long it is.
/// Hint: The answer is what the person asked for.
/// No draft: it is about the client.
#[test]
fn the_client_shows_a_long_answer_whole() {
    // As long as a list of 10,000 items may be.
    let name = "x".repeat(2_000_000);
    let body = format!("{{\"name\":\"{name}\"}}");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let client = run_client_against(&(head + &body));
    assert_eq!(client.code, Some(0), "{}", client.errors);
    assert!(client.output[2] == format!("  \"name\": \"{name}\""), "it is cut");
}

/// Hint: The contract says which exit status means what.
/// No draft: it is about the arguments.
#[test]
fn wrong_arguments_exit_with_2_and_a_wrong_or_unknown_server_with_1() {
    let wrong =
        ["", "get", "get x", "create Lamp", "create Lamp cheap", "list 1", "put 1"];
    for arguments in wrong {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        assert_eq!(Program::run(CLIENT, &arguments).code, Some(2), "{arguments:?}");
    }
    assert_eq!(Program::run(SERVER, &["localhost:8000"]).code, Some(2));
    for server in [
        "127.0.0.1:8000",
        "https://localhost",
        "ftp://a",
        "http://a/b",
        "http://a:x",
        "http://a:65536",
        "http://a?b",
        "http://u@a",
        "http://u@a:80",
    ] {
        let ended = Program::run(CLIENT, &["list", "--server", server]);
        assert!(matches!(ended.code, Some(1 | 2)), "{server}: {}", ended.errors);
        assert!(ended.errors.contains("http://HOST:PORT"), "{}", ended.errors);
    }
    // No name ends in .invalid (RFC 2606).
    let url = "http://no-such-host.invalid:8000";
    let unknown = Program::run(CLIENT, &["--server", url, "list"]);
    assert_eq!(unknown.code, Some(1));
    let error = "cannot connect to no-such-host.invalid:8000";
    assert!(unknown.errors.contains(error), "{}", unknown.errors);
    assert!(!unknown.errors.contains("is the server running"), "{}", unknown.errors);
}
