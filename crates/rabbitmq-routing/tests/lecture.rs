//! Starts real publishers and subscribers at a real broker and compares what they print
//! with what the lecture promises. It judges a program by its behaviour alone.
//!
//! The broker is the one of AMQP_URL; each test has an exchange of its own there.

mod program;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, process, thread};

use amqprs::BasicProperties;
use amqprs::channel::{BasicPublishArguments, Channel, ExchangeDeleteArguments};
use amqprs::connection::{Connection, OpenConnectionArguments};
use program::{Ended, PATIENCE, Program, assert_shown};
use socket2::{Domain, Socket, Type};

const README: &str = include_str!("../README.md");
const PUBLISHER: &str = env!("CARGO_BIN_EXE_rabbitmq-publisher");
const SUBSCRIBER: &str = env!("CARGO_BIN_EXE_rabbitmq-subscriber");
/// Class and method of what a broker sends.
const DELIVER: (u16, u16) = (60, 60);
const ACK: (u16, u16) = (60, 80);
const CLOSE_OK: (u16, u16) = (10, 51);

fn broker() -> String {
    env::var("AMQP_URL").unwrap_or_else(|_| {
        panic!(
            "set AMQP_URL to a broker's URL, for instance: \
             cargo lab brokers -- cargo test -p rabbitmq-routing"
        )
    })
}

/// The user and the password, and where the broker is.
fn broker_parts() -> (String, String, String) {
    let url = broker();
    let place = url.strip_prefix("amqp://").unwrap().split('/').next().unwrap();
    let (login, address) = place.rsplit_once('@').unwrap_or(("guest:guest", place));
    let (user, password) = login.split_once(':').unwrap();
    (user.into(), password.into(), address.into())
}

/// Does something at the broker that the programs would not.
fn at_broker<T>(work: impl AsyncFnOnce(&Channel) -> T) -> T {
    let (user, password, address) = broker_parts();
    let (host, port) = address.rsplit_once(':').unwrap_or((&address, "5672"));
    let port = port.parse().unwrap();
    let arguments = OpenConnectionArguments::new(host, port, &user, &password);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        let connection = Connection::open(&arguments).await.unwrap();
        let channel = connection.open_channel(None).await.unwrap();
        let result = work(&channel).await;
        // The broker answers when it has done all that was asked before.
        connection.close().await.unwrap();
        result
    })
}

/// An exchange of a test's own, which is deleted when this value is dropped.
struct Exchange {
    name: String,
    kind: &'static str,
    /// The broker, or what stands before it.
    url: String,
}

impl Exchange {
    fn new(kind: &'static str, test: &str) -> Exchange {
        Exchange { name: format!("{test}-{}", process::id()), kind, url: broker() }
    }

    /// The same, of which the programs are told that it is where the proxy is.
    fn behind(mut self, proxy: &Proxy) -> Exchange {
        self.url = proxy.url.clone();
        self
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let Exchange { name, kind, url } = self;
        [&["--broker", url, "--exchange", name, "--kind", kind], more].concat()
    }

    fn start_subscriber(&self, more: &[&str]) -> Program {
        Program::start(SUBSCRIBER, &self.arguments(more))
    }

    /// Returns a subscriber that is bound by all of the keys.
    fn subscribe(&self, keys: &[&str]) -> Program {
        let mut subscriber = self.start_subscriber(&[&["--bind"], keys].concat());
        for key in keys {
            subscriber.wait_for(&format!("Bound {key} to {}", self.name));
        }
        subscriber
    }

    fn publish(&self, key: &str, message: &str) -> Ended {
        Program::run(PUBLISHER, &self.arguments(&["--key", key, message]))
    }

    fn publish_to_someone(&self, key: &str, message: &str) {
        let publisher = self.publish(key, message);
        assert_eq!(publisher.output, [format!("Sent {key} | {message}")]);
        assert_eq!((publisher.code, &*publisher.errors), (Some(0), ""));
    }

    fn publish_to_nobody(&self, key: &str) {
        let publisher = self.publish(key, "to nobody");
        assert_eq!(publisher.code, Some(1), "{:?}", publisher.output);
        assert!(publisher.output.is_empty());
        let error = "Error: no queue is bound for this key: nobody got the message";
        assert_eq!(publisher.errors, error);
    }

