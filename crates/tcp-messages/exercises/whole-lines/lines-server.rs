//! A key-value store behind a line protocol: many requests on one TCP connection.
//!
//! Contract: binds ADDR:PORT; expects lines of UTF-8: `set KEY VALUE`, `get KEY`,
//!           `list`, `quit`; answers each with one line, in order; ends on Ctrl-C.
//!           The README defines the protocol. TCP is RFC 9293.
//! Slide:    Sockets vs. REST APIs (raw sockets: custom protocol)
//! Run:      1$ cargo run -p tcp-messages
//!           2$ cargo run -p tcp-messages --bin lines-client
//! See:      `Received from 127.0.0.1:<port>: set greeting Hello, world`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::{collections::BTreeMap, sync::Arc, sync::Mutex, thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use socket2::{SockRef, TcpKeepalive};

fn main() -> Result<()> {
    let Arguments { address } = Arguments::parse();
    rlimit::increase_nofile_limit(1100)?; // Each client is an open file.
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address}"))?;
    SockRef::from(&listener).listen(4096)?; // Room for a rush of clients.
    println!("Lines server listening on {}", listener.local_addr()?);
    let store = Arc::new(Store::default());
    loop {
        if let Err(error) = start_thread(&listener, store.clone()) {
            eprintln!("Cannot serve a client: {error}");
            thread::sleep(Duration::from_millis(100)); // The cause may pass.
        }
    }
}

/// Answers one client's requests, in order.
fn serve(mut client: &TcpStream, peer: SocketAddr, store: &Store) -> io::Result<()> {
    let (mut reader, mut line) = (BufReader::new(client), Vec::new());
    // Blocks until a line is whole, after one read or many. `reader` keeps the rest.
    loop {
        // Exercise: read up to the next line end and append it all to `line`, the line end
        // included; no more than MAX_LINE bytes, whatever the client sends.
        let length: usize = todo!("read from `reader`");
        if length == 0 {
            break;
        }
        println!("Received from {peer}: {:.200}", printable(line.trim_ascii_end()));
        let reply = answer(&line, store).unwrap_or_else(|why| format!("error {why}"));
        // Blocks while the client does not read. Nothing is read from it meanwhile.
        client.write_all(format!("{reply}\n").as_bytes())?;
        if reply == "bye" || !line.ends_with(b"\n") {
            break;
        }
        line.clear();
    }
    client.shutdown(Shutdown::Write)?;
    // Closing with bytes unread sends a reset, which may destroy the last replies.
    client.set_read_timeout(Some(Duration::from_secs(4)))?;
    let _ = io::copy(&mut reader, &mut io::sink());
    Ok(())
}

/// Does what one line asks for, and returns the reply.
fn answer(line: &[u8], store: &Store) -> Result<String> {
    let line = line.strip_suffix(b"\n").context("no line end, or too long")?;
    let line = str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line))?;
    ensure!(!line.contains(char::is_control), "control characters are not allowed");
    let mut store = store.lock().expect("no thread panics while it has the lock");
    Ok(match line.splitn(3, ' ').collect::<Vec<_>>()[..] {
        ["set", key, value] => {
            ensure!((1..=32).contains(&key.len()), "a key has 1 to 32 bytes");
            ensure!(store.len() < MAX_KEYS || store.contains_key(key), "store full");
            store.insert(key.to_string(), value.to_string());
            "ok".to_string()
        }
        ["get", key] => format!("value {}", store.get(key).context("no such key")?),
        ["list"] => store.keys().fold("keys".to_string(), |all, key| all + " " + key),
        ["quit"] => "bye".to_string(),
        _ => bail!("unknown request"),
    })
}

// Set-up.

/// Keeps values under keys for TCP clients, which send lines of text (RFC 9293).
///
/// Answers `set KEY VALUE`, `get KEY`, `list` and `quit`. Prints each connection and
/// each request. Serves 1000 clients at once; further ones wait. A client that reads
/// nothing for 4 seconds while a reply waits is cut off. Runs until Ctrl-C, and the
/// store ends with it. Exit status: 1 when it cannot listen, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: an IP address of this machine and a port, 0 for any free port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:65435")]
    address: SocketAddr,
}

/// What all clients share. Its bounds keep a client from filling the server's memory.
type Store = Mutex<BTreeMap<String, String>>;

const MAX_LINE: u64 = 4096; // Bytes of a request, and so of a value.
const MAX_KEYS: usize = 100; // So that the reply to `list` is not longer than that.

/// Waits for a client and gives it a thread of its own.
fn start_thread(listener: &TcpListener, store: Arc<Store>) -> Result<()> {
    // Each client's thread holds the store, until it ends for whatever reason; so do
    // `main` and this function.
    ensure!(Arc::strong_count(&store) < 1000 + 2, "1000 clients are connected");
    let (client, peer) = listener.accept()?;
    // Without this a short reply waits, up to 40 ms, until the last is acknowledged.
    client.set_nodelay(true)?;
    client.set_write_timeout(Some(Duration::from_secs(4)))?;
    // A client that loses power never says so: after a silent minute the kernel asks.
    let silence = TcpKeepalive::new().with_time(Duration::from_secs(60));
    SockRef::from(&client).set_tcp_keepalive(&silence)?;
    println!("Connected by {peer}");
    thread::Builder::new().spawn(move || match serve(&client, peer, &store) {
        Ok(()) => println!("Closing connection with {peer}"),
        Err(error) => eprintln!("Lost connection with {peer}: {error}"),
    })?;
    Ok(())
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
