//! An async UDP echo server: one task and one socket for all clients.
//!
//! Contract: binds ADDR:PORT; expects datagrams of up to 65,507 bytes, also empty
//!           ones; answers each with the same bytes; ends on Ctrl-C. UDP is RFC 768.
//! Slide:    Python asyncio UDP Server, asyncio_udp_server.py
//! Run:      1$ cargo run -p async-udp-echo
//!           2$ cargo run -p async-udp-echo --bin async-udp-client
//! See:      `Received Hello, UDP! from 127.0.0.1:<port>`.

use std::{io::ErrorKind::ConnectionReset, net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use tokio::{net::UdpSocket, time::sleep};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { address } = Arguments::parse();
    let socket = UdpSocket::bind(address).await;
    let socket = socket.with_context(|| format!("cannot listen on {address}"))?;
    println!("Async UDP server listening on {}", socket.local_addr()?);
    let port = socket.local_addr()?.port();
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        // Waits until a datagram arrives. The thread could run other tasks meanwhile.
        match socket.recv_from(&mut buffer).await {
            Ok((n, peer)) => answer(&socket, &buffer[..n], peer, port).await,
            Err(e) if e.kind() == ConnectionReset => {} // Windows: a client is gone.
            Err(error) => {
                eprintln!("Cannot receive: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Sends a datagram back to its sender, unless the sender's address is a trap.
async fn answer(socket: &UdpSocket, datagram: &[u8], peer: SocketAddr, port: u16) {
    // The address can be forged. Port 0 cannot be answered. An answer to the server's
    // own port would come back to it, and circle forever.
    if [0, port].contains(&peer.port()) {
        eprintln!("Ignored a datagram that claims to be from {peer}");
        return;
    }
    println!("Received {:.200} from {peer}", shown(datagram));
    // Sends one datagram, whole or not at all. Nobody reports whether it arrives.
    if let Err(error) = socket.send_to(datagram, peer).await {
        eprintln!("Cannot answer {peer}: {error}");
    }
}

// Set-up.

/// Echoes the UDP datagrams that clients send, from an event loop (RFC 768).
///
/// Prints each datagram and who sent it. Runs until Ctrl-C. Exit status: 1 when it
/// cannot listen, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: an IP address of this machine and a port, 0 for any free port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:65432")]
    address: SocketAddr,
}

/// Room for the largest datagram. Unix silently cuts off what does not fit.
const MAX_DATAGRAM: usize = 65_535;
/// What makes receiving fail may need time to pass.
const PAUSE: Duration = Duration::from_millis(100);

/// A datagram as text. An empty one is ordinary, and must not look like a fault.
fn shown(datagram: &[u8]) -> String {
    if datagram.is_empty() { "(empty)".to_string() } else { printable(datagram) }
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