    /// Waits until no queue is bound any more.
    fn wait_until_nobody_is_bound(&self, key: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.publish(key, "for a queue that should be gone").code == Some(0) {
            assert!(Instant::now() < deadline, "the queue is still there");
        }
    }

    /// Publishes what the program could not.
    fn publish_bytes(&self, key: &str, messages: &[&[u8]]) {
        at_broker(async |channel| {
            for message in messages {
                let to = BasicPublishArguments::new(&self.name, key);
                let header = BasicProperties::default();
                channel.basic_publish(header, message.to_vec(), to).await.unwrap();
            }
        });
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let delete = ExchangeDeleteArguments::new(&self.name);
        at_broker(async |channel| drop(channel.exchange_delete(delete).await));
    }
}

/// The keys of the messages that a subscriber has printed until one with the key `end`.
fn keys_received(subscriber: &mut Program) -> Vec<String> {
    let lines = subscriber.output_up_to("Received end | ");
    let keys = lines.iter().filter_map(|line| line.strip_prefix("Received "));
    keys.map(|line| line.split(" | ").next().unwrap().to_string()).collect()
}

/// Stands between the programs and the broker, and can cut the connections.
struct Proxy {
    url: String,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    /// While true, a connection ends as soon as it is made.
    away: Arc<AtomicBool>,
    /// While a test holds this, nothing goes to the broker.
    gate: Arc<Mutex<()>>,
    /// Class and method of each frame from the broker.
    methods: Receiver<(u16, u16)>,
}

