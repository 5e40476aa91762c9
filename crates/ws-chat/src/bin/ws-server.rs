//! A WebSocket chat server, which serves the chat's page on the same port.
//!
//! Contract: binds ADDR:PORT; answers `GET /` with the page, or with an upgrade to
//!           WebSocket; then expects text messages and sends each to all other
//!           clients; ends on Ctrl-C. WebSocket is RFC 6455, HTTP is RFC 9112.
//! Slide:    WebSocket Example: Python Server, ws_server.py
//! Run:      1$ cargo run -p ws-chat
//!           2$ cargo run -p ws-chat --bin ws-client
//!           and a browser at http://127.0.0.1:8765
//! See:      `Client connected: 127.0.0.1:<port>`, and what each client says.

use std::{future::ready, net::SocketAddr, sync::LazyLock};

use anyhow::{Context, Result};
use clap::Parser;
use futures_util::{SinkExt, StreamExt, TryFutureExt};
use hyper::{body::Incoming, header::*, server::conn::http1, upgrade::*, *};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpListener, select, signal, sync::broadcast::*, task, time::*};
use tokio_tungstenite::{WebSocketStream, tungstenite};
use tungstenite::error::{Error, ProtocolError::SendAfterClosing};
use tungstenite::{handshake::server::create_response_with_body, protocol::*};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { address, allow_origin } = Arguments::parse();
    // Begins once this function waits, so Ctrl-C is caught before it is ready.
    tokio::spawn(accept_clients(listen(address).await?, allow_origin));
    signal::ctrl_c().await?;
    let goodbye = CloseFrame { code: 1001.into(), reason: "the chat ends".into() };
    CHAT.send((address, Message::Close(Some(goodbye)))).ok();
    // Waits until all clients have left, but not for one that does not answer.
    timeout(Duration::from_millis(500), CHAT.closed()).await.or(Ok(()))
}

/// Every client begins with an HTTP request. A WebSocket is one that is upgraded.
fn answer(mut ask: Request<Incoming>, peer: SocketAddr, friends: &[String]) -> Reply {
    let is_chat = ask.headers().contains_key(SEC_WEBSOCKET_VERSION);
    let upgraded = create_response_with_body(&ask, String::new);
    match (ask.method().as_str(), ask.uri().path(), upgraded) {
        ("GET", "/", Ok(_)) if is_foreign(ask.headers(), friends) => reply(403, "No"),
        ("GET", "/", Ok(_)) if CHAT.receiver_count() >= 1000 => reply(503, "Full"),
        ("GET", "/", Ok(response)) => join(upgrade::on(&mut ask), peer, response),
        ("GET", "/", Err(error)) if is_chat => reply(400, &error.to_string()),
        ("GET" | "HEAD", "/", _) => reply(200, include_str!("../../chat.html")),
        (_, "/", _) => reply(405, "The chat takes GET and HEAD"),
        _ => reply(404, "Nothing is here"),
    }
}

/// Goes on with what comes first: this client says something, or another one did.
async fn chat(mut me: User, mut all: Receiver<Said>, peer: SocketAddr) -> Result<()> {
    loop {
        select! {
            heard = me.next(), if all.is_empty() => { // First hear, then speak.
                let Some(message) = heard.transpose()? else { return Ok(()) };
                if !message.is_text() && !message.is_binary() { continue }
                let text = message.into_text()?;
                CHAT.send((peer, format!("[{}]: {text}", peer.port()).into())).ok();
                println!("Received from {peer}: {:.200}", printable(text.as_bytes()));
                task::yield_now().await; // Lets the others hear it.
            }
            said = all.recv() => {
                let (from, message) = said.context("it is too far behind")?;
                let sent = timeout(CLIENT_TIMEOUT, me.send(message).or_else(leaving));
                if from != peer { sent.await.context("it reads too slowly")?? }
            }
        }
    }
}

// Set-up.

/// Passes on what each chat client says to all the others, by WebSocket (RFC 6455).
///
/// A browser at http://ADDR:PORT gets the chat's page. Prints who comes and goes, and
/// what is said. Runs until Ctrl-C. Takes 1000 clients, and messages up to 64 KiB.
/// Closes a client that takes longer than 8 seconds to ask or to read, or that is
/// more than 1024 messages behind. Exit status: 1 when it cannot listen, 2 for a
/// wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: an IP address of this machine and a port, 0 for any free port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:8765")]
    address: SocketAddr,
    /// Lets in pages from elsewhere: http://HOST:PORT, or null for a page in a file
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
}

