//! Measures the chat server beside the Python `websockets` library's own broadcast():
//! 50 clients, of which one or three speak; and three more that never read.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{self, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::process;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use socket2::{Domain, Socket, Type};

use lab::python;
use scoreboard::processor::{cpu_seconds, pin, two_processors};
use scoreboard::programs;
use scoreboard::server::{Program, Server};
use scoreboard::stats::{median, percentile, ratios, spread};

const CLIENTS: usize = 50;
/// Messages that a speaker has on the way: it sends the next one when the oldest has
/// reached all the others.
const WINDOW: u64 = 16;
const WARM_UP: Duration = Duration::from_millis(500);
/// The part of the processor time at which other programs spoil a measurement.
const DISTURBED: f64 = 0.05;
const MOST_TRIES: usize = 100;
const PYTHON_LIBRARY: &str = "websockets==17.4";

/// Measures ws-server beside the Python websockets library's broadcast().
///
/// Builds the one, and installs the other into a virtual environment in the target
/// folder. Server and load run on a processor each.
#[derive(Parser)]
struct Arguments {
    /// Rounds, in which the servers take turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds to measure each
    #[arg(long, default_value_t = 2)]
    seconds: u64,
}

/// A load to measure under.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    speakers: usize,
    /// Clients beside the 50 that never read.
    never_reading: usize,
    bytes: usize,
    seconds: u64,
}

/// What a server did under it.
#[derive(Clone, Copy)]
struct Figures {
    deliveries: f64,
    p99: f64,
    cpu: f64,
    memory: f64,
    /// Processor time that other programs took, by that of server and load.
    others: f64,
}

