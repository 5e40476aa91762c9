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
mod json;
mod line;
mod mermaid;
mod options;
mod pcap;
mod record;
mod tap;
mod tcp;
mod udp;

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

pub use line::{Event, Line};
pub use options::{Delay, Faults, Options, Percent, Point, Rate, Time};
pub use record::Summary;

use record::{Finish, Recorder};
use tap::Tap;

/// Clients that the kernel keeps connected while they wait for `accept`.
const BACKLOG: i32 = 4096;
/// Bytes of datagrams that the kernel keeps while others are forwarded.
const DATAGRAMS: usize = 4 << 20;

/// A running wiretap. It ends, and closes all its connections, when it is dropped.
pub struct Wiretap {
    tap: Arc<Tap>,
    mermaid: Option<File>,
    /// Both are taken when it stops.
    stop: Option<oneshot::Sender<()>>,
    running: Option<(JoinHandle<()>, Finish)>,
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
        // Only a wiretap that runs empties what an earlier one has written.
        let files = [open(&options.pcap)?, open(&options.mermaid)?];
        files.iter().flatten().try_for_each(empty)?;
        let [pcap, mermaid] = files;
        let (recorder, finish) = Recorder::start(&options, pcap, sink)?;
        let tap = Arc::new(Tap::new(address, target, options, recorder));
        // Last, since it must not be dropped here, where another one may run.
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
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
        if let (Some(file), Some(text)) =
            (&mut self.mermaid, self.tap.recorder.diagram())
        {
            file.write_all(text.as_bytes()).context("cannot write the diagram")?;
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

/// Opens a file to be written, if one is asked for; leaves what is in it.
fn open(path: &Option<PathBuf>) -> Result<Option<File>> {
    let Some(path) = path else { return Ok(None) };
    let file = File::options().write(true).create(true).truncate(false).open(path);
    file.map(Some).with_context(|| format!("cannot write {}", path.display()))
}

/// A pipe or a terminal is as it is.
fn empty(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() { file.set_len(0) } else { Ok(()) }
}

async fn serve(socket: Socket, tap: Arc<Tap>) -> io::Result<()> {
    match tap.options.udp {
        true => udp::serve(UdpSocket::from_std(socket.into())?, tap).await,
        false => tcp::serve(TcpListener::from_std(socket.into())?, tap).await,
    }
}
