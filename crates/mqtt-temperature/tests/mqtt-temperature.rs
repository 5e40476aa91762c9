//! Starts the real publisher and the real subscriber against a real broker and
//! compares what they print and send with what the lecture promises.

mod program;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::process::{self, Command};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use std::{env, thread};

use program::{Ended, PATIENCE, Program, assert_shown};
use socket2::{Domain, Socket, Type};

const README: &str = include_str!("../README.md");
const PUBLISHER: &str = env!("CARGO_BIN_EXE_mqtt-publisher");
const SUBSCRIBER: &str = env!("CARGO_BIN_EXE_mqtt-subscriber");

// The first byte of a packet: its kind, and four bits that some kinds use.
const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PINGREQ: u8 = 0xC0;
const PINGRESP: u8 = 0xD0;
const DISCONNECT: u8 = 0xE0;
/// In the first byte of a PUBLISH: to be kept by the broker.
const RETAIN: u8 = 0x01;

/// The broker's URL, its address, and the name and password in it.
fn broker() -> (String, SocketAddr, Option<(String, String)>) {
    let url = env::var("MQTT_URL").unwrap_or_else(|_| {
        panic!(
            "set MQTT_URL to a broker's URL, for instance: \
             cargo lab brokers -- cargo test -p mqtt-temperature"
        )
    });
    let rest = url.strip_prefix("mqtt://").expect("mqtt://HOST:PORT");
    let (login, address) = rest.rsplit_once('@').unwrap_or(("", rest));
    let address = address.to_socket_addrs().unwrap().next().unwrap();
    let login = login.split_once(':').map(|(name, word)| (name.into(), word.into()));
    (url, address, login)
}

/// A topic that no other test has. What the broker keeps of it is removed at the end.
struct Topic(String);

impl Topic {
    fn new(test: &str) -> Topic {
        Topic(format!("test/{}/{test}", process::id()))
    }

    fn status(&self) -> String {
        format!("{}/status", self.0)
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        let mut peer = Peer::connect("");
        for topic in [self.0.clone(), self.status()] {
            peer.publish(&topic, b"", 1, RETAIN);
        }
    }
}

fn start(path: &str, url: &str, topic: &str, more: &[&str]) -> Program {
    Program::start(path, &[&["--broker", url, "--topic", topic], more].concat())
}

fn subscribe(topic: &str, more: &[&str]) -> Program {
    let mut subscriber = start(SUBSCRIBER, &broker().0, topic, more);
    subscriber.wait_for("Subscribed to ");
    subscriber
}

/// Publishes so many temperatures, quickly.
fn publish(topic: &str, count: &str, more: &[&str]) -> Ended {
    let often = ["--interval", "0.01", "--count", count];
    start(PUBLISHER, &broker().0, topic, &[&often, more].concat()).end()
}

/// What a publisher says that it published.
fn published(lines: &[String]) -> Vec<String> {
    let texts = lines.iter().filter_map(|line| line.strip_prefix("Publishing: "));
    texts.map(str::to_string).collect()
}

