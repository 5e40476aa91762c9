//! Forwards TCP connections.
//!
//! Each direction is one loop that reads, writes all of it, and only then reads on:
//! a receiver that stops reading stops its sender, and nothing piles up here.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio::{select, try_join};

use crate::dissect::{Direction, Dissector, Message};
use crate::line::{Event, HEX_MOST};
use crate::options::{Delay, Point};
use crate::pcap::Content;
use crate::tap::Tap;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What makes `accept` fail, no more open files say, needs time to pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The most that is read at once.
const BUFFER: usize = 65_536;
/// Reads that a direction holds while they are delayed; then it reads no more.
const READS_DELAYED: usize = 16;
/// How long what a sender sent before its reset may take to be forwarded.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How many pieces a second a low rate is made of.
const PIECES: u64 = 20;

/// Why a connection ended otherwise than by the end of both streams.
enum Broken {
    /// The sender of this direction has reset it.
    Reset(Direction),
    /// It was cut on purpose.
    Cut,
}

/// What is to happen at a place in what is forwarded.
enum Act {
    Freeze(Duration),
    Cut,
    Swallow(String),
}

/// What to do with bytes that were looked at, in this order.
enum Step {
    /// A message, and its first bytes, crosses.
    Show(Message, Vec<u8>),
    /// It does not.
    Lose(Message, Vec<u8>),
    /// At this place of the bytes.
    Act(usize, Act),
}

struct Connection {
    tap: Arc<Tap>,
    number: u64,
    /// The client's and the server's, both as a sender: by `Direction as usize`.
    sockets: [TcpStream; 2],
    /// The addresses of the same two.
    ends: (SocketAddr, SocketAddr),
    /// Whether the sender of this direction is known to be gone.
    gone: [AtomicBool; 2],
    state: Mutex<State>,
}

struct State {
    dissector: Dissector,
    /// Bytes looked at, and bytes written, in each direction.
    seen: [u64; 2],
    written: [u64; 2],
    ended: [bool; 2],
    messages: u64,
    heads: [Head; 2],
    frozen: Instant,
    /// When each direction has sent, at its rate, what it was given.
    free: [Instant; 2],
}

pub async fn serve(listener: TcpListener, tap: Arc<Tap>) -> io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((client, address)) => {
                drop(tokio::spawn(forward(tap.clone(), client, address)))
            }
            Err(error) => {
                let trouble = format!("cannot accept a client: {error}");
                tap.recorder.event(0, Event::Trouble(trouble));
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Forwards one connection to its end.
async fn forward(tap: Arc<Tap>, client: TcpStream, address: SocketAddr) {
    let number = tap.recorder.connected(Event::Connected(address));
    let connecting = timeout(CONNECT_TIMEOUT, connect(&tap)).await;
    match connecting.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
        Ok(server) => {
            // One that has been reset since has no address any more.
            let to = server.peer_addr().unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into());
            let sockets = [client, server];
            Connection::new(tap.clone(), number, sockets, (address, to)).run().await;
        }
        Err(error) => {
            let trouble = format!("cannot connect to {}: {error}", tap.target);
            tap.recorder.event(number, Event::Trouble(trouble));
            reset(&client);
        }
    }
    if number == 1 {
        tap.first_end.notify_one();
    }
}

async fn connect(tap: &Tap) -> io::Result<TcpStream> {
    TcpStream::connect(&*tap.target().await?).await
}

