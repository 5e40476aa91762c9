//! What a real network does to the three patterns: peers that come late, vanish, read
//! nothing or send garbage, and endpoints that cannot be had.

mod program;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use program::{PATIENCE, Program};
use socket2::SockRef;

const REPLIER: &str = env!("CARGO_BIN_EXE_zeromq-replier");
const REQUESTER: &str = env!("CARGO_BIN_EXE_zeromq-requester");
const PUBLISHER: &str = env!("CARGO_BIN_EXE_zeromq-publisher");
const SUBSCRIBER: &str = env!("CARGO_BIN_EXE_zeromq-subscriber");
const PUSHER: &str = env!("CARGO_BIN_EXE_zeromq-pusher");
const PULLER: &str = env!("CARGO_BIN_EXE_zeromq-puller");

const ANY_PORT: &str = "tcp://127.0.0.1:0";

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

/// The rest of each line that starts so.
fn rests<'a>(lines: &'a [String], start: &str) -> Vec<&'a str> {
    lines.iter().filter_map(|line| line.strip_prefix(start)).collect()
}

/// A peer of the test's own, to do what no program would: it has shaken hands as a
/// socket of this kind, byte by byte as ZMTP 3.0 wants it.
fn shake_hands(mut peer: TcpStream, kind: &str) -> TcpStream {
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.set_write_timeout(Some(PATIENCE)).unwrap();
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

/// The next connection; a program that never connects fails the test in time.
fn accept(listener: &TcpListener) -> TcpStream {
    let (sender, accepted) = mpsc::channel();
    let listener = listener.try_clone().unwrap();
    thread::spawn(move || sender.send(listener.accept().unwrap().0));
    accepted.recv_timeout(PATIENCE).expect("expected a connection, and none came")
}

fn dial(endpoint: &str) -> TcpStream {
    TcpStream::connect(address(endpoint)).unwrap()
}

fn dial_as(endpoint: &str, kind: &str) -> TcpStream {
    shake_hands(dial(endpoint), kind)
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

/// Reads messages of one frame to the end of the connection; returns how many.
fn count_messages(peer: &mut TcpStream) -> usize {
    let mut count = 0;
    loop {
        let mut flags = [0];
        if peer.read(&mut flags).unwrap() == 0 {
            return count;
        }
        let mut length = [0; 8];
        let from = if flags[0] & 2 == 0 { 7 } else { 0 }; // The length has 1 byte, or 8.
        peer.read_exact(&mut length[from..]).unwrap();
        let length = u64::from_be_bytes(length) as usize;
        peer.read_exact(&mut vec![0; length]).unwrap();
        count += 1;
    }
}

/// Leaves as a program that was killed with bytes unread: with a reset.
fn reset(peer: TcpStream) {
    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Claim 91: messages, not a stream. However the bytes come, a message is whole.
/// Hint: The library keeps messages apart; use it once for each of them.
/// Wiretap: --as zmtp --slice 1
#[test]
fn a_message_in_single_bytes_is_one_and_two_in_one_write_are_two() {
    let (mut replier, endpoint) = listen(REPLIER, &[ANY_PORT]);
    let mut peer = dial_as(&endpoint, "REQ");
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

/// Hint: Bytes need not be text; what is sent back, and what is printed?
/// Wiretap: --as zmtp --hex
#[test]
fn what_is_not_text_cannot_steer_the_terminal_and_comes_back_unchanged() {
    let (mut replier, endpoint) = listen(REPLIER, &[ANY_PORT]);
    let mut peer = dial_as(&endpoint, "REQ");
    let odd = request(&[b"\xff\x1b[2J", b"", "Ol\u{e1}\n\u{9b}".as_bytes()]);
    peer.write_all(&odd).unwrap();
    let shown = "\u{fffd}\u{fffd}[2J |  | Olá\u{fffd}\u{fffd}";
    assert_eq!(replier.wait_for("Received request: "), shown);
    let mut reply = vec![0; odd.len()];
    peer.read_exact(&mut reply).unwrap();
    assert_eq!(reply, odd);
}

/// Hint: Which errors belong to one peer, and which to the socket?
/// Wiretap: --as zmtp
#[test]
fn a_client_that_resets_or_sends_garbage_does_not_end_the_replier() {
    let (mut replier, endpoint) = listen(REPLIER, &[ANY_PORT]);
    let whole = request(&[b"half a message"]);
    // One that had its reply is known for certain to be connected.
    let connect = || {
        let mut peer = dial_as(&endpoint, "REQ");
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
    // Something else than ZMTP, an unknown command, a message without an envelope, and
    // a client that says nothing.
    dial(&endpoint).write_all(&[b'x'; 1000]).unwrap();
    let mut peer = dial_as(&endpoint, "REQ");
    peer.write_all(b"\x04\x05\x04PING").unwrap();
    replier.wait_for_error("Lost a client: ");
    let mut peer = dial_as(&endpoint, "DEALER");
    peer.write_all(b"\0\x05alone").unwrap();
    replier.wait_for_error("Lost a client: ");
    let _silent = dial(&endpoint);
    let requester = Program::run(REQUESTER, &[&endpoint]);
    assert_eq!((requester.code, &*requester.errors), (Some(0), ""));
}

/// Hint: How long may one reply take while the others wait?
#[test]
fn a_client_that_does_not_read_its_reply_holds_the_others_up_for_a_second() {
    let (mut replier, endpoint) = listen(REPLIER, &[ANY_PORT]);
    let mut peer = dial_as(&endpoint, "REQ");
    // More than both kernels take off the replier's hands.
    let size = 32_u64 << 20;
    peer.write_all(&[1, 0, 2]).unwrap();
    peer.write_all(&size.to_be_bytes()).unwrap();
    peer.write_all(&vec![b'x'; size as usize]).unwrap();
    assert_eq!(replier.wait_for("Received request: "), "x".repeat(200));
    replier.wait_for_error("Cannot reply: ");
    let requester = Program::run(REQUESTER, &[&endpoint]);
    assert_eq!((requester.code, &*requester.errors), (Some(0), ""));
}

/// It tells what failed each time, and what may be wrong.
/// Hint: Count the tries, and say of each what failed.
/// Wiretap: --as zmtp
#[test]
fn the_requester_asks_three_times_at_most() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let requester = Program::start(REQUESTER, &[&endpoint]);
    // The first replier hangs up while it shakes hands, the others when it is asked.
    drop(accept(&listener));
    for _ in 0..2 {
        let mut peer = shake_hands(accept(&listener), "REP");
        peer.read_exact(&mut [0; 4]).unwrap();
    }
    let ended = requester.end();
    assert_eq!(ended.code, Some(1), "{}", ended.errors);
    assert!(ended.errors.contains("No reply, try 3 of 3: "), "{}", ended.errors);
    let error = format!("Error: no reply from {endpoint} ");
    let hint = "(is the replier running? cargo run -p zeromq-patterns)";
    assert!(ended.errors.ends_with(&(error + hint)), "{}", ended.errors);
    listener.set_nonblocking(true).unwrap();
    let more = listener.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(more, Err(ErrorKind::WouldBlock), "it asked a fourth time");
}

/// Why a replier may not count on a request coming once.
/// Hint: What may a request socket do while its reply has not come?
/// Wiretap: --as zmtp --freeze 20s
#[test]
fn a_request_without_a_reply_for_five_seconds_is_asked_again_on_a_new_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let mut requester = Program::start(REQUESTER, &[&endpoint]);
    let asked = request(&[b"Hello, world"]);
    let take = || {
        let mut peer = shake_hands(accept(&listener), "REP");
        let mut request = vec![0; asked.len()];
        peer.read_exact(&mut request).unwrap();
        assert_eq!(request, asked);
        peer
    };
    let mut silent = take();
    requester.wait_for_error("No reply, try 1 of 3: silence for 5 s");
    take().write_all(&asked).unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap(), 0, "the old socket is closed");
    let requester = requester.end();
    assert_eq!(requester.code, Some(0), "{}", requester.errors);
    assert_eq!(rests(&requester.output, "Received reply 1: "), ["Hello, world"]);
}

/// Claim 97: the one that binds is the single point of failure, and must come back.
fn assert_outlived_by_two_subscribers(endpoint: &str) {
    let (publisher, endpoint) = listen(PUBLISHER, &[endpoint, "--interval", "0.1"]);
    let mut subscribers = [(); 2].map(|()| connect(SUBSCRIBER, &[&endpoint]));
    subscribers.iter_mut().for_each(|one| drop(one.wait_for("Received: ")));
    publisher.kill();
    for subscriber in &mut subscribers {
        subscriber.wait_for_error("Lost the publisher: ");
        subscriber.wait_for_error("Waiting for a publisher at ");
    }
    unix::remove(&endpoint);
    let (_publisher, _) = listen(PUBLISHER, &[&endpoint, "--interval", "0.1"]);
    for mut subscriber in subscribers {
        subscriber.wait_for("Connected to ");
        subscriber.wait_for("Received: ");
    }
}

/// Hint: Who connects again, and what has to be said again then?
/// Wiretap: --as zmtp
#[test]
fn subscribers_outlive_a_publisher_that_is_killed_and_started_again() {
    assert_outlived_by_two_subscribers(ANY_PORT);
}

/// Hint: An error of the connection is no reason to end.
/// Wiretap: --as zmtp
#[test]
fn a_subscriber_connects_again_when_the_publisher_sends_garbage_or_hangs_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let mut subscriber = Program::start(SUBSCRIBER, &[&endpoint]);
    let mut peer = shake_hands(accept(&listener), "PUB");
    subscriber.wait_for("Connected to ");
    peer.write_all(b"\0\x03one\x04\x05\x04PING").unwrap();
    assert_eq!(subscriber.wait_for("Received: "), "one");
    subscriber.wait_for_error("Lost the publisher: ");
    // A publisher that hangs up while it shakes hands is tried again as well.
    drop(accept(&listener));
    let mut next = shake_hands(accept(&listener), "PUB");
    subscriber.wait_for("Connected to ");
    next.write_all(b"\0\x03two").unwrap();
    assert_eq!(subscriber.wait_for("Received: "), "two");
}

/// What nobody wants does not even cross the network.
/// Hint: Who filters, the publisher or the subscriber?
/// Wiretap: --as zmtp
#[test]
fn a_subscriber_tells_the_publisher_which_topic_it_wants() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let topic = ["--topic", "myhome/k"];
    let _subscriber =
        Program::start(SUBSCRIBER, &[&[&*endpoint], &topic[..]].concat());
    let mut peer = shake_hands(accept(&listener), "PUB");
    let wanted = b"\0\x09\x01myhome/k";
    let mut told = [0; 11];
    peer.read_exact(&mut told).unwrap();
    assert_eq!(told, *wanted, "{}", String::from_utf8_lossy(&told));
}

