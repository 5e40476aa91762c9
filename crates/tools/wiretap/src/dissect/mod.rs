//! Finds the messages in the bytes of a connection.
//!
//! What a message's header is and where its payload ends is the business of one module
//! a protocol; this one holds the bytes that a header still lacks, counts payload, and
//! gives up on a direction that cannot be parsed: from there on it is text or bytes.

mod amqp;
mod find;
mod frames;
mod http;
mod lines;
mod mqtt;
mod raw;
mod reader;
#[cfg(test)]
mod testing;
mod websocket;
mod zmtp;

use std::mem;

use clap::ValueEnum;

pub use reader::{printable, steers};

/// How many bytes of a payload are kept to be shown.
pub const SHOWN: usize = 200;
/// How many characters of a message's details are kept: a packet may list any number of
/// topics.
const DETAILS: usize = 1000;
/// The longest header that is waited for. An MQTT topic alone may have 65,535 bytes.
const LONGEST_HEADER: usize = 65 * 1024;
/// The length of a payload that only the end of the stream ends.
const TO_THE_END: u64 = u64::MAX;

/// Whose bytes they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The client sent them.
    ToServer,
    /// The server sent them.
    ToClient,
}

impl Direction {
    pub fn other(self) -> Direction {
        match self {
            Direction::ToServer => Direction::ToClient,
            Direction::ToClient => Direction::ToServer,
        }
    }
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
    /// Lines of text; it must be said, since any text has lines
    Lines,
    /// Frames: a length of 4 bytes in network order, then the payload; it must be said
    Frames,
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
///
/// A reply must be pushed after what it replies to, since a request decides how its
/// response is read: push before forwarding, and the network itself sees to that.
pub struct Dissector {
    protocol: Option<Protocol>,
    /// None while nothing is found out, and for what is only text or bytes.
    parser: Option<Box<dyn Parser + Send>>,
    lanes: [Lane; 2],
}

/// What one protocol knows.
trait Parser {
    /// Looks at the first bytes of a message, or of the next piece of one, which are
    /// all that have come, and never more than were asked for.
    fn step(&mut self, direction: Direction, head: &[u8]) -> Step;

    /// Whether what comes next in this direction depends on what the other one says.
    fn waits(&self, _direction: Direction) -> bool {
        false
    }
}

enum Step {
    /// It can tell when there are that many bytes.
    More(usize),
    /// The bytes are the header of this piece.
    Piece(Piece),
    /// They are not this protocol's.
    Raw,
}

/// What a header announces. Most messages are of one piece; in HTTP each chunk is one.
#[derive(Default)]
struct Piece {
    /// The message's name and details, which come with its first piece.
    title: Option<(String, String)>,
    /// How many bytes at the end of what was looked at are payload, and not masked.
    early: usize,
    /// How many bytes of the header are still to come, which nobody needs to see.
    skip: u64,
    /// How many bytes of payload follow.
    payload: u64,
    /// What the payload is masked with.
    mask: Option<[u8; 4]>,
    /// Whether the message goes on after that.
    goes_on: bool,
}

impl Piece {
    fn new(name: impl Into<String>, details: impl Into<String>) -> Piece {
        let title = Some((name.into(), details.into()));
        Piece { title, ..Piece::default() }
    }
}

/// One direction of a connection.
#[derive(Default)]
struct Lane {
    /// How many bytes there were before the message at hand, and how many with it.
    start: u64,
    end: u64,
    /// The header as far as it has come, and how much of it is wanted.
    head: Vec<u8>,
    wanted: usize,
    /// The message whose header is known, and how much of it is to come.
    message: Option<Message>,
    piece: Piece,
    /// How much of the piece's payload there was.
    unmasked: u64,
    /// What came too early to be read.
    held: Vec<u8>,
    raw: bool,
}

impl Dissector {
    /// Without a protocol it finds out from the first bytes.
    pub fn new(protocol: Option<Protocol>) -> Dissector {
        let mut dissector =
            Dissector { protocol: None, parser: None, lanes: Default::default() };
        if let Some(protocol) = protocol {
            dissector.begin(protocol);
        }
        dissector
    }

    /// What it has found out, once it has.
    pub fn protocol(&self) -> Option<Protocol> {
        self.protocol
    }

    /// Takes the next bytes of a direction, however they were cut; returns the messages
    /// that end in them, and those of the other direction that had to wait for them.
    pub fn push(&mut self, direction: Direction, bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        if self.protocol.is_none() {
            self.lanes[direction as usize].held.extend(bytes);
            let [client, server] = &self.lanes;
            if let Some(protocol) = find::protocol(&client.held, &server.held) {
                self.begin(protocol);
                self.release(&mut messages);
            }
        } else {
            self.feed(direction, bytes, &mut messages);
            self.release(&mut messages);
        }
        messages
    }

    /// The direction has ended: returns what was begun and not finished.
    pub fn end(&mut self, direction: Direction) -> Vec<Message> {
        let mut messages = Vec::new();
        if self.protocol.is_none() {
            self.begin(Protocol::Raw);
            self.release(&mut messages);
        }
        let lane = &mut self.lanes[direction as usize];
        let held = mem::take(&mut lane.held);
        lane.give_up(direction, &held, &mut messages);
        messages
    }

