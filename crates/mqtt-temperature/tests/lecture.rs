//! What the lecture promises of MQTT: starts the real publisher and the real subscriber
//! against a real broker, and compares what they print and send.

mod mqtt;
mod program;

use std::net::{SocketAddr, TcpStream};
use std::process;
use std::time::{Duration, Instant};

use mqtt::*;
use program::{PATIENCE, assert_shown};
use socket2::{Domain, Socket, Type};

const README: &str = include_str!("../README.md");

/// Hint: Compare what is printed with the README, line by line and word by word.
#[test]
fn publisher_and_subscriber_print_what_the_readme_shows() {
    let topic = Topic::new("readme");
    let mut subscriber = subscribe(&topic.0, &[]);
    let often = ["--interval", "0.1", "--count", "3"];
    let publisher = start(PUBLISHER, &broker().0, &topic.0, &often).end();
    assert_eq!((publisher.code, &*publisher.errors), (Some(0), ""));
    let command = "cargo run -p mqtt-temperature --bin mqtt-publisher -- --count 3";
    assert_shown(README, command, &publisher.output);
    Peer::connect("").publish(&topic.0, b"end", 0, 0);
    let lines =
        subscriber.output_up_to(&format!("Topic: {} | Message: end", topic.0));
    let slide =
        |line: &String| line.replace(&topic.0, "myhome/livingroom/temperature");
    let lines: Vec<String> = lines[..lines.len() - 1].iter().map(slide).collect();
    assert_shown(README, "cargo run -p mqtt-temperature", &lines);
    for text in published(&publisher.output) {
        let temperature: f64 = text.parse().unwrap();
        assert!((20.0..=25.0).contains(&temperature) && text.len() == 5, "{text}");
    }
}

/// Claim 72. Neither knows of the other, and nobody listening is no error.
/// Hint: Publishing to a topic without subscribers is no error.
#[test]
fn publisher_and_subscriber_know_the_broker_alone() {
    let topic = Topic::new("decoupled");
    assert_eq!(publish(&topic.0, "1", &[]).code, Some(0));
    let watch = Proxy::watch();
    let mut subscriber = start(SUBSCRIBER, &watch.url(), &topic.0, &[]);
    subscriber.wait_for("Subscribed to ");
    let other = Proxy::watch();
    let publisher = start(PUBLISHER, &other.url(), &topic.0, &["--count", "1"]).end();
    let text = published(&publisher.output).remove(0);
    subscriber.wait_for(&format!("Topic: {} | Message: {text}", topic.0));
    // A client's name is in its CONNECT. The publisher's never reaches the subscriber.
    let connect = other.seen().remove(0).1;
    let length =
        usize::from(u16::from_be_bytes([body(&connect)[10], body(&connect)[11]]));
    let name = &body(&connect)[12..][..length];
    assert!(!name.is_empty());
    let seen: Vec<u8> =
        watch.seen().into_iter().flat_map(|(_, bytes)| bytes).collect();
    assert!(!seen.windows(length).any(|window| window == name));
}

/// Claim 73. As MQTT 3.1.1 has it in section 4.7.
/// Hint: MQTT 3.1.1, section 4.7, says what the wildcards match.
#[test]
fn plus_is_one_level_and_hash_is_all_below_and_the_parent_itself() {
    let topic = Topic::new("wildcards");
    let home = &topic.0;
    let all = ["", "/a", "/a/b", "/a/b/c", "/x/b", "/a/", "//b"];
    let expected = [
        ("", vec![""]),
        ("/#", all.to_vec()),
        ("/+", vec!["/a"]),
        ("/+/b", vec!["/a/b", "/x/b", "//b"]),
        ("/a/#", vec!["/a", "/a/b", "/a/b/c", "/a/"]),
        ("/a/+", vec!["/a/b", "/a/"]),
        ("/+/+/c", vec!["/a/b/c"]),
    ];
    let subscribers = expected.map(|(filter, topics)| {
        let end = format!("{home}/end");
        let subscriber = subscribe(&format!("{home}{filter}"), &["--topic", &end]);
        (filter, topics, subscriber)
    });
    let mut peer = Peer::connect("");
    for level in all {
        peer.publish(&format!("{home}{level}"), b"here", 1, 0);
    }
    peer.publish(&format!("{home}/end"), b"end", 1, 0);
    for (filter, topics, mut subscriber) in subscribers {
        let end = format!("Topic: {home}/end | ");
        let lines = subscriber.output_up_to(&end);
        let is_wanted =
            |line: &&String| line.starts_with("Topic: ") && !line.contains("/end");
        let lines: Vec<_> = lines.iter().filter(is_wanted).collect();
        let line = |level| format!("Topic: {home}{level} | Message: here");
        let expected: Vec<String> = topics.into_iter().map(line).collect();
        assert_eq!(lines, expected.iter().collect::<Vec<_>>(), "{filter}");
    }
}