/// Hint: What a peer sent may hold any bytes; what would the terminal do with them?
/// Wiretap: --as zmtp --hex
#[test]
fn what_a_program_receives_cannot_steer_the_terminal() {
    let odd = b"\x01\x05\xff\x1b[2J\0\x07Ol\xc3\xa1\n\xc2\x9b";
    let shown = "\u{fffd}\u{fffd}[2J | Ol\u{e1}\u{fffd}\u{fffd}";
    for (path, kind) in [(SUBSCRIBER, "PUB"), (PULLER, "PUSH"), (REQUESTER, "REP")] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        let mut program = Program::start(path, &[&endpoint]);
        let mut peer = shake_hands(accept(&listener), kind);
        if path == REQUESTER {
            peer.read_exact(&mut vec![0; request(&[b"Hello, world"]).len()]).unwrap();
            peer.write_all(&[1, 0]).unwrap(); // The empty frame before a reply.
        } else {
            program.wait_for("Connected to ");
        }
        peer.write_all(odd).unwrap();
        program.wait_for(&format!(
            "{}: {shown}",
            if path == REQUESTER { "Received reply 1" } else { "Received" }
        ));
    }
}

/// To show messages is what a subscriber is for; the other programs may cut long ones.
/// Hint: The message is what the person wants to read.
#[test]
fn a_subscriber_shows_a_long_message_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let mut subscriber = Program::start(SUBSCRIBER, &[&endpoint]);
    let mut peer = shake_hands(accept(&listener), "PUB");
    subscriber.wait_for("Connected to ");
    let long = "x".repeat(10_000);
    // A long frame: its length has 8 bytes.
    let head = [&[2][..], &(long.len() as u64).to_be_bytes()].concat();
    peer.write_all(&[&head, long.as_bytes()].concat()).unwrap();
    assert_eq!(subscriber.wait_for("Received: "), long);
}

