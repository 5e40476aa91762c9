//! The lines that the wiretap prints.

use std::fmt::{self, Display, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use crate::dissect::{Direction, Message, printable};

/// Bytes of a message that `--hex` shows.
pub const HEX_MOST: usize = 256;
/// Bytes a line of them.
const HEX_WIDTH: usize = 16;
/// Characters of a payload that are shown, or half as many bytes in hex.
const PAYLOAD_SHOWN: usize = 80;

/// In which colour a terminal shows what; none by default.
#[derive(Default)]
struct Colours {
    to_server: Style,
    to_client: Style,
    header: Style,
    payload: Style,
    fault: Style,
}

const COLOURS: Colours = Colours {
    to_server: AnsiColor::Green.on_default(),
    to_client: AnsiColor::Magenta.on_default(),
    header: AnsiColor::Cyan.on_default(),
    payload: Style::new().bold(),
    fault: AnsiColor::Red.on_default().bold(),
};

/// Something that happened. Printed with `{}`, it is a line of the program; with
/// `{:#}` the same without its time.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// Since the wiretap was started.
    pub time: Duration,
    /// The connection's number, from 1; for UDP the client's.
    pub connection: u64,
    /// Whether there has been more than one: only then the number is printed.
    pub numbered: bool,
    pub event: Event,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A client has connected.
    Connected(SocketAddr),
    /// A client of UDP has sent something for the first time.
    FirstDatagram(SocketAddr),
    /// A message has crossed, or with a fault would have; and, if asked for, its
    /// first bytes.
    Message(Message, Vec<u8>),
    /// The sender has closed its sending side: the end of the stream.
    End(Direction),
    /// The sender has reset the connection.
    Reset(Direction),
    /// A fault was made on purpose.
    Fault(Option<Direction>, String),
    /// Something went wrong that nobody asked for.
    Trouble(String),
    /// So many lines were left out here, since what takes the lines was too slow.
    LeftOut(u64),
}

impl Event {
    pub fn direction(&self) -> Option<Direction> {
        match self {
            Event::Connected(_) | Event::FirstDatagram(_) => {
                Some(Direction::ToServer)
            }
            Event::Message(message, _) => Some(message.direction),
            Event::End(direction) | Event::Reset(direction) => Some(*direction),
            Event::Fault(direction, _) => *direction,
            Event::Trouble(_) | Event::LeftOut(_) => None,
        }
    }
}

impl Display for Line {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        self.show(out, &Colours::default())
    }
}

/// A line in colours.
struct Coloured<'a>(&'a Line);

impl Display for Coloured<'_> {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        self.0.show(out, &COLOURS)
    }
}

impl Line {
    /// The line for a terminal that shows colours.
    pub fn coloured(&self) -> impl Display {
        Coloured(self)
    }

    fn show(&self, out: &mut fmt::Formatter, colours: &Colours) -> fmt::Result {
        if !out.alternate() {
            write!(out, "{:8.3} s  ", self.time.as_secs_f64())?;
        }
        if self.numbered {
            write!(out, "{:<3} ", format!("#{}", self.connection))?;
        }
        match self.event.direction() {
            Some(way) => {
                let colour = match way {
                    Direction::ToServer => colours.to_server,
                    Direction::ToClient => colours.to_client,
                };
                write!(out, "{colour}{}{colour:#}  ", arrow(way))?;
            }
            None => write!(out, "{:16}  ", "")?,
        }
        let fault = colours.fault;
        match &self.event {
            Event::Connected(client) => write!(out, "connected from {client}"),
            Event::FirstDatagram(client) => {
                write!(out, "first datagram from {client}")
            }
            Event::Message(message, bytes) => {
                show_message(out, message, colours)?;
                show_bytes(out, bytes, message, colours)
            }
            Event::End(_) => write!(out, "end of the stream"),
            Event::Reset(_) => write!(out, "{fault}reset{fault:#}"),
            Event::Fault(_, what) => write!(out, "{fault}FAULT: {what}{fault:#}"),
            Event::Trouble(what) => write!(out, "{fault}{what}{fault:#}"),
            Event::LeftOut(count) => write!(out, "... {count} lines left out"),
        }
    }
}

