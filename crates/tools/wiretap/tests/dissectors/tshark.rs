//! What tshark, the program behind Wireshark, says of the same bytes.

use std::fs;
use std::process::Command;

use tempfile::TempDir;
use wiretap::dissect::Direction;

use crate::recorder::Recorded;

const CLIENT_PORT: u16 = 50000;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// One message as tshark sees it: its size, and its fields with what they show.
#[derive(Debug)]
pub struct Seen {
    pub direction: Direction,
    pub size: u64,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    name: String,
    shows: String,
    label: String,
    size: u64,
}

impl Seen {
    /// What a field says; none when it is missing.
    pub fn shows(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.name == name).map(|field| &*field.shows)
    }

    /// A field that is a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        let shown = self.shows(name)?;
        let number = match shown.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => shown.parse(),
        };
        Some(number.unwrap_or_else(|_| panic!("{name} is '{shown}'")))
    }

    /// What stands for people beside a field's number, in small letters.
    pub fn label(&self, name: &str) -> Option<String> {
        let field = self.fields.iter().find(|field| field.name == name)?;
        let (_, label) = field.label.split_once(": ")?;
        Some(label.rsplit_once(" (")?.0.to_lowercase())
    }

    /// How many bytes a field has; none when it is missing.
    pub fn bytes(&self, name: &str) -> u64 {
        let named = self.fields.iter().find(|field| field.name == name);
        named.map_or(0, |field| field.size)
    }
}

/// All messages of a protocol in a connection whose server listens on this port, in the
/// order in which they ended.
pub fn seen(recorded: &Recorded, port: u16, protocol: &str) -> Vec<Seen> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("recorded.pcap");
    fs::write(&file, pcap(recorded, port)).unwrap();
    let mut tshark = Command::new("tshark");
    let tshark = tshark.args(["-n", "-T", "pdml", "-r"]).arg(&file).output();
    let tshark = tshark.unwrap_or_else(|error| {
        panic!("cannot run tshark ({error}): install tshark")
    });
    let errors = String::from_utf8_lossy(&tshark.stderr);
    assert!(tshark.status.success(), "{errors}");
    let text = String::from_utf8(tshark.stdout).unwrap();
    let packets = text.split("<packet>").skip(1);
    packets.flat_map(|packet| messages(packet, protocol)).collect()
}

/// A protocol's parts of a packet. tshark writes one element a line, so no parser of
/// XML is needed.
fn messages(packet: &str, protocol: &str) -> Vec<Seen> {
    let mut messages: Vec<Seen> = Vec::new();
    let mut direction = None;
    let mut inside = false;
    for line in packet.lines().map(str::trim) {
        let name = attribute(line, "name").unwrap_or_default();
        let size = attribute(line, "size").and_then(|size| size.parse().ok());
        let shows = attribute(line, "show").unwrap_or_default();
        if name == "tcp.srcport" {
            direction = Some(match shows == CLIENT_PORT.to_string() {
                true => Direction::ToServer,
                false => Direction::ToClient,
            });
        }
        if line.starts_with("<proto ") {
            inside = name == protocol;
            if let (true, Some(direction)) = (inside, direction) {
                let (size, fields) = (size.unwrap_or_default(), Vec::new());
                messages.push(Seen { direction, size, fields });
            }
        } else if let (true, Some(message)) = (inside, messages.last_mut()) {
            let label = attribute(line, "showname").unwrap_or_default().to_string();
            let (name, shows) = (name.to_string(), shows.to_string());
            let size = size.unwrap_or_default();
            message.fields.push(Field { name, shows, label, size });
        }
    }
    messages
}

fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

/// The connection as a file of packets: the bytes are real; addresses, ports, sequence
/// numbers, the handshake and the end are made up.
fn pcap(recorded: &Recorded, port: u16) -> Vec<u8> {
    // The format's magic number and version, no time zone, no limit, raw IP packets.
    let numbers = [0xa1b2c3d4_u32, 0x0004_0002, 0, 0, 65535, 101];
    let mut file: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    let mut next = [0_u32; 2];
    let mut packet = |direction: Direction, flags: u8, bytes: &[u8]| {
        let (from, to) = (direction as usize, 1 - direction as usize);
        let length = (40 + bytes.len()) as u16;
        let record = [0, 0, length.into(), u32::from(length)];
        file.extend(record.iter().flat_map(|n| n.to_le_bytes()));
        file.extend([0x45, 0]);
        file.extend(length.to_be_bytes());
        file.extend([0, 0, 0, 0, 64, 6, 0, 0]);
        file.extend([10, 0, 0, 1 + from as u8, 10, 0, 0, 1 + to as u8]);
        let ports = [CLIENT_PORT, port];
        file.extend(ports[from].to_be_bytes());
        file.extend(ports[to].to_be_bytes());
        file.extend(next[from].to_be_bytes());
        file.extend(next[to].to_be_bytes());
        // A header of 20 bytes, the whole window, no checksum.
        file.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        file.extend(bytes);
        next[from] += bytes.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
    };
    packet(Direction::ToServer, SYN, b"");
    packet(Direction::ToClient, SYN | ACK, b"");
    for (direction, bytes) in &recorded.0 {
        packet(*direction, ACK, bytes);
    }
    packet(Direction::ToClient, FIN | ACK, b"");
    packet(Direction::ToServer, FIN | ACK, b"");
    file
}
