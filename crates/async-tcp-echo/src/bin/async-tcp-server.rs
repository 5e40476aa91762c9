//! An async TCP echo server: one thread, thousands of clients.
//!
//! Contract: binds ADDR:PORT; expects any bytes; answers with the same bytes; serves
//!           all clients at once; ends on Ctrl-C or SIGTERM. TCP is RFC 9293.
//! Slide:    Python asyncio TCP Server, asyncio_server.py
//! Run:      1$ cargo run -p async-tcp-echo
//!           2$ cargo run -p async-tcp-echo --bin async-tcp-client -- --clients 1000
//! See:      `Connected by 127.0.0.1:<port>`, a thousand times; then, in the second
//!           terminal, `1000 of 1000 echoed, p50 <n> ms, p99 <n> ms`.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::{select, signal, time::sleep};

/// Clients that the kernel keeps connected while they wait for `accept`. A short
/// queue fills when thousands come at once, and who is turned away tries again a
/// second later.
const BACKLOG: u32 = 4096;
/// Open files to ask for: many systems allow a program only 1,024.
const OPEN_FILES: u64 = 16_384;
/// What makes `accept` fail, no more open files say, needs time to pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Silence after which the kernel asks whether the client still lives: one that lost
/// its power never says goodbye, and its connection would stay for ever.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60));

/// Echoes what TCP clients send, thousands of them on one thread (RFC 9293).
///
/// Prints each connection and what it sent. Ends on Ctrl-C or SIGTERM with exit
/// status 0; 1 when it cannot listen, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: an IP address of this machine and a port, 0 for any free port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:65432")]
    address: SocketAddr,
}

/// The event loop: all tasks take turns on this one thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { address } = Arguments::parse();
    let open_files = rlimit::increase_nofile_limit(OPEN_FILES)?;
    if open_files < OPEN_FILES {
        eprintln!("Only {open_files} open files allowed: further clients will wait");
    }
    let listener = listen(address)
        .with_context(|| format!("cannot listen on {address} (try another port)"))?;
    // Whichever ends first ends the program, and leaving main closes all connections.
    // In this order, since signals must be caught before the server says it is ready.
    select! {
        biased;
        result = signal::ctrl_c() => Ok(result?),
        result = terminated() => Ok(result?),
        result = accept_clients(listener) => Ok(result?),
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let new = if address.is_ipv4() { TcpSocket::new_v4 } else { TcpSocket::new_v6 };
    let socket = new()?;
    // Without this a restart fails for a minute, while old connections time out.
    // On Windows the same option would let another program take the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    SockRef::from(&socket).set_tcp_keepalive(&KEEPALIVE)?;
    // Else a short piece waits until the one before it was acknowledged, up to 40 ms.
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Starts a task for each client: a fraction of what a thread costs in memory.
async fn accept_clients(listener: TcpListener) -> io::Result<()> {
    println!("Async TCP server listening on {}", listener.local_addr()?);
    loop {
        // Waits until a client connects; the thread runs other tasks meanwhile.
        match listener.accept().await {
            Ok((connection, peer)) => drop(tokio::spawn(serve(connection, peer))),
            Err(error) => {
                eprintln!("Cannot accept a client: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
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

/// Serves one client to its end. Whatever happens to it, the others never notice.
async fn serve(connection: TcpStream, peer: SocketAddr) {
    println!("Connected by {peer}");
    match echo(connection, peer).await {
        Ok(()) => println!("Closing connection with {peer}"),
        Err(error) => eprintln!("Lost connection with {peer}: {error}"),
    }
}

/// Sends back what arrives; leaving the function drops the connection: it closes.
async fn echo(mut connection: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let mut buffer = [0; 1024]; // A maximum, never the size of a message.
    loop {
        // Waits until data arrives; no data means that the client stopped sending.
        let length = connection.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        println!("Received from {peer}: {}", printable(&buffer[..length]));
        // Waits while the client does not read. Nothing more is read from it
        // meanwhile: its own sending stops, and its 1024 bytes are all that the
        // server keeps.
        connection.write_all(&buffer[..length]).await?;
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
