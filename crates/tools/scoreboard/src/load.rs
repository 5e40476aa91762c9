//! The load: connections, and the output of programs, on one thread with an event loop
//! directly on epoll.
//!
//! Messages travel on lanes. A lane is a client that waits for each reply, or a publisher
//! with several messages in flight. A message has arrived when each listener of its lane
//! has received it: the client itself, or every subscriber.

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
/// The longest wait for events when there is nothing to send.
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
    /// A lane is in this list once for each further message that it may send.
    free: VecDeque<usize>,
    /// The delays of the messages that have arrived in the current measurement.
    delays: Delays,
    last_arrival: Instant,
    /// The longest silence before the measurement fails.
    pub patience: Duration,
    /// How many new connections were opened for a message.
    visits: u8,
}

/// A socket, or the pipe of a program's output; its index in the list is its token.
struct Connection {
    stream: File,
    protocol: Box<dyn Protocol>,
    /// The address to which it connects again for each message, if it does.
    anew: Option<SockAddr>,
    input: Vec<u8>,
    output: Vec<u8>,
    lane: usize,
    /// The number of the lane's listener that receives here, if one does.
    listener: Option<usize>,
}

#[derive(Default)]
struct Lane {
    /// The connection that its messages are sent on.
    speaker: usize,
    /// Messages in flight, the oldest first: when each was due, and how many listeners
    /// have not received it yet.
    under_way: VecDeque<(Instant, usize)>,
    /// How many messages all listeners have received: the number of the oldest one above.
    arrived: u64,
    /// How many messages each listener has received.
    heard: Vec<u64>,
}

/// Returns a connected socket, for TCP or UDP.
pub fn connect(address: &SockAddr, kind: Type) -> Result<Socket> {
    let socket = Socket::new(address.domain(), kind, None)?;
    socket.connect(address).context("cannot connect")?;
    if kind == Type::STREAM {
        socket.set_tcp_nodelay(true)?;
    }
    Ok(socket)
}

/// The same for TCP, from another address of the loopback each time. With one address
/// the ports would run out, since each stays in TIME-WAIT for a minute, and the search
/// for a free one would be measured.
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

    /// A client that waits for the reply before it sends the next request.
    pub fn add_client(
        &mut self,
        (address, kind): (&SockAddr, Type),
        protocol: Box<dyn Protocol>,
        anew: bool,
    ) -> Result<()> {
        let socket = connect(address, kind)?;
        if !anew && kind == Type::STREAM {
            // close() then sends RST and leaves nothing in TIME-WAIT. Otherwise there
            // would be no free ports after some thousands of clients.
            socket.set_linger(Some(Duration::ZERO))?;
        }
        self.add_publisher(socket, protocol, 1, true)?;
        let client = self.connections.last_mut().context("it was added")?;
        client.anew = anew.then(|| address.clone());
        Ok(())
    }

    /// A publisher with up to `under_way` messages in flight. If the broker acknowledges
    /// them to it, the publisher is a listener itself.
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

    /// A listener for the publisher's messages: a connection, or the output of a
    /// program.
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

    /// Waits until all connections and programs are ready.
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

    /// Sends messages at a fixed rate for some time; returns the delays. Each counts from
    /// the moment at which its message was due, also if it had to wait for a free lane:
    /// no coordinated omission.
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
            // Busy-polls: the timeout of epoll counts in milliseconds.
            self.step(Duration::ZERO)?;
        }
        Ok(self.delays.clone())
    }

    /// Sends the next message when one has arrived; returns the delays of at least one
    /// message, and the time that really passed.
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

    /// Waits until no message is in flight.
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
            // This closes the previous connection.
            self.connections[index].stream = stream;
        }
        let connection = &mut self.connections[index];
        connection.protocol.write(&mut connection.output);
        connection.flush()
    }

    /// Waits for events, at most for `wait`, and handles them.
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
    /// A listener has received its next message. If all have now received the oldest one,
    /// returns when that was due.
    fn hear(&mut self, listener: usize) -> Result<Option<Instant>> {
        let place = (self.heard[listener] - self.arrived) as usize;
        self.heard[listener] += 1;
        let message = self.under_way.get_mut(place);
        message.context("a message came that was not sent")?.1 -= 1;
        let Some((_, 0)) = self.under_way.front() else { return Ok(None) };
        self.arrived += 1;
        Ok(self.under_way.pop_front().map(|(due, _)| due))
    }
}

impl Connection {
    /// Writes as much as the socket takes; an event comes when it takes more.
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

    /// Reads all that is there; returns how many messages are now complete.
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
                // This connection is done: do not wait for the server to close it.
                return Ok(messages);
            }
        }
    }
}
