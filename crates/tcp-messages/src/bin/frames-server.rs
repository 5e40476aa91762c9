//! The store of `lines-server` behind frames: a length, then that many bytes of JSON.
//!
//! Contract: binds ADDR:PORT; expects frames: 4 bytes of length, big-endian, and JSON
//!           such as `{"do":"get","key":"greeting"}`; answers each with a frame, in
//!           order; ends on Ctrl-C. JSON is RFC 8259, TCP is RFC 9293.
//! Slide:    Sockets vs. REST APIs (raw sockets: custom protocol)
//! Run:      1$ cargo run -p tcp-messages --bin frames-server
//!           2$ cargo run -p tcp-messages --bin frames-client
//! See:      `Received from 127.0.0.1:<port>: {"do":"get","key":"greeting"}`.

use std::sync::{Arc, Mutex};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context, Error, Result, bail, ensure};
use clap::Parser;
use futures_util::{SinkExt, StreamExt, TryFutureExt};
use serde_json::{Value, json};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::{net::TcpListener, net::TcpStream, time::sleep, time::timeout};
use tokio_util::codec::length_delimited::Builder;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { address } = Arguments::parse();
    rlimit::increase_nofile_limit(1100)?; // Each client is an open file.
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
    SockRef::from(&listener).listen(4096)?; // Room for a rush of clients.
    println!("Frames server listening on {}", listener.local_addr()?);
    let store = Arc::new(Store::default());
    loop {
        if let Err(error) = start_task(&listener, &store).await {
            eprintln!("Cannot serve a client: {error}");
            sleep(Duration::from_millis(100)).await; // The cause may pass.
        }
    }
}

/// Answers one client's requests, in order.
async fn serve(client: TcpStream, peer: SocketAddr, store: Arc<Store>) -> Result<()> {
    let mut frames = Builder::new().max_frame_length(MAX_FRAME).new_framed(client);
    // Waits until a frame is whole, after one read or many. A length over the limit
    // is an error before any memory is taken for it, and ends the loop.
    while let Some(frame) = frames.next().await {
        let reply = frame.map_err(Error::from).and_then(|f| answer(&f, peer, &store));
        let reply = reply.unwrap_or_else(|why| json!({"error": why.to_string()}));
        // Waits while the client does not read. Nothing is read from it meanwhile.
        timeout(PATIENCE, frames.send(reply.to_string().as_bytes())).await??;
    }
    frames.get_mut().shutdown().await?;
    // Closing with bytes unread sends a reset, which may destroy the last replies.
    let (client, mut rest) = (frames.get_mut(), [0; 1024]);
    while let Ok(Ok(1..)) = timeout(PATIENCE, client.read(&mut rest)).await {}
    println!("Closing connection with {peer}");
    Ok(())
}

/// Does what one frame asks for, and returns the reply.
fn answer(frame: &[u8], peer: SocketAddr, store: &Store) -> Result<Value> {
    println!("Received from {peer}: {:.200}", printable(frame));
    let request: Value = serde_json::from_slice(frame)?;
    let text = |name| request[name].as_str().context(format!("no string '{name}'"));
    let mut store = store.lock().expect("no task panics while it has the lock");
    Ok(match text("do")? {
        "set" => {
            let (key, value) = (text("key")?, text("value")?);
            ensure!((1..=32).contains(&key.len()), "a key has 1 to 32 bytes");
            ensure!(store.len() < MAX_KEYS || store.contains_key(key), "store full");
            store.insert(key.to_string(), value.to_string());
            json!({"ok": true})
        }
        "get" => json!({"value": store.get(text("key")?).context("no such key")?}),
        "list" => json!({"keys": store.keys().collect::<Vec<_>>()}),
        _ => bail!("unknown request"),
    })
}

// Set-up.

/// Keeps values under keys for TCP clients, which send frames of JSON (RFC 9293).
///
/// A frame is 4 bytes of length, big-endian, then {"do":"set","key":K,"value":V},
/// {"do":"get","key":K} or {"do":"list"}. Serves 1000 clients at once; further ones
/// wait. A client that takes longer than 4 seconds to read a reply is cut off.
/// Ctrl-C ends it, and the store. Exit status: 1 when it cannot listen, 2 for a wrong
/// argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: an IP address of this machine and a port, 0 for any free port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:65436")]
    address: SocketAddr,
}

/// What all clients share. Its bounds keep a client from filling the server's memory.
type Store = Mutex<BTreeMap<String, String>>;

const MAX_FRAME: usize = 32 * 1024; // Bytes of a request, and so of a value.
const MAX_KEYS: usize = 100; // So that the reply to `list` is no longer than that.
const PATIENCE: Duration = Duration::from_secs(4); // For a client that stalls.

/// Waits for a client and gives it a task of its own.
async fn start_task(listener: &TcpListener, store: &Arc<Store>) -> Result<()> {
    // Each task holds the store, until it ends for whatever reason.
    ensure!(Arc::strong_count(store) <= 1000, "1000 clients are connected");
    let (client, peer) = listener.accept().await?;
    // Without this a short reply waits, up to 40 ms, until the last is acknowledged.
    client.set_nodelay(true)?;
    // A client that loses power never says so: after a silent minute the kernel asks.
    let silence = TcpKeepalive::new().with_time(Duration::from_secs(60));
    SockRef::from(&client).set_tcp_keepalive(&silence)?;
    println!("Connected by {peer}");
    let lost = move |error| eprintln!("Lost connection with {peer}: {error}");
    tokio::spawn(serve(client, peer, store.clone()).unwrap_or_else(lost));
    Ok(())
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