/// What a subscriber printed of a topic up to the message `end`.
fn received(subscriber: &mut Program, topic: &str) -> Vec<String> {
    let start = format!("Topic: {topic} | Message: ");
    let lines = subscriber.output_up_to(&format!("{start}end"));
    let texts = lines.iter().filter_map(|line| line.strip_prefix(&start));
    texts.filter(|text| *text != "end").map(str::to_string).collect()
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

/// A client of the test's own, made of single packets.
struct Peer {
    tcp: TcpStream,
    /// Whether the broker has a session of this name.
    session_present: bool,
}

impl Peer {
    /// Connects with a clean session.
    fn connect(client_id: &str) -> Peer {
        let tcp = TcpStream::connect(broker().1).unwrap();
        Peer::connect_by(tcp, client_id, true, 60)
    }

    fn connect_by(tcp: TcpStream, client_id: &str, clean: bool, alive: u16) -> Peer {
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut peer = Peer { tcp, session_present: false };
        let login = broker().2;
        let flags = u8::from(clean) << 1 | if login.is_some() { 0xC0 } else { 0 };
        let mut body = [&text("MQTT")[..], &[4, flags]].concat();
        body.extend(alive.to_be_bytes());
        body.extend(text(client_id));
        if let Some((name, password)) = login {
            body.extend([text(&name), text(&password)].concat());
        }
        peer.send(CONNECT, &body);
        let (kind, answer) = peer.receive();
        assert_eq!((kind, answer[1]), (CONNACK, 0), "the broker refuses");
        peer.session_present = answer[0] == 1;
        peer
    }

    fn send(&mut self, kind: u8, body: &[u8]) {
        self.tcp.write_all(&packet(kind, body)).unwrap();
    }

    fn receive(&mut self) -> (u8, Vec<u8>) {
        let packet = read_packet(&mut self.tcp).expect("the broker hangs up");
        (packet[0], body(&packet).to_vec())
    }

    /// Publishes, and waits for what acknowledges it at this QoS.
    fn publish(&mut self, topic: &str, payload: &[u8], qos: u8, retain: u8) {
        let id = if qos > 0 { &[0, 1][..] } else { &[] };
        let body = [&text(topic)[..], id, payload].concat();
        self.send(PUBLISH | qos << 1 | retain, &body);
        if qos == 1 {
            assert_eq!(self.receive(), (PUBACK, vec![0, 1]));
        }
        if qos == 2 {
            assert_eq!(self.receive(), (PUBREC, vec![0, 1]));
            self.send(PUBREL, &[0, 1]);
            assert_eq!(self.receive(), (PUBCOMP, vec![0, 1]));
        }
    }

    fn subscribe(&mut self, filter: &str, qos: u8) {
        self.send(SUBSCRIBE, &[&[0, 1][..], &text(filter), &[qos]].concat());
        assert_eq!(self.receive(), (SUBACK, vec![0, 1, qos]));
    }

    /// The next message: the first byte, and the payload.
    fn message(&mut self, topic: &str) -> (u8, String) {
        let (kind, body) = self.receive();
        let rest = body.strip_prefix(&text(topic)[..]).expect("another topic");
        let id = if kind & 0x06 > 0 { 2 } else { 0 };
        (kind, String::from_utf8(rest[id..].to_vec()).unwrap())
    }
}

/// A string as MQTT has it: its length, and its bytes.
fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    let mut length = body.len();
    loop {
        let more = if length > 127 { 0x80 } else { 0 };
        packet.push(length as u8 & 0x7F | more);
        length >>= 7;
        if length == 0 {
            packet.extend(body);
            return packet;
        }
    }
}

/// What follows the fixed header: the kind, and the length in up to four bytes.
fn body(packet: &[u8]) -> &[u8] {
    let length = packet[1..].iter().take_while(|byte| **byte > 127).count() + 1;
    &packet[1 + length..]
}

/// Reads one packet; none at the end of the stream.
fn read_packet(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut packet = vec![0];
    stream.read_exact(&mut packet).ok()?;
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        packet.push(byte[0]);
        length |= usize::from(byte[0] & 0x7F) << shift;
        if byte[0] < 128 {
            break;
        }
    }
    let begin = packet.len();
    packet.resize(begin + length, 0);
    stream.read_exact(&mut packet[begin..]).ok()?;
    Some(packet)
}

/// Who sent a packet.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Sender {
    Client,
    Broker,
}

/// Says of each packet whether it may pass. If not, the connection is cut before it.
type Rule = Box<dyn FnMut(Sender, &[u8]) -> bool + Send>;

/// The packets that passed, and who sent them.
type Log = Arc<Mutex<Vec<(Sender, Vec<u8>)>>>;

/// Stands between a program and the broker, and writes down what it sees.
struct Proxy {
    address: SocketAddr,
    seen: Log,
}

impl Proxy {
    fn start(rule: Rule) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Log::default();
        let log = seen.clone();
        let rule = Arc::new(Mutex::new(rule));
        thread::spawn(move || {
            for client in listener.incoming().map(Result::unwrap) {
                let Ok(broker) = TcpStream::connect(broker().1) else { return };
                for (who, from, to) in [
                    (Sender::Client, &client, &broker),
                    (Sender::Broker, &broker, &client),
                ] {
                    let (from, to) =
                        (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (log, rule) = (log.clone(), rule.clone());
                    thread::spawn(move || pass(who, from, to, &log, &rule));
                }
            }
        });
        Proxy { address, seen }
    }

    /// One that only watches.
    fn watch() -> Proxy {
        Proxy::start(Box::new(|_, _| true))
    }

