//! What the tests need beside the programs: a client made of single packets, a proxy
//! that watches and cuts connections, and a broker that does what a test tells it.
#![allow(dead_code)] // No test uses all of it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::{env, process, thread};

use crate::program::{Ended, PATIENCE, Program};

pub const PUBLISHER: &str = env!("CARGO_BIN_EXE_mqtt-publisher");
pub const SUBSCRIBER: &str = env!("CARGO_BIN_EXE_mqtt-subscriber");
pub const BOTH: [&str; 2] = [PUBLISHER, SUBSCRIBER];

// The first byte of a packet: its kind, and four bits that some kinds use.
pub const CONNECT: u8 = 0x10;
pub const CONNACK: u8 = 0x20;
pub const PUBLISH: u8 = 0x30;
pub const PUBACK: u8 = 0x40;
pub const PUBREC: u8 = 0x50;
pub const PUBREL: u8 = 0x62;
pub const PUBCOMP: u8 = 0x70;
pub const SUBSCRIBE: u8 = 0x82;
pub const SUBACK: u8 = 0x90;
pub const PINGREQ: u8 = 0xC0;
pub const PINGRESP: u8 = 0xD0;
pub const DISCONNECT: u8 = 0xE0;
/// In the first byte of a PUBLISH: the broker is to keep it.
pub const RETAIN: u8 = 0x01;
/// In that of one that is sent again.
pub const DUP: u8 = 0x08;

/// The URL of the broker that the tests use, and its address.
pub fn broker() -> (String, SocketAddr) {
    let url = env::var("MQTT_URL").unwrap_or_else(|_| {
        panic!(
            "set MQTT_URL to a broker's URL, for instance: \
             cargo lab brokers -- cargo test -p mqtt-temperature"
        )
    });
    let rest = url.strip_prefix("mqtt://").expect("mqtt://HOST:PORT");
    let address =
        rest.trim_end_matches('/').to_socket_addrs().unwrap().next().unwrap();
    (url, address)
}

/// A topic that no other test has. What the broker keeps of it is removed at the end.
pub struct Topic(pub String);

impl Topic {
    pub fn new(test: &str) -> Topic {
        Topic(format!("test/{}/{test}", process::id()))
    }

