//! A WebSocket chat server, which serves the chat's page on the same port.
//!
//! Contract: binds ADDR:PORT; answers `GET /` with the page, or with an Upgrade to
//!           WebSocket; expects text messages then, and sends each to all other
//!           clients; ends on Ctrl-C or SIGTERM. WebSocket is RFC 6455.
//! Slide:    WebSocket Example: Python Server, ws_server.py
//! Run:      1$ cargo run -p ws-chat
//!           2$ cargo run -p ws-chat --bin ws-client
//!           and a browser at http://127.0.0.1:8765
//! See:      `Client connected: 127.0.0.1:<port>`, and what each client says.

use std::{convert::Infallible as Never, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use tokio::time::{Instant, interval_at, sleep, sleep_until, timeout};
use tokio::{io, io::AsyncWriteExt, net::TcpListener, net::TcpStream, select};
use tokio::{signal, spawn, sync::broadcast, task::yield_now};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config, tungstenite};
use tungstenite::handshake::server::{ErrorResponse as Refusal, Request, Response};
use tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode};
use tungstenite::{Error, Message, error::ProtocolError::*, http::StatusCode};

const PAGE: &str = include_str!("../../chat.html");
/// Clients that may be in the chat at once; the next one is refused.
const MAX_CLIENTS: usize = 1000;
/// Bytes of a message. A chat needs few, and each client may have to keep many.
const MAX_MESSAGE: Option<usize> = Some(64 * 1024);
/// Messages that wait for a slow client: at least one of each other client.
const QUEUE: usize = 1024;
/// How long a client may take to ask, to read what was said, and to hang up.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between pings; a client that stays silent twice as long is dead.
const PING: Duration = Duration::from_secs(10);

/// What is said, and by whom.
type Chat = broadcast::Sender<(SocketAddr, Message)>;
type Socket<'a> = WebSocketStream<&'a mut TcpStream>;

/// Passes on what each chat client says to all the others, by WebSocket (RFC 6455).
///
/// A browser at http://ADDR:PORT gets the chat's page. Prints who comes and goes, and
/// what is said. Ends on Ctrl-C or SIGTERM with exit status 0; 1 when it cannot
/// listen, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: an IP address of this machine and a port, 0 for any free port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:8765")]
    address: SocketAddr,
}

/// The event loop: all tasks take turns on this one thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { address } = Arguments::parse();
    // A client is an open file, and many systems allow a program only 1,024.
    rlimit::increase_nofile_limit(4 * MAX_CLIENTS as u64)?;
    let no_port = || format!("cannot listen on {address} (try another port)");
    let listener = TcpListener::bind(address).await.with_context(no_port)?;
    // What is sent here comes out of the receiver that each client has.
    let (chat, _) = broadcast::channel(QUEUE);
    select! {
        biased; // Signals must be caught before the server says that it is ready.
        result = signal::ctrl_c() => result?,
        result = terminated() => result?,
        result = accept_clients(listener, &chat) => result?,
    }
    let goodbye = CloseFrame { code: CloseCode::Away, reason: "it ends".into() };
    let _ = chat.send((address, Message::Close(Some(goodbye))));
    // Waits until the last client has left, but not for one that does not answer.
    let _ = timeout(Duration::from_millis(500), chat.closed()).await;
    Ok(())
}

