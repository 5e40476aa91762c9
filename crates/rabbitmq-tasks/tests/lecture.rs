//! What the lecture promises of a task queue: tasks wait, workers share them and survive
//! each other, and `Sent` is a promise. The real programs run beside a real broker.
// Some tests need what only Linux or Unix has.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

mod broker;
mod program;

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::{process, thread};

use amqprs::channel::{
    BasicAckArguments, ExchangeDeclareArguments, QueueBindArguments,
};
use broker::{ACK, Amqp, From, PRODUCER, PUBLISH, Proxy, Queue, WORKER};
use program::{PATIENCE, Program, assert_shown};

const README: &str = include_str!("../README.md");

/// Hint: Compare what is printed with the README, line by line and word by word.
#[cfg(unix)]
#[test]
fn producer_and_worker_print_what_the_readme_shows() {
    let queue = Queue::new("tasks");
    let mut worker = queue.start_worker("0.01");
    let producer = queue.produce(&["--count", "3", "task"]);
    assert_eq!(producer.code, Some(0), "{}", producer.errors);
    let command =
        "cargo run -p rabbitmq-tasks --bin rabbitmq-producer -- --count 3 task";
    assert_shown(README, command, &producer.output);
    worker.wait_for("Done: task 3");
    worker.signal("INT");
    let worker = worker.end();
    let lines: Vec<String> =
        worker.output.iter().map(|line| line.replace(&queue.name, "tasks")).collect();
    assert_shown(README, "cargo run -p rabbitmq-tasks", &lines);
}

/// Hint: What is the body of a task when there is only one of it?
#[test]
fn each_message_is_sent_count_times_and_numbered_only_then() {
    let queue = Queue::new("count");
    let once = queue.produce(&["a", "", "c d"]);
    assert_eq!(once.output, ["Sent: a", "Sent:", "Sent: c d"]);
    let twice = queue.produce(&["--count", "2", "a", "b"]);
    let sent = ["Sent: a 1", "Sent: b 1", "Sent: a 2", "Sent: b 2"];
    assert_eq!(twice.output, sent);
    assert_eq!(queue.produce(&[]).output, ["Sent: Hello, world"]);
    queue.amqp.wait_for_depth(&queue.name, 8);
    assert_eq!(queue.amqp.get(&queue.name).unwrap(), "a");
    assert_eq!(queue.amqp.get(&queue.name).unwrap(), "");
}

/// Hint: How many confirms are still to come, and which tasks does one of them cover?
#[test]
fn many_batches_of_tasks_are_each_confirmed_once_and_in_the_queue_once() {
    let queue = Queue::new("batches");
    let producer = queue.produce(&["--count", "1234", "task"]);
    assert_eq!(producer.code, Some(0), "{}", producer.errors);
    let sent: BTreeSet<&String> = producer.output.iter().collect();
    assert_eq!((sent.len(), producer.output.len()), (1234, 1234));
    queue.amqp.wait_for_depth(&queue.name, 1234);
    for number in 1..=1234 {
        let kept = queue.amqp.get(&queue.name);
        assert_eq!(kept, Some(format!("task {number}")), "the order of sending");
    }
}

/// A durable queue is kept when the broker restarts, but only persistent tasks are in it.
/// Hint: AMQP has a delivery mode of each message.
#[test]
fn each_task_is_sent_as_a_persistent_message() {
    let queue = Queue::new("persistent");
    assert_eq!(queue.produce(&["task"]).code, Some(0));
    let (properties, _) = queue.amqp.get_whole(&queue.name).unwrap();
    assert_eq!(properties.delivery_mode(), Some(2));
}

/// Claim 87.
/// Hint: Where are the tasks while nobody works, and who declares that place?
#[test]
fn producer_and_worker_need_not_run_at_the_same_time() {
    let queue = Queue::new("apart");
    assert_eq!(queue.produce(&["early"]).code, Some(0));
    let mut worker = queue.start_worker("0");
    worker.wait_for("Received: early");
    worker.wait_for("Done: early");
}

