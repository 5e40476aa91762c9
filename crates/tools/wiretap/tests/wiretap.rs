//! Starts the real wiretap between clients and servers of the test, and compares what
//! it lets through, and what it prints, with what it was asked for.
#![cfg(unix)] // A signal makes the wiretap end and print its summary.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};
use wiretap::dissect::{Direction, Dissector, Protocol};
use wiretap::{Event, Options, Wiretap};

#[cfg(target_os = "linux")]
#[path = "../../claims/tests/procfs/mod.rs"]
mod procfs;
#[path = "../../../tcp-echo/tests/program/mod.rs"]
mod program;
use program::{Ended, PATIENCE, Program, assert_shown};

const WIRETAP: &str = env!("CARGO_BIN_EXE_wiretap");

/// A server of the test, not accepted from yet.
fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// A port that nobody else is given, and that refuses whoever knocks: of TCP it does
/// not listen, of UDP it takes datagrams of another peer alone.
fn closed_port(kind: Type) -> (Socket, String) {
    let socket = Socket::new(Domain::IPV4, kind, None).unwrap();
    // Only so a wiretap of the test could have it too.
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    if kind == Type::DGRAM {
        socket.connect(&address.into()).unwrap();
    }
    (socket, address.to_string())
}

fn udp_socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The wiretap in front of the target, on any free port.
fn tap(target: &str, options: &[&str]) -> (Program, SocketAddr) {
    let arguments = [&["127.0.0.1:0", target], options].concat();
    let mut wiretap = Program::start(WIRETAP, &arguments);
    let line = wiretap.wait_for("Wiretap listening on ");
    let (address, to) = line.split_once(", forwarding to ").unwrap();
    assert_eq!(to, target);
    (wiretap, address.parse().unwrap())
}

/// A client and the server's end of a connection through the wiretap.
fn pair(listener: &TcpListener, wiretap: SocketAddr) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(wiretap).unwrap();
    let server = listener.accept().unwrap().0;
    for socket in [&client, &server] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
    }
    (client, server)
}

fn send(mut socket: &TcpStream, bytes: &[u8]) {
    socket.write_all(bytes).unwrap();
}

fn receive(mut socket: &TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes).unwrap();
    bytes
}

/// What comes until the stream ends, and whether its end was a reset.
fn receive_all(mut socket: &TcpStream) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let result = socket.read_to_end(&mut bytes);
    match result.map_err(|error| error.kind()) {
        Ok(_) => (bytes, false),
        Err(ErrorKind::ConnectionReset) => (bytes, true),
        Err(error) => panic!("{error} after {bytes:?}"),
    }
}

/// Closing it now sends a reset.
fn reset(socket: TcpStream) {
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Waits for a line of the wiretap that has this in it.
fn wait_for(wiretap: &mut Program, part: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let line = wiretap.wait_for("");
        if line.contains(part) {
            return line;
        }
        assert!(Instant::now() < deadline, "no line with '{part}'");
    }
}

fn finish(wiretap: Program) -> Ended {
    wiretap.signal("TERM");
    let ended = wiretap.end();
    assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""));
    ended
}

/// The lines without their times and their numbers.
fn stories(ended: &Ended) -> Vec<&str> {
    let lines = ended.output.iter().filter_map(|line| line.split_once(" s  "));
    lines.map(|(_, story)| story.trim()).collect()
}

/// A file of the test's own.
fn file(name: &str) -> PathBuf {
    env::temp_dir().join(format!("wiretap-{}-{name}", process::id()))
}

fn tshark(arguments: &[&str]) -> String {
    let output = Command::new("tshark").args(arguments).output();
    let output = output.expect("tshark is needed: apt-get install tshark");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_message_is_a_line_as_the_readme_shows() {
    let (listener, target) = listen();
    let (wiretap, address) = tap(&target, &["--once"]);
    let (client, server) = pair(&listener, address);
    send(&client, b"Hello, world");
    send(&server, &receive(&server, 12));
    assert_eq!(receive(&client, 12), b"Hello, world");
    drop(client);
    assert_eq!(receive_all(&server), (vec![], false));
    drop(server);
    let ended = wiretap.end();
    assert_eq!(ended.code, Some(0));
    let readme = include_str!("../README.md");
    let command = "cargo run -q -p wiretap -- 127.0.0.1:65433 127.0.0.1:65432 --once";
    assert_shown(readme, command, &ended.output);
}

#[test]
fn a_side_that_closes_its_sending_side_can_still_receive() {
    let (listener, target) = listen();
    let (mut wiretap, address) = tap(&target, &[]);
    let (client, server) = pair(&listener, address);
    send(&client, b"question");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(receive_all(&server), (b"question".to_vec(), false));
    wait_for(&mut wiretap, "client -> server  end of the stream");
    send(&server, b"answer");
    drop(server);
    assert_eq!(receive_all(&client), (b"answer".to_vec(), false));
    wait_for(&mut wiretap, "client <- server  end of the stream");
}

#[test]
fn a_reset_of_either_side_reaches_the_other_as_a_reset() {
    let (listener, target) = listen();
    let (mut wiretap, address) = tap(&target, &[]);
    let (client, server) = pair(&listener, address);
    send(&client, b"last words");
    reset(client);
    assert_eq!(receive_all(&server), (b"last words".to_vec(), true));
    wait_for(&mut wiretap, "client -> server  reset");
    let (client, server) = pair(&listener, address);
    send(&client, b"connected");
    receive(&server, 9);
    reset(server);
    assert_eq!(receive_all(&client), (vec![], true));
    wait_for(&mut wiretap, "client <- server  reset");
}

#[test]
fn a_reset_is_passed_on_even_when_nobody_reads_from_who_sends_it() {
    let (listener, target) = listen();
    let (_wiretap, address) = tap(&target, &[]);
    // The wiretap waits for the server to read, and so reads no more of the client.
    let (client, server) = pair(&listener, address);
    client.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    while (&client).write(&[b'x'; 65_536]).is_ok() {}
    reset(client);
    wait_for_reset(&server);
    // The client has ended its stream: nothing more is read from it.
    let (client, server) = pair(&listener, address);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(receive_all(&server), (vec![], false));
    reset(client);
    wait_for_reset(&server);
}

/// Waits until the kernel knows of a reset, without reading or writing.
fn wait_for_reset(socket: &TcpStream) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match socket.take_error().unwrap().map(|error| error.kind()) {
            // Of who has ended its own stream the kernel says that it is broken.
            Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => return,
            Some(error) => panic!("{error}"),
            None => thread::sleep(Duration::from_millis(10)),
        }
        assert!(Instant::now() < deadline, "no reset came");
    }
}