/// A figure: its name, what to take, and how many digits to print.
type Column = (&'static str, fn(&Figures) -> f64, usize);

const COLUMNS: [Column; 4] = [
    ("deliveries a second", |figures| figures.deliveries, 0),
    ("p99, ms", |figures| figures.p99 * 1e3, 2),
    ("processor a delivery, us", |figures| figures.cpu * 1e6, 2),
    ("most memory, MB", |figures| figures.memory / 1000.0, 1),
];

fn main() -> Result<()> {
    let Arguments { rounds, seconds } = Arguments::parse();
    let processors = two_processors()?.context("it takes two processors")?;
    let programs = [rust()?, python()?];
    // From here on: what cargo and pip did may use both.
    pin(process::id(), processors.load)?;
    let load = |name, speakers, never_reading, bytes, seconds| Load {
        name,
        speakers,
        never_reading,
        bytes,
        seconds,
    };
    let loads = [
        load("one speaks, 100 bytes", 1, 0, 100, seconds),
        load("three speak, 100 bytes", 3, 0, 100, seconds),
        load("three speak, 1000 bytes", 3, 0, 1000, seconds),
        load(
            "three speak, 1000 bytes, three more never read",
            3,
            3,
            1000,
            seconds + 5,
        ),
    ];
    let mut figures = loads.map(|_| [Vec::new(), Vec::new()]);
    for round in 0..rounds {
        for (load, figures) in loads.iter().zip(&mut figures) {
            eprintln!("round {} of {rounds}: {}", round + 1, load.name);
            for (program, figures) in programs.iter().zip(figures) {
                figures.push(measure_undisturbed(program, *load, processors.server)?);
            }
        }
    }
    for (load, figures) in loads.iter().zip(&figures) {
        report(&programs, *load, figures);
    }
    Ok(())
}

/// Measures again while other programs take part of the processors: what they took is
/// all that decides, never a figure of the server.
fn measure_undisturbed(
    program: &Program,
    load: Load,
    core: usize,
) -> Result<Figures> {
    for _ in 0..MOST_TRIES {
        let server = Server::start(program, Some(core))?;
        let figures = measure(server, load).with_context(|| program.name.clone())?;
        if figures.others < DISTURBED {
            return Ok(figures);
        }
        let percent = figures.others * 100.0;
        eprintln!("  again: other programs took {percent:.0} % of the time");
    }
    bail!("the machine is too busy to measure on")
}

fn rust() -> Result<Program> {
    let path = programs::example("ws-chat", "ws-server")?;
    Ok(Program { name: "ws-server".into(), ..Program::silent(&path) })
}

/// Installs the library, and makes the script a program that runs with it.
fn python() -> Result<Program> {
    let folder = programs::target()?.join("chat-bench");
    fs::create_dir_all(&folder)?;
    let interpreter = python::environment(&folder, &[PYTHON_LIBRARY])?;
    let script = include_str!("chat-bench.py");
    let path = folder.join("chat.py");
    fs::write(&path, format!("#!{}\n{script}", interpreter.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(Program { name: PYTHON_LIBRARY.into(), ..Program::silent(&path) })
}

fn report(programs: &[Program; 2], load: Load, figures: &[Vec<Figures>; 2]) {
    println!("\n{} (median of {} rounds, spread)", load.name, figures[0].len());
    for (name, take, digits) in COLUMNS {
        println!("  {name}");
        let values = figures.each_ref().map(|rows| rows.iter().map(take).collect());
        let [ours, theirs]: &[Vec<f64>; 2] = &values;
        for (program, values) in programs.iter().zip(&values) {
            print_row(&program.name, values, digits);
        }
        print_row("ratio", &ratios(ours, theirs), 2);
    }
}

fn print_row(name: &str, values: &[f64], digits: usize) {
    let middle = median(values).unwrap_or_default();
    let (least, most) = spread(values).unwrap_or_default();
    println!(
        "    {name:18} {middle:>10.digits$} ({least:.digits$} to {most:.digits$})"
    );
}

struct Client {
    tcp: TcpStream,
    /// What arrived of a frame that is not whole yet.
    received: Vec<u8>,
}

/// What a speaker has on the way: when each message was sent, and how many it reached.
struct Speaker {
    first: u64,
    next: u64,
    sent_at: [Instant; WINDOW as usize],
    reached: [usize; WINDOW as usize],
}

struct Room {
    clients: Vec<Client>,
    speakers: Vec<Speaker>,
    bytes: usize,
    latencies: Vec<f64>,
}

fn measure(server: Server, load: Load) -> Result<Figures> {
    let silent = (0..load.never_reading).map(|_| join(server.address, true));
    let silent: Vec<Socket> = silent.collect::<Result<_>>()?;
    let mut poll = Poll::new()?;
    let mut clients = Vec::new();
    for index in 0..CLIENTS {
        let tcp = net::TcpStream::from(join(server.address, false)?);
        tcp.set_nonblocking(true)?;
        let mut tcp = TcpStream::from_std(tcp);
        poll.registry().register(&mut tcp, Token(index), Interest::READABLE)?;
        clients.push(Client { tcp, received: Vec::new() });
    }
    let now = Instant::now();
    let speaker = || Speaker {
        first: 0,
        next: 0,
        sent_at: [now; WINDOW as usize],
        reached: [0; WINDOW as usize],
    };
    let speakers = (0..load.speakers).map(|_| speaker()).collect();
    let mut room =
        Room { clients, speakers, bytes: load.bytes, latencies: Vec::new() };
    for index in 0..load.speakers {
        room.speak(index)?;
    }
    room.listen(&mut poll, WARM_UP, &server)?;
    room.latencies.clear();
    let (start, cpu) = (Instant::now(), server.cpu()?);
    let (all, own) = (busy_seconds()?, cpu_seconds(process::id())?);
    let memory =
        room.listen(&mut poll, Duration::from_secs(load.seconds), &server)?;
    let (time, cpu) = (start.elapsed().as_secs_f64(), server.cpu()? - cpu);
    let (all, own) = (busy_seconds()? - all, cpu_seconds(process::id())? - own);
    // Before its clients go, of which it would have much to say.
    drop(server);
    drop(silent);
    let count = room.latencies.len() as f64;
    Ok(Figures {
        deliveries: count / time,
        p99: percentile(&room.latencies, 99).context("no delivery")?,
        cpu: cpu / count,
        memory,
        others: (all - own - cpu).max(0.0) / (own + cpu),
    })
}

/// The processor time that all programs of the machine have had so far.
fn busy_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("an empty /proc/stat")?;
    // User, nice and system, in hundredths of a second.
    let counts = line.split_whitespace().skip(1).take(3).map(str::parse::<f64>);
    Ok(counts.sum::<Result<f64, _>>()? / 100.0)
}

impl Room {
    /// Reads for some time; returns the most memory that the server took.
    fn listen(
        &mut self,
        poll: &mut Poll,
        time: Duration,
        server: &Server,
    ) -> Result<f64> {
        let end = Instant::now() + time;
        let mut events = Events::with_capacity(CLIENTS);
        let (mut memory, mut look) = (0.0_f64, Instant::now());
        while Instant::now() < end {
            poll.poll(&mut events, Some(Duration::from_secs(5)))?;
            ensure!(!events.is_empty(), "no message for 5 s");
            for event in &events {
                self.read(event.token().0)?;
            }
            if Instant::now() > look {
                memory = memory.max(server.resident()?);
                look += Duration::from_millis(100);
            }
        }
        Ok(memory)
    }

    fn read(&mut self, index: usize) -> Result<()> {
        let mut buffer = [0; 65_536];
        loop {
            match self.clients[index].tcp.read(&mut buffer) {
                Ok(0) => bail!("the server closed a client that reads"),
                Ok(length) => self.clients[index].received.extend(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        let received = std::mem::take(&mut self.clients[index].received);
        let mut rest = &received[..];
        while let Some((kind, payload, after)) = split_frame(rest) {
            match kind {
                0x81 => self.count(payload)?,
                0x89 => self.clients[index].tcp.write_all(&frame(0x8A, payload))?,
                _ => bail!("an unexpected frame: {kind:x}"),
            }
            rest = after;
        }
        self.clients[index].received = rest.to_vec();
        Ok(())
    }

    /// Counts a delivery. Who said it, and the how manieth it is, stand at its end.
    fn count(&mut self, payload: &[u8]) -> Result<()> {
        let end = payload.last_chunk::<12>().context("a short message")?;
        let number: u64 = std::str::from_utf8(end)?.parse()?;
        let (index, number) =
            ((number / 10_000_000_000) as usize, number % 10_000_000_000);
        let speaker = self.speakers.get_mut(index).context("an unknown speaker")?;
        let place = (number % WINDOW) as usize;
        speaker.reached[place] += 1;
        self.latencies.push(speaker.sent_at[place].elapsed().as_secs_f64());
        self.speak(index)
    }

    /// Sends as much as the window allows.
    fn speak(&mut self, index: usize) -> Result<()> {
        let speaker = &mut self.speakers[index];
        while speaker.first < speaker.next
            && speaker.reached[(speaker.first % WINDOW) as usize] == CLIENTS - 1
        {
            speaker.first += 1;
        }
        let mut frames = Vec::new();
        while speaker.next < speaker.first + WINDOW {
            let place = (speaker.next % WINDOW) as usize;
            let number = index as u64 * 10_000_000_000 + speaker.next;
            let text = format!("{number:0>width$}", width = self.bytes);
            frames.extend(frame(0x81, text.as_bytes()));
            speaker.sent_at[place] = Instant::now();
            speaker.reached[place] = 0;
            speaker.next += 1;
        }
        match frames.is_empty() {
            true => Ok(()),
            false => Ok(self.clients[index].tcp.write_all(&frames)?),
        }
    }
}

/// Connects and asks for the Upgrade. Who never reads has little room to receive, as
/// on a phone that fell asleep.
fn join(server: SocketAddr, never_reads: bool) -> Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    if never_reads {
        socket.set_recv_buffer_size(4096)?;
    }
    socket.connect(&server.into())?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    (&socket).write_all(request.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        (&socket).read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    ensure!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    Ok(socket)
}

/// A masked frame, as a client has to send it: masked with zeros.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// The first frame of what arrived: its kind, its payload, and what comes after.
fn split_frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, length], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match length {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        length => (usize::from(length), rest),
    };
    let (payload, rest) = rest.split_at_checked(length)?;
    Some((kind, payload, rest))
}