/// Claim 88: and a slow worker gets fewer.
/// Hint: How many tasks does a worker hold that it has not finished?
#[cfg(unix)]
#[test]
fn four_workers_share_a_hundred_tasks_and_the_slow_one_gets_the_fewest() {
    let queue = Queue::new("share");
    let workers =
        ["0.02", "0.02", "0.02", "0.2"].map(|work| queue.start_worker(work));
    queue.produce(&["--count", "100", "task"]);
    queue.amqp.wait_for_depth(&queue.name, 0);
    // Tasks that they have not done yet go back to the queue.
    workers.iter().for_each(|worker| worker.signal("INT"));
    let tasks = |lines: Vec<String>| -> Vec<String> {
        let tasks = lines.iter().filter_map(|line| line.strip_prefix("Done: "));
        tasks.map(str::to_string).collect()
    };
    let mut done = workers.map(|worker| tasks(worker.end().output)).to_vec();
    let counts: Vec<usize> = done.iter().map(Vec::len).collect();
    let mut last = queue.start_worker("0");
    done.push((done.concat().len()..100).map(|_| last.wait_for("Done: ")).collect());
    let different: BTreeSet<String> = done.concat().into_iter().collect();
    assert_eq!(different.len(), 100, "each once: {done:?}");
    assert!(counts[..3].iter().all(|count| *count > counts[3]), "{counts:?}");
    assert!(counts[3] > 0, "{counts:?}");
}

/// Claim 88.
/// Hint: When is a task acknowledged: before the work, or after it?
#[test]
fn a_task_of_a_killed_worker_is_done_by_another() {
    let queue = Queue::new("killed");
    let mut first = queue.start_worker("60");
    queue.produce(&["important"]);
    first.wait_for("Received: important");
    let mut second = queue.start_worker("0");
    first.kill();
    second.wait_for("Received again: important");
    second.wait_for("Done: important");
}

/// Hint: What becomes of a task that is rejected without being queued again?
#[test]
fn a_task_that_fails_is_rejected_once_and_kept_apart_where_a_worker_can_see_it() {
    let queue = Queue::new("fail");
    let mut worker = queue.start_worker("0");
    queue.produce(&["fail", "failure"]);
    worker.wait_for("Done: failure");
    queue.amqp.wait_for_depth(&queue.failed(), 1);
    queue.amqp.wait_for_depth(&queue.name, 0);
    let mut lines = worker.kill().output;
    lines.retain(|line| line.ends_with(" fail"));
    assert_eq!(lines, ["Received: fail", "Failed: fail"]);
    // It stays there while a worker looks at it, whatever ends that worker.
    let mut look =
        Program::start(WORKER, &["--queue", &queue.failed(), "--work", "60"]);
    look.wait_for("Received: fail");
    look.kill();
    queue.amqp.wait_for_depth(&queue.failed(), 1);
    assert_eq!(queue.amqp.get(&queue.failed()).unwrap(), "fail");
}

/// Hint: Which numbers does the contract allow for the time that the work takes?
#[test]
fn work_is_told_in_seconds_and_fractions_of_them() {
    let queue = Queue::new("seconds");
    queue.produce(&["--count", "2", "task"]);
    let start = std::time::Instant::now();
    let mut worker = queue.start_worker("0.5");
    worker.wait_for("Done: task 2");
    let took = start.elapsed().as_secs_f64();
    assert!(took >= 1.0, "two tasks of half a second took {took} s");
}

/// The next connection; a program that never connects fails the test in time.
fn accept(listener: &TcpListener) -> TcpStream {
    let (sender, accepted) = mpsc::channel();
    let listener = listener.try_clone().unwrap();
    thread::spawn(move || sender.send(listener.accept().unwrap().0));
    accepted.recv_timeout(PATIENCE).expect("expected a connection, and none came")
}

/// Claim 82: the first bytes are the protocol's name and its version, 0-9-1.
/// Hint: The first eight bytes of a connection are fixed by AMQP 0-9-1, section
/// 4.2.2.
#[test]
fn a_connection_begins_with_the_name_and_version_of_amqp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://{}", listener.local_addr().unwrap());
    for program in [WORKER, PRODUCER] {
        let _program = Program::start(program, &["--broker", &url]);
        let mut connection = accept(&listener);
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut first = [0; 8];
        connection.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"AMQP\x00\x00\x09\x01");
    }
}

/// Claim 83: who publishes names an exchange; the bindings say which queues get it.
/// Hint: To what does a producer publish, and what decides where it goes?
#[test]
fn an_exchange_routes_by_its_bindings_to_the_queues_of_several_consumers() {
    let queues = [Queue::new("left"), Queue::new("right")];
    let exchange = format!("exchange-{}", process::id());
    let mut workers = [queues[0].start_worker("0"), queues[1].start_worker("0")];
    let amqp = Amqp::connect();
    amqp.runtime.block_on(async {
        let mut declare = ExchangeDeclareArguments::new(&exchange, "direct");
        let declare = declare.auto_delete(true).durable(true).finish();
        amqp.channel().exchange_declare(declare).await.unwrap();
        for (queue, key) in [(0, "left"), (0, "both"), (1, "right"), (1, "both")] {
            let bind = QueueBindArguments::new(&queues[queue].name, &exchange, key);
            amqp.channel().queue_bind(bind).await.unwrap();
        }
    });
    for key in ["left", "right", "both"] {
        amqp.publish(&exchange, key, key.as_bytes());
    }
    workers.iter_mut().for_each(|worker| drop(worker.wait_for("Done: both")));
    for (worker, own) in workers.into_iter().zip(["left", "right"]) {
        let lines = worker.kill().output;
        let received = [format!("Received: {own}"), "Received: both".to_string()];
        let lines: Vec<_> =
            lines.into_iter().filter(|l| l.starts_with("Received")).collect();
        assert_eq!(lines, received);
    }
}

