//! What the MQTT example keeps of its promises when the broker itself stops or dies.

mod examples;
#[path = "../../../tcp-echo/tests/program/mod.rs"]
mod program;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc;

use brokers::{Broker, Kind};
use program::Program;
use wiretap::{Event, Options, Wiretap};

const TOPIC: &str = "myhome/livingroom/temperature";
/// The topic as the wiretap names it.
const OF_TOPIC: &str = "topic myhome/livingroom/temperature";
const SESSION: [&str; 5] = ["--persistent", "--client-id", "ana", "--qos", "1"];
const COUNT: usize = 120;
// The first byte of a packet.
const PUBLISH: u8 = 0x32;
const PUBACK: u8 = 0x40;

fn start(binary: &str, url: &str, more: &[&str]) -> Program {
    let path = examples::program("mqtt-temperature", binary);
    let path = path.to_str().unwrap();
    Program::start(path, &[&["--broker", url], more].concat())
}

fn subscribe(broker: &Broker) -> Program {
    let mut subscriber = start("mqtt-subscriber", &broker.url(), &SESSION);
    subscriber.wait_for("Subscribed to ");
    subscriber
}

/// 120 messages at QoS 1, fifty a second.
fn publish(url: &str) -> Program {
    let count = COUNT.to_string();
    let often = ["--qos", "1", "--interval", "0.02", "--count", &count];
    start("mqtt-publisher", url, &often)
}

/// Waits for so many messages more.
fn wait_for_messages(subscriber: &mut Program, count: usize) {
    for _ in 0..count {
        subscriber.wait_for(&format!("Topic: {TOPIC} | Message: "));
    }
}

/// Waits until the publisher is done; returns what it published, and what arrived.
fn end(publisher: Program, mut subscriber: Program, url: &str) -> [Vec<String>; 2] {
    let publisher = publisher.end();
    assert_eq!(publisher.code, Some(0), "{}", publisher.errors);
    publish_end(url);
    let line = format!("Topic: {TOPIC} | Message: ");
    let mut received = rest(&subscriber.output_up_to(&format!("{line}end")), &line);
    received.pop();
    let published = rest(&publisher.output, "Publishing: ");
    assert_eq!(published.len(), COUNT);
    [published, received]
}

/// Publishes `end`, packet by packet, at QoS 1: the broker keeps the order.
fn publish_end(url: &str) {
    let mut broker = TcpStream::connect(address(url)).unwrap();
    broker.write_all(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00").unwrap();
    assert_eq!(read_packet(&mut broker).unwrap(), [0x20, 2, 0, 0]);
    let body = [&[0, TOPIC.len() as u8], TOPIC.as_bytes(), b"\x00\x01end"].concat();
    broker.write_all(&[&[PUBLISH, body.len() as u8], &body[..]].concat()).unwrap();
    assert_eq!(read_packet(&mut broker).unwrap(), [PUBACK, 2, 0, 1]);
}

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("mqtt://").parse().unwrap()
}

/// Reads a packet of less than 128 bytes, as all are here; none at the end.
fn read_packet(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut packet = vec![0; 2];
    stream.read_exact(&mut packet).ok()?;
    assert!(packet[1] < 128, "a long packet");
    packet.resize(2 + usize::from(packet[1]), 0);
    stream.read_exact(&mut packet[2..]).ok()?;
    Some(packet)
}

/// The rest of each line that begins like this.
fn rest(lines: &[String], start: &str) -> Vec<String> {
    let rest = lines.iter().filter_map(|line| line.strip_prefix(start));
    rest.map(str::to_string).collect()
}

/// What of the first is not in the second, as often as it is there.
fn missing(first: &[String], second: &[String]) -> Vec<String> {
    let mut left = second.to_vec();
    let is_missing =
        |text: &&String| match left.iter().position(|other| other == *text) {
            Some(place) => {
                left.swap_remove(place);
                false
            }
            None => true,
        };
    first.iter().filter(is_missing).cloned().collect()
}

/// The temperatures of which the broker's PUBACK has crossed the wiretap on the first
/// connection, so before the broker was killed.
fn acknowledged(lines: &[wiretap::Line]) -> Vec<String> {
    let mut under_way = BTreeMap::new();
    let mut acknowledged = Vec::new();
    for line in lines.iter().filter(|line| line.connection == 1) {
        let Event::Message(message, _) = &line.event else { continue };
        let details = message.details.split(", ");
        let Some(number) = details.clone().find(|it| it.starts_with("packet "))
        else {
            continue;
        };
        let key = number.to_string();
        if message.name == "PUBLISH" && details.clone().any(|it| it == OF_TOPIC) {
            let text = String::from_utf8_lossy(&message.payload).into_owned();
            under_way.insert(key, text);
        } else if message.name == "PUBACK" {
            acknowledged.extend(under_way.remove(&key));
        }
    }
    acknowledged
}

#[test]
fn a_broker_that_is_stopped_and_started_again_loses_nothing() {
    let mut broker = Broker::start(Kind::Mosquitto).unwrap();
    let mut subscriber = subscribe(&broker);
    let mut publisher = publish(&broker.url());
    for _ in 0..2 {
        wait_for_messages(&mut subscriber, 40);
        broker.stop().unwrap();
        publisher.wait_for_error("Lost connection, reconnecting");
        subscriber.wait_for_error("Lost connection, reconnecting");
        broker.restart().unwrap();
        subscriber.wait_for("Subscribed to ");
    }
    let [published, received] = end(publisher, subscriber, &broker.url());
    assert_eq!(missing(&published, &received), [""; 0], "lost");
    println!("{} of {COUNT} arrived twice", received.len() - published.len());
}

/// The subscriber is away meanwhile: all depends on what the broker has kept. What the
/// publisher took for acknowledged may be lost, as far as the broker had not saved it;
/// the rest may not.
#[test]
fn a_broker_that_is_killed_loses_nothing_that_it_had_not_acknowledged() {
    let mut broker = Broker::start(Kind::Mosquitto).unwrap();
    drop(subscribe(&broker));
    // Ends in order, so that it has saved the session.
    broker.restart().unwrap();
    let (tell, crossed) = mpsc::channel();
    let tell = move |line| {
        let _ = tell.send(line); // Nobody listens any more when the test has failed.
    };
    let (listen, target) =
        ((Ipv4Addr::LOCALHOST, 0).into(), address(&broker.url()).to_string());
    let tap = Wiretap::start(listen, &target, Options::default(), tell).unwrap();
    let mut publisher = publish(&format!("mqtt://{}", tap.address()));
    for _ in 0..75 {
        publisher.wait_for("Publishing: ");
    }
    broker.kill().unwrap();
    publisher.wait_for_error("Lost connection, reconnecting");
    broker.restart().unwrap();
    publisher.wait_for("Publishing stopped");
    let subscriber = start("mqtt-subscriber", &broker.url(), &SESSION);
    let [published, received] = end(publisher, subscriber, &broker.url());
    tap.stop().unwrap();
    let acknowledged = acknowledged(&crossed.iter().collect::<Vec<_>>());
    let count = acknowledged.len();
    assert!((60..COUNT).contains(&count), "{count} were acknowledged before");
    let lost = missing(&published, &received);
    println!("lost {} of {count} acknowledged messages: {lost:?}", lost.len());
    assert_eq!(missing(&lost, &acknowledged), [""; 0], "lost, and not acknowledged");
    // It saves whenever something has changed, if not at once.
    assert!(lost.len() < 60, "nothing was saved");
}