/// Hint: Where are the messages kept that one subscriber does not take?
#[test]
fn a_subscriber_that_reads_nothing_harms_nobody_else() {
    let (mut publisher, endpoint) =
        listen(PUBLISHER, &[ANY_PORT, "--interval", "0.02"]);
    let mut stopped = dial_as(&endpoint, "SUB");
    stopped.write_all(b"\0\x01\x01").unwrap(); // It wants everything.
    let mut other = connect(SUBSCRIBER, &[&endpoint]);
    reset(dial_as(&endpoint, "SUB"));
    dial_as(&endpoint, "SUB").write_all(b"\x04\x05\x04PING").unwrap();
    dial(&endpoint).write_all(&[b'x'; 1000]).unwrap();
    let number = publisher.wait_for("Publishing: myhome/kitchen/temperature | ");
    let number: u32 = number.split(' ').next().unwrap().parse().unwrap();
    let later = number + 50;
    other.wait_for(&format!("Received: myhome/kitchen/temperature | {later} | "));
}

/// The crate does not linger: what waits in a program that ends would be lost.
/// Hint: What is still in the socket when the program ends?
/// Wiretap: --as zmtp
#[test]
fn a_pusher_that_ends_after_its_last_task_loses_nothing() {
    let long = "x".repeat(10_000);
    let (mut pusher, endpoint) =
        listen(PUSHER, &[ANY_PORT, &long, "--count", "3000"]);
    let mut peer = dial_as(&endpoint, "PULL");
    // More is under way than the kernels keep, while nobody reads.
    (0..3000).for_each(|_| drop(pusher.wait_for("Sent: ")));
    assert!(pusher.is_running(), "it ended before its tasks had left");
    assert_eq!(count_messages(&mut peer), 3000);
    let pusher = pusher.end();
    assert_eq!((pusher.code, &*pusher.errors), (Some(0), ""));
    assert_eq!(pusher.output.last().unwrap(), "All 3000 tasks have left");
}

