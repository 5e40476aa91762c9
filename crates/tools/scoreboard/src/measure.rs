//! One measurement: a program and its load are started, measured, and ended.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::{process, time::Duration};

use anyhow::{Context, Result, ensure};
use brokers::{Broker, Kind, free_port};
use socket2::{SockAddr, Socket, Type};
use tempfile::TempDir;

use crate::cases::{Case, How, Link, UNDER_WAY};
use crate::kernel::{self, Processors};
use crate::load::{Delays, Load, connect};
use crate::program::Running;
use crate::protocol::{Protocol, amqp, amqp::Amqp, echo::Echo, http::Http};
use crate::protocol::{mqtt::Mqtt, websocket::WebSocket, zmtp};
use crate::report::{Part, Plan, Row};

const TOPIC: &str = "myhome/livingroom/temperature";
const EXCHANGE: &str = "scoreboard";
const KEY: &str = "reading";
/// How much of a message a line has to show that tells of it.
const SHOWN: usize = 16;
/// How long a program may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const BACKLOG: i32 = 16;

/// What all measurements share.
pub struct Bench {
    pub plan: Plan,
    pub processors: Option<Processors>,
    pub brokers: Vec<Broker>,
    /// For the files of IPC endpoints.
    pub folder: TempDir,
    /// How many queues and files were named: no name comes twice.
    pub names: usize,
}

/// A program with its load, ready to be measured.
struct Setting {
    program: Running,
    load: Load,
    /// The broker's process, if there is one between them.
    broker: Option<u32>,
}

