//! What the lecture promises of RabbitMQ's exchanges: fanout, direct and topic, and what
//! becomes of a message that nobody wants. The real programs run beside a real broker.

mod broker;
mod program;

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use broker::{DELIVER, Exchange, PUBLISHER, Proxy, keys_received};
use program::{Program, assert_shown};

const README: &str = include_str!("../README.md");

/// Hint: Compare what is printed with the README, line by line and word by word.
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
/// Hint: Which kinds of exchange look at the key, and which does not?
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
/// Hint: How many bindings has a queue, and which of them are compared with the key?
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
/// Hint: A word ends at a dot, and the broker does the matching.
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

/// Hint: Which flag of a message makes the broker send it back when no queue takes
/// it?
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

/// Hint: Who declares the exchange when the other program is not there yet?
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

/// Hint: Which property of a queue ties it to its connection?
#[cfg(unix)]
#[test]
fn a_queue_ends_with_its_subscriber_however_that_ends() {
    let exchange = Exchange::new("topic", "exclusive");
    for signal in ["INT", "KILL"] {
        let subscriber = exchange.subscribe(&["a"]);
        exchange.publish_to_someone("a", "to someone");
        subscriber.signal(signal);
        exchange.wait_until_nobody_is_bound("a");
    }
}

/// Claim 86: the consumer asks once; then the broker pushes, up to the prefetch.
/// Hint: What limits how many messages the broker sends ahead, and who acknowledges
/// them?
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
