//! The limit for WebSocket: the chat of ws-server on tokio-websockets, which shares no
//! code with the library of the example (tungstenite), is the faster of the two in its
//! own benchmarks, and runs on the same tokio: the difference is the library's and ours.
//! Usage: `limit-chat ADDR:PORT [silent]`. It prints the lines of ws-server, unless it is
//! started with `silent`.

use std::{env, net::SocketAddr, time::SystemTime};

use anyhow::Result;
use axum::http::header::DATE;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::{select, sync::broadcast, task};
use tokio_websockets::{Limits, Message, ServerBuilder, WebSocketStream};

type Said = (SocketAddr, Message);

/// As in ws-server: how many messages wait for a slow reader, and how many bytes each may
/// have.
const WAITING: usize = 1024;
const MAX: Option<usize> = Some(64 * 1024);
/// The first byte of a frame that ends a connection.
const CLOSE: u8 = 0x88;
const KIND: &str = "Content-Type: text/html; charset=utf-8";
const PAGE: &str = include_str!("../../../ws-chat/chat.html");

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
    // Boxed, so that its memory is freed before the chat begins.
    let Some(mut me) = Box::pin(upgrade(client)).await? else { return Ok(()) };
    let mut all = everybody.subscribe();
    if !is_silent {
        println!("Client connected: {peer}");
    }
    let chat = async {
        loop {
            select! {
                heard = me.next(), if all.is_empty() => {
                    let Some(message) = heard.transpose()? else { return Ok(()) };
                    if message.is_close() {
                        // The library would send back the code alone.
                        let why = message.as_payload();
                        let reply = [&[CLOSE, why.len() as u8], &**why].concat();
                        return Ok(me.get_mut().write_all(&reply).await?);
                    }
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
                    // Flushed when no more messages wait.
                    if all.is_empty() { me.flush().await?; }
                }
            }
        }
    };
    let ended = chat.await;
    if !is_silent {
        println!("Client disconnected: {peer}");
    }
    ended
}

/// A browser asks for the page before it chats.
async fn upgrade(
    mut client: TcpStream,
) -> Result<Option<WebSocketStream<TcpStream>>> {
    client.set_nodelay(true)?;
    let mut request = [0; 1024];
    let length = client.peek(&mut request).await?;
    let head = String::from_utf8_lossy(&request[..length]).to_lowercase();
    if !head.contains("\r\nupgrade: websocket") {
        client.read_exact(&mut request[..length]).await?;
        let length = PAGE.len();
        let head = format!("HTTP/1.1 200 OK\r\n{KIND}\r\nContent-Length: {length}");
        client.write_all(format!("{head}\r\n\r\n{PAGE}").as_bytes()).await?;
        return Ok(None);
    }
    let limits = Limits::default().max_payload_len(MAX);
    let date = httpdate::fmt_http_date(SystemTime::now()).parse()?;
    let server = ServerBuilder::new().limits(limits).add_header(DATE, date)?;
    Ok(Some(server.accept(client).await?.1))
}
