//! A blocking TCP client: sends one message and waits for its echo.
//!
//! Contract: connects to HOST:PORT; sends MESSAGE and closes its sending side;
//!           expects the same bytes and the end of the stream; ends then. TCP is RFC
//!           9293.
//! Slide:    Python TCP Client, tcp_client.py
//! Run:      1$ cargo run -p tcp-echo
//!           2$ cargo run -p tcp-echo --bin tcp-client
//! See:      `Received echo: Hello, world`.

use std::io::ErrorKind::{Interrupted, NotFound, TimedOut, WouldBlock};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use socket2::{Domain, Protocol, Socket, Type};

const HINT: &str = "is the server running? cargo run -p tcp-echo";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long our turn may take to come. Longer than the REPLY_TIMEOUT of the other
/// clients: this server serves nobody else before it is done with one client.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends a message to a TCP echo server and prints the echo (RFC 9293).
///
/// Gives up when connecting takes 5 seconds or the echo 30. Exit status 1 when there
/// is no echo or a wrong one, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The server; a name is looked up, and each of its addresses tried
    #[arg(value_name = "HOST:PORT", value_parser = host_port)]
    #[arg(default_value = "127.0.0.1:65432")]
    server: String,
    /// What to send
    #[arg(default_value = "Hello, world")]
    message: String,
    /// Seconds to keep the connection open before sending
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
    let Arguments { server, message, hold } = Arguments::parse();
    let (connection, address) = connect(&server)
        .with_context(|| format!("cannot connect to {server} ({HINT})"))?;
    println!("Connected to {address}");
    thread::sleep(Duration::from_secs(hold));
    let echo = exchange(&connection, message.as_bytes())
        .with_context(|| format!("no echo from {address}"))?;
    ensure!(echo == message.as_bytes(), "a wrong echo: {}", printable(&echo));
    println!("Received echo: {}", printable(&echo));
    Ok(())
}

/// Connects to the first address of the server that accepts.
fn connect(server: &str) -> io::Result<(TcpStream, SocketAddr)> {
    let mut failure = io::Error::new(NotFound, "the name has no address");
    for address in server.to_socket_addrs()? {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        // Blocks until the handshake is done: three segments, then both sides know.
        match socket.connect_timeout(&address.into(), CONNECT_TIMEOUT) {
            Ok(()) => return Ok((socket.into(), address)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Sends the whole message, says that no more will come, and returns the reply.
///
/// A shortcut: who sends more than the kernel's buffers hold, some 100 KiB, must read
/// while sending, or both sides end up waiting for the other to read.
fn exchange(mut connection: &TcpStream, message: &[u8]) -> Result<Vec<u8>> {
    connection.set_write_timeout(Some(TURN_TIMEOUT))?;
    connection.write_all(message)?;
    connection.shutdown(Shutdown::Write)?;
    // One byte more than expected is enough to see that a reply is wrong.
    receive(connection, message.len() + 1)
}

/// Reads to the end of the stream, or to `limit` bytes, for TURN_TIMEOUT at most.
fn receive(mut connection: &TcpStream, limit: usize) -> Result<Vec<u8>> {
    let deadline = Instant::now() + TURN_TIMEOUT;
    let mut reply = Vec::new();
    let mut buffer = [0; 1024];
    while reply.len() < limit {
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "no end of it within {} s", TURN_TIMEOUT.as_secs());
        connection.set_read_timeout(Some(left))?;
        // Blocks until data arrives or the time is up; a reply can come in pieces.
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
