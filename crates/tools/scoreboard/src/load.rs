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
use std::{fs::File, mem, net::SocketAddr};

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
    /// When each message that has arrived was due, until somebody asks.
    arrived: Vec<Instant>,
    last_arrival: Instant,
    /// The longest silence before the server is given up.
    patience: Duration,
    /// How often a client came anew.
    visits: u8,
    /// Of the last events: lane, listener, and how many messages it has got.
    heard: Vec<(usize, Option<usize>, usize)>,
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
            arrived: Vec::new(),
            last_arrival: Instant::now(),
            patience: PATIENCE,
            visits: 0,
            heard: Vec::new(),
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
        let mut delays = delays()?;
        while due < end || !self.is_idle() {
            while due < end && due <= Instant::now() {
                let Some(lane) = self.free.pop_front() else { break };
                self.send(lane, due)?;
                due += gap;
            }
            // Without waiting: the kernel's clock for it is too coarse.
            self.step(Duration::ZERO)?;
            self.collect(&mut delays)?;
        }
        Ok(delays)
    }

    /// Sends the next message whenever one has arrived; returns the delays of what
    /// arrived in this time, one at least, and how long it really was.
    pub fn at_full_speed(&mut self, time: Duration) -> Result<(Delays, Duration)> {
        let start = Instant::now();
        let mut delays = delays()?;
        while start.elapsed() < time || delays.is_empty() {
            while let Some(lane) = self.free.pop_front() {
                self.send(lane, Instant::now())?;
            }
            self.step(WAIT)?;
            self.collect(&mut delays)?;
        }
        Ok((delays, start.elapsed()))
    }

    /// Lets each client ask once.
    pub fn once_each(&mut self) -> Result<()> {
        for lane in 0..self.lanes.len() {
            self.send(lane, Instant::now())?;
        }
        self.drain()
    }

    /// Waits for what is under way.
    pub fn drain(&mut self) -> Result<()> {
        while !self.is_idle() {
            self.step(WAIT)?;
        }
        self.arrived.clear();
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.under_way.is_empty())
    }

    fn collect(&mut self, delays: &mut Delays) -> Result<()> {
        let now = Instant::now();
        for due in self.arrived.drain(..) {
            delays.record(now.duration_since(due).as_micros().max(1) as u64)?;
        }
        Ok(())
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
        let mut heard = mem::take(&mut self.heard);
        for event in &self.events {
            let connection = &mut self.connections[event.token().0];
            connection.flush()?;
            let messages = connection.receive(&mut self.buffer)?;
            heard.push((connection.lane, connection.listener, messages));
        }
        for (lane, listener, messages) in heard.drain(..) {
            for _ in 0..messages {
                self.deliver(lane, listener)?;
            }
        }
        self.heard = heard;
        let (silence, patience) = (self.last_arrival.elapsed(), self.patience);
        ensure!(silence < patience || self.is_idle(), "no message for {patience:?}");
        Ok(())
    }

    /// A listener has got the next message of a lane.
    fn deliver(&mut self, lane: usize, listener: Option<usize>) -> Result<()> {
        let (Some(listener), Some(found)) = (listener, self.lanes.get_mut(lane))
        else {
            return Ok(());
        };
        let place = (found.heard[listener] - found.first) as usize;
        found.heard[listener] += 1;
        let message = found.under_way.get_mut(place);
        message.context("a message came that was not sent")?.1 -= 1;
        if let Some((due, 0)) = found.under_way.front() {
            self.arrived.push(*due);
            self.free.push_back(lane);
            self.last_arrival = Instant::now();
            found.first += 1;
            found.under_way.pop_front();
        }
        Ok(())
    }
}

