//! A blocking UDP echo server: one socket for every client.
//!
//! Contract: binds ADDR:PORT; expects datagrams of any size, up to 65,507 bytes,
//!           empty ones too; answers each with the same bytes; ends on Ctrl-C. UDP is
//!           RFC 768.
//! Slide:    Python UDP Server (Echo), udp_server.py
//! Run:      1$ cargo run -p udp-echo
//!           2$ cargo run -p udp-echo --bin udp-client
//! See:      `Received Hello, UDP! from 127.0.0.1:<port>`.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::{thread, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use socket2::{Domain, Protocol, Socket, Type};

/// Room for the largest datagram: what does not fit is cut off without a word.
const MAX_DATAGRAM: usize = 65_535;
const RECEIVE_PAUSE: Duration = Duration::from_millis(100);

/// Echoes the UDP datagrams that clients send (RFC 768).
///
/// Prints what each datagram holds and whom it is from. Runs until Ctrl-C; exit
/// status 1 when it cannot listen, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: an IP address of this machine and a port, 0 for any free port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:65432")]
    address: SocketAddr,
}

fn main() -> Result<()> {
    let Arguments { address } = Arguments::parse();
    let socket = bind(address)
        .with_context(|| format!("cannot listen on {address} (try another port)"))?;
    let port = socket.local_addr()?.port();
    println!("UDP server listening on {}", socket.local_addr()?);
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        // Blocks until a datagram arrives, from whomever. An empty one is no end.
        match socket.recv_from(&mut buffer) {
            Ok((length, peer)) => answer(&socket, &buffer[..length], peer, port),
            Err(error) => {
                // Windows reports here that an earlier reply found nobody.
                eprintln!("Cannot receive: {error}");
                thread::sleep(RECEIVE_PAUSE);
            }
        }
    }
}

/// Makes a datagram socket and binds it. There is nothing to listen for or to accept.
///
/// SO_REUSEADDR is not for UDP: it would let two servers share the port unnoticed.
fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Sends a datagram back to its sender, unless the sender's address is a trap.
///
/// Anybody can write any sender into a datagram. Port 0 cannot be answered, and an
/// answer to our own port reaches this server, or another, and goes round for ever.
fn answer(socket: &UdpSocket, datagram: &[u8], peer: SocketAddr, port: u16) {
    if peer.port() == 0 || peer.port() == port {
        eprintln!("Ignored a datagram that claims to be from {peer}");
        return;
    }
    println!("Received {} from {peer}", printable(datagram));
    // One send is one datagram, whole or not at all; nobody says whether it arrives.
    if let Err(error) = socket.send_to(datagram, peer) {
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