/// A temperature as JSON, in so many bytes: an item of the REST API, which no other
/// transport minds.
pub fn reading(bytes: usize) -> Vec<u8> {
    let (head, tail) =
        (r#"{"name":"myhome/livingroom/temperature"#, r#"","price":21.53}"#);
    let filler = ".".repeat(bytes.saturating_sub(head.len() + tail.len()));
    [head, &filler, tail].concat().into_bytes()
}

impl Bench {
    /// Measures once, and adds the figures to the row.
    pub fn measure(&mut self, case: &Case, row: &mut Row) -> Result<()> {
        let name = row.name();
        let setting = self.set_up(case);
        let mut setting = setting.with_context(|| format!("cannot start {name}"))?;
        let measured = self.figures(case, row, &mut setting);
        let complaints = setting.program.complaints();
        // The program first: of its clients' end it would have much to say.
        drop(setting.program);
        measured
            .with_context(|| format!("cannot measure {name}; it says:\n{complaints}"))
    }

    fn figures(&self, case: &Case, row: &mut Row, it: &mut Setting) -> Result<()> {
        let window = Duration::from_millis(self.plan.window_ms);
        it.load.settle()?;
        it.load.at_full_speed(window / 4)?;
        it.load.drain()?;
        if case.part == Part::Transports {
            let before = kernel::loopback_bytes()?;
            let delays = it.load.at_rate(self.plan.rate, window)?;
            let bytes = kernel::loopback_bytes()? - before;
            row.add_delays(&delays)?;
            row.wire_bytes.push(bytes / delays.len() as f64);
        }
        let before = it.cpu_seconds()?;
        let (delays, elapsed) = it.load.at_full_speed(window)?;
        let after = it.cpu_seconds()?;
        if case.part != Part::Transports {
            row.add_delays(&delays)?;
        }
        let listeners = if case.how == How::Chat { case.clients - 1 } else { 1 };
        let messages = delays.len() as f64 * listeners as f64;
        ensure!(messages > 0.0, "not one message in {elapsed:?}");
        row.per_second.push(messages / elapsed.as_secs_f64());
        let cpu = [0, 1, 2].map(|i| (after[i] - before[i]) / messages * 1e6);
        row.cpu_us.push(cpu[0]);
        row.load_cpu_us.push(cpu[2]);
        row.resident_kib.push(it.program.resident_kib()?);
        if let Some(broker) = it.broker {
            row.broker_cpu_us.push(cpu[1]);
            row.broker_resident_kib.push(kernel::resident_kib(broker)?);
        }
        it.load.drain()
    }

    fn set_up(&mut self, case: &Case) -> Result<Setting> {
        let message = reading(case.bytes);
        match case.how {
            How::Tcp | How::TcpVisits | How::Udp => {
                self.server(case, || Box::new(Echo(message.clone())))
            }
            How::Rest | How::RestAnew => {
                self.server(case, || Box::new(Http(message.clone())))
            }
            How::Chat => self.chat(case, &message),
            How::Mqtt(qos) => self.mqtt(case, message, qos),
            How::Fanout => self.fanout(case, message),
            How::Tasks { confirmed } => self.tasks(case, message, confirmed),
            How::Replier(link) => self.replier(case, message, link),
            How::Subscriber(link) => {
                self.receiver(case, message, link, zmtp::Kind::Pub)
            }
            How::Puller(link) => self.receiver(case, message, link, zmtp::Kind::Push),
        }
    }

    fn run(&self, case: &Case, arguments: &[&str], lines: bool) -> Result<Running> {
        let arguments: Vec<_> =
            arguments.iter().map(|text| text.to_string()).collect();
        case.program.start(&arguments, lines, self.processors)
    }

    /// A server that listens; returns where as well.
    fn listening(&self, case: &Case) -> Result<(Running, SockAddr, Type)> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let text = address.to_string();
        let mut arguments = vec![&*text];
        arguments.extend(case.arguments());
        let mut program = self.run(case, &arguments, false)?;
        let kind = if case.how == How::Udp { Type::DGRAM } else { Type::STREAM };
        program.wait_until_ready(&address.into(), kind)?;
        Ok((program, address.into(), kind))
    }

    /// Clients that ask, each waiting for its answer.
    fn server(
        &self,
        case: &Case,
        protocol: impl Fn() -> Box<dyn Protocol>,
    ) -> Result<Setting> {
        let (program, address, kind) = self.listening(case)?;
        let mut load = Load::new()?;
        let is_anew = matches!(case.how, How::TcpVisits | How::RestAnew);
        // Who comes in turn is never there together with another one.
        let clients = if case.how == How::TcpVisits { 1 } else { case.clients };
        for _ in 0..clients {
            load.add_client((&address, kind), protocol(), is_anew)?;
        }
        Ok(Setting { program, load, broker: None })
    }

    fn chat(&self, case: &Case, message: &[u8]) -> Result<Setting> {
        let (program, address, kind) = self.listening(case)?;
        let mut load = Load::new()?;
        let client = || Box::new(WebSocket::new(message.to_vec()));
        load.add_publisher(connect(&address, kind)?, client(), UNDER_WAY, false)?;
        for _ in 1..case.clients {
            load.add_subscriber(connect(&address, kind)?, client())?;
        }
        Ok(Setting { program, load, broker: None })
    }

    /// The broker of a kind: its URL, a connection to it, and its process.
    fn broker(&self, kind: Kind) -> Result<(String, Socket, u32)> {
        let broker = self.brokers.iter().find(|broker| broker.kind() == kind);
        let broker =
            broker.with_context(|| format!("{} does not run", kind.name()))?;
        let url = broker.url();
        let (_, address) = url.split_once("://").context("no address")?;
        let address: SocketAddr = address.parse()?;
        let socket = connect(&address.into(), Type::STREAM)?;
        Ok((url, socket, broker.process().context("the broker has ended")?))
    }

    /// RabbitMQ's version, as it tells whoever connects.
    pub fn rabbitmq_version(&self) -> Result<String> {
        let (_, mut socket, _) = self.broker(Kind::RabbitMq)?;
        socket.set_read_timeout(Some(CONNECT_TIMEOUT))?;
        socket.write_all(amqp::HEADER_OF_THE_PROTOCOL)?;
        let mut answer = [0; 4096];
        let length = socket.read(&mut answer)?;
        amqp::version(&answer[..length]).context("RabbitMQ tells no version")
    }

    pub fn url(&self, kind: Kind) -> Result<String> {
        Ok(self.broker(kind)?.0)
    }

    /// A program that prints what arrives there, by way of a broker.
    fn by_broker(
        &self,
        case: &Case,
        kind: Kind,
        arguments: &[&str],
        publisher: Box<dyn Protocol>,
        is_told: bool,
        lines: (&'static str, String),
    ) -> Result<Setting> {
        let (url, socket, broker) = self.broker(kind)?;
        let arguments = [&["--broker", &url], arguments].concat();
        let mut program = self.run(case, &arguments, true)?;
        let mut load = Load::new()?;
        load.add_publisher(socket, publisher, UNDER_WAY, is_told)?;
        load.add_lines(program.lines()?, lines.0, tells(lines.1, case.bytes))?;
        Ok(Setting { program, load, broker: Some(broker) })
    }

    fn mqtt(&self, case: &Case, message: Vec<u8>, qos: u8) -> Result<Setting> {
        let publisher = Box::new(Mqtt::new(TOPIC, message, qos));
        let arguments = ["--topic", TOPIC, "--qos", &qos.to_string()];
        let lines = ("Subscribed to", format!("Topic: {TOPIC} | Message: "));
        self.by_broker(case, Kind::Mosquitto, &arguments, publisher, qos > 0, lines)
    }

    fn fanout(&self, case: &Case, message: Vec<u8>) -> Result<Setting> {
        let publisher = Box::new(Amqp::new(EXCHANGE, KEY, message, false));
        let arguments = ["--exchange", EXCHANGE, "--kind", "fanout", "--bind", KEY];
        let lines = ("Bound", format!("Received {KEY} | "));
        self.by_broker(case, Kind::RabbitMq, &arguments, publisher, false, lines)
    }

    /// A queue of its own, since what one worker leaves another one would get.
    fn tasks(
        &mut self,
        case: &Case,
        message: Vec<u8>,
        confirmed: bool,
    ) -> Result<Setting> {
        let queue = self.name("tasks");
        let publisher = Box::new(Amqp::new("", &queue, message, confirmed));
        let arguments = ["--queue", &queue, "--work", "0"];
        let lines = ("Waiting for tasks", "Done: ".to_string());
        self.by_broker(case, Kind::RabbitMq, &arguments, publisher, confirmed, lines)
    }

    fn replier(
        &mut self,
        case: &Case,
        message: Vec<u8>,
        link: Link,
    ) -> Result<Setting> {
        let (endpoint, address) = self.endpoint(link)?;
        let mut program = self.run(case, &[&endpoint], false)?;
        program.wait_until_ready(&address, Type::STREAM)?;
        let mut load = Load::new()?;
        for _ in 0..case.clients {
            let asks = zmtp::Zmtp::new(zmtp::Kind::Req, message.clone());
            load.add_client((&address, Type::STREAM), Box::new(asks), false)?;
        }
        Ok(Setting { program, load, broker: None })
    }

    /// A subscriber or a puller, which prints what the load sends it.
    fn receiver(
        &mut self,
        case: &Case,
        message: Vec<u8>,
        link: Link,
        sender: zmtp::Kind,
    ) -> Result<Setting> {
        let (endpoint, listener) = self.listen(link)?;
        let mut program = self.run(case, &[&endpoint], true)?;
        let mut load = Load::new()?;
        let sender = Box::new(zmtp::Zmtp::new(sender, message));
        load.add_publisher(accept(&listener)?, sender, UNDER_WAY, false)?;
        let prefix = tells("Received: ".into(), case.bytes);
        load.add_lines(program.lines()?, "Connected to", prefix)?;
        Ok(Setting { program, load, broker: None })
    }

    pub fn name(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{what}-{}", self.names)
    }

    /// Where a program may listen: ZeroMQ's word for it, and the kernel's.
    fn endpoint(&mut self, link: Link) -> Result<(String, SockAddr)> {
        if link == Link::Ipc {
            let name = self.name("socket");
            let path = self.folder.path().join(name);
            return Ok((format!("ipc://{}", path.display()), SockAddr::unix(path)?));
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        Ok((format!("tcp://{address}"), address.into()))
    }

    /// Listens, for a program that connects.
    fn listen(&mut self, link: Link) -> Result<(String, Socket)> {
        let (endpoint, address) = self.endpoint(link)?;
        let socket = Socket::new(address.domain(), Type::STREAM, None)?;
        socket
            .bind(&address)
            .with_context(|| format!("cannot listen on {endpoint}"))?;
        socket.listen(BACKLOG)?;
        socket.set_read_timeout(Some(CONNECT_TIMEOUT))?;
        Ok((endpoint, socket))
    }
}

fn accept(listener: &Socket) -> Result<Socket> {
    Ok(listener.accept().context("the program does not connect")?.0)
}

/// How a line begins that tells of a message.
fn tells(prefix: String, bytes: usize) -> Vec<u8> {
    let mut prefix = prefix.into_bytes();
    prefix.extend(&reading(bytes)[..SHOWN]);
    prefix
}

impl Setting {
    /// The processor time of the program, of the broker, and of the load.
    fn cpu_seconds(&self) -> Result<[f64; 3]> {
        let broker = self.broker.map_or(Ok(0.0), kernel::cpu_seconds)?;
        let load = kernel::cpu_seconds(process::id())?;
        Ok([self.program.cpu_seconds()?, broker, load])
    }
}

impl Row {
    fn add_delays(&mut self, delays: &Delays) -> Result<()> {
        ensure!(!delays.is_empty(), "not one message arrived");
        self.p50_us.push(delays.value_at_quantile(0.5) as f64);
        self.p99_us.push(delays.value_at_quantile(0.99) as f64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{program::Program, report::Side};
    use std::net::TcpListener;
    use std::thread::{sleep, spawn};

    #[test]
    fn a_reading_is_an_item_as_json_of_the_size_that_is_asked_for() {
        for bytes in [64, 1024, 65_536] {
            let reading = reading(bytes);
            assert_eq!(reading.len(), bytes);
            let item: serde_json::Value = serde_json::from_slice(&reading).unwrap();
            assert_eq!(item["price"], 21.53);
        }
    }
    /// A message each 150 ms: in a window of 20 ms there is none to be counted.
    fn serve_slowly(listener: TcpListener) {
        let (mut client, _) = listener.accept().unwrap();
        let mut message = [0; 64];
        while client.read_exact(&mut message).is_ok() {
            sleep(Duration::from_millis(150));
            if client.write_all(&message).is_err() {
                break;
            }
        }
    }

    #[test]
    fn a_measurement_without_a_message_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = SockAddr::from(listener.local_addr().unwrap());
        spawn(move || serve_slowly(listener));
        let mut load = Load::new().unwrap();
        let echo = Box::new(Echo(reading(64)));
        load.add_client((&address, Type::STREAM), echo, false).unwrap();
        let program = Program::new("sleep", &["sleep".into()]);
        let case = Case {
            part: Part::Transports,
            transport: "TCP, async",
            how: How::Tcp,
            side: Side::Example,
            program: program.clone(),
            clients: 1,
            bytes: 64,
        };
        let program = program.start(&["60".into()], false, None).unwrap();
        let mut setting = Setting { program, load, broker: None };
        let plan = Plan { quick: true, rounds: 1, rate: 100, window_ms: 20 };
        let bench = Bench {
            plan,
            processors: None,
            brokers: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
            names: 0,
        };
        let error = bench.figures(&case, &mut case.row(), &mut setting).unwrap_err();
        assert!(error.to_string().starts_with("not one message in"), "{error}");
    }
}
