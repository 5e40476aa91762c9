//! What is measured: each transport of the lecture, by the example, by its twin in
//! Python, and by what is possible.

use brokers::Kind;

use crate::report::{Part, Side};

/// How a message travels, and how the load takes part in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    /// To a TCP server and back, on one connection, or on a new one for each message.
    Tcp {
        anew: bool,
    },
    Udp,
    /// Stored under a key, by a line or by a frame.
    Lines,
    Frames,
    /// Put into an item, on one connection, or on a new one for each message.
    Rest {
        anew: bool,
    },
    /// From a client of the chat to all the others.
    Chat,
    /// By way of Mosquitto to a subscriber, at a QoS.
    Mqtt {
        qos: u8,
    },
    /// From the program to Mosquitto, until all is sent or acknowledged.
    Publish {
        qos: u8,
    },
    /// By way of an exchange to a subscriber's own queue.
    Fanout,
    /// By way of a durable queue to a worker, with or without publisher confirms.
    Tasks {
        confirmed: bool,
    },
    /// From the program to RabbitMQ, until all is confirmed.
    Produce,
    /// To a ZeroMQ replier and back.
    Reply,
    /// From a ZeroMQ publisher to a subscriber, and from a pusher to a puller.
    Subscribe,
    Pull,
}

impl How {
    pub fn broker(self) -> Option<Kind> {
        match self {
            How::Mqtt { .. } | How::Publish { .. } => Some(Kind::Mosquitto),
            How::Fanout | How::Tasks { .. } | How::Produce => Some(Kind::RabbitMq),
            _ => None,
        }
    }
}

/// What stands beside an example as the limit, in limits/.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// A program in C, what it is linked with, and the role that it is told to play.
    C { file: &'static str, library: Library, role: &'static str },
    /// A binary of this crate, and its role.
    Rust { binary: &'static str, role: &'static str },
    /// There is none, for this reason.
    None(&'static str),
}

/// What a program in C is linked with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Library {
    None,
    ZeroMq,
    Paho,
}

/// A row of the scoreboard, and all that its loads need to know.
pub struct Transport {
    pub name: &'static str,
    pub how: How,
    /// The example's package, program, and arguments besides where to listen.
    pub package: &'static str,
    pub example: &'static str,
    pub arguments: &'static [&'static str],
    /// The script of its twin.
    pub twin: &'static str,
    pub limit: Limit,
    /// Clients that each have one message under way; a publisher is one alone.
    pub clients: usize,
    /// Messages that a publisher has under way.
    pub window: usize,
    /// Further numbers of clients, and of bytes, with which it is measured.
    pub more_clients: &'static [usize],
    pub more_bytes: &'static [usize],
    /// Numbers of clients that stay connected and are silent.
    pub idle: &'static [usize],
    /// Whether it stands in the charts of all transports, which have room for some.
    pub in_charts: bool,
    /// What claims.md says of a fault: the numbers of its claims.
    pub faults: &'static [u32],
}

/// A reading of 64 bytes is the one that all transports carry.
pub const SMALL: usize = 64;
const LARGER: &[usize] = &[1024, 16 * 1024];
const GROWING: &[usize] = &[1, 100, 1000];
const FEW_IDLE: &[usize] = &[1, 1000];
const MANY_IDLE: &[usize] = &[1, 1000, 10_000];
/// With these alone a quick run shows what more of them change.
const QUICK_CLIENTS: usize = 1000;
const QUICK_BYTES: usize = 16 * 1024;

const EPOLL: Limit = c("tcp-epoll.c", Library::None, "");
const UDP: Limit = c("udp.c", Library::None, "");
const AXUM: Limit = rust("limit-rest", "");
const WEBSOCKET: Limit = rust("limit-chat", "");
const PAHO_PUBLISH: Limit = c("paho.c", Library::Paho, "publish");
const PAHO_SUBSCRIBE: Limit = c("paho.c", Library::Paho, "subscribe");

