//! Keeps account of what crosses, and hands it to those who print and write it.
//!
//! They have threads of their own. What waits for them is bounded: when they are too
//! slow, lines and packets are left out and counted, and forwarding never waits.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::dissect::{Direction, Message};
use crate::line::{Event, Line, arrow};
use crate::mermaid::Diagram;
use crate::options::Options;
use crate::pcap::{self, Content, Packet};

/// Lines that may wait to be printed.
const LINES_WAITING: usize = 4096;
/// Packets that may wait to be written: 16 MiB at most.
const PACKETS_WAITING: usize = 256;
/// To be woken for each message would cost who forwards it more than to look at it.
const PRINTING_PAUSE: Duration = Duration::from_millis(1);
/// How long those who print and write may take to finish once all has ended.
const LAST_LINES: Duration = Duration::from_millis(500);

pub struct Recorder {
    begin: Instant,
    hex: bool,
    inner: Mutex<Inner>,
}

struct Inner {
    /// None once the wiretap has stopped, as with the next.
    lines: Option<SyncSender<Line>>,
    packets: Option<SyncSender<Packet>>,
    /// Lines left out since the last one that was not.
    left_out: u64,
    diagram: Option<Diagram>,
    summary: Summary,
}

/// What crossed in all. Printed with `Display`, it is the program's summary.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    pub connections: u64,
    /// Whether these are clients of UDP, which knows no connections.
    pub udp: bool,
    /// These three in each direction, by `Direction as usize`.
    pub messages: [u64; 2],
    pub bytes: [u64; 2],
    pub header: [u64; 2],
    /// How often each fault happened, by its name.
    pub faults: BTreeMap<&'static str, u64>,
    pub lines_left_out: u64,
    pub packets_left_out: u64,
}

/// Waits for the threads that print and write.
pub struct Finish(Receiver<()>);

impl Finish {
    pub fn wait(self) {
        // Nothing is ever sent: it is the threads' end that hangs up.
        let _ = self.0.recv_timeout(LAST_LINES);
    }
}

impl Recorder {
    pub fn start(
        options: &Options,
        pcap: Option<File>,
        sink: impl Fn(Line) + Send + 'static,
    ) -> io::Result<(Arc<Recorder>, Finish)> {
        let writer = pcap.map(pcap::Writer::start).transpose()?;
        let (lines, printing) = mpsc::sync_channel(LINES_WAITING);
        let (packets, writing) = mpsc::sync_channel(PACKETS_WAITING);
        let (working, finish) = mpsc::channel();
        let recorder = Arc::new(Recorder {
            begin: Instant::now(),
            hex: options.hex,
            inner: Mutex::new(Inner {
                lines: Some(lines),
                packets: writer.is_some().then_some(packets),
                left_out: 0,
                diagram: options.mermaid.as_ref().map(|_| Diagram::default()),
                summary: Summary { udp: options.udp, ..Summary::default() },
            }),
        });
        let works = working.clone();
        thread::spawn(move || {
            print_lines(&printing, sink);
            drop(works);
        });
        if let Some(writer) = writer {
            let recorder = recorder.clone();
            thread::spawn(move || {
                if let Err(error) = write_packets(writer, writing) {
                    let trouble = format!("cannot write the packets: {error}");
                    recorder.event(0, Event::Trouble(trouble));
                }
                drop(working);
            });
        }
        Ok((recorder, Finish(finish)))
    }

    /// Nothing more is recorded.
    pub fn stop(&self) {
        let mut inner = self.lock();
        inner.tell_left_out(self.begin.elapsed());
        (inner.lines, inner.packets) = (None, None);
    }

    pub fn summary(&self) -> Summary {
        self.lock().summary.clone()
    }

    /// The sequence diagram, if one was asked for.
    pub fn diagram(&self) -> Option<String> {
        self.lock().diagram.as_ref().map(Diagram::draw)
    }

    pub fn hex(&self) -> bool {
        self.hex
    }

    /// Returns the new connection's number.
    pub fn connected(&self, event: Event) -> u64 {
        let number = {
            let summary = &mut self.lock().summary;
            summary.connections += 1;
            summary.connections
        };
        self.event(number, event);
        number
    }

