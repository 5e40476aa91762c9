//! The load: connections, and lines that programs print, all on one thread and
//! straight on the kernel's events.
//!
//! Messages go down lanes. A lane is a client that asks and waits for its answer, or
//! a publisher with some messages under way; a message has arrived when each listener
//! of its lane has got it: the client itself, or every subscriber.

use std::collections::VecDeque;
use std::io::{ErrorKind::Interrupted, ErrorKind::WouldBlock, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};
use std::{fs::File, net::SocketAddr};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token, unix::SourceFd};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{SockAddr, Socket, Type};

use crate::protocol::Protocol;

const PATIENCE: Duration = Duration::from_secs(10);
/// How long the kernel is asked to wait for events when nothing else is to do.
const WAIT: Duration = Duration::from_millis(100);
const BUFFER: usize = 128 * 1024;

/// Delays in microseconds, with three digits, up to a minute.
pub type Delays = Histogram<u64>;

pub struct Load {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    connections: Vec<Connection>,
    lanes: Vec<Lane>,
    /// A lane stands here once for each further message that it may have under way.
    free: VecDeque<usize>,
    /// Of what has arrived since the load began to send this way.
    delays: Delays,
    last_arrival: Instant,
    /// The longest silence before the server is given up.
    pub patience: Duration,
    /// How often a client came anew.
    visits: u8,
}

/// A socket, or the pipe of a program's output; its place in the list is its token.
struct Connection {
    stream: File,
    protocol: Box<dyn Protocol>,
    /// The place where it connects anew for each message, if it does.
    anew: Option<SockAddr>,
    input: Vec<u8>,
    output: Vec<u8>,
    lane: usize,
    /// What arrives here are messages of the lane, to this listener.
    listener: Option<usize>,
}

#[derive(Default)]
struct Lane {
    /// The connection that its messages are sent on.
    speaker: usize,
    /// What is under way, the oldest first: when it was due, and how many listeners
    /// have not got it yet.
    under_way: VecDeque<(Instant, usize)>,
    /// How many messages of this lane have arrived at all listeners.
    first: u64,
    /// How many each listener has got.
    heard: Vec<u64>,
}

/// A socket that is connected, whatever its kind.
pub fn connect(address: &SockAddr, kind: Type) -> Result<Socket> {
    let socket = Socket::new(address.domain(), kind, None)?;
    socket.connect(address).context("cannot connect")?;
    if kind == Type::STREAM {
        socket.set_tcp_nodelay(true)?;
    }
    Ok(socket)
}

/// The same by TCP, as another client each time: from the loopback's addresses in
/// turn. The ports of one alone would run out, since each rests for a minute when its
/// connection has ended, and to look for a free one would be what is measured.
fn connect_anew(address: &SockAddr, visit: u8) -> Result<File> {
    let socket = Socket::new(address.domain(), Type::STREAM, None)?;
    setsockopt(&socket, IpBindAddressNoPort, &true)?;
    let own = SocketAddr::from(([127, 0, 0, 2 + visit % 250], 0));
    socket.bind(&own.into())?;
    socket.connect(address).context("cannot connect")?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(File::from(OwnedFd::from(socket)))
}

impl Load {
    pub fn new() -> Result<Load> {
        Ok(Load {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            buffer: vec![0; BUFFER],
            connections: Vec::new(),
            lanes: Vec::new(),
            free: VecDeque::new(),
            delays: Histogram::new_with_bounds(1, 60_000_000, 3)?,
            last_arrival: Instant::now(),
            patience: PATIENCE,
            visits: 0,
        })
    }

    /// A client that asks, and waits for the answer before it asks again.
    pub fn add_client(
        &mut self,
        (address, kind): (&SockAddr, Type),
        protocol: Box<dyn Protocol>,
        anew: bool,
    ) -> Result<()> {
        let socket = connect(address, kind)?;
        if !anew && kind == Type::STREAM {
            // Closing then leaves nothing behind that waits for a minute in the
            // kernel: after some thousand clients there would be no ports left.
            socket.set_linger(Some(Duration::ZERO))?;
        }
        self.add_publisher(socket, protocol, 1, true)?;
        let client = self.connections.last_mut().context("it was added")?;
        client.anew = anew.then(|| address.clone());
        Ok(())
    }

    /// A publisher that may have so many messages under way; when it is told what has
    /// arrived, it is a listener itself.
    pub fn add_publisher(
        &mut self,
        socket: Socket,
        protocol: Box<dyn Protocol>,
        under_way: usize,
        is_told: bool,
    ) -> Result<()> {
        let lane = self.lanes.len();
        self.lanes.push(Lane { speaker: self.connections.len(), ..Lane::default() });
        self.free.extend(std::iter::repeat_n(lane, under_way));
        let listener = is_told.then(|| self.add_listener(lane));
        self.add(socket.into(), protocol, lane, listener, Interest::WRITABLE)
    }

    /// Another place where the publisher's messages arrive: a connection, or the lines
    /// that a program prints.
    pub fn add_subscriber(
        &mut self,
        stream: impl Into<OwnedFd>,
        protocol: Box<dyn Protocol>,
    ) -> Result<()> {
        let listener = Some(self.add_listener(0));
        self.add(stream.into(), protocol, 0, listener, Interest::READABLE)
    }

    fn add_listener(&mut self, lane: usize) -> usize {
        self.lanes[lane].heard.push(0);
        self.lanes[lane].heard.len() - 1
    }

