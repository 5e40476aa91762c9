//! One measurement: a program and its load are started, measured, and ended.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use brokers::{Broker, Kind, free_port};
use socket2::{SockAddr, Socket, Type};

use crate::kernel::{self, Processors};
use crate::load::{Delays, Load, connect};
use crate::program::{Program, Running};
use crate::protocol::{Protocol, amqp, amqp::Amqp, echo::Echo, http::Http, messages};
use crate::protocol::{mqtt::Mqtt, websocket::WebSocket, zmtp, zmtp::Zmtp};
use crate::report::{Part, Plan, Round, three_digits};
use crate::rows::{Case, How};

const TOPIC: &str = "myhome/livingroom/temperature";
const EXCHANGE: &str = "scoreboard";
const KEY: &str = "reading";
/// How much of a message a line has to show that tells of it.
const SHOWN: usize = 16;
/// How long a program may take to connect, and one that sends to its end.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
const BACKLOG: i32 = 16;
/// What a socket keeps of datagrams for certain; what is more may be lost.
const DATAGRAMS: usize = 64 * 1024;

/// What all measurements share.
pub struct Bench {
    pub processors: Option<Processors>,
    /// The brokers that run, or why they do not.
    brokers: Vec<(Kind, Result<Broker, String>)>,
    /// How many queues were named: no name comes twice.
    names: usize,
}

/// A program with its load, ready to be measured.
struct Setting {
    program: Running,
    load: Load,
    /// The broker's process, if there is one between them.
    broker: Option<u32>,
    /// The program's memory before its clients came.
    empty_kib: f64,
}