/// Hint: How long is a puller waited for that takes nothing?
#[test]
fn a_pusher_whose_tasks_cannot_leave_says_so_after_five_seconds() {
    let long = "x".repeat(10_000);
    let (pusher, endpoint) = listen(PUSHER, &[ANY_PORT, &long, "--count", "3000"]);
    let _peer = dial_as(&endpoint, "PULL");
    let ended = pusher.end();
    assert_eq!(ended.code, Some(1));
    let error = "Error: not all tasks have left within 5 s (does a puller not read?)";
    assert!(ended.errors.starts_with(error), "{}", ended.errors);
}

/// Those that it hangs up on come back at once, while it is still ending.
/// Hint: Those that are hung up on come back while the program is still ending.
#[test]
fn twenty_pushers_in_a_row_end_well_though_their_pullers_connect_again_at_once() {
    let more = ["--count", "300", "--pullers", "3"];
    let (mut pusher, endpoint) = listen(PUSHER, &[&[ANY_PORT], &more[..]].concat());
    let mut pullers = [(); 3].map(|()| Program::start(PULLER, &[&endpoint]));
    for _ in 1..20 {
        let ended = pusher.end();
        assert_eq!((ended.code, &*ended.errors), (Some(0), ""));
        pusher = Program::start(PUSHER, &[&[&*endpoint], &more[..]].concat());
    }
    assert_eq!(pusher.end().code, Some(0));
    pullers.iter_mut().for_each(|puller| assert!(puller.is_running()));
}

