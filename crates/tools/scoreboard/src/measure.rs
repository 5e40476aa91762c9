//! One measurement: starts a program and its load, measures them, and ends them.

use std::net::{Ipv4Addr, SocketAddr};
use std::process;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use brokers::{Broker, Kind, free_port};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::kernel;
use crate::load::{Delays, Load, connect};
use crate::program::{Program, Running};
use crate::protocol::{Amqp, Fixed, Http, Lines, Mqtt, Protocol, WebSocket, Zmtp};
use crate::report::{Part, Plan, Round, What};
use crate::rows::{Case, How};

/// How many bytes of the message a printed line must show.
const SHOWN: usize = 16;
/// How long a program may take to connect, and how long a sender may run.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// The placeholders in the arguments of a program, and their values.
type Names<'a> = &'a [(&'a str, &'a str)];

/// What all measurements share.
pub struct Bench {
    pub plan: Plan,
    /// The brokers that run, or why they do not.
    brokers: Vec<(Kind, Result<Broker, String>)>,
    /// How many queue names were given out: each name is used once.
    names: usize,
}

/// A program with its load, ready to be measured.
struct Setting {
    program: Running,
    load: Load,
    /// The broker's process, if there is one between them.
    broker: Option<u32>,
    /// The program's memory before clients connected.
    empty_kib: f64,
}