pub fn arrow(direction: Direction) -> &'static str {
    match direction {
        Direction::ToServer => "client -> server",
        Direction::ToClient => "client <- server",
    }
}

fn show_message(
    out: &mut fmt::Formatter,
    message: &Message,
    colours: &Colours,
) -> fmt::Result {
    let Colours { header, payload, .. } = colours;
    let size = message.end - message.start;
    write!(out, "{size:5} bytes")?;
    if message.header > 0 {
        write!(out, " {header}({} header){header:#}", message.header)?;
    }
    write!(out, "  {header}{}", excerpt(message.name.as_bytes(), 0, PAYLOAD_SHOWN))?;
    if !message.details.is_empty() {
        write!(out, " {}", excerpt(message.details.as_bytes(), 0, 200))?;
    }
    write!(out, "{header:#}")?;
    if message.payload.is_empty() {
        return Ok(());
    }
    let text = text_or_hex(&message.payload, size - message.header.min(size));
    write!(out, ": {payload}{text}{payload:#}")
}

/// A payload of this size, of which the first bytes are given, as text if it is some.
pub fn text_or_hex(payload: &[u8], size: u64) -> String {
    let is_text = match str::from_utf8(payload) {
        Ok(_) => true,
        // The end of what was kept may be in the middle of a character.
        Err(error) => error.error_len().is_none(),
    };
    let strange = |c: &u8| c.is_ascii_control() && !c.is_ascii_whitespace();
    if is_text && !payload.iter().any(strange) {
        return excerpt(payload, size, PAYLOAD_SHOWN);
    }
    let shown = &payload[..payload.len().min(PAYLOAD_SHOWN / 2)];
    let mut out = hex(shown);
    if size > shown.len() as u64 {
        let _ = write!(out, "... ({size} bytes)");
    }
    out
}

pub fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

/// The bytes below their line: where in the message, whether header or payload, hex,
/// text.
fn show_bytes(
    out: &mut fmt::Formatter,
    bytes: &[u8],
    message: &Message,
    colours: &Colours,
) -> fmt::Result {
    let header = usize::try_from(message.header).unwrap_or(usize::MAX);
    let header = header.min(bytes.len());
    let more = (message.end - message.start).saturating_sub(bytes.len() as u64);
    let (header, payload) = bytes.split_at(header);
    let mut place = 0;
    let parts =
        [("header ", header, colours.header), ("payload", payload, colours.payload)];
    for (part, bytes, colour) in parts {
        for bytes in bytes.chunks(HEX_WIDTH) {
            let text: String = bytes.iter().map(|&byte| visible(byte)).collect();
            let width = HEX_WIDTH * 3;
            let hex = hex(bytes);
            write!(
                out,
                "\n{:12}{colour}{part} {place:04x}  {hex:width$} {text}",
                ""
            )?;
            write!(out, "{colour:#}")?;
            place += bytes.len();
        }
    }
    if more > 0 && place > 0 {
        write!(out, "\n{:12}... and {more} bytes more", "")?;
    }
    Ok(())
}

fn visible(byte: u8) -> char {
    if matches!(byte, b' '..=b'~') { char::from(byte) } else { '.' }
}

/// A peer's bytes as text, escaped, the end cut off after so many characters, and the
/// size told, of which these may be the first bytes.
fn excerpt(data: &[u8], size: u64, most: usize) -> String {
    let mut out = printable(&data[..data.len().min(4 * most)]);
    let cut = out.char_indices().nth(most).map(|(place, _)| place);
    let size = size.max(data.len() as u64);
    if cut.is_some() || size > data.len() as u64 {
        out.truncate(cut.unwrap_or(out.len()));
        let _ = write!(out, "... ({size} bytes)");
    }
    out
}
