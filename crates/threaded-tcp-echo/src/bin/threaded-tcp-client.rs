//! A TCP client that opens several connections at once, with one thread for each.
//!
//! Contract: connects to HOST:PORT, `--clients` times; sends MESSAGE on each
//!           connection and closes its sending side; expects the same bytes and the
//!           end of the stream; then ends. TCP is RFC 9293.
//! Slide:    Traditional Solution: Multi-threading
//! Run:      1$ cargo run -p threaded-tcp-echo
//!           2$ cargo run -p threaded-tcp-echo --bin threaded-tcp-client
//! See:      `Received echo: Hello, world`; with `--clients 5` five times.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::{num::NonZeroU16, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Parser;

fn main() -> Result<()> {
    let Arguments { server, message, clients, hold } = Arguments::parse();
    thread::scope(|scope| {
        let client = || talk(&server, message.as_bytes(), hold);
        let start = |_| thread::Builder::new().spawn_scoped(scope, client);
        let threads: io::Result<Vec<_>> = (0..clients.get()).map(start).collect();
        let threads = threads.context("cannot start one more thread")?;
        // Blocks until every thread has ended. The first error becomes the program's.
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })
}

/// What each thread does. Every call blocks, and none makes another thread wait.
fn talk(server: &str, message: &[u8], hold: u64) -> Result<()> {
    let mut connection = connect(server).map_err(|e| cannot_connect(server, e))?;
    thread::sleep(Duration::from_secs(hold));
    connection.write_all(message).context("cannot send")?;
    connection.shutdown(Shutdown::Write).context("cannot send")?;
    let mut echo = Vec::new();
    // One byte more than expected is enough to see that a reply is wrong.
    let mut reply = connection.take(message.len() as u64 + 1);
    reply.read_to_end(&mut echo).context("no whole echo (5 s of silence at most)")?;
    ensure!(echo == message, "a wrong echo: {:.200}", printable(&echo));
    println!("Received echo: {:.200}", printable(&echo));
    Ok(())
}

// Set-up.

/// Sends a message to a TCP echo server on several connections at once (RFC 9293).
///
/// Gives up when connecting to an address takes 5 seconds, or when nothing arrives
/// for 5. Looking a name up takes as long as the system lets it. Exit status: 1 when
/// an echo is missing or wrong, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The server; a name is looked up, and each of its addresses tried
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:65432")]
    server: String,
    /// What to send
    #[arg(default_value = "Hello, world")]
    message: String,
    /// Connections to open, at most 65535: each needs a port of its own
    #[arg(long, value_name = "N", default_value = "1")]
    clients: NonZeroU16,
    /// Seconds to keep the connections open before sending
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    hold: u64,
}

const TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to the first of the server's addresses that accepts.
fn connect(server: &str) -> io::Result<TcpStream> {
    let mut result = Err(io::Error::new(ErrorKind::NotFound, "no address"));
    for address in server.to_socket_addrs()? {
        // Blocks until the handshake is done.
        result = TcpStream::connect_timeout(&address, TIMEOUT);
        if let Ok(connection) = &result {
            connection.set_read_timeout(Some(TIMEOUT))?;
            connection.set_write_timeout(Some(TIMEOUT))?;
            println!("Connected to {address}");
            break;
        }
    }
    result
}

const HINT: &str = " (is the server running? cargo run -p threaded-tcp-echo)";

fn cannot_connect(server: &str, why: io::Error) -> anyhow::Error {
    let hint = if why.kind() == ErrorKind::ConnectionRefused { HINT } else { "" };
    anyhow::Error::new(why).context(format!("cannot connect to {server}{hint}"))
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
