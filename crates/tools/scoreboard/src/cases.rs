//! What is measured: each transport of the lecture, by the example, by its twin in
//! Python, and for some by what is the limit.

use std::path::PathBuf;

use brokers::Kind;

use crate::program::{Program, here};
use crate::report::{Part, Row, Side};

/// How a message travels, and how the load takes part in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    /// To a TCP server and back.
    Tcp,
    /// The same; a client comes, asks once, leaves, and the next one comes.
    TcpVisits,
    Udp,
    /// Put into an item, which is the answer.
    Rest,
    /// The same, with a connection each.
    RestAnew,
    /// From a client of the chat to all the others.
    Chat,
    /// By way of Mosquitto to a subscriber, with a QoS.
    Mqtt(u8),
    /// By way of an exchange to a subscriber's own queue.
    Fanout,
    /// By way of a durable queue to a worker, with or without publisher confirms.
    Tasks {
        confirmed: bool,
    },
    /// To a replier and back.
    Replier(Link),
    /// From a publisher to a subscriber.
    Subscriber(Link),
    /// From a pusher to a puller.
    Puller(Link),
}

/// What ZeroMQ runs on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Link {
    Tcp,
    /// Between the programs of one machine.
    Ipc,
}

/// A transport: its name, how a message travels, and who is measured.
pub struct Transport {
    pub name: &'static str,
    pub how: How,
    /// The example's package and program.
    pub example: [&'static str; 2],
    /// The script of its twin.
    pub twin: &'static str,
}

impl Transport {
    /// Who asks has one message under way, so it takes as many clients; a publisher
    /// is one alone.
    fn clients(&self, bytes: usize) -> usize {
        match self.how {
            How::Tcp if self.name == "TCP, one at a time" => 1,
            How::Udp => UNDER_WAY.min(DATAGRAMS / bytes),
            How::Tcp | How::Rest | How::RestAnew | How::Replier(_) => UNDER_WAY,
            // One speaks, and one hears it.
            How::Chat => 2,
            _ => 1,
        }
    }
}

const fn row(
    name: &'static str,
    how: How,
    example: [&'static str; 2],
    twin: &'static str,
) -> Transport {
    Transport { name, how, example, twin }
}

const TCP: [&str; 2] = ["tcp-echo", "tcp-server"];
const THREADS: [&str; 2] = ["threaded-tcp-echo", "threaded-tcp-server"];
const ASYNC: [&str; 2] = ["async-tcp-echo", "async-tcp-server"];
const UDP: [&str; 2] = ["udp-echo", "udp-server"];
const ASYNC_UDP: [&str; 2] = ["async-udp-echo", "async-udp-server"];
const REST: [&str; 2] = ["rest-items", "rest-server"];
const CHAT: [&str; 2] = ["ws-chat", "ws-server"];
const MQTT: [&str; 2] = ["mqtt-temperature", "mqtt-subscriber"];
const FANOUT: [&str; 2] = ["rabbitmq-routing", "rabbitmq-subscriber"];
const TASKS: [&str; 2] = ["rabbitmq-tasks", "rabbitmq-worker"];
const REP: [&str; 2] = ["zeromq-patterns", "zeromq-replier"];
const SUB: [&str; 2] = ["zeromq-patterns", "zeromq-subscriber"];
const PULL: [&str; 2] = ["zeromq-patterns", "zeromq-puller"];
const REP_TWIN: &str = "zeromq_replier.py";
const SUB_TWIN: &str = "zeromq_subscriber.py";
const PULL_TWIN: &str = "zeromq_puller.py";

/// In the order of the lecture.
#[rustfmt::skip]
pub const TRANSPORTS: [Transport; 20] = [
    row("TCP, one at a time", How::Tcp, TCP, "tcp_server.py"),
    row("TCP, threads", How::Tcp, THREADS, "threaded_tcp_server.py"),
    row("TCP, async", How::Tcp, ASYNC, "asyncio_server.py"),
    row("UDP, blocking", How::Udp, UDP, "udp_server.py"),
    row("UDP, async", How::Udp, ASYNC_UDP, "asyncio_udp_server.py"),
    row("REST, kept alive", How::Rest, REST, "main.py"),
    row("REST, a connection each", How::RestAnew, REST, "main.py"),
    row("WebSocket", How::Chat, CHAT, "ws_server.py"),
    row("MQTT QoS 0", How::Mqtt(0), MQTT, "subscriber.py"),
    row("MQTT QoS 1", How::Mqtt(1), MQTT, "subscriber.py"),
    row("MQTT QoS 2", How::Mqtt(2), MQTT, "subscriber.py"),
    row("RabbitMQ, fanout", How::Fanout, FANOUT, "routing_subscriber.py"),
    row("RabbitMQ, tasks", How::Tasks { confirmed: false }, TASKS, "worker.py"),
    row("RabbitMQ, confirmed", How::Tasks { confirmed: true }, TASKS, "worker.py"),
    row("ZeroMQ REQ/REP, TCP", How::Replier(Link::Tcp), REP, REP_TWIN),
    row("ZeroMQ REQ/REP, IPC", How::Replier(Link::Ipc), REP, REP_TWIN),
    row("ZeroMQ PUB/SUB, TCP", How::Subscriber(Link::Tcp), SUB, SUB_TWIN),
    row("ZeroMQ PUB/SUB, IPC", How::Subscriber(Link::Ipc), SUB, SUB_TWIN),
    row("ZeroMQ PUSH/PULL, TCP", How::Puller(Link::Tcp), PULL, PULL_TWIN),
    row("ZeroMQ PUSH/PULL, IPC", How::Puller(Link::Ipc), PULL, PULL_TWIN),
];

/// The packages of all examples that are measured.
pub fn packages() -> Vec<&'static str> {
    let mut packages = TRANSPORTS.map(|transport| transport.example[0]).to_vec();
    packages.dedup();
    packages
}

/// Messages under way at once: of so many clients one each, or of one publisher.
pub const UNDER_WAY: usize = 16;
const CLIENTS: [usize; 4] = [1, 10, 100, 1000];
/// Those that one event loop serves besides.
const MANY_CLIENTS: [usize; 2] = [5000, 10_000];
const GROWING: [&str; 5] = [
    "TCP, one at a time",
    "TCP, threads",
    "TCP, async",
    "REST, kept alive",
    "WebSocket",
];
/// A reading of 64 bytes is the one that all transports carry.
pub const SMALL: usize = 64;
const SIZES: [usize; 4] = [SMALL, 1024, 16 * 1024, 64 * 1024];
const SIZED: [&str; 7] = [
    "TCP, async",
    "UDP, async",
    "WebSocket",
    "MQTT QoS 0",
    "RabbitMQ, fanout",
    "ZeroMQ REQ/REP, TCP",
    "ZeroMQ PUSH/PULL, TCP",
];
const MAX_DATAGRAM: usize = 65_507;
/// Bytes of datagrams that a socket keeps for certain; what is more may be lost.
const DATAGRAMS: usize = 64 * 1024;

/// A program to measure under one load.
pub struct Case {
    pub part: Part,
    pub transport: &'static str,
    pub how: How,
    pub side: Side,
    pub program: Program,
    pub clients: usize,
    pub bytes: usize,
}

impl Case {
    /// The row that its figures go into.
    pub fn row(&self) -> Row {
        Row {
            part: self.part,
            transport: self.transport.to_string(),
            side: self.side,
            program: self.program.name.clone(),
            clients: self.clients,
            bytes: self.bytes,
            ..Row::default()
        }
    }

