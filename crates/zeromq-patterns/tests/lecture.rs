//! What the lecture promises of the three patterns, tried with the real programs.

mod program;

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;

use program::{Program, assert_shown};
use zeromq::{ReqSocket, Socket, SocketRecv, SocketSend};

const README: &str = include_str!("../README.md");

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

/// The rest of each line that starts so.
fn rests<'a>(lines: &'a [String], start: &str) -> Vec<&'a str> {
    lines.iter().filter_map(|line| line.strip_prefix(start)).collect()
}

/// The number in the second frame of a reading, as it is printed.
fn number(line: &str) -> usize {
    line.split(" | ").nth(1).unwrap().parse().unwrap()
}

/// Claim 90: two processes are enough.
/// Hint: Compare what is printed with the README, line by line and word by word.
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

/// Hint: Compare what is printed with the README, line by line and word by word.
#[test]
fn publisher_and_subscriber_print_what_the_readme_shows() {
    let (mut publisher, endpoint) =
        listen(PUBLISHER, &[ANY_PORT, "--interval", "0.5"]);
    let mut subscriber =
        Program::start(SUBSCRIBER, &[&endpoint, "--topic", "myhome/kitchen"]);
    subscriber.wait_for("Received");
    let lines = subscriber.output_up_to("Received");
    let command = "cargo run -p zeromq-patterns --bin zeromq-subscriber";
    assert_shown(README, &format!("{command} -- --topic myhome/kitchen"), &lines);
    let lines = publisher.output_up_to("Publishing: myhome/kitchen/temperature | 2");
    let command = "cargo run -p zeromq-patterns --bin zeromq-publisher";
    assert_shown(README, command, &lines);
}

/// Hint: Compare what is printed with the README, line by line and word by word.
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

/// Hint: When does the requester need a new socket, and when not?
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

/// The "lazy pirate": what makes up for a broker that is not there.
/// Hint: A REQ socket that waits for a lost reply can do nothing else any more.
#[test]
fn the_requester_outlives_a_replier_killed_between_two_requests() {
    let (replier, endpoint) = listen(REPLIER, &[ANY_PORT]);
    let mut requester =
        Program::start(REQUESTER, &[&endpoint, "--count", "2", "--interval", "1"]);
    requester.wait_for("Received reply 1: ");
    replier.kill();
    let (_replier, again) = listen(REPLIER, &[&endpoint]);
    assert_eq!(again, endpoint);
    let requester = requester.end();
    assert_eq!(requester.code, Some(0), "{}", requester.errors);
    assert_eq!(rests(&requester.output, "Received reply 2: "), ["Hello, world"]);
}

/// Claim 92: REQ/REP is in lockstep. It is what the comment beside the requester's `send` says.
/// Hint: In which order does this kind of socket allow its calls?
#[test]
fn a_second_send_before_the_reply_is_an_error_and_so_is_to_receive_first() {
    let (_replier, endpoint) = listen(REPLIER, &[ANY_PORT]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut socket = ReqSocket::new();
        socket.connect(&endpoint).await.unwrap();
        assert!(socket.recv().await.is_err(), "nothing was asked yet");
        socket.send("one".into()).await.unwrap();
        assert!(
            socket.send("two".into()).await.is_err(),
            "no reply was received yet"
        );
        assert_eq!(&socket.recv().await.unwrap().get(0).unwrap()[..], b"one");
    });
}

/// Claim 93. And it gets everything from then on, up to the last message.
/// Hint: What becomes of a message that is published before anybody has subscribed?
#[test]
fn a_late_subscriber_misses_exactly_the_first_part() {
    let (mut publisher, endpoint) =
        listen(PUBLISHER, &[ANY_PORT, "--count", "40", "--interval", "0.05"]);
    let mut early = connect(SUBSCRIBER, &[&endpoint]);
    early.wait_for("Received: "); // So it has more than the late one.
    publisher.wait_for("Publishing: myhome/kitchen/temperature | 3 | ");
    let mut late = connect(SUBSCRIBER, &[&endpoint]);
    for subscriber in [&mut early, &mut late] {
        subscriber.wait_for("Received: myhome/kitchen/temperature | 40 | ");
    }
    let published = publisher.end();
    assert_eq!(published.code, Some(0), "{}", published.errors);
    let published = rests(&published.output, "Publishing: ");
    let (early, late) = (early.kill().output, late.kill().output);
    let (early, late) = (rests(&early, "Received: "), rests(&late, "Received: "));
    assert!((4..40).contains(&number(late[0])), "{late:?}");
    // From its first message on all, none twice, in order.
    assert!(published.ends_with(&late), "{published:?}\n{late:?}");
    assert!(published.ends_with(&early) && early.len() > late.len(), "{early:?}");
}