#[test]
fn a_target_that_nobody_listens_at_resets_the_client_and_ends_nothing() {
    let (_closed, target) = closed_port(Type::STREAM);
    let (mut wiretap, address) = tap(&target, &[]);
    for _ in 0..2 {
        let client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(receive_all(&client), (vec![], true));
        wait_for(
            &mut wiretap,
            &format!("cannot connect to {target}: Connection refused"),
        );
    }
}

#[test]
fn connections_are_numbered_as_soon_as_there_are_several() {
    let (listener, target) = listen();
    let (wiretap, address) = tap(&target, &[]);
    let pairs: Vec<_> = (0..3).map(|_| pair(&listener, address)).collect();
    for (number, (client, server)) in pairs.iter().enumerate() {
        send(client, format!("from {number}").as_bytes());
        assert_eq!(receive(server, 6), format!("from {number}").as_bytes());
    }
    let ended = finish(wiretap);
    let stories = stories(&ended);
    assert!(stories[0].starts_with("client -> server  connected from 127.0.0.1:"));
    assert!(stories[1].starts_with("#2  client -> server  connected from "));
    assert!(stories[3].starts_with("#1  client -> server      6 bytes"));
    assert!(stories[3].ends_with(": from 0") && stories[5].ends_with(": from 2"));
    assert!(
        ended.output.iter().any(|line| line == "Summary: 3 connections, 3 messages")
    );
}

/// Two hundred million bytes each way at once, compared byte by byte.
#[test]
fn two_hundred_megabytes_come_through_unchanged_in_both_directions() {
    const TOTAL: usize = 200_000_000;
    let (listener, target) = listen();
    let (wiretap, address) = tap(&target, &[]);
    let (client, server) = pair(&listener, address);
    // Its length has no factor in common with a buffer's.
    let block: Vec<u8> =
        (0..65_521u32).map(|n| (n.wrapping_mul(n) >> 5) as u8).collect();
    let write = |socket: &TcpStream| {
        (0..TOTAL).step_by(block.len()).for_each(|done| {
            send(socket, &block[..block.len().min(TOTAL - done)]);
        });
        socket.shutdown(Shutdown::Write).unwrap();
    };
    let read = |mut socket: &TcpStream| {
        let mut place = 0;
        let mut buffer = vec![0; 50_000];
        loop {
            let length = socket.read(&mut buffer).unwrap();
            if length == 0 {
                return assert_eq!(place, TOTAL);
            }
            let mut rest = &buffer[..length];
            while !rest.is_empty() {
                let expected = &block[place % block.len()..];
                let length = rest.len().min(expected.len());
                assert!(rest[..length] == expected[..length], "changed near {place}");
                (rest, place) = (&rest[length..], place + length);
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| write(&client));
        scope.spawn(|| write(&server));
        scope.spawn(|| read(&client));
        scope.spawn(|| read(&server));
    });
    let ended = finish(wiretap);
    let crossed =
        ended.output.iter().filter(|line| line.contains("200000000 bytes:"));
    assert_eq!(crossed.count(), 2, "both directions in the summary");
}

#[cfg(target_os = "linux")]
#[test]
fn a_receiver_that_stops_reading_stops_its_sender_and_takes_no_memory() {
    let (listener, target) = listen();
    for options in [&["--hex"][..], &["--delay", "1ms"]] {
        let (wiretap, address) = tap(&target, options);
        let (client, server) = pair(&listener, address);
        send(&client, b"warm");
        receive(&server, 4);
        let before = procfs::status(wiretap.child.id(), "VmRSS:");
        client.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let blocks =
            (0..4096).take_while(|_| (&client).write(&[b'x'; 65_536]).is_ok());
        assert!(blocks.count() < 4096, "256 MiB went into nowhere");
        let grown =
            procfs::status(wiretap.child.id(), "VmRSS:").saturating_sub(before);
        assert!(grown < 8192, "{options:?}: {grown} kB more");
    }
}

#[test]
fn what_a_peer_sends_cannot_steer_the_terminal() {
    let (listener, target) = listen();
    let (mut wiretap, address) = tap(&target, &["--hex", "--as", "raw"]);
    let (client, server) = pair(&listener, address);
    send(&client, b"\x1b[2J\xff");
    receive(&server, 5);
    let line = wait_for(&mut wiretap, "5 bytes");
    assert!(line.ends_with(": 1b 5b 32 4a ff"), "{line}");
    let line = wait_for(&mut wiretap, "0000");
    assert!(line.contains("payload 0000  1b 5b 32 4a ff   "), "{line}");
    assert!(line.ends_with(" .[2J."), "{line}");
    send(&client, "é\u{202e}\n".as_bytes());
    let line = wait_for(&mut wiretap, "6 bytes");
    assert!(line.ends_with(r": é\u{202e}\u{a}"), "{line}");
}