/// Claim 97.
fn assert_pullers_outlive_the_pusher(endpoint: &str) {
    let (pusher, endpoint) = listen(PUSHER, &[endpoint, "first", "--count", "2"]);
    let mut one = connect(PULLER, &[&endpoint]);
    assert_eq!(pusher.end().code, Some(0));
    one.wait_for_error("Lost the pusher: ");
    one.wait_for_error("Waiting for a pusher at ");
    let mut other = Program::start(PULLER, &[&endpoint]);
    other.wait_for_error("Waiting for a pusher at ");
    // The second pusher is killed in the middle of its work.
    let (pusher, _) = listen(
        PUSHER,
        &[&endpoint, "second", "--count", "9999999", "--pullers", "2"],
    );
    for puller in [&mut one, &mut other] {
        while !puller.wait_for("Received: ").ends_with(" second") {}
    }
    pusher.kill();
    one.wait_for_error("Lost the pusher: ");
    other.wait_for_error("Lost the pusher: ");
    unix::remove(&endpoint);
    let (pusher, _) =
        listen(PUSHER, &[&endpoint, "third", "--count", "2", "--pullers", "2"]);
    assert_eq!(pusher.end().code, Some(0));
    for puller in [&mut one, &mut other] {
        while !puller.wait_for("Received: ").ends_with(" third") {}
    }
}

/// Hint: Who connects again, and how long does it try?
/// Wiretap: --as zmtp
#[test]
fn pullers_wait_for_a_pusher_that_ended_or_was_killed_and_go_on_with_the_next() {
    assert_pullers_outlive_the_pusher(ANY_PORT);
}

/// Hint: An error of the connection is no reason to end.
/// Wiretap: --as zmtp
#[test]
fn a_puller_hangs_up_on_a_pusher_that_sends_garbage_and_connects_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let mut puller = Program::start(PULLER, &[&endpoint, "--count", "2"]);
    let mut peer = shake_hands(accept(&listener), "PUSH");
    puller.wait_for("Connected to ");
    peer.write_all(b"\0\x03one\x04\x05\x04PING").unwrap();
    assert_eq!(puller.wait_for("Received: "), "one");
    puller.wait_for_error("Lost the pusher: ");
    // Else the pusher would go on sending. What it has sent is not read any more.
    let hung_up = peer.read(&mut [0]).map_err(|error| error.kind());
    assert!(
        matches!(hung_up, Ok(0) | Err(ErrorKind::ConnectionReset)),
        "{hung_up:?}"
    );
    // A pusher that hangs up while it shakes hands is tried again as well.
    drop(accept(&listener));
    let mut next = shake_hands(accept(&listener), "PUSH");
    next.write_all(b"\x01\x03two\0\x06frames").unwrap();
    let puller = puller.end();
    assert_eq!(puller.code, Some(0), "{}", puller.errors);
    assert_eq!(rests(&puller.output, "Received: "), ["one", "two | frames"]);
}

