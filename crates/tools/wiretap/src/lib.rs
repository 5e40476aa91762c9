//! Shows every message that crosses the network between a client and a server, and
//! breaks it on purpose.
//!
//! ```no_run
//! use wiretap::{Options, Wiretap};
//!
//! let listen = "127.0.0.1:0".parse().unwrap();
//! let options = Options::default();
//! let sink = |line| println!("{line}");
//! let wiretap = Wiretap::start(listen, "127.0.0.1:8000", options, sink)?;
//! println!("connect to {}", wiretap.address());
//! let summary = wiretap.stop()?;
//! # Ok::<(), anyhow::Error>(())
//! ```

pub mod dissect;
mod line;
mod mermaid;
mod options;
mod pcap;
mod record;
mod tcp;
mod udp;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::{fs, io};

use anyhow::{Context, Result};
use fastrand::Rng;
use socket2::{Domain, Socket, Type};
use tokio::runtime::Builder;
use tokio::sync::{Notify, oneshot};

pub use line::{Event, Line};
pub use options::{Delay, Faults, Options, Percent, Point, Rate, Time};
pub use record::Summary;

use dissect::Direction;
use record::{Finish, Recorder};

/// Clients that the kernel keeps connected while they wait for `accept`.
const BACKLOG: i32 = 4096;
/// Bytes of datagrams that the kernel keeps while others are forwarded.
const DATAGRAMS: usize = 4 << 20;
/// Seeds are small numbers, which are easily typed again.
const SEEDS: u64 = 1_000_000;

/// A running wiretap. It ends, and closes all its connections, when it is dropped.
pub struct Wiretap {
    tap: Arc<Tap>,
    mermaid: Option<PathBuf>,
    /// Both are taken when it stops.
    stop: Option<oneshot::Sender<()>>,
    running: Option<(JoinHandle<()>, Finish)>,
}

/// What all connections share.
struct Tap {
    /// The wiretap's own.
    address: SocketAddr,
    target: String,
    options: Options,
    seed: u64,
    recorder: Arc<Recorder>,
    /// Told when the first connection has ended.
    first_end: Notify,
    cuts: Left,
    swallows: Left,
    freezes: Left,
}

impl Wiretap {
    /// Listens, and forwards to the target (HOST:PORT) from now on, on a thread of
    /// its own. The sink is called for each line, one after the other, on another
    /// thread: while it is slow, lines are left out, and forwarding does not wait.
    pub fn start(
        listen: SocketAddr,
        target: &str,
        options: Options,
        sink: impl Fn(Line) + Send + 'static,
    ) -> Result<Wiretap> {
        let kind = if options.udp { Type::DGRAM } else { Type::STREAM };
        let socket = bind(listen, kind).with_context(|| {
            format!("cannot listen on {listen} (try another port)")
        })?;
        let address = socket.local_addr()?.as_socket().context("no address")?;
        let (recorder, finish) = Recorder::start(&options, sink)?;
        let times = options.faults.times.unwrap_or(1);
        let tap = Arc::new(Tap {
            address,
            target: target.to_string(),
            seed: options.faults.seed.unwrap_or_else(|| fastrand::u64(..SEEDS)),
            recorder,
            first_end: Notify::new(),
            cuts: Left(times.into()),
            swallows: Left(times.into()),
            freezes: Left(times.into()),
            options,
        });
        // Last, since it must not be dropped here, where another one may run.
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let mermaid = tap.options.mermaid.clone();
        let serving = tap.clone();
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    _ = serve(socket, serving) => {}
                }
            });
            // Leaving drops the runtime, and with it all connections.
        });
        let (stop, running) = (Some(stop), Some((thread, finish)));
        Ok(Wiretap { tap, mermaid, stop, running })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.tap.address
    }

    /// What decides by chance: the same seed makes the same faults.
    pub fn seed(&self) -> u64 {
        self.tap.seed
    }

    /// Waits until the first connection has ended.
    pub async fn first_end(&self) {
        self.tap.first_end.notified().await;
    }

    /// Ends it, and writes the diagram if there is to be one.
    pub fn stop(mut self) -> Result<Summary> {
        self.end();
        if let (Some(path), Some(text)) = (&self.mermaid, self.tap.recorder.diagram())
        {
            fs::write(path, text)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(self.tap.recorder.summary())
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some((thread, finish)) = self.running.take() {
            let _ = thread.join();
            self.tap.recorder.stop();
            finish.wait();
        }
    }
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        self.end();
    }
}

fn bind(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if kind == Type::DGRAM {
        socket.set_recv_buffer_size(DATAGRAMS)?;
    } else {
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    if kind == Type::STREAM {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

async fn serve(socket: Socket, tap: Arc<Tap>) -> io::Result<()> {
    match tap.options.udp {
        true => {
            udp::serve(tokio::net::UdpSocket::from_std(socket.into())?, tap).await
        }
        false => {
            tcp::serve(tokio::net::TcpListener::from_std(socket.into())?, tap).await
        }
    }
}

impl Tap {
    /// The chance of one direction of a connection: the same seed throws the same
    /// dice for it, whatever the others do.
    fn dice(&self, connection: u64, direction: Direction) -> Rng {
        let base = Rng::with_seed(self.seed).u64(..);
        // Seeds that are close to each other make alike beginnings; a fork's is not.
        Rng::with_seed(base ^ (connection << 1 | direction as u64)).fork()
    }

    /// The target's addresses, the wiretap's own left out: it would forward to
    /// itself, and that to itself, without end.
    async fn target(&self) -> io::Result<Vec<SocketAddr>> {
        let addresses = tokio::net::lookup_host(&self.target).await?;
        let own = self.address;
        let is_own = |address: &SocketAddr| {
            address.port() == own.port()
                && (address.ip() == own.ip() || own.ip().is_unspecified())
        };
        let addresses: Vec<_> =
            addresses.filter(|address| !is_own(address)).collect();
        match addresses.is_empty() {
            true => Err(io::Error::other("that is the wiretap itself")),
            false => Ok(addresses),
        }
    }
}

/// How often a fault may still happen.
struct Left(AtomicU32);

impl Left {
    fn take(&self) -> bool {
        let (order, less) = (Ordering::Relaxed, |left: u32| left.checked_sub(1));
        self.0.fetch_update(order, order, less).is_ok()
    }
}

fn other(direction: Direction) -> Direction {
    match direction {
        Direction::ToServer => Direction::ToClient,
        Direction::ToClient => Direction::ToServer,
    }
}