impl Proxy {
    /// One that never passes on the broker's frames of this class and method.
    fn without(swallowed: (u16, u16)) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (user, password, broker) = broker_parts();
        let address = listener.local_addr().unwrap();
        let (sender, methods) = mpsc::channel();
        let proxy = Proxy {
            url: format!("amqp://{user}:{password}@{address}"),
            connections: Arc::default(),
            away: Arc::default(),
            gate: Arc::default(),
            methods,
        };
        let (connections, away) = (proxy.connections.clone(), proxy.away.clone());
        let gate = proxy.gate.clone();
        thread::spawn(move || {
            for client in listener.incoming().map(Result::unwrap) {
                if away.load(Ordering::SeqCst) {
                    continue;
                }
                let server = TcpStream::connect(&broker).unwrap();
                let ends = [client.try_clone().unwrap(), server.try_clone().unwrap()];
                connections.lock().unwrap().extend(ends);
                let (gate, sender) = (gate.clone(), sender.clone());
                let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || pass_frames(server, client, swallowed, sender));
                thread::spawn(move || pass_bytes(ends.0, ends.1, gate));
            }
        });
        proxy
    }

    fn new() -> Proxy {
        Proxy::without((0, 0))
    }

    /// Waits until the broker has sent such a frame.
    fn wait_for(&self, method: (u16, u16)) {
        while self.methods.recv_timeout(PATIENCE).unwrap() != method {}
    }

    fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn pass_bytes(mut from: TcpStream, mut to: TcpStream, gate: Arc<Mutex<()>>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        drop(gate.lock());
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn pass_frames(
    mut from: TcpStream,
    mut to: TcpStream,
    swallowed: (u16, u16),
    methods: Sender<(u16, u16)>,
) {
    let mut frame = vec![0; 7];
    // Type, channel, size; then so many bytes and a last one.
    while from.read_exact(&mut frame[..7]).is_ok() {
        let size = u32::from_be_bytes(frame[3..7].try_into().unwrap()) as usize;
        frame.resize(7 + size + 1, 0);
        if from.read_exact(&mut frame[7..]).is_err() {
            break;
        }
        let number = |at| u16::from_be_bytes([frame[at], frame[at + 1]]);
        let method = if frame[0] == 1 { (number(7), number(9)) } else { (0, 1) };
        // Nobody listens any more once the test has ended.
        let _ = methods.send(method);
        if method != swallowed && to.write_all(&frame).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// What a program meets instead of a broker: each connection is served by `serve`.
fn start_fake_broker(serve: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map(Result::unwrap) {
            thread::spawn(move || serve(client));
        }
    });
    address
}

#[test]
fn both_programs_print_what_the_readme_shows() {
    let exchange = Exchange::new("topic", "readme");
    let shown = |lines: &[String]| -> Vec<String> {
        lines.iter().map(|line| line.replace(&exchange.name, "home")).collect()
    };
    let mut subscriber = exchange.start_subscriber(&[]);
    subscriber.wait_for("Bound ");
    let publisher = Program::run(PUBLISHER, &exchange.arguments(&[]));
    let command = "cargo run -p rabbitmq-routing --bin rabbitmq-publisher";
    assert_shown(README, command, &publisher.output);
    let lines = subscriber.output_up_to("Received ");
    assert_shown(README, "cargo run -p rabbitmq-routing", &shown(&lines));
    drop(subscriber);
    exchange.wait_until_nobody_is_bound("end");
    let nobody = Program::run(PUBLISHER, &exchange.arguments(&[]));
    let command = "cargo run -q -p rabbitmq-routing --bin rabbitmq-publisher";
    let lines: Vec<_> = nobody.errors.lines().map(str::to_string).collect();
    assert_shown(README, command, &lines);
}

/// Claims 83 and 84: from a publisher to an exchange, and on to several queues.
#[test]
fn fanout_reaches_all_whatever_the_key() {
    let exchange = Exchange::new("fanout", "fanout");
    let mut subscribers =
        [&["a"], &["b"], &["#"]].map(|keys| exchange.subscribe(keys));
    for key in ["a", "", "c.d"] {
        exchange.publish_to_someone(key, "fire");
    }
    exchange.publish_to_someone("end", "over");
    for subscriber in &mut subscribers {
        assert_eq!(keys_received(subscriber), ["a", "", "c.d", "end"]);
    }
}

/// Claim 84.
#[test]
fn direct_reaches_exactly_those_bound_by_the_same_key() {
    let exchange = Exchange::new("direct", "direct");
    let mut errors = exchange.subscribe(&["error", "end"]);
    let mut more = exchange.subscribe(&["error", "warning", "end"]);
    // To a direct exchange a star is a star.
    let mut star = exchange.subscribe(&["*", "end"]);
    exchange.publish_to_someone("error", "1");
    exchange.publish_to_someone("warning", "2");
    exchange.publish_to_someone("*", "3");
    for key in ["info", "Error", "error.disk", "erro", ""] {
        exchange.publish_to_nobody(key);
    }
    exchange.publish_to_someone("end", "over");
    assert_eq!(keys_received(&mut errors), ["error", "end"]);
    assert_eq!(keys_received(&mut more), ["error", "warning", "end"]);
    assert_eq!(keys_received(&mut star), ["*", "end"]);
}

/// Claim 84: `*` is exactly one word, `#` any number of words, also none.
#[test]
fn topic_patterns_match_words() {
    let keys = ["a", "b", "a.b", "a.b.c", "b.a", "a.x.b", "a.x.y.b", "", "a.", "ab"];
    let table: &[(&str, &[&str])] = &[
        ("a", &["a"]),
        ("*", &["a", "b", "ab"]), // An empty key has no words at all.
        ("#", &keys),
        ("a.*", &["a.b", "a."]),
        ("*.b", &["a.b"]),
        ("a.#", &["a", "a.b", "a.b.c", "a.x.b", "a.x.y.b", "a."]),
        ("#.b", &["b", "a.b", "a.x.b", "a.x.y.b"]),
        ("a.*.b", &["a.x.b"]),
        ("a.#.b", &["a.b", "a.x.b", "a.x.y.b"]),
        ("*.*", &["a.b", "b.a", "a."]),
        ("*.#.*", &["a.b", "a.b.c", "b.a", "a.x.b", "a.x.y.b", "a."]),
        ("a*", &[]),
    ];
    let exchange = Exchange::new("topic", "topic");
    let subscribers = table.iter().map(|(pattern, _)| {
        // One queue: a message comes once, however many of its bindings match.
        exchange.subscribe(&[pattern, "end"])
    });
    let mut subscribers: Vec<_> = subscribers.collect();
    for key in keys {
        exchange.publish_to_someone(key, "x");
    }
    exchange.publish_to_someone("end", "over");
    for (subscriber, (pattern, expected)) in subscribers.iter_mut().zip(table) {
        let received = keys_received(subscriber);
        assert_eq!(received, [expected, &["end"][..]].concat(), "{pattern}");
    }
}

#[test]
fn a_message_for_which_no_queue_is_bound_is_reported() {
    for kind in ["fanout", "direct", "topic"] {
        let exchange = Exchange::new(kind, &format!("unroutable-{kind}"));
        exchange.publish_to_nobody("a.b");
        let _subscriber = exchange.subscribe(&["a.c"]);
        if kind != "fanout" {
            exchange.publish_to_nobody("a.b");
        }
        exchange.publish_to_someone("a.c", "to someone");
    }
}

#[test]
fn either_program_may_be_first_and_a_late_subscriber_misses_what_was_before() {
    let exchange = Exchange::new("topic", "first");
    exchange.publish_to_nobody("early");
    let mut first = exchange.subscribe(&["#"]);
    exchange.publish_to_someone("between", "x");
    let mut late = exchange.subscribe(&["#"]);
    exchange.publish_to_someone("end", "over");
    assert_eq!(keys_received(&mut first), ["between", "end"]);
    assert_eq!(keys_received(&mut late), ["end"]);
}

#[cfg(unix)]
#[test]
fn a_queue_ends_with_its_subscriber_however_that_ends() {
    let exchange = Exchange::new("topic", "exclusive");
    for signal in ["INT", "TERM", "KILL"] {
        let subscriber = exchange.subscribe(&["a"]);
        exchange.publish_to_someone("a", "to someone");
        subscriber.signal(signal);
        exchange.wait_until_nobody_is_bound("a");
    }
}

/// Claim 86: the consumer asks once; then the broker pushes, up to the prefetch.
#[test]
fn the_broker_pushes_100_messages_ahead_of_their_acknowledgements() {
    let proxy = Proxy::new();
    let exchange = Exchange::new("fanout", "push").behind(&proxy);
    let mut subscriber = exchange.subscribe(&["#"]);
    let held = proxy.gate.lock().unwrap();
    let messages: Vec<String> = (1..=250).map(|number| number.to_string()).collect();
    let messages: Vec<&[u8]> = messages.iter().map(|text| text.as_bytes()).collect();
    exchange.publish_bytes("k", &messages);
    (0..100).for_each(|_| proxy.wait_for(DELIVER));
    subscriber.wait_for("Received k | 100");
    // Silence is what is tested here: only heartbeats may come.
    let end = Instant::now() + Duration::from_secs(1);
    loop {
        match proxy
            .methods
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            Ok(method) => assert_ne!(method, DELIVER, "more than the prefetch"),
            Err(RecvTimeoutError::Timeout) => break,
            Err(error) => panic!("{error}"),
        }
    }
    // As soon as the acknowledgements pass, the rest comes, in order.
    drop(held);
    for number in 101..=250 {
        assert_eq!(subscriber.wait_for("Received k | "), number.to_string());
    }
}