/// A temperature as JSON of this size. It is also a valid item of the REST API, so that
/// all transports can carry the same message.
pub fn reading(bytes: usize) -> String {
    let (head, tail) =
        (r#"{"name":"myhome/livingroom/temperature"#, r#"","price":21.53}"#);
    let filler = ".".repeat(bytes.saturating_sub(head.len() + tail.len()));
    [head, &filler, tail].concat()
}

/// The load's side of a conversation.
fn protocol(case: &Case, queue: &str) -> Box<dyn Protocol> {
    let (reading, it) = (reading(case.bytes), case.transport);
    match it.how {
        How::Tcp | How::Udp => Box::new(Fixed::echo(&reading)),
        How::Lines => Box::new(Fixed::line(&reading)),
        How::Frames => Box::new(Fixed::frame(&reading)),
        How::Rest => Box::new(Http(reading.into())),
        How::Chat => Box::new(WebSocket::new(&reading)),
        How::Mqtt | How::Publish => {
            Box::new(Mqtt::new("myhome/livingroom/temperature", &reading, it.qos))
        }
        How::Fanout => Box::new(Amqp::new("scoreboard", "reading", &reading, false)),
        How::Tasks | How::Produce => {
            Box::new(Amqp::new("", queue, &reading, it.confirmed))
        }
        How::Reply => Box::new(Zmtp::new("REQ", &reading)),
        How::Subscribe => Box::new(Zmtp::new("PUB", &reading)),
        How::Pull => Box::new(Zmtp::new("PUSH", &reading)),
    }
}

impl Bench {
    /// Starts the brokers of these kinds, on the server's processor.
    pub fn start(
        kinds: impl IntoIterator<Item = Kind>,
        mut plan: Plan,
    ) -> Result<Bench> {
        plan.processors = kernel::two_cores()?;
        let mut bench = Bench { plan, brokers: Vec::new(), names: 0 };
        for kind in kinds {
            let broker = bench.new_broker(kind).map_err(|why| format!("{why:#}"));
            bench.brokers.push((kind, broker));
        }
        Ok(bench)
    }

    fn new_broker(&self, kind: Kind) -> Result<Broker> {
        kernel::on_server_processor(self.plan.processors, || Broker::start(kind))
    }

    /// Measures once.
    pub fn measure(&mut self, case: &Case, it: &Program) -> Result<Round> {
        let mut setting = match case.transport.how {
            _ if case.is_idle_at_broker() => return self.idle_at_broker(case),
            How::Publish | How::Produce => return self.send(case, it),
            How::Mqtt | How::Fanout | How::Tasks => self.receiver(case, it),
            How::Subscribe | How::Pull => self.receiver(case, it),
            _ => self.server(case, it),
        }
        .context("cannot start")?;
        let measured = match case.part {
            Part::Idle => setting.idle(case),
            _ => setting.figures(case, &self.plan),
        };
        let complaints = setting.program.complaints();
        // The program ends first: it would report each client that disconnects.
        drop(setting.program);
        measured.with_context(|| match &*complaints {
            "" => "cannot measure".to_string(),
            complaints => format!("cannot measure; it says: {complaints}"),
        })
    }

    /// Starts a program with the arguments of its row.
    fn start_it(&self, case: &Case, it: &Program, names: Names) -> Result<Running> {
        let put = |text: String, (name, value): &(&str, &str)| {
            text.replace(&format!("{{{name}}}"), value)
        };
        let fill = |argument: &String| names.iter().fold(argument.clone(), put);
        let arguments: Vec<String> =
            case.transport.arguments.iter().map(fill).collect();
        it.start(
            &arguments,
            !case.transport.message_line.is_empty(),
            self.plan.processors,
        )
    }

    /// A server, and clients that each wait for their reply; in the chat one client
    /// speaks and the others listen.
    fn server(&self, case: &Case, it: &Program) -> Result<Setting> {
        let row = case.transport;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut program =
            self.start_it(case, it, &[("address", &address.to_string())])?;
        let is_udp = row.how == How::Udp;
        let kind = if is_udp { Type::DGRAM } else { Type::STREAM };
        let address = SockAddr::from(address);
        program.wait_until_ready(&address, kind)?;
        let empty_kib = kernel::resident_kib(program.id())?;
        let (mut load, socket) = (Load::new()?, || connect(&address, kind));
        for number in 0..case.clients {
            let client = protocol(case, "");
            match (row.how, number) {
                (How::Chat, 0) => {
                    load.add_publisher(socket()?, client, row.window, false)
                }
                (How::Chat, _) => load.add_subscriber(socket()?, client),
                _ => load.add_client((&address, kind), client, row.anew),
            }?;
        }
        Ok(Setting { program, load, broker: None, empty_kib })
    }

    /// A program that prints what it receives, through a broker or, when it connects to
    /// the load, from there. With a new queue it gets nothing that an earlier one left.
    fn receiver(&mut self, case: &Case, it: &Program) -> Result<Setting> {
        let queue = self.queue();
        let broker =
            case.transport.broker().map(|_| self.broker(case)).transpose()?;
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        listener.listen(1)?;
        listener.set_read_timeout(Some(CONNECT_TIMEOUT))?;
        let address = listener.local_addr()?.as_socket().context("no address")?;
        let url = broker.map_or(String::new(), |(broker, _)| broker.url());
        let names =
            [("broker", &*url), ("queue", &queue), ("address", &address.to_string())];
        let mut program = self.start_it(case, it, &names)?;
        let peer = match broker {
            Some((broker, _)) => connect_to(broker)?,
            None => listener.accept().context("the program does not connect")?.0,
        };
        peer.set_tcp_nodelay(true)?;
        let (mut load, it) = (Load::new()?, case.transport);
        // Whether the broker acknowledges to the publisher.
        let is_told = it.qos > 0 || it.confirmed;
        load.add_publisher(peer, protocol(case, &queue), it.window, is_told)?;
        let tells = it.message_line.clone() + &reading(case.bytes)[..SHOWN];
        let lines = Lines { ready: Some(&it.ready_line), tells: tells.into() };
        load.add_subscriber(program.lines()?, Box::new(lines))?;
        let broker = broker.map(|(_, process)| process);
        Ok(Setting { program, load, broker, empty_kib: 0.0 })
    }

    /// The broker of a case, and its process.
    fn broker(&self, case: &Case) -> Result<(&Broker, u32)> {
        let kind = case.transport.broker().context("it needs no broker")?;
        let found = self.brokers.iter().find(|(other, _)| *other == kind);
        let broker = found.context("its broker was not started")?.1.as_ref();
        let broker = broker.map_err(|why| anyhow!("no {}: {why}", kind.name()))?;
        Ok((broker, broker.process().context("the broker has ended")?))
    }

    fn queue(&mut self) -> String {
        self.names += 1;
        format!("scoreboard-{}", self.names)
    }

    /// A program that ends when all messages are sent, or confirmed if the protocol has
    /// confirms. Starting and connecting do not count: a run with one message measures
    /// them, and is subtracted.
    fn send(&mut self, case: &Case, it: &Program) -> Result<Round> {
        let alone = self.run(case, it, 1)?;
        let (window, mut count) = (self.plan.window_ms as f64 / 1000.0, 500.0);
        loop {
            let all = self.run(case, it, count as u64)?;
            let [took, cpu, broker_cpu, bytes] =
                [0, 1, 2, 3].map(|n| all[n] - alone[n]);
            if took < window && count < 1e6 {
                // Enough messages to last for the window.
                count *= (1.5 * window / took.max(0.01)).clamp(1.5, 20.0);
                continue;
            }
            ensure!(took > 0.0, "{count} messages took no time");
            let messages = count - 1.0;
            let mut round = Round::from([
                (What::PerSecond, messages / took),
                (What::CpuUs, cpu / messages * 1e6),
                (What::BrokerCpuUs, broker_cpu / messages * 1e6),
                (What::WireBytes, bytes / messages),
            ]);
            // A cost below the noise of starting can come out negative: no figure.
            round.retain(|_, figure| *figure > 0.0);
            return Ok(round);
        }
    }

    /// Sends `count` messages; returns seconds, processor time, the broker's, and bytes.
    fn run(&mut self, case: &Case, it: &Program, count: u64) -> Result<[f64; 4]> {
        let queue = self.queue();
        let (broker, process) = self.broker(case)?;
        let (url, count, reading) =
            (broker.url(), count.to_string(), reading(case.bytes));
        let names = [
            ("broker", &*url),
            ("queue", &queue),
            ("count", &count),
            ("reading", &reading),
        ];
        let start = Instant::now();
        let now = || -> Result<[f64; 4]> {
            let seconds = start.elapsed().as_secs_f64();
            let (cpu, bytes) =
                (kernel::cpu_seconds_of_the_ended()?, kernel::loopback_bytes()?);
            Ok([seconds, cpu, kernel::cpu_seconds(process)?, bytes])
        };
        let before = now()?;
        self.start_it(case, it, &names)?.wait(SEND_TIMEOUT)?;
        let after = now()?;
        Ok([0, 1, 2, 3].map(|part| after[part] - before[part]))
    }

    /// Idle clients of a new broker: a used one has free memory left for them.
    fn idle_at_broker(&self, case: &Case) -> Result<Round> {
        let broker = self.new_broker(self.broker(case)?.0.kind())?;
        let process = broker.process().context("the broker has ended")?;
        let (mut load, empty_kib) = (Load::new()?, kernel::resident_kib(process)?);
        for _ in 0..case.clients {
            load.add_publisher(connect_to(&broker)?, protocol(case, ""), 1, false)?;
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

impl Setting {
    fn figures(&mut self, case: &Case, plan: &Plan) -> Result<Round> {
        let window = Duration::from_millis(plan.window_ms);
        let mut round = Round::new();
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

    /// The memory of connected clients. Each has sent one request, except in the chat,
    /// where all clients would receive it.
    fn idle(&mut self, case: &Case) -> Result<Round> {
        self.load.settle()?;
        if case.transport.how != How::Chat {
            self.load.at_full_speed(Duration::ZERO)?;
            self.load.drain()?;
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