    fn url(&self) -> String {
        let (url, ..) = broker();
        let login = url.trim_start_matches("mqtt://").rsplit_once('@');
        let login = login.map(|(login, _)| format!("{login}@")).unwrap_or_default();
        format!("mqtt://{login}{}", self.address)
    }

    fn seen(&self) -> Vec<(Sender, Vec<u8>)> {
        self.seen.lock().unwrap().clone()
    }
}

fn pass(
    who: Sender,
    mut from: TcpStream,
    mut to: TcpStream,
    log: &Log,
    rule: &Mutex<Rule>,
) {
    while let Some(packet) = read_packet(&mut from) {
        let passes = rule.lock().unwrap()(who, &packet);
        if passes {
            log.lock().unwrap().push((who, packet.clone()));
        }
        if !passes || to.write_all(&packet).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Cuts the connection before packets of these kinds, one after the other, each time
/// after some that pass.
fn cut_before(mut kinds: Vec<(Sender, u8)>) -> Rule {
    let mut passed = 0;
    Box::new(move |who, packet| {
        passed += 1;
        let Some((from, kind)) = kinds.first() else { return true };
        let is_due = passed > 12 && who == *from && packet[0] & 0xF0 == kind & 0xF0;
        if is_due {
            kinds.remove(0);
            passed = 0;
        }
        !is_due
    })
}

/// Whether a packet is a PUBLISH of this topic.
fn is_publish(packet: &[u8], topic: &str) -> bool {
    packet[0] & 0xF0 == PUBLISH && body(packet).starts_with(&text(topic))
}

/// A broker of the test's own, for one client: answers each packet by the function.
fn fake_broker(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        while let Some(packet) = read_packet(&mut client) {
            let _ = client.write_all(&answer(&packet));
        }
    });
    address.to_string()
}

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

/// Claim 72. Neither knows of the other, and without the broker neither can do a thing.
#[test]
fn publisher_and_subscriber_know_the_broker_alone() {
    let topic = Topic::new("decoupled");
    // Nobody listens, and that is no error.
    assert_eq!(publish(&topic.0, "1", &[]).code, Some(0));
    let watch = Proxy::watch();
    let mut subscriber = start(SUBSCRIBER, &watch.url(), &topic.0, &[]);
    subscriber.wait_for("Subscribed to ");
    let publisher = publish(&topic.0, "1", &["--client-id", "nobodyknowsme"]);
    let text = published(&publisher.output).remove(0);
    subscriber.wait_for(&format!("Topic: {} | Message: {text}", topic.0));
    let seen: Vec<u8> =
        watch.seen().into_iter().flat_map(|(_, bytes)| bytes).collect();
    assert!(!seen.windows(13).any(|window| window == b"nobodyknowsme"));
    // A port that is bound and does not listen: connecting is refused.
    let closed = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    closed.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = closed.local_addr().unwrap().as_socket().unwrap().port();
    for program in [PUBLISHER, SUBSCRIBER] {
        let url = format!("mqtt://127.0.0.1:{port}");
        let begin = Instant::now();
        let ended = start(program, &url, &topic.0, &[]).end();
        let pauses = Duration::from_millis(1500);
        assert!(
            begin.elapsed() >= pauses,
            "it tries again in half a second, and in one"
        );
        assert_eq!((ended.code, ended.output.len()), (Some(1), 0));
        let expected = format!(
            "Error: cannot connect to {url} (is a broker running? make brokers)"
        );
        assert_eq!(ended.errors, expected);
    }
}

/// Claim 73. As MQTT 3.1.1 has it in section 4.7.
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
        let lines: Vec<_> =
            lines.iter().filter(|line| !line.contains("/end")).collect();
        let line = |level| format!("Topic: {home}{level} | Message: here");
        let expected: Vec<String> = topics.into_iter().map(line).collect();
        assert_eq!(lines[1..], expected.iter().collect::<Vec<_>>(), "{filter}");
    }
}

/// Claim 73. The broker's own topics are for those who ask for them.
#[test]
fn a_leading_wildcard_does_not_match_topics_that_begin_with_a_dollar() {
    let topic = Topic::new("dollar");
    let own = ["--topic", "+/broker/uptime"];
    let mut hidden = subscribe(&topic.0, &own);
    let mut all = subscribe("#", &["--topic", &topic.0]);
    let mut shown = subscribe("$SYS/broker/uptime", &[]);
    // Mosquitto publishes it anew every ten seconds, and keeps it: it comes at once.
    shown.wait_for("Topic: $SYS/broker/uptime | Message: ");
    Peer::connect("").publish(&topic.0, b"end", 1, 0);
    for subscriber in [&mut hidden, &mut all] {
        let lines = subscriber.output_up_to(&format!("Topic: {} | ", topic.0));
        assert!(!lines.iter().any(|line| line.starts_with("Topic: $")), "{lines:?}");
    }
}

