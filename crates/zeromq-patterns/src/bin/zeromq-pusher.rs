//! A ZeroMQ pusher: spreads tasks evenly over all pullers.
//!
//! Contract: binds a PUSH socket to ENDPOINT; sends `--count` tasks, each to the next
//!           puller in turn; expects each back on the PULL socket of `--results`, if
//!           given; ends when all have left, or are back; or on Ctrl-C or SIGTERM.
//!           The protocol is ZMTP 3.0 (rfc.zeromq.org/spec/23).
//! Slide:    Pattern: Brokerless (ZeroMQ / ØMQ)
//! Run:      1$ cargo run -p zeromq-patterns --bin zeromq-pusher
//!           2$ cargo run -p zeromq-patterns --bin zeromq-puller
//! See:      `Sent: <n>-1 Hello, world`

use std::{io, process, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Parser;
use tokio::{select, signal, time::sleep, time::timeout};
use zeromq::{Endpoint, PullSocket, PushSocket, SocketEvent, prelude::*};

const HINT: &str = "try another port or path";
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long Ctrl-C waits for what was sent to leave.
const LINGER: Duration = Duration::from_millis(500);
/// How often to look whether what is waited for has happened.
const LOOK: Duration = Duration::from_millis(10);
/// Tasks that may wait for their results before the next one is sent.
const WINDOW: u64 = 1000;

/// Pushes tasks to ZeroMQ pullers, each to the next one in turn (ZMTP 3.0).
///
/// Exit status 0 when all tasks have left (with --results: are done), on Ctrl-C or
/// SIGTERM; 1 when it cannot listen, or some have not in 5 s; 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: tcp://ADDR:PORT (0: any free one) or ipc://PATH (not Windows)
    #[arg(value_parser = endpoint, default_value = "tcp://127.0.0.1:5557")]
    endpoint: String,
    /// What to do
    #[arg(default_value = "Hello, world")]
    task: String,
    /// Tasks to push
    #[arg(long, default_value_t = 10)]
    count: u64,
    /// Seconds to wait before each task
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0")]
    interval: Duration,
    /// Pullers to wait for before the first task
    #[arg(long, default_value_t = 1)]
    pullers: usize,
    /// Where to listen for results, without which a lost task goes unnoticed
    #[arg(long, value_name = "ENDPOINT", value_parser = endpoint)]
    results: Option<String>,
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
    let arguments = Arguments::parse();
    select! {
        biased; // Signals must be caught before the pusher says that it is ready.
        result = signal::ctrl_c() => result?,
        result = terminated() => result?,
        result = push(&arguments) => return result,
    }
    sleep(LINGER).await;
    Ok(())
}

/// Waits for SIGTERM, which only Unix has; Ctrl-C is waited for everywhere.
async fn terminated() -> io::Result<()> {
    #[cfg(unix)]
    signal::unix::signal(signal::unix::SignalKind::terminate())?.recv().await;
    #[cfg(not(unix))]
    std::future::pending::<()>().await;
    Ok(())
}

async fn push(arguments: &Arguments) -> Result<()> {
    let Arguments { task, count, interval, .. } = arguments;
    let (mut tasks, mut results) = listen(arguments).await?;
    let (mut open, wanted) = (0, arguments.results.is_some());
    for number in 1..=*count {
        if !interval.is_zero() {
            sleep(*interval).await;
        }
        // With the process id no other run's tasks, and results, are the same.
        let task = format!("{}-{number} {task}", process::id());
        push_one(&mut tasks, &task).await;
        println!("Sent: {}", printable(task.as_bytes()));
        open = collect(&mut results, open + u64::from(wanted), WINDOW).await?;
    }
    collect(&mut results, open, 0).await?;
    let left = timeout(REPLY_TIMEOUT, flush(tasks)).await;
    left.context("not all tasks have left within 5 s (does a puller not read?)")?;
    println!("All {count} tasks {}", if wanted { "are done" } else { "have left" });
    Ok(())
}

/// Binds the sockets for tasks and for results, and waits for pullers.
async fn listen(arguments: &Arguments) -> Result<(PushSocket, PullSocket)> {
    let (mut tasks, mut results) = (PushSocket::new(), PullSocket::new());
    let mut events = tasks.monitor();
    println!("Pusher listening on {}", bind(&mut tasks, &arguments.endpoint).await?);
    if let Some(endpoint) = &arguments.results {
        println!("Results go to {}", bind(&mut results, endpoint).await?);
    }
    for missing in (1..=arguments.pullers).rev() {
        println!("Pullers to wait for: {missing}");
        while !matches!(events.recv().await?, SocketEvent::Accepted(..)) {}
    }
    Ok((tasks, results))
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

/// Pushes a task to the next puller. The crate refuses when that one has left or
/// there is none, where libzmq takes another or waits; and what it refuses is lost.
async fn push_one(socket: &mut PushSocket, task: &str) {
    for tries in 0.. {
        // Waits while the puller whose turn it is has 100,000 tasks to do already.
        match socket.send(task.into()).await {
            Ok(()) => return,
            Err(_) if tries == 1 => eprintln!("No puller: waiting for one"),
            Err(_) => {}
        }
        sleep(LOOK).await;
    }
}

/// Waits until no more than `most` tasks lack a result: the task itself, sent back.
async fn collect(results: &mut PullSocket, mut open: u64, most: u64) -> Result<u64> {
    let own = format!("{}-", process::id()).into_bytes();
    while open > most {
        let got = timeout(REPLY_TIMEOUT, results.recv()).await;
        match got.with_context(|| format!("{open} tasks lack a result after 5 s"))? {
            Ok(task) if task.iter().all(|id| id.starts_with(&own)) => open -= 1,
            Ok(_) => {} // Another run's.
            Err(error) => eprintln!("Lost a puller: {error}"),
        }
    }
    Ok(open)
}

/// Waits until what was sent has left, which the crate does not tell. But the task
/// that writes to a puller holds the backend, until it has written all and hung up.
async fn flush(mut socket: PushSocket) {
    let backend = socket.backend();
    // Before it hangs up on the pullers: one that connects again meanwhile may block
    // the crate for ever.
    socket.unbind_all().await;
    drop(socket);
    while Arc::strong_count(&backend) > 1 {
        sleep(LOOK).await;
    }
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
