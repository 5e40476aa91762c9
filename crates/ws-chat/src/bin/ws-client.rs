//! A WebSocket chat client: sends what is typed while it prints what arrives.
//!
//! Contract: connects to ws://HOST:PORT; sends each line of standard input as a
//!           message; expects messages at any time and prints them; ends at the end
//!           of the input and on Ctrl-C. WebSocket is RFC 6455.
//! Slide:    WebSocket Example: JavaScript Client, which is chat.html here
//! Run:      1$ cargo run -p ws-chat
//!           2$ cargo run -p ws-chat --bin ws-client
//! See:      `Connected to server`; what others type, as `[<port>]: <message>`.

use std::{future::pending, io, io::BufRead, thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::{select, signal, sync::mpsc, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async_with_config, tungstenite};
use tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode};
use tungstenite::{Message, client::IntoClientRequest, http::HeaderMap, http::Uri};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { server, listen, show_upgrade } = Arguments::parse();
    let address = host_port(&server).context("the server is ws://HOST:PORT")?;
    let tcp = connect(&address).await.map_err(|e| cannot_connect(&address, e))?;
    let socket = upgrade(tcp, server, show_upgrade).await;
    let socket = socket.with_context(|| format!("no WebSocket at ws://{address}"))?;
    // Two halves, so that each may wait without the other.
    let (mut to, mut from) = socket.split();
    select! {
        biased; // Ctrl-C must be caught before the client says that it is ready.
        pressed = signal::ctrl_c() => pressed?,
        ended = send_lines(&mut to, listen) => ended?,
        why = print_messages(&mut from) => bail!("the server ended it: {}", why?),
    }
    say_goodbye(to, from).await
}

/// Sends each line of standard input until its end.
async fn send_lines(server: &mut Sender, listen: bool) -> Result<()> {
    println!("Connected to server");
    if listen {
        return pending().await;
    }
    let (typed, mut lines) = mpsc::channel(1);
    // Reading standard input blocks, which a task must not: a thread does it.
    thread::spawn(move || {
        let mut lines = io::stdin().lock().split(b'\n').map_while(io::Result::ok);
        while lines.next().is_some_and(|line| typed.blocking_send(line).is_ok()) {}
    });
    while let Some(line) = lines.recv().await {
        let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_string();
        let sent = timeout(PATIENCE, server.send(line.into())).await;
        sent.context("the server does not read")??;
    }
    Ok(())
}

/// Prints what arrives until the server says goodbye; returns why it did.
async fn print_messages(server: &mut Receiver) -> Result<String> {
    while let Some(message) = server.next().await {
        let message = message.context("lost the connection")?;
        if let Message::Close(why) = message {
            // Answers, and waits until the server hangs up.
            let _ = timeout(PATIENCE, server.next()).await;
            let why = why.map(|why| format!("{} {}", why.code, why.reason));
            return Ok(printable(why.unwrap_or_default().as_bytes()));
        }
        // Pings are answered already.
        if message.is_text() || message.is_binary() {
            println!("{}", printable(&message.into_data()));
        }
    }
    bail!("lost the connection")
}

/// Closes the WebSocket, and waits for the server's goodbye.
async fn say_goodbye(mut to: Sender, mut from: Receiver) -> Result<()> {
    let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    to.send(Message::Close(Some(goodbye))).await?;
    let closed = timeout(PATIENCE, print_messages(&mut from)).await;
    let why = closed.context("no goodbye from the server within 5 seconds")??;
    ensure!(why.is_empty() || why.starts_with("1000"), "the server ended it: {why}");
    println!("Disconnected");
    Ok(())
}

/// Asks by HTTP to go on as WebSocket.
async fn upgrade(tcp: TcpStream, server: Uri, show: bool) -> Result<Socket> {
    // Else TCP holds a short message back until the last one is acknowledged.
    tcp.set_nodelay(true)?;
    let request = server.into_client_request()?;
    show_head(show, "> GET / HTTP/1.1", request.headers());
    let limits = WebSocketConfig::default().max_message_size(Some(1024 * 1024));
    let upgrading = client_async_with_config(request, tcp, Some(limits));
    let upgraded = timeout(PATIENCE, upgrading).await;
    let (socket, response) = upgraded.context("no answer within 5 seconds")??;
    let answered = format!("< HTTP/1.1 {}", response.status());
    show_head(show, &answered, response.headers());
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

/// The address in ws://HOST:PORT. Without a port it is 80, as in HTTP.
fn host_port(url: &Uri) -> Option<String> {
    let host = url.host().filter(|host| !host.is_empty())?;
    let address = format!("{host}:{}", url.port_u16().unwrap_or(80));
    let plain = [format!("ws://{address}"), format!("ws://{host}")];
    plain.iter().any(|plain| *url == **plain).then_some(address)
}

/// Connects to the first of the server's addresses that accepts.
async fn connect(server: &str) -> io::Result<TcpStream> {
    let mut result = Err(io::Error::new(io::ErrorKind::NotFound, "no address"));
    for address in lookup_host(server).await? {
        let connecting = timeout(PATIENCE, TcpStream::connect(address)).await;
        result = connecting.map_err(io::Error::from).flatten();
        if result.is_ok() {
            break;
        }
    }
    result
}

const HINT: &str = " (is the server running? cargo run -p ws-chat)";

fn cannot_connect(server: &str, why: io::Error) -> anyhow::Error {
    let hint = if why.kind() == io::ErrorKind::ConnectionRefused { HINT } else { "" };
    anyhow::Error::new(why).context(format!("cannot connect to {server}{hint}"))
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