#[test]
fn a_retained_message_waits_for_those_who_subscribe_later() {
    let topic = Topic::new("retained");
    let publisher = publish(&topic.0, "2", &["--retain"]);
    let last = published(&publisher.output).pop().unwrap();
    let mut late = subscribe(&topic.0, &["--topic", &topic.status()]);
    late.wait_for("Subscribed to ");
    Peer::connect("").publish(&topic.0, b"end", 1, 0);
    let lines = late.output_up_to(&format!("Topic: {} | Message: end", topic.0));
    // Mosquitto sends them before it answers the subscription; they are printed after.
    let line = |topic: &str, text: &str| format!("Topic: {topic} | Message: {text}");
    let expected = [
        format!("Subscribed to '{}'", topic.0),
        format!("Subscribed to '{}'", topic.status()),
        line(&topic.0, &last),
        line(&topic.status(), "offline"),
        line(&topic.0, "end"),
    ];
    assert_eq!(lines, expected);
    // Without --retain only the status waits.
    let other = Topic::new("not-retained");
    publish(&other.0, "2", &[]);
    let mut late = subscribe(&format!("{}/#", other.0), &[]);
    late.wait_for(&format!("Topic: {} | Message: offline", other.status()));
    Peer::connect("").publish(&other.0, b"end", 1, 0);
    assert_eq!(received(&mut late, &other.0), [""; 0]);
}

