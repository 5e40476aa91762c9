//! What is measured: for each transport of the lecture (rows.toml) the example, its twin
//! in Python, and its limit.

use std::sync::LazyLock;

use brokers::Kind;
use serde::Deserialize;

use crate::report::{Part, SIDES, Side};

/// How a message travels, and how the load takes part in it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// To a server and back.
    Tcp,
    Udp,
    /// Stored under a key, with a line or with a frame.
    Lines,
    Frames,
    /// Put into an item.
    Rest,
    /// From a client of the chat to all the others.
    Chat,
    /// Through Mosquitto to a subscriber; from a publisher until it has sent all.
    Mqtt,
    Publish,
    /// Through an exchange to a subscriber's own queue; through a durable queue to a
    /// worker; from a producer until all messages are confirmed.
    Fanout,
    Tasks,
    Produce,
    /// To a ZeroMQ replier and back; to a subscriber; to a puller.
    Reply,
    Subscribe,
    Pull,
}

/// The limit of an example: a C file in limits/, a binary of this crate, or the reason
/// why there is none.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    C(String),
    Rust(String),
    None(String),
}

/// A row of the scoreboard: the programs, and the loads they are measured under.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Transport {
    pub name: String,
    pub how: How,
    /// Whether each message opens a new connection.
    #[serde(default)]
    pub anew: bool,
    #[serde(default)]
    pub qos: u8,
    /// Whether the broker confirms what is published.
    #[serde(default)]
    pub confirmed: bool,
    /// The number of clients, each with one message in flight.
    pub clients: usize,
    /// The messages that a publisher has in flight: fewer if each is acknowledged.
    #[serde(default)]
    pub window: usize,
    /// The package, and the program.
    pub example: [String; 2],
    /// The arguments of the program, on every side. `{address}` is where it or the load
    /// listens, `{broker}` the broker's URL, `{queue}` a new name; a sender sends
    /// `{reading}` `{count}` times.
    pub arguments: Vec<String>,
    /// How a receiver's output begins: the line when it is ready, the line of a message.
    #[serde(default)]
    pub ready_line: String,
    #[serde(default)]
    pub message_line: String,
    pub twin: String,
    pub limit: Limit,
    /// The library that a limit in C is linked with, and the first argument of a limit.
    pub library: Option<String>,
    pub role: Option<String>,
    /// Further numbers of clients, further message sizes, and numbers of idle clients.
    #[serde(default)]
    pub more_clients: Vec<usize>,
    #[serde(default)]
    pub more_bytes: Vec<usize>,
    #[serde(default)]
    pub idle: Vec<usize>,
    /// Numbers of the claims in claims.md that say what happens in a fault.
    #[serde(default)]
    pub faults: Vec<u32>,
    /// Left out of the charts of all transports, which have no room for every row.
    #[serde(default)]
    pub only_in_tables: bool,
}

#[derive(Deserialize)]
struct Rows {
    transport: Vec<Transport>,
}

/// In the order of the lecture.
pub static TRANSPORTS: LazyLock<Vec<Transport>> = LazyLock::new(|| {
    let rows: Rows = toml::from_str(include_str!("../rows.toml")).expect("rows.toml");
    rows.transport
});

pub fn transport(name: &str) -> Option<&'static Transport> {
    TRANSPORTS.iter().find(|it| it.name == name)
}

/// The size of a reading in bytes, unless the row varies it.
const SMALL: usize = 64;
/// The only numbers of clients and of bytes that a quick run varies.
const QUICK: [usize; 3] = [900, 1000, 16 * 1024];

impl Transport {
    pub fn broker(&self) -> Option<Kind> {
        match self.how {
            How::Mqtt | How::Publish => Some(Kind::Mosquitto),
            How::Fanout | How::Tasks | How::Produce => Some(Kind::RabbitMq),
            _ => None,
        }
    }

    /// Brokers and ZeroMQ have a table of their own on the slides.
    pub fn is_direct(&self) -> bool {
        let zeromq = matches!(self.how, How::Reply | How::Subscribe | How::Pull);
        self.broker().is_none() && !zeromq
    }

    /// The loads of a part: numbers of clients and sizes of messages.
    fn loads(&self, part: Part, quick: bool) -> Vec<(usize, usize)> {
        let (all, is_size) = match part {
            Part::Reading => return vec![(self.clients, SMALL)],
            Part::Clients => (&self.more_clients, false),
            Part::Sizes => (&self.more_bytes, true),
            Part::Idle => (&self.idle, false),
        };
        let chosen = all.iter().copied().filter(|n| !quick || QUICK.contains(n));
        chosen.map(|n| if is_size { (self.clients, n) } else { (n, SMALL) }).collect()
    }
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

impl Case {
    /// Whether the memory is the broker's: then there are no sides to compare.
    pub fn is_idle_at_broker(&self) -> bool {
        self.part == Part::Idle && self.transport.broker().is_some()
    }
}

/// All cases; those that are compared with each other are neighbours.
pub fn cases(quick: bool, only: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for part in [Part::Reading, Part::Clients, Part::Sizes, Part::Idle] {
        for transport in TRANSPORTS.iter().filter(|it| it.name.contains(only)) {
            for (clients, bytes) in transport.loads(part, quick) {
                let all =
                    SIDES.map(|side| Case { part, transport, side, clients, bytes });
                let sides = if all[0].is_idle_at_broker() { 1 } else { SIDES.len() };
                cases.extend(&all[..sides]);
            }
        }
    }
    cases
}
