//! One measurement: a program and its load are started, measured, and ended.

use std::net::{Ipv4Addr, SocketAddr};
use std::process;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use brokers::{Broker, Kind, free_port};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::kernel::{self, Processors};
use crate::load::{Delays, Load, connect};
use crate::program::{Program, Running};
use crate::protocol::{Protocol, amqp::Amqp, echo::Echo, http::Http};
use crate::protocol::{
    lines::Lines, messages, mqtt::Mqtt, websocket::WebSocket, zmtp, zmtp::Zmtp,
};
use crate::report::{Part, Plan, Round, Side, What};
use crate::rows::{Case, How};

const TOPIC: &str = "myhome/livingroom/temperature";
const EXCHANGE: &str = "scoreboard";
const KEY: &str = "reading";
/// How much of a message a line has to show that tells of it.
const SHOWN: usize = 16;
/// How long a program may take to connect, and one that sends to its end.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
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
    pub fn start(kinds: impl IntoIterator<Item = Kind>) -> Result<Bench> {
        let processors = kernel::two_cores()?;
        let mut bench = Bench { processors, brokers: Vec::new(), names: 0 };
        for kind in kinds {
            let broker = bench.new_broker(kind).map_err(|why| format!("{why:#}"));
            bench.brokers.push((kind, broker));
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
        it: &Program,
        plan: &Plan,
    ) -> Result<Round> {
        match case.transport.how {
            _ if case.is_idle_at_broker() => self.idle_at_broker(case),
            How::Publish | How::Produce => self.send(case, it, plan),
            _ => self.under_load(case, it, plan),
        }
    }

    fn under_load(
        &mut self,
        case: &Case,
        it: &Program,
        plan: &Plan,
    ) -> Result<Round> {
        let mut it = self.set_up(case, it).context("cannot start")?;
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

    fn set_up(&mut self, case: &Case, it: &Program) -> Result<Setting> {
        let message = reading(case.bytes);
        let bytes = || message.clone().into_bytes();
        let server = |protocol: &dyn Fn() -> Box<dyn Protocol>| {
            self.server(case, it, protocol)
        };
        match case.transport.how {
            How::Tcp | How::Udp => server(&|| Box::new(Echo(bytes()))),
            How::Lines => server(&|| Box::new(messages::line(&message))),
            How::Frames => server(&|| Box::new(messages::frame(&message))),
            How::Rest => server(&|| Box::new(Http(bytes()))),
            How::Reply => server(&|| Box::new(Zmtp::new(zmtp::Kind::Req, bytes()))),
            How::Chat => self.chat(case, it, bytes()),
            How::Mqtt => self.mqtt(case, it, bytes()),
            How::Fanout => self.fanout(case, it, bytes()),
            How::Tasks => self.tasks(case, it, bytes()),
            How::Subscribe => self.receiver(case, it, bytes(), zmtp::Kind::Pub),
            How::Pull => self.receiver(case, it, bytes(), zmtp::Kind::Push),
            How::Publish | How::Produce => bail!("it sends until it ends"),
        }
    }

    /// A server that listens, where, and its memory.
    fn listening(
        &self,
        case: &Case,
        it: &Program,
    ) -> Result<(Setting, SockAddr, Type)> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let place = match case.transport.how {
            How::Reply => format!("tcp://{address}"),
            _ => address.to_string(),
        };
        let mut arguments = vec![&*place];
        if case.side != Side::Limit {
            arguments.extend(case.transport.arguments.iter().map(String::as_str));
        }
        let is_udp = case.transport.how == How::Udp;
        let kind = if is_udp { Type::DGRAM } else { Type::STREAM };
        let mut program = it.start(&arguments, false, self.processors)?;
        program.wait_until_ready(&address.into(), kind)?;
        let empty_kib = kernel::resident_kib(program.id())?;
        let setting =
            Setting { program, load: Load::new()?, broker: None, empty_kib };
        Ok((setting, address.into(), kind))
    }

    /// Clients that ask, each waiting for its answer.
    fn server(
        &self,
        case: &Case,
        it: &Program,
        protocol: &dyn Fn() -> Box<dyn Protocol>,
    ) -> Result<Setting> {
        let (mut setting, address, kind) = self.listening(case, it)?;
        let most =
            if kind == Type::DGRAM { DATAGRAMS / case.bytes } else { usize::MAX };
        for _ in 0..case.clients.min(most) {
            let anew = case.transport.anew;
            setting.load.add_client((&address, kind), protocol(), anew)?;
        }
        Ok(setting)
    }

    fn chat(&self, case: &Case, it: &Program, message: Vec<u8>) -> Result<Setting> {
        let (mut setting, address, kind) = self.listening(case, it)?;
        let client = || Box::new(WebSocket::new(message.clone()));
        let speaker = connect(&address, kind)?;
        setting.load.add_publisher(
            speaker,
            client(),
            case.transport.window,
            false,
        )?;
        for _ in 1..case.clients {
            setting.load.add_subscriber(connect(&address, kind)?, client())?;
        }
        Ok(setting)
    }

    /// The broker of a case, and its process.
    fn broker(&self, case: &Case) -> Result<(&Broker, u32)> {
        let kind = case.transport.broker().context("it needs no broker")?;
        let found = self.brokers.iter().find(|(other, _)| *other == kind);
        let broker = found.context("its broker was not started")?.1.as_ref();
        let broker = broker.map_err(|why| anyhow!("no {}: {why}", kind.name()))?;
        Ok((broker, broker.process().context("the broker has ended")?))
    }

    /// A program that prints what arrives there, by way of a broker.
    fn by_broker(
        &self,
        case: &Case,
        it: &Program,
        arguments: &[&str],
        publisher: Box<dyn Protocol>,
        is_told: bool,
        (ready, tells): (&'static str, &str),
    ) -> Result<Setting> {
        let (broker, process) = self.broker(case)?;
        let url = broker.url();
        let arguments = [&["--broker", &url], arguments].concat();
        let mut program = it.start(&arguments, true, self.processors)?;
        let mut load = Load::new()?;
        let window = case.transport.window;
        load.add_publisher(connect_to(broker)?, publisher, window, is_told)?;
        let lines = Lines { ready: Some(ready), tells: line_of(tells, case.bytes) };
        load.add_subscriber(program.lines()?, Box::new(lines))?;
        Ok(Setting { program, load, broker: Some(process), empty_kib: 0.0 })
    }

    fn mqtt(&self, case: &Case, it: &Program, message: Vec<u8>) -> Result<Setting> {
        let qos = case.transport.qos;
        let publisher = Box::new(Mqtt::new(TOPIC, message, qos));
        let arguments = ["--topic", TOPIC, "--qos", &qos.to_string()];
        let lines = ("Subscribed to", &*format!("Topic: {TOPIC} | Message: "));
        self.by_broker(case, it, &arguments, publisher, qos > 0, lines)
    }

    fn fanout(&self, case: &Case, it: &Program, message: Vec<u8>) -> Result<Setting> {
        let publisher = Box::new(Amqp::new(EXCHANGE, KEY, message, false));
        let arguments = ["--exchange", EXCHANGE, "--kind", "fanout", "--bind", KEY];
        let lines = ("Bound", &*format!("Received {KEY} | "));
        self.by_broker(case, it, &arguments, publisher, false, lines)
    }

    /// Each with a queue of its own: what one worker leaves, another one would get.
    fn tasks(
        &mut self,
        case: &Case,
        it: &Program,
        message: Vec<u8>,
    ) -> Result<Setting> {
        let (queue, confirmed) = (self.queue(), case.transport.confirmed);
        let publisher = Box::new(Amqp::new("", &queue, message, confirmed));
        let arguments = ["--queue", &queue, "--work", "0"];
        let lines = ("Waiting for tasks", "Done: ");
        self.by_broker(case, it, &arguments, publisher, confirmed, lines)
    }

    /// A subscriber or a puller, which prints what the load sends it.
    fn receiver(
        &self,
        case: &Case,
        it: &Program,
        message: Vec<u8>,
        sender: zmtp::Kind,
    ) -> Result<Setting> {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        listener.listen(1)?;
        listener.set_read_timeout(Some(CONNECT_TIMEOUT))?;
        let address = listener.local_addr()?.as_socket().context("no address")?;
        let endpoint = format!("tcp://{address}");
        let mut program = it.start(&[&endpoint], true, self.processors)?;
        let mut load = Load::new()?;
        let (peer, _) = listener.accept().context("the program does not connect")?;
        peer.set_tcp_nodelay(true)?;
        let sender = Box::new(Zmtp::new(sender, message));
        load.add_publisher(peer, sender, case.transport.window, false)?;
        let (ready, tells) = ("Connected to", line_of("Received: ", case.bytes));
        let lines = Lines { ready: Some(ready), tells };
        load.add_subscriber(program.lines()?, Box::new(lines))?;
        Ok(Setting { program, load, broker: None, empty_kib: 0.0 })
    }

    fn queue(&mut self) -> String {
        self.names += 1;
        format!("scoreboard-{}", self.names)
    }

    /// A program that sends to its end, which is when all is sent, or confirmed where
    /// the protocol confirms. What it takes to start and to connect does not count: one
    /// message alone tells that.
    fn send(&mut self, case: &Case, it: &Program, plan: &Plan) -> Result<Round> {
        let [seconds, cpu, broker_cpu, bytes] = self.run(case, it, 1)?;
        let (window, mut count) = (plan.window_ms as f64 / 1000.0, 500.0);
        loop {
            let all = self.run(case, it, count as u64)?;
            let took = all[0] - seconds;
            if took < window && count < 1e6 {
                // So many more that they should take long enough.
                count *= (1.5 * window / took.max(0.01)).clamp(1.5, 20.0);
                continue;
            }
            ensure!(took > 0.0, "{count} messages took no time");
            let messages = count - 1.0;
            let mut round = Round::from([
                (What::PerSecond, messages / took),
                (What::CpuUs, (all[1] - cpu) / messages * 1e6),
                (What::BrokerCpuUs, (all[2] - broker_cpu) / messages * 1e6),
                (What::WireBytes, (all[3] - bytes) / messages),
            ]);
            // So few messages are no measure of what takes less than starting does.
            round.retain(|_, figure| *figure > 0.0);
            return Ok(round);
        }
    }

    /// Sends so many. What that took: seconds, processor time, the broker's, and bytes.
    fn run(&mut self, case: &Case, it: &Program, count: u64) -> Result<[f64; 4]> {
        let queue = self.queue();
        let (broker, process) = self.broker(case)?;
        let (url, message) = (broker.url(), reading(case.bytes));
        let (count, qos) = (count.to_string(), case.transport.qos.to_string());
        let mut arguments = vec!["--broker", &url, "--count", &count];
        match case.transport.how {
            How::Publish => arguments.extend(["--interval", "0", "--qos", &qos]),
            _ => arguments.extend(["--queue", &queue, &message]),
        }
        let start = Instant::now();
        let now = || -> Result<[f64; 4]> {
            let seconds = start.elapsed().as_secs_f64();
            let cpu = kernel::cpu_seconds_of_the_ended()?;
            Ok([
                seconds,
                cpu,
                kernel::cpu_seconds(process)?,
                kernel::loopback_bytes()?,
            ])
        };
        let before = now()?;
        it.start(&arguments, false, self.processors)?.wait(SEND_TIMEOUT)?;
        let after = now()?;
        Ok([0, 1, 2, 3].map(|part| after[part] - before[part]))
    }

    /// Clients of a new broker: one that has kept clients before has memory left.
    fn idle_at_broker(&self, case: &Case) -> Result<Round> {
        let kind = self.broker(case)?.0.kind();
        let broker = self.new_broker(kind)?;
        let process = broker.process().context("the broker has ended")?;
        let (mut load, empty_kib) = (Load::new()?, kernel::resident_kib(process)?);
        for _ in 0..case.clients {
            let client: Box<dyn Protocol> = match kind {
                Kind::Mosquitto => Box::new(Mqtt::new(TOPIC, Vec::new(), 0)),
                Kind::RabbitMq => Box::new(Amqp::new("", KEY, Vec::new(), false)),
            };
            load.add_publisher(connect_to(&broker)?, client, 1, false)?;
        }
        load.settle()?;
        per_client(case, kernel::resident_kib(process)? - empty_kib)
    }
}

fn per_client(case: &Case, kib: f64) -> Result<Round> {
    Ok(Round::from([(What::ClientKib, kib.max(0.0) / case.clients as f64)]))
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

impl Setting {
    fn figures(&mut self, case: &Case, plan: &Plan) -> Result<Round> {
        let (window, mut round) =
            (Duration::from_millis(plan.window_ms), Round::new());
        self.load.settle()?;
        self.load.at_full_speed(window / 4)?;
        self.load.drain()?;
        if case.part == Part::Reading {
            let before = kernel::loopback_bytes()?;
            let delays = self.load.at_rate(plan.rate, window)?;
            let bytes = kernel::loopback_bytes()? - before;
            add_delays(&mut round, &delays)?;
            round.insert(What::WireBytes, bytes / delays.len() as f64);
        }
        let before = self.cpu_seconds()?;
        let (delays, elapsed) = self.load.at_full_speed(window)?;
        let after = self.cpu_seconds()?;
        if case.part != Part::Reading {
            add_delays(&mut round, &delays)?;
        }
        // In the chat each delivery counts.
        let listeners =
            if case.transport.how == How::Chat { case.clients - 1 } else { 1 };
        let messages = delays.len() as f64 * listeners as f64;
        round.insert(What::PerSecond, messages / elapsed.as_secs_f64());
        let parts = [What::CpuUs, What::LoadCpuUs, What::BrokerCpuUs];
        let measured = if self.broker.is_some() { 3 } else { 2 };
        for (part, what) in parts.into_iter().enumerate().take(measured) {
            round.insert(what, (after[part] - before[part]) / messages * 1e6);
        }
        self.load.drain()?;
        Ok(round)
    }

    /// The memory that clients take which have come and, but for the chat, where each
    /// would be heard by all, have asked once.
    fn idle(&mut self, case: &Case) -> Result<Round> {
        self.load.settle()?;
        if case.transport.how != How::Chat {
            self.load.once_each()?;
        }
        per_client(case, kernel::resident_kib(self.program.id())? - self.empty_kib)
    }

    /// The processor time of the program, of the load, and of the broker.
    fn cpu_seconds(&self) -> Result<[f64; 3]> {
        let broker = self.broker.map_or(Ok(0.0), kernel::cpu_seconds)?;
        let load = kernel::cpu_seconds(process::id())?;
        Ok([kernel::cpu_seconds(self.program.id())?, load, broker])
    }
}

fn add_delays(round: &mut Round, delays: &Delays) -> Result<()> {
    ensure!(!delays.is_empty(), "not one message arrived");
    round.insert(What::P50Us, delays.value_at_quantile(0.5) as f64);
    round.insert(What::P99Us, delays.value_at_quantile(0.99) as f64);
    Ok(())
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