/// Claim 89: without a confirm nobody knows, and the publisher does not claim to.
#[test]
fn without_a_confirm_a_message_is_not_said_to_be_sent() {
    let proxy = Proxy::without(ACK);
    let exchange = Exchange::new("fanout", "confirm").behind(&proxy);
    let mut subscriber = exchange.subscribe(&["#"]);
    let publisher = exchange.publish("k", "did it arrive?");
    assert_eq!((publisher.code, &*publisher.output.concat()), (Some(1), ""));
    let error = "Error: no confirm: the message may have arrived, or not";
    assert_eq!(publisher.errors, error);
    // It had arrived.
    subscriber.wait_for("Received k | did it arrive?");
}

#[test]
fn a_subscriber_that_lost_its_connection_binds_again_and_receives() {
    let proxy = Proxy::new();
    let exchange = Exchange::new("topic", "cut").behind(&proxy);
    let direct =
        Exchange { url: broker(), name: exchange.name.clone(), kind: "topic" };
    let mut subscriber = exchange.subscribe(&["a", "b"]);
    for round in 1..=2 {
        proxy.away.store(true, Ordering::SeqCst);
        proxy.cut();
        let lost = "Lost the broker: connecting again in 500ms; what is published meanwhile is lost";
        assert_eq!(subscriber.wait_for_error(lost), "");
        direct.wait_until_nobody_is_bound("a");
        // Each try is told, and the pauses become longer.
        subscriber.wait_for_error("cannot connect to ");
        assert!(
            subscriber.wait_for_error("cannot connect to ").ends_with(" again in 1s")
        );
        proxy.away.store(false, Ordering::SeqCst);
        for key in ["a", "b"] {
            subscriber.wait_for(&format!("Bound {key} to {}", exchange.name));
        }
        direct.publish_to_someone("b", &format!("round {round}"));
        assert_eq!(subscriber.wait_for("Received b | "), format!("round {round}"));
    }
}

