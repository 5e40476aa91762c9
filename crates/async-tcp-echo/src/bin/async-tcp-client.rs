//! An async TCP client: thousands of connections at once, on one thread.
//!
//! Contract: connects to HOST:PORT, `--clients` times; sends MESSAGE on each
//!           connection and closes its sending side; expects the same bytes and the
//!           end of the stream; ends then. TCP is RFC 9293.
//! Slide:    Python asyncio TCP Server, asyncio_server.py
//! Run:      1$ cargo run -p async-tcp-echo
//!           2$ cargo run -p async-tcp-echo --bin async-tcp-client -- --clients 1000
//! See:      `Received echo: Hello, world`, then
//!           `1000 of 1000 echoed, p50 <n> ms, p99 <n> ms`.

use std::{io, net::SocketAddr, sync::Arc, time::Duration, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, value_parser};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const HINT: &str = "is the server running? cargo run -p async-tcp-echo";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends a message to a TCP echo server on many connections at once (RFC 9293).
///
/// Times each, from the first byte sent to the end of the reply: p50 is the median,
/// p99 the most that 99 of 100 took. Connecting and an echo may take 5 seconds each;
/// exit status 1 when an echo is missing or wrong, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The server; a name is looked up, and each of its addresses tried
    #[arg(value_name = "HOST:PORT", value_parser = host_port)]
    #[arg(default_value = "127.0.0.1:65432")]
    server: String,
    /// What to send
    #[arg(default_value = "Hello, world")]
    message: String,
    /// Connections to open
    #[arg(long, default_value = "1", value_parser = value_parser!(u32).range(1..))]
    clients: u32,
    /// Seconds to keep the connections open before sending
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    hold: u64,
}

/// Checks that the text is HOST:PORT; whether the host exists, connecting will tell.
fn host_port(text: &str) -> Result<String> {
    let (host, port) = text.rsplit_once(':').unwrap_or_default();
    ensure!(!host.is_empty() && port.parse::<u16>().is_ok(), "it takes HOST:PORT");
    Ok(text.to_string())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arc::new(Arguments::parse());
    let Arguments { server, message, clients, .. } = &*arguments;
    // Each connection is an open file, and many systems allow a program only 1,024.
    rlimit::increase_nofile_limit(u64::from(*clients) + 64)?;
    let found = lookup_host(server).await;
    let found = found.with_context(|| format!("cannot look up {server}"))?;
    let addresses: Arc<[SocketAddr]> = found.collect();
    let mut tasks = JoinSet::new();
    for _ in 0..*clients {
        tasks.spawn(talk(arguments.clone(), addresses.clone()));
    }
    // Waits for all tasks, which take turns on this one thread.
    report(tasks.join_all().await, message)
}

/// What each task does: while one waits, the thread runs another.
async fn talk(
    arguments: Arc<Arguments>,
    addresses: Arc<[SocketAddr]>,
) -> Result<Duration> {
    let Arguments { server, message, hold, .. } = &*arguments;
    // Tries one address after the other.
    let connection = timeout(CONNECT_TIMEOUT, TcpStream::connect(&*addresses)).await;
    let connection = connection.map_err(io::Error::from).flatten();
    let connection =
        connection.with_context(|| format!("cannot connect to {server} ({HINT})"))?;
    sleep(Duration::from_secs(*hold)).await;
    let time = timeout(REPLY_TIMEOUT, exchange(connection, message.as_bytes())).await;
    let time = time.context("no end of it within 5 s").flatten();
    time.with_context(|| format!("no echo from {server}"))
}

/// Sends the message, says that no more will come, and times the reply.
async fn exchange(mut connection: TcpStream, message: &[u8]) -> Result<Duration> {
    let start = Instant::now();
    connection.write_all(message).await?;
    connection.shutdown().await?;
    let mut echo = Vec::new();
    // One byte more than expected is enough to see that a reply is wrong.
    let mut reply = connection.take(message.len() as u64 + 1);
    reply.read_to_end(&mut echo).await?;
    ensure!(echo == message, "a wrong echo: {}", printable(&echo));
    Ok(start.elapsed())
}

/// Prints how many echoes came, and the times that half of them and 99 of 100 took at
/// most; or returns the first failure.
fn report(results: Vec<Result<Duration>>, message: &str) -> Result<()> {
    let mut times: Vec<_> =
        results.iter().flatten().map(Duration::as_secs_f64).collect();
    times.sort_by(f64::total_cmp);
    let echoed = format!("{} of {} echoed", times.len(), results.len());
    if let Some(failure) = results.into_iter().find_map(Result::err) {
        eprintln!("{echoed}");
        return Err(failure);
    }
    let at =
        |percent: usize| times[(times.len() * percent).div_ceil(100) - 1] * 1000.0;
    println!("Received echo: {}", printable(message.as_bytes()));
    println!("{echoed}, p50 {:.2} ms, p99 {:.2} ms", at(50), at(99));
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