    /// The broker that it needs, if it does.
    pub fn broker(&self) -> Option<Kind> {
        match self.how {
            How::Mqtt(_) => Some(Kind::Mosquitto),
            How::Fanout | How::Tasks { .. } => Some(Kind::RabbitMq),
            _ => None,
        }
    }

    /// What its program is told besides where to listen.
    pub fn arguments(&self) -> &'static [&'static str] {
        match (self.side, self.transport) {
            // It prints the same line a message as the examples.
            (Side::Limit, _) => &["--story"],
            (_, "TCP, threads") => &["--max-clients", "5000"],
            _ => &[],
        }
    }
}

/// Where the programs are; those in Python and C only if the machine has what they
/// need.
pub struct Programs {
    pub release: PathBuf,
    pub python: Option<PathBuf>,
    pub epoll: Option<PathBuf>,
    /// This program, which serves the routes in axum when asked to.
    pub own: PathBuf,
}

impl Programs {
    pub fn example(&self, name: &str) -> Program {
        Program::new(name, &[self.release.join(name)])
    }

    pub fn twin(&self, script: &str) -> Option<Program> {
        let python = self.python.clone()?;
        Some(Program::new(script, &[python, here("python").join(script)]))
    }

    fn find(&self, transport: &Transport, side: Side) -> Option<Program> {
        match (side, transport.name) {
            (Side::Example, _) => Some(self.example(transport.example[1])),
            (Side::Python, _) => self.twin(transport.twin),
            (Side::Limit, "TCP, async") => {
                Some(Program::new("epoll-echo.c", &[self.epoll.clone()?]))
            }
            (Side::Limit, "REST, kept alive" | "REST, a connection each") => {
                Some(Program::new("axum", &[self.own.clone(), "axum".into()]))
            }
            _ => None,
        }
    }

