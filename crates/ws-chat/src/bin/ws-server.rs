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

use std::{net::SocketAddr, sync::LazyLock, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{self, OnUpgrade, Upgraded};
use hyper::{Request, Response, body::Incoming, header::*, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{io, net::TcpListener, select, signal, sync::broadcast, task, time::*};
use tokio_tungstenite::{WebSocketStream, tungstenite};
use tungstenite::handshake::server::create_response_with_body;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, Message, protocol::frame::coding::CloseCode};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { address, allow_origin } = Arguments::parse();
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
    // A client is an open file, and many systems allow a program only 1,024.
    rlimit::increase_nofile_limit(4 * MAX_CLIENTS as u64)?;
    // Begins once this function waits, so Ctrl-C is caught before it is ready.
    tokio::spawn(accept_clients(listener, allow_origin));
    signal::ctrl_c().await?;
    let goodbye = CloseFrame { code: CloseCode::Away, reason: "it ends".into() };
    let _ = CHAT.send((address, Message::Close(Some(goodbye))));
    // Waits until the last client has left, but not for one that does not answer.
    let _ = timeout(Duration::from_millis(500), CHAT.closed()).await;
    Ok(())
}

/// Every client begins with an HTTP request, perhaps to go on as a WebSocket.
async fn answer(asked: Asked, peer: SocketAddr, friends: Vec<String>) -> Reply {
    let is_chat = asked.headers().contains_key(SEC_WEBSOCKET_VERSION);
    let upgraded = create_response_with_body(&asked, String::new);
    match (asked.method().as_str(), asked.uri().path(), upgraded) {
        ("GET", "/", Ok(response)) => join(response, asked, peer, &friends),
        ("GET", "/", Err(error)) if is_chat => reply(400, &error.to_string()),
        ("GET" | "HEAD", "/", _) => reply(200, include_str!("../../chat.html")),
        (_, "/", _) => reply(405, "The chat takes GET and HEAD"),
        _ => reply(404, "Nothing is here"),
    }
}

/// `ok` is 101 Switching Protocols: then the connection is a WebSocket.
fn join(ok: Page, mut asked: Asked, peer: SocketAddr, friends: &[String]) -> Reply {
    if let Some(from) = foreign(asked.headers(), friends) {
        eprintln!(
            "Refused {peer}: its page is from {from}, see --allow-origin {from}"
        );
        return reply(403, "The page is from elsewhere");
    }
    // Takes a place in the chat. Dropping the receiver gives it back.
    let others = CHAT.subscribe();
    if CHAT.receiver_count() > MAX_CLIENTS {
        return reply(503, "The chat is full");
    }
    tokio::spawn(serve(upgrade::on(&mut asked), others, peer));
    Ok(ok)
}

/// Serves one client to its end. Whatever happens to it, the others never notice.
async fn serve(http: OnUpgrade, others: Others, peer: SocketAddr) -> Result<()> {
    let tcp = TokioIo::new(http.await?);
    let mut me = Client::from_raw_socket(tcp, Role::Server, Some(limits())).await;
    println!("Client connected: {peer}");
    let ended = talk(&mut me, others, peer).await;
    println!("Client disconnected: {peer}");
    if let Err(error) = ended {
        eprintln!("Lost connection with {peer}: {error}");
        let goodbye =
            CloseFrame { code: code(&error), reason: error.to_string().into() };
        let _ = timeout(CLIENT_TIMEOUT, me.close(Some(goodbye))).await;
    }
    // Closing with bytes unread would reset the connection, and lose what was sent.
    let mut tcp = me.into_inner();
    io::AsyncWriteExt::shutdown(&mut tcp).await?;
    timeout(CLIENT_TIMEOUT, io::copy(&mut tcp, &mut io::sink())).await??;
    Ok(())
}

/// Goes on with what comes first: the others, the client, or time for a ping.
async fn talk(me: &mut Client, mut others: Others, peer: SocketAddr) -> Result<()> {
    let mut pings = 0;
    loop {
        select! {
            biased; // A client that has not heard the others yet does not speak.
            said = others.recv() => {
                let (from, message) = said.context("it reads too slowly")?;
                if from != peer { send(me, &others, message).await? }
            }
            new = me.next() => if hear(new, peer).await? { pings = 0 } else { break },
            () = sleep(PING) => {
                pings += 1;
                ensure!(pings <= 2, "it answers no ping");
                send(me, &others, Message::Ping("".into())).await?;
            }
        }
    }
    Ok(())
}

/// Puts what a client says into the queue of all others; tells whether it goes on.
async fn hear(heard: Option<Heard>, peer: SocketAddr) -> Result<bool> {
    let Some(message) = heard.transpose()? else { return Ok(false) };
    if message.is_text() || message.is_binary() {
        let text = message.into_text()?;
        println!("Received from {peer}: {:.200}", printable(text.as_bytes()));
        let _ = CHAT.send((peer, format!("[{}]: {text}", peer.port()).into()));
        task::yield_now().await; // Lets the others take it before more is said.
    }
    Ok(true)
}