/// A client that just hangs up is one that broke down, for the broker and its log.
#[test]
fn the_publisher_says_goodbye() {
    let proxy = Proxy::new();
    let exchange = Exchange::new("topic", "goodbye").behind(&proxy);
    exchange.publish_to_nobody("k");
    proxy.wait_for(CLOSE_OK);
}

#[cfg(unix)]
#[test]
fn ctrl_c_and_sigterm_end_the_subscriber_with_0_within_a_second() {
    let proxy = Proxy::new();
    let exchange = Exchange::new("topic", "signal").behind(&proxy);
    for (signal, lost) in [("INT", false), ("TERM", false), ("INT", true)] {
        let mut subscriber = exchange.subscribe(&["#"]);
        if lost {
            proxy.away.store(true, Ordering::SeqCst);
            proxy.cut();
            subscriber.wait_for_error("cannot connect to ");
        }
        subscriber.signal(signal);
        let start = Instant::now();
        let subscriber = subscriber.end();
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert_eq!(subscriber.code, Some(0), "{signal}: {}", subscriber.errors);
        if !lost {
            proxy.wait_for(CLOSE_OK);
        }
    }
}

#[test]
fn an_exchange_of_another_kind_is_a_clear_error() {
    let topic = Exchange::new("topic", "other-kind");
    let _subscriber = topic.subscribe(&["#"]);
    let fanout = topic.arguments(&["--kind", "fanout"]);
    // The last one of the same option would count, so the first is left out.
    let fanout = [&fanout[..4], &fanout[6..]].concat();
    for program in [SUBSCRIBER, PUBLISHER] {
        let ended = Program::run(program, &fanout);
        assert_eq!((ended.code, &*ended.output.concat()), (Some(1), ""));
        let other = "is there already with another kind, or refused to this user";
        let error = format!("Error: exchange {} {other}", topic.name);
        assert_eq!(ended.errors.lines().last(), Some(&*error));
    }
    topic.publish_to_someone("k", "still there");
}

#[test]
fn wrong_arguments_end_with_2_and_never_show_the_password() {
    let long = "x".repeat(256);
    let vhost = format!("amqp://u:secret@127.0.0.1/{long}");
    let both: &[&[&str]] = &[
        &["--exchange", ""],
        &["--exchange", "amq.topic"],
        &["--exchange", &long],
        &["--kind", "headers"],
        &["--broker", "http://u:secret@127.0.0.1:5672"],
        &["--broker", "amqps://u:secret@127.0.0.1"],
        &["--broker", "amqp://u:secret@127.0.0.1:65536"],
        &["--broker", "amqp://u:secret@"],
        &["--broker", "amqp://u:secret@:5672"],
        &["--broker", "amqp://%ff:secret@127.0.0.1"],
        &["--broker", "127.0.0.1:5672"],
        &["--broker", "amqp://"],
        &["--broker", ""],
        &["--broker", &vhost],
    ];
    let subscriber: &[&[&str]] =
        &[&["--kind", "direct"], &["--bind", &long], &["--bind"]];
    let publisher: &[&[&str]] = &[&["--key", &long], &["one", "two"]];
    for (program, more) in [(SUBSCRIBER, subscriber), (PUBLISHER, publisher)] {
        for arguments in both.iter().chain(more) {
            let ended = Program::run(program, arguments);
            assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.errors);
            assert!(ended.errors.starts_with("error: "), "{}", ended.errors);
            assert!(!ended.errors.contains("secret"), "{}", ended.errors);
        }
    }
}

#[test]
fn keys_and_exchanges_may_have_255_bytes() {
    let mut exchange = Exchange::new("topic", "long");
    exchange.name += &"x".repeat(255 - exchange.name.len());
    let key = "k".repeat(255);
    let mut subscriber = exchange.subscribe(&[&key]);
    assert_eq!(exchange.publish(&key, "long").code, Some(0));
    subscriber.wait_for("Received kkk");
}