/// Closing the socket will send a reset instead of an orderly end.
fn reset(socket: &TcpStream) {
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

impl Connection {
    fn new(
        tap: Arc<Tap>,
        number: u64,
        sockets: [TcpStream; 2],
        ends: (SocketAddr, SocketAddr),
    ) -> Connection {
        for socket in &sockets {
            // The kernel must not wait for more to come: the sender's may have.
            let _ = socket.set_nodelay(true);
        }
        let now = Instant::now();
        let state = Mutex::new(State {
            dissector: Dissector::new(tap.options.protocol),
            seen: [0; 2],
            written: [0; 2],
            ended: [false; 2],
            messages: 0,
            heads: Default::default(),
            frozen: now,
            free: [now; 2],
        });
        Connection { tap, number, sockets, ends, gone: Default::default(), state }
    }

    async fn run(self) {
        let (up, down) = (Direction::ToServer, Direction::ToClient);
        self.packet(up, |_| Content::Handshake);
        let both = async { try_join!(self.pump(up), self.pump(down)) };
        let result = select! {
            biased;
            result = both => result.map(drop),
            broken = self.lost() => Err(broken),
        };
        let Err(broken) = result else { return };
        for direction in [up, down] {
            self.end_messages(direction);
            if !matches!(broken, Broken::Reset(sender) if sender != direction) {
                self.packet(direction, |state| Content::Reset(state.written));
            }
        }
        if let Broken::Reset(sender) = broken {
            self.tap.recorder.event(self.number, Event::Reset(sender));
        }
        // And so it reaches the other side as what it was.
        self.sockets.iter().for_each(reset);
    }

    /// Forwards one direction to its end.
    async fn pump(&self, way: Direction) -> Result<(), Broken> {
        if let Some(delay) = self.tap.options.faults.delay {
            return self.pump_later(way, delay).await;
        }
        // The memory is only taken as far as something is read into it.
        let mut buffer = Vec::with_capacity(BUFFER);
        loop {
            self.read(way, &mut buffer).await?;
            if buffer.is_empty() {
                return self.end(way).await;
            }
            self.pass(way, &buffer).await?;
            // Other connections have their turn, now and then.
            consume_budget().await;
        }
    }

    /// The same, with a queue for what is on its way.
    async fn pump_later(&self, way: Direction, delay: Delay) -> Result<(), Broken> {
        let (sender, mut receiver) = mpsc::channel(READS_DELAYED);
        let reading = async {
            let mut dice = self.tap.dice(self.number, way);
            let mut buffer = Vec::with_capacity(BUFFER);
            let mut due = Instant::now();
            loop {
                let result = self.read(way, &mut buffer).await;
                let is_last = result.is_err() || buffer.is_empty();
                let delay = Duration::from_micros(dice.u64(delay.range()));
                // What came first goes first.
                due = due.max(Instant::now() + delay);
                let item = (due, result.map(|()| buffer.clone()));
                // Waits while the queue is full.
                if sender.send(item).await.is_err() || is_last {
                    return Ok(());
                }
            }
        };
        let writing = async {
            while let Some((due, bytes)) = receiver.recv().await {
                sleep_until(due).await;
                match bytes? {
                    bytes if bytes.is_empty() => return self.end(way).await,
                    bytes => self.pass(way, &bytes).await?,
                }
            }
            Ok(())
        };
        try_join!(reading, writing).map(drop)
    }

    /// Waits until one side is gone while nobody reads from it: its direction has
    /// ended, or waits to write. It then gets a moment for what it sent before.
    async fn lost(&self) -> Broken {
        let [client, server] = &self.sockets;
        let sender = select! {
            _ = client.ready(Interest::ERROR) => Direction::ToServer,
            _ = server.ready(Interest::ERROR) => Direction::ToClient,
        };
        self.gone[sender as usize].store(true, Ordering::Relaxed);
        let delay = self.tap.options.faults.delay.unwrap_or_default();
        sleep(LAST_WORDS + delay.mean + delay.deviation).await;
        self.thaw().await;
        Broken::Reset(sender)
    }

    /// Reads what there is; nothing at the end of the stream.
    async fn read(&self, way: Direction, buffer: &mut Vec<u8>) -> Result<(), Broken> {
        let from = &self.sockets[way as usize];
        buffer.clear();
        loop {
            let ready = from.readable().await;
            match ready.and_then(|()| from.try_read_buf(buffer)) {
                // A write has found out that it is gone, and the kernel says it once.
                Ok(0) if self.gone[way as usize].load(Ordering::Relaxed) => break,
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        Err(Broken::Reset(way))
    }

    /// Forwards what was read, and shows it.
    async fn pass(&self, way: Direction, mut bytes: &[u8]) -> Result<(), Broken> {
        while !bytes.is_empty() {
            let (length, acts) = self.next_point(bytes.len());
            let part;
            (part, bytes) = bytes.split_at(length);
            self.pass_messages(way, part).await?;
            for act in acts {
                self.act(way, act).await?;
            }
        }
        Ok(())
    }

    async fn pass_messages(
        &self,
        way: Direction,
        bytes: &[u8],
    ) -> Result<(), Broken> {
        let mut done = 0;
        if !self.tap.options.faults.any() {
            // Showing takes time, so it comes after the first attempt to write, yet
            // before a reply can be read: nothing is waited for in between.
            done = self.sockets[1 - way as usize].try_write(bytes).unwrap_or(0);
            self.wrote(way, &bytes[..done]);
        }
        for step in self.look(way, bytes) {
            match step {
                Step::Show(message, head) => {
                    self.tap.recorder.message(self.number, message, head, true);
                }
                Step::Lose(message, head) => {
                    self.tap.recorder.message(self.number, message, head, false);
                }
                Step::Act(place, act) => {
                    self.write(way, &bytes[done..place]).await?;
                    done = place;
                    self.act(way, act).await?;
                }
            }
        }
        self.write(way, &bytes[done..]).await
    }

    /// How much of so many bytes is forwarded until a point counted in bytes, and
    /// what happens then.
    fn next_point(&self, length: usize) -> (usize, Vec<Act>) {
        let before: u64 = self.state().seen.iter().sum();
        let (mut next, mut acts) = (length as u64, Vec::new());
        for (point, act) in self.points() {
            if let Point::Bytes(place) = point
                && place > before
                && place - before <= next
            {
                if place - before < next {
                    acts.clear();
                }
                next = place - before;
                acts.push(act);
            }
        }
        (next as usize, acts)
    }

    fn points(&self) -> impl Iterator<Item = (Point, Act)> {
        let faults = &self.tap.options.faults;
        let freeze =
            faults.freeze.map(|time| (faults.freeze_after, Act::Freeze(time.0)));
        let cut = faults.cut_after.map(|point| (point, Act::Cut));
        freeze.into_iter().chain(cut)
    }

    /// Finds the messages that end in these bytes, and what happens between them.
    fn look(&self, way: Direction, bytes: &[u8]) -> Vec<Step> {
        let state = &mut *self.state();
        let begin = state.seen[way as usize];
        let end = begin + bytes.len() as u64;
        state.seen[way as usize] = end;
        let place = |at: u64| (at.clamp(begin, end) - begin) as usize;
        let messages = state.dissector.push(way, bytes);
        let (mut steps, mut last) = (Vec::new(), 0);
        for message in messages {
            state.messages += 1;
            // One of the other direction has crossed, and only now is known for what.
            let is_here = message.direction == way;
            let (begin, bytes) = if is_here { (begin, bytes) } else { (0, &[][..]) };
            let head = match self.tap.recorder.hex() {
                true => {
                    state.heads[message.direction as usize].of(&message, begin, bytes)
                }
                false => Vec::new(),
            };
            let start = if is_here { place(message.start) } else { last };
            let end = if is_here { place(message.end) } else { last };
            last = end;
            if is_here && self.swallows(&message) {
                let name = message.name.clone();
                steps.push(Step::Lose(message, head));
                steps.push(Step::Act(start, Act::Swallow(name)));
            } else {
                steps.push(Step::Show(message, head));
            }
            for (point, act) in self.points() {
                if point == Point::Messages(state.messages) {
                    steps.push(Step::Act(end, act));
                }
            }
        }
        if self.tap.recorder.hex() {
            state.heads[way as usize].keep(begin, bytes);
        }
        steps
    }

    /// Whether a message is to be lost: its name and details begin with these words.
    fn swallows(&self, message: &Message) -> bool {
        let Some(wanted) = &self.tap.options.faults.swallow else { return false };
        let title = format!("{} {}", message.name, message.details);
        let Some((head, rest)) = title.split_at_checked(wanted.len()) else {
            return false;
        };
        head.eq_ignore_ascii_case(wanted)
            && !rest.starts_with(char::is_alphanumeric)
            && self.tap.swallows.take()
    }

    /// Does what was asked for at this point.
    async fn act(&self, way: Direction, act: Act) -> Result<(), Broken> {
        let record = |direction, name, line| {
            self.tap.recorder.fault(self.number, direction, name, line);
        };
        match act {
            Act::Freeze(time) if self.tap.freezes.take() => {
                self.state().frozen = Instant::now() + time;
                let line = format!("frozen: nothing is forwarded for {time:?}");
                record(None, "frozen", line);
                self.thaw().await;
                Ok(())
            }
            Act::Cut if self.tap.cuts.take() => {
                // What follows was looked at, and is lost.
                self.state().ended[way as usize] = true;
                record(None, "cut", "cut: the connection is reset both ways".into());
                Err(Broken::Cut)
            }
            Act::Swallow(name) => {
                self.state().ended[way as usize] = true;
                let line =
                    format!("swallowed: {name} is lost, the connection is reset");
                record(Some(way), "swallowed", line);
                Err(Broken::Cut)
            }
            Act::Freeze(_) | Act::Cut => Ok(()),
        }
    }

    /// Waits while the connection is frozen.
    async fn thaw(&self) {
        loop {
            let until = self.state().frozen;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }

    /// Writes all, in the pieces and at the pace asked for.
    async fn write(&self, way: Direction, bytes: &[u8]) -> Result<(), Broken> {
        let faults = &self.tap.options.faults;
        let mut most = faults.slice.map_or(usize::MAX, |bytes| bytes as usize);
        if let Some(rate) = faults.rate {
            most = most.min((rate.0 / PIECES).max(1) as usize);
        }
        for piece in bytes.chunks(most) {
            if let Some(rate) = faults.rate {
                let time = {
                    let free = &mut self.state().free[way as usize];
                    *free = (*free).max(Instant::now()) + rate.time(piece.len());
                    *free
                };
                sleep_until(time).await;
            }
            self.thaw().await;
            self.write_piece(way, piece).await?;
            self.wrote(way, piece);
            consume_budget().await;
        }
        Ok(())
    }

    async fn write_piece(
        &self,
        way: Direction,
        mut piece: &[u8],
    ) -> Result<(), Broken> {
        let receiver = way.other();
        let to = &self.sockets[receiver as usize];
        while !piece.is_empty() {
            let error = match to.try_write(piece) {
                Ok(length) => {
                    piece = &piece[length..];
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // Waits while the receiver does not read.
                    to.writable().await.err()
                }
                Err(error) => Some(error),
            };
            if error.is_some() {
                self.gone[receiver as usize].store(true, Ordering::Relaxed);
                // What it sent before can still be read, and ends this too.
                sleep(LAST_WORDS).await;
                return Err(Broken::Reset(receiver));
            }
        }
        Ok(())
    }

    fn wrote(&self, way: Direction, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.packet(way, |state| Content::Segment(bytes.to_vec(), state.written));
            self.state().written[way as usize] += bytes.len() as u64;
        }
    }

    /// Passes on the end of a stream; the other direction may go on.
    async fn end(&self, way: Direction) -> Result<(), Broken> {
        self.thaw().await;
        self.end_messages(way);
        self.tap.recorder.event(self.number, Event::End(way));
        self.packet(way, |state| Content::End(state.written));
        // In TCP the end takes a number too, as if it were a byte.
        self.state().written[way as usize] += 1;
        // A receiver that is gone needs no end.
        let to = &self.sockets[1 - way as usize];
        let _ = SockRef::from(to).shutdown(Shutdown::Write);
        Ok(())
    }

    /// Shows what was begun and not finished in this direction.
    fn end_messages(&self, way: Direction) {
        let state = &mut *self.state();
        if !std::mem::replace(&mut state.ended[way as usize], true) {
            for message in state.dissector.end(way) {
                let head = match self.tap.recorder.hex() {
                    true => state.heads[way as usize].of(&message, 0, &[]),
                    false => Vec::new(),
                };
                self.tap.recorder.message(self.number, message, head, true);
            }
        }
    }

    fn packet(&self, way: Direction, content: impl FnOnce(&State) -> Content) {
        self.tap.recorder.packet(self.ends, way, || content(&self.state()));
    }

    /// Never held across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first bytes since the end of the last message, which `--hex` shows.
#[derive(Default)]
struct Head {
    start: u64,
    bytes: Vec<u8>,
}

impl Head {
    /// The first bytes of a message that ends in these bytes, which begin at `begin`.
    fn of(&mut self, message: &Message, begin: u64, bytes: &[u8]) -> Vec<u8> {
        self.keep(begin, bytes);
        let size = (message.end - message.start).min(HEX_MOST as u64) as usize;
        let skipped = message.start.saturating_sub(self.start) as usize;
        let head = self.bytes.iter().skip(skipped).take(size).copied().collect();
        // The next one begins where this one ends.
        self.start = message.end;
        self.bytes.clear();
        head
    }

    /// Takes what is new to it and still fits.
    fn keep(&mut self, begin: u64, bytes: &[u8]) {
        let end = self.start + self.bytes.len() as u64;
        let new = end.saturating_sub(begin) as usize;
        let room = HEX_MOST - self.bytes.len().min(HEX_MOST);
        self.bytes.extend(bytes.iter().skip(new).take(room));
    }
}