/// Waits while the client does not read, but neither for long nor for much.
async fn send(me: &mut Client, others: &Others, message: Message) -> Result<()> {
    select! {
        biased;
        sent = me.send(message) => Ok(sent?),
        // Else the queue could fill with the longest messages: 64 MiB.
        () = async { while others.len() < 100 { sleep(TICK).await } } =>
            bail!("it reads too slowly"),
        () = sleep(CLIENT_TIMEOUT) => bail!("it does not read"),
    }
}

// Set-up.

/// Passes on what each chat client says to all the others, by WebSocket (RFC 6455).
///
/// A browser at http://ADDR:PORT gets the chat's page. Prints who comes and goes, and
/// what is said. Runs until Ctrl-C. Takes 1000 clients, and messages up to 64 KiB.
/// Closes a client that takes longer than 8 seconds to ask or to read, that is 100
/// messages behind and does not read, or that answers no ping for 9 seconds. Exit
/// status: 1 when it cannot listen, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: an IP address of this machine and a port, 0 for any free port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:8765")]
    address: SocketAddr,
    /// Lets in pages from elsewhere: http://HOST:PORT, or null for a page in a file
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
}

const MAX_CLIENTS: usize = 1000;
const MAX_MESSAGE: Option<usize> = Some(64 * 1024);
/// How long a client may take to ask, to read what was said, and to hang up.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(8);
const PING: Duration = Duration::from_secs(3);
const TICK: Duration = Duration::from_millis(10);

type Client = WebSocketStream<TokioIo<Upgraded>>;
type Asked = Request<Incoming>;
type Heard = tungstenite::Result<Message>;
type Others = broadcast::Receiver<(SocketAddr, Message)>;
type Page = Response<String>;
type Reply = hyper::http::Result<Page>;

/// What is sent here comes out of the receiver that each client has. All clients may
/// speak at once, so there is room for one message of each.
static CHAT: LazyLock<broadcast::Sender<(SocketAddr, Message)>> =
    LazyLock::new(|| broadcast::channel(1024).0);

/// An answer without a WebSocket, which also says what is taken here.
fn reply(status: u16, body: &str) -> Reply {
    let reply = Response::builder().status(status).header(ALLOW, "GET, HEAD");
    let reply = reply.header(CONTENT_TYPE, "text/html; charset=utf-8");
    let reply = reply.header(CONNECTION, "close");
    reply.header(SEC_WEBSOCKET_VERSION, "13").body(body.to_string())
}

/// The origin of a page from elsewhere. Browsers tell in `Origin` where a page came
/// from: without this check any page on the web could join in its reader's name.
fn foreign(headers: &HeaderMap, friends: &[String]) -> Option<String> {
    let text = |value: &HeaderValue| printable(value.as_bytes()).to_lowercase();
    let host = headers.get(HOST).map(text).unwrap_or_default();
    let here = [format!("http://{host}"), format!("https://{host}")];
    let is_ours = |from: &String| {
        here.iter().chain(friends).any(|it| it.eq_ignore_ascii_case(from))
    };
    headers.get_all(ORIGIN).iter().map(text).find(|from| !is_ours(from))
}

fn limits() -> WebSocketConfig {
    let limits = WebSocketConfig::default().max_message_size(MAX_MESSAGE);
    let limits = limits.max_frame_size(MAX_MESSAGE).read_buffer_size(4096);
    limits.max_write_buffer_size(256 * 1024)
}

fn code(error: &anyhow::Error) -> CloseCode {
    match error.downcast_ref() {
        Some(Error::Utf8(_)) => CloseCode::Invalid,
        Some(Error::Capacity(_)) => CloseCode::Size,
        Some(_) => CloseCode::Protocol,
        None => CloseCode::Policy,
    }
}

/// Starts a task for each client.
async fn accept_clients(tcp: TcpListener, friends: Vec<String>) -> Result<()> {
    println!("WebSocket server on ws://{}", tcp.local_addr()?);
    let mut http = hyper::server::conn::http1::Builder::new();
    http.half_close(true).max_buf_size(16 * 1024);
    loop {
        let new = tcp.accept().await.inspect_err(|e| eprintln!("Cannot accept: {e}"));
        let Ok((client, peer)) = new else {
            sleep(10 * TICK).await;
            continue;
        };
        // Else TCP holds a short message back until the last one is acknowledged.
        let _ = client.set_nodelay(true);
        let (client, friends) = (TokioIo::new(client), friends.clone());
        let service = service_fn(move |asked| answer(asked, peer, friends.clone()));
        let asking = http.serve_connection(client, service).with_upgrades();
        tokio::spawn(timeout(CLIENT_TIMEOUT, asking));
    }
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
