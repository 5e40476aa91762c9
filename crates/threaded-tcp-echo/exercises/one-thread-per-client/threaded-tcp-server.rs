//! A TCP echo server with one thread per client.
//!
//! Contract: binds ADDR:PORT; expects any bytes; answers with the same bytes; serves
//!           up to `--max-clients` at once; ends on Ctrl-C. TCP is RFC 9293.
//! Slide:    Traditional Solution: Multi-threading
//! Run:      1$ cargo run -p threaded-tcp-echo
//!           2$ cargo run -p threaded-tcp-echo --bin threaded-tcp-client
//! See:      `Connected by 127.0.0.1:<port>`, then
//!           `Received from 127.0.0.1:<port>: Hello, world`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::{num::NonZeroUsize, sync::Arc, thread, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use socket2::{SockRef, TcpKeepalive};

fn main() -> Result<()> {
    let Arguments { address, max_clients } = Arguments::parse();
    let listener = listen(address).context(format!("cannot listen on {address}"))?;
    println!("Threaded TCP server listening on {}", listener.local_addr()?);
    let place = Arc::new(());
    loop {
        if let Err(error) = start_next(&listener, place.clone(), max_clients.get()) {
            eprintln!("{error:#}");
            thread::sleep(PAUSE);
        }
    }
}

/// Gives the next client a thread of its own, which takes one of the places.
fn start_next(listener: &TcpListener, place: Arc<()>, places: usize) -> Result<()> {
    // Blocks until a client connects, however long the others stay.
    let (connection, peer) = listener.accept().context("Cannot accept")?;
    // A clone of `place` is held by each thread that serves, by `main`, and here.
    while Arc::strong_count(&place) - 2 >= places {
        thread::sleep(PAUSE);
    }
    let lost = move |e: &anyhow::Error| eprintln!("Lost connection with {peer}: {e}");
    // Exercise: call `serve(connection, peer, place)` in a thread of its own, and give its
    // error to `lost`. Return at once, so that the next client can be accepted.
    todo!("one thread per client")
}

/// Sends back what a client sends. Whatever ends this, even a panic, drops the
/// connection, which closes it, and gives the place back.
fn serve(mut connection: TcpStream, peer: SocketAddr, _place: Arc<()>) -> Result<()> {
    println!("Connected by {peer}");
    let mut buffer = [0; 1024]; // A maximum. Reads need not match the peer's writes.
    loop {
        // Blocks this thread, and no other, until bytes arrive.
        let length = connection.read(&mut buffer)?;
        if length == 0 {
            println!("Closing connection with {peer}");
            return Ok(());
        }
        println!("Received from {peer}: {:.200}", printable(&buffer[..length]));
        // Blocks while the client does not read. A plain `write` may send only part.
        connection.write_all(&buffer[..length])?;
    }
}

// Set-up.

/// Echoes what TCP clients send, with one thread per client (RFC 9293).
///
/// Prints each connection and what arrives. Runs until Ctrl-C. Exit status: 1 when it
/// cannot listen, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: an IP address of this machine and a port, 0 for any free port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:65432")]
    address: SocketAddr,
    /// Clients that are served at once; further ones wait until one leaves
    #[arg(long, value_name = "N", default_value = "1000")]
    max_clients: NonZeroUsize,
}

/// What makes `accept` fail, such as a full table of open files, needs time to pass.
const PAUSE: Duration = Duration::from_millis(100);

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    let tcp = SockRef::from(&listener);
    // A client that loses power never says so: after a silent minute the kernel asks.
    tcp.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(60)))?;
    // Without this a short piece waits up to 40 ms until the last is acknowledged.
    tcp.set_tcp_nodelay(true)?;
    tcp.listen(4096)?; // The usual queue of 128 is short when hundreds connect.
    Ok(listener)
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