/// Claim 73. The broker's own topics are for those who ask for them.
/// Hint: MQTT 3.1.1, section 4.7.2, says what the broker keeps to itself.
#[test]
fn a_leading_wildcard_does_not_match_topics_that_begin_with_a_dollar() {
    let topic = Topic::new("dollar");
    let own = ["--topic", "+/broker/uptime"];
    let mut hidden = subscribe(&topic.0, &own);
    let mut all = subscribe("#", &["--topic", &topic.0]);
    let mut shown = start(SUBSCRIBER, &broker().0, "$SYS/broker/uptime", &[]);
    // Mosquitto publishes it anew every ten seconds, and keeps it: it comes at once, even
    // before the subscription is acknowledged, unless the broker was started just now.
    shown.patience = 2 * PATIENCE;
    shown.wait_for("Topic: $SYS/broker/uptime | Message: ");
    Peer::connect("").publish(&topic.0, b"end", 1, 0);
    for subscriber in [&mut hidden, &mut all] {
        let lines = subscriber.output_up_to(&format!("Topic: {} | ", topic.0));
        assert!(!lines.iter().any(|line| line.starts_with("Topic: $")), "{lines:?}");
    }
}

/// The broker keeps one message per topic. It may come before `Subscribed to`.
/// Hint: Which flag of a message makes the broker keep it, and who prints it before
/// the subscription is confirmed?
#[test]
fn a_retained_message_waits_for_those_who_subscribe_later() {
    let topic = Topic::new("retained");
    publish(&topic.0, "2", &[]);
    Peer::connect("").publish(&topic.0, b"kept", 1, RETAIN);
    let mut late = subscribe(&topic.0, &["--topic", &topic.status()]);
    late.wait_for("Subscribed to ");
    Peer::connect("").publish(&topic.0, b"end", 1, 0);
    let mut lines = late.output_up_to(&format!("Topic: {} | Message: end", topic.0));
    let mut expected = vec![
        format!("Subscribed to '{}'", topic.0),
        format!("Subscribed to '{}'", topic.status()),
        // The temperatures were not retained, and the status always is.
        format!("Topic: {} | Message: kept", topic.0),
        format!("Topic: {} | Message: offline", topic.status()),
        format!("Topic: {} | Message: end", topic.0),
    ];
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
}