    fn begin(&mut self, protocol: Protocol) {
        self.protocol = Some(protocol);
        self.parser = match protocol {
            Protocol::Http => Some(Box::<http::Http>::default()),
            Protocol::Mqtt => Some(Box::<mqtt::Mqtt>::default()),
            Protocol::Amqp => Some(Box::<amqp::Amqp>::default()),
            Protocol::Zmtp => Some(Box::<zmtp::Zmtp>::default()),
            Protocol::Lines => Some(Box::new(lines::Lines)),
            Protocol::Frames => Some(Box::new(frames::Frames)),
            Protocol::Raw => None,
        };
    }

    /// Goes on with what was held back, if it need not be any more.
    fn release(&mut self, messages: &mut Vec<Message>) {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let held = mem::take(&mut self.lanes[direction as usize].held);
            if !held.is_empty() {
                self.feed(direction, &held, messages);
            }
        }
    }

    fn feed(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        messages: &mut Vec<Message>,
    ) {
        let lane = &mut self.lanes[direction as usize];
        match &mut self.parser {
            Some(parser) => lane.feed(direction, bytes, parser.as_mut(), messages),
            None => lane.give_up(direction, bytes, messages),
        }
    }
}

impl Lane {
    fn feed(
        &mut self,
        direction: Direction,
        mut bytes: &[u8],
        parser: &mut dyn Parser,
        messages: &mut Vec<Message>,
    ) {
        while !self.raw {
            self.count(&mut bytes);
            if self.piece.skip > 0 || self.piece.payload > 0 {
                return;
            }
            if !self.piece.goes_on {
                messages.extend(self.finish());
            }
            if bytes.is_empty() {
                return;
            }
            if parser.waits(direction) {
                self.held.extend(bytes);
                if self.held.len() <= LONGEST_HEADER {
                    return;
                }
                bytes = &[];
                break;
            }
            let missing = self.wanted.max(1).saturating_sub(self.head.len());
            let (head, rest) = bytes.split_at(missing.min(bytes.len()));
            self.head.extend(head);
            self.end += head.len() as u64;
            bytes = rest;
            if head.len() < missing {
                return;
            }
            match parser.step(direction, &self.head) {
                Step::More(wanted) if wanted <= LONGEST_HEADER => {
                    self.wanted = wanted.max(self.head.len() + 1);
                }
                Step::Piece(piece) => self.begin(direction, piece),
                Step::More(_) | Step::Raw => break,
            }
        }
        let held = mem::take(&mut self.held);
        if !held.is_empty() {
            self.give_up(direction, &held, messages);
        }
        self.give_up(direction, bytes, messages);
    }

    /// Counts what a header has announced, and keeps what is to be shown.
    fn count(&mut self, bytes: &mut &[u8]) {
        let length = bytes.len() as u64;
        let skipped = self.piece.skip.min(length);
        self.piece.skip -= skipped;
        let taken = self.piece.payload.min(length - skipped);
        if self.piece.payload != TO_THE_END {
            self.piece.payload -= taken;
        }
        let (now, rest) = bytes.split_at((skipped + taken) as usize);
        self.end += now.len() as u64;
        if let Some(message) = &mut self.message {
            message.header += skipped;
            let room = SHOWN - message.payload.len();
            let payload =
                now[skipped as usize..].iter().take(room).zip(self.unmasked..);
            let mask = self.piece.mask.unwrap_or_default();
            message
                .payload
                .extend(payload.map(|(byte, at)| byte ^ mask[at as usize % 4]));
        }
        self.unmasked += taken;
        *bytes = rest;
    }

    fn begin(&mut self, direction: Direction, mut piece: Piece) {
        let (name, mut details) = piece.title.take().unwrap_or_default();
        if let Some((cut, _)) = details.char_indices().nth(DETAILS) {
            details.replace_range(cut.., "...");
        }
        let (start, payload) = (self.start, Vec::new());
        let new =
            Message { direction, start, end: 0, header: 0, name, details, payload };
        let message = self.message.get_or_insert(new);
        let (header, early) = self.head.split_at(self.head.len() - piece.early);
        message.header += header.len() as u64;
        let room = SHOWN - message.payload.len();
        message.payload.extend(early.iter().take(room));
        self.head.clear();
        self.wanted = 1;
        self.piece = piece;
        self.unmasked = 0;
    }

    fn finish(&mut self) -> Option<Message> {
        let mut message = self.message.take()?;
        message.end = self.end;
        self.start = self.end;
        Some(message)
    }

    /// Ends what was begun; what is left of it, and whatever follows, is text or bytes.
    fn give_up(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        messages: &mut Vec<Message>,
    ) {
        let mut left = mem::take(&mut self.head);
        self.end -= left.len() as u64;
        if let Some(mut message) = self.finish() {
            let to_the_end = self.piece.payload == TO_THE_END && left.is_empty();
            if !to_the_end {
                message.details.push_str(if message.details.is_empty() {
                    ""
                } else {
                    ", "
                });
                message.details.push_str("cut short");
            }
            messages.push(message);
        }
        self.raw = true;
        self.piece = Piece::default();
        left.extend(bytes);
        for mut message in raw::messages(direction, &left) {
            message.start += self.end;
            message.end += self.end;
            messages.push(message);
        }
        self.end += left.len() as u64;
        self.start = self.end;
    }
}
