//! What is measured: each transport of the lecture (rows.toml), by the example, by its
//! twin in Python, and by what is possible.

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
    /// Stored under a key, by a line or by a frame.
    Lines,
    Frames,
    /// Put into an item.
    Rest,
    /// From a client of the chat to all the others.
    Chat,
    /// By way of Mosquitto to a subscriber; from a publisher until it has sent all.
    Mqtt,
    Publish,
    /// By way of an exchange to a subscriber's own queue, or of a durable queue to a
    /// worker; from a producer until all is confirmed.
    Fanout,
    Tasks,
    Produce,
    /// To a ZeroMQ replier and back; to a subscriber; to a puller.
    Reply,
    Subscribe,
    Pull,
}

/// What stands beside an example as the limit: a file or a binary in limits/, or the
/// reason why there is none.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    C(String),
    Rust(String),
    None(String),
}

/// A row of the scoreboard, and all that its loads need to know.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Transport {
    pub name: String,
    pub how: How,
    /// Whether each message takes a new connection.
    #[serde(default)]
    pub anew: bool,
    #[serde(default)]
    pub qos: u8,
    /// Whether the broker confirms what is published.
    #[serde(default)]
    pub confirmed: bool,
    /// Clients that each have one message under way; a publisher is one alone, and may
    /// have so many. Brokers keep few under way that they have to acknowledge.
    pub clients: usize,
    #[serde(default)]
    pub window: usize,
    /// The package, and the program.
    pub example: [String; 2],
    /// What a program is told on every side. `{address}` is where it listens, or where the
    /// load does; `{broker}` a URL, `{queue}` a name of its own, and `{count}` how many
    /// messages like `{reading}` it sends.
    pub arguments: Vec<String>,
    /// How a receiver's line begins that says it is ready, and one that shows a message.
    #[serde(default)]
    pub ready: String,
    #[serde(default)]
    pub tells: String,
    pub twin: String,
    pub limit: Limit,
    /// What a limit in C is linked with, and what a limit is told to be.
    pub library: Option<String>,
    pub role: Option<String>,
    /// Further numbers of clients and of bytes, and numbers of silent clients.
    #[serde(default)]
    pub more_clients: Vec<usize>,
    #[serde(default)]
    pub more_bytes: Vec<usize>,
    #[serde(default)]
    pub idle: Vec<usize>,
    /// Numbers of the claims in claims.md which say what a fault does.
    #[serde(default)]
    pub faults: Vec<u32>,
    /// The charts of all transports have room for some.
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

/// A reading of 64 bytes is the one that all transports carry.
const SMALL: usize = 64;
/// With these alone a quick run shows what more of them change.
const QUICK: [usize; 3] = [900, 1000, 16 * 1024];

impl Transport {
    pub fn broker(&self) -> Option<Kind> {
        match self.how {
            How::Mqtt | How::Publish => Some(Kind::Mosquitto),
            How::Fanout | How::Tasks | How::Produce => Some(Kind::RabbitMq),
            _ => None,
        }
    }

    /// Those of brokers and of ZeroMQ make a table of their own.
    pub fn is_direct(&self) -> bool {
        let zeromq = matches!(self.how, How::Reply | How::Subscribe | How::Pull);
        self.broker().is_none() && !zeromq
    }

    /// The numbers of clients and of bytes of a part.
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
    /// Silent clients of a broker are its own affair, whoever they are.
    pub fn is_idle_at_broker(&self) -> bool {
        self.part == Part::Idle && self.transport.broker().is_some()
    }
}

/// All that is measured, what belongs together side by side.
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
