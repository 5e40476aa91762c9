//! Replays the class with the real programs, and holds them to what the lecture
//! promises. It judges a program by its behaviour alone.
#![cfg(unix)] // Most tests need signals, or ipc files.

mod program;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use program::{PATIENCE, Program, assert_shown};
use socket2::SockRef;
use tempfile::TempDir;
use zeromq::{ReqSocket, Socket, SocketRecv, SocketSend};

const README: &str = include_str!("../README.md");

const REPLIER: &str = env!("CARGO_BIN_EXE_zeromq-replier");
const REQUESTER: &str = env!("CARGO_BIN_EXE_zeromq-requester");
const PUBLISHER: &str = env!("CARGO_BIN_EXE_zeromq-publisher");
const SUBSCRIBER: &str = env!("CARGO_BIN_EXE_zeromq-subscriber");
const PUSHER: &str = env!("CARGO_BIN_EXE_zeromq-pusher");
const PULLER: &str = env!("CARGO_BIN_EXE_zeromq-puller");

const ANY_PORT: &str = "tcp://127.0.0.1:0";

/// A folder of a test's own, for the files of ipc endpoints.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("socket")
    }

    fn endpoint(&self) -> String {
        format!("ipc://{}", self.path().display())
    }
}

/// Starts a program that listens; returns the endpoint where it does.
fn listen(path: &str, arguments: &[&str]) -> (Program, String) {
    let ready = match path {
        REPLIER => "Replier listening on ",
        PUBLISHER => "Publisher listening on ",
        _ => "Pusher listening on ",
    };
    let mut program = Program::start(path, arguments);
    let endpoint = program.wait_for(ready);
    (program, endpoint)
}

/// Starts a program that connects, and waits until it has.
fn connect(path: &str, arguments: &[&str]) -> Program {
    let mut program = Program::start(path, arguments);
    program.wait_for("Connected to ");
    program
}

fn address(endpoint: &str) -> SocketAddr {
    endpoint.strip_prefix("tcp://").unwrap().parse().unwrap()
}

/// Ends a program that does not end by itself; returns what it printed.
fn stop(program: Program) -> Vec<String> {
    program.signal("INT");
    let ended = program.end();
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    ended.output
}

/// The rest of each line that starts so.
fn rests<'a>(lines: &'a [String], start: &str) -> Vec<&'a str> {
    lines.iter().filter_map(|line| line.strip_prefix(start)).collect()
}

/// A peer of the test's own, to send what no program would: it has shaken hands as a
/// socket of this kind, byte by byte as ZMTP 3.0 wants it.
fn shake_hands(endpoint: &str, kind: &str) -> TcpStream {
    let mut peer = dial(endpoint);
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[9..12].copy_from_slice(&[0x7f, 3, 0]);
    greeting[12..16].copy_from_slice(b"NULL");
    peer.write_all(&greeting).unwrap();
    peer.read_exact(&mut greeting).unwrap();
    let mut ready = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
    ready.push(kind.len() as u8);
    ready.extend(kind.bytes());
    peer.write_all(&[4, ready.len() as u8]).unwrap();
    peer.write_all(&ready).unwrap();
    let mut head = [0; 2];
    peer.read_exact(&mut head).unwrap();
    peer.read_exact(&mut vec![0; head[1].into()]).unwrap();
    peer
}

fn dial(endpoint: &str) -> TcpStream {
    let peer = TcpStream::connect(address(endpoint)).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.set_write_timeout(Some(PATIENCE)).unwrap();
    peer
}

/// A request as it crosses the network: an empty frame, then the frames.
fn request(frames: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![1, 0];
    for (index, frame) in frames.iter().enumerate() {
        bytes.push(u8::from(index + 1 < frames.len()));
        bytes.push(frame.len().try_into().unwrap());
        bytes.extend(*frame);
    }
    bytes
}

