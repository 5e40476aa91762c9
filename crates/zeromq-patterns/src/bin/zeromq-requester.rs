//! A ZeroMQ requester: a "lazy pirate", which asks again when no reply comes.
//!
//! Contract: connects a REQ socket to ENDPOINT; sends MESSAGE, `--count` times;
//!           expects a reply within 5 seconds each time, else asks again on a new
//!           socket, three times at most; ends then. The protocol is ZMTP 3.0
//!           (rfc.zeromq.org/spec/23).
//! Slide:    Pattern: Brokerless (ZeroMQ / ØMQ)
//! Run:      1$ cargo run -p zeromq-patterns
//!           2$ cargo run -p zeromq-patterns --bin zeromq-requester
//! See:      `Received reply 1: Hello, world`

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Parser, value_parser};
use tokio::time::{sleep, timeout};
use zeromq::{Endpoint, ReqSocket, SocketOptions, ZmqMessage, prelude::*};

const HINT: &str = "is the replier running? cargo run -p zeromq-patterns";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
const TRIES: u32 = 3;
/// What fails at once may need time to pass.
const PAUSE: Duration = Duration::from_millis(500);

/// Asks a ZeroMQ replier (ZMTP 3.0).
///
/// Asks three times at most, 5 seconds each: a request may be answered twice. p50 is
/// the median of the times until a reply, p99 the most that 99 of 100 took. Exit
/// status 1 when none came, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The replier: tcp://HOST:PORT or ipc://PATH (not Windows)
    #[arg(value_parser = endpoint, default_value = "tcp://127.0.0.1:5555")]
    endpoint: String,
    /// What to ask
    #[arg(default_value = "Hello, world")]
    message: String,
    /// Requests to send, one after the other
    #[arg(long, default_value = "1", value_parser = value_parser!(u32).range(1..))]
    count: u32,
    /// Seconds to wait before each further request
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0")]
    interval: Duration,
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

/// Seconds, or fractions of one.
fn seconds(text: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { endpoint, message, count, interval } = Arguments::parse();
    let (mut socket, mut times) = (None, Vec::new());
    for number in 1..=count {
        if number > 1 && !interval.is_zero() {
            sleep(interval).await;
        }
        let start = Instant::now();
        let reply = ask(&mut socket, &endpoint, &message).await?;
        times.push(start.elapsed().as_secs_f64());
        println!("Received reply {number}: {}", show(&reply));
    }
    report(times);
    Ok(())
}

/// Asks until there is a reply, but not for ever.
async fn ask(
    socket: &mut Option<ReqSocket>,
    endpoint: &str,
    message: &str,
) -> Result<ZmqMessage> {
    for number in 1..=TRIES {
        match try_once(socket, endpoint, message).await {
            Ok(reply) => return Ok(reply),
            Err(error) => eprintln!("No reply, try {number} of {TRIES}: {error:#}"),
        }
        if number < TRIES {
            sleep(PAUSE).await;
        }
    }
    bail!("no reply from {endpoint} ({HINT})")
}

/// Asks once, on the socket of the last time if all went well then. REQ is in
/// lockstep: a socket that waits for a reply in vain can never send again, so
/// whatever fails here leaves no socket behind.
async fn try_once(
    kept: &mut Option<ReqSocket>,
    endpoint: &str,
    message: &str,
) -> Result<ZmqMessage> {
    let mut socket = match kept.take() {
        Some(socket) => socket,
        None => connect(endpoint).await?,
    };
    let asking = async {
        socket.send(message.into()).await?;
        socket.recv().await
    };
    let reply = timeout(REPLY_TIMEOUT, asking).await.context("silence for 5 s")??;
    *kept = Some(socket);
    Ok(reply)
}

/// Waits until somebody listens, for the crate tries by itself, but not for long.
async fn connect(endpoint: &str) -> Result<ReqSocket> {
    println!("Connecting to {endpoint}");
    let mut options = SocketOptions::default();
    options.connect_timeout(CONNECT_TIMEOUT);
    let mut socket = ReqSocket::with_options(options);
    socket.connect(endpoint).await?;
    Ok(socket)
}

fn report(mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at =
        |percent: usize| times[(times.len() * percent).div_ceil(100) - 1] * 1000.0;
    println!("Replies: {}, p50 {:.3} ms, p99 {:.3} ms", times.len(), at(50), at(99));
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