/// Starts a task for each client.
async fn accept_clients(listener: TcpListener, chat: &Chat) -> io::Result<()> {
    println!("WebSocket server on ws://{}", listener.local_addr()?);
    loop {
        // Waits until a client connects; the thread runs other tasks meanwhile.
        match listener.accept().await {
            Ok((tcp, peer)) => drop(spawn(greet(tcp, peer, chat.clone()))),
            Err(error) => {
                eprintln!("Cannot accept a client: {error}");
                // What makes it fail, no more open files say, needs time to pass.
                sleep(Duration::from_millis(100)).await;
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

/// Every WebSocket begins as an HTTP request: with the wish to go on as WebSocket.
async fn greet(mut tcp: TcpStream, peer: SocketAddr, chat: Chat) -> Result<u64> {
    // Else TCP would hold a small message back until the last one is acknowledged.
    tcp.set_nodelay(true)?;
    let limits = WebSocketConfig::default().read_buffer_size(4096);
    let limits = limits.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE);
    let limits = limits.max_write_buffer_size(256 * 1024);
    let check = |request: &Request, response| check(request, response, &chat);
    let upgrade = accept_hdr_async_with_config(&mut tcp, check, Some(limits));
    match timeout(CLIENT_TIMEOUT, upgrade).await? {
        Ok(socket) => serve(socket, peer, &chat).await,
        Err(error) => respond(&mut tcp, error).await?,
    }
    tcp.shutdown().await?;
    // Closing with bytes unread would reset the connection, and lose what was sent.
    Ok(timeout(CLIENT_TIMEOUT, io::copy(&mut tcp, &mut io::sink())).await??)
}

/// Whether the client may join. Browsers tell in `Origin` where the page came from:
/// without this check any page on the web could join in its reader's name. Other
/// programs send no such header.
fn check(request: &Request, ok: Response, chat: &Chat) -> Result<Response, Refusal> {
    let header = |name| request.headers().get(name)?.to_str().ok();
    let mut refusal = Refusal::new(None);
    *refusal.status_mut() = match (header("Origin"), header("Host")) {
        (Some(from), to) if from.rsplit('/').next() != to => StatusCode::FORBIDDEN,
        _ if chat.receiver_count() >= MAX_CLIENTS => StatusCode::SERVICE_UNAVAILABLE,
        _ => return Ok(ok),
    };
    Err(refusal)
}

/// Answers a request without that wish: it is for the page.
async fn respond(tcp: &mut TcpStream, error: Error) -> io::Result<()> {
    let (status, body) = match error {
        Error::Protocol(MissingConnectionUpgradeHeader) => ("200 OK", PAGE),
        Error::Http(_) => return Ok(()), // Refused above.
        _ => ("400 Bad Request", ""),
    };
    let kind = "Content-Type: text/html; charset=utf-8\r\nConnection: close";
    tcp.write_all(format!("HTTP/1.1 {status}\r\n{kind}\r\n\r\n{body}").as_bytes())
        .await
}

/// Serves one client to its end. Whatever happens to it, the others never notice.
async fn serve(mut socket: Socket<'_>, peer: SocketAddr, chat: &Chat) {
    println!("Client connected: {peer}");
    let Err(error) = talk(&mut socket, peer, chat).await;
    println!("Client disconnected: {peer}");
    let code = match error.downcast_ref() {
        Some(Error::ConnectionClosed) => return,
        Some(Error::Utf8(_)) => CloseCode::Invalid,
        Some(Error::Capacity(_)) => CloseCode::Size,
        Some(_) => CloseCode::Protocol,
        None => CloseCode::Policy,
    };
    eprintln!("Lost connection with {peer}: {error}");
    let frame = CloseFrame { code, reason: error.to_string().into() };
    // Waits until what was said before is sent as well, but not for long.
    let _ = timeout(CLIENT_TIMEOUT, socket.close(Some(frame))).await;
}

/// Goes on with what comes first: the others, the client, or time for a ping.
async fn talk(me: &mut Socket<'_>, peer: SocketAddr, chat: &Chat) -> Result<Never> {
    let mut others = chat.subscribe();
    let mut pings = interval_at(Instant::now() + PING, PING);
    let mut heard = Instant::now();
    loop {
        let message = select! {
            biased; // Who has not heard the others yet does not speak.
            said = others.recv() => match said.context("it reads too slowly")? {
                (from, _) if from == peer => continue,
                (_, message) => message,
            },
            time = hear(me, peer, chat) => { heard = time?; continue }
            _ = pings.tick() => Message::Ping("".into()),
            () = sleep_until(heard + 2 * PING) => bail!("it answers no ping"),
        };
        // Waits while the client does not read; the queue keeps what is said then.
        timeout(CLIENT_TIMEOUT, me.send(message))
            .await
            .context("it does not read")??;
    }
}

/// Puts what the client says next into the queue of all; tells when it was.
async fn hear(me: &mut Socket<'_>, peer: SocketAddr, chat: &Chat) -> Result<Instant> {
    let message = me.next().await.ok_or(Error::ConnectionClosed)??;
    if message.is_text() || message.is_binary() {
        let text = message.into_text()?;
        println!("Received from {peer}: {}", printable(text.as_bytes()));
        let _ = chat.send((peer, format!("[{}]: {text}", peer.port()).into()));
        yield_now().await; // Lets the others take it before the client says more.
    }
    Ok(Instant::now())
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