/// Without a broker nobody gives them to another puller.
/// Hint: Nobody keeps a task that has left; is a task made up for it?
#[test]
fn tasks_in_the_hands_of_a_puller_that_dies_are_lost() {
    let (mut pusher, endpoint) =
        listen(PUSHER, &[ANY_PORT, "--count", "10", "--pullers", "2"]);
    let mut dying = connect(PULLER, &[&endpoint, "--work", "60"]);
    let mut other = connect(PULLER, &[&endpoint]);
    dying.wait_for("Received: ");
    // Each has been dealt its half by now.
    (0..10).for_each(|_| drop(pusher.wait_for("Sent: ")));
    dying.kill();
    let pusher = pusher.end();
    assert_eq!(pusher.code, Some(0), "it cannot know: {}", pusher.errors);
    other.wait_for_error("Lost the pusher: ");
    assert_eq!(rests(&other.kill().output, "Received: ").len(), 5);
}

/// Hint: Nothing can be pushed to nobody; what does the user see meanwhile?
#[test]
fn a_pusher_without_a_puller_waits_and_says_so() {
    let (mut pusher, endpoint) = listen(PUSHER, &[ANY_PORT, "--count", "9999999"]);
    pusher.wait_for("Pullers to wait for: 1");
    // What is not a puller does not count.
    dial(&endpoint).write_all(&[b'x'; 1000]).unwrap();
    let _silent = dial(&endpoint);
    reset(dial(&endpoint));
    let mut puller = connect(PULLER, &[&endpoint]);
    let first = pusher.wait_for("Sent: ");
    assert_eq!(puller.wait_for("Received: "), first);
    puller.kill();
    pusher.wait_for_error("No puller: waiting for one");
    let mut puller = connect(PULLER, &[&endpoint]);
    puller.wait_for("Received: ");
    assert!(pusher.is_running());
}

/// Hint: Which errors belong to one peer, and which to the socket?
/// Wiretap: --as zmtp
#[test]
fn a_puller_that_resets_or_sends_garbage_does_not_end_the_pusher() {
    let (mut pusher, endpoint) = listen(PUSHER, &[ANY_PORT, "--count", "9999999"]);
    let mut puller = connect(PULLER, &[&endpoint]);
    puller.wait_for("Received: ");
    reset(dial_as(&endpoint, "PULL"));
    let mut garbage = dial_as(&endpoint, "PULL");
    garbage.write_all(b"\x04\x05\x04PING").unwrap();
    drop(garbage);
    (0..2000).for_each(|_| drop(puller.wait_for("Received: ")));
    assert!(pusher.is_running());
}

/// Hint: The error should name the address and the reason.
#[test]
fn a_port_in_use_is_a_clear_error() {
    let (_replier, endpoint) = listen(REPLIER, &[ANY_PORT]);
    for path in [REPLIER, PUBLISHER, PUSHER] {
        let second = Program::run(path, &[&endpoint]);
        assert_eq!(second.code, Some(1));
        let error = format!("Error: cannot listen on {endpoint}: ");
        assert!(second.errors.starts_with(&error), "{}", second.errors);
    }
}

/// Hint: Exit status 2 is for arguments that cannot be understood.
#[test]
fn a_wrong_argument_exits_with_2_and_a_star_says_what_to_write_instead() {
    let bad = [
        "127.0.0.1:5555",
        "",
        "http://127.0.0.1:5555",
        "inproc://tasks",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:*",
        "tcp://127.0.0.1:65536",
        "tcp://:5555",
        "ipc://",
    ];
    for path in [REPLIER, REQUESTER, PUBLISHER, SUBSCRIBER, PUSHER, PULLER] {
        for endpoint in bad {
            let ended = Program::run(path, &[endpoint]);
            assert_eq!(ended.code, Some(2), "{path} {endpoint}: {}", ended.errors);
        }
    }
    for seconds in ["-1", "soon", "NaN", "1e300"] {
        for (path, flag) in
            [(REQUESTER, "interval"), (PUBLISHER, "interval"), (PULLER, "work")]
        {
            let ended = Program::run(path, &[&format!("--{flag}={seconds}")]);
            assert_eq!(ended.code, Some(2), "{path} {seconds}: {}", ended.errors);
        }
    }
    for path in [REPLIER, PUBLISHER, PUSHER] {
        for endpoint in ["tcp://*:5555", "ipc://*"] {
            let ended = Program::run(path, &[endpoint]);
            assert_eq!(ended.code, Some(1), "{path} {endpoint}");
            let said = "write tcp://0.0.0.0 or ipc://PATH";
            assert!(ended.errors.contains(said), "{}", ended.errors);
        }
    }
}