/// Claim 78. A publisher that ends well says itself that it is gone.
/// Hint: When does the broker have to know what it shall say after a sudden end?
#[test]
#[cfg(unix)] // Only Unix can send Ctrl-C to one program.
fn the_last_will_is_for_a_publisher_that_is_killed() {
    let topic = Topic::new("last-will");
    let mut watcher = subscribe(&topic.status(), &[]);
    let line = |text| format!("Topic: {} | Message: {text}", topic.status());
    for (signal, by_itself) in [("INT", true), ("KILL", false)] {
        let proxy = Proxy::watch();
        let mut publisher = start(PUBLISHER, &proxy.url(), &topic.0, &[]);
        publisher.wait_for("Publishing: ");
        watcher.wait_for(&line("online"));
        publisher.signal(signal);
        watcher.wait_for(&line("offline"));
        let ended = publisher.end();
        let code = if by_itself { Some(0) } else { None };
        assert_eq!(ended.code, code, "{signal}");
        let last = ended.output.last().unwrap() == "Publishing stopped";
        assert_eq!(last, by_itself, "{signal}");
        let seen = proxy.seen();
        let said = seen.iter().any(|(sender, packet)| {
            *sender == Sender::Client && packet.ends_with(b"/statusoffline")
                || is_publish(packet, &topic.status()) && packet.ends_with(b"offline")
        });
        assert_eq!(said, by_itself, "{signal}");
        let goodbye = seen.contains(&(Sender::Client, packet(DISCONNECT, b"")));
        assert_eq!(goodbye, by_itself, "{signal}");
    }
    // Had the broker published a will as well, there would be more of them.
    Peer::connect("").publish(&topic.status(), b"end", 1, 0);
    let all = received(&mut watcher, &topic.status());
    assert_eq!(all, ["online", "offline", "online", "offline"]);
}

/// Claims 74 and 75. What is published while a subscriber is away.
/// Hint: Which two things tell the broker that a subscriber will come back?
#[test]
fn a_persistent_session_collects_messages_but_not_those_of_qos_0() {
    let topic = Topic::new("persistent");
    let name = format!("absent{}", process::id());
    let arguments = ["--persistent", "--client-id", &name, "--qos", "1"];
    for _ in 0..2 {
        drop(subscribe(&topic.0, &arguments)); // Killed.
        publish(&topic.0, "2", &["--qos", "0"]);
        let kept = publish(&topic.0, "2", &["--qos", "1"]);
        Peer::connect("").publish(&topic.0, b"end", 1, 0);
        let mut subscriber = start(SUBSCRIBER, &broker().0, &topic.0, &arguments);
        let received = received(&mut subscriber, &topic.0);
        assert_eq!(received, published(&kept.output));
    }
    drop(Peer::connect(&name)); // A clean session ends the other.
}

/// Claim 75. What is sent again may arrive twice.
/// Hint: What does the sender do when no acknowledgement comes?
#[test]
fn qos_1_delivers_twice_when_the_acknowledgement_is_lost() {
    let topic = Topic::new("twice");
    let mut subscriber = subscribe(&topic.0, &["--qos", "1"]);
    let mut lost = false;
    let mut acknowledged = 0;
    let proxy = Proxy::start(Box::new(move |_, packet| {
        acknowledged += usize::from(packet[0] == PUBACK);
        // The first is that of the status.
        let passes = lost || acknowledged < 2;
        lost = !passes || lost;
        passes
    }));
    let often = ["--qos", "1", "--count", "1"];
    let mut publisher = start(PUBLISHER, &proxy.url(), &topic.0, &often);
    let text = publisher.wait_for("Publishing: ");
    publisher.wait_for_error("Lost connection, reconnecting");
    publisher.wait_for("Connected to ");
    assert_eq!(publisher.end().code, Some(0));
    Peer::connect("").publish(&topic.0, b"end", 1, 0);
    assert_eq!(received(&mut subscriber, &topic.0), [text.clone(), text]);
}

/// Claim 77. The more is promised, the more packets it takes.
/// Hint: Which packets does each quality of service want, and from whom?
#[test]
fn a_message_takes_one_packet_or_two_or_four() {
    for (qos, expected) in [
        ("0", vec![PUBLISH]),
        ("1", vec![PUBLISH | 2, PUBACK]),
        ("2", vec![PUBLISH | 4, PUBREC, PUBREL, PUBCOMP]),
    ] {
        let topic = Topic::new("packets");
        let proxy = Proxy::watch();
        let often = ["--qos", qos, "--count", "1"];
        let publisher = start(PUBLISHER, &proxy.url(), &topic.0, &often).end();
        assert_eq!(publisher.code, Some(0));
        let seen = proxy.seen();
        let message =
            seen.iter().find(|(_, packet)| is_publish(packet, &topic.0)).unwrap();
        let id = &body(&message.1)[2 + topic.0.len()..][..2];
        let belongs = |packet: &&[u8]| {
            is_publish(packet, &topic.0) || (packet.len() == 4 && body(packet) == id)
        };
        let packets = seen.iter().map(|(_, packet)| &packet[..]).filter(belongs);
        let kinds: Vec<u8> = packets.map(|packet| packet[0]).collect();
        assert_eq!(kinds, expected, "QoS {qos}");
    }
}