const fn c(file: &'static str, library: Library, role: &'static str) -> Limit {
    Limit::C { file, library, role }
}

const fn rust(binary: &'static str, role: &'static str) -> Limit {
    Limit::Rust { binary, role }
}

/// Sixteen clients, each with one message under way.
const ASKED: Transport = Transport {
    name: "",
    how: How::Udp,
    package: "",
    example: "",
    arguments: &[],
    twin: "",
    limit: Limit::None(""),
    clients: 16,
    window: 1,
    more_clients: &[],
    more_bytes: &[],
    idle: &[],
    in_charts: true,
    faults: &[],
};

/// One publisher. So many messages keep both sides busy that none of them waits.
const SENT: Transport = Transport { clients: 1, window: 128, ..ASKED };
/// One publisher that is told of each message. Brokers keep few such under way.
const ACKNOWLEDGED: Transport = Transport { window: 16, ..SENT };

const MQTT: (&str, &str) = ("mqtt-temperature", "mqtt-subscriber");

/// In the order of the lecture.
pub const TRANSPORTS: [Transport; 22] = [
    Transport {
        name: "TCP, one at a time",
        how: How::Tcp { anew: true },
        package: "tcp-echo",
        example: "tcp-server",
        twin: "tcp_server.py",
        limit: EPOLL,
        // The one that comes makes room for the next one when it leaves.
        clients: 1,
        faults: &[8],
        ..ASKED
    },
    Transport {
        name: "TCP, threads",
        how: How::Tcp { anew: false },
        package: "threaded-tcp-echo",
        example: "threaded-tcp-server",
        arguments: &["--max-clients", "11000"],
        twin: "threaded_tcp_server.py",
        limit: EPOLL,
        more_clients: GROWING,
        idle: FEW_IDLE,
        ..ASKED
    },
    Transport {
        name: "TCP, async",
        how: How::Tcp { anew: false },
        package: "async-tcp-echo",
        example: "async-tcp-server",
        twin: "asyncio_server.py",
        limit: EPOLL,
        more_clients: &[1, 100, 1000, 10_000],
        more_bytes: LARGER,
        idle: MANY_IDLE,
        faults: &[46],
        ..ASKED
    },
    Transport {
        name: "UDP, blocking",
        package: "udp-echo",
        example: "udp-server",
        twin: "udp_server.py",
        limit: UDP,
        faults: &[9, 34],
        in_charts: false,
        ..ASKED
    },
    Transport {
        name: "UDP, async",
        package: "async-udp-echo",
        example: "async-udp-server",
        twin: "asyncio_udp_server.py",
        limit: UDP,
        more_bytes: &[1024],
        ..ASKED
    },
    Transport {
        name: "Messages, lines",
        how: How::Lines,
        package: "tcp-messages",
        example: "lines-server",
        twin: "lines_server.py",
        limit: Limit::None("a protocol of our own has no other implementation"),
        idle: &[1, 900],
        in_charts: false,
        ..ASKED
    },
    Transport {
        name: "Messages, frames",
        how: How::Frames,
        package: "tcp-messages",
        example: "frames-server",
        twin: "frames_server.py",
        limit: Limit::None("a protocol of our own has no other implementation"),
        idle: &[1, 900],
        ..ASKED
    },
    Transport {
        name: "REST, kept alive",
        how: How::Rest { anew: false },
        package: "rest-items",
        example: "rest-server",
        twin: "main.py",
        limit: AXUM,
        more_clients: GROWING,
        idle: FEW_IDLE,
        faults: &[50, 58],
        ..ASKED
    },
    Transport {
        name: "REST, a connection each",
        how: How::Rest { anew: true },
        package: "rest-items",
        example: "rest-server",
        twin: "main.py",
        limit: AXUM,
        ..ASKED
    },
    Transport {
        name: "WebSocket",
        how: How::Chat,
        package: "ws-chat",
        example: "ws-server",
        twin: "ws_server.py",
        limit: WEBSOCKET,
        // One speaks, and one hears it.
        clients: 2,
        window: 16,
        more_clients: &[10, 100, 1000],
        more_bytes: LARGER,
        idle: MANY_IDLE,
        faults: &[68, 69],
        ..ASKED
    },
    Transport {
        name: "MQTT QoS 0",
        how: How::Mqtt { qos: 0 },
        package: MQTT.0,
        example: MQTT.1,
        twin: "subscriber.py",
        limit: PAHO_SUBSCRIBE,
        more_bytes: LARGER,
        idle: MANY_IDLE,
        faults: &[74, 79],
        ..SENT
    },
    Transport {
        name: "MQTT QoS 1",
        how: How::Mqtt { qos: 1 },
        package: MQTT.0,
        example: MQTT.1,
        twin: "subscriber.py",
        limit: PAHO_SUBSCRIBE,
        faults: &[75],
        ..ACKNOWLEDGED
    },
    Transport {
        name: "MQTT QoS 2",
        how: How::Mqtt { qos: 2 },
        package: MQTT.0,
        example: MQTT.1,
        twin: "subscriber.py",
        limit: PAHO_SUBSCRIBE,
        faults: &[76],
        in_charts: false,
        ..ACKNOWLEDGED
    },
    Transport {
        name: "MQTT, publishing QoS 0",
        how: How::Publish { qos: 0 },
        package: MQTT.0,
        example: "mqtt-publisher",
        twin: "publisher.py",
        limit: PAHO_PUBLISH,
        in_charts: false,
        ..SENT
    },
    Transport {
        name: "MQTT, publishing QoS 1",
        how: How::Publish { qos: 1 },
        package: MQTT.0,
        example: "mqtt-publisher",
        twin: "publisher.py",
        limit: PAHO_PUBLISH,
        in_charts: false,
        ..SENT
    },
    Transport {
        name: "RabbitMQ, fanout",
        how: How::Fanout,
        package: "rabbitmq-routing",
        example: "rabbitmq-subscriber",
        twin: "routing_subscriber.py",
        limit: rust("limit-rabbitmq", "subscriber"),
        more_bytes: LARGER,
        idle: FEW_IDLE,
        ..SENT
    },
    Transport {
        name: "RabbitMQ, tasks",
        how: How::Tasks { confirmed: false },
        package: "rabbitmq-tasks",
        example: "rabbitmq-worker",
        twin: "worker.py",
        limit: rust("limit-rabbitmq", "worker"),
        faults: &[85, 88],
        in_charts: false,
        ..ACKNOWLEDGED
    },
    Transport {
        name: "RabbitMQ, confirmed",
        how: How::Tasks { confirmed: true },
        package: "rabbitmq-tasks",
        example: "rabbitmq-worker",
        twin: "worker.py",
        limit: rust("limit-rabbitmq", "worker"),
        faults: &[89],
        ..ACKNOWLEDGED
    },
    Transport {
        name: "RabbitMQ, producing",
        how: How::Produce,
        package: "rabbitmq-tasks",
        example: "rabbitmq-producer",
        twin: "producer.py",
        limit: rust("limit-rabbitmq", "producer"),
        in_charts: false,
        ..SENT
    },
    Transport {
        name: "ZeroMQ REQ/REP",
        how: How::Reply,
        package: "zeromq-patterns",
        example: "zeromq-replier",
        twin: "zeromq_replier.py",
        limit: c("zeromq.c", Library::ZeroMq, "rep"),
        more_bytes: LARGER,
        idle: FEW_IDLE,
        faults: &[97],
        ..ASKED
    },
    Transport {
        name: "ZeroMQ PUB/SUB",
        how: How::Subscribe,
        package: "zeromq-patterns",
        example: "zeromq-subscriber",
        twin: "zeromq_subscriber.py",
        limit: c("zeromq.c", Library::ZeroMq, "sub"),
        ..SENT
    },
    Transport {
        name: "ZeroMQ PUSH/PULL",
        how: How::Pull,
        package: "zeromq-patterns",
        example: "zeromq-puller",
        twin: "zeromq_puller.py",
        limit: c("zeromq.c", Library::ZeroMq, "pull"),
        ..SENT
    },
];