/// A puller at a publisher, say: to wait would not help.
/// Hint: The handshake tells the kind of the other socket; will waiting change it?
/// Wiretap: --as zmtp
#[test]
fn a_socket_of_the_wrong_kind_ends_the_program_that_connects() {
    let (_publisher, of_publisher) = listen(PUBLISHER, &[ANY_PORT]);
    let (_pusher, of_pusher) = listen(PUSHER, &[ANY_PORT]);
    let wrong = [
        (REQUESTER, &of_publisher),
        (PULLER, &of_publisher),
        (SUBSCRIBER, &of_pusher),
    ];
    for (path, endpoint) in wrong {
        let ended = Program::run(path, &[endpoint]);
        assert_eq!(ended.code, Some(1), "{path}: {}", ended.errors);
        assert!(ended.errors.contains(endpoint), "{}", ended.errors);
        assert!(ended.errors.contains("not compatible"), "{}", ended.errors);
    }
}

#[cfg(not(unix))]
mod unix {
    /// There are no IPC endpoints here.
    pub fn remove(_endpoint: &str) {}
}

/// Signals, and the files of IPC endpoints.
#[cfg(unix)]
mod unix {
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;
    use std::{fs, thread};

    use tempfile::TempDir;

    use super::*;

    /// A folder of a test's own, for the file of an IPC endpoint.
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

    /// What the error tells a person to do after a program was killed.
    pub fn remove(endpoint: &str) {
        if let Some(path) = endpoint.strip_prefix("ipc://") {
            fs::remove_file(path).unwrap();
        }
    }

    /// Claim 95: the same over IPC.
    /// Hint: What may a request socket do whose replier is gone?
    #[test]
    fn the_requester_outlives_a_replier_killed_between_two_requests_over_ipc() {
        let folder = Folder::new();
        let (replier, endpoint) = listen(REPLIER, &[&folder.endpoint()]);
        let mut requester = Program::start(
            REQUESTER,
            &[&endpoint, "--count", "2", "--interval", "1"],
        );
        requester.wait_for("Received reply 1: ");
        replier.kill();
        remove(&endpoint);
        let _replier = listen(REPLIER, &[&endpoint]);
        requester.wait_for("Received reply 2: Hello, world");
        assert_eq!(requester.end().code, Some(0));
    }

    /// Hint: Who connects again, and what has to be said again then?
    /// Wiretap: --as zmtp
    #[test]
    fn subscribers_outlive_a_publisher_that_is_killed_and_started_again_over_ipc() {
        assert_outlived_by_two_subscribers(&Folder::new().endpoint());
    }

    /// Hint: Who connects again, and how long does it try?
    /// Wiretap: --as zmtp
    #[test]
    fn pullers_wait_for_a_pusher_and_go_on_with_the_next_over_ipc() {
        assert_pullers_outlive_the_pusher(&Folder::new().endpoint());
    }

    /// Hint: What may a request socket do whose replier is gone?
    #[test]
    fn the_requester_outlives_a_replier_killed_in_the_middle_of_a_request() {
        let (replier, endpoint) = listen(REPLIER, &[ANY_PORT]);
        replier.signal("STOP");
        // Asleep, its kernel takes the connection and it does not answer.
        let mut requester = Program::start(REQUESTER, &[&endpoint]);
        requester.wait_for("Connecting to ");
        replier.kill();
        let (mut replier, _) = listen(REPLIER, &[&endpoint]);
        replier.wait_for("Received request: Hello, world");
        let requester = requester.end();
        assert_eq!(requester.code, Some(0), "{}", requester.errors);
    }

