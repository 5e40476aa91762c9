//! Starts the real producer and real workers beside a real broker, and compares what
//! they print and what the broker keeps with what the lecture promises. It judges a
//! program by its behaviour alone.

mod program;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, process, thread};

use amqprs::callbacks::DefaultChannelCallback;
use amqprs::channel::{
    BasicAckArguments, BasicConsumeArguments, BasicGetArguments,
    BasicPublishArguments, BasicQosArguments, Channel, ConsumerMessage,
    ExchangeDeclareArguments, QueueBindArguments, QueueDeclareArguments,
    QueueDeleteArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use amqprs::{BasicProperties, DELIVERY_MODE_PERSISTENT};
use program::{Ended, PATIENCE, Program, assert_shown};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

const README: &str = include_str!("../README.md");
const WORKER: &str = env!("CARGO_BIN_EXE_rabbitmq-worker");
const PRODUCER: &str = env!("CARGO_BIN_EXE_rabbitmq-producer");

/// HOST:PORT of the broker.
fn broker() -> String {
    let url = env::var("AMQP_URL").expect(
        "set AMQP_URL to a broker's URL, for instance: \
         cargo lab brokers -- cargo test -p rabbitmq-tasks",
    );
    url.strip_prefix("amqp://").unwrap().trim_end_matches('/').to_string()
}

/// A client of the test's own, which sees what the broker keeps and can do what the
/// programs would not.
struct Amqp {
    runtime: Runtime,
    /// Until it is dropped.
    open: Option<(Connection, Channel)>,
}

impl Amqp {
    fn connect() -> Amqp {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
        let broker = broker();
        let (login, place) =
            broker.rsplit_once('@').unwrap_or(("guest:guest", &broker));
        let (user, password) = login.split_once(':').unwrap();
        let (host, port) = place.rsplit_once(':').unwrap();
        let arguments =
            OpenConnectionArguments::new(host, port.parse().unwrap(), user, password);
        let open = runtime.block_on(async {
            let connection = Connection::open(&arguments).await.unwrap();
            let channel = connection.open_channel(None).await.unwrap();
            channel.register_callback(DefaultChannelCallback).await.unwrap();
            (connection, channel)
        });
        Amqp { runtime, open: Some(open) }
    }

    fn channel(&self) -> &Channel {
        &self.open.as_ref().unwrap().1
    }

    /// How many messages wait in the queue; those in a consumer's hand do not count.
    fn depth(&self, queue: &str) -> u32 {
        let mut passive = QueueDeclareArguments::durable_client_named(queue);
        let declared = self.channel().queue_declare(passive.passive(true).finish());
        self.runtime.block_on(declared).unwrap().unwrap().1
    }

    fn wait_for_depth(&self, queue: &str, depth: u32) {
        let deadline = Instant::now() + PATIENCE;
        while self.depth(queue) != depth {
            assert!(Instant::now() < deadline, "{} in {queue}", self.depth(queue));
        }
    }

    fn publish(&self, exchange: &str, key: &str, message: &[u8]) {
        let to = BasicPublishArguments::new(exchange, key);
        let persistent = BasicProperties::default()
            .with_delivery_mode(DELIVERY_MODE_PERSISTENT)
            .finish();
        let published =
            self.channel().basic_publish(persistent, message.to_vec(), to);
        self.runtime.block_on(published).unwrap();
    }

    /// Takes a message out of the queue.
    fn get(&self, queue: &str) -> Option<Vec<u8>> {
        let mut get = BasicGetArguments::new(queue);
        let message = self.channel().basic_get(get.no_ack(true).finish());
        self.runtime.block_on(message).unwrap().map(|(_, _, content)| content)
    }

    fn consume(
        &self,
        queue: &str,
        prefetch: u16,
        no_ack: bool,
    ) -> UnboundedReceiver<ConsumerMessage> {
        self.runtime.block_on(async {
            let qos = BasicQosArguments::new(0, prefetch, false);
            self.channel().basic_qos(qos).await.unwrap();
            let mut consume = BasicConsumeArguments::new(queue, "");
            let consume = consume.manual_ack(!no_ack).finish();
            self.channel().basic_consume_rx(consume).await.unwrap().1
        })
    }

    /// The next message that the broker delivers, with its tag.
    fn delivered(
        &self,
        messages: &mut UnboundedReceiver<ConsumerMessage>,
    ) -> (u64, String) {
        let message = async { timeout(PATIENCE, messages.recv()).await };
        let message = self.runtime.block_on(message).unwrap().unwrap();
        let text = String::from_utf8(message.content.unwrap()).unwrap();
        (message.deliver.unwrap().delivery_tag(), text)
    }
}

/// It dies: the broker gets no goodbye.
impl Drop for Amqp {
    fn drop(&mut self) {
        let _context = self.runtime.enter(); // To be dropped, amqprs needs one.
        drop(self.open.take());
    }
}

/// A queue of the test's own, which is deleted in the end.
struct Queue {
    name: String,
    amqp: Amqp,
}

impl Queue {
    fn new(test: &str) -> Queue {
        Queue { name: format!("{test}-{}", process::id()), amqp: Amqp::connect() }
    }

    fn failed(&self) -> String {
        format!("{}.failed", self.name)
    }

    fn delete(&self) {
        for name in [&self.name, &self.failed()] {
            let delete = QueueDeleteArguments::new(name);
            let deleted = self.amqp.channel().queue_delete(delete);
            let _ = self.amqp.runtime.block_on(deleted);
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.delete();
    }
}

fn start_worker(queue: &Queue, work: &str) -> Program {
    let mut worker =
        Program::start(WORKER, &["--queue", &queue.name, "--work", work]);
    worker.wait_for("Waiting for tasks in ");
    worker
}

fn produce(queue: &Queue, more: &[&str]) -> Ended {
    Program::run(PRODUCER, &[&["--queue", &queue.name], more].concat())
}

/// Stands between a program and the broker, and harms what passes.
struct Proxy {
    url: String,
}

/// The two directions, and what to do with the bytes that come from one.
#[derive(Clone, Copy, PartialEq)]
enum From {
    Program,
    Broker,
}

impl Proxy {
    /// For each connection, by its number from 0, `harm` may change what passes; when
    /// it returns false, both sides are cut off, like by a cable that breaks.
    fn start(
        harm: impl Fn(usize, From, &mut Vec<u8>) -> bool + Clone + Send + 'static,
    ) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("amqp://{}", listener.local_addr().unwrap());
        let broker = broker();
        let broker = broker.rsplit('@').next().unwrap().to_string();
        thread::spawn(move || {
            for (number, program) in listener.incoming().enumerate() {
                let (program, broker) =
                    (program.unwrap(), TcpStream::connect(&broker).unwrap());
                for from in [From::Program, From::Broker] {
                    let (program, broker) =
                        (program.try_clone().unwrap(), broker.try_clone().unwrap());
                    let harm = harm.clone();
                    thread::spawn(move || {
                        let (source, sink) = match from {
                            From::Program => (&program, &broker),
                            From::Broker => (&broker, &program),
                        };
                        pass_on(source, sink, |bytes| harm(number, from, bytes));
                        let _ = program.shutdown(Shutdown::Both);
                        let _ = broker.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Proxy { url }
    }
}

fn pass_on(
    mut source: &TcpStream,
    mut sink: &TcpStream,
    harm: impl Fn(&mut Vec<u8>) -> bool,
) {
    let mut buffer = [0; 65_536];
    while let Ok(length @ 1..) = source.read(&mut buffer) {
        let mut bytes = buffer[..length].to_vec();
        if !harm(&mut bytes) || sink.write_all(&bytes).is_err() {
            return;
        }
    }
}

/// The class and the method of AMQP with which a confirm and a publishing begin.
const ACK: [u8; 4] = [0, 60, 0, 80];
const PUBLISH: [u8; 4] = [0, 60, 0, 40];

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn producer_and_worker_print_what_the_readme_shows() {
    let queue = Queue::new("tasks");
    let mut worker = start_worker(&queue, "10");
    let producer = produce(&queue, &["--count", "3", "task"]);
    assert_eq!(producer.code, Some(0), "{}", producer.errors);
    assert_shown(
        README,
        "cargo run -p rabbitmq-tasks --bin rabbitmq-producer -- --count 3 task",
        &producer.output,
    );
    worker.wait_for("Done: task 3");
    worker.signal("INT");
    let worker = worker.end();
    let lines: Vec<String> =
        worker.output.iter().map(|line| line.replace(&queue.name, "tasks")).collect();
    assert_shown(README, "cargo run -p rabbitmq-tasks", &lines);
}

#[test]
fn each_message_is_sent_count_times_and_numbered_only_then() {
    let queue = Queue::new("count");
    let once = produce(&queue, &["a", "", "c d"]);
    assert_eq!(once.output, ["Sent: a", "Sent:", "Sent: c d"]);
    let twice = produce(&queue, &["--count", "2", "a", "b"]);
    let sent = ["Sent: a 1", "Sent: b 1", "Sent: a 2", "Sent: b 2"];
    assert_eq!(twice.output, sent);
    assert_eq!(produce(&queue, &[]).output, ["Sent: Hello, world"]);
    let amqp = Amqp::connect();
    amqp.wait_for_depth(&queue.name, 8);
    assert_eq!(amqp.get(&queue.name).unwrap(), b"a");
    assert_eq!(amqp.get(&queue.name).unwrap(), b"");
}

/// Claim 87.
#[test]
fn producer_and_worker_need_not_run_at_the_same_time() {
    let queue = Queue::new("apart");
    assert_eq!(produce(&queue, &["early"]).code, Some(0));
    let mut worker = start_worker(&queue, "0");
    worker.wait_for("Received: early");
    worker.wait_for("Done: early");
}

/// Claim 88: and who is slow gets fewer.
#[test]
fn four_workers_share_a_hundred_tasks_and_the_slow_one_gets_the_fewest() {
    let queue = Queue::new("share");
    let workers = ["20", "20", "20", "200"].map(|work| start_worker(&queue, work));
    let ids = workers.each_ref().map(|worker| worker.id().to_string());
    let (sender, lines) = mpsc::channel();
    let listen = |(index, mut worker): (usize, Program)| {
        let sender = sender.clone();
        thread::spawn(move || {
            let mut line = String::new();
            while !line.starts_with("Stopped") {
                line = worker.wait_for("");
                if let Some(task) = line.strip_prefix("Done: ") {
                    let _ = sender.send((index, task.to_string()));
                }
            }
        })
    };
    let threads: Vec<_> = (0..).zip(workers).map(listen).collect();
    produce(&queue, &["--count", "100", "task"]);
    let next = |_| lines.recv_timeout(PATIENCE).ok();
    let done: Vec<(usize, String)> = (0..100).map_while(next).collect();
    // Not before all is done: a task that is given back has used up one of its tries.
    assert!(process::Command::new("kill").args(ids).status().unwrap().success());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let tasks: BTreeSet<&String> = done.iter().map(|(_, task)| task).collect();
    assert_eq!(tasks.len(), 100, "each once: {done:?}");
    let counts =
        [0, 1, 2, 3].map(|it| done.iter().filter(|(index, _)| *index == it).count());
    assert!(counts[..3].iter().all(|count| *count > counts[3]), "{counts:?}");
    assert!(counts[3] > 0, "{counts:?}");
}

/// Claim 88.
#[test]
fn a_task_of_a_killed_worker_is_done_by_another() {
    let queue = Queue::new("killed");
    let mut first = start_worker(&queue, "60000");
    produce(&queue, &["important"]);
    first.wait_for("Received: important");
    let mut second = start_worker(&queue, "0");
    first.signal("KILL");
    second.wait_for("Received again: important");
    second.wait_for("Done: important");
    assert_eq!(first.end().code, None);
}

#[test]
fn a_failing_task_is_tried_three_times_and_then_kept_apart() {
    let queue = Queue::new("fail");
    let mut worker = start_worker(&queue, "0");
    produce(&queue, &["fail", "failure"]);
    worker.wait_for("Done: failure");
    let amqp = Amqp::connect();
    amqp.wait_for_depth(&queue.failed(), 1);
    amqp.wait_for_depth(&queue.name, 0);
    worker.signal("TERM");
    let mut lines = worker.end().output;
    lines.retain(|line| line.ends_with(" fail"));
    let tries = [
        "Received: fail",
        "Failed: fail",
        "Received again: fail",
        "Failed: fail",
        "Received again: fail",
        "Failed: fail",
    ];
    assert_eq!(lines, tries);
    assert_eq!(amqp.get(&queue.failed()).unwrap(), b"fail");
}

/// Claim 82: the first bytes are the protocol's name and its version, 0-9-1.
#[test]
fn a_connection_begins_with_the_name_and_version_of_amqp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://{}", listener.local_addr().unwrap());
    for program in [WORKER, PRODUCER] {
        let _program = Program::start(program, &["--broker", &url]);
        let mut connection = listener.accept().unwrap().0;
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut first = [0; 8];
        connection.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"AMQP\x00\x00\x09\x01");
    }
}

/// Claim 83: who publishes names an exchange; the bindings say which queues get it.
#[test]
fn an_exchange_routes_by_its_bindings_to_the_queues_of_several_consumers() {
    let queues = [Queue::new("left"), Queue::new("right")];
    let exchange = format!("exchange-{}", process::id());
    let mut workers = [start_worker(&queues[0], "0"), start_worker(&queues[1], "0")];
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
        worker.signal("TERM");
        let lines = worker.end().output;
        let received = [format!("Received: {own}"), "Received: both".to_string()];
        let lines: Vec<_> =
            lines.into_iter().filter(|l| l.starts_with("Received")).collect();
        assert_eq!(lines, received);
    }
}

/// Claim 86: a consumer does not pull. The broker pushes, up to the prefetch.
#[test]
fn the_broker_pushes_as_many_tasks_as_the_prefetch_allows() {
    let queue = Queue::new("prefetch");
    produce(&queue, &["--count", "5", "task"]);
    let mut worker = start_worker(&queue, "60000");
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
#[test]
fn a_dead_consumer_loses_what_was_acknowledged_automatically_and_nothing_else() {
    let queue = Queue::new("automatic");
    produce(&queue, &["--count", "10", "task"]);
    let manual = Amqp::connect();
    let mut tasks = manual.consume(&queue.name, 0, false);
    (0..10).for_each(|_| drop(manual.delivered(&mut tasks)));
    drop(manual);
    let watch = Amqp::connect();
    watch.wait_for_depth(&queue.name, 10);
    let automatic = Amqp::connect();
    let mut tasks = automatic.consume(&queue.name, 0, true);
    (0..10).for_each(|_| drop(automatic.delivered(&mut tasks)));
    drop(automatic);
    assert_eq!(watch.depth(&queue.name), 0);
}

/// Claim 89: without a confirm nobody learns that a message went nowhere.
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
    let producer = produce(&queue, &["--broker", &proxy.url, "lost"]);
    assert_eq!(producer.code, Some(1));
    assert!(producer.errors.contains("NO_ROUTE"), "{}", producer.errors);
    assert!(producer.output.is_empty(), "{:?}", producer.output);
}

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
    let producer = produce(&queue, &["--broker", &proxy.url, "refused"]);
    assert_eq!(producer.code, Some(1));
    assert!(producer.errors.contains("is the queue full?"), "{}", producer.errors);
    assert!(producer.output.is_empty(), "{:?}", producer.output);
}

/// Claim 89: `Sent` means confirmed. Here the broker has the task, and its confirm does
/// not get through: the producer says nothing, and sends the task again.
#[test]
fn a_task_without_a_confirm_is_not_called_sent_and_is_sent_again() {
    let queue = Queue::new("unconfirmed");
    let proxy = Proxy::start(|connection, from, bytes| {
        if connection == 0 && from == From::Broker && contains(bytes, &ACK) {
            bytes.clear();
        }
        true
    });
    let mut producer = Program::start(
        PRODUCER,
        &["--queue", &queue.name, "--broker", &proxy.url, "twice"],
    );
    producer.wait_for_error("No confirm from the broker: connecting again");
    let producer = producer.end();
    assert_eq!(producer.output, ["Sent: twice"]);
    assert_eq!(producer.code, Some(0), "{}", producer.errors);
    Amqp::connect().wait_for_depth(&queue.name, 2);
}

#[test]
fn nothing_is_lost_when_the_producers_connection_is_cut_again_and_again() {
    let queue = Queue::new("cut");
    // Each of the first connections is cut at its third packet with confirms.
    let counts: [std::sync::Arc<std::sync::atomic::AtomicU32>; 4] =
        Default::default();
    let proxy = Proxy::start(move |connection, from, bytes| {
        let Some(count) = counts.get(connection) else { return true };
        let confirms = from == From::Broker && contains(bytes, &ACK);
        let order = std::sync::atomic::Ordering::Relaxed;
        count.fetch_add(u32::from(confirms), order) + u32::from(confirms) < 3
    });
    let producer =
        produce(&queue, &["--broker", &proxy.url, "--count", "500", "task"]);
    assert_eq!(producer.code, Some(0), "{}", producer.errors);
    assert_eq!(producer.errors.matches("No confirm from the broker").count(), 4);
    let sent: BTreeSet<&str> =
        producer.output.iter().filter_map(|l| l.strip_prefix("Sent: ")).collect();
    assert_eq!((sent.len(), producer.output.len()), (500, 500), "each once");
    let amqp = Amqp::connect();
    let mut kept = BTreeSet::new();
    let mut messages = 0;
    while let Some(task) = amqp.get(&queue.name) {
        kept.insert(String::from_utf8(task).unwrap());
        messages += 1;
    }
    assert_eq!(kept.len(), 500, "at least once: {messages} messages");
}

#[test]
fn a_worker_that_loses_its_connection_says_so_and_gets_the_task_again() {
    let queue = Queue::new("reconnect");
    // The delivery itself does not get through: the broker has to repeat it. Nor does
    // the next connection.
    let proxy = Proxy::start(|connection, from, bytes| match connection {
        0 => from == From::Program || !contains(bytes, b"task"),
        1 => false,
        _ => true,
    });
    let mut worker =
        Program::start(WORKER, &["--queue", &queue.name, "--broker", &proxy.url]);
    worker.wait_for("Waiting for tasks in ");
    produce(&queue, &["a task"]);
    worker.wait_for_error("Lost the broker: connecting again in 500ms");
    worker.wait_for_error("cannot connect to ");
    worker.wait_for("Waiting for tasks in ");
    worker.wait_for("Received again: a task");
    worker.wait_for("Done: a task");
}

/// The work is done, and its acknowledgement lost: at least once, not exactly once.
#[test]
fn a_task_is_done_twice_when_its_acknowledgement_is_lost() {
    let queue = Queue::new("twice");
    produce(&queue, &["task"]);
    let proxy = Proxy::start(|connection, from, bytes| {
        connection > 0 || from == From::Broker || !contains(bytes, &ACK)
    });
    let mut worker = Program::start(
        WORKER,
        &["--queue", &queue.name, "--broker", &proxy.url, "--work", "0"],
    );
    worker.wait_for("Done: task");
    worker.wait_for("Received again: task");
    worker.wait_for("Done: task");
}

#[test]
fn a_queue_deleted_under_a_worker_is_made_again() {
    let queue = Queue::new("deleted");
    let mut worker = start_worker(&queue, "0");
    queue.delete();
    worker.wait_for_error("Lost the broker");
    worker.wait_for("Waiting for tasks in ");
    produce(&queue, &["task"]);
    worker.wait_for("Done: task");
}

/// Two heartbeats of ten seconds.
#[test]
fn a_broker_that_falls_silent_is_noticed() {
    let queue = Queue::new("silent");
    let proxy = Proxy::start(|connection, from, bytes| {
        // After the delivery nothing comes any more, not even a heartbeat.
        if connection == 0 && from == From::Broker && contains(bytes, b"task") {
            thread::sleep(PATIENCE);
        }
        true
    });
    let mut worker =
        Program::start(WORKER, &["--queue", &queue.name, "--broker", &proxy.url]);
    worker.wait_for("Waiting for tasks in ");
    produce(&queue, &["a task"]);
    let start = Instant::now();
    worker.wait_for_error("Lost the broker");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    worker.wait_for("Waiting for tasks in ");
}

#[cfg(unix)]
#[test]
fn ctrl_c_and_sigterm_end_a_worker_at_once_and_its_task_goes_back() {
    for signal in ["INT", "TERM"] {
        let queue = Queue::new(signal);
        produce(&queue, &["task"]);
        let mut worker = start_worker(&queue, "60000");
        worker.wait_for("Received: task");
        worker.signal(signal);
        let start = Instant::now();
        let worker = worker.end();
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert_eq!((worker.code, worker.errors.as_str()), (Some(0), ""), "{signal}");
        let last = "Stopped: a task in hand goes back to the queue";
        assert_eq!(worker.output.last().unwrap(), last);
        Amqp::connect().wait_for_depth(&queue.name, 1);
    }
}

#[test]
fn bytes_that_are_no_utf_8_and_control_characters_are_printed_escaped() {
    let queue = Queue::new("bytes");
    let mut worker = start_worker(&queue, "0");
    let amqp = Amqp::connect();
    amqp.publish("", &queue.name, b"\xff\xfe\x1b[2J \xc3\xa7\r\n");
    worker.wait_for(r"Done: \xff\xfe\u{1b}[2J ç\u{d}\u{a}");
    amqp.publish("", &queue.name, &vec![b'x'; 300_000]);
    let cut = format!("Done: {}... (300000 bytes)", "x".repeat(200));
    assert_eq!(worker.wait_for(&cut), "");
    amqp.publish("", &queue.name, b"");
    assert_eq!(worker.wait_for("Done:"), "");
}

#[cfg(target_os = "linux")]
#[test]
fn a_count_of_four_thousand_million_takes_no_memory() {
    let queue = Queue::new("memory");
    let arguments = ["--queue", &queue.name, "--count", "4000000000", "task"];
    let mut producer = Program::start(PRODUCER, &arguments);
    producer.wait_for("Sent: task 1000");
    let memory = producer.status("VmHWM");
    assert!(memory < 32 * 1024, "{memory} kB");
}

#[test]
fn a_queue_declared_with_other_arguments_is_a_clear_error() {
    let queue = Queue::new("other");
    let amqp = Amqp::connect();
    let other = QueueDeclareArguments::durable_client_named(&queue.name);
    amqp.runtime.block_on(amqp.channel().queue_declare(other)).unwrap();
    for program in [WORKER, PRODUCER] {
        let ended = Program::run(program, &["--queue", &queue.name]);
        assert_eq!(ended.code, Some(1));
        let error =
            "Error: cannot declare the queue (does it exist with other arguments?)";
        assert!(ended.errors.contains(error), "{}", ended.errors);
    }
}

#[test]
fn without_a_broker_both_programs_try_three_times_and_say_what_to_do() {
    // Bound and never listening again: the port is taken, and closed.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let held = TcpStream::connect(address).unwrap();
    let _held = (listener.accept().unwrap(), held);
    drop(listener);
    for program in [WORKER, PRODUCER] {
        let ended =
            Program::run(program, &["--broker", &format!("amqp://{address}")]);
        assert_eq!(ended.code, Some(1));
        let hint = "(is a broker running, and the password right? make brokers)";
        let error = format!("Error: cannot connect to {address} {hint}");
        assert!(ended.errors.contains(&error), "{}", ended.errors);
        assert!(ended.errors.contains("Connection refused"), "{}", ended.errors);
        assert!(ended.errors.contains(": again in 500ms"), "{}", ended.errors);
        assert_eq!(ended.errors.matches(": again in ").count(), 2);
    }
}

#[test]
fn what_is_no_broker_and_what_never_answers_is_a_clear_error() {
    let wrong = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = wrong.local_addr().unwrap();
    thread::spawn(move || {
        for (number, connection) in wrong.incoming().enumerate() {
            let mut connection = connection.unwrap();
            let _ = connection.read(&mut [0; 8]);
            let _ = match number {
                0 => connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
                1 => connection.write_all(b"AMQP\x00\x01\x00\x00"),
                // A frame as it should be, with a method that does not exist.
                _ => connection.write_all(b"\x01\0\0\0\0\0\x04\0\x63\0\x63\xce"),
            };
        }
    });
    let ended = Program::run(WORKER, &["--broker", &format!("amqp://{address}")]);
    assert_eq!(ended.code, Some(1), "{}", ended.errors);
    assert_eq!(ended.errors.matches("cannot connect to ").count(), 2);
    assert!(ended.errors.contains("Error: no AMQP from the broker"));
    assert!(!ended.errors.contains("panicked"), "{}", ended.errors);

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://{}", silent.local_addr().unwrap());
    let ended = Program::run(PRODUCER, &["--broker", &url]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.errors.contains("within 5 s"), "{}", ended.errors);
}

#[test]
fn a_wrong_password_or_vhost_is_a_clear_error_without_the_password() {
    let broker = broker();
    let place = broker.rsplit('@').next().unwrap();
    let url = format!("amqp://guest:s3cr%40t@{place}");
    let ended = Program::run(WORKER, &["--broker", &url]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.errors.contains("and the password right?"), "{}", ended.errors);
    assert!(!ended.errors.contains("s3cr"), "{}", ended.errors);
    let ended =
        Program::run(PRODUCER, &["--broker", &format!("amqp://{place}/no%20such")]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.errors.ends_with("NOT_ALLOWED - vhost no such not found"));
}

#[test]
fn the_parts_of_a_url_are_percent_decoded_and_may_be_left_out() {
    let queue = Queue::new("url");
    let broker = broker();
    let place = broker.rsplit('@').next().unwrap();
    for url in [
        format!("amqp://{place}/"),
        format!("amqp://{place}/%2F"),
        format!("amqp://gu%65st:%67uest@{place}"),
        format!("amqp://guest:guest@{place}/%2f"),
    ] {
        let ended = produce(&queue, &["--broker", &url]);
        assert_eq!(ended.code, Some(0), "{url}: {}", ended.errors);
    }
}

#[test]
fn wrong_arguments_exit_with_2_and_the_password_is_not_printed() {
    let long = "x".repeat(256);
    let vhost = format!("amqp://localhost/{long}");
    for program in [WORKER, PRODUCER] {
        for wrong in [
            "amqps://me:s3cret@localhost",
            "http://me:s3cret@localhost",
            "amqp:me:s3cret@localhost",
            "amqp://me:s3cret@",
            "amqp://me:s3cret@localhost:65536",
            "amqp://me:s3cret@localhost:amqp",
            "amqp://me@localhost",
            "amqp://me:s3cret%ff@localhost",
            "amqp://",
            "",
            &vhost,
        ] {
            let ended = Program::run(program, &["--broker", wrong]);
            assert_eq!(ended.code, Some(2), "{wrong}");
            let takes = "amqp://[user:password@]HOST[:PORT][/vhost]";
            assert!(ended.errors.contains(takes), "{}", ended.errors);
            assert!(!ended.errors.contains("s3cret"), "{}", ended.errors);
        }
        for wrong in ["", &long, &"x".repeat(249)] {
            let ended = Program::run(program, &["--queue", wrong]);
            assert_eq!(ended.code, Some(2), "{wrong}");
            assert!(ended.errors.contains("1 to 248 bytes"), "{}", ended.errors);
        }
    }
    assert_eq!(Program::run(WORKER, &["--work", "soon"]).code, Some(2));
    assert_eq!(Program::run(PRODUCER, &["--count", "0"]).code, Some(2));
    // No name ends in .invalid (RFC 2606).
    let unknown =
        Program::run(PRODUCER, &["--broker", "amqp://no-such-host.invalid"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.errors.contains("cannot connect to no-such-host.invalid:5672"));
}

#[test]
fn the_longest_name_of_a_queue_leaves_room_for_that_of_the_failed_ones() {
    let mut queue = Queue::new("longest");
    queue.name += &"x".repeat(248 - queue.name.len());
    assert_eq!(produce(&queue, &["task"]).code, Some(0));
    let mut worker = start_worker(&queue, "0");
    worker.wait_for("Done: task");
}