/// Claim 93: a topic is a prefix, byte by byte, without MQTT's levels and `+`.
/// Hint: A subscription is compared with the first bytes of a message.
#[test]
fn a_subscriber_gets_what_begins_with_one_of_its_topics() {
    let (_publisher, endpoint) = listen(PUBLISHER, &[ANY_PORT, "--interval", "0.05"]);
    let start =
        |topics: &[&str]| connect(SUBSCRIBER, &[&[&*endpoint], topics].concat());
    let mut kitchen = start(&["--topic", "myhome/k"]);
    let mut both = start(&["--topic", "myhome/k", "--topic", "myhome/l"]);
    let wrong = start(&["--topic", "yhome", "--topic", "myhome/+"]);
    let mut all = start(&[]);
    for subscriber in [&mut kitchen, &mut both, &mut all] {
        (0..20).for_each(|_| drop(subscriber.wait_for("Received: myhome/k")));
    }
    let rooms = |program: Program| {
        let lines = program.kill().output;
        let lines = rests(&lines, "Received: myhome/").into_iter();
        let rooms = lines.map(|line| line.split('/').next().unwrap().to_string());
        rooms.collect::<BTreeSet<_>>()
    };
    let two = BTreeSet::from(["kitchen".to_string(), "livingroom".to_string()]);
    assert_eq!(rooms(kitchen), BTreeSet::from(["kitchen".to_string()]));
    assert_eq!((rooms(both), rooms(all)), (two.clone(), two));
    assert_eq!(rests(&wrong.kill().output, "Received: "), [""; 0]);
}

/// Claim 94: work is spread evenly, and each task is done once.
/// Hint: Which kind of socket deals its messages out, one to each peer?
#[test]
fn three_thousand_tasks_over_three_pullers_are_each_done_once_and_evenly() {
    let (pusher, endpoint) =
        listen(PUSHER, &[ANY_PORT, "--count", "3000", "--pullers", "3"]);
    let pullers = [(); 3].map(|()| connect(PULLER, &[&endpoint]));
    let pusher = pusher.end();
    assert_eq!((pusher.code, &*pusher.errors), (Some(0), ""));
    assert_eq!(pusher.output.last().unwrap(), "All 3000 tasks have left");
    let mut done = BTreeSet::new();
    for mut puller in pullers {
        // By now there is nothing left to wait for.
        puller.wait_for_error("Lost the pusher: ");
        let tasks = puller.kill().output;
        let tasks = rests(&tasks, "Received: ");
        assert!((900..=1100).contains(&tasks.len()), "{} of 3000", tasks.len());
        done.extend(tasks.into_iter().map(String::from));
    }
    let sent = rests(&pusher.output, "Sent: ").into_iter().map(String::from);
    let sent: BTreeSet<String> = sent.collect();
    assert_eq!(sent.len(), 3000);
    assert!(done == sent, "{} tasks done", done.len());
}

/// Like cards: what the comment beside the pusher's `send` says.
/// Hint: Tasks are dealt when they are sent, whatever the pullers do meanwhile.
#[test]
fn a_busy_puller_is_dealt_as_many_tasks_as_an_idle_one() {
    let (mut pusher, endpoint) =
        listen(PUSHER, &[ANY_PORT, "--count", "10", "--pullers", "2"]);
    let mut busy = connect(PULLER, &[&endpoint, "--work", "0.5", "--count", "5"]);
    let idle = connect(PULLER, &[&endpoint, "--count", "5"]).end();
    assert_eq!(rests(&idle.output, "Received: ").len(), 5);
    pusher.wait_for("All 10 tasks have left");
    // It has long been dealt what it does now.
    assert!(busy.is_running(), "five tasks of half a second took no time");
    let busy = busy.end();
    assert_eq!((busy.code, rests(&busy.output, "Received: ").len()), (Some(0), 5));
}

/// Claim 96: there is no inproc here, and a channel does what it would.
/// Hint: This one is about Rust alone and asks nothing of your program.
#[test]
fn within_a_program_a_channel_does_what_the_readme_shows() {
    let (push, pull) = mpsc::channel();
    let puller = thread::spawn(move || {
        let mut done = Vec::new();
        // Ends when the other side of the channel is gone. No task is ever lost.
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
    let readme = README.replace("\r\n", "\n");
    let (_, shown) = readme.split_once("```rust\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let source = include_str!("lecture.rs").replace("\r\n", "\n");
    assert!(source.contains(shown), "{shown}");
}