fn delays() -> Result<Delays> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
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
            while let Some(taken) =
                self.protocol.read(&self.input, &mut self.output)?
            {
                self.input.drain(..taken.bytes);
                messages += taken.messages;
            }
            self.flush()?;
            if messages > 0 && self.anew.is_some() {
                // What the server does with the connection now is of no interest.
                return Ok(messages);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::echo::Echo;
    use socket2::Domain;
    use std::net::{TcpListener, TcpStream};
    use std::thread::{self, JoinHandle, sleep};

    const MESSAGE: &[u8] = b"hello";
    const MOMENT: Duration = Duration::from_millis(100);

    /// A server of so many clients, one after the other, on a thread of its own.
    fn server(
        clients: usize,
        serve: impl Fn(TcpStream) + Clone + Send + 'static,
    ) -> (SockAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let threads = (0..clients).map(|_| {
                let (client, serve) = (listener.accept().unwrap().0, serve.clone());
                thread::spawn(move || serve(client))
            });
            let threads: Vec<_> = threads.collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        (address.into(), thread)
    }

    fn echo(mut client: TcpStream) {
        let mut buffer = [0; MESSAGE.len()];
        while client.read_exact(&mut buffer).is_ok() {
            if client.write_all(&buffer).is_err() {
                break;
            }
        }
    }

    fn load(address: &SockAddr, clients: usize, is_anew: bool) -> Load {
        let mut load = Load::new().unwrap();
        for _ in 0..clients {
            let protocol = Box::new(Echo(MESSAGE.to_vec()));
            load.add_client((address, Type::STREAM), protocol, is_anew).unwrap();
        }
        load.settle().unwrap();
        load
    }

    #[test]
    fn a_refused_connection_is_an_error() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // Bound, so that nobody else listens there, and not listening either.
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        assert!(connect(&socket.local_addr().unwrap(), Type::STREAM).is_err());
    }

    #[test]
    fn a_server_that_never_answers_is_an_error() {
        let (address, _) = server(1, mem::forget);
        let mut load = load(&address, 1, false);
        load.patience = MOMENT;
        assert!(load.at_rate(1000, MOMENT).is_err());
        let mut load = self::load(&server(1, mem::forget).0, 1, false);
        load.patience = MOMENT;
        assert!(load.at_full_speed(Duration::from_secs(10)).is_err());
    }

    #[test]
    fn a_server_that_leaves_or_answers_something_else_is_an_error() {
        let (leaves, _) = server(1, |mut client| drop(client.read(&mut [0; 16])));
        let error = load(&leaves, 1, false).at_full_speed(MOMENT).unwrap_err();
        assert_eq!(error.to_string(), "the program closed a connection, or ended");
        let (differs, _) = server(1, |mut client| {
            let _ = client.read(&mut [0; 16]);
            let _ = client.write_all(b"hullo");
        });
        assert!(load(&differs, 1, false).at_full_speed(MOMENT).is_err());
    }

    #[test]
    fn all_clients_are_answered_and_nothing_is_left_under_way() {
        let (address, server) = server(3, echo);
        let mut load = load(&address, 3, false);
        let (delays, elapsed) = load.at_full_speed(MOMENT).unwrap();
        assert!(delays.len() > 3 && elapsed >= MOMENT);
        load.drain().unwrap();
        assert_eq!(load.free.len(), 3);
        drop(load);
        server.join().unwrap();
    }

    #[test]
    fn at_a_rate_as_many_are_sent_as_are_due() {
        let (address, _) = server(1, echo);
        assert_eq!(load(&address, 1, false).at_rate(200, MOMENT).unwrap().len(), 20);
    }

    #[test]
    fn a_client_that_comes_anew_is_another_one_each_time() {
        let (address, server) = server(11, echo);
        let delays = load(&address, 1, true).at_rate(100, MOMENT).unwrap();
        assert_eq!(delays.len(), 10);
        server.join().unwrap();
    }

    #[test]
    fn a_message_that_had_to_wait_for_another_counts_from_when_it_was_due() {
        let pauses = |mut client: TcpStream| {
            let mut first = [0; MESSAGE.len()];
            client.read_exact(&mut first).unwrap();
            sleep(MOMENT);
            client.write_all(&first).unwrap();
            echo(client);
        };
        let (address, _) = server(1, pauses);
        let delays = load(&address, 1, false).at_rate(200, MOMENT).unwrap();
        // One was slow; of those that waited behind it, half did for half its time.
        assert_eq!(delays.len(), 20);
        assert!(delays.value_at_quantile(0.5) >= 40_000, "{delays:?}");
    }

    #[test]
    fn a_message_has_arrived_when_all_listeners_have_it() {
        let (address, _) = server(3, mem::forget);
        let mut load = Load::new().unwrap();
        let socket = || connect(&address, Type::STREAM).unwrap();
        let protocol = || Box::new(Echo(MESSAGE.to_vec()));
        load.add_publisher(socket(), protocol(), 2, false).unwrap();
        load.add_subscriber(socket(), protocol()).unwrap();
        load.add_subscriber(socket(), protocol()).unwrap();
        let (lane, listeners) = (0, [0, 1]);
        let now = Instant::now();
        load.lanes[lane].under_way.extend([(now, 2), (now, 2)]);
        let mut arrived = |listener: usize| {
            load.deliver(lane, Some(listeners[listener])).unwrap();
            load.arrived.len()
        };
        assert_eq!([0, 0, 1, 1].map(&mut arrived), [0, 0, 1, 2]);
        assert!(load.deliver(lane, Some(listeners[0])).is_err(), "nothing was sent");
    }
}