/// The packages of the examples that are measured.
pub fn packages() -> Vec<&'static str> {
    let mut packages = TRANSPORTS.map(|transport| transport.package).to_vec();
    packages.dedup();
    packages
}

/// One program to measure under one load.
#[derive(Clone, Copy)]
pub struct Case {
    pub part: Part,
    pub transport: &'static Transport,
    pub side: Side,
    pub clients: usize,
    pub bytes: usize,
}

/// All that is measured, what belongs together side by side.
pub fn cases(quick: bool, only: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for part in [Part::Reading, Part::Clients, Part::Sizes, Part::Idle] {
        for transport in TRANSPORTS.iter().filter(|it| it.name.contains(only)) {
            for (clients, bytes) in loads(transport, part, quick) {
                for &side in sides(part, transport.how) {
                    cases.push(Case { part, transport, side, clients, bytes });
                }
            }
        }
    }
    cases
}

/// The numbers of clients and of bytes.
fn loads(transport: &Transport, part: Part, quick: bool) -> Vec<(usize, usize)> {
    let Transport { clients, more_clients, more_bytes, idle, .. } = *transport;
    let chosen = |all: &[usize], one: usize| -> Vec<usize> {
        all.iter().copied().filter(|number| !quick || *number == one).collect()
    };
    match part {
        Part::Reading => vec![(clients, SMALL)],
        Part::Sizes => chosen(more_bytes, QUICK_BYTES)
            .into_iter()
            .map(|n| (clients, n))
            .collect(),
        Part::Clients => chosen(more_clients, QUICK_CLIENTS)
            .into_iter()
            .map(|n| (n, SMALL))
            .collect(),
        Part::Idle => {
            chosen(idle, QUICK_CLIENTS).into_iter().map(|n| (n, SMALL)).collect()
        }
    }
}

