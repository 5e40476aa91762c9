//! An async UDP client: sends one datagram and waits for its echo.
//!
//! Contract: sends MESSAGE to HOST:PORT; expects the same bytes from there within a
//!           second; tries three times; then ends. UDP is RFC 768.
//! Slide:    Python asyncio UDP Server, asyncio_udp_server.py
//! Run:      1$ cargo run -p async-udp-echo
//!           2$ cargo run -p async-udp-echo --bin async-udp-client
//! See:      `Received echo: Hello, UDP! from 127.0.0.1:65432`.

use std::{io, io::ErrorKind, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Parser;
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::timeout;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { server, message } = Arguments::parse();
    let found = lookup_host(&server).await;
    let found = found.context(format!("cannot look up {server} as HOST:PORT"))?;
    let mut result = Err(anyhow!("the name has no address"));
    for address in found {
        result = ask(address, message.as_bytes()).await;
        if result.is_ok() {
            break;
        }
    }
    result.with_context(|| format!("no echo from {server}"))
}

/// Sends the message until its echo arrives, three times at most.
async fn ask(server: SocketAddr, message: &[u8]) -> Result<()> {
    let any_port = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any_port).await?;
    // Sends nothing. The kernel now takes datagrams from the server alone.
    socket.connect(server).await?;
    let mut buffer = vec![0; 65_535]; // Longer ones would be cut off, silently.
    for attempt in 1..=3 {
        // Succeeds even if nobody is there.
        socket.send(message).await.map_err(|e| cannot("send the datagram", e))?;
        // Waits for a datagram. When the time is up the waiting is cancelled.
        match timeout(REPLY_TIMEOUT, socket.recv(&mut buffer)).await {
            Ok(Ok(n)) => return check(&buffer[..n], message, socket.peer_addr()?),
            Ok(Err(error)) => return Err(cannot("receive", error)),
            Err(_elapsed) => eprintln!("No reply in 1 s to try {attempt} of 3"),
        }
    }
    bail!("no reply in 3 tries{SILENCE}")
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

const HINT: &str = " (is the server running? cargo run -p async-udp-echo)";
const SILENCE: &str = ": datagrams get lost, or the server answers from another \
                       address, and a connected socket hears only the one it asked";

/// A machine says so when a port is closed (ICMP, RFC 792). Windows calls it a reset.
fn cannot(what: &str, why: io::Error) -> anyhow::Error {
    let refused = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset];
    let hint = if refused.contains(&why.kind()) { HINT } else { "" };
    anyhow::Error::new(why).context(format!("cannot {what}{hint}"))
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