    fn add(
        &mut self,
        stream: OwnedFd,
        protocol: Box<dyn Protocol>,
        lane: usize,
        listener: Option<usize>,
        interest: Interest,
    ) -> Result<()> {
        fcntl(&stream, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let stream = File::from(stream);
        self.register(&stream, self.connections.len(), interest)?;
        let (input, output, anew) = (Vec::new(), protocol.greeting(), None);
        let mut connection =
            Connection { stream, protocol, anew, input, output, lane, listener };
        connection.flush()?;
        self.connections.push(connection);
        Ok(())
    }

    fn register(
        &self,
        stream: &File,
        token: usize,
        interest: Interest,
    ) -> Result<()> {
        let (fd, interest) = (stream.as_raw_fd(), interest | Interest::READABLE);
        let registry = self.poll.registry();
        Ok(registry.register(&mut SourceFd(&fd), Token(token), interest)?)
    }

    /// Waits until all connections and programs are ready for messages.
    pub fn settle(&mut self) -> Result<()> {
        let start = Instant::now();
        while !self.connections.iter().all(|it| it.protocol.is_ready()) {
            let patience = self.patience;
            ensure!(start.elapsed() < patience, "not ready in {patience:?}");
            self.step(WAIT)?;
        }
        self.last_arrival = Instant::now();
        Ok(())
    }

    /// Sends so many messages a second for some time, answered or not; returns the
    /// delays. Each counts from the moment at which its message was due: one that had
    /// to wait for others waited all the same.
    pub fn at_rate(&mut self, per_second: u32, time: Duration) -> Result<Delays> {
        let gap = Duration::from_secs(1) / per_second;
        let start = Instant::now();
        let (mut due, end) = (start, start + time);
        self.delays.reset();
        while due < end || !self.is_idle() {
            while due < end && due <= Instant::now() {
                let Some(lane) = self.free.pop_front() else { break };
                self.send(lane, due)?;
                due += gap;
            }
            // Without waiting: the kernel's clock for it is too coarse.
            self.step(Duration::ZERO)?;
        }
        Ok(self.delays.clone())
    }

    /// Sends the next message whenever one has arrived; returns the delays of what
    /// arrived in this time, one at least, and how long it really was.
    pub fn at_full_speed(&mut self, time: Duration) -> Result<(Delays, Duration)> {
        let start = Instant::now();
        self.delays.reset();
        while start.elapsed() < time || self.delays.is_empty() {
            while let Some(lane) = self.free.pop_front() {
                self.send(lane, Instant::now())?;
            }
            self.step(WAIT)?;
        }
        Ok((self.delays.clone(), start.elapsed()))
    }

    /// Waits for what is under way.
    pub fn drain(&mut self) -> Result<()> {
        while !self.is_idle() {
            self.step(WAIT)?;
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.under_way.is_empty())
    }

    fn send(&mut self, lane: usize, due: Instant) -> Result<()> {
        let lane = &mut self.lanes[lane];
        lane.under_way.push_back((due, lane.heard.len()));
        let index = lane.speaker;
        if let Some(address) = &self.connections[index].anew {
            self.visits = self.visits.wrapping_add(1);
            let stream = connect_anew(address, self.visits)?;
            self.register(&stream, index, Interest::WRITABLE)?;
            // The one before is closed by this.
            self.connections[index].stream = stream;
        }
        let connection = &mut self.connections[index];
        connection.protocol.write(&mut connection.output);
        connection.flush()
    }

    /// Waits for events, at most so long, and does what they ask for.
    fn step(&mut self, wait: Duration) -> Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == Interrupted => return Ok(()),
            result => result?,
        }
        for event in &self.events {
            let connection = &mut self.connections[event.token().0];
            connection.flush()?;
            let messages = connection.receive(&mut self.buffer)?;
            let Some(listener) = connection.listener else { continue };
            for _ in 0..messages {
                let arrived = self.lanes[connection.lane].hear(listener)?;
                let Some(due) = arrived else { continue };
                self.last_arrival = Instant::now();
                let delay = self.last_arrival.duration_since(due).as_micros();
                self.delays.record(delay.max(1) as u64)?;
                self.free.push_back(connection.lane);
            }
        }
        let (silence, patience) = (self.last_arrival.elapsed(), self.patience);
        ensure!(silence < patience || self.is_idle(), "no message for {patience:?}");
        Ok(())
    }
}

impl Lane {
    /// A listener has got its next message. Returns when the oldest one was due, if now
    /// all have got that.
    fn hear(&mut self, listener: usize) -> Result<Option<Instant>> {
        let place = (self.heard[listener] - self.first) as usize;
        self.heard[listener] += 1;
        let message = self.under_way.get_mut(place);
        message.context("a message came that was not sent")?.1 -= 1;
        let Some((_, 0)) = self.under_way.front() else { return Ok(None) };
        self.first += 1;
        Ok(self.under_way.pop_front().map(|(due, _)| due))
    }
}

impl Connection {
    /// Sends what there is room for; an event tells when there is room for more.
    fn flush(&mut self) -> Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(length) => drop(self.output.drain(..length)),
                Err(error) if error.kind() == WouldBlock => break,
                Err(error) => return Err(error).context("cannot send"),
            }
        }
        Ok(())
    }

    /// Reads what is there; returns how many messages that completes.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut messages = 0;
        loop {
            match self.stream.read(buffer) {
                Ok(0) => bail!("the program closed a connection, or ended"),
                Ok(length) => self.input.extend(&buffer[..length]),
                Err(error) if error.kind() == WouldBlock => return Ok(messages),
                Err(error) => return Err(error).context("cannot receive"),
            }
            while let Some((bytes, arrived)) =
                self.protocol.read(&self.input, &mut self.output)?
            {
                self.input.drain(..bytes);
                messages += arrived;
            }
            self.flush()?;
            if messages > 0 && self.anew.is_some() {
                // What the server does with the connection now is of no interest.
                return Ok(messages);
            }
        }
    }
}