    /// Nobody deletes a file without being asked: it could be a thesis.
    /// Hint: A program that was killed leaves its file; who may delete it?
    #[test]
    fn an_ipc_file_in_the_way_is_an_error_that_says_which_to_delete() {
        let (stale, live, text) = (Folder::new(), Folder::new(), Folder::new());
        drop(UnixListener::bind(stale.path()).unwrap());
        let _listener = UnixListener::bind(live.path()).unwrap();
        fs::write(text.path(), b"thesis").unwrap();
        for path in [REPLIER, PUBLISHER, PUSHER] {
            for taken in [&stale, &live, &text] {
                let ended = Program::run(path, &[&taken.endpoint()]);
                assert_eq!(ended.code, Some(1), "{path}");
                let hint = "(if a killed program left this file behind, delete it)";
                let error =
                    format!("Error: cannot listen on {} {hint}: ", taken.endpoint());
                assert!(ended.errors.starts_with(&error), "{}", ended.errors);
            }
        }
        assert!(stale.path().exists() && live.path().exists());
        assert_eq!(fs::read(text.path()).unwrap(), b"thesis");
    }

    /// The kernel takes no longer path, so nobody can ever listen there.
    /// Hint: The kernel takes no longer path; what does the error say?
    #[test]
    fn an_ipc_path_over_107_bytes_ends_every_program_with_its_reason() {
        let endpoint = format!("ipc:///tmp/{}", "x".repeat(120));
        for path in [REPLIER, REQUESTER, PUBLISHER, SUBSCRIBER, PUSHER, PULLER] {
            let ended = Program::run(path, &[&endpoint]);
            assert_eq!(ended.code, Some(1), "{path}: {}", ended.errors);
            assert!(ended.errors.contains(&endpoint), "{path}: {}", ended.errors);
            assert!(!ended.errors.contains("running?"), "{path}: {}", ended.errors);
        }
    }

    /// Hint: What is left in the file system when the program ends?
    #[test]
    fn ctrl_c_ends_them_with_0_and_no_ipc_file_stays() {
        for listener in [REPLIER, PUBLISHER, PUSHER] {
            let folder = Folder::new();
            let (program, _) = listen(listener, &[&folder.endpoint()]);
            program.signal("INT");
            let ended = program.end();
            assert_eq!((ended.code, &*ended.errors), (Some(0), ""), "{listener}");
            assert!(!folder.path().exists(), "{listener}");
        }
        for (listener, other) in [(PUBLISHER, SUBSCRIBER), (PUSHER, PULLER)] {
            let folder = Folder::new();
            // While it waits, and when it is connected.
            let mut waiting = Program::start(other, &[&folder.endpoint()]);
            waiting.wait_for_error("Waiting for a ");
            waiting.signal("INT");
            assert_eq!(waiting.end().code, Some(0));
            let _listener = listen(listener, &[&folder.endpoint()]);
            let connected = connect(other, &[&folder.endpoint()]);
            connected.signal("INT");
            assert_eq!(connected.end().code, Some(0));
        }
    }

    /// Hint: What is still in the socket when Ctrl-C comes?
    #[test]
    fn what_a_pusher_has_sent_before_ctrl_c_leaves() {
        let (mut pusher, endpoint) =
            listen(PUSHER, &[ANY_PORT, "--count", "9999999"]);
        let mut peer = dial_as(&endpoint, "PULL");
        let reader = thread::spawn(move || count_messages(&mut peer));
        (0..1000).for_each(|_| drop(pusher.wait_for("Sent: ")));
        pusher.signal("INT");
        let ended = pusher.end();
        assert_eq!((ended.code, &*ended.errors), (Some(0), ""));
        let sent = reader.join().unwrap();
        let last = format!("All {sent} tasks have left");
        assert_eq!(ended.output.last().unwrap(), &last);
    }
}
