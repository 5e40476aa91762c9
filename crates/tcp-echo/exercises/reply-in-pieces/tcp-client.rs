//! A blocking TCP client: sends one message and waits for its echo.
//!
//! Contract: connects to HOST:PORT; sends MESSAGE, closes its sending side; expects
//!           the same bytes and the end of the stream; then ends. TCP is RFC 9293.
//! Slide:    Python TCP Client, tcp_client.py
//! Run:      1$ cargo run -p tcp-echo
//!           2$ cargo run -p tcp-echo --bin tcp-client
//! See:      `Received echo: Hello, world`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use socket2::{Domain, Socket, Type};

fn main() -> Result<()> {
    let Arguments { server, message, hold } = Arguments::parse();
    let mut connection = connect(&server).map_err(|e| cannot_connect(&server, e))?;
    thread::sleep(Duration::from_secs(hold));
    // Blocks until the kernel has taken all of it. A plain `write` may send less.
    connection.write_all(message.as_bytes()).context("cannot send")?;
    // The end of the message: TCP is a stream, and has no other mark for it.
    connection.shutdown(Shutdown::Write).context("cannot send")?;
    // Exercise: read the whole reply into `echo`, in however many pieces it arrives. Stop
    // at the end of the stream, or at the first byte more than `message` has.
    let echo: Vec<u8> = todo!("read from `connection`, and give errors to `timeout`");
    ensure!(echo == message.as_bytes(), "a wrong echo: {:.200}", printable(&echo));
    println!("Received echo: {:.200}", printable(&echo));
    Ok(())
}

/// Connects to the first of the server's addresses that accepts.
fn connect(server: &str) -> io::Result<TcpStream> {
    let mut result = Err(io::Error::new(ErrorKind::NotFound, "no address"));
    for address in server.to_socket_addrs()? {
        // Tries the next address only while none has accepted.
        result = result.or_else(|_| connect_to(address));
    }
    result
}

fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_read_timeout(Some(TURN_TIMEOUT))?;
    socket.set_write_timeout(Some(TURN_TIMEOUT))?;
    // Blocks until the handshake is done: three segments connect both sides.
    socket.connect_timeout(&address.into(), CONNECT_TIMEOUT)?;
    println!("Connected to {address}");
    Ok(socket.into())
}

// Set-up.

/// Sends a message to a TCP echo server and prints the echo (RFC 9293).
///
/// Gives up when connecting to an address takes 5 seconds, or when nothing arrives
/// for 30. Looking a name up takes as long as the system lets it. Exit status: 1 when
/// there is no echo or a wrong one, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The server; a name is looked up, and each of its addresses tried
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:65432")]
    server: String,
    /// What to send
    #[arg(default_value = "Hello, world")]
    message: String,
    /// Seconds to keep the connection open before sending
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    hold: u64,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The server finishes with one client before it serves the next: we may wait.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);

const HINT: &str = " (is the server running? cargo run -p tcp-echo)";

fn cannot_connect(server: &str, why: io::Error) -> anyhow::Error {
    let hint = match why.kind() {
        ErrorKind::ConnectionRefused => HINT,
        ErrorKind::InvalidInput => " (it must be HOST:PORT)",
        _ => "",
    };
    anyhow::Error::new(why).context(format!("cannot connect to {server}{hint}"))
}

/// Unix reports a timeout as "Resource temporarily unavailable".
fn timeout(why: io::Error) -> io::Error {
    if why.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { why }
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
