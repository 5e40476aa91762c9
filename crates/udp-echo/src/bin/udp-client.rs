//! A blocking UDP client: sends one datagram and waits for its echo.
//!
//! Contract: sends MESSAGE to HOST:PORT; expects the same bytes from there within a
//!           second; tries three times; then ends. UDP is RFC 768.
//! Slide:    Python UDP Client, udp_client.py
//! Run:      1$ cargo run -p udp-echo
//!           2$ cargo run -p udp-echo --bin udp-client
//! See:      `Received echo: Hello, UDP! from 127.0.0.1:65432`.

use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Parser;
use socket2::{Domain, Protocol, Socket, Type};

fn main() -> Result<()> {
    let Arguments { server, message } = Arguments::parse();
    let found = server.to_socket_addrs();
    let found = found.context(format!("cannot look up {server} as HOST:PORT"))?;
    let mut result = Err(anyhow!("the name has no address"));
    for address in found {
        // Asks the next address only while none has answered.
        result = result.or_else(|_| ask(address, message.as_bytes()));
    }
    result.with_context(|| format!("no echo from {server}"))
}

/// Sends the message until its echo arrives, three times at most.
fn ask(server: SocketAddr, message: &[u8]) -> Result<()> {
    let socket = open(server)?;
    let mut hint = " (is the server running? cargo run -p udp-echo)".to_string();
    let mut buffer = vec![0; 65_535]; // Longer ones would be cut off, silently.
    for attempt in 1..=3 {
        // Succeeds even if nobody is there.
        socket.send_to(message, server).context("cannot send the datagram")?;
        let deadline = Instant::now() + REPLY_TIMEOUT; // Receiving blocks until then.
        while Instant::now() < deadline {
            match socket.recv_from(&mut buffer) {
                Ok((_, peer)) if peer != server => hint = ignore(peer),
                Ok((n, _)) => return check(&buffer[..n], message, server),
                Err(_) => {} // The time is up, or Windows tells that nobody is there.
            }
        }
        eprintln!("No reply in 1 s to try {attempt} of 3");
    }
    bail!("no reply in 3 tries{hint}")
}

/// Prints the echo, or says what is wrong with it.
fn check(echo: &[u8], message: &[u8], server: SocketAddr) -> Result<()> {
    let shown = if echo.is_empty() { "(empty)".into() } else { printable(echo) };
    ensure!(echo == message, "a wrong echo: {shown:.200}");
    println!("Received echo: {shown:.200} from {server}");
    Ok(())
}

// Set-up.

/// Sends a datagram to a UDP echo server and prints the echo (RFC 768).
///
/// Waits 1 second for the echo and tries 3 times, at each address of the server.
/// Looking a name up takes as long as the system lets it. Exit status: 1 when there
/// is no echo or a wrong one, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The server; a name is looked up, and each of its addresses tried
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:65432")]
    server: String,
    /// What to send, at most 65,507 bytes
    #[arg(default_value = "Hello, UDP!")]
    message: String,
}

/// UDP repeats nothing. A client that wants an answer asks again.
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);

/// Python's `socket` and `settimeout`.
fn open(server: SocketAddr) -> Result<UdpSocket> {
    let domain = Domain::for_address(server);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_read_timeout(Some(REPLY_TIMEOUT))?;
    Ok(socket.into())
}

/// Anybody can send to this socket, so only the address that was asked is believed.
/// But a server that has several addresses may answer from another one.
fn ignore(peer: SocketAddr) -> String {
    eprintln!("Ignored a datagram from {peer}");
    format!(" (if {peer} is the server, ask it there)")
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
