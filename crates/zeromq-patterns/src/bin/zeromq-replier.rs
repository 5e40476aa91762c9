//! A ZeroMQ replier: answers each request with the request itself.
//!
//! Contract: binds a REP socket to ENDPOINT; expects messages of any frames; answers
//!           each with the same frames; ends on Ctrl-C. The protocol is ZMTP 3.0
//!           (rfc.zeromq.org/spec/23).
//! Slide:    Pattern: Brokerless (ZeroMQ / ØMQ)
//! Run:      1$ cargo run -p zeromq-patterns
//!           2$ cargo run -p zeromq-patterns --bin zeromq-requester
//! See:      `Received request: Hello, world`

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use tokio::{select, signal, time::timeout};
use zeromq::{Endpoint, RepSocket, ZmqMessage, prelude::*};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { endpoint } = Arguments::parse();
    let mut socket = RepSocket::new();
    let endpoint = listen(&mut socket, &endpoint).await?;
    select! {
        biased; // Ctrl-C is caught before the replier says that it is ready.
        result = signal::ctrl_c() => result?,
        () = answer(&mut socket, &endpoint) => {}
    }
    socket.close().await; // Removes the file of an IPC endpoint.
    Ok(())
}

async fn answer(socket: &mut RepSocket, endpoint: &Endpoint) {
    println!("Replier listening on {endpoint}");
    loop {
        // One client's failure ends its own request, and never the replier.
        if let Err(error) = answer_next(socket).await {
            eprintln!("{error:#}");
        }
    }
}

/// REP is in lockstep: receive, send, receive, send.
async fn answer_next(socket: &mut RepSocket) -> Result<()> {
    // Waits for a request of any client. It arrives whole, or not at all.
    let request = socket.recv().await.context("Lost a client")?;
    println!("Received request: {:.200}", show(&request));
    // The reply goes to the client that asked. All others wait until it is sent.
    let sent = timeout(CLIENT_TIMEOUT, socket.send(request)).await;
    sent.context("Cannot reply: the client does not read")?.context("Cannot reply")
}

// Set-up.

/// Sends ZeroMQ requesters their own requests back (ZMTP 3.0).
///
/// Listen on trusted networks only: there are no passwords and no limits, so whoever
/// reaches ENDPOINT can end this program. Exit status: 0 on Ctrl-C, 1 when it cannot
/// listen, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: tcp://ADDR:PORT (0: any free port), or ipc://PATH on Unix
    #[arg(default_value = "tcp://127.0.0.1:5555")]
    endpoint: Endpoint,
}

const CLIENT_TIMEOUT: Duration = Duration::from_secs(1);
const HINT: &str = " (if a killed program left this file behind, delete it)";

/// Returns the endpoint with the port that it really has.
async fn listen(socket: &mut impl Socket, endpoint: &Endpoint) -> Result<Endpoint> {
    let text = endpoint.to_string();
    // The crate would look up a host of that name, and panic over such a path.
    ensure!(!text.contains("://*"), "instead of * write tcp://0.0.0.0 or ipc://PATH");
    let is_taken = matches!(endpoint, Endpoint::Ipc(Some(file)) if file.exists());
    let hint = if is_taken { HINT } else { "" };
    let bound = socket.bind(&text).await;
    bound.map_err(|why| anyhow!("cannot listen on {text}{hint}: {why}"))
}

/// The frames of a message with `|` between them, and of long ones the beginning.
fn show(message: &ZmqMessage) -> String {
    let all =
        message.iter().map(|frame| printable(frame.get(..800).unwrap_or(frame)));
    all.collect::<Vec<_>>().join(" | ")
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
