//! A blocking TCP echo server: one client at a time.
//!
//! Contract: binds ADDR:PORT; expects any bytes; answers with the same bytes; goes on
//!           to the next client when one leaves; ends on Ctrl-C. TCP is RFC 9293.
//! Slide:    Python TCP Server (Echo), tcp_server.py
//! Run:      1$ cargo run -p tcp-echo
//!           2$ cargo run -p tcp-echo --bin tcp-client
//! See:      `Connected by 127.0.0.1:<port>`, then `Received: Hello, world`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::{thread, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

fn main() -> Result<()> {
    let Arguments { address } = Arguments::parse();
    let listener = listen(address).context(format!("cannot listen on {address}"))?;
    println!("TCP server listening on {}", listener.local_addr()?);
    loop {
        // One client's failure ends its own connection, and never the server.
        if let Err(error) = serve_next_client(&listener) {
            eprintln!("{error:#}");
            thread::sleep(PAUSE);
        }
    }
}

/// Sends back what a client sends. Returning drops the connection, which closes it.
fn serve_next_client(listener: &TcpListener) -> Result<()> {
    // Blocks until a client connects. `connection` is a new socket, for this client.
    let (mut connection, peer) = listener.accept().context("Cannot accept")?;
    println!("Connected by {peer}");
    let lost = || format!("Lost connection with {peer}");
    let mut buffer = [0; 1024]; // A maximum. Reads need not match the peer's writes.
    loop {
        // Blocks until bytes arrive. No bytes: the client has stopped sending.
        let length = connection.read(&mut buffer).with_context(lost)?;
        if length == 0 {
            break;
        }
        println!("Received: {:.200}", printable(&buffer[..length]));
        // Blocks while the client does not read. A plain `write` may send only part.
        connection.write_all(&buffer[..length]).with_context(lost)?;
    }
    println!("Closing connection with {peer}");
    Ok(())
}

// Set-up.

/// Echoes what TCP clients send, one client after the other (RFC 9293).
///
/// Prints each connection and what arrives. Runs until Ctrl-C. A client that stays
/// connected and sends nothing is waited for, however long that takes. Exit status: 1
/// when it cannot listen, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: an IP address of this machine and a port, 0 for any free port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:65432")]
    address: SocketAddr,
}

/// What makes `accept` fail, such as a full table of open files, needs time to pass.
const PAUSE: Duration = Duration::from_millis(100);

/// Python's `socket`, `setsockopt`, `bind` and `listen`.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // Without this a restart fails for a minute, while old connections time out. On
    // Windows the same option would let another program take the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    // A client that loses power never says so: after a silent minute the kernel asks.
    let silence = TcpKeepalive::new().with_time(Duration::from_secs(60));
    socket.set_tcp_keepalive(&silence)?;
    // Without this a short piece waits up to 40 ms until the last is acknowledged.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(128)?; // Clients that the kernel connects before `accept`.
    Ok(socket.into())
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