    pub fn message(
        &self,
        connection: u64,
        message: Message,
        bytes: Vec<u8>,
        arrives: bool,
    ) {
        let way = message.direction as usize;
        let inner = &mut *self.lock();
        inner.summary.messages[way] += 1;
        inner.summary.header[way] += message.header;
        inner.summary.bytes[way] += message.end - message.start;
        if let Some(diagram) = &mut inner.diagram {
            diagram.add(connection, &message, arrives);
        }
        inner.print(self.begin.elapsed(), connection, Event::Message(message, bytes));
    }

    /// A fault that was made: its name for the summary, and its line.
    pub fn fault(
        &self,
        connection: u64,
        direction: Option<Direction>,
        name: &'static str,
        line: String,
    ) {
        *self.lock().summary.faults.entry(name).or_default() += 1;
        self.event(connection, Event::Fault(direction, line));
    }

    pub fn event(&self, connection: u64, event: Event) {
        self.lock().print(self.begin.elapsed(), connection, event);
    }

    /// Takes a packet for the file, if there is one.
    pub fn packet(
        &self,
        ends: (SocketAddr, SocketAddr),
        direction: Direction,
        content: impl FnOnce() -> Content,
    ) {
        let inner = &mut *self.lock();
        let Some(packets) = &inner.packets else { return };
        let (client, server) = ends;
        let (time, content) = (SystemTime::now(), content());
        let packet = Packet { time, client, server, direction, content };
        if packets.try_send(packet).is_err() {
            inner.summary.packets_left_out += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn print(&mut self, time: Duration, connection: u64, event: Event) {
        self.tell_left_out(time);
        let numbered = self.summary.connections > 1 && connection > 0;
        let line = Line { time, connection, numbered, event };
        let sent = self.left_out == 0
            && self.lines.as_ref().is_some_and(|lines| lines.try_send(line).is_ok());
        if !sent {
            self.left_out += 1;
            self.summary.lines_left_out += 1;
        }
    }

    /// Tells of lines that were left out where they are missing.
    fn tell_left_out(&mut self, time: Duration) {
        if let (1.., Some(lines)) = (self.left_out, &self.lines) {
            let event = Event::LeftOut(self.left_out);
            let line = Line { time, connection: 0, numbered: false, event };
            if lines.try_send(line).is_ok() {
                self.left_out = 0;
            }
        }
    }
}

fn print_lines(lines: &Receiver<Line>, sink: impl Fn(Line)) {
    // Blocks until there is something to print.
    while let Ok(line) = lines.recv() {
        sink(line);
        while let Ok(line) = lines.try_recv() {
            sink(line);
        }
        thread::sleep(PRINTING_PAUSE);
    }
}

fn write_packets(
    mut writer: pcap::Writer,
    packets: Receiver<Packet>,
) -> io::Result<()> {
    loop {
        // Blocks until there is something to write.
        let Ok(packet) = packets.recv() else { return Ok(()) };
        writer.write(&packet)?;
        while let Ok(packet) = packets.try_recv() {
            writer.write(&packet)?;
        }
        // So that the file can be opened while the wiretap runs.
        writer.flush()?;
    }
}

impl Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let messages = count(self.messages.iter().sum(), "message");
        let what = if self.udp { "client" } else { "connection" };
        let connections = count(self.connections, what);
        write!(out, "Summary: {connections}, {messages}")?;
        for way in [Direction::ToServer, Direction::ToClient] {
            let [messages, bytes, header] =
                [self.messages, self.bytes, self.header].map(|n| n[way as usize]);
            let messages = count(messages, "message");
            write!(
                out,
                "\n{}: {messages}, {bytes} bytes: {header} header, ",
                arrow(way)
            )?;
            write!(out, "{} payload", bytes.saturating_sub(header))?;
            if let Some(percent) = (header * 100 + bytes / 2).checked_div(bytes) {
                write!(out, " ({percent} % header)")?;
            }
        }
        if !self.faults.is_empty() {
            let faults =
                self.faults.iter().map(|(name, count)| format!("{count} {name}"));
            write!(out, "\nFaults made: {}", faults.collect::<Vec<_>>().join(", "))?;
        }
        if self.lines_left_out > 0 {
            let lines = self.lines_left_out;
            write!(out, "\n{lines} lines left out: printing was too slow")?;
        }
        if self.packets_left_out > 0 {
            let packets = self.packets_left_out;
            write!(out, "\n{packets} packets left out: the file was too slow")?;
        }
        Ok(())
    }
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