/// The longest message, in bytes.
const MAX: Option<usize> = Some(64 * 1024);
/// How long a client may take to ask, and to read a message.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(8);

type User = WebSocketStream<TokioIo<Upgraded>>;
type Said = (SocketAddr, Message);
type Reply = http::Result<Response<String>>;

/// What is sent here comes out of each client's receiver. A client that has not taken
/// the last 1024 messages gets an error instead: the server keeps no more. With room
/// for less than one of each client, those who talk at once would lose each other.
static CHAT: LazyLock<Sender<Said>> = LazyLock::new(|| Sender::new(1024));

/// An answer without a WebSocket, which also says what is taken here.
fn reply(status: u16, body: &str) -> Reply {
    let reply = Response::builder().status(status).header(ALLOW, "GET, HEAD");
    let reply = reply.header(CONTENT_TYPE, "text/html; charset=utf-8");
    reply.header(SEC_WEBSOCKET_VERSION, "13").body(body.into())
}

/// Takes a place in the chat. The end of the task gives it back.
fn join(http: OnUpgrade, peer: SocketAddr, response: Response<String>) -> Reply {
    tokio::spawn(serve(http, CHAT.subscribe(), peer));
    Ok(response)
}

/// Serves one client to its end. Whatever happens to it, the others never notice.
async fn serve(http: OnUpgrade, all: Receiver<Said>, peer: SocketAddr) -> Result<()> {
    let limits = WebSocketConfig::default().max_message_size(MAX).max_frame_size(MAX);
    let limits = Some(limits.read_buffer_size(4096).max_write_buffer_size(200_000));
    let me = User::from_raw_socket(TokioIo::new(http.await?), Role::Server, limits);
    println!("Client connected: {peer}");
    let ended = chat(me.await, all, peer).await;
    println!("Client disconnected: {peer}");
    ended.inspect_err(|error| eprintln!("Lost connection with {peer}: {error}"))
}

/// A client that is leaving is sent nothing more. The library calls that an error.
async fn leaving(why: Error) -> tungstenite::Result<()> {
    if matches!(why, Error::Protocol(SendAfterClosing)) { Ok(()) } else { Err(why) }
}

/// Browsers tell in `Origin` where a page came from: without this check any page on
/// the web could join in its reader's name.
fn is_foreign(headers: &HeaderMap, friends: &[String]) -> bool {
    let text = |name| headers.get(name).map(|it| printable(it.as_bytes()));
    let here = format!("http://{}", text(HOST).unwrap_or_default());
    let from = text(ORIGIN).filter(|from| *from != here && !friends.contains(from));
    from.inspect(|it| eprintln!("Refused {it}: see --allow-origin {it}")).is_some()
}

async fn listen(at: SocketAddr) -> Result<TcpListener> {
    // A client is an open file, and many systems allow a program only 1,024.
    rlimit::increase_nofile_limit(4096)?;
    let port =
        TcpListener::bind(at).await.context(format!("cannot listen on {at}"))?;
    let tcp = SockRef::from(&port);
    // A client that loses its power never says so: after a minute the kernel asks.
    tcp.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(60)))?;
    // Else TCP holds a short message back until the last one is acknowledged.
    tcp.set_tcp_nodelay(true)?;
    // Clients that the kernel connects before `accept`. Many fill a short queue.
    tcp.listen(4096)?;
    Ok(port)
}

/// Starts a task for each client.
async fn accept_clients(tcp: TcpListener, friends: Vec<String>) -> Result<()> {
    println!("WebSocket server on ws://{}", tcp.local_addr()?);
    loop {
        let new = tcp.accept().await.inspect_err(|e| eprintln!("Cannot accept: {e}"));
        let Ok((client, peer)) = new else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (client, friends) = (TokioIo::new(client), friends.clone());
        let app = service::service_fn(move |it| ready(answer(it, peer, &friends)));
        let http = http1::Builder::new().serve_connection(client, app);
        tokio::spawn(timeout(CLIENT_TIMEOUT, http.with_upgrades()));
    }
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