/// Claim 70. A packet is a byte for its kind, one to four for its length, and the rest.
/// Hint: MQTT 3.1.1, section 2.2, says what every packet begins with.
#[test]
fn the_smallest_packet_has_two_bytes() {
    let mut peer = Peer::connect("");
    assert_eq!(packet(PINGREQ, b""), [0xC0, 0]);
    peer.send(PINGREQ, b"");
    assert_eq!(read_packet(&mut peer.tcp).unwrap(), [PINGRESP, 0]);
}

/// Claim 71. MQTT runs on TCP; what is heavy is another protocol on top of it.
/// Hint: What is sent for each reading beside the reading itself?
#[test]
fn http_needs_many_times_the_bytes_for_the_same_reading() {
    let topic = Topic::new("bytes");
    let proxy = Proxy::watch();
    let publisher = start(PUBLISHER, &proxy.url(), &topic.0, &["--count", "1"]).end();
    let text = published(&publisher.output).remove(0);
    let seen = proxy.seen();
    let (_, mqtt) =
        seen.iter().find(|(_, packet)| is_publish(packet, &topic.0)).unwrap();
    // Beyond the topic and the temperature: a byte for the kind, one for the length of
    // all, and two for that of the topic.
    assert_eq!(mqtt.len(), 4 + topic.0.len() + text.len());
    // What curl sends, and the shortest answer.
    let http = format!(
        "PUT /{} HTTP/1.1\r\nHost: {}\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}\
         HTTP/1.1 204 No Content\r\n\r\n",
        topic.0,
        proxy.address,
        text.len()
    );
    let data = topic.0.len() + text.len();
    assert!(
        http.len() - data > 20 * (mqtt.len() - data),
        "{} {}",
        http.len(),
        mqtt.len()
    );
}

/// Claim 80.
/// Hint: Who sends something when there is nothing to say, and how often?
#[test]
fn a_silent_client_is_dropped_after_one_and_a_half_times_its_keep_alive() {
    let tcp = TcpStream::connect(broker().1).unwrap();
    let mut peer = Peer::connect_by(tcp, "", true, 2);
    let begin = Instant::now();
    assert!(read_packet(&mut peer.tcp).is_none(), "the broker hangs up");
    assert!(begin.elapsed() > Duration::from_millis(2900), "{:?}", begin.elapsed());
}

/// Claim 81. Who it is, is its name; where it is does not matter. Linux has all of
/// 127.0.0.0/8; elsewhere the second address may be missing.
/// Hint: By what does the broker recognise a client?
#[test]
fn a_client_that_comes_from_another_address_gets_what_was_queued() {
    let (topic, name) = (Topic::new("moved"), format!("moved{}", process::id()));
    let connect = |address: [u8; 4]| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
        socket.connect(&broker().1.into()).unwrap();
        Peer::connect_by(socket.into(), &name, false, 60)
    };
    let mut here = connect([127, 0, 0, 1]);
    assert!(!here.session_present);
    here.subscribe(&topic.0, 1);
    drop(here);
    let publisher = publish(&topic.0, "2", &["--qos", "1"]);
    let mut there = connect([127, 0, 0, 2]);
    assert!(there.session_present);
    for text in published(&publisher.output) {
        let (kind, message) = there.message(&topic.0);
        // One that was on its way when the first connection ended is a repetition (DUP).
        assert_eq!((kind & !DUP, message), (PUBLISH | 2, text));
    }
    drop(there);
    drop(Peer::connect(&name)); // A clean session ends the other.
}