/// Leaves as one whose machine was switched off: with a reset.
fn reset(peer: TcpStream) {
    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Claim 90: two processes are enough.
#[test]
fn replier_and_requester_print_what_the_readme_shows() {
    let (mut replier, endpoint) = listen(REPLIER, &[ANY_PORT]);
    let requester = Program::run(REQUESTER, &[&endpoint]);
    assert_eq!(requester.code, Some(0), "{}", requester.errors);
    let command = "cargo run -p zeromq-patterns --bin zeromq-requester";
    assert_shown(README, command, &requester.output);
    let lines = replier.output_up_to("Received request");
    assert_shown(README, "cargo run -p zeromq-patterns", &lines);
}

#[test]
fn publisher_and_subscriber_print_what_the_readme_shows() {
    let (mut publisher, endpoint) =
        listen(PUBLISHER, &[ANY_PORT, "--interval", "0.5"]);
    let topic = ["--topic", "myhome/kitchen"];
    let mut subscriber =
        Program::start(SUBSCRIBER, &[&[&endpoint as &str], &topic[..]].concat());
    subscriber.wait_for("Received");
    let lines = subscriber.output_up_to("Received");
    let command = "cargo run -p zeromq-patterns --bin zeromq-subscriber";
    assert_shown(README, &format!("{command} -- --topic myhome/kitchen"), &lines);
    let lines = publisher.output_up_to("Publishing: myhome/kitchen/temperature | 2");
    let command = "cargo run -p zeromq-patterns --bin zeromq-publisher";
    assert_shown(README, command, &lines);
}

#[test]
fn pusher_and_puller_print_what_the_readme_shows() {
    let (pusher, endpoint) = listen(PUSHER, &[ANY_PORT, "--count", "3"]);
    let mut puller = Program::start(PULLER, &[&endpoint]);
    (0..2).for_each(|_| drop(puller.wait_for("Received")));
    let lines = puller.output_up_to("Received");
    let command = "cargo run -p zeromq-patterns --bin zeromq-puller";
    assert_shown(README, command, &lines);
    let pusher = pusher.end();
    assert_eq!(pusher.code, Some(0), "{}", pusher.errors);
    let command = "cargo run -p zeromq-patterns --bin zeromq-pusher -- --count 3";
    assert_shown(README, command, &pusher.output);
}

#[test]
fn with_results_they_print_what_the_readme_shows() {
    let more = ["--count", "3", "--pullers", "2", "--results", ANY_PORT];
    let (mut pusher, endpoint) = listen(PUSHER, &[&[ANY_PORT], &more[..]].concat());
    let results = pusher.wait_for("Results go to ");
    pusher.wait_for("Pullers to wait for: 2");
    let _first = connect(PULLER, &[&endpoint, "--results", &results]);
    pusher.wait_for("Pullers to wait for: 1");
    let second =
        Program::run(PULLER, &[&endpoint, "--results", &results, "--count", "1"]);
    assert_eq!(second.code, Some(0), "{}", second.errors);
    let results = "--results tcp://127.0.0.1:5558";
    let command = "cargo run -p zeromq-patterns --bin zeromq-puller";
    let command = format!("{command} -- {results} --count 1");
    assert_shown(README, &command, &second.output);
    let pusher = pusher.end();
    assert_eq!(pusher.code, Some(0), "{}", pusher.errors);
    let command = "cargo run -p zeromq-patterns --bin zeromq-pusher";
    let command = format!("{command} -- --count 3 --pullers 2 {results}");
    assert_shown(README, &command, &pusher.output);
}

#[test]
fn all_requests_go_over_one_socket_while_all_is_well() {
    let (_replier, endpoint) = listen(REPLIER, &[ANY_PORT]);
    let requester = Program::run(REQUESTER, &[&endpoint, "Olá", "--count", "20"]);
    assert_eq!(rests(&requester.output, "Connecting to "), [&endpoint]);
    let replies = rests(&requester.output, "Received reply ");
    let expected: Vec<String> = (1..=20).map(|n| format!("{n}: Olá")).collect();
    assert_eq!(replies, expected);
    assert_eq!((requester.code, &*requester.errors), (Some(0), ""));
}

fn assert_outlives_a_replier_killed_between_requests(endpoint: &str) {
    let (replier, endpoint) = listen(REPLIER, &[endpoint]);
    let more = ["--count", "2", "--interval", "1"];
    let mut requester =
        Program::start(REQUESTER, &[&[&endpoint as &str], &more[..]].concat());
    requester.wait_for("Received reply 1: ");
    drop(replier); // Killed: an ipc file stays behind.
    let (_replier, again) = listen(REPLIER, &[&endpoint]);
    assert_eq!(again, endpoint);
    let requester = requester.end();
    assert_eq!(requester.code, Some(0), "{}", requester.errors);
    assert_eq!(rests(&requester.output, "Received reply 2: "), ["Hello, world"]);
    // And the next question was asked on a new socket.
    assert_eq!(rests(&requester.output, "Connecting to ").len(), 2);
}

#[test]
fn the_requester_outlives_a_replier_killed_between_two_requests() {
    assert_outlives_a_replier_killed_between_requests(ANY_PORT);
}

/// Claim 95: the same over ipc.
#[test]
fn the_requester_outlives_a_replier_killed_between_two_requests_over_ipc() {
    assert_outlives_a_replier_killed_between_requests(&Folder::new().endpoint());
}

#[test]
fn the_requester_outlives_a_replier_killed_in_the_middle_of_a_request() {
    let folder = Folder::new();
    let (replier, endpoint) = listen(REPLIER, &[&folder.endpoint()]);
    let more = ["--count", "2", "--interval", "1"];
    let mut requester =
        Program::start(REQUESTER, &[&[&endpoint as &str], &more[..]].concat());
    requester.wait_for("Received reply 1: ");
    // Asleep, it takes the second request and does not answer.
    replier.signal("STOP");
    thread::sleep(Duration::from_secs(2));
    drop(replier);
    requester.wait_for_error("No reply, try 1 of 3: ");
    let (mut replier, _) = listen(REPLIER, &[&endpoint]);
    replier.wait_for("Received request: Hello, world");
    let requester = requester.end();
    assert_eq!(requester.code, Some(0), "{}", requester.errors);
    assert_eq!(rests(&requester.output, "Received reply 2: "), ["Hello, world"]);
}

/// Why who replies may not count on a request coming once.
#[test]
fn a_request_that_is_asked_again_may_be_answered_twice() {
    let (mut replier, endpoint) = listen(REPLIER, &[ANY_PORT]);
    let more = ["--count", "2", "--interval", "1"];
    let mut requester =
        Program::start(REQUESTER, &[&[&endpoint as &str], &more[..]].concat());
    requester.wait_for("Received reply 1: ");
    replier.signal("STOP");
    requester.wait_for_error("No reply, try 1 of 3: silence for 5 s");
    requester.wait_for("Connecting to "); // Passes over the first.
    replier.signal("CONT");
    assert_eq!(requester.end().code, Some(0));
    replier.wait_for("Received request: ");
    let requests = stop(replier);
    assert_eq!(rests(&requests, "Received request: ").len(), 3, "for two replies");
}

#[test]
fn a_missing_and_a_silent_replier_hold_the_requester_for_three_tries_only() {
    let folder = Folder::new();
    let missing = Program::start(REQUESTER, &[&folder.endpoint()]);
    let (replier, endpoint) = listen(REPLIER, &[ANY_PORT]);
    replier.signal("STOP");
    let silent = Program::start(REQUESTER, &[&endpoint]);
    for requester in [missing, silent] {
        let ended = requester.end();
        assert_eq!(ended.code, Some(1), "{}", ended.errors);
        assert!(ended.errors.contains("No reply, try 3 of 3: "), "{}", ended.errors);
        let hint = "(is the replier running? cargo run -p zeromq-patterns)";
        assert!(ended.errors.ends_with(hint), "{}", ended.errors);
    }
}

/// Claim 92: REQ/REP is in lockstep.
#[test]
fn two_sends_in_a_row_fail_and_so_does_to_receive_first() {
    let (_replier, endpoint) = listen(REPLIER, &[ANY_PORT]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut socket = ReqSocket::new();
        socket.connect(&endpoint).await.unwrap();
        assert!(socket.recv().await.is_err(), "nothing was asked yet");
        socket.send("one".into()).await.unwrap();
        let error = socket.send("two".into()).await.unwrap_err().to_string();
        assert!(error.contains("Request already in progress"), "{error}");
        assert_eq!(&socket.recv().await.unwrap().get(0).unwrap()[..], b"one");
    });
}

