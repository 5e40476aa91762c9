//! A ZeroMQ publisher: a temperature in each room, for whoever listens just now.
//!
//! Contract: binds a PUB socket to ENDPOINT; sends each subscriber the messages whose
//!           first frame begins as it wants; ends after `--count` readings, on Ctrl-C
//!           or SIGTERM. The protocol is ZMTP 3.0 (rfc.zeromq.org/spec/23).
//! Slide:    Pattern: Brokerless (ZeroMQ / ØMQ); Python Publisher Example
//! Run:      1$ cargo run -p zeromq-patterns --bin zeromq-publisher
//!           2$ cargo run -p zeromq-patterns --bin zeromq-subscriber
//! See:      `Publishing: myhome/livingroom/temperature | <n> | <n>`

use std::{io, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Parser;
use tokio::{select, signal, time::sleep};
use zeromq::{Endpoint, PubSocket, ZmqMessage, prelude::*};

const HINT: &str = "try another port or path";
const TOPICS: [&str; 2] =
    ["myhome/livingroom/temperature", "myhome/kitchen/temperature"];
/// The crate sends in the background, and drops the rest when the program ends. It
/// does not tell when all has left, so this is how long it gets for that.
const LINGER: Duration = Duration::from_millis(500);

/// Publishes a temperature under two topics, to ZeroMQ subscribers (ZMTP 3.0).
///
/// A message has three frames: the topic, a number, and the temperature. A subscriber
/// misses what is sent before it comes, and what it reads too slowly. Whoever reaches
/// ENDPOINT can end this program: it has no passwords and no limits. Exit status 0 at
/// the end, on Ctrl-C or SIGTERM; 1 when it cannot listen, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: tcp://ADDR:PORT (0: any free one) or ipc://PATH (not Windows)
    #[arg(value_parser = endpoint, default_value = "tcp://127.0.0.1:5556")]
    endpoint: String,
    /// Readings of each room to publish; without end by default
    #[arg(long)]
    count: Option<u64>,
    /// Seconds to wait before each reading
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "1")]
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

/// On several threads, as what is sent leaves in the background: on one thread it
/// would only leave while main waits.
#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { endpoint, count, interval } = Arguments::parse();
    let mut socket = PubSocket::new();
    let endpoint = bind(&mut socket, &endpoint).await?;
    select! {
        biased; // Signals must be caught before the publisher says that it is ready.
        result = signal::ctrl_c() => result?,
        result = terminated() => result?,
        result = publish(&mut socket, &endpoint, count, interval) => result?,
    }
    sleep(LINGER).await;
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

/// Publishes, whether somebody listens or not.
async fn publish(
    socket: &mut PubSocket,
    endpoint: &Endpoint,
    count: Option<u64>,
    interval: Duration,
) -> Result<()> {
    println!("Publisher listening on {endpoint}");
    for number in 1..=count.unwrap_or(u64::MAX) {
        if !interval.is_zero() {
            sleep(interval).await;
        }
        for topic in TOPICS {
            let temperature = format!("{:.2}", rand::random_range(20.0..=25.0));
            let mut message = ZmqMessage::from(topic);
            message.push_back(number.to_string().into());
            message.push_back(temperature.into());
            println!("Publishing: {}", show(&message));
            // Never waits for a subscriber.
            socket.send(message).await?;
        }
    }
    Ok(())
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
