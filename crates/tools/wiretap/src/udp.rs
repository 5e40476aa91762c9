//! Forwards UDP datagrams: a socket of its own to the server for each client, so that
//! the server's replies find their way back.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::net::UdpSocket;
use tokio::select;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

use crate::dissect::{Direction, Message};
use crate::line::{Event, HEX_MOST};
use crate::options::{Faults, Percent, Point};
use crate::pcap::Content;
use crate::tap::Tap;

/// No datagram is longer.
const LONGEST: usize = 65_535;
/// Clients at once. One is forgotten when nothing has crossed for a while.
const CLIENTS: usize = 1000;
const IDLE: Duration = Duration::from_secs(60);
/// Datagrams of a client that wait for its task, and bytes of all of them that wait
/// for anything; what comes then is lost, as in any network.
const WAITING: usize = 256;
const BYTES_WAITING: usize = 16 << 20;
/// How long a datagram is held back for another to overtake it.
const REORDER_WAIT: Duration = Duration::from_millis(200);
/// The first bytes of a payload that a line can show.
const PAYLOAD: usize = 200;

/// A datagram that waits, and its share of the memory.
type Waiting = (Vec<u8>, OwnedSemaphorePermit);

pub async fn serve(socket: UdpSocket, tap: Arc<Tap>) -> io::Result<()> {
    let socket = Arc::new(socket);
    let memory = Arc::new(Semaphore::new(BYTES_WAITING));
    let mut clients: HashMap<SocketAddr, mpsc::Sender<Waiting>> = HashMap::new();
    let mut buffer = vec![0; LONGEST];
    loop {
        let (length, client) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // What the kernel says of an earlier datagram.
            Err(error) => {
                tap.recorder.event(0, Event::Trouble(error.to_string()));
                continue;
            }
        };
        if clients.get(&client).is_none_or(mpsc::Sender::is_closed) {
            clients.retain(|_, sender| !sender.is_closed());
            if clients.len() == CLIENTS {
                let trouble =
                    format!("too many clients: a datagram of {client} is lost");
                tap.recorder.event(0, Event::Trouble(trouble));
                continue;
            }
            let (sender, receiver) = mpsc::channel(WAITING);
            let session = Session {
                tap: tap.clone(),
                number: tap.recorder.connected(Event::FirstDatagram(client)),
                client,
                socket: socket.clone(),
                memory: memory.clone(),
            };
            tokio::spawn(session.run(receiver));
            clients.insert(client, sender);
        }
        if let Some(sender) = clients.get(&client) {
            let share = reserve(&memory, length);
            let datagram = share.map(|share| (buffer[..length].to_vec(), share));
            let sent = datagram.map(|datagram| sender.try_send(datagram).is_ok());
            if sent != Some(true) {
                let trouble =
                    format!("too many wait: a datagram of {client} is lost");
                tap.recorder.event(0, Event::Trouble(trouble));
            }
        }
    }
}

struct Session {
    tap: Arc<Tap>,
    number: u64,
    client: SocketAddr,
    /// The one that all clients send to.
    socket: Arc<UdpSocket>,
    memory: Arc<Semaphore>,
}

/// A datagram on its way, and its share of the memory.
struct Datagram {
    /// Its place among those of its direction, from 1.
    number: u64,
    bytes: Vec<u8>,
    _share: OwnedSemaphorePermit,
}

/// One direction of a client's datagrams.
struct Way {
    direction: Direction,
    dice: Rng,
    count: u64,
    bytes: u64,
    /// By the time to send it, and then in the order in which they were put there.
    queue: BTreeMap<(Instant, u64), Datagram>,
    queued: u64,
    /// The one that is to be overtaken, and how long it waits for that.
    held: Option<(Instant, Datagram)>,
    /// When all has been sent, at its rate.
    free: Instant,
}