#[test]
fn ctrl_c_sigterm_and_a_closed_terminal_end_it_with_0_a_summary_and_its_diagram() {
    for signal in ["INT", "TERM", "HUP"] {
        let diagram = file(&format!("{signal}.mmd"));
        let (listener, target) = listen();
        let (wiretap, address) =
            tap(&target, &["--mermaid", diagram.to_str().unwrap()]);
        let (client, server) = pair(&listener, address);
        send(&client, b"open");
        receive(&server, 4);
        wiretap.signal(signal);
        assert_eq!(receive_all(&server), (vec![], false));
        let ended = wiretap.end();
        assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""), "{signal}");
        assert!(
            ended.output.contains(&"Summary: 1 connection, 1 message".to_string())
        );
        let drawn = fs::read_to_string(&diagram).unwrap();
        assert!(drawn.ends_with("C->>S: text open\n"), "{signal}: {drawn}");
        fs::remove_file(diagram).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn nohup_keeps_it_running_when_the_terminal_is_closed() {
    let (listener, target) = listen();
    let command = "trap '' HUP; exec \"$@\"";
    let arguments = ["-c", command, "sh", WIRETAP, "127.0.0.1:0", &target];
    let mut wiretap = Program::start("sh", &arguments);
    let line = wiretap.wait_for("Wiretap listening on ");
    let address = line.split_once(',').unwrap().0.parse().unwrap();
    wiretap.signal("HUP");
    let (client, server) = pair(&listener, address);
    send(&client, b"still there");
    assert_eq!(receive(&server, 11), b"still there");
    finish(wiretap);
}