/// Claim 78. A publisher that ends well says itself that it is gone.
#[test]
fn the_last_will_is_for_a_publisher_that_is_killed() {
    let topic = Topic::new("last-will");
    let mut watcher = subscribe(&topic.status(), &[]);
    let line = |text| format!("Topic: {} | Message: {text}", topic.status());
    for (signal, by_itself) in [("INT", true), ("TERM", true), ("KILL", false)] {
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
    assert_eq!(all, ["online", "offline", "online", "offline", "online", "offline"]);
}

/// Claims 74 and 75. What is published while a subscriber is away.
#[test]
fn a_persistent_session_collects_messages_but_not_those_of_qos_0() {
    let topic = Topic::new("persistent");
    let name = format!("absent{}", process::id());
    let arguments = ["--persistent", "--client-id", &name, "--qos", "1"];
    for end in ["INT", "KILL"] {
        let subscriber = subscribe(&topic.0, &arguments);
        subscriber.signal(end);
        drop(subscriber.end());
        publish(&topic.0, "2", &["--qos", "0"]);
        let kept = publish(&topic.0, "2", &["--qos", "1"]);
        Peer::connect("").publish(&topic.0, b"end", 1, 0);
        let mut subscriber = start(SUBSCRIBER, &broker().0, &topic.0, &arguments);
        assert_eq!(
            received(&mut subscriber, &topic.0),
            published(&kept.output),
            "{end}"
        );
    }
    drop(Peer::connect(&name)); // A clean session ends the other.
}

/// Claim 75. What is sent again may arrive twice.
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

/// Publishes 60 messages while both sides lose their connection again and again.
/// Returns what was published, and what arrived.
fn through_cuts(topic: &Topic, qos: &str) -> (Vec<String>, Vec<String>) {
    let (client, broker) = (Sender::Client, Sender::Broker);
    let up = match qos {
        "1" => vec![(client, PUBLISH), (broker, PUBACK), (broker, PUBACK)],
        _ => vec![
            (client, PUBLISH),
            (broker, PUBREC),
            (client, PUBREL),
            (broker, PUBCOMP),
        ],
    };
    // What one side sends the other receives.
    let turned =
        |(who, kind)| if who == client { (broker, kind) } else { (client, kind) };
    let down = up.iter().copied().map(turned).collect();
    let (up, down) = (Proxy::start(cut_before(up)), Proxy::start(cut_before(down)));
    let name = format!("cut{qos}{}", process::id());
    let session = ["--persistent", "--client-id", &name, "--qos", qos];
    // The library looks after a broken connection ten times in its keep-alive.
    let session = [&session[..], &["--keep-alive", "5"]].concat();
    let mut subscriber = start(SUBSCRIBER, &down.url(), &topic.0, &session);
    subscriber.wait_for("Subscribed to ");
    let often = ["--qos", qos, "--interval", "0.02", "--count", "60"];
    let mut publisher = start(PUBLISHER, &up.url(), &topic.0, &often);
    for program in [&mut publisher, &mut subscriber] {
        for _ in 0..3 {
            program.wait_for_error("Lost connection, reconnecting");
        }
    }
    let publisher = publisher.end();
    assert_eq!(publisher.code, Some(0), "{}", publisher.errors);
    // At QoS 2 too, since one of QoS 1 would overtake those that take four packets.
    Peer::connect("").publish(&topic.0, b"end", 2, 0);
    let received = received(&mut subscriber, &topic.0);
    drop(subscriber);
    drop(Peer::connect(&name)); // A clean session ends the other.
    (published(&publisher.output), received)
}

/// Claim 75.
#[test]
fn qos_1_loses_nothing_however_often_the_connection_is_cut() {
    let topic = Topic::new("cut-1");
    let (published, mut received) = through_cuts(&topic, "1");
    assert_eq!(published.len(), 60);
    assert!(received.len() > 60, "an acknowledgement was lost: some came twice");
    for text in published {
        let place = received.iter().position(|other| *other == text);
        received.remove(place.unwrap_or_else(|| panic!("{text} is lost")));
    }
}

/// Claim 76.
#[test]
fn qos_2_loses_nothing_and_doubles_nothing_however_often_the_connection_is_cut() {
    let topic = Topic::new("cut-2");
    let (published, received) = through_cuts(&topic, "2");
    assert_eq!(published.len(), 60);
    assert_eq!(sorted(received), sorted(published));
}

/// Claim 77. The more is promised, the more packets it takes.
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
#[test]
fn the_smallest_packet_has_two_bytes() {
    let topic = Topic::new("ping");
    let proxy = Proxy::watch();
    let mut subscriber =
        start(SUBSCRIBER, &proxy.url(), &topic.0, &["--keep-alive", "2"]);
    subscriber.wait_for("Subscribed to ");
    let deadline = Instant::now() + PATIENCE;
    let (question, answer) = (packet(PINGREQ, b""), packet(PINGRESP, b""));
    assert_eq!((&*question, &*answer), (&[0xC0, 0][..], &[0xD0, 0][..]));
    while !proxy.seen().contains(&(Sender::Broker, answer.clone())) {
        assert!(Instant::now() < deadline, "no PINGRESP: {:?}", proxy.seen());
        thread::sleep(Duration::from_millis(10));
    }
    assert!(proxy.seen().contains(&(Sender::Client, question)));
    assert!(subscriber.is_running());
}

/// Claim 71. MQTT runs on TCP; what is heavy is another protocol on top of it.
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

/// Claim 79.
#[test]
fn a_lost_connection_is_replaced_and_the_subscription_with_it() {
    let topic = Topic::new("again");
    let (cut, order) = mpsc::channel::<()>();
    let proxy = Proxy::start(Box::new(move |_, packet| {
        packet[0] != PINGREQ || order.try_recv().is_err()
    }));
    let alive = ["--keep-alive", "1"];
    let mut subscriber = start(SUBSCRIBER, &proxy.url(), &topic.0, &alive);
    for _ in 0..2 {
        subscriber.wait_for(&format!("Subscribed to '{}'", topic.0));
        let publisher = publish(&topic.0, "1", &[]);
        let text = published(&publisher.output).remove(0);
        subscriber.wait_for(&format!("Topic: {} | Message: {text}", topic.0));
        cut.send(()).unwrap();
        subscriber.wait_for_error("Lost connection, reconnecting");
    }
}

/// Claim 80.
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
        assert_eq!(there.message(&topic.0), (PUBLISH | 2, text));
    }
    drop(there);
    drop(Peer::connect(&name)); // A clean session ends the other.
}