    pub fn status(&self) -> String {
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

/// The command of a program, or of the one that is judged, for what `Program` cannot do.
pub fn command(path: &str) -> Command {
    let variable =
        if path == PUBLISHER { "MQTT_PUBLISHER" } else { "MQTT_SUBSCRIBER" };
    let judged =
        env::var(variable).map(|command| shell_words::split(&command).unwrap());
    let words = judged.unwrap_or_else(|_| vec![path.to_string()]);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

pub fn start(path: &str, url: &str, topic: &str, more: &[&str]) -> Program {
    Program::start(path, &[&["--broker", url, "--topic", topic], more].concat())
}

pub fn subscribe(topic: &str, more: &[&str]) -> Program {
    let mut subscriber = start(SUBSCRIBER, &broker().0, topic, more);
    subscriber.wait_for("Subscribed to ");
    subscriber
}

/// Publishes so many temperatures, quickly.
pub fn publish(topic: &str, count: &str, more: &[&str]) -> Ended {
    let often = ["--interval", "0.01", "--count", count];
    start(PUBLISHER, &broker().0, topic, &[&often, more].concat()).end()
}

/// What a publisher says that it published.
pub fn published(lines: &[String]) -> Vec<String> {
    let texts = lines.iter().filter_map(|line| line.strip_prefix("Publishing: "));
    texts.map(str::to_string).collect()
}

/// What a subscriber printed of a topic up to the message `end`.
pub fn received(subscriber: &mut Program, topic: &str) -> Vec<String> {
    let start = format!("Topic: {topic} | Message: ");
    let lines = subscriber.output_up_to(&format!("{start}end"));
    let texts = lines.iter().filter_map(|line| line.strip_prefix(&start));
    texts.filter(|text| *text != "end").map(str::to_string).collect()
}

/// A client of the test's own, made of single packets.
pub struct Peer {
    pub tcp: TcpStream,
    /// Whether the broker has a session of this name.
    pub session_present: bool,
}

impl Peer {
    /// Connects with a clean session.
    pub fn connect(client_id: &str) -> Peer {
        let tcp = TcpStream::connect(broker().1).unwrap();
        Peer::connect_by(tcp, client_id, true, 60)
    }

    pub fn connect_by(
        tcp: TcpStream,
        client_id: &str,
        clean: bool,
        alive: u16,
    ) -> Peer {
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut peer = Peer { tcp, session_present: false };
        // The broker's login, if it wants one.
        let login =
            env::var("MQTT_USERNAME").ok().zip(env::var("MQTT_PASSWORD").ok());
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

    pub fn send(&mut self, kind: u8, body: &[u8]) {
        self.tcp.write_all(&packet(kind, body)).unwrap();
    }

    pub fn receive(&mut self) -> (u8, Vec<u8>) {
        let packet = read_packet(&mut self.tcp).expect("the broker hangs up");
        (packet[0], body(&packet).to_vec())
    }

    /// Publishes, and waits for what acknowledges it at this QoS.
    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: u8, retain: u8) {
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

    pub fn subscribe(&mut self, filter: &str, qos: u8) {
        self.send(SUBSCRIBE, &[&[0, 1][..], &text(filter), &[qos]].concat());
        assert_eq!(self.receive(), (SUBACK, vec![0, 1, qos]));
    }

    /// The next message: the first byte, and the payload.
    pub fn message(&mut self, topic: &str) -> (u8, String) {
        let (kind, body) = self.receive();
        let rest = body.strip_prefix(&text(topic)[..]).expect("another topic");
        let id = if kind & 0x06 > 0 { 2 } else { 0 };
        (kind, String::from_utf8(rest[id..].to_vec()).unwrap())
    }
}

/// A string as MQTT has it: its length, and its bytes.
pub fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

pub fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
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
pub fn body(packet: &[u8]) -> &[u8] {
    let length = packet[1..].iter().take_while(|byte| **byte > 127).count() + 1;
    &packet[1 + length..]
}

/// The number of a packet that begins with it: an acknowledgement, or a SUBSCRIBE.
pub fn number(packet: &[u8]) -> [u8; 2] {
    [body(packet)[0], body(packet)[1]]
}

/// Reads one packet; none at the end of the stream.
pub fn read_packet(stream: &mut impl Read) -> Option<Vec<u8>> {
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

/// Whether a packet is a PUBLISH of this topic.
pub fn is_publish(packet: &[u8], topic: &str) -> bool {
    packet[0] & 0xF0 == PUBLISH && body(packet).starts_with(&text(topic))
}

/// Who sent a packet.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Sender {
    Client,
    Broker,
}

/// Says of each packet whether it may pass. If not, the connection is cut before it.
pub type Rule = Box<dyn FnMut(Sender, &[u8]) -> bool + Send>;

/// The packets that passed, and who sent them.
type Log = Arc<Mutex<Vec<(Sender, Vec<u8>)>>>;

/// Stands between a program and the broker, and writes down what it sees.
pub struct Proxy {
    pub address: SocketAddr,
    seen: Log,
    /// Of the connection that began last.
    last: Arc<Mutex<Option<TcpStream>>>,
}

impl Proxy {
    pub fn start(rule: Rule) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, last) = (Log::default(), Arc::new(Mutex::new(None)));
        let (log, newest) = (seen.clone(), last.clone());
        let rule = Arc::new(Mutex::new(rule));
        thread::spawn(move || {
            for client in listener.incoming().map(Result::unwrap) {
                let Ok(broker) = TcpStream::connect(broker().1) else { return };
                *newest.lock().unwrap() = Some(client.try_clone().unwrap());
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
        Proxy { address, seen, last }
    }

    /// One that only watches.
    pub fn watch() -> Proxy {
        Proxy::start(Box::new(|_, _| true))
    }

    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    pub fn seen(&self) -> Vec<(Sender, Vec<u8>)> {
        self.seen.lock().unwrap().clone()
    }

    /// Ends the connection that began last.
    pub fn cut(&self) {
        let _ = self.last.lock().unwrap().as_ref().unwrap().shutdown(Shutdown::Both);
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

/// A broker of the test's own. It answers each packet by the function, which is told
/// the number of the connection, and hangs up when that returns nothing.
pub fn fake_broker(
    answer: impl FnMut(usize, &[u8], &TcpStream) -> Option<Vec<u8>> + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    serve(listener, answer);
    format!("mqtt://{address}")
}

pub fn serve(
    listener: TcpListener,
    mut answer: impl FnMut(usize, &[u8], &TcpStream) -> Option<Vec<u8>> + Send + 'static,
) {
    thread::spawn(move || {
        for (number, client) in listener.incoming().map(Result::unwrap).enumerate() {
            let mut client = client;
            while let Some(packet) = read_packet(&mut client) {
                let Some(reply) = answer(number, &packet, &client) else { break };
                if client.write_all(&reply).is_err() {
                    break;
                }
            }
        }
    });
}

/// What a healthy broker answers: the packet that acknowledges this one.
pub fn acknowledge(request: &[u8]) -> Vec<u8> {
    match request[0] & 0xF0 {
        CONNECT => packet(CONNACK, &[0, 0]),
        PUBLISH if request[0] & 0x06 > 0 => {
            let topic = usize::from(u16::from_be_bytes(number(request)));
            packet(PUBACK, &body(request)[2 + topic..][..2])
        }
        0x80 => packet(SUBACK, &[&number(request)[..], &[0]].concat()),
        PINGREQ => packet(PINGRESP, b""),
        _ => Vec::new(),
    }
}
