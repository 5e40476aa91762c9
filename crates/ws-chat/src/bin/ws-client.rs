//! A WebSocket chat client: what is typed goes out while what arrives is printed.
//!
//! Contract: connects to ws://HOST:PORT; sends each line of standard input as a
//!           message; expects messages at any time, and prints them; ends at the end
//!           of the input, on Ctrl-C or SIGTERM. WebSocket is RFC 6455.
//! Slide:    WebSocket Example: JavaScript Client, which is chat.html here
//! Run:      1$ cargo run -p ws-chat
//!           2$ cargo run -p ws-chat --bin ws-client
//! See:      `Connected to server`; what others type, as `[<port>]: <message>`.

use std::{future::pending, io, net::SocketAddr, thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::{select, signal, sync::mpsc, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async_with_config, tungstenite};
use tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode};
use tungstenite::{Message, client::IntoClientRequest, http::HeaderMap};

const HINT: &str = "is the server running? cargo run -p ws-chat";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long Ctrl-C waits for the server's goodbye.
const FAREWELL: Duration = Duration::from_millis(500);
const MAX_MESSAGE: Option<usize> = Some(1024 * 1024);

type Socket = WebSocketStream<TcpStream>;
type Sender = SplitSink<Socket, Message>;
type Receiver = SplitStream<Socket>;

/// Talks to a WebSocket chat server (RFC 6455).
///
/// Sends each line of standard input, and prints each message. To connect and to say
/// goodbye may take 5 seconds each. Exit status 0 after the end of the input, Ctrl-C
/// or SIGTERM; 1 when the server is missing or ends the connection, 2 for a wrong
/// argument.
#[derive(Parser)]
struct Arguments {
    /// The server; a name is looked up, and each of its addresses tried
    #[arg(value_name = "ws://HOST:PORT", value_parser = ws_url)]
    #[arg(default_value = "ws://127.0.0.1:8765")]
    server: String,
    /// Send nothing, only print what arrives
    #[arg(long)]
    listen: bool,
    /// Show the HTTP request and response with which a WebSocket begins
    #[arg(long)]
    show_upgrade: bool,
}

/// Checks that the text is ws://HOST:PORT; returns HOST:PORT.
fn ws_url(text: &str) -> Result<String> {
    let address =
        text.strip_prefix("ws://").unwrap_or_default().trim_end_matches('/');
    let (host, port) = address.rsplit_once(':').unwrap_or_default();
    ensure!(
        !host.is_empty() && port.parse::<u16>().is_ok(),
        "it takes ws://HOST:PORT"
    );
    Ok(address.to_string())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { server, listen, show_upgrade } = Arguments::parse();
    let tcp = connect(&server).await?;
    let socket = upgrade(tcp, &server, show_upgrade).await;
    let socket = socket.with_context(|| format!("no WebSocket at ws://{server}"))?;
    // Two halves, so that each may wait without the other.
    let (mut sender, mut receiver) = socket.split();
    let patience = select! {
        biased; // Signals must be caught before the client says that it is ready.
        result = signal::ctrl_c() => result.map(|()| FAREWELL)?,
        result = terminated() => result.map(|()| FAREWELL)?,
        result = send_lines(&mut sender, listen) => result.map(|()| REPLY_TIMEOUT)?,
        why = print_messages(&mut receiver) => bail!("the server ended it: {}", why?),
    };
    let closed = timeout(patience, close(sender, receiver)).await;
    if patience == REPLY_TIMEOUT {
        closed.context("no goodbye from the server within 5 s")??;
    }
    println!("Disconnected");
    Ok(())
}

async fn connect(server: &str) -> Result<TcpStream> {
    let found = lookup_host(server).await;
    let found = found.with_context(|| format!("cannot look up {server}"))?;
    let addresses: Vec<SocketAddr> = found.collect();
    // Tries one address after the other.
    let tcp = timeout(CONNECT_TIMEOUT, TcpStream::connect(&*addresses)).await;
    let tcp = tcp.map_err(io::Error::from).flatten();
    let tcp = tcp.with_context(|| format!("cannot connect to {server} ({HINT})"))?;
    // Else TCP would hold a small message back until the last one is acknowledged.
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// Asks by HTTP to go on as WebSocket.
async fn upgrade(tcp: TcpStream, server: &str, show: bool) -> Result<Socket> {
    let request = format!("ws://{server}").into_client_request()?;
    if show {
        println!("> GET / HTTP/1.1");
        show_headers('>', request.headers());
    }
    let limits = WebSocketConfig::default().max_message_size(MAX_MESSAGE);
    let upgrading = client_async_with_config(request, tcp, Some(limits));
    let (socket, response) = timeout(REPLY_TIMEOUT, upgrading).await??;
    if show {
        println!("< HTTP/1.1 {}", response.status());
        show_headers('<', response.headers());
    }
    Ok(socket)
}

fn show_headers(direction: char, headers: &HeaderMap) {
    for (name, value) in headers {
        println!("{direction} {name}: {}", printable(value.as_bytes()));
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

/// Sends each line of standard input until its end.
async fn send_lines(sender: &mut Sender, listen: bool) -> Result<()> {
    println!("Connected to server");
    if listen {
        return pending().await;
    }
    let (typed, mut lines) = mpsc::channel(1);
    // To read standard input blocks, and only the program's end could interrupt it.
    thread::spawn(move || {
        let mut input = io::stdin().lines();
        while input.next().is_some_and(|line| typed.blocking_send(line).is_ok()) {}
    });
    while let Some(line) = lines.recv().await {
        let line = line.context("cannot read standard input")?;
        // Waits while the server does not read.
        sender.send(Message::text(line)).await?;
    }
    Ok(())
}

/// Prints what arrives until the server says goodbye; returns why it did.
async fn print_messages(receiver: &mut Receiver) -> Result<String> {
    while let Some(message) = receiver.next().await {
        match message.context("lost the connection")? {
            Message::Text(text) => println!("{}", printable(text.as_bytes())),
            Message::Close(frame) => {
                // Answers, and waits until the server hangs up.
                let _ = timeout(REPLY_TIMEOUT, receiver.next()).await;
                let frame =
                    frame.map(|frame| format!("{} {}", frame.code, frame.reason));
                return Ok(printable(frame.unwrap_or_default().as_bytes()));
            }
            _ => {} // Pings are answered already.
        }
    }
    bail!("lost the connection")
}

/// Says goodbye, and waits for the server's.
async fn close(mut sender: Sender, mut receiver: Receiver) -> Result<()> {
    let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    sender.send(Message::Close(Some(goodbye))).await?;
    let reason = print_messages(&mut receiver).await?;
    ensure!(
        reason.is_empty() || reason.starts_with("1000"),
        "the server ended it: {reason}"
    );
    Ok(())
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
