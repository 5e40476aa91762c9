//! Writes what crossed as packets, in the classic pcap format that Wireshark opens.
//!
//! The proxy sees streams, not packets: addresses and bytes are the real ones, while
//! the packets around them are made here.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use etherparse::{IpHeaders, PacketBuilder, PacketBuilderStep};

use crate::dissect::Direction;

/// What follows are IP packets, without anything around them (LINKTYPE_RAW).
const LINK_TYPE: u32 = 101;
const LONGEST: u32 = 65_535;
/// Bytes of a stream put into one packet; IP allows a little less than 64 KiB.
const SEGMENT: usize = 32_768;
const WINDOW: u16 = 65_535;
const TTL: u8 = 64;

pub struct Packet {
    pub time: SystemTime,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub direction: Direction,
    pub content: Content,
}

pub enum Content {
    Datagram(Vec<u8>),
    /// Bytes of a TCP connection, and how many bytes of each direction were before.
    Segment(Vec<u8>, [u64; 2]),
    /// The three packets that open one.
    Handshake,
    /// The end of a direction, after so many bytes.
    End([u64; 2]),
    Reset([u64; 2]),
}

pub struct Writer {
    file: BufWriter<File>,
}

impl Writer {
    pub fn start(file: File) -> io::Result<Writer> {
        let mut file = BufWriter::new(file);
        // The magic number says microseconds, and the byte order of all numbers.
        file.write_all(&0xa1b2_c3d4_u32.to_le_bytes())?;
        for version in [2_u16, 4] {
            file.write_all(&version.to_le_bytes())?;
        }
        for number in [0, 0, LONGEST, LINK_TYPE] {
            file.write_all(&number.to_le_bytes())?;
        }
        file.flush()?;
        Ok(Writer { file })
    }

    pub fn write(&mut self, packet: &Packet) -> io::Result<()> {
        use Direction::{ToClient, ToServer};
        let way = packet.direction;
        match &packet.content {
            Content::Datagram(data) => self.datagram(packet, data),
            Content::Handshake => {
                self.segment(packet, ToServer, Flag::Syn, [0, 0], &[])?;
                self.segment(packet, ToClient, Flag::SynAck, [0, 0], &[])?;
                self.segment(packet, ToServer, Flag::Ack, [0, 0], &[])
            }
            Content::Segment(data, before) => {
                let mut before = *before;
                for data in data.chunks(SEGMENT) {
                    self.segment(packet, way, Flag::Ack, before, data)?;
                    before[way as usize] += data.len() as u64;
                }
                Ok(())
            }
            Content::End(before) => {
                self.segment(packet, way, Flag::Fin, *before, &[])
            }
            Content::Reset(before) => {
                self.segment(packet, way, Flag::Reset, *before, &[])
            }
        }
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    fn segment(
        &mut self,
        packet: &Packet,
        way: Direction,
        flag: Flag,
        before: [u64; 2],
        data: &[u8],
    ) -> io::Result<()> {
        let (from, to) = ends(packet, way);
        // Opening a connection takes a sequence number too.
        let opened = !matches!(flag, Flag::Syn | Flag::SynAck);
        let number = (before[way as usize] + u64::from(opened)) as u32;
        let other = (before[1 - way as usize] + 1) as u32;
        let step = ip(from, to).tcp(from.port(), to.port(), number, WINDOW);
        let step = match flag {
            Flag::Syn => step.syn(),
            Flag::SynAck => step.syn().ack(other),
            Flag::Ack if data.is_empty() => step.ack(other),
            Flag::Ack => step.psh().ack(other),
            Flag::Fin => step.fin().ack(other),
            Flag::Reset => step.rst().ack(other),
        };
        let mut bytes = Vec::with_capacity(step.size(data.len()));
        step.write(&mut bytes, data).map_err(io::Error::other)?;
        self.record(packet.time, &bytes)
    }

    fn datagram(&mut self, packet: &Packet, data: &[u8]) -> io::Result<()> {
        let (from, to) = ends(packet, packet.direction);
        let step = ip(from, to).udp(from.port(), to.port());
        let mut bytes = Vec::with_capacity(step.size(data.len()));
        step.write(&mut bytes, data).map_err(io::Error::other)?;
        self.record(packet.time, &bytes)
    }

    fn record(&mut self, time: SystemTime, bytes: &[u8]) -> io::Result<()> {
        let time = time.duration_since(SystemTime::UNIX_EPOCH);
        let time: Duration = time.unwrap_or_default();
        let length = bytes.len() as u32;
        for number in [time.as_secs() as u32, time.subsec_micros(), length, length] {
            self.file.write_all(&number.to_le_bytes())?;
        }
        self.file.write_all(bytes)
    }
}

enum Flag {
    Syn,
    SynAck,
    Ack,
    Fin,
    Reset,
}

fn ends(packet: &Packet, way: Direction) -> (SocketAddr, SocketAddr) {
    match way {
        Direction::ToServer => (packet.client, packet.server),
        Direction::ToClient => (packet.server, packet.client),
    }
}

/// A packet's first header. When only one of the two has an address of IPv4, it is
/// written in its form in IPv6.
fn ip(from: SocketAddr, to: SocketAddr) -> PacketBuilderStep<IpHeaders> {
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            PacketBuilder::ipv4(from.octets(), to.octets(), TTL)
        }
        (from, to) => PacketBuilder::ipv6(in_ipv6(from), in_ipv6(to), TTL),
    }
}

fn in_ipv6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}
