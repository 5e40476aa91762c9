//! What the tests need of a broker: a client of their own, a queue that is deleted in the
//! end, and a proxy that harms what passes between a program and the broker.
#![allow(dead_code)] // No test file uses all of it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Instant;
use std::{env, process, thread};

use amqprs::BasicProperties;
use amqprs::callbacks::DefaultChannelCallback;
use amqprs::channel::{
    BasicConsumeArguments, BasicGetArguments, BasicPublishArguments,
    BasicQosArguments, Channel, ConsumerMessage, QueueDeclareArguments,
    QueueDeleteArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use crate::program::{Ended, PATIENCE, Program};

pub const WORKER: &str = env!("CARGO_BIN_EXE_rabbitmq-worker");
pub const PRODUCER: &str = env!("CARGO_BIN_EXE_rabbitmq-producer");
/// The class and the method of AMQP with which a confirm and a publishing begin.
pub const ACK: [u8; 4] = [0, 60, 0, 80];
pub const PUBLISH: [u8; 4] = [0, 60, 0, 40];

/// The broker's URL, which may hold a login.
pub fn url() -> String {
    env::var("AMQP_URL").expect(
        "set AMQP_URL to a broker's URL, for instance: \
         cargo lab brokers -- cargo test -p rabbitmq-tasks",
    )
}

/// HOST:PORT of the broker.
pub fn place() -> String {
    let url = url();
    let place = url.trim_start_matches("amqp://").split('/').next().unwrap();
    place.rsplit('@').next().unwrap().to_string()
}

/// A client of the test's own, which sees what the broker keeps and can do what the
/// programs would not.
pub struct Amqp {
    pub runtime: Runtime,
    /// Until it is dropped.
    open: Option<(Connection, Channel)>,
}

impl Amqp {
    pub fn connect() -> Amqp {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
        let arguments = OpenConnectionArguments::try_from(&*url()).unwrap();
        let open = runtime.block_on(async {
            let connection = Connection::open(&arguments).await.unwrap();
            let channel = connection.open_channel(None).await.unwrap();
            channel.register_callback(DefaultChannelCallback).await.unwrap();
            (connection, channel)
        });
        Amqp { runtime, open: Some(open) }
    }

    pub fn channel(&self) -> &Channel {
        &self.open.as_ref().unwrap().1
    }

    /// How many messages wait in the queue; those in a consumer's hand do not count.
    pub fn depth(&self, queue: &str) -> u32 {
        let mut passive = QueueDeclareArguments::durable_client_named(queue);
        let declared = self.channel().queue_declare(passive.passive(true).finish());
        self.runtime.block_on(declared).unwrap().unwrap().1
    }

    pub fn wait_for_depth(&self, queue: &str, depth: u32) {
        let deadline = Instant::now() + PATIENCE;
        while self.depth(queue) != depth {
            let is = self.depth(queue);
            assert!(Instant::now() < deadline, "{queue} has {is} tasks, not {depth}");
        }
    }

    pub fn publish(&self, exchange: &str, key: &str, message: &[u8]) {
        let to = BasicPublishArguments::new(exchange, key);
        let persistent = BasicProperties::default().with_persistence(true).finish();
        let published =
            self.channel().basic_publish(persistent, message.to_vec(), to);
        self.runtime.block_on(published).unwrap();
    }

    /// Takes a message out of the queue.
    pub fn get(&self, queue: &str) -> Option<String> {
        Some(String::from_utf8(self.get_whole(queue)?.1).unwrap())
    }

    /// The same, with what its sender says of it.
    pub fn get_whole(&self, queue: &str) -> Option<(BasicProperties, Vec<u8>)> {
        let mut get = BasicGetArguments::new(queue);
        let message = self.channel().basic_get(get.no_ack(true).finish());
        let (_, properties, content) = self.runtime.block_on(message).unwrap()?;
        Some((properties, content))
    }

    pub fn consume(
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
    pub fn delivered(
        &self,
        messages: &mut UnboundedReceiver<ConsumerMessage>,
    ) -> (u64, String) {
        let message = async { timeout(PATIENCE, messages.recv()).await };
        let message = self.runtime.block_on(message).unwrap().unwrap();
        let text = String::from_utf8(message.content.unwrap()).unwrap();
        (message.deliver.unwrap().delivery_tag(), text)
    }
}

impl Drop for Amqp {
    fn drop(&mut self) {
        let _context = self.runtime.enter(); // To be dropped, amqprs needs one.
        drop(self.open.take());
    }
}

/// A queue of the test's own, which is deleted in the end.
pub struct Queue {
    pub name: String,
    pub amqp: Amqp,
}

impl Queue {
    pub fn new(test: &str) -> Queue {
        Queue { name: format!("{test}-{}", process::id()), amqp: Amqp::connect() }
    }

    pub fn failed(&self) -> String {
        format!("{}.failed", self.name)
    }

    pub fn delete(&self) {
        for end in ["", ".failed", ".failed.failed"] {
            let name = format!("{}{end}", self.name);
            if name.len() < 256 {
                let delete = QueueDeleteArguments::new(&name);
                let deleted = self.amqp.channel().queue_delete(delete);
                let _ = self.amqp.runtime.block_on(deleted);
            }
        }
    }

    pub fn start_worker(&self, work: &str) -> Program {
        let arguments = ["--queue", &self.name, "--work", work];
        let mut worker = Program::start(WORKER, &arguments);
        worker.wait_for("Waiting for tasks in ");
        worker
    }

    /// A program of this queue, by way of a proxy.
    pub fn start_behind(&self, proxy: &Proxy, path: &str, more: &[&str]) -> Program {
        let arguments = ["--queue", &self.name, "--broker", &proxy.url];
        Program::start(path, &[&arguments, more].concat())
    }

    pub fn produce(&self, more: &[&str]) -> Ended {
        Program::run(PRODUCER, &[&["--queue", &self.name], more].concat())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.delete();
    }
}

/// Stands between a program and the broker, and harms what passes.
pub struct Proxy {
    pub url: String,
}

/// The two directions, and what to do with the bytes that come from one.
#[derive(Clone, Copy, PartialEq)]
pub enum From {
    Program,
    Broker,
}

impl Proxy {
    /// For each connection, by its number from 0, `harm` may change what passes; when
    /// it returns false, both sides are cut off, like by a cable that breaks.
    pub fn start(
        harm: impl Fn(usize, From, &mut Vec<u8>) -> bool + Clone + Send + 'static,
    ) -> Proxy {
        Proxy::start_on("127.0.0.1:0", harm)
    }

    pub fn start_on(
        address: &str,
        harm: impl Fn(usize, From, &mut Vec<u8>) -> bool + Clone + Send + 'static,
    ) -> Proxy {
        let listener = TcpListener::bind(address).unwrap();
        let here = listener.local_addr().unwrap();
        let url = url().replacen(&place(), &here.to_string(), 1);
        thread::spawn(move || {
            for (number, program) in listener.incoming().enumerate() {
                let (program, broker) =
                    (program.unwrap(), TcpStream::connect(place()).unwrap());
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

pub fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
