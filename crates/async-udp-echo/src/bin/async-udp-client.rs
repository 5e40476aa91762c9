//! An async UDP client: sends one datagram and waits for its echo.
//!
//! Contract: sends MESSAGE to HOST:PORT; expects the same bytes from there within a
//!           second; tries three times; ends then. UDP is RFC 768.
//! Slide:    Python asyncio UDP Server, asyncio_udp_server.py
//! Run:      1$ cargo run -p async-udp-echo
//!           2$ cargo run -p async-udp-echo --bin async-udp-client
//! See:      `Received echo: Hello, UDP! from 127.0.0.1:65432`.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Parser;
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::timeout;

const HINT: &str = "is the server running? cargo run -p async-udp-echo";
/// How long one try waits. UDP repeats nothing by itself: who wants an answer asks
/// again.
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);
const TRIES: usize = 3;
/// Room for the largest datagram: what does not fit is cut off without a word.
const MAX_DATAGRAM: usize = 65_535;

/// Sends a datagram to a UDP echo server and prints the echo (RFC 768).
///
/// Waits 1 second for the echo and tries 3 times. Exit status 1 when there is no echo
/// or a wrong one, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The server; a name is looked up, and each of its addresses tried
    #[arg(value_name = "HOST:PORT", value_parser = host_port)]
    #[arg(default_value = "127.0.0.1:65432")]
    server: String,
    /// What to send, at most 65,507 bytes
    #[arg(default_value = "Hello, UDP!")]
    message: String,
}

/// Checks that the text is HOST:PORT; whether the host exists, sending will tell.
fn host_port(text: &str) -> Result<String> {
    let (host, port) = text.rsplit_once(':').unwrap_or_default();
    ensure!(!host.is_empty() && port.parse::<u16>().is_ok(), "it takes HOST:PORT");
    Ok(text.to_string())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { server, message } = Arguments::parse();
    let mut failure = anyhow!("the name has no address");
    let addresses = lookup_host(&server).await;
    for address in addresses.with_context(|| format!("cannot look up {server}"))? {
        match ask(address, message.as_bytes()).await {
            Ok(echo) => {
                println!("Received echo: {} from {address}", printable(&echo));
                return Ok(());
            }
            Err(error) => failure = error,
        }
    }
    Err(failure.context(format!("no echo from {server} ({HINT})")))
}

/// Sends the message until its echo comes back, at most TRIES times.
async fn ask(server: SocketAddr, message: &[u8]) -> Result<Vec<u8>> {
    // An address of no one in particular, and a port that the system chooses.
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    for attempt in 1..=TRIES {
        // Succeeds even if nobody is there.
        let sent = socket.send_to(message, server).await;
        sent.with_context(|| format!("cannot send {} bytes at once", message.len()))?;
        match timeout(REPLY_TIMEOUT, receive(&socket, server)).await {
            Ok(echo) if echo == message => return Ok(echo),
            Ok(other) => bail!("a wrong echo: {}", printable(&other)),
            Err(_elapsed) => eprintln!("No reply in 1 s to try {attempt} of {TRIES}"),
        }
    }
    bail!("no reply in {TRIES} tries")
}

/// Waits for the server's datagram; one from a stranger is no reply.
async fn receive(socket: &UdpSocket, server: SocketAddr) -> Vec<u8> {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((n, peer)) if peer == server => return buffer[..n].into(),
            Ok((_, peer)) => eprintln!("Ignored a datagram from {peer}"),
            // Windows tells here that the last send found nobody: the time will run
            // out.
            Err(error) => eprintln!("Cannot receive: {error}"),
        }
    }
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