/// Claim 91: messages, not a stream. However the bytes come, a message is whole.
#[test]
fn a_message_in_single_bytes_is_one_and_two_in_one_write_are_two() {
    let (mut replier, endpoint) = listen(REPLIER, &[ANY_PORT]);
    let mut peer = shake_hands(&endpoint, "REQ");
    peer.set_nodelay(true).unwrap();
    let slow = request(&[b"slow", b"and", b"steady"]);
    for byte in &slow {
        peer.write_all(&[*byte]).unwrap();
    }
    assert_eq!(replier.wait_for("Received request: "), "slow | and | steady");
    let mut reply = vec![0; slow.len()];
    peer.read_exact(&mut reply).unwrap();
    assert_eq!(reply, slow, "as many frames as were sent");
    let two = [request(&[b"one"]), request(&[b"two"])].concat();
    peer.write_all(&two).unwrap();
    assert_eq!(replier.wait_for("Received request: "), "one");
    assert_eq!(replier.wait_for("Received request: "), "two");
}

#[test]
fn what_is_no_text_is_printed_escaped_and_comes_back_unchanged() {
    let (mut replier, endpoint) = listen(REPLIER, &[ANY_PORT]);
    let mut peer = shake_hands(&endpoint, "REQ");
    let odd = request(&[b"\xff\x1b[2J", b"", "\u{202e}Ol\u{e1}".as_bytes()]);
    peer.write_all(&odd).unwrap();
    let shown = r"\xff\u{1b}[2J |  | \u{202e}Olá";
    assert_eq!(replier.wait_for("Received request: "), shown);
    let mut reply = vec![0; odd.len()];
    peer.read_exact(&mut reply).unwrap();
    assert_eq!(reply, odd);
}