/// Claim 86: a consumer does not pull. The broker pushes, up to the prefetch.
/// Hint: What limits how many tasks the broker sends ahead?
#[test]
fn the_broker_pushes_as_many_tasks_as_the_prefetch_allows() {
    let queue = Queue::new("prefetch");
    queue.produce(&["--count", "5", "task"]);
    let mut worker = queue.start_worker("60");
    worker.wait_for("Received: task 1");
    let amqp = Amqp::connect();
    amqp.wait_for_depth(&queue.name, 4);
    let mut pushed = amqp.consume(&queue.name, 3, false);
    let (first, _) = amqp.delivered(&mut pushed);
    amqp.delivered(&mut pushed);
    assert_eq!(amqp.delivered(&mut pushed).1, "task 4");
    // The answer comes after anything that was pushed before.
    amqp.wait_for_depth(&queue.name, 1);
    assert!(pushed.try_recv().is_err(), "more than the prefetch");
    let ack = amqp.channel().basic_ack(BasicAckArguments::new(first, false));
    amqp.runtime.block_on(ack).unwrap();
    assert_eq!(amqp.delivered(&mut pushed).1, "task 5");
}

/// Claim 89: without manual acknowledgements a task is gone once it was delivered.
/// Hint: Who acknowledges a task here, and when?
#[test]
fn a_dead_consumer_loses_what_was_acknowledged_automatically_and_nothing_else() {
    let queue = Queue::new("automatic");
    queue.produce(&["--count", "10", "task"]);
    let manual = Amqp::connect();
    let mut tasks = manual.consume(&queue.name, 0, false);
    (0..10).for_each(|_| drop(manual.delivered(&mut tasks)));
    drop(manual);
    queue.amqp.wait_for_depth(&queue.name, 10);
    let automatic = Amqp::connect();
    let mut tasks = automatic.consume(&queue.name, 0, true);
    (0..10).for_each(|_| drop(automatic.delivered(&mut tasks)));
    drop(automatic);
    assert_eq!(queue.amqp.depth(&queue.name), 0);
}

/// Claim 89: without a confirm nobody learns that a message went nowhere.
/// Hint: Which flag of a message makes the broker send it back when no queue takes
/// it?
#[test]
fn publishing_into_the_void_succeeds_where_the_producer_reports_it() {
    let queue = Queue::new("void");
    let amqp = Amqp::connect();
    amqp.publish("", &queue.name, b"to a queue that does not exist");
    assert!(amqp.channel().is_connection_open() && amqp.channel().is_open());
    // The same for the producer: its tasks go to a queue of another name.
    let proxy = Proxy::start(|_, from, bytes| {
        let at = bytes.windows(4).position(|window| window == PUBLISH);
        if let (From::Program, Some(at)) = (from, at) {
            bytes[at + 8] = b'?'; // After an unused number, no exchange, the length.
        }
        true
    });
    let producer = queue.start_behind(&proxy, PRODUCER, &["lost"]).end();
    assert_eq!(producer.code, Some(1));
    assert!(producer.errors.contains("NO_ROUTE"), "{}", producer.errors);
    assert!(producer.output.is_empty(), "{:?}", producer.output);
}

/// Hint: A confirm can also say no.
#[test]
fn a_task_that_the_broker_refuses_is_reported_and_not_called_sent() {
    let queue = Queue::new("refused");
    let proxy = Proxy::start(|_, from, bytes| {
        let at = bytes.windows(4).position(|window| window == ACK);
        if let (From::Broker, Some(at)) = (from, at) {
            bytes[at + 3] = 120; // A negative one has the same fields.
        }
        true
    });
    let producer = queue.start_behind(&proxy, PRODUCER, &["refused"]).end();
    assert_eq!(producer.code, Some(1));
    assert!(producer.errors.contains("is the queue full?"), "{}", producer.errors);
    assert!(producer.output.is_empty(), "{:?}", producer.output);
}
