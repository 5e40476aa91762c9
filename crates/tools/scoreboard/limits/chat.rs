//! The limit for WebSocket: the chat of ws-server on tokio-websockets, which shares no
//! code with the library of the example (tungstenite), is the faster of the two in its
//! own benchmarks, and runs on the same tokio: the difference is the library's and ours.
//! Usage: `limit-chat ADDR:PORT [silent]`. It prints the lines of ws-server, unless it is
//! told to be silent.

use std::{env, error::Error, net::SocketAddr};

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::{select, sync::broadcast, task};
use tokio_websockets::{Limits, Message, ServerBuilder};

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Said = (SocketAddr, Message);

/// As in ws-server: so many messages wait for a client that reads too slowly, of so many
/// bytes.
const WAITING: usize = 128;
const MAX: Option<usize> = Some(64 * 1024);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:8765".into());
    let is_silent = arguments.next().is_some_and(|word| word == "silent");
    rlimit::increase_nofile_limit(4096)?;
    let listener = TcpListener::bind(address).await?;
    println!("WebSocket server on ws://{}", listener.local_addr()?);
    let everybody = broadcast::Sender::new(WAITING);
    loop {
        let (client, peer) = listener.accept().await?;
        let all = everybody.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(client, peer, all, is_silent).await {
                eprintln!("Lost connection with {peer}: {error}");
            }
        });
    }
}

async fn serve(
    client: TcpStream,
    peer: SocketAddr,
    everybody: broadcast::Sender<Said>,
    is_silent: bool,
) -> Result<()> {
    client.set_nodelay(true)?;
    let limits = Limits::default().max_payload_len(MAX);
    let (_, mut me) = ServerBuilder::new().limits(limits).accept(client).await?;
    let mut all = everybody.subscribe();
    if !is_silent {
        println!("Client connected: {peer}");
    }
    loop {
        select! {
            heard = me.next(), if all.is_empty() => {
                let Some(message) = heard.transpose()? else { break };
                if !message.is_text() && !message.is_binary() { continue }
                let text = str::from_utf8(message.as_payload())?;
                if !is_silent {
                    println!("Received from {peer}: {text:.200}");
                }
                let said = Message::text(format!("[{}]: {text}", peer.port()));
                everybody.send((peer, said)).ok();
                task::yield_now().await; // Lets the others hear it.
            }
            said = all.recv() => {
                let (from, message) = said?;
                if from != peer { me.feed(message).await?; }
                // Written at once when no more waits.
                if all.is_empty() { me.flush().await?; }
            }
        }
    }
    if !is_silent {
        println!("Client disconnected: {peer}");
    }
    Ok(())
}