#[test]
fn a_client_that_resets_or_sends_garbage_does_not_end_the_replier() {
    let (mut replier, endpoint) = listen(REPLIER, &[ANY_PORT]);
    let whole = request(&[b"half a message"]);
    // One that had its reply is known for certain to be connected.
    let connect = || {
        let mut peer = shake_hands(&endpoint, "REQ");
        peer.write_all(&whole).unwrap();
        peer.read_exact(&mut vec![0; whole.len()]).unwrap();
        peer
    };
    // In the greeting, in the middle of a request, and while the reply is due.
    reset(dial(&endpoint));
    let mut peer = connect();
    peer.write_all(&whole[..8]).unwrap();
    reset(peer);
    replier.wait_for_error("Lost a client: ");
    let mut peer = connect();
    peer.write_all(&whole).unwrap();
    reset(peer);
    // No ZMTP at all, an unknown command, a message without an envelope, and a client
    // that says nothing.
    dial(&endpoint).write_all(&[b'x'; 1000]).unwrap();
    let mut peer = shake_hands(&endpoint, "REQ");
    peer.write_all(b"\x04\x05\x04PING").unwrap();
    replier.wait_for_error("Lost a client: ");
    let mut peer = shake_hands(&endpoint, "DEALER");
    peer.write_all(b"\0\x05alone").unwrap();
    replier.wait_for_error("Lost a client: ");
    let _silent = dial(&endpoint);
    let requester = Program::run(REQUESTER, &[&endpoint]);
    assert_eq!((requester.code, &*requester.errors), (Some(0), ""));
}

#[test]
fn a_client_that_does_not_read_its_reply_holds_the_others_up_for_a_second() {
    let (mut replier, endpoint) = listen(REPLIER, &[ANY_PORT]);
    let mut peer = shake_hands(&endpoint, "REQ");
    // More than both kernels take off the replier's hands.
    let size = 64_u64 << 20;
    peer.write_all(&[1, 0, 2]).unwrap();
    peer.write_all(&size.to_be_bytes()).unwrap();
    peer.write_all(&vec![b'x'; size as usize]).unwrap();
    assert!(replier.wait_for("Received request: xxx").ends_with("(67108864 bytes)"));
    replier.wait_for_error("Cannot reply: the client does not read");
    let requester = Program::run(REQUESTER, &[&endpoint]);
    assert_eq!((requester.code, &*requester.errors), (Some(0), ""));
}

/// Claim 93: a late subscriber misses what was sent before, and only that.
#[test]
fn a_late_subscriber_misses_exactly_the_first_part() {
    let more = ["--count", "40", "--interval", "0.05"];
    let (mut publisher, endpoint) =
        listen(PUBLISHER, &[&[ANY_PORT], &more[..]].concat());
    let early = connect(SUBSCRIBER, &[&endpoint]);
    publisher.wait_for("Publishing: myhome/kitchen/temperature | 3 | ");
    let mut late = connect(SUBSCRIBER, &[&endpoint]);
    let first = late.wait_for("Received: myhome/livingroom/temperature | ");
    late.wait_for("Received: myhome/kitchen/temperature | 40 | ");
    let published = publisher.end();
    let published = rests(&published.output, "Publishing: ");
    let (early, late) = (stop(early), stop(late));
    let (early, late) = (rests(&early, "Received: "), rests(&late, "Received: "));
    let number: usize = first.split(' ').next().unwrap().parse().unwrap();
    assert!((4..40).contains(&number), "{first}");
    // From its first message on all, none twice, in order.
    assert!(published.ends_with(&late), "{published:?}\n{late:?}");
    assert!(published.ends_with(&early) && early.len() > late.len(), "{early:?}");
}