    /// The cases of one transport: the example, and what stands beside it.
    fn cases(
        &self,
        part: Part,
        transport: &'static Transport,
        clients: usize,
        bytes: usize,
    ) -> Vec<Case> {
        let sides = [Side::Example, Side::Python, Side::Limit];
        let case = |side| {
            let program = self.find(transport, side)?;
            let Transport { name, how, .. } = *transport;
            // Who leaves makes room for the next one.
            let how = match (part, name) {
                (Part::Clients, "TCP, one at a time") => How::TcpVisits,
                _ => how,
            };
            Some(Case { part, transport: name, how, side, program, clients, bytes })
        };
        sides.into_iter().filter_map(case).collect()
    }

    /// One reading over every transport.
    pub fn transports(&self) -> Vec<Case> {
        let cases = TRANSPORTS.iter().flat_map(|transport| {
            let clients = transport.clients(SMALL);
            self.cases(Part::Transports, transport, clients, SMALL)
        });
        cases.collect()
    }

    pub fn growing(&self, quick: bool) -> Vec<Case> {
        let transports = TRANSPORTS.iter().filter(|it| GROWING.contains(&it.name));
        let cases = transports.flat_map(|transport| {
            let more = match transport.name {
                "TCP, async" => &MANY_CLIENTS[..],
                _ => &[],
            };
            let clients: Vec<usize> = CLIENTS.iter().chain(more).copied().collect();
            // Who is alone in a chat hears nothing.
            let fits = move |n: &usize| *n > 1 || transport.how != How::Chat;
            let clients = clients.into_iter().filter(fits);
            let clients = clients.filter(move |n| !quick || *n == 1000);
            clients.flat_map(|n| self.cases(Part::Clients, transport, n, SMALL))
        });
        cases.collect()
    }

    pub fn sized(&self, quick: bool) -> Vec<Case> {
        let transports = TRANSPORTS.iter().filter(|it| SIZED.contains(&it.name));
        let cases = transports.flat_map(|transport| {
            let fits = move |bytes: &usize| {
                transport.how != How::Udp || *bytes <= MAX_DATAGRAM
            };
            let sizes = SIZES.into_iter().filter(fits);
            let sizes = sizes.filter(move |bytes| !quick || *bytes == 16 * 1024);
            sizes.flat_map(|bytes| {
                let clients = transport.clients(bytes);
                self.cases(Part::Sizes, transport, clients, bytes)
            })
        });
        cases.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(python: Option<PathBuf>) -> Programs {
        Programs { release: "/r".into(), python, epoll: None, own: "/own".into() }
    }

    #[test]
    fn each_example_stands_beside_its_twin_if_there_is_python() {
        let count = |programs: Programs, side| {
            let cases = programs.transports();
            cases.iter().filter(|case| case.side == side).count()
        };
        let all = TRANSPORTS.len();
        assert_eq!(count(programs(Some("/python".into())), Side::Example), all);
        assert_eq!(count(programs(Some("/python".into())), Side::Python), all);
        assert_eq!(count(programs(None), Side::Python), 0);
        assert_eq!(count(programs(None), Side::Example), all);
    }

    #[test]
    fn all_twins_exist() {
        for transport in TRANSPORTS {
            assert!(
                here("python").join(transport.twin).exists(),
                "{}",
                transport.twin
            );
        }
    }

    #[test]
    fn no_datagram_is_larger_than_one_can_be() {
        let cases = programs(None).sized(false);
        let udp = cases.iter().filter(|case| case.how == How::Udp);
        assert_eq!(udp.map(|case| case.bytes).max(), Some(16 * 1024));
    }

    #[test]
    fn the_names_of_what_grows_are_names_of_transports() {
        for name in GROWING.iter().chain(&SIZED) {
            assert!(TRANSPORTS.iter().any(|it| it.name == *name), "{name}");
        }
    }
}