/// A temperature as JSON, in so many bytes: an item of the REST API, which no other
/// transport minds.
pub fn reading(bytes: usize) -> String {
    let (head, tail) =
        (r#"{"name":"myhome/livingroom/temperature"#, r#"","price":21.53}"#);
    let filler = ".".repeat(bytes.saturating_sub(head.len() + tail.len()));
    [head, &filler, tail].concat()
}

impl Bench {
    /// Starts the brokers of these kinds, on the processor of all that is measured.
    pub fn start(kinds: &[Kind]) -> Result<Bench> {
        let processors = kernel::two_cores()?;
        let mut bench = Bench { processors, brokers: Vec::new(), names: 0 };
        for kind in kinds {
            let broker = bench.new_broker(*kind).map_err(|why| format!("{why:#}"));
            if let Err(why) = &broker {
                eprintln!("{} is left out: {why}", kind.name());
            }
            bench.brokers.push((*kind, broker));
        }
        Ok(bench)
    }

    fn new_broker(&self, kind: Kind) -> Result<Broker> {
        match self.processors {
            Some(processors) => processors.beside(|| Broker::start(kind)),
            None => Broker::start(kind),
        }
    }

    /// Measures once.
    pub fn measure(
        &mut self,
        case: &Case,
        program: &Program,
        plan: &Plan,
    ) -> Result<Round> {
        let window = Duration::from_millis(plan.window_ms);
        match (case.part, case.transport.how) {
            (Part::Idle, how) if how.broker().is_some() => self.idle_at_broker(case),
            (_, How::Publish { .. } | How::Produce) => {
                self.send(case, program, window)
            }
            _ => self.under_load(case, program, plan),
        }
    }

    fn under_load(
        &mut self,
        case: &Case,
        program: &Program,
        plan: &Plan,
    ) -> Result<Round> {
        let mut it = self.set_up(case, program).context("cannot start")?;
        let measured = match case.part {
            Part::Idle => it.idle(case),
            _ => it.figures(case, plan),
        };
        let complaints = it.program.complaints();
        // The program first: of its clients' end it would have much to say.
        drop(it.program);
        measured.with_context(|| match &*complaints {
            "" => "cannot measure".to_string(),
            complaints => format!("cannot measure; it says: {complaints}"),
        })
    }

    fn set_up(&mut self, case: &Case, program: &Program) -> Result<Setting> {
        let message = reading(case.bytes);
        let bytes = || message.clone().into_bytes();
        match case.transport.how {
            How::Tcp { anew } => {
                self.server(case, program, anew, || Box::new(Echo(bytes())))
            }
            How::Udp => self.server(case, program, false, || Box::new(Echo(bytes()))),
            How::Lines => self
                .server(case, program, false, || Box::new(messages::line(&message))),
            How::Frames => self
                .server(case, program, false, || Box::new(messages::frame(&message))),
            How::Rest { anew } => {
                self.server(case, program, anew, || Box::new(Http(bytes())))
            }
            How::Reply => self.server(case, program, false, || {
                Box::new(Zmtp::new(zmtp::Kind::Req, bytes()))
            }),
            How::Chat => self.chat(case, program, bytes()),
            How::Mqtt { qos } => self.mqtt(case, program, bytes(), qos),
            How::Fanout => self.fanout(case, program, bytes()),
            How::Tasks { confirmed } => self.tasks(case, program, bytes(), confirmed),
            How::Subscribe => self.receiver(case, program, bytes(), zmtp::Kind::Pub),
            How::Pull => self.receiver(case, program, bytes(), zmtp::Kind::Push),
            How::Publish { .. } | How::Produce => {
                unreachable!("they end by themselves")
            }
        }
    }

    /// A server that listens, and where.
    fn listening(
        &self,
        case: &Case,
        program: &Program,
    ) -> Result<(Running, SockAddr, Type)> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let place = match case.transport.how {
            How::Reply => format!("tcp://{address}"),
            _ => address.to_string(),
        };
        let kind = match case.transport.how {
            How::Udp => Type::DGRAM,
            _ => Type::STREAM,
        };
        let arguments = [&[&*place], case.arguments()].concat();
        let mut program = program.start(&arguments, false, self.processors)?;
        program.wait_until_ready(&address.into(), kind)?;
        Ok((program, address.into(), kind))
    }

    /// Clients that ask, each waiting for its answer.
    fn server(
        &self,
        case: &Case,
        program: &Program,
        anew: bool,
        protocol: impl Fn() -> Box<dyn Protocol>,
    ) -> Result<Setting> {
        let (program, address, kind) = self.listening(case, program)?;
        let (mut load, empty_kib) =
            (Load::new()?, kernel::resident_kib(program.id())?);
        let most =
            if kind == Type::DGRAM { DATAGRAMS / case.bytes } else { usize::MAX };
        for _ in 0..case.clients.min(most) {
            load.add_client((&address, kind), protocol(), anew)?;
        }
        Ok(Setting { program, load, broker: None, empty_kib })
    }

    fn chat(
        &self,
        case: &Case,
        program: &Program,
        message: Vec<u8>,
    ) -> Result<Setting> {
        let (program, address, kind) = self.listening(case, program)?;
        let (mut load, empty_kib) =
            (Load::new()?, kernel::resident_kib(program.id())?);
        let client = || Box::new(WebSocket::new(message.clone()));
        let window = case.transport.window;
        load.add_publisher(connect(&address, kind)?, client(), window, false)?;
        for _ in 1..case.clients {
            load.add_subscriber(connect(&address, kind)?, client())?;
        }
        Ok(Setting { program, load, broker: None, empty_kib })
    }

    fn broker(&self, kind: Kind) -> Result<&Broker> {
        let found = self.brokers.iter().find(|(other, _)| *other == kind);
        let (_, broker) = found.context("the broker was not started")?;
        broker
            .as_ref()
            .map_err(|why| anyhow::anyhow!("{} is missing: {why}", kind.name()))
    }

    /// RabbitMQ's version, as it tells whoever connects.
    pub fn rabbitmq_version(&self) -> Result<String> {
        let mut socket = connect_to(self.broker(Kind::RabbitMq)?)?;
        socket.set_read_timeout(Some(CONNECT_TIMEOUT))?;
        socket.write_all(amqp::HEADER_OF_THE_PROTOCOL)?;
        let mut answer = [0; 4096];
        let length = socket.read(&mut answer)?;
        amqp::version(&answer[..length]).context("RabbitMQ tells no version")
    }

    /// A program that prints what arrives there, by way of a broker.
    fn by_broker(
        &self,
        case: &Case,
        program: &Program,
        arguments: &[&str],
        publisher: Box<dyn Protocol>,
        is_told: bool,
        (ready, tells): (&'static str, &str),
    ) -> Result<Setting> {
        let kind = case.transport.how.broker().context("it needs no broker")?;
        let broker = self.broker(kind)?;
        let url = broker.url();
        let arguments = [&["--broker", &url], arguments].concat();
        let mut program = program.start(&arguments, true, self.processors)?;
        let mut load = Load::new()?;
        load.add_publisher(
            connect_to(broker)?,
            publisher,
            case.transport.window,
            is_told,
        )?;
        load.add_lines(program.lines()?, ready, line_of(tells, case.bytes))?;
        let broker = Some(broker.process().context("the broker has ended")?);
        Ok(Setting { program, load, broker, empty_kib: 0.0 })
    }

    fn mqtt(
        &self,
        case: &Case,
        program: &Program,
        message: Vec<u8>,
        qos: u8,
    ) -> Result<Setting> {
        let publisher = Box::new(Mqtt::new(TOPIC, message, qos));
        let arguments = ["--topic", TOPIC, "--qos", &qos.to_string()];
        let lines = ("Subscribed to", &*format!("Topic: {TOPIC} | Message: "));
        self.by_broker(case, program, &arguments, publisher, qos > 0, lines)
    }

    fn fanout(
        &self,
        case: &Case,
        program: &Program,
        message: Vec<u8>,
    ) -> Result<Setting> {
        let publisher = Box::new(Amqp::new(EXCHANGE, KEY, message, false));
        let arguments = ["--exchange", EXCHANGE, "--kind", "fanout", "--bind", KEY];
        let lines = ("Bound", &*format!("Received {KEY} | "));
        self.by_broker(case, program, &arguments, publisher, false, lines)
    }

    /// Each with a queue of its own: what one worker leaves, another one would get.
    fn tasks(
        &mut self,
        case: &Case,
        program: &Program,
        message: Vec<u8>,
        confirmed: bool,
    ) -> Result<Setting> {
        let queue = self.name("tasks");
        let publisher = Box::new(Amqp::new("", &queue, message, confirmed));
        let arguments = ["--queue", &queue, "--work", "0"];
        let lines = ("Waiting for tasks", "Done: ");
        self.by_broker(case, program, &arguments, publisher, confirmed, lines)
    }

    /// A subscriber or a puller, which prints what the load sends it.
    fn receiver(
        &self,
        case: &Case,
        program: &Program,
        message: Vec<u8>,
        sender: zmtp::Kind,
    ) -> Result<Setting> {
        let listener = Socket::new(socket2::Domain::IPV4, Type::STREAM, None)?;
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        listener.listen(BACKLOG)?;
        listener.set_read_timeout(Some(CONNECT_TIMEOUT))?;
        let address = listener.local_addr()?.as_socket().context("no address")?;
        let endpoint = format!("tcp://{address}");
        let mut program = program.start(&[&endpoint], true, self.processors)?;
        let mut load = Load::new()?;
        let (peer, _) = listener.accept().context("the program does not connect")?;
        let sender = Box::new(Zmtp::new(sender, message));
        load.add_publisher(peer, sender, case.transport.window, false)?;
        let tells = line_of("Received: ", case.bytes);
        load.add_lines(program.lines()?, "Connected to", tells)?;
        Ok(Setting { program, load, broker: None, empty_kib: 0.0 })
    }

    fn name(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{what}-{}", self.names)
    }

    /// A program that sends to its end, which is when all is sent, or confirmed where
    /// the protocol confirms. What it takes to start and to connect does not count: one
    /// message alone tells that.
    fn send(
        &mut self,
        case: &Case,
        program: &Program,
        window: Duration,
    ) -> Result<Round> {
        let one = self.run(case, program, 1)?;
        let mut count = 500;
        loop {
            let all = self.run(case, program, count)?;
            let took = all.seconds - one.seconds;
            if took < window.as_secs_f64() && count < 1_000_000 {
                // So many more that they should take long enough.
                let more = 1.5 * window.as_secs_f64() / took.max(0.01);
                count = (count as f64 * more.clamp(1.5, 20.0)) as u64;
                continue;
            }
            ensure!(took > 0.0, "{count} messages took no time");
            let messages = (count - 1) as f64;
            let each = |all: f64, one: f64| {
                Some(three_digits((all - one).max(0.0) / messages))
            };
            return Ok(Round {
                per_second: Some(three_digits(messages / took)),
                cpu_us: each(all.cpu * 1e6, one.cpu * 1e6),
                broker_cpu_us: each(all.broker_cpu * 1e6, one.broker_cpu * 1e6),
                wire_bytes: each(all.bytes, one.bytes),
                ..Round::default()
            });
        }
    }

    fn run(&mut self, case: &Case, program: &Program, count: u64) -> Result<Sent> {
        let how = case.transport.how;
        let broker = self.broker(how.broker().context("it needs no broker")?)?;
        let process = broker.process().context("the broker has ended")?;
        let (url, count, message) =
            (broker.url(), count.to_string(), reading(case.bytes));
        let mut arguments = vec!["--broker", &url, "--count", &count];
        let queue = self.name("sent");
        let qos;
        if let How::Publish { qos: level } = how {
            qos = level.to_string();
            arguments.extend(["--interval", "0", "--qos", &qos]);
        } else {
            arguments.extend(["--queue", &queue, &message]);
        }
        let (start, cpu) = (Instant::now(), kernel::cpu_seconds_of_the_ended()?);
        let (broker_cpu, bytes) =
            (kernel::cpu_seconds(process)?, kernel::loopback_bytes()?);
        program.start(&arguments, false, self.processors)?.wait(SEND_TIMEOUT)?;
        Ok(Sent {
            seconds: start.elapsed().as_secs_f64(),
            cpu: kernel::cpu_seconds_of_the_ended()? - cpu,
            broker_cpu: kernel::cpu_seconds(process)? - broker_cpu,
            bytes: kernel::loopback_bytes()? - bytes,
        })
    }

    /// Clients of a broker of their own: one that has kept clients before has memory
    /// left of them.
    fn idle_at_broker(&self, case: &Case) -> Result<Round> {
        let kind = case.transport.how.broker().context("it needs no broker")?;
        // It says why, when there is none.
        self.broker(kind)?;
        let broker = self.new_broker(kind)?;
        let process = broker.process().context("the broker has ended")?;
        let empty = kernel::resident_kib(process)?;
        let mut load = Load::new()?;
        for _ in 0..case.clients {
            let client: Box<dyn Protocol> = match kind {
                Kind::Mosquitto => Box::new(Mqtt::new(TOPIC, Vec::new(), 0)),
                Kind::RabbitMq => Box::new(Amqp::new("", KEY, Vec::new(), false)),
            };
            load.add_publisher(connect_to(&broker)?, client, 1, false)?;
        }
        load.settle()?;
        let resident_kib = Some(kernel::resident_kib(process)?);
        Ok(Round { empty_kib: Some(empty), resident_kib, ..Round::default() })
    }
}

/// What sending took.
struct Sent {
    seconds: f64,
    cpu: f64,
    broker_cpu: f64,
    bytes: f64,
}

fn connect_to(broker: &Broker) -> Result<Socket> {
    let url = broker.url();
    let (_, address) = url.split_once("://").context("no address")?;
    let address: SocketAddr = address.parse()?;
    connect(&address.into(), Type::STREAM)
}

/// How a line begins that tells of a message.
fn line_of(prefix: &str, bytes: usize) -> Vec<u8> {
    [prefix.as_bytes(), &reading(bytes).as_bytes()[..SHOWN]].concat()
}

impl Case {
    /// What its program is told besides where to listen.
    fn arguments(&self) -> &'static [&'static str] {
        match self.side {
            crate::report::Side::Limit => &[],
            _ => self.transport.arguments,
        }
    }
}

