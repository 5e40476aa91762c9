//! An async TCP echo server: one thread, thousands of clients.
//!
//! Contract: binds ADDR:PORT; expects any bytes; answers with the same bytes; serves
//!           all clients at once; ends on Ctrl-C. TCP is RFC 9293.
//! Slide:    Python asyncio TCP Server, asyncio_server.py
//! Run:      1$ cargo run -p async-tcp-echo
//!           2$ cargo run -p async-tcp-echo --bin async-tcp-client -- --clients 1000
//! See:      `Connected by 127.0.0.1:<port>`, a thousand times; then, in the second
//!           terminal, `1000 of 1000 echoed`.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { address } = Arguments::parse();
    let listener =
        listen(address).await.context(format!("cannot listen on {address}"))?;
    println!("Async TCP server listening on {}", listener.local_addr()?);
    loop {
        // Waits until a client connects. The thread runs other tasks meanwhile.
        let (connection, peer) = accept(&listener).await;
        let lost = move |e: &io::Error| eprintln!("Lost connection with {peer}: {e}");
        // Starts one task per client. Its failure ends this task and nothing else.
        tokio::spawn(async move { serve(connection, peer).await.inspect_err(lost) });
    }
}

/// Sends back what a client sends. Returning drops the connection, which closes it.
async fn serve(mut connection: TcpStream, peer: SocketAddr) -> io::Result<()> {
    println!("Connected by {peer}");
    let mut buffer = [0; 1024]; // A maximum. Reads need not match the peer's writes.
    loop {
        // Waits until bytes arrive. No bytes: the client has stopped sending.
        let length = connection.read(&mut buffer).await?;
        if length == 0 {
            println!("Closing connection with {peer}");
            return Ok(());
        }
        println!("Received from {peer}: {:.200}", printable(&buffer[..length]));
        // Waits while the client does not read. Nothing more is read from it
        // meanwhile: 1024 bytes are all that it makes the server keep.
        connection.write_all(&buffer[..length]).await?;
    }
}

// Set-up.

/// Echoes what TCP clients send, thousands of them on one thread (RFC 9293).
///
/// Prints each connection and what arrives. Runs until Ctrl-C. Exit status: 1 when it
/// cannot listen, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: an IP address of this machine and a port, 0 for any free port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:65432")]
    address: SocketAddr,
}

async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    // Each connection is an open file, and many systems allow a program only 1,024.
    rlimit::increase_nofile_limit(16_384)?;
    let listener = TcpListener::bind(address).await?;
    let tcp = SockRef::from(&listener);
    // A client that loses power never says so: after a silent minute the kernel asks.
    tcp.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(60)))?;
    // Without this a short piece waits up to 40 ms until the last is acknowledged.
    tcp.set_tcp_nodelay(true)?;
    // Clients that the kernel connects before `accept`. Thousands fill a short queue,
    // and a client that finds it full tries again a second later.
    tcp.listen(4096)?;
    Ok(listener)
}

/// Waits for the next client. What makes `accept` fail, such as a full table of open
/// files, needs time to pass.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(client) => return client,
            Err(error) => eprintln!("Cannot accept: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
