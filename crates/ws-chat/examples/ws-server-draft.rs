//! The slide's chat server, translated directly: ws_server.py. Compare it with
//! src/bin/ws-server.rs.
//!
//! Run: 1$ cargo run -p ws-chat --example ws-server-draft
//!      2$ cargo run -p ws-chat --bin ws-client, in two terminals

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use tokio::{net::TcpListener, net::TcpStream, sync::Mutex};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};

type Socket = WebSocketStream<TcpStream>;
type Clients = Arc<Mutex<HashMap<SocketAddr, SplitSink<Socket, Message>>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8765".to_string());
    let listener = TcpListener::bind(address).await?;
    println!("WebSocket server on ws://{}", listener.local_addr()?);
    let clients = Clients::default();
    loop {
        let (connection, peer) = listener.accept().await?;
        let client = accept_async(connection).await.unwrap();
        tokio::spawn(chat(client, peer, clients.clone()));
    }
}

async fn chat(client: Socket, peer: SocketAddr, clients: Clients) {
    println!("Client connected: {peer}");
    let (sender, mut receiver) = client.split();
    clients.lock().await.insert(peer, sender);
    while let Some(Ok(Message::Text(text))) = receiver.next().await {
        println!("Received from {peer}: {text}");
        for (_, other) in
            clients.lock().await.iter_mut().filter(|(to, _)| **to != peer)
        {
            let text = format!("[{}]: {text}", peer.port());
            other.send(text.into()).await.unwrap();
        }
    }
    println!("Client disconnected: {peer}");
    clients.lock().await.remove(&peer);
}

// It looks right, and it runs. What on a real network breaks it?
//
// Answer: one client that stops reading stalls all; one bad handshake ends it.