impl Setting {
    fn figures(&mut self, case: &Case, plan: &Plan) -> Result<Round> {
        let window = Duration::from_millis(plan.window_ms);
        let mut round = Round::default();
        self.load.settle()?;
        self.load.at_full_speed(window / 4)?;
        self.load.drain()?;
        if case.part == Part::Reading {
            let before = kernel::loopback_bytes()?;
            let delays = self.load.at_rate(plan.rate, window)?;
            let bytes = kernel::loopback_bytes()? - before;
            round.set_delays(&delays)?;
            round.wire_bytes = Some(three_digits(bytes / delays.len() as f64));
        }
        let before = self.cpu_seconds()?;
        let (delays, elapsed) = self.load.at_full_speed(window)?;
        let after = self.cpu_seconds()?;
        if case.part != Part::Reading {
            round.set_delays(&delays)?;
        }
        // In the chat each delivery counts.
        let listeners =
            if case.transport.how == How::Chat { case.clients - 1 } else { 1 };
        let messages = delays.len() as f64 * listeners as f64;
        ensure!(messages > 0.0, "not one message in {elapsed:?}");
        round.per_second = Some(three_digits(messages / elapsed.as_secs_f64()));
        let each =
            |part: usize| three_digits((after[part] - before[part]) / messages * 1e6);
        round.cpu_us = Some(each(0));
        round.broker_cpu_us = self.broker.map(|_| each(1));
        round.load_cpu_us = Some(each(2));
        round.resident_kib = Some(kernel::resident_kib(self.program.id())?);
        self.load.drain()?;
        Ok(round)
    }

