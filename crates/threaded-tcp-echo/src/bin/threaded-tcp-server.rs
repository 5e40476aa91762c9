//! A TCP echo server with a thread a client.
//!
//! Contract: binds ADDR:PORT; expects any bytes; answers with the same bytes; serves
//!           up to `--max-clients` at once; ends on Ctrl-C. TCP is RFC 9293.
//! Slide:    Traditional Solution: Multi-threading
//! Run:      1$ cargo run -p threaded-tcp-echo
//!           2$ cargo run -p threaded-tcp-echo --bin threaded-tcp-client
//! See:      `Connected by 127.0.0.1:<port>`, then
//!           `Received from 127.0.0.1:<port>: Hello, world`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::{sync::Arc, sync::Once, thread, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use socket2::{SockRef, TcpKeepalive};

/// Silence after which the kernel asks whether the client still lives: one that lost
/// its power never says goodbye, and its thread would stay for ever.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60));

/// Echoes what TCP clients send, with a thread for each client (RFC 9293).
///
/// Prints each connection and what it sent. Runs until Ctrl-C; exit status 1 when it
/// cannot listen, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: an IP address of this machine and a port, 0 for any free port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:65432")]
    address: SocketAddr,
    /// Clients served at once, each by a thread of its own; the next ones wait
    #[arg(long, value_name = "N", default_value = "1000")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    max_clients: u32,
}

fn main() -> Result<()> {
    let Arguments { address, max_clients } = Arguments::parse();
    // Each connection is an open file, and many systems allow a program only 1,024.
    let allowed = rlimit::increase_nofile_limit(u64::from(max_clients) + 64)?;
    if allowed < max_clients.into() {
        eprintln!("Only {allowed} open files allowed for {max_clients} clients");
    }
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address} (try another port)"))?;
    SockRef::from(&listener).set_tcp_keepalive(&KEEPALIVE)?;
    // Else a short piece waits until the one before it was acknowledged, up to 40 ms.
    SockRef::from(&listener).set_tcp_nodelay(true)?;
    // Thousands may come at once: the usual queue of 128 would turn most away.
    SockRef::from(&listener).listen(4096)?;
    println!("Threaded TCP server listening on {}", listener.local_addr()?);
    accept_clients(&listener, max_clients as usize)
}

/// Starts a thread for each client, for ever: a function that returns `!` never does.
fn accept_clients(listener: &TcpListener, max_clients: usize) -> ! {
    let served = Arc::new(());
    loop {
        wait_for_room(&served, max_clients);
        // Blocks until a client connects, however long the others stay.
        match listener.accept() {
            Ok((connection, peer)) => start_thread(connection, peer, served.clone()),
            Err(error) => {
                eprintln!("Cannot accept a client: {error}");
                // What failed, no more open files say, needs time to pass.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// Waits until fewer than `max_clients` threads hold a clone of `served`. Who
/// connects meanwhile is left in the kernel's backlog: a shortcut that bounds the
/// threads.
fn wait_for_room(served: &Arc<()>, max_clients: usize) {
    static SAID: Once = Once::new();
    while Arc::strong_count(served) > max_clients {
        SAID.call_once(|| eprintln!("Full at {max_clients} clients: others wait"));
        // Blocks until a thread that ends wakes this one.
        thread::park();
    }
}

/// Moves the connection into a new thread: from here on it belongs to that thread
/// alone.
fn start_thread(connection: TcpStream, peer: SocketAddr, served: Arc<()>) {
    let acceptor = thread::current();
    let started = thread::Builder::new().spawn(move || {
        serve(connection, peer);
        drop(served);
        acceptor.unpark();
    });
    if let Err(error) = started {
        eprintln!("Cannot start a thread for {peer}: {error}");
    }
}

/// Serves one client to its end. Whatever happens to it, the others never notice.
fn serve(connection: TcpStream, peer: SocketAddr) {
    println!("Connected by {peer}");
    match echo(connection, peer) {
        Ok(()) => println!("Closing connection with {peer}"),
        Err(error) => eprintln!("Lost connection with {peer}: {error}"),
    }
}

/// Sends back what arrives; leaving the function drops the connection: it closes.
fn echo(mut connection: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let mut buffer = [0; 1024]; // A maximum, never the size of a message.
    loop {
        // Blocks this thread, and only this one, until data arrives.
        let length = connection.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        println!("Received from {peer}: {}", printable(&buffer[..length]));
        // Blocks while the client does not read; the thread does nothing meanwhile.
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