/// Claim 93: a topic is the beginning of a message, byte by byte.
#[test]
fn a_subscriber_gets_what_begins_with_one_of_its_topics() {
    let folder = Folder::new();
    let endpoint = folder.endpoint();
    let start = |topics: &[&str]| {
        Program::start(SUBSCRIBER, &[&[&endpoint as &str], topics].concat())
    };
    let (mut kitchen, mut both) = (
        start(&["--topic", "myhome/k"]),
        start(&["--topic", "myhome/k", "--topic", "myhome/l"]),
    );
    let (mut all, mut wrong) =
        (start(&[]), start(&["--topic", "yhome", "--topic", "myhome/+"]));
    // Started first, all of them: who connects may wait.
    for subscriber in [&mut kitchen, &mut both, &mut all, &mut wrong] {
        subscriber.wait_for_error("Waiting for a publisher at ");
    }
    let (_publisher, _) = listen(PUBLISHER, &[&endpoint, "--interval", "0.1"]);
    let topic = "Received: myhome/kitchen/temperature | ";
    let number = all.wait_for(topic).split(' ').next().unwrap().to_string();
    let enough = number.parse::<u32>().unwrap() + 20;
    for subscriber in [&mut kitchen, &mut both] {
        subscriber.wait_for(&format!("{topic}{enough} | "));
    }
    let (kitchen, both, wrong) = (stop(kitchen), stop(both), stop(wrong));
    let rooms = |lines: &[String]| {
        let lines = rests(lines, "Received: myhome/").into_iter();
        lines
            .map(|line| line.split('/').next().unwrap().to_string())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(rooms(&kitchen), BTreeSet::from(["kitchen".to_string()]));
    let two = BTreeSet::from(["kitchen".to_string(), "livingroom".to_string()]);
    assert_eq!(rooms(&both), two);
    assert_eq!(rests(&wrong, "Received: "), [""; 0]);
}

/// Claim 97: who listens is the single point of failure, and must come back.
fn assert_outlived_by_two_subscribers(endpoint: &str) {
    let (publisher, endpoint) = listen(PUBLISHER, &[endpoint, "--interval", "0.1"]);
    let mut subscribers = [(); 2].map(|()| connect(SUBSCRIBER, &[&endpoint]));
    subscribers.iter_mut().for_each(|one| drop(one.wait_for("Received: ")));
    drop(publisher);
    for subscriber in &mut subscribers {
        subscriber.wait_for_error("Lost the publisher: ");
        subscriber.wait_for_error("Waiting for a publisher at ");
    }
    let (_publisher, _) = listen(PUBLISHER, &[&endpoint, "--interval", "0.1"]);
    for mut subscriber in subscribers {
        subscriber.wait_for("Connected to ");
        subscriber.wait_for("Received: ");
    }
}

#[test]
fn subscribers_outlive_a_publisher_that_is_killed_and_started_again() {
    assert_outlived_by_two_subscribers(ANY_PORT);
}

#[test]
fn subscribers_outlive_a_publisher_that_is_killed_and_started_again_over_ipc() {
    assert_outlived_by_two_subscribers(&Folder::new().endpoint());
}

#[test]
fn a_subscriber_that_stops_reading_harms_nobody_else() {
    let long = ["--interval", "0.02"];
    let (mut publisher, endpoint) =
        listen(PUBLISHER, &[&[ANY_PORT], &long[..]].concat());
    let (stopped, mut other) =
        (connect(SUBSCRIBER, &[&endpoint]), connect(SUBSCRIBER, &[&endpoint]));
    stopped.signal("STOP");
    reset(shake_hands(&endpoint, "SUB"));
    shake_hands(&endpoint, "SUB").write_all(b"\x04\x05\x04PING").unwrap();
    dial(&endpoint).write_all(&[b'x'; 1000]).unwrap();
    let number = publisher.wait_for("Publishing: myhome/kitchen/temperature | ");
    let number: u32 = number.split(' ').next().unwrap().parse().unwrap();
    other.wait_for(&format!(
        "Received: myhome/kitchen/temperature | {} | ",
        number + 50
    ));
}

/// Claim 94: work is spread evenly, and each task done once.
#[test]
fn ten_thousand_tasks_over_three_pullers_are_each_done_once_and_evenly() {
    let more = ["--count", "10000", "--pullers", "3", "--results", ANY_PORT];
    let (mut pusher, endpoint) = listen(PUSHER, &[&[ANY_PORT], &more[..]].concat());
    let results = pusher.wait_for("Results go to ");
    let start = || connect(PULLER, &[&endpoint, "--results", &results]);
    let pullers = [start(), start(), start()];
    let id = pusher.id();
    let pusher = pusher.end();
    assert_eq!((pusher.code, &*pusher.errors), (Some(0), ""));
    assert_eq!(pusher.output.last().unwrap(), "All 10000 tasks are done");
    let done = pullers.map(stop);
    let done = done.each_ref().map(|lines| rests(lines, "Received: "));
    for tasks in &done {
        assert!((3000..=3666).contains(&tasks.len()), "{} of 10000", tasks.len());
    }
    let mut done = done.concat();
    done.sort_unstable();
    let mut expected: Vec<String> =
        (1..=10_000).map(|number| format!("{id}-{number} Hello, world")).collect();
    expected.sort_unstable();
    assert!(done == expected, "{} tasks done", done.len());
}

/// The crate has no linger: what waits in a program that ends would be lost.
#[test]
fn a_pusher_that_ends_after_its_last_task_loses_nothing() {
    let long = "x".repeat(10_000);
    let (mut pusher, endpoint) =
        listen(PUSHER, &[ANY_PORT, &long, "--count", "3000"]);
    let mut puller = connect(PULLER, &[&endpoint, "--count", "3000"]);
    // More is under way than the kernel keeps, while nobody reads.
    puller.signal("STOP");
    let id = pusher.id();
    pusher.wait_for(&format!("Sent: {id}-3000 "));
    assert!(pusher.is_running());
    puller.signal("CONT");
    let pusher = pusher.end();
    assert_eq!((pusher.code, &*pusher.errors), (Some(0), ""));
    assert_eq!(pusher.output.last().unwrap(), "All 3000 tasks have left");
    puller.wait_for(&format!("Received: {id}-3000 "));
    let puller = puller.end();
    assert_eq!(rests(&puller.output, "Received: ").len(), 3000);
}

/// Those that it hangs up on come back at once, while it is still ending.
#[test]
fn twenty_pushers_in_a_row_end_well_though_their_pullers_connect_again_at_once() {
    let (tasks, results) = (Folder::new(), Folder::new());
    let (tasks, results) = (tasks.endpoint(), results.endpoint());
    let arguments = [&tasks as &str, "--results", &results];
    let mut pullers = [(); 3].map(|()| Program::start(PULLER, &arguments));
    for _ in 0..20 {
        let more = ["--count", "1000", "--pullers", "3"];
        let pusher = Program::run(PUSHER, &[&arguments[..], &more].concat());
        assert_eq!((pusher.code, &*pusher.errors), (Some(0), ""));
    }
    pullers.iter_mut().for_each(|puller| assert!(puller.is_running()));
}

#[test]
fn a_pusher_whose_tasks_cannot_leave_says_so_after_five_seconds() {
    let long = "x".repeat(10_000);
    let (pusher, endpoint) = listen(PUSHER, &[ANY_PORT, &long, "--count", "3000"]);
    let puller = connect(PULLER, &[&endpoint]);
    puller.signal("STOP");
    let ended = pusher.end();
    assert_eq!(ended.code, Some(1));
    let error = "Error: not all tasks have left within 5 s (does a puller not read?)";
    assert!(ended.errors.starts_with(error), "{}", ended.errors);
    drop(puller);
}

#[test]
fn tasks_in_the_hands_of_a_puller_that_dies_are_lost_and_the_pusher_says_how_many() {
    let more = ["--count", "5", "--results", ANY_PORT];
    let (mut pusher, endpoint) = listen(PUSHER, &[&[ANY_PORT], &more[..]].concat());
    let results = pusher.wait_for("Results go to ");
    let arguments = [&endpoint, "--results", &results, "--work", "0.5"];
    let mut puller = connect(PULLER, &arguments);
    // The third task is in its hands, two more are on the way to it, and the result of
    // the second may still be in the program.
    (0..3).for_each(|_| drop(puller.wait_for("Received: ")));
    drop(puller);
    let pusher = pusher.end();
    assert_eq!(pusher.code, Some(1));
    let expected =
        [3, 4].map(|n| format!("Error: {n} tasks lack a result after 5 s"));
    let error = pusher.errors.lines().next().unwrap().to_string();
    assert!(expected.contains(&error), "{}", pusher.errors);
}

#[test]
fn results_of_another_run_and_of_pullers_that_give_none_confirm_nothing() {
    let more = ["--count", "2", "--results", ANY_PORT];
    let (mut pusher, endpoint) = listen(PUSHER, &[&[ANY_PORT], &more[..]].concat());
    let results = pusher.wait_for("Results go to ");
    let _plain = connect(PULLER, &[&endpoint]);
    let mut other = shake_hands(&results, "PUSH");
    other.write_all(b"\0\x031-1\0\x031-2").unwrap();
    let pusher = pusher.end();
    assert_eq!(pusher.code, Some(1));
    let error = "Error: 2 tasks lack a result after 5 s";
    assert!(pusher.errors.starts_with(error), "{}", pusher.errors);
}

fn assert_pullers_outlive_the_pusher(endpoint: &str) {
    let folder = Folder::new();
    let results = folder.endpoint();
    let (pusher, endpoint) =
        listen(PUSHER, &[endpoint, "--results", &results, "--count", "2"]);
    let mut with_results = connect(PULLER, &[&endpoint, "--results", &results]);
    assert_eq!(pusher.end().code, Some(0));
    let mut plain = Program::start(PULLER, &[&endpoint]);
    plain.wait_for_error("Waiting for a pusher at ");
    with_results.wait_for_error("Lost the pusher: it closed the connection");
    with_results.wait_for_error("Waiting for a pusher at ");
    // The second one is killed in the middle of its work.
    let more = ["--count", "100000", "--interval", "0.01", "--pullers", "2"];
    let arguments =
        [&[&endpoint as &str], &more[..], &["--results", &results]].concat();
    let (pusher, _) = listen(PUSHER, &arguments);
    let second = format!("Received: {}-", pusher.id());
    plain.wait_for(&second);
    with_results.wait_for(&second);
    drop(pusher);
    plain.wait_for_error("Lost the pusher: it closed the connection");
    with_results.wait_for_error("Lost the pusher: it closed the connection");
    // All that the third one wants done is done, by the one that gives results.
    drop(plain);
    let (pusher, _) = listen(PUSHER, &[&endpoint, "--results", &results]);
    let pusher = pusher.end();
    assert_eq!((pusher.code, &*pusher.errors), (Some(0), ""));
    assert_eq!(pusher.output.last().unwrap(), "All 10 tasks are done");
}

#[test]
fn pullers_wait_for_a_pusher_that_ended_or_was_killed_and_go_on_with_the_next() {
    assert_pullers_outlive_the_pusher(ANY_PORT);
}

#[test]
fn pullers_wait_for_a_pusher_that_ended_or_was_killed_and_go_on_with_the_next_over_ipc()
 {
    assert_pullers_outlive_the_pusher(&Folder::new().endpoint());
}

#[test]
fn a_pusher_without_a_puller_waits_and_says_so() {
    let more = ["--count", "100000", "--interval", "0.01"];
    let (mut pusher, endpoint) = listen(PUSHER, &[&[ANY_PORT], &more[..]].concat());
    pusher.wait_for("Pullers to wait for: 1");
    // What is no puller does not count.
    dial(&endpoint).write_all(&[b'x'; 1000]).unwrap();
    let _silent = dial(&endpoint);
    reset(dial(&endpoint));
    let mut puller = connect(PULLER, &[&endpoint]);
    let id = pusher.id();
    puller.wait_for(&format!("Received: {id}-1 "));
    drop(puller);
    pusher.wait_for_error("No puller: waiting for one");
    let mut puller = connect(PULLER, &[&endpoint]);
    puller.wait_for(&format!("Received: {id}-"));
    assert!(pusher.is_running());
}

#[test]
fn a_puller_that_resets_or_sends_garbage_does_not_end_the_pusher() {
    let more = ["--count", "200", "--interval", "0.01", "--results", ANY_PORT];
    let (mut pusher, endpoint) = listen(PUSHER, &[&[ANY_PORT], &more[..]].concat());
    let results = pusher.wait_for("Results go to ");
    let _puller = connect(PULLER, &[&endpoint, "--results", &results]);
    reset(shake_hands(&results, "PUSH"));
    shake_hands(&results, "PUSH").write_all(b"\x04\x05\x04PING").unwrap();
    dial(&results).write_all(&[b'x'; 1000]).unwrap();
    // Results of who knows what.
    shake_hands(&results, "PUSH").write_all(b"\0\x041-1 \0\0").unwrap();
    let pusher = pusher.end();
    assert_eq!(pusher.code, Some(0), "{}", pusher.errors);
    assert_eq!(pusher.output.last().unwrap(), "All 200 tasks are done");
}

/// Claim 95.
#[test]
fn a_stale_ipc_file_is_removed_unless_somebody_listens_or_it_is_no_socket() {
    let (stale, live, text) = (Folder::new(), Folder::new(), Folder::new());
    drop(UnixListener::bind(stale.path()).unwrap());
    assert!(stale.path().exists());
    let _listener = UnixListener::bind(live.path()).unwrap();
    File::create(text.path()).unwrap().write_all(b"thesis").unwrap();
    for path in [REPLIER, PUBLISHER, PUSHER] {
        let (program, _) = listen(path, &[&stale.endpoint()]);
        drop(program); // Killed.
        for taken in [&live, &text] {
            let ended = Program::run(path, &[&taken.endpoint()]);
            assert_eq!(ended.code, Some(1), "{path}");
            let error = format!("Error: cannot listen on {}", taken.endpoint());
            assert!(ended.errors.starts_with(&error), "{}", ended.errors);
            assert!(ended.errors.contains("in use"), "{}", ended.errors);
        }
    }
    assert_eq!(fs::read(text.path()).unwrap(), b"thesis");
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let (_replier, endpoint) = listen(REPLIER, &[ANY_PORT]);
    for path in [REPLIER, PUBLISHER, PUSHER] {
        let second = Program::run(path, &[&endpoint]);
        assert_eq!(second.code, Some(1));
        let error =
            format!("Error: cannot listen on {endpoint} (try another port or path)");
        assert!(second.errors.starts_with(&error), "{}", second.errors);
        assert!(second.errors.contains("in use"), "{}", second.errors);
    }
}

#[test]
fn a_bad_endpoint_exits_with_2_and_says_what_to_write_instead() {
    let bad = [
        ("tcp://*:5555", "write tcp://0.0.0.0:5555"),
        ("127.0.0.1:5555", "it takes tcp://HOST:PORT or ipc://PATH"),
        ("", "it takes tcp://HOST:PORT or ipc://PATH"),
        ("http://127.0.0.1:5555", "it takes tcp://HOST:PORT or ipc://PATH"),
        ("inproc://tasks", "use a channel"),
        ("tcp://127.0.0.1", "it takes tcp://HOST:PORT"),
        ("tcp://127.0.0.1:*", "it takes tcp://HOST:PORT"),
        ("tcp://127.0.0.1:65536", "it takes tcp://HOST:PORT"),
        ("tcp://:5555", "host"),
        ("ipc://", "it takes ipc://PATH"),
        ("ipc://*", "it takes ipc://PATH"),
    ];
    for path in [REPLIER, REQUESTER, PUBLISHER, SUBSCRIBER, PUSHER, PULLER] {
        for (endpoint, said) in bad {
            let ended = Program::run(path, &[endpoint]);
            assert_eq!(ended.code, Some(2), "{path} {endpoint}");
            assert!(ended.errors.contains(said), "{endpoint}: {}", ended.errors);
        }
    }
    for path in [PUSHER, PULLER] {
        let ended = Program::run(path, &["--results", "tcp://*:5558"]);
        assert_eq!(ended.code, Some(2));
    }
    for seconds in ["-1", "soon", "NaN", "1e300"] {
        let ended = Program::run(PUBLISHER, &["--interval", seconds]);
        assert_eq!(ended.code, Some(2), "{seconds}");
    }
}

/// A requester at a publisher, say: nobody waits for ever.
#[test]
fn a_socket_of_the_wrong_kind_is_told() {
    let (_publisher, endpoint) = listen(PUBLISHER, &[ANY_PORT]);
    let requester = Program::run(REQUESTER, &[&endpoint]);
    assert_eq!(requester.code, Some(1));
    assert!(requester.errors.contains("not compatible"), "{}", requester.errors);
    let mut puller = Program::start(PULLER, &[&endpoint]);
    assert!(puller.wait_for_error("Cannot connect to ").contains("not compatible"));
}

#[test]
fn ctrl_c_and_sigterm_end_them_all_with_0_and_no_ipc_file_stays() {
    for signal in ["INT", "TERM"] {
        for listener in [REPLIER, PUBLISHER, PUSHER] {
            let folder = Folder::new();
            let (program, _) = listen(listener, &[&folder.endpoint()]);
            program.signal(signal);
            let ended = program.end();
            assert_eq!((ended.code, &*ended.errors), (Some(0), ""), "{listener}");
            assert!(!folder.path().exists(), "{listener}");
        }
        for (listener, other) in [(PUBLISHER, SUBSCRIBER), (PUSHER, PULLER)] {
            let folder = Folder::new();
            // While it waits, and when it is connected.
            let mut waiting = Program::start(other, &[&folder.endpoint()]);
            waiting.wait_for_error("Waiting for a ");
            waiting.signal(signal);
            assert_eq!(waiting.end().code, Some(0));
            let _listener = listen(listener, &[&folder.endpoint()]);
            let connected = connect(other, &[&folder.endpoint()]);
            connected.signal(signal);
            assert_eq!(connected.end().code, Some(0));
        }
    }
}

/// Claim 96: there is no inproc here, and a channel does what it would.
#[test]
fn within_a_program_a_channel_does_what_the_readme_shows() {
    let (push, pull) = mpsc::channel();
    let puller = thread::spawn(move || {
        let mut done = Vec::new();
        // Ends when the other side of the channel is gone: none is ever lost.
        for (number, task) in pull {
            done.push(format!("{number} {task}"));
        }
        done
    });
    for number in 1..=3 {
        push.send((number, "Hello, world")).unwrap();
    }
    drop(push);
    assert_eq!(puller.join().unwrap().last().unwrap(), "3 Hello, world");
    let (_, shown) = README.split_once("```rust\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    assert!(include_str!("zeromq-patterns.rs").contains(shown), "{shown}");
}
