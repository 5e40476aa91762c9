//! An async TCP client: thousands of connections at once, on one thread.
//!
//! Contract: connects to HOST:PORT, `--clients` times; sends MESSAGE on each
//!           connection and closes its sending side; expects the same bytes and the
//!           end of the stream; then ends. TCP is RFC 9293.
//! Slide:    Python asyncio TCP Server, asyncio_server.py
//! Run:      1$ cargo run -p async-tcp-echo
//!           2$ cargo run -p async-tcp-echo --bin async-tcp-client -- --clients 1000
//! See:      `Received echo: Hello, world`, then `1000 of 1000 echoed`.

use std::{io, io::ErrorKind, net::SocketAddr, num::NonZeroU16, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::{task::JoinSet, time::sleep, time::timeout};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { server, message, clients, hold } = Arguments::parse();
    // Each connection is an open file, and many systems allow a program only 1,024.
    rlimit::increase_nofile_limit(u64::from(clients.get()) + 64)?;
    let found = lookup_host(&server).await;
    let found: Vec<_> = found.context(format!("cannot look up {server}"))?.collect();
    let client = |_| talk(found.clone(), message.clone(), hold);
    let tasks: JoinSet<_> = (0..clients.get()).map(client).collect();
    // Waits for all tasks, which take turns on this one thread.
    let results = tasks.join_all().await;
    let count = format!("{} of {clients} echoed", results.iter().flatten().count());
    results.into_iter().collect::<Result<()>>().context(count.clone())?;
    println!("Received echo: {:.200}\n{count}", printable(message.as_bytes()));
    Ok(())
}

/// What each task does. While one waits, the thread runs another.
async fn talk(addresses: Vec<SocketAddr>, message: String, hold: u64) -> Result<()> {
    let mut connection = connect(addresses).await?;
    sleep(Duration::from_secs(hold)).await;
    timeout(TIMEOUT, connection.write_all(message.as_bytes())).await??;
    // The end of the message: TCP is a stream, and has no other mark for it.
    connection.shutdown().await?;
    let mut echo = Vec::new();
    // One byte more than expected is enough to see that a reply is wrong.
    let mut reply = connection.take(message.len() as u64 + 1);
    let end = timeout(TIMEOUT, reply.read_to_end(&mut echo)).await;
    end.context("no end of the echo within 5 s")??;
    ensure!(echo == message.as_bytes(), "a wrong echo: {:.200}", printable(&echo));
    Ok(())
}

// Set-up.

/// Sends a message to a TCP echo server on many connections at once (RFC 9293).
///
/// Gives up when connecting to an address takes 5 seconds, or the echo 5. Looking a
/// name up takes as long as the system lets it. Exit status: 1 when an echo is
/// missing or wrong, 2 for a wrong argument.
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

const HINT: &str = " (is the server running? cargo run -p async-tcp-echo)";

/// Connects to the first of the server's addresses that accepts.
async fn connect(addresses: Vec<SocketAddr>) -> Result<TcpStream> {
    let mut failure = io::Error::other("the name has no address");
    for address in &addresses {
        match timeout(TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => failure = error,
            Err(elapsed) => failure = elapsed.into(),
        }
    }
    let hint = if failure.kind() == ErrorKind::ConnectionRefused { HINT } else { "" };
    Err(failure).context(format!("cannot connect to any of {addresses:?}{hint}"))
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