impl Session {
    async fn run(self, mut from_client: mpsc::Receiver<Waiting>) {
        let (server, address) = match connect(&self.tap).await {
            Ok(connected) => connected,
            Err(error) => {
                let trouble = format!("cannot reach {}: {error}", self.tap.target);
                return self.tap.recorder.event(self.number, Event::Trouble(trouble));
            }
        };
        let mut ways = [Direction::ToServer, Direction::ToClient].map(|direction| {
            Way::new(direction, self.tap.dice(self.number, direction))
        });
        let mut buffer = vec![0; LONGEST];
        let (mut frozen, mut reached) = (Instant::now(), false);
        let mut idle = Instant::now() + IDLE;
        loop {
            let due = ways.iter().filter_map(Way::due).min();
            let wake = due.map_or(idle, |due| due.max(frozen));
            // Waits for a datagram of either side, or the time to send one.
            select! {
                Some((bytes, share)) = from_client.recv() => {
                    idle = Instant::now() + IDLE;
                    self.take(&mut ways[0], bytes, share);
                }
                result = server.recv(&mut buffer) => {
                    idle = Instant::now() + IDLE;
                    let received = result.map(|length| &buffer[..length]);
                    self.receive(&mut ways[1], received);
                }
                () = sleep_until(wake) => {}
            }
            let now = Instant::now();
            if now >= idle && due.is_none() {
                return;
            }
            if now >= frozen {
                for way in &mut ways {
                    self.send_due(way, &server, address).await;
                }
            }
            if let Some(time) = self.freezes(&ways, &mut reached) {
                frozen = now + time;
            }
        }
    }

    /// Takes what the server's socket says: a datagram, or that nobody has its port.
    fn receive(&self, way: &mut Way, received: io::Result<&[u8]>) {
        match received {
            Ok(bytes) => match reserve(&self.memory, bytes.len()) {
                Some(share) => self.take(way, bytes.to_vec(), share),
                None => self.trouble("too many wait: a datagram is lost".into()),
            },
            Err(error) => self.trouble(format!("{}: {error}", self.tap.target)),
        }
    }

    /// Shows a datagram and lets chance decide what becomes of it.
    fn take(&self, way: &mut Way, bytes: Vec<u8>, share: OwnedSemaphorePermit) {
        way.count += 1;
        let (number, start) = (way.count, way.bytes);
        way.bytes += bytes.len() as u64;
        let faults = &self.tap.options.faults;
        // All are thrown for each datagram: what one decides changes no other.
        let [drop, duplicate, reorder] =
            [faults.drop, faults.duplicate, faults.reorder]
                .map(|share| way.throws(share));
        self.show(way, start, &bytes, !drop);
        if drop {
            let line = format!("datagram {number} dropped");
            return self.fault(way.direction, "dropped", line);
        }
        let copy = reserve(&self.memory, bytes.len()).filter(|_| duplicate);
        let copy = copy.map(|share| Datagram::new(number, bytes.clone(), share));
        let datagram = Datagram::new(number, bytes, share);
        if reorder && way.held.is_none() && copy.is_none() {
            way.held = Some((Instant::now() + REORDER_WAIT, datagram));
            return;
        }
        way.enqueue(datagram, faults);
        if let Some(copy) = copy {
            way.enqueue(copy, faults);
            let line = format!("datagram {number} duplicated");
            self.fault(way.direction, "duplicated", line);
        }
        if let Some((_, held)) = way.held.take() {
            let line = format!("datagram {} overtaken by {number}", held.number);
            way.enqueue(held, faults);
            self.fault(way.direction, "reordered", line);
        }
    }

    fn show(&self, way: &Way, start: u64, bytes: &[u8], arrives: bool) {
        let message = Message {
            direction: way.direction,
            start,
            end: start + bytes.len() as u64,
            header: 0,
            name: "datagram".to_string(),
            details: way.count.to_string(),
            payload: bytes[..bytes.len().min(PAYLOAD)].to_vec(),
        };
        let hex = if self.tap.recorder.hex() { HEX_MOST } else { 0 };
        let head = bytes[..bytes.len().min(hex)].to_vec();
        self.tap.recorder.message(self.number, message, head, arrives);
    }

