//! A WebSocket chat client: sends what is typed while it prints what arrives.
//!
//! Contract: connects to ws://HOST:PORT; sends each line of standard input as a
//!           message; expects messages at any time and prints them; ends at the end
//!           of the input and on Ctrl-C. WebSocket is RFC 6455.
//! Slide:    WebSocket Example: JavaScript Client, which is chat.html here
//! Run:      1$ cargo run -p ws-chat
//!           2$ cargo run -p ws-chat --bin ws-client
//! See:      `Connected to server`; what others type, as `[<port>]: <message>`.

use std::{future::pending, io, io::BufRead, io::ErrorKind, thread};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use futures_util::{SinkExt, StreamExt, stream::SplitSink, stream::SplitStream};
use tokio::{net::TcpStream, net::lookup_host, select, signal, sync::mpsc, time::*};
use tokio_tungstenite::{WebSocketStream, client_async_with_config, tungstenite};
use tungstenite::{client::IntoClientRequest, http::*, protocol::*};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { server, listen, show_upgrade } = Arguments::parse();
    let tcp = connect(&server).await?;
    // Two halves, so that each may wait without the other.
    let (mut to, mut from) = upgrade(tcp, &server, show_upgrade).await?.split();
    select! {
        biased; // Ctrl-C must be caught before the client says that it is ready.
        pressed = signal::ctrl_c() => pressed?,
        ended = send_lines(&mut to, listen) => ended?,
        why = print_messages(&mut from) => bail!("the server ended it: {}", why?),
    }
    let goodbye = CloseFrame { code: 1000.into(), reason: "".into() };
    let sent = timeout(PATIENCE, to.send(Message::Close(Some(goodbye)))).await;
    sent.context("the server does not read")?.context("lost the connection")?;
    let answer = timeout(PATIENCE, print_messages(&mut from)).await;
    answer.context("no goodbye from the server within 5 seconds")??;
    println!("Disconnected");
    Ok(())
}

/// Sends each line of standard input until its end.
async fn send_lines(server: &mut Sender, listen: bool) -> Result<()> {
    println!("Connected to server");
    if listen {
        return pending().await; // For ever.
    }
    let mut lines = read_lines();
    while let Some(line) = lines.recv().await {
        let sent = timeout(PATIENCE, server.send(line.into())).await;
        sent.context("the server does not read")?.context("lost the connection")?;
    }
    Ok(())
}

/// Prints what arrives until the server says goodbye; returns why it did.
async fn print_messages(server: &mut Receiver) -> Result<String> {
    while let Some(message) = server.next().await {
        match message.context("lost the connection")? {
            Message::Close(why) => {
                // Answers, and waits until the server hangs up.
                let _ = timeout(PATIENCE / 5, server.next()).await;
                let why = why.map(|why| format!("{} {}", why.code, why.reason));
                return Ok(printable(why.unwrap_or_default().as_bytes()));
            }
            Message::Ping(_) | Message::Pong(_) => {} // Answered already.
            text => println!("{}", printable(&text.into_data())),
        }
    }
    bail!("lost the connection")
}

// Set-up.

/// Talks to a WebSocket chat server (RFC 6455).
///
/// Sends each line of standard input, and prints each message. Gives up when
/// connecting to an address takes 5 seconds, or when the server does not answer, read
/// or say goodbye for 5. Looking a name up takes as long as the system lets it. Exit
/// status: 1 when the server is missing or ends it, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The server; a name is looked up, and each of its addresses tried
    #[arg(value_name = "ws://HOST:PORT", default_value = "ws://127.0.0.1:8765")]
    server: Uri,
    /// Send nothing, only print what arrives
    #[arg(long)]
    listen: bool,
    /// Show the HTTP request and response with which a WebSocket begins
    #[arg(long)]
    show_upgrade: bool,
}

type Socket = WebSocketStream<TcpStream>;
type Sender = SplitSink<Socket, Message>;
type Receiver = SplitStream<Socket>;

/// How long the server may take for each step.
const PATIENCE: Duration = Duration::from_secs(5);

const HINT: &str = " (is the server running? cargo run -p ws-chat)";

/// Reading standard input blocks, which a task must not: a thread does it.
fn read_lines() -> mpsc::Receiver<String> {
    let (typed, lines) = mpsc::channel(1);
    thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n').map_while(io::Result::ok) {
            let line = String::from_utf8_lossy(&line);
            let _ = typed.blocking_send(line.trim_end_matches('\r').to_string());
        }
    });
    lines
}

/// Connects to the first of the server's addresses that accepts.
async fn connect(url: &Uri) -> Result<TcpStream> {
    let host = url.host().unwrap_or_default();
    let server = format!("{host}:{}", url.port_u16().unwrap_or(80));
    let plain = [format!("ws://{server}"), format!("ws://{host}")];
    let is_plain = !host.is_empty() && plain.iter().any(|it| *url == **it);
    ensure!(is_plain, "the server is ws://HOST:PORT, and not {url}");
    let cannot = || format!("cannot connect to {server}");
    let mut failure = io::Error::other("the name has no address");
    for address in lookup_host(&server).await.with_context(cannot)? {
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => failure = error,
            Err(elapsed) => failure = elapsed.into(),
        }
    }
    let hint = if failure.kind() == ErrorKind::ConnectionRefused { HINT } else { "" };
    Err(failure).context(cannot() + hint)
}

/// Asks by HTTP to go on as WebSocket.
async fn upgrade(tcp: TcpStream, server: &Uri, show: bool) -> Result<Socket> {
    // Else TCP holds a short message back until the last one is acknowledged.
    tcp.set_nodelay(true)?;
    let request = server.into_client_request()?;
    show_head(show, "> GET / HTTP/1.1", request.headers());
    let most = Some(WebSocketConfig::default().max_message_size(Some(1024 * 1024)));
    let new = timeout(PATIENCE, client_async_with_config(request, tcp, most)).await;
    let new = new.context(format!("no WebSocket at {server} within 5 seconds"))?;
    let (socket, answer) = new.context(format!("no WebSocket at {server}"))?;
    show_head(show, &format!("< HTTP/1.1 {}", answer.status()), answer.headers());
    Ok(socket)
}

fn show_head(show: bool, first: &str, headers: &HeaderMap) {
    if show {
        println!("{first}");
        for (name, value) in headers {
            println!("{} {name}: {}", &first[..1], printable(value.as_bytes()));
        }
    }
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
