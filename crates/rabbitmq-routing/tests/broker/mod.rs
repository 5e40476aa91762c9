//! What the tests need of a broker: an exchange that is deleted in the end, and a proxy
//! that can hold what passes between a program and the broker, or cut it off.
#![allow(dead_code)] // No test file uses all of it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use std::{env, process, thread};

use amqprs::BasicProperties;
use amqprs::channel::{BasicPublishArguments, Channel, ExchangeDeleteArguments};
use amqprs::connection::{Connection, OpenConnectionArguments};

use crate::program::{Ended, PATIENCE, Program};

pub const PUBLISHER: &str = env!("CARGO_BIN_EXE_rabbitmq-publisher");
pub const SUBSCRIBER: &str = env!("CARGO_BIN_EXE_rabbitmq-subscriber");
/// Class and method of what a broker sends.
pub const DELIVER: (u16, u16) = (60, 60);
pub const ACK: (u16, u16) = (60, 80);
pub const CLOSE_OK: (u16, u16) = (10, 51);

/// The broker's URL, which may hold a login.
pub fn url() -> String {
    env::var("AMQP_URL").expect(
        "set AMQP_URL to a broker's URL, for instance: \
         cargo lab brokers -- cargo test -p rabbitmq-routing",
    )
}

/// HOST:PORT of the broker.
pub fn place() -> String {
    let url = url();
    let place = url.trim_start_matches("amqp://").split('/').next().unwrap();
    place.rsplit('@').next().unwrap().to_string()
}

/// Does something at the broker that the programs would not.
pub fn at_broker<T>(work: impl AsyncFnOnce(&Channel) -> T) -> T {
    let arguments = OpenConnectionArguments::try_from(&*url()).unwrap();
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
pub struct Exchange {
    pub name: String,
    pub kind: &'static str,
    /// The broker, or what stands before it.
    pub url: String,
}

impl Exchange {
    pub fn new(kind: &'static str, test: &str) -> Exchange {
        Exchange { name: format!("{test}-{}", process::id()), kind, url: url() }
    }

    /// The same, of which the programs are told that it is where the proxy is.
    pub fn behind(mut self, proxy: &Proxy) -> Exchange {
        self.url = proxy.url.clone();
        self
    }

    pub fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let Exchange { name, kind, url } = self;
        [&["--broker", url, "--exchange", name, "--kind", kind], more].concat()
    }

    pub fn start_subscriber(&self, more: &[&str]) -> Program {
        Program::start(SUBSCRIBER, &self.arguments(more))
    }

    /// Returns a subscriber that is bound by all of the keys.
    pub fn subscribe(&self, keys: &[&str]) -> Program {
        let mut subscriber = self.start_subscriber(&[&["--bind"], keys].concat());
        for key in keys {
            subscriber.wait_for(&format!("Bound {key} to {}", self.name));
        }
        subscriber
    }

    pub fn publish(&self, key: &str, message: &str) -> Ended {
        Program::run(PUBLISHER, &self.arguments(&["--key", key, message]))
    }

    pub fn publish_to_someone(&self, key: &str, message: &str) {
        let publisher = self.publish(key, message);
        assert_eq!(publisher.output, [format!("Sent {key} | {message}")]);
        assert_eq!((publisher.code, &*publisher.errors), (Some(0), ""));
    }

    pub fn publish_to_nobody(&self, key: &str) {
        let publisher = self.publish(key, "to nobody");
        assert_eq!(publisher.code, Some(1), "{:?}", publisher.output);
        assert!(publisher.output.is_empty());
        let error = "Error: no queue is bound for this key: nobody got the message";
        assert_eq!(publisher.errors, error);
    }

    /// Waits until no queue is bound any more.
    pub fn wait_until_nobody_is_bound(&self, key: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.publish(key, "for a queue that should be gone").code == Some(0) {
            assert!(Instant::now() < deadline, "the queue is still there");
        }
    }

    /// Publishes what the program could not.
    pub fn publish_bytes(&self, key: &str, messages: &[&[u8]]) {
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
pub fn keys_received(subscriber: &mut Program) -> Vec<String> {
    let lines = subscriber.output_up_to("Received end | ");
    let keys = lines.iter().filter_map(|line| line.strip_prefix("Received "));
    keys.map(|line| line.split(" | ").next().unwrap().to_string()).collect()
}

/// Stands between the programs and the broker, and can cut the connections.
pub struct Proxy {
    pub url: String,
    pub connections: Arc<Mutex<Vec<TcpStream>>>,
    /// While true, a connection ends as soon as it is made.
    pub away: Arc<AtomicBool>,
    /// While a test holds this, nothing goes to the broker.
    pub gate: Arc<Mutex<()>>,
    /// Class and method of each frame from the broker.
    pub methods: Receiver<(u16, u16)>,
}

impl Proxy {
    /// One that never passes on the broker's frames of this class and method.
    pub fn without(swallowed: (u16, u16)) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, methods) = mpsc::channel();
        let proxy = Proxy {
            url: url().replacen(&place(), &address, 1),
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
                let server = TcpStream::connect(place()).unwrap();
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

    pub fn new() -> Proxy {
        Proxy::without((0, 0))
    }

    /// Waits until the broker has sent such a frame.
    pub fn wait_for(&self, method: (u16, u16)) {
        while self.methods.recv_timeout(PATIENCE).unwrap() != method {}
    }

    pub fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

pub fn pass_bytes(mut from: TcpStream, mut to: TcpStream, gate: Arc<Mutex<()>>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        drop(gate.lock());
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

pub fn pass_frames(
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
pub fn start_fake_broker(serve: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map(Result::unwrap) {
            thread::spawn(move || serve(client));
        }
    });
    address
}
