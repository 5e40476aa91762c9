//! An async UDP echo server: one task and one socket for every client.
//!
//! Contract: binds ADDR:PORT; expects datagrams of any size, up to 65,507 bytes,
//!           empty ones too; answers each with the same bytes; ends on Ctrl-C or
//!           SIGTERM. UDP is RFC 768.
//! Slide:    Python asyncio UDP Server, asyncio_udp_server.py
//! Run:      1$ cargo run -p async-udp-echo
//!           2$ cargo run -p async-udp-echo --bin async-udp-client
//! See:      `Received Hello, UDP! from 127.0.0.1:<port>`.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use tokio::net::UdpSocket;
use tokio::{select, signal, time::sleep};

/// Room for the largest datagram: what does not fit is cut off without a word.
const MAX_DATAGRAM: usize = 65_535;
const RECEIVE_PAUSE: Duration = Duration::from_millis(100);

/// Echoes the UDP datagrams that clients send, from an event loop (RFC 768).
///
/// Prints what each datagram holds and whom it is from. Ends on Ctrl-C or SIGTERM
/// with exit status 0; 1 when it cannot listen, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: an IP address of this machine and a port, 0 for any free port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:65432")]
    address: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { address } = Arguments::parse();
    let socket = UdpSocket::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} (try another port)"))?;
    // Whichever ends first ends the program, and leaving main closes the socket.
    // In this order, since signals must be caught before the server says it is ready.
    select! {
        biased;
        result = signal::ctrl_c() => Ok(result?),
        result = terminated() => Ok(result?),
        result = echo(socket) => Ok(result?),
    }
}

/// Waits for SIGTERM, which only Unix has; Ctrl-C is waited for everywhere.
async fn terminated() -> io::Result<()> {
    #[cfg(unix)]
    signal::unix::signal(signal::unix::SignalKind::terminate())?.recv().await;
    #[cfg(not(unix))]
    std::future::pending::<()>().await;
    Ok(())
}

/// Takes one datagram after the other: there are no connections to keep apart.
async fn echo(socket: UdpSocket) -> io::Result<()> {
    let address = socket.local_addr()?;
    let port = address.port();
    println!("Async UDP server listening on {address}");
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        // Waits until a datagram arrives; the thread could run other tasks meanwhile.
        match socket.recv_from(&mut buffer).await {
            Ok((n, peer)) => answer(&socket, &buffer[..n], peer, port).await,
            Err(error) => {
                // Windows reports here that an earlier reply found nobody.
                eprintln!("Cannot receive: {error}");
                sleep(RECEIVE_PAUSE).await;
            }
        }
    }
}

/// Sends a datagram back to its sender, unless the sender's address is a trap.
///
/// Anybody can write any sender into a datagram. Port 0 cannot be answered, and an
/// answer to our own port reaches this server, or another, and goes round for ever.
async fn answer(socket: &UdpSocket, datagram: &[u8], peer: SocketAddr, port: u16) {
    if peer.port() == 0 || peer.port() == port {
        eprintln!("Ignored a datagram that claims to be from {peer}");
        return;
    }
    println!("Received {} from {peer}", printable(datagram));
    // One send is one datagram, whole or not at all; nobody says whether it arrives.
    if let Err(error) = socket.send_to(datagram, peer).await {
        eprintln!("Cannot answer {peer}: {error}");
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
