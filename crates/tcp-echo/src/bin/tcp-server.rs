//! A blocking TCP echo server: one client at a time.
//!
//! Contract: binds ADDR:PORT; expects any bytes; answers with the same bytes; goes on
//!           to the next client when one leaves; ends on Ctrl-C. TCP is RFC 9293.
//! Slide:    Python TCP Server (Echo), tcp_server.py
//! Run:      1$ cargo run -p tcp-echo
//!           2$ cargo run -p tcp-echo --bin tcp-client
//! See:      `Connected by 127.0.0.1:<port>`, then `Received: Hello, world`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::{thread, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

/// Clients that the kernel keeps connected while they wait for `accept`.
const BACKLOG: i32 = 128;
/// The most bytes taken by one read: a maximum, never the size of a message.
const BUFFER_SIZE: usize = 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Silence after which the kernel asks whether a client still lives.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60));

/// Echoes what TCP clients send, one client after the other (RFC 9293).
///
/// Prints each connection and what it sent. Runs until Ctrl-C; exit status 1 when it
/// cannot listen, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: an IP address of this machine and a port, 0 for any free port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:65432")]
    address: SocketAddr,
}

fn main() -> Result<()> {
    let Arguments { address } = Arguments::parse();
    let listener = listen(address)
        .with_context(|| format!("cannot listen on {address} (try another port)"))?;
    println!("TCP server listening on {}", listener.local_addr()?);
    loop {
        // Blocks until a client connects; `connection` is a new socket, for it alone.
        match listener.accept() {
            Ok((connection, peer)) => serve(connection, peer),
            Err(error) => {
                eprintln!("Cannot accept a client: {error}");
                // What failed, a full table of files say, needs time to pass.
                thread::sleep(ACCEPT_PAUSE);
            }
        }
    }
}

/// Makes a socket, binds it to `address` and lets clients connect.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // Without this a restart fails for a minute, while old connections time out.
    // On Windows the same option would let another program take the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    // A client that loses its power never says so: the server would wait for ever.
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    // Else a short piece waits until the one before it was acknowledged, up to 40 ms.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves one client to its end. Whatever happens to it, the server goes on.
///
/// A shortcut: a client that lives but is silent is waited for without end.
fn serve(connection: TcpStream, peer: SocketAddr) {
    println!("Connected by {peer}");
    match echo(connection) {
        Ok(()) => println!("Closing connection with {peer}"),
        Err(error) => eprintln!("Lost connection with {peer}: {error}"),
    }
}

/// Sends back what arrives; leaving the function drops the connection: it closes.
fn echo(mut connection: TcpStream) -> io::Result<()> {
    let mut buffer = [0; BUFFER_SIZE];
    loop {
        // Blocks until data arrives; no data means that the client stopped sending.
        let length = connection.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        println!("Received: {}", printable(&buffer[..length]));
        // Blocks while the client does not read; a single write may send only a part.
        connection.write_all(&buffer[..length])?;
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
