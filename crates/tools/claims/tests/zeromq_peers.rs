//! The ZeroMQ programs and libzmq, which share no code, talk to each other: pyzmq stands
//! on the other side here.

#[path = "examples/mod.rs"]
mod examples;
#[path = "../../../tcp-echo/tests/program/mod.rs"]
mod program;

use std::path::Path;

use brokers::python;
use program::Program;
use tempfile::TempDir;

const PYZMQ: &str = "pyzmq==27.3.0";
const ANY_PORT: &str = "tcp://127.0.0.1:0";
/// What each script begins with: a time limit for every wait, and the endpoint.
const BEGIN: &str = "import sys, zmq
context = zmq.Context()
def socket(kind):
    socket = context.socket(kind)
    socket.rcvtimeo = socket.sndtimeo = 60000
    return socket
def listen(socket):
    socket.bind(sys.argv[1])
    print('listening', socket.last_endpoint.decode())
endpoint = sys.argv[1]
";

fn start(binary: &str, arguments: &[&str]) -> Program {
    let path = examples::program("zeromq-patterns", binary);
    Program::start(path.to_str().unwrap(), arguments)
}

/// Starts a program that listens; returns the endpoint where it does.
fn listen(binary: &str, ready: &str, more: &[&str]) -> (Program, String) {
    let mut program = start(binary, &[&[ANY_PORT], more].concat());
    let endpoint = program.wait_for(ready);
    (program, endpoint)
}

/// Starts a Python program of these lines; the first argument is the endpoint.
fn start_python(script: &str, arguments: &[&str]) -> Program {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pyzmq");
    let python = python::environment(&folder, &[PYZMQ]).unwrap();
    let script = format!("{BEGIN}{script}");
    Program::start(
        python.to_str().unwrap(),
        &[&["-u", "-c", &script], arguments].concat(),
    )
}

/// The same for one that listens.
fn listen_python(script: &str) -> (Program, String) {
    let mut program = start_python(script, &[ANY_PORT]);
    let endpoint = program.wait_for("listening ");
    (program, endpoint)
}

/// The program's end must be a good one; returns what it printed.
fn output(program: Program) -> Vec<String> {
    let ended = program.end();
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    ended.output
}

#[test]
fn a_requester_in_python_asks_the_replier_also_with_several_frames() {
    let (mut replier, endpoint) =
        listen("zeromq-replier", "Replier listening on ", &[]);
    let script = "
req = socket(zmq.REQ)
req.connect(endpoint)
req.send_string('Olá')
print(req.recv_string())
frames = [b'three', b'', bytes(range(256)) * 1000]
req.send_multipart(frames)
print(req.recv_multipart() == frames)
";
    let lines = output(start_python(script, &[&endpoint]));
    assert_eq!(lines, ["Olá", "True"]);
    assert_eq!(replier.wait_for("Received request: "), "Olá");
    let frames = replier.wait_for("Received request: ");
    assert!(frames.starts_with("three |  | \u{fffd}\u{fffd}"), "{frames}");
}

#[test]
fn the_requester_asks_a_replier_in_python_and_outlives_its_restart() {
    let folder = TempDir::new().unwrap();
    let endpoint = format!("ipc://{}", folder.path().join("socket").display());
    let script = "
rep = socket(zmq.REP)
listen(rep)
while True:
    rep.send_multipart(rep.recv_multipart() + [b'from Python'])
";
    let mut replier = start_python(script, &[&endpoint]);
    replier.wait_for("listening ");
    let more = ["--count", "2", "--interval", "1"];
    let mut requester =
        start("zeromq-requester", &[&[&endpoint as &str], &more[..]].concat());
    let expected = "Hello, world | from Python";
    assert_eq!(requester.wait_for("Received reply 1: "), expected);
    drop(replier);
    let _replier = start_python(script, &[&endpoint]);
    assert_eq!(requester.wait_for("Received reply 2: "), expected);
    output(requester);
}

