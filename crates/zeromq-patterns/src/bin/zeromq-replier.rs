//! A ZeroMQ replier: answers each request by the request itself.
//!
//! Contract: binds a REP socket to ENDPOINT; expects messages of any frames; answers
//!           each with the same frames, one client after the other; ends on Ctrl-C
//!           or SIGTERM. The protocol is ZMTP 3.0 (rfc.zeromq.org/spec/23).
//! Slide:    Pattern: Brokerless (ZeroMQ / ØMQ)
//! Run:      1$ cargo run -p zeromq-patterns
//!           2$ cargo run -p zeromq-patterns --bin zeromq-requester
//! See:      `Received request: Hello, world`

use std::{convert::Infallible as Never, io, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Parser;
use tokio::{select, signal, time::timeout};
use zeromq::{Endpoint, RepSocket, ZmqMessage, prelude::*};

const HINT: &str = "try another port or path";
/// How long a client may take to read its reply: all others wait meanwhile.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(1);

/// Echoes what ZeroMQ requesters ask (ZMTP 3.0).
///
/// Whoever reaches ENDPOINT can end this program: it has no passwords and no limits.
/// Exit status 0 on Ctrl-C or SIGTERM; 1 when it cannot listen, 2 for a wrong
/// argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: tcp://ADDR:PORT (0: any free one) or ipc://PATH (not Windows)
    #[arg(value_parser = endpoint, default_value = "tcp://127.0.0.1:5555")]
    endpoint: String,
}

/// Checks an endpoint, and says what to write instead.
fn endpoint(text: &str) -> Result<String> {
    let (transport, address) = text.split_once("://").unwrap_or_default();
    let (host, port) = address.rsplit_once(':').unwrap_or_default();
    match transport {
        "tcp" if host == "*" => bail!("for all addresses write tcp://0.0.0.0:{port}"),
        "tcp" if port.parse::<u16>().is_err() => bail!("it takes tcp://HOST:PORT"),
        "ipc" if ["", "*"].contains(&address) => bail!("it takes ipc://PATH"),
        "inproc" => bail!("within a program use a channel: there is no inproc here"),
        "tcp" | "ipc" => drop(text.parse::<Endpoint>()?),
        _ => bail!("it takes tcp://HOST:PORT or ipc://PATH"),
    }
    Ok(text.to_string())
}

/// One thread is enough, and the quickest: this socket sends before `send` returns.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut socket = RepSocket::new();
    let endpoint = bind(&mut socket, &arguments.endpoint).await?;
    select! {
        biased; // Signals must be caught before the replier says that it is ready.
        result = signal::ctrl_c() => result?,
        result = terminated() => result?,
        never = answer(&mut socket, &endpoint) => match never {},
    }
    // Removes the file of an ipc endpoint as well.
    socket.close().await;
    Ok(())
}

/// Binds the socket; returns where, for port 0 becomes any free port.
async fn bind(socket: &mut impl Socket, endpoint: &str) -> Result<Endpoint> {
    #[cfg(unix)]
    remove_stale_file(endpoint).await;
    let bound = socket.bind(endpoint).await;
    bound.with_context(|| format!("cannot listen on {endpoint} ({HINT})"))
}

/// A program that was killed leaves the file of its ipc endpoint behind, which would
/// be in the way. It goes if it is a socket's, and nobody listens there.
#[cfg(unix)]
async fn remove_stale_file(endpoint: &str) {
    use std::{fs, io::ErrorKind, os::unix::fs::FileTypeExt};
    let path = endpoint.strip_prefix("ipc://").unwrap_or_default();
    let is_socket = |file: fs::Metadata| file.file_type().is_socket();
    let is_refused = |error: io::Error| error.kind() == ErrorKind::ConnectionRefused;
    if fs::symlink_metadata(path).is_ok_and(is_socket)
        && tokio::net::UnixStream::connect(path).await.is_err_and(is_refused)
    {
        // Should this fail, to bind fails as well, and tells why.
        let _ = fs::remove_file(path);
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

/// Answers for ever. REP is in lockstep: receive, send, receive, send.
async fn answer(socket: &mut RepSocket, endpoint: &Endpoint) -> Never {
    println!("Replier listening on {endpoint}");
    loop {
        // Waits for any client. One that leaves in the middle of a request, or sends
        // what is no ZMTP, is an error here, and no more than that.
        let request = match socket.recv().await {
            Ok(request) => request,
            Err(error) => {
                eprintln!("Lost a client: {error}");
                continue;
            }
        };
        println!("Received request: {}", show(&request));
        // Waits while this client does not read.
        match timeout(CLIENT_TIMEOUT, socket.send(request)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("Cannot reply: {error}"),
            Err(_) => eprintln!("Cannot reply: the client does not read"),
        }
    }
}

/// The frames of a message, as text.
fn show(message: &ZmqMessage) -> String {
    let frames: Vec<&[u8]> = message.iter().map(|frame| &frame[..]).collect();
    printable(&frames.join(&b" | "[..]))
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