/// The output of a wiretap whose standard output is a terminal.
#[cfg(unix)]
fn on_a_terminal(variables: &[(&str, &str)]) -> String {
    let (listener, target) = listen();
    let ends = nix::pty::openpty(None, None).unwrap();
    let mut command = Command::new(WIRETAP);
    command.args(["127.0.0.1:0", &target, "--once", "--cut-after", "2messages"]);
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command.env("TERM", "xterm").envs(variables.iter().copied()).stdout(ends.slave);
    let mut wiretap = command.spawn().unwrap();
    // Here it still holds the terminal's other end, whose output would never end.
    drop(command);
    let mut terminal = BufReader::new(fs::File::from(ends.master));
    let mut shown = String::new();
    terminal.read_line(&mut shown).unwrap();
    let address = shown.split([' ', ',']).nth(3).unwrap().parse().unwrap();
    let (client, server) = pair(&listener, address);
    send(&client, b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00");
    receive(&server, 14);
    send(&server, b"\x20\x02\x00\x00");
    receive_all(&client);
    // Linux calls the end of a terminal an error.
    while terminal.read_line(&mut shown).is_ok_and(|length| length > 0) {}
    assert_eq!(wiretap.wait().unwrap().code(), Some(0));
    shown
}

#[cfg(unix)]
#[test]
fn a_terminal_shows_direction_header_and_faults_in_colours() {
    let shown = on_a_terminal(&[]);
    let green = "\u{1b}[32mclient -> server\u{1b}[0m";
    assert!(shown.contains(&format!("{green}  connected from ")), "{shown:?}");
    assert!(shown.contains("\u{1b}[35mclient <- server\u{1b}[0m"), "{shown:?}");
    assert!(shown.contains("\u{1b}[36m(14 header)\u{1b}[0m  "), "{shown:?}");
    assert!(shown.contains("\u{1b}[1m\u{1b}[31mFAULT: cut"), "{shown:?}");
    let shown = on_a_terminal(&[("NO_COLOR", "1")]);
    assert!(shown.contains("client -> server  connected from "), "{shown:?}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn each_event_is_an_object_of_json_as_the_readme_shows() {
    let (listener, target) = listen();
    let arguments = ["127.0.0.1:0", &*target, "--once", "--json"];
    let mut wiretap = Program::start(WIRETAP, &arguments);
    let line = wiretap.output_up_to("").remove(0);
    let ready: Value = serde_json::from_str(&line).unwrap();
    let (client, server) = pair(&listener, address_of(&ready));
    send(&client, b"Hello, world");
    send(&server, &receive(&server, 12));
    receive(&client, 12);
    drop(client);
    receive_all(&server);
    drop(server);
    let command =
        "cargo run -q -p wiretap -- 127.0.0.1:65433 127.0.0.1:65432 --once --json";
    assert_shown(include_str!("../README.md"), command, &wiretap.end().output);
}

fn address_of(ready: &Value) -> SocketAddr {
    assert_eq!(ready["event"], "listening");
    ready["address"].as_str().unwrap().parse().unwrap()
}

#[test]
fn json_has_every_byte_and_nothing_that_steers_a_terminal() {
    let (listener, target) = listen();
    let options = ["--json", "--hex", "--as", "raw", "--cut-after", "2messages"];
    let arguments = [&["127.0.0.1:0", &*target], &options[..]].concat();
    let mut wiretap = Program::start(WIRETAP, &arguments);
    let ready: Value = serde_json::from_str(&wiretap.wait_for("")).unwrap();
    assert_eq!(ready["faults"], "cut after 2 messages");
    let (client, server) = pair(&listener, address_of(&ready));
    send(&client, "\u{9b}2J\u{202e}".as_bytes());
    receive(&server, 7);
    send(&client, b"\xff");
    receive_all(&client);
    let ended = finish(wiretap);
    let steers = |c: char| c.is_control() || c == '\u{202e}';
    assert!(!ended.output.iter().any(|line| line.contains(steers)));
    let events = ended.output.iter().map(|line| serde_json::from_str(line).unwrap());
    let events: Vec<Value> = events.collect();
    let named = |name| events.iter().filter(move |event| event["event"] == name);
    let messages: Vec<&Value> = named("message").collect();
    assert_eq!(messages[0]["payload"], "\u{9b}2J\u{202e}");
    assert_eq!(messages[0]["hex"], "c2 9b 32 4a e2 80 ae");
    assert_eq!(messages[1]["payload_hex"], "ff");
    assert_eq!(messages[1]["direction"], "to_server");
    let what = "cut: the connection is reset both ways";
    assert_eq!(named("fault").next().unwrap()["what"], what);
    let summary = events.last().unwrap();
    assert_eq!(summary["faults"]["cut"], 1);
    assert_eq!(summary["to_server"]["bytes"], 8);
}

#[test]
fn the_readme_lists_all_events_of_json_and_their_fields() {
    let (way, client) = (Direction::ToServer, SocketAddr::from(([127, 0, 0, 1], 1)));
    let mut message = Dissector::new(Some(Protocol::Raw)).push(way, b"x");
    let events = [
        Event::Connected(client),
        Event::FirstDatagram(client),
        Event::Message(message.remove(0), vec![1]),
        Event::End(way),
        Event::Reset(way),
        Event::Fault(Some(way), String::new()),
        Event::Trouble(String::new()),
        Event::LeftOut(1),
    ];
    let lines = events.map(|event| {
        let line = wiretap::Line {
            time: Duration::ZERO,
            connection: 1,
            numbered: false,
            event,
        };
        line.json()
    });
    let listen = "127.0.0.1:0".parse().unwrap();
    let wiretap =
        Wiretap::start(listen, "127.0.0.1:1", Options::default(), |_| {}).unwrap();
    let (ready, summary) = (wiretap.json(), wiretap.stop().unwrap().json());
    let readme = include_str!("../README.md");
    for line in lines.iter().chain([&ready, &summary]) {
        let event: Value = serde_json::from_str(line).unwrap();
        let name = event["event"].as_str().unwrap();
        let row = format!("| `{name}` |");
        assert!(readme.contains(&row), "the README does not list {name}");
        for field in event.as_object().unwrap().keys() {
            let field = format!("`{field}`");
            assert!(readme.contains(&field), "the README does not explain {field}");
        }
    }
}

#[test]
fn a_terminal_that_reads_nothing_neither_stops_the_forwarding_nor_the_end() {
    let (listener, target) = listen();
    let mut wiretap = Command::new(WIRETAP)
        .args(["127.0.0.1:0", &target])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    // Of one byte, or it would read more than the line.
    let mut output = BufReader::with_capacity(1, wiretap.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let address = line.split([' ', ',']).nth(3).unwrap().parse().unwrap();
    let (client, server) = pair(&listener, address);
    // A pipe takes 64 KiB.
    for _ in 0..3000 {
        send(&client, b"more than a pipe takes");
        receive(&server, 22);
    }
    let id = wiretap.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let deadline = Instant::now() + PATIENCE;
    while wiretap.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            wiretap.kill().unwrap();
            panic!("it does not end");
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(wiretap.wait().unwrap().code(), Some(0));
}

#[test]
fn nonsense_exits_with_2_and_what_cannot_be_had_with_1() {
    let run = |options: &[&str]| {
        Program::run(WIRETAP, &[&["127.0.0.1:0", "127.0.0.1:1"], options].concat())
    };
    let wrong = [
        &["--drop", "20%"][..],
        &["--udp", "--drop", "120%"],
        &["--udp", "--drop", "20"],
        &["--udp", "--slice", "1"],
        &["--udp", "--swallow", "PUBACK"],
        &["--udp", "--once"],
        &["--udp", "--as", "mqtt"],
        &["--slice", "0"],
        &["--cut-after", "3"],
        &["--cut-after", "0B"],
        &["--rate", "0B/s"],
        &["--delay", "20ms±50ms"],
        &["--freeze", "soon"],
        &["--freeze-after", "1message"],
        &["--as", "gopher"],
    ];
    for wrong in wrong {
        let ended = run(wrong);
        assert_eq!(ended.code, Some(2), "{wrong:?}: {}", ended.errors);
    }
    assert_eq!(Program::run(WIRETAP, &["localhost:1", "127.0.0.1:1"]).code, Some(2));
    assert_eq!(Program::run(WIRETAP, &["127.0.0.1:0", "127.0.0.1"]).code, Some(2));
    for option in ["--pcap", "--mermaid"] {
        let ended = run(&[option, "/no/such/folder/file"]);
        assert_eq!(ended.code, Some(1), "{option}");
        assert!(ended.errors.contains("Error: cannot write /no/such/"), "{option}");
    }
    let (_listener, taken) = listen();
    let ended = Program::run(WIRETAP, &[&taken, "127.0.0.1:1"]);
    assert_eq!(ended.code, Some(1));
    let error = format!("Error: cannot listen on {taken} (try another port)");
    assert!(ended.errors.starts_with(&error), "{}", ended.errors);
}

#[test]
fn a_wiretap_that_cannot_start_leaves_what_an_earlier_one_has_written() {
    let (drawn, recorded) = (file("earlier.mmd"), file("earlier.pcap"));
    let files = [&drawn, &recorded].map(|path| path.to_str().unwrap());
    files.iter().for_each(|path| fs::write(path, "earlier").unwrap());
    let run = |listen: &str, mermaid: &str, pcap: &str| {
        let files = ["--mermaid", mermaid, "--pcap", pcap];
        let ended =
            Program::run(WIRETAP, &[&[listen, "127.0.0.1:1"], &files[..]].concat());
        assert_eq!(ended.code, Some(1), "{}", ended.errors);
    };
    let (listener, taken) = listen();
    run(&taken, files[0], files[1]);
    run("127.0.0.1:0", files[0], "/no/such/folder/file");
    run("127.0.0.1:0", "/no/such/folder/file", files[1]);
    for path in files {
        assert_eq!(fs::read_to_string(path).unwrap(), "earlier", "{path}");
    }
    let (wiretap, _) = tap(&taken, &["--mermaid", files[0], "--pcap", files[1]]);
    assert_eq!(fs::read_to_string(files[0]).unwrap(), "");
    finish(wiretap);
    assert!(fs::read_to_string(files[0]).unwrap().starts_with("sequenceDiagram\n"));
    drop(listener);
    files.iter().for_each(|path| fs::remove_file(path).unwrap());
}

/// Claim 21: a read is not a message.
#[test]
fn slices_are_segments_of_their_own_and_the_bytes_stay_the_same() {
    let (listener, target) = listen();
    let path = file("slices.pcap");
    let (wiretap, address) =
        tap(&target, &["--slice", "1", "--pcap", path.to_str().unwrap()]);
    let (client, server) = pair(&listener, address);
    send(&client, b"Hello, world");
    assert_eq!(receive(&server, 12), b"Hello, world");
    #[cfg(target_os = "linux")]
    assert_eq!(segments_in(&server), 12);
    finish(wiretap);
    let sizes =
        tshark(&["-r", path.to_str().unwrap(), "-T", "fields", "-e", "tcp.len"]);
    assert_eq!(sizes.lines().filter(|&size| size == "1").count(), 12);
    fs::remove_file(path).unwrap();
}

/// How many segments with data have come, by Linux's own account (TCP_INFO).
#[cfg(target_os = "linux")]
fn segments_in(socket: &TcpStream) -> u32 {
    use std::os::fd::AsRawFd;
    // Linux's struct tcp_info, whose end the C library does not know.
    let mut info = [0u32; 64];
    let mut length = size_of_val(&info) as nix::libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, which the array has.
    let result = unsafe {
        nix::libc::getsockopt(
            socket.as_raw_fd(),
            nix::libc::IPPROTO_TCP,
            nix::libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &mut length,
        )
    };
    assert!(result == 0 && length >= 156, "no tcpi_data_segs_in in {length} bytes");
    info[152 / 4]
}

#[test]
fn a_connection_is_cut_after_so_many_bytes_and_the_next_is_not() {
    let (listener, target) = listen();
    let (wiretap, address) = tap(&target, &["--cut-after", "10B"]);
    let (client, server) = pair(&listener, address);
    send(&client, b"1234");
    assert_eq!(receive(&server, 4), b"1234");
    send(&server, b"5678");
    assert_eq!(receive(&client, 4), b"5678");
    send(&client, b"90never");
    assert_eq!(receive_all(&server), (b"90".to_vec(), true));
    assert_eq!(receive_all(&client), (vec![], true));
    let (client, server) = pair(&listener, address);
    send(&client, b"a longer message");
    assert_eq!(receive(&server, 16), b"a longer message");
    let ended = finish(wiretap);
    let cut = "FAULT: cut: the connection is reset both ways";
    assert_eq!(stories(&ended).iter().filter(|line| line.ends_with(cut)).count(), 1);
    assert!(ended.output.contains(&"Faults made: 1 cut".to_string()));
    assert_eq!(ended.output[1], "Faults: cut after 10 B");
}

#[test]
fn a_connection_is_cut_after_so_many_messages() {
    let (listener, target) = listen();
    let (_wiretap, address) =
        tap(&target, &["--cut-after", "3 messages", "--times", "2", "--as", "mqtt"]);
    for _ in 0..2 {
        let (client, server) = pair(&listener, address);
        send(&client, CONNECT);
        receive(&server, CONNECT.len());
        send(&server, CONNACK);
        receive(&client, CONNACK.len());
        send(&client, &[PINGREQ, PINGREQ].concat());
        assert_eq!(receive_all(&server), (PINGREQ.to_vec(), true));
        assert_eq!(receive_all(&client), (vec![], true));
    }
    let (client, server) = pair(&listener, address);
    send(&client, &[CONNECT, PINGREQ, PINGREQ, PINGREQ].concat());
    receive(&server, CONNECT.len() + 6);
}

const CONNECT: &[u8] = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02me";
const CONNACK: &[u8] = &[0x20, 2, 0, 0];
const PUBLISH: &[u8] = b"\x32\x08\x00\x01t\x00\x0121\xc2\xb0";
const PUBACK: &[u8] = &[0x40, 2, 0, 1];
const PINGREQ: &[u8] = &[0xc0, 0];

/// Claim 75: the broker has the message, and the publisher cannot know it.
#[test]
fn a_swallowed_message_is_lost_and_what_came_before_it_is_not() {
    let (listener, target) = listen();
    let (wiretap, address) = tap(&target, &["--swallow", "PUBACK"]);
    for round in 0..2 {
        let (client, server) = pair(&listener, address);
        send(&client, CONNECT);
        receive(&server, CONNECT.len());
        send(&server, CONNACK);
        assert_eq!(receive(&client, 4), CONNACK);
        send(&client, PUBLISH);
        assert_eq!(receive(&server, PUBLISH.len()), PUBLISH);
        // A ping's answer before it, in the same write.
        send(&server, &[&[0xd0, 0], PUBACK].concat());
        assert_eq!(receive(&client, 2), [0xd0, 0]);
        match round {
            0 => {
                assert_eq!(receive_all(&client), (vec![], true));
                assert_eq!(receive_all(&server), (vec![], true));
            }
            _ => assert_eq!(receive(&client, 4), PUBACK),
        }
    }
    let ended = finish(wiretap);
    let stories = stories(&ended);
    let swallowed = "FAULT: swallowed: PUBACK is lost, the connection is reset";
    let at = stories.iter().position(|line| line.ends_with(swallowed)).unwrap();
    assert!(stories[at - 1].contains(" PUBACK"), "{}", stories[at - 1]);
    assert!(ended.output.contains(&"Faults made: 1 swallowed".to_string()));
}

#[test]
fn the_details_of_a_message_choose_which_one_is_swallowed() {
    let (listener, target) = listen();
    let (_wiretap, address) = tap(&target, &["--swallow", "puback packet 2"]);
    let (client, server) = pair(&listener, address);
    send(&client, CONNECT);
    receive(&server, CONNECT.len());
    send(&server, &[CONNACK, PUBACK, &[0x40, 2, 0, 20], &[0x40, 2, 0, 2]].concat());
    let passed = [CONNACK, PUBACK, &[0x40, 2, 0, 20]].concat();
    assert_eq!(receive_all(&client), (passed, true));
}

#[test]
fn a_frozen_connection_forwards_nothing_until_it_thaws() {
    let (listener, target) = listen();
    let (wiretap, address) =
        tap(&target, &["--freeze", "2s", "--freeze-after", "5B"]);
    let (client, server) = pair(&listener, address);
    send(&client, b"12345later");
    assert_eq!(receive(&server, 5), b"12345");
    let begin = Instant::now();
    send(&server, b"reply");
    for mut socket in [&server, &client] {
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let early = socket.read(&mut [0; 10]).map_err(|error| error.kind());
        assert_eq!(early, Err(ErrorKind::WouldBlock), "it came too early");
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    assert_eq!(receive(&server, 5), b"later");
    assert_eq!(receive(&client, 5), b"reply");
    assert!(begin.elapsed() > Duration::from_millis(1500));
    let ended = finish(wiretap);
    let frozen = "FAULT: frozen: nothing is forwarded for 2s";
    assert_eq!(
        stories(&ended).iter().filter(|line| line.ends_with(frozen)).count(),
        1
    );
}

#[test]
fn a_delay_keeps_the_order_of_a_stream_and_its_end() {
    let (listener, target) = listen();
    let (_wiretap, address) = tap(&target, &["--delay", "100ms±50ms", "--seed", "1"]);
    let (client, server) = pair(&listener, address);
    let begin = Instant::now();
    send(&client, b"first");
    assert_eq!(receive(&server, 5), b"first");
    assert!(begin.elapsed() >= Duration::from_millis(50));
    for number in 0..20u8 {
        send(&client, &[number; 10]);
        thread::sleep(Duration::from_millis(5));
    }
    client.shutdown(Shutdown::Write).unwrap();
    let expected = (0..20u8).flat_map(|number| [number; 10]).collect();
    assert_eq!(receive_all(&server), (expected, false));
    send(&server, b"last words");
    reset(server);
    assert_eq!(receive_all(&client), (b"last words".to_vec(), true));
}

#[test]
fn a_rate_is_not_exceeded() {
    let (listener, target) = listen();
    let path = file("rate.pcap");
    let name = path.to_str().unwrap();
    let (wiretap, address) = tap(&target, &["--rate", "10kB/s", "--pcap", name]);
    let (client, server) = pair(&listener, address);
    let begin = Instant::now();
    send(&client, &[b'x'; 10_000]);
    assert_eq!(receive(&server, 5000), [b'x'; 5000]);
    assert!(
        begin.elapsed() >= Duration::from_millis(500),
        "half of it in half a second"
    );
    receive(&server, 5000);
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
    finish(wiretap);
    // And it comes bit by bit, not all at the end.
    let sizes = tshark(&["-r", name, "-T", "fields", "-e", "tcp.len"]);
    assert_eq!(sizes.lines().filter(|&size| size == "500").count(), 20);
    fs::remove_file(path).unwrap();
}

/// Claim 28, for the wiretap too: one socket serves many clients.
#[test]
fn datagrams_of_several_clients_find_their_way_there_and_back() {
    let server = udp_socket();
    let target = server.local_addr().unwrap().to_string();
    let (wiretap, address) = tap(&target, &["--udp"]);
    let clients = [udp_socket(), udp_socket(), udp_socket()];
    for (number, client) in clients.iter().enumerate() {
        client.send_to(format!("from {number}").as_bytes(), address).unwrap();
    }
    let mut buffer = [0; 100];
    for _ in &clients {
        let (length, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(&buffer[..length], from).unwrap();
    }
    for (number, client) in clients.iter().enumerate() {
        let (length, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!(from, address);
        assert_eq!(buffer[..length], *format!("from {number}").as_bytes());
    }
    // Neither an empty nor the longest datagram is anything special.
    let client = &clients[0];
    for size in [0, 65_507] {
        client.send_to(&vec![b'x'; size], address).unwrap();
        let mut buffer = vec![0; 65_535];
        assert_eq!(server.recv(&mut buffer).unwrap(), size);
    }
    let ended = finish(wiretap);
    assert!(ended.output.iter().any(|line| line == "Summary: 3 clients, 8 messages"));
    let stories = stories(&ended);
    assert!(
        stories.contains(&"#2  client <- server      6 bytes  datagram 1: from 1")
    );
    assert!(stories.contains(&"#1  client -> server      0 bytes  datagram 2"));
}

/// Sends so many datagrams, each after the wiretap has shown the last; returns those
/// that the server got, in their order, and the wiretap's last lines.
fn datagrams(options: &[&str], count: usize) -> (Vec<usize>, Ended) {
    let server = udp_socket();
    let target = server.local_addr().unwrap().to_string();
    let (mut wiretap, address) = tap(&target, &[&["--udp"], options].concat());
    let client = udp_socket();
    let own = client.local_addr().unwrap();
    // Reads along, or the kernel would lose some too; one of the test's own ends it.
    let receiving = thread::spawn(move || {
        let mut buffer = [0; 100];
        let mut received = Vec::new();
        loop {
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            if from == own {
                return received;
            }
            received
                .push(str::from_utf8(&buffer[..length]).unwrap().parse().unwrap());
        }
    });
    for number in 1..=count {
        client.send_to(number.to_string().as_bytes(), address).unwrap();
        wait_for(&mut wiretap, &format!("datagram {number}: {number}"));
    }
    // What is held back then is lost with the wiretap.
    let ended = finish(wiretap);
    client.send_to(b"end", target).unwrap();
    let received = receiving.join().unwrap();
    (received, ended)
}

/// Claim 9, at will: UDP may lose datagrams.
#[test]
fn the_same_seed_drops_the_same_datagrams() {
    let (received, ended) = datagrams(&["--drop", "20%", "--seed", "7"], 1000);
    let lost: Vec<usize> =
        (1..=1000).filter(|n| received.binary_search(n).is_err()).collect();
    assert_eq!(lost.len(), 208, "what seed 7 makes of 20% of 1,000");
    assert_eq!(lost[..5], [9, 11, 13, 26, 28]);
    assert!(ended.output.contains(&format!("Faults made: {} dropped", lost.len())));
    let said = stories(&ended);
    let said = said.iter().filter(|line| line.ends_with(" dropped"));
    assert_eq!(said.count(), lost.len(), "a line each");
    let (again, _) = datagrams(&["--drop", "20%", "--seed", "7"], 1000);
    assert_eq!(again, received);
    let (other, _) = datagrams(&["--drop", "20%", "--seed", "8"], 1000);
    assert_ne!(other, received);
}

/// Claim 10, at will: UDP may reorder.
#[test]
fn duplicated_datagrams_come_twice_and_reordered_ones_after_the_next() {
    let (received, ended) = datagrams(&["--duplicate", "20%", "--seed", "7"], 100);
    let twice = received.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert_eq!(received.len(), 100 + twice);
    assert!(twice > 5, "{twice}");
    assert!(ended.output.contains(&format!("Faults made: {twice} duplicated")));
    let (received, ended) = datagrams(&["--reorder", "20%", "--seed", "7"], 100);
    let late = received.windows(2).filter(|pair| pair[0] == pair[1] + 1).count();
    assert!(late > 5, "{late}");
    assert!(ended.output.contains(&format!("Faults made: {late} reordered")));
}

#[test]
fn delayed_datagrams_keep_their_order_and_a_rate_spreads_them() {
    let (mut wiretap, server, client, address);
    server = udp_socket();
    let target = server.local_addr().unwrap().to_string();
    (wiretap, address) =
        tap(&target, &["--udp", "--delay", "50ms", "--rate", "1kB/s"]);
    client = udp_socket();
    let begin = Instant::now();
    (0..10u8).for_each(|number| {
        assert_eq!(client.send_to(&[number; 20], address).unwrap(), 20)
    });
    for number in 0..10 {
        let mut buffer = [0; 100];
        assert_eq!(server.recv(&mut buffer).unwrap(), 20);
        assert_eq!(buffer[0], number);
    }
    assert!(
        begin.elapsed() >= Duration::from_millis(250),
        "200 bytes, and the delay"
    );
    wait_for(&mut wiretap, "datagram 10");
}

#[test]
fn frozen_datagrams_wait_for_the_thaw() {
    let server = udp_socket();
    let target = server.local_addr().unwrap().to_string();
    let freeze = ["--udp", "--freeze", "1s", "--freeze-after", "2messages"];
    let (mut wiretap, address) = tap(&target, &freeze);
    let client = udp_socket();
    let mut buffer = [0; 100];
    for text in ["one", "two", "three"] {
        client.send_to(text.as_bytes(), address).unwrap();
        wait_for(&mut wiretap, text);
    }
    let begin = Instant::now();
    for text in ["one", "two", "three"] {
        let length = server.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..length], *text.as_bytes());
    }
    assert!(begin.elapsed() > Duration::from_millis(500));
    let ended = finish(wiretap);
    assert!(ended.output.contains(&"Faults made: 1 frozen".to_string()));
}

#[test]
fn a_port_of_udp_that_nobody_has_is_told_and_ends_nothing() {
    let (_closed, target) = closed_port(Type::DGRAM);
    let (mut wiretap, address) = tap(&target, &["--udp"]);
    for _ in 0..2 {
        udp_socket().send_to(b"anybody?", address).unwrap();
        wait_for(&mut wiretap, &format!("{target}: Connection refused"));
    }
}

#[test]
fn a_wiretap_before_itself_does_not_forward_for_ever() {
    let (_reserved, address) = closed_port(Type::STREAM);
    let mut wiretap = Program::start(WIRETAP, &[&address, &address]);
    wiretap.wait_for("Wiretap listening on ");
    let client = TcpStream::connect(&address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(receive_all(&client), (vec![], true));
    wait_for(&mut wiretap, "that is the wiretap itself");
}

#[test]
fn wireshark_finds_the_same_bytes_in_sound_packets() {
    let path = file("stream.pcap");
    let name = path.to_str().unwrap();
    let (listener, target) = listen();
    let (mut wiretap, address) = tap(&target, &["--pcap", name]);
    let (client, server) = pair(&listener, address);
    let long: Vec<u8> =
        (0..100_000u32).map(|n| (n.wrapping_mul(n) >> 3) as u8).collect();
    thread::scope(|scope| {
        scope.spawn(|| send(&client, &long));
        assert_eq!(receive(&server, long.len()), long);
    });
    send(&server, b"reply");
    receive(&client, 5);
    let port = client.local_addr().unwrap().port().to_string();
    drop(client);
    receive_all(&server);
    drop(server);
    wait_for(&mut wiretap, "client <- server  end of the stream");
    finish(wiretap);
    let sound = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"];
    let read = |filter: &str, field: &str| {
        let arguments = ["-r", name, "-Y", filter, "-T", "fields", "-e", field];
        tshark(&[&arguments[..], &sound].concat())
    };
    let sent = read(&format!("tcp.srcport == {port} and tcp.len > 0"), "tcp.payload");
    let hex: String = long.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(sent.replace('\n', ""), hex);
    let replied =
        read(&format!("tcp.dstport == {port} and tcp.len > 0"), "tcp.payload");
    assert_eq!(replied.trim(), "7265706c79");
    assert_eq!(read("tcp.analysis.flags or tcp.checksum.status == 0", "frame"), "");
    assert_eq!(read("ip.checksum.status == 0", "frame"), "");
    // An end takes a sequence number of its own.
    assert_eq!(read("tcp.flags.fin == 1", "tcp.ack"), "6\n100002\n");
    assert_eq!(
        read("tcp.flags.syn == 1 or tcp.flags.fin == 1", "tcp.len").lines().count(),
        4
    );
    fs::remove_file(path).unwrap();
}

#[test]
fn wireshark_finds_the_datagrams_that_were_let_through() {
    let path = file("datagrams.pcap");
    let name = path.to_str().unwrap();
    let options = ["--drop", "20%", "--seed", "7", "--pcap", name];
    let (received, _) = datagrams(&options, 50);
    let sums = ["-o", "udp.check_checksum:TRUE"];
    let fields = [
        "-r",
        name,
        "-T",
        "fields",
        "-e",
        "udp.payload",
        "-e",
        "udp.checksum.status",
    ];
    let found = tshark(&[&fields[..], &sums].concat());
    let hex = |number: &usize| -> String {
        let digits = number.to_string();
        digits.bytes().map(|byte| format!("{byte:02x}")).collect::<String>() + "\t1"
    };
    let expected: Vec<String> = received.iter().map(hex).collect();
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
    fs::remove_file(path).unwrap();
}

#[test]
fn the_sequence_of_a_run_is_drawn_with_what_was_lost() {
    let path = file("sequence.mmd");
    let (listener, target) = listen();
    let options = ["--mermaid", path.to_str().unwrap(), "--swallow", "PUBACK"];
    let (wiretap, address) = tap(&target, &options);
    let (client, server) = pair(&listener, address);
    send(&client, CONNECT);
    receive(&server, CONNECT.len());
    send(&server, PUBACK);
    receive_all(&client);
    finish(wiretap);
    let drawn = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = drawn.lines().collect();
    let head = [
        "sequenceDiagram",
        "    participant C as Client",
        "    participant S as Server",
    ];
    assert_eq!(lines[..3], head);
    assert!(lines[3].starts_with("    C->>S: CONNECT"), "{drawn}");
    assert!(lines[4].starts_with("    S--xC: PUBACK"), "{drawn}");
    assert_eq!(lines.len(), 5);
    fs::remove_file(path).unwrap();
}

/// As the classroom tool uses it.
#[test]
fn the_library_starts_a_wiretap_within_the_program_and_ends_it() {
    let (listener, target) = listen();
    let (sender, lines) = mpsc::channel();
    let wiretap = Wiretap::start(
        "127.0.0.1:0".parse().unwrap(),
        &target,
        Options::default(),
        move |line| sender.send(line).unwrap(),
    )
    .unwrap();
    let (client, server) = pair(&listener, wiretap.address());
    send(&client, b"Hello");
    assert_eq!(receive(&server, 5), b"Hello");
    let connected = lines.recv_timeout(PATIENCE).unwrap();
    assert_eq!(connected.event, Event::Connected(client.local_addr().unwrap()));
    let line = lines.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(&line.event, Event::Message(m, _) if m.payload == b"Hello"));
    assert_eq!(format!("{line:#}"), "client -> server      5 bytes  text: Hello");
    assert!(line.to_string().ends_with(&format!(" s  {line:#}")), "{line}");
    let address = wiretap.address();
    drop(wiretap);
    assert_eq!(receive_all(&client), (vec![], false));
    assert!(TcpStream::connect(address).is_err(), "it still listens");
    assert!(lines.recv_timeout(PATIENCE).is_err(), "the sink is dropped with it");
}

#[test]
fn a_sink_that_hangs_holds_up_nothing_and_the_lines_it_missed_are_counted() {
    let (listener, target) = listen();
    let (go_on, hanging) = mpsc::channel::<()>();
    let (sender, lines) = mpsc::channel();
    let listen = "127.0.0.1:0".parse().unwrap();
    let wiretap = Wiretap::start(listen, &target, Options::default(), move |line| {
        // Hangs until the test lets it go.
        let _ = hanging.recv();
        let _ = sender.send(line);
    });
    let wiretap = wiretap.unwrap();
    let (client, server) = pair(&listener, wiretap.address());
    for _ in 0..6000 {
        send(&client, b"ping");
        assert_eq!(receive(&server, 4), b"ping");
    }
    drop(go_on);
    // It catches up, and the next line finds room.
    let first: Vec<_> =
        (0..4096).map(|_| lines.recv_timeout(PATIENCE).unwrap()).collect();
    send(&client, b"last");
    receive(&server, 4);
    let summary = wiretap.stop().unwrap();
    let rest: Vec<_> = lines.iter().collect();
    let told: u64 = rest
        .iter()
        .map(|line| match line.event {
            Event::LeftOut(count) => count,
            _ => 0,
        })
        .sum();
    assert_eq!(summary.messages[0], 6001, "each is counted, shown or not");
    assert_eq!(summary.lines_left_out, told);
    // Without the lines that say so.
    let others = rest.iter().filter(|line| !matches!(line.event, Event::LeftOut(_)));
    assert_eq!(first.len() + others.count() + told as usize, 6002);
    assert!(told > 1000, "{told}");
}