#[test]
fn a_subscriber_in_python_gets_the_topics_that_begin_as_it_wants() {
    let (_publisher, endpoint) =
        listen("zeromq-publisher", "Publisher listening on ", &["--interval", "0.1"]);
    let script = "
sub = socket(zmq.SUB)
sub.connect(endpoint)
sub.subscribe('myhome/k')
numbers = []
for _ in range(10):
    topic, number, temperature = sub.recv_multipart()
    numbers.append(int(number))
    print(topic.decode(), 20 <= float(temperature) <= 25)
print(numbers == list(range(numbers[0], numbers[0] + 10)))
";
    let lines = output(start_python(script, &[&endpoint]));
    let (last, readings) = lines.split_last().unwrap();
    assert_eq!(readings, ["myhome/kitchen/temperature True"; 10]);
    assert_eq!(last, "True", "none is missing");
}

#[test]
fn the_subscriber_gets_from_python_the_topics_that_begin_as_it_wants() {
    // The subscription itself is what an XPUB socket receives.
    let script = "
xpub = socket(zmq.XPUB)
listen(xpub)
print(sorted([xpub.recv(), xpub.recv()]))
for topic in ['myhome/garden', 'myhome/kitchen', 'myhome/attic', 'yourhome/attic']:
    xpub.send_multipart([topic.encode(), b'22.5', b'C'])
xpub.send(b'myhome/attic 23.0')
xpub.recv()
";
    let (mut publisher, endpoint) = listen_python(script);
    let topics = ["--topic", "myhome/k", "--topic", "myhome/a"];
    let mut subscriber =
        start("zeromq-subscriber", &[&[&endpoint as &str], &topics[..]].concat());
    assert_eq!(publisher.wait_for("["), r"b'\x01myhome/a', b'\x01myhome/k']");
    assert_eq!(subscriber.wait_for("Received: "), "myhome/kitchen | 22.5 | C");
    assert_eq!(subscriber.wait_for("Received: "), "myhome/attic | 22.5 | C");
    assert_eq!(subscriber.wait_for("Received: "), "myhome/attic 23.0");
}

#[test]
fn pullers_in_python_share_the_tasks_of_the_pusher() {
    let more = ["--count", "1000", "--pullers", "2"];
    let (pusher, endpoint) = listen("zeromq-pusher", "Pusher listening on ", &more);
    let script = "
pull = socket(zmq.PULL)
pull.connect(endpoint)
for _ in range(500):
    print(pull.recv_string())
";
    let pullers = [(); 2].map(|()| start_python(script, &[&endpoint]));
    let mut done: Vec<String> = pullers.into_iter().flat_map(output).collect();
    done.sort_unstable();
    let pusher = output(pusher);
    let sent = pusher.iter().filter_map(|line| line.strip_prefix("Sent: "));
    let mut sent: Vec<String> = sent.map(String::from).collect();
    sent.sort_unstable();
    assert!(done == sent, "{} tasks done", done.len());
    assert_eq!(pusher.last().unwrap(), "All 1000 tasks have left");
}

#[test]
fn the_puller_does_the_tasks_of_a_pusher_in_python() {
    let script = "
push = socket(zmq.PUSH)
listen(push)
for number in range(1000):
    push.send_multipart([b'task', str(number).encode()])
";
    let (pusher, endpoint) = listen_python(script);
    let puller = output(start("zeromq-puller", &[&endpoint, "--count", "1000"]));
    assert_eq!(puller.first().unwrap(), &format!("Connected to {endpoint}"));
    assert_eq!(puller.last().unwrap(), "Received: task | 999");
    assert_eq!(puller.len(), 1001);
    output(pusher);
}

#[test]
fn pullers_in_python_give_their_results_to_a_sink_in_python() {
    let sink = "
pull = socket(zmq.PULL)
listen(pull)
print(sum(int(pull.recv()) for _ in range(1000)))
";
    let (sink, results) = listen_python(sink);
    let (pusher, endpoint) =
        listen("zeromq-pusher", "Pusher listening on ", &["--count", "1000"]);
    let script = "
pull, push = socket(zmq.PULL), socket(zmq.PUSH)
push.connect(sys.argv[2])
pull.connect(endpoint)
for _ in range(1000):
    push.send(pull.recv().split(b' ')[0].split(b'-')[1])
";
    let puller = start_python(script, &[&endpoint, &results]);
    assert_eq!(output(sink).last().unwrap(), "500500");
    output(puller);
    assert_eq!(output(pusher).last().unwrap(), "All 1000 tasks have left");
}
