//! A blocking UDP echo server: one socket for all clients.
//!
//! Contract: binds ADDR:PORT; expects datagrams of up to 65,507 bytes, also empty
//!           ones; answers each with the same bytes; ends on Ctrl-C. UDP is RFC 768.
//! Slide:    Python UDP Server (Echo), udp_server.py
//! Run:      1$ cargo run -p udp-echo
//!           2$ cargo run -p udp-echo --bin udp-client
//! See:      `Received Hello, UDP! from 127.0.0.1:<port>`.

use std::net::{SocketAddr, UdpSocket};
use std::{io, io::ErrorKind::ConnectionReset, thread, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use socket2::{Domain, Protocol, Socket, Type};

fn main() -> Result<()> {
    let Arguments { address } = Arguments::parse();
    let socket =
        bind(address).with_context(|| format!("cannot listen on {address}"))?;
    println!("UDP server listening on {}", socket.local_addr()?);
    let port = socket.local_addr()?.port();
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        // Blocks until a datagram arrives, from any client.
        match socket.recv_from(&mut buffer) {
            Ok((n, peer)) => answer(&socket, &buffer[..n], peer, port),
            Err(e) if e.kind() == ConnectionReset => {} // Windows: a client is gone.
            Err(error) => {
                eprintln!("Cannot receive: {error}");
                thread::sleep(PAUSE);
            }
        }
    }
}

/// Sends a datagram back to its sender, unless the sender's address is a trap.
fn answer(socket: &UdpSocket, datagram: &[u8], peer: SocketAddr, port: u16) {
    // The address can be forged. Port 0 cannot be answered. An answer to the server's
    // own port would come back to it, and circle forever.
    if [0, port].contains(&peer.port()) {
        eprintln!("Ignored a datagram that claims to be from {peer}");
        return;
    }
    println!("Received {:.200} from {peer}", shown(datagram));
    // Sends one datagram, whole or not at all. Nobody reports whether it arrives.
    if let Err(error) = socket.send_to(datagram, peer) {
        eprintln!("Cannot answer {peer}: {error}");
    }
}

// Set-up.

/// Echoes the UDP datagrams that clients send (RFC 768).
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

/// Python's `socket` and `bind`. There are no connections to `listen` for.
///
/// `SO_REUSEADDR` is not for UDP: two servers could then share the port unnoticed.
fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A datagram as text. An empty one is ordinary, and must not look like a fault.
fn shown(datagram: &[u8]) -> String {
    if datagram.is_empty() { "(empty)".to_string() } else { printable(datagram) }
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