#[test]
fn a_publisher_with_a_count_ends_when_the_last_message_is_acknowledged() {
    let topic = Topic::new("acknowledged");
    let (release, released) = mpsc::channel::<()>();
    let mut acknowledged = 0;
    let proxy = Proxy::start(Box::new(move |_, packet| {
        acknowledged += usize::from(packet[0] == PUBACK);
        // The first is that of the status.
        acknowledged != 3 || released.recv().is_ok()
    }));
    let often = ["--qos", "1", "--interval", "0.01", "--count", "2"];
    let mut publisher = start(PUBLISHER, &proxy.url(), &topic.0, &often);
    publisher.wait_for("Publishing: ");
    publisher.wait_for("Publishing: ");
    while proxy.seen().iter().filter(|(_, packet)| packet[0] == PUBACK).count() < 2 {
        thread::yield_now();
    }
    assert!(publisher.is_running());
    release.send(()).unwrap();
    publisher.wait_for("Publishing stopped");
    assert_eq!(publisher.end().code, Some(0));
}

/// The broker acknowledges nothing, or is gone: neither keeps a person waiting.
#[test]
fn ctrl_c_ends_within_a_second_and_tells_what_was_not_acknowledged() {
    let topic = Topic::new("ctrl-c");
    for (qos, code) in [("0", 0), ("1", 1), ("2", 1)] {
        let (closed, is_closed) = mpsc::channel::<()>();
        // Lets only the connection begin.
        let proxy = Proxy::start(Box::new(move |who, packet| {
            let _ = (who == Sender::Broker && packet[0] != CONNACK)
                .then(|| is_closed.recv_timeout(PATIENCE));
            true
        }));
        let often = ["--qos", qos, "--interval", "0.01", "--count", "3"];
        let mut publisher = start(PUBLISHER, &proxy.url(), &topic.0, &often);
        for _ in 0..3 {
            publisher.wait_for("Publishing: ");
        }
        let begin = Instant::now();
        publisher.signal("INT");
        let ended = publisher.end();
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
        assert_eq!(ended.output.last().unwrap(), "Publishing stopped");
        assert_eq!(ended.code, Some(code), "QoS {qos}: {}", ended.errors);
        let expected = "Error: 3 messages were not acknowledged";
        assert_eq!(ended.errors == expected, code == 1, "{}", ended.errors);
        drop(closed);
    }
}

#[test]
fn a_wrong_password_is_told_at_once_and_never_shown() {
    for program in [PUBLISHER, SUBSCRIBER] {
        // Mosquitto's answer to it: 5, not authorized.
        let address = fake_broker(|_| packet(CONNACK, &[0, 5]));
        let begin = Instant::now();
        let url = format!("mqtt://ana:s3cret@{address}");
        let ended = start(program, &url, "home", &[]).end();
        assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
        let expected = format!(
            "Error: mqtt://{address} refuses: Not Authorized \
             (is the login right? mqtt://NAME:PASSWORD@HOST:PORT)"
        );
        assert_eq!((ended.code, ended.errors), (Some(1), expected));
        for wrong in ["mqtts://ana:s3cret@h:8883", "mqtt://ana:s3cret@h"] {
            let ended = start(program, wrong, "home", &[]).end();
            assert_eq!(ended.code, Some(2));
            assert!(!ended.errors.contains("s3cret"), "{}", ended.errors);
        }
        let help = Command::new(program).arg("--help").env("MQTT_URL", &url).output();
        let help = String::from_utf8(help.unwrap().stdout).unwrap();
        assert!(help.contains("MQTT_URL") && !help.contains("s3cret"), "{help}");
    }
}

/// The name and the password go to the broker as they are in the URL.
#[test]
fn a_name_and_a_password_are_sent_to_the_broker() {
    for program in [PUBLISHER, SUBSCRIBER] {
        let address = fake_broker(|packet_| {
            let login = [text("ana"), text("p:a@ss")].concat();
            let knows = packet_.ends_with(&login);
            packet(CONNACK, &[0, if knows { 2 } else { 5 }])
        });
        let ended =
            start(program, &format!("mqtt://ana:p:a@ss@{address}"), "t", &[]).end();
        assert!(
            ended.errors.contains("Client Identifier Rejected"),
            "{}",
            ended.errors
        );
    }
}

#[test]
fn a_subscription_that_the_broker_refuses_is_an_error() {
    let address = fake_broker(|request| match request[0] {
        CONNECT => packet(CONNACK, &[0, 0]),
        SUBSCRIBE => packet(SUBACK, &[body(request)[0], body(request)[1], 0x80]),
        _ => Vec::new(),
    });
    let ended =
        start(SUBSCRIBER, &format!("mqtt://{address}"), "secret/#", &[]).end();
    assert_eq!((ended.code, ended.output.len()), (Some(1), 0));
    assert_eq!(ended.errors, "Error: the broker refuses 'secret/#'");
}