    /// The memory of the program before and after its clients came and, but for the
    /// chat, where each would be heard by all, have asked once.
    fn idle(&mut self, case: &Case) -> Result<Round> {
        self.load.settle()?;
        if case.transport.how != How::Chat {
            self.load.once_each()?;
        }
        let resident_kib = Some(kernel::resident_kib(self.program.id())?);
        Ok(Round {
            empty_kib: Some(self.empty_kib),
            resident_kib,
            ..Round::default()
        })
    }

    /// The processor time of the program, of the broker, and of the load.
    fn cpu_seconds(&self) -> Result<[f64; 3]> {
        let broker = self.broker.map_or(Ok(0.0), kernel::cpu_seconds)?;
        let load = kernel::cpu_seconds(process::id())?;
        Ok([kernel::cpu_seconds(self.program.id())?, broker, load])
    }
}

impl Round {
    fn set_delays(&mut self, delays: &Delays) -> Result<()> {
        ensure!(!delays.is_empty(), "not one message arrived");
        self.p50_us = Some(delays.value_at_quantile(0.5) as f64);
        self.p99_us = Some(delays.value_at_quantile(0.99) as f64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_an_item_as_json_of_the_size_that_is_asked_for() {
        for bytes in [64, 1024, 65_536] {
            let reading = reading(bytes);
            assert_eq!(reading.len(), bytes);
            let item: serde_json::Value = serde_json::from_str(&reading).unwrap();
            assert_eq!(item["price"], 21.53);
        }
    }
}
