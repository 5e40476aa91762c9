//! A ZeroMQ subscriber: connects to the publisher itself, for there is no broker.
//!
//! Contract: connects a SUB socket to ENDPOINT; expects messages whose first frame
//!           begins with a TOPIC; prints them; connects again when the publisher is
//!           gone; ends on Ctrl-C or SIGTERM. The protocol is ZMTP 3.0
//!           (rfc.zeromq.org/spec/23).
//! Slide:    Pattern: Brokerless (ZeroMQ / ØMQ); Python Subscriber Example
//! Run:      1$ cargo run -p zeromq-patterns --bin zeromq-publisher
//!           2$ cargo run -p zeromq-patterns --bin zeromq-subscriber
//! See:      `Received: myhome/livingroom/temperature | <n> | <n>`

use std::{convert::Infallible as Never, io, time::Duration};

use anyhow::{Result, bail};
use clap::Parser;
use tokio::time::{sleep, timeout};
use tokio::{select, signal};
use zeromq::{Endpoint, SubSocket, ZmqMessage, prelude::*};

/// The pause before the second try to connect; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Prints what a ZeroMQ publisher sends (ZMTP 3.0).
///
/// Misses what is sent before it is connected. Waits for a publisher that is not
/// there yet, and for one that is gone. Ends on Ctrl-C or SIGTERM with exit status 0;
/// 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The publisher: tcp://HOST:PORT or ipc://PATH (not Windows)
    #[arg(value_parser = endpoint, default_value = "tcp://127.0.0.1:5556")]
    endpoint: String,
    /// How topics begin that are wanted, may be repeated; all topics by default
    #[arg(long = "topic", value_name = "TOPIC", default_value = "")]
    topics: Vec<String>,
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

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { endpoint, topics } = Arguments::parse();
    select! {
        biased; // Signals must be caught before the subscriber says that it is ready.
        result = signal::ctrl_c() => Ok(result?),
        result = terminated() => Ok(result?),
        result = subscribe(&endpoint, &topics) => match result? {},
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

/// Follows the publisher, also when it is gone for a while.
async fn subscribe(endpoint: &str, topics: &[String]) -> Result<Never> {
    loop {
        let mut socket = connect(endpoint, topics).await?;
        println!("Connected to {endpoint}");
        let Err(error) = print_messages(&mut socket).await;
        eprintln!("Lost the publisher: {error}");
        // Here the socket is dropped. It would connect again by itself, as no other
        // of the crate does, but with pauses of up to 30 s.
    }
}

/// Waits until there is a publisher.
async fn connect(endpoint: &str, topics: &[String]) -> Result<SubSocket> {
    let mut pause = FIRST_PAUSE;
    loop {
        let mut socket = SubSocket::new();
        for topic in topics {
            // Said to the publisher at connecting: the filter works there.
            socket.subscribe(topic).await?;
        }
        // While nobody listens this tries again by itself.
        match timeout(pause, socket.connect(endpoint)).await {
            Ok(Ok(())) => return Ok(socket),
            Ok(Err(error)) => {
                eprintln!("Cannot connect to {endpoint}: {error}");
                sleep(pause).await;
            }
            Err(_) => eprintln!("Waiting for a publisher at {endpoint}"),
        }
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Prints what arrives until the connection is lost. Only the monitor tells that, and
/// once connected nothing else.
async fn print_messages(socket: &mut SubSocket) -> Result<Never> {
    let mut events = socket.monitor();
    loop {
        select! {
            message = socket.recv() => println!("Received: {}", show(&message?)),
            _ = events.recv() => bail!("it closed the connection"),
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