#[test]
fn a_wrong_password_and_a_missing_vhost_are_clear_errors() {
    let (user, password, address) = broker_parts();
    let wrong = format!("amqp://{user}:secret@{address}");
    let no_vhost = format!("amqp://{user}:{password}@{address}/no%20such");
    let programs =
        [(SUBSCRIBER, &wrong), (PUBLISHER, &wrong), (PUBLISHER, &no_vhost)];
    let programs =
        programs.map(|(path, url)| Program::start(path, &["--broker", url]));
    let [subscriber, publisher, no_vhost] = programs.map(Program::end);
    let hint = "(is a broker running, and the password right? make brokers)";
    let error = format!("Error: cannot connect to {address} {hint}");
    for ended in [&subscriber, &publisher, &no_vhost] {
        assert_eq!((ended.code, &*ended.output.concat()), (Some(1), ""));
        assert!(ended.errors.contains(&error), "{}", ended.errors);
        assert!(!ended.errors.contains("secret"), "{}", ended.errors);
    }
    let reason = "NOT_ALLOWED - vhost no such not found";
    assert_eq!(no_vhost.errors.lines().last().map(str::trim), Some(reason));
}

#[test]
fn a_closed_port_is_a_clear_error_after_three_tries() {
    // Bound but not listening: the port is taken, and closed.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let url = format!("amqp://{address}");
    for path in [SUBSCRIBER, PUBLISHER] {
        let ended = Program::run(path, &["--broker", &url]);
        assert_eq!(ended.code, Some(1));
        assert_eq!(ended.errors.matches("cannot connect to ").count(), 3);
        assert!(ended.errors.contains("Connection refused"), "{}", ended.errors);
    }
}

/// Claim 82: what the programs say first is that they speak AMQP 0-9-1.
#[test]
fn what_is_no_broker_neither_holds_a_program_nor_makes_it_panic() {
    fn hello(mut client: &TcpStream) {
        let mut hello = [0; 8];
        client.read_exact(&mut hello).unwrap();
        assert_eq!(&hello, b"AMQP\x00\x00\x09\x01");
    }
    let fakes: [fn(TcpStream); 6] = [
        |client| {
            hello(&client);
            thread::sleep(PATIENCE); // Silence.
        },
        |client| hello(&client),
        |mut client| {
            hello(&client);
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        },
        |mut client| {
            hello(&client);
            let _ = client.write_all(b"AMQP\x00\x01\x00\x00"); // Another version.
        },
        |mut client| {
            hello(&client);
            // A frame too short to have a method in it.
            let _ = client.write_all(b"\x01\x00\x00\x00\x00\x00\x00\xce");
            thread::sleep(PATIENCE);
        },
        |mut client| {
            // It promises 4 GiB and sends without end.
            let _ = client.write_all(b"\x01\x00\x00\xff\xff\xff\xff");
            while client.write_all(&[0xce; 4096]).is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
        },
    ];
    let programs = fakes.map(|fake| {
        let url = format!("amqp://{}", start_fake_broker(fake));
        [SUBSCRIBER, PUBLISHER].map(|path| Program::start(path, &["--broker", &url]))
    });
    for (number, program) in programs.into_iter().flatten().enumerate() {
        let ended = program.end();
        assert_eq!(ended.code, Some(1), "{number}: {}", ended.errors);
        let error = ended.errors.lines().find(|line| line.starts_with("Error: "));
        assert!(error.unwrap().contains("make brokers"), "{}", ended.errors);
        assert!(!ended.errors.contains("panicked"), "{number}: {}", ended.errors);
    }
}

#[test]
fn any_bytes_are_printed_but_what_could_steer_the_terminal_is_escaped() {
    let exchange = Exchange::new("topic", "bytes");
    let mut subscriber = exchange.subscribe(&["#"]);
    exchange.publish_bytes("k", &[b"\xff\xfe\0", "Olá \u{1b}[2J".as_bytes(), b""]);
    exchange.publish_bytes("\u{1b}]", &[&[b'x'; 1 << 20]]);
    assert_eq!(subscriber.wait_for("Received k | "), r"\xff\xfe\u{0}");
    assert_eq!(subscriber.wait_for("Received k | "), r"Olá \u{1b}[2J");
    assert_eq!(subscriber.wait_for("Received k |"), "");
    let long = subscriber.wait_for(r"Received \u{1b}] | xxx");
    assert!(long.ends_with("x... (1048576 bytes)"), "{long}");
}
