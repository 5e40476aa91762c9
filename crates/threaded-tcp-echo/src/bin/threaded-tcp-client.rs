//! A TCP client that opens several connections at once, with a thread for each.
//!
//! Contract: connects to HOST:PORT, `--clients` times; sends MESSAGE on each
//!           connection and closes its sending side; expects the same bytes and the
//!           end of the stream; ends then. TCP is RFC 9293.
//! Slide:    Traditional Solution: Multi-threading
//! Run:      1$ cargo run -p threaded-tcp-echo
//!           2$ cargo run -p threaded-tcp-echo --bin threaded-tcp-client
//! See:      `Received echo: Hello, world`; with `--clients 5` five times.

use std::io::ErrorKind::{Interrupted, NotFound, TimedOut, WouldBlock};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::{thread, time::Duration, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;

const HINT: &str = "is the server running? cargo run -p threaded-tcp-echo";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends a message to a TCP echo server on several connections at once (RFC 9293).
///
/// Connecting and the echo may take 5 seconds each. Exit status 1 when an echo is
/// missing or wrong, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The server; a name is looked up, and each of its addresses tried
    #[arg(value_name = "HOST:PORT", value_parser = host_port)]
    #[arg(default_value = "127.0.0.1:65432")]
    server: String,
    /// What to send
    #[arg(default_value = "Hello, world")]
    message: String,
    /// Connections to open
    #[arg(long, value_name = "N", default_value = "1")]
    clients: u32,
    /// Seconds to keep the connections open before sending
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    hold: u64,
}

/// Checks that the text is HOST:PORT; whether the host exists, connecting will tell.
fn host_port(text: &str) -> Result<String> {
    let (host, port) = text.rsplit_once(':').unwrap_or_default();
    ensure!(!host.is_empty() && port.parse::<u16>().is_ok(), "it takes HOST:PORT");
    Ok(text.to_string())
}

fn main() -> Result<()> {
    let Arguments { server, message, clients, hold } = Arguments::parse();
    // Each connection is an open file, and many systems allow a program only 1,024.
    rlimit::increase_nofile_limit(u64::from(clients) + 64)?;
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..clients {
            let client = || talk(&server, message.as_bytes(), hold);
            let thread = thread::Builder::new().spawn_scoped(scope, client);
            threads.push(thread.context("cannot start one more thread")?);
        }
        // Blocks until every thread has ended, and passes an error on.
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })
}

/// What each thread does: all of it blocks, and none of it keeps another thread
/// waiting.
fn talk(server: &str, message: &[u8], hold: u64) -> Result<()> {
    let connection = connect(server)
        .with_context(|| format!("cannot connect to {server} ({HINT})"))?;
    println!("Connected to {server}");
    thread::sleep(Duration::from_secs(hold));
    let echo = exchange(&connection, message).context("no echo from the server")?;
    ensure!(echo == message, "a wrong echo: {}", printable(&echo));
    println!("Received echo: {}", printable(&echo));
    Ok(())
}

/// Connects to the first address of the server that accepts.
fn connect(server: &str) -> io::Result<TcpStream> {
    let mut addresses = server.to_socket_addrs()?;
    let mut connection = Err(NotFound.into());
    // While nobody has accepted, and there is another address.
    while let (Err(_), Some(address)) = (&connection, addresses.next()) {
        // Blocks until the handshake is done: three segments, then both sides know.
        connection = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT);
    }
    connection
}

/// Sends the whole message, says that no more will come, and returns the reply.
fn exchange(mut connection: &TcpStream, message: &[u8]) -> Result<Vec<u8>> {
    connection.set_write_timeout(Some(REPLY_TIMEOUT))?;
    connection.write_all(message)?;
    connection.shutdown(Shutdown::Write)?;
    // One byte more than expected is enough to see that a reply is wrong.
    receive(connection, message.len() + 1)
}

/// Reads to the end of the stream, or to `limit` bytes, for REPLY_TIMEOUT at most.
fn receive(mut connection: &TcpStream, limit: usize) -> Result<Vec<u8>> {
    let deadline = Instant::now() + REPLY_TIMEOUT;
    let (mut reply, mut buffer) = (Vec::new(), [0; 1024]);
    while reply.len() < limit {
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "no end of it within {} s", REPLY_TIMEOUT.as_secs());
        connection.set_read_timeout(Some(left))?;
        // Blocks this thread until data arrives or the time is up.
        match connection.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => reply.extend_from_slice(&buffer[..length]),
            Err(e) if matches!(e.kind(), Interrupted | TimedOut | WouldBlock) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(reply)
}

/// A peer's bytes as text: what could steer the terminal is escaped, the end cut off.
fn printable(data: &[u8]) -> String {
    let mut out = String::with_capacity(data.len().min(804));
    for chunk in data[..data.len().min(804)].utf8_chunks() {
        for c in chunk.valid().chars().take(201) {
            match c {
                ' '..='~' => out.push(c),
                _ if c.is_control() => out.extend(c.escape_unicode()),
                '\u{61c}' | '\u{200e}' | '\u{200f}' => out.extend(c.escape_unicode()),
                '\u{2028}'..='\u{202e}' => out.extend(c.escape_unicode()),
                '\u{2066}'..='\u{2069}' => out.extend(c.escape_unicode()),
                _ => out.push(c),
            }
        }
        out.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    if let Some((cut, _)) = out.char_indices().nth(200) {
        out.replace_range(cut.., &format!("... ({} bytes)", data.len()));
    }
    out
}
