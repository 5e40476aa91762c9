//! What the MQTT example keeps of its promises when the broker itself stops or dies.

mod examples;
#[path = "../../../tcp-echo/tests/program/mod.rs"]
mod program;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use brokers::{Broker, Kind};
use program::Program;

const TOPIC: &str = "myhome/livingroom/temperature";
const SESSION: [&str; 5] = ["--persistent", "--client-id", "ana", "--qos", "1"];
const COUNT: usize = 200;
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

/// 200 messages at QoS 1, fifty a second.
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

/// What the publisher sent before the broker died, and which of it was acknowledged.
#[derive(Default)]
struct Ledger {
    /// The temperature by the packet's number.
    sent: BTreeMap<[u8; 2], String>,
    acknowledged: Vec<String>,
}

/// Stands between the publisher and the broker. Of the first connection it writes down
/// the acknowledgements, and after so many lets none pass.
fn count_acknowledgements(url: &str, most: usize) -> (String, Arc<Mutex<Ledger>>) {
    let broker = address(url);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let book = ledger.clone();
    thread::spawn(move || {
        for (number, client) in listener.incoming().map(Result::unwrap).enumerate() {
            // The broker is away: the publisher tries again.
            let Ok(server) = TcpStream::connect(broker) else { continue };
            let most = if number == 0 { most } else { usize::MAX };
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                let book = if number == 0 { book.clone() } else { Arc::default() };
                thread::spawn(move || pass(from, to, &book, most));
            }
        }
    });
    (url, ledger)
}

fn pass(mut from: TcpStream, mut to: TcpStream, ledger: &Mutex<Ledger>, most: usize) {
    while let Some(packet) = read_packet(&mut from) {
        let mut ledger = ledger.lock().unwrap();
        let body = &packet[2..];
        match (packet[0], body.strip_prefix(&[0, TOPIC.len() as u8])) {
            (PUBLISH, Some(rest)) if rest.starts_with(TOPIC.as_bytes()) => {
                let (number, text) = rest[TOPIC.len()..].split_at(2);
                let text = String::from_utf8(text.to_vec()).unwrap();
                ledger.sent.insert(number.try_into().unwrap(), text);
            }
            (PUBACK, _) if ledger.acknowledged.len() == most => continue,
            (PUBACK, _) => {
                // The status is acknowledged as well.
                let sent = ledger.sent.get(body);
                let sent = sent.cloned();
                ledger.acknowledged.extend(sent);
            }
            _ => {}
        }
        drop(ledger);
        if to.write_all(&packet).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn a_broker_that_is_stopped_and_started_again_loses_nothing() {
    let mut broker = Broker::start(Kind::Mosquitto).unwrap();
    let mut subscriber = subscribe(&broker);
    let mut publisher = publish(&broker.url());
    for _ in 0..2 {
        wait_for_messages(&mut subscriber, 60);
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
    let (url, ledger) = count_acknowledgements(&broker.url(), 100);
    let mut publisher = publish(&url);
    for _ in 0..115 {
        publisher.wait_for("Publishing: ");
    }
    broker.kill().unwrap();
    publisher.wait_for_error("Lost connection, reconnecting");
    broker.restart().unwrap();
    publisher.wait_for("Publishing stopped");
    let subscriber = start("mqtt-subscriber", &broker.url(), &SESSION);
    let [published, received] = end(publisher, subscriber, &broker.url());
    let lost = missing(&published, &received);
    let acknowledged = &ledger.lock().unwrap().acknowledged;
    assert_eq!(acknowledged.len(), 100);
    println!("lost {} of 100 acknowledged messages: {lost:?}", lost.len());
    assert_eq!(missing(&lost, acknowledged), [""; 0], "lost, and not acknowledged");
    // It saves whenever something has changed, if not at once.
    assert!(lost.len() < 100, "nothing was saved");
}