    /// Sends all whose time has come.
    async fn send_due(&self, way: &mut Way, server: &UdpSocket, address: SocketAddr) {
        let now = Instant::now();
        if let Some((_, held)) = way.held.take_if(|(until, _)| *until <= now) {
            let line =
                format!("datagram {} held back, and none overtook it", held.number);
            way.enqueue(held, &self.tap.options.faults);
            self.fault(way.direction, "held back", line);
        }
        while let Some(entry) = way.queue.first_entry()
            && entry.key().0 <= now
        {
            let bytes = entry.remove().bytes;
            let sent = match way.direction {
                Direction::ToServer => server.send(&bytes).await,
                Direction::ToClient => self.socket.send_to(&bytes, self.client).await,
            };
            if let Err(error) = sent {
                self.trouble(format!("cannot forward a datagram: {error}"));
            }
            let ends = (self.client, address);
            self.tap
                .recorder
                .packet(ends, way.direction, || Content::Datagram(bytes));
        }
    }

    /// For how long to freeze, if the point for it has been reached and it still may.
    fn freezes(&self, ways: &[Way; 2], reached: &mut bool) -> Option<Duration> {
        let faults = &self.tap.options.faults;
        let time = faults.freeze?.0;
        let is_there = match faults.freeze_after {
            Point::Bytes(number) => {
                ways.iter().map(|way| way.bytes).sum::<u64>() >= number
            }
            Point::Messages(number) => {
                ways.iter().map(|way| way.count).sum::<u64>() >= number
            }
        };
        if !is_there || std::mem::replace(reached, true) || !self.tap.freezes.take() {
            return None;
        }
        let line = format!("frozen: nothing is forwarded for {time:?}");
        self.tap.recorder.fault(self.number, None, "frozen", line);
        Some(time)
    }

    fn fault(&self, direction: Direction, name: &'static str, line: String) {
        self.tap.recorder.fault(self.number, Some(direction), name, line);
    }

    fn trouble(&self, what: String) {
        self.tap.recorder.event(self.number, Event::Trouble(what));
    }
}

impl Datagram {
    fn new(number: u64, bytes: Vec<u8>, share: OwnedSemaphorePermit) -> Datagram {
        Datagram { number, bytes, _share: share }
    }
}

impl Way {
    fn new(direction: Direction, dice: Rng) -> Way {
        Way {
            direction,
            dice,
            count: 0,
            bytes: 0,
            queue: BTreeMap::new(),
            queued: 0,
            held: None,
            free: Instant::now(),
        }
    }

    fn throws(&mut self, share: Percent) -> bool {
        self.dice.u8(..100) < share.0
    }

    /// Puts a datagram where its time is, which may be now.
    fn enqueue(&mut self, datagram: Datagram, faults: &Faults) {
        let mut due = Instant::now();
        if let Some(rate) = faults.rate {
            self.free = self.free.max(due) + rate.time(datagram.bytes.len());
            due = self.free;
        }
        if let Some(delay) = faults.delay {
            due += Duration::from_micros(self.dice.u64(delay.range()));
        }
        self.queued += 1;
        self.queue.insert((due, self.queued), datagram);
    }

    /// When something is to be done next.
    fn due(&self) -> Option<Instant> {
        let first = self.queue.keys().next().map(|(due, _)| *due);
        let held = self.held.as_ref().map(|(until, _)| *until);
        first.into_iter().chain(held).min()
    }
}

/// The memory for a datagram, if there is some: an empty one takes memory too.
fn reserve(memory: &Arc<Semaphore>, length: usize) -> Option<OwnedSemaphorePermit> {
    memory.clone().try_acquire_many_owned(length as u32 + 1).ok()
}

/// A socket that sends to the server, and receives from nobody else.
async fn connect(tap: &Tap) -> io::Result<(UdpSocket, SocketAddr)> {
    let address = tap.target().await?[0];
    let socket = match address {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await?,
    };
    socket.connect(address).await?;
    Ok((socket, address))
}