#[test]
fn a_payload_is_printed_whatever_its_bytes_are() {
    let topic = Topic::new("bytes-\u{202e}");
    let mut subscriber = subscribe(&format!("{}/#", topic.0), &["--qos", "2"]);
    let mut peer = Peer::connect("");
    let long = "x".repeat(300_000);
    for (payload, expected) in [
        (&b"caf\xC3\xA9"[..], "café".to_string()),
        (b"\xFFbroken\xC3", "\\xffbroken\\xc3".into()),
        (b"\x1b[2Jcleared\n", "\\u{1b}[2Jcleared\\u{a}".into()),
        (b"", String::new()),
        (long.as_bytes(), format!("{}... (300000 bytes)", "x".repeat(200))),
    ] {
        for qos in 0..=2 {
            peer.publish(&topic.0, payload, qos, 0);
            let shown = topic.0.replace('\u{202e}', "\\u{202e}");
            let line = format!("Topic: {shown} | Message: {expected}");
            subscriber.wait_for(line.trim_end());
        }
    }
}

#[test]
fn a_wrong_argument_is_told_with_exit_status_2() {
    let long = "x".repeat(65_536);
    let nearly = "x".repeat(65_529);
    let of_a_publisher = [
        (["--topic", "home/+"], "it takes no +, no # and no control characters"),
        (["--topic", "home/#"], "it takes no +, no # and no control characters"),
        (["--topic", "a\x07b"], "it takes no +, no # and no control characters"),
        (["--topic", ""], "it takes 1 to 65528 bytes"),
        (["--topic", &nearly], "it takes 1 to 65528 bytes"),
        (["--interval", "-1"], "error: "),
        (["--interval", "soon"], "invalid float literal"),
        (["--interval", "inf"], "error: "),
        (["--qos", "3"], "3 is not in 0..=2"),
        (["--count", "few"], "invalid digit"),
    ];
    let of_a_subscriber = [
        (["--topic", "a#"], "+ stands for one whole level"),
        (["--topic", "a/#/b"], "+ stands for one whole level"),
        (["--topic", "#/b"], "+ stands for one whole level"),
        (["--topic", "a+"], "+ stands for one whole level"),
        (["--topic", "a/b+/c"], "+ stands for one whole level"),
        (["--topic", "##"], "+ stands for one whole level"),
        (["--topic", "a\x07b"], "it takes no control characters"),
        (["--topic", ""], "it takes 1 to 65535 bytes"),
        (["--topic", &long], "it takes 1 to 65535 bytes"),
        (["--qos", "-1"], "error: "),
        (["--keep-alive", "0"], "0 is not in 1..=65535"),
        (["--persistent", "--qos=1"], "--client-id <CLIENT_ID>"),
    ];
    let of_both =
        ["mqtts://h:1883", "tcp://h:1883", "h:1883", "mqtt://h", "mqtt://:1883"].map(
            |wrong| (["--broker", wrong], "takes mqtt://[NAME:PASSWORD@]HOST:PORT"),
        );
    let publisher =
        of_a_publisher.iter().chain(&of_both).map(|case| (PUBLISHER, case));
    let subscriber =
        of_a_subscriber.iter().chain(&of_both).map(|case| (SUBSCRIBER, case));
    for (program, (arguments, expected)) in publisher.chain(subscriber) {
        let ended = Program::run(program, arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.errors);
        assert!(ended.errors.contains(expected), "{arguments:?}: {}", ended.errors);
    }
    // No program can be given a NUL: an argument ends there.
    let nul = Command::new(PUBLISHER).args(["--topic", "a\0b"]).spawn();
    assert_eq!(nul.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn the_longest_topic_is_published_and_received() {
    let topic = Topic::new("long");
    let topic = Topic(format!("{}{}", topic.0, "x".repeat(65_528 - topic.0.len())));
    let mut subscriber = subscribe(&topic.0, &[]);
    let publisher = publish(&topic.0, "1", &["--qos", "1"]);
    let text = published(&publisher.output).remove(0);
    let line = subscriber.wait_for("Topic: test/");
    assert!(
        line.ends_with(&format!("... (65528 bytes) | Message: {text}")),
        "{line}"
    );
}