fn sides(part: Part, how: How) -> &'static [Side] {
    match how.broker() {
        // What keeps the clients is the broker, whoever they are.
        Some(_) if part == Part::Idle => &[Side::Example],
        _ => &crate::report::SIDES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::here;

    #[test]
    fn every_transport_has_a_name_of_its_own_a_twin_and_a_reading() {
        for (place, transport) in TRANSPORTS.iter().enumerate() {
            let Transport { name, twin, .. } = transport;
            assert!(here("python").join(twin).exists(), "{twin}");
            assert!(
                TRANSPORTS[..place].iter().all(|other| other.name != *name),
                "{name}"
            );
            let cases = cases(true, name);
            let sides: Vec<Side> = cases
                .iter()
                .filter(|case| {
                    case.transport.name == *name && case.part == Part::Reading
                })
                .map(|case| case.side)
                .collect();
            assert_eq!(sides, crate::report::SIDES, "{name}");
        }
    }

    #[test]
    fn every_limit_exists_or_says_why_there_is_none() {
        for transport in &TRANSPORTS {
            match transport.limit {
                Limit::C { file, .. } => {
                    assert!(here("limits").join(file).exists(), "{file}")
                }
                Limit::Rust { binary, .. } => {
                    let manifest = include_str!("../Cargo.toml");
                    assert!(manifest.contains(&format!("\"{binary}\"")), "{binary}");
                }
                Limit::None(why) => assert!(!why.is_empty(), "{}", transport.name),
            }
        }
    }

    #[test]
    fn a_quick_run_measures_less() {
        assert!(cases(true, "").len() * 3 < cases(false, "").len() * 2);
        assert!(
            cases(false, "ZeroMQ")
                .iter()
                .all(|it| it.transport.name.contains("Zero"))
        );
    }
}
