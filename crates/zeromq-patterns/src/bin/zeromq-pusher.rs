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

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{collections::HashSet, io, process};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use tokio::time::{sleep, timeout};
use tokio::{select, signal};
use zeromq::{Endpoint, PullSocket, PushSocket, Socket, SocketEvent};
use zeromq::{SocketRecv, SocketSend};

const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long Ctrl-C waits until what was sent has left.
const FAREWELL: Duration = Duration::from_millis(500);
/// How often to look whether what is waited for has happened.
const LOOK: Duration = Duration::from_millis(10);

/// Tasks that were sent, and whose results have not come.
type Open = Arc<Mutex<HashSet<Vec<u8>>>>;

/// Pushes tasks to ZeroMQ pullers, each to the next one in turn (ZMTP 3.0).
///
/// Waits for pullers that are not there. A task is a line: this program's process id,
/// the task's number, and TASK. Knows no passwords and no limits: whoever reaches
/// ENDPOINT can end this program. Exit status 0 when all tasks have left (with
/// --results: are done), on Ctrl-C or SIGTERM; 1 when it cannot listen, or when some
/// have not after 5 seconds; 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: tcp://ADDR:PORT, port 0 for any free port; or ipc://PATH, for
    /// programs of this machine (Linux, macOS)
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

/// On several threads, as what is sent leaves in the background: on one thread it would
/// only leave while main waits.
#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut socket = PushSocket::new();
    let patience = select! {
        biased; // Signals must be caught before the pusher says that it is ready.
        result = signal::ctrl_c() => result.map(|()| FAREWELL)?,
        result = terminated() => result.map(|()| FAREWELL)?,
        result = push(&mut socket, &arguments) => result.map(|()| REPLY_TIMEOUT)?,
    };
    let left = timeout(patience, flush(socket)).await;
    if patience == REPLY_TIMEOUT {
        left.context("not all tasks have left within 5 s (does a puller not read?)")?;
        println!("All {} tasks have left", arguments.count);
    }
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

async fn push(socket: &mut PushSocket, arguments: &Arguments) -> Result<()> {
    let open = listen(socket, arguments).await?;
    for number in 1..=arguments.count {
        if !arguments.interval.is_zero() {
            sleep(arguments.interval).await;
        }
        // No other run's task is the same, so its late result is none of ours.
        let task = format!("{}-{number} {}", process::id(), arguments.task);
        if arguments.results.is_some() {
            lock(&open).insert(task.clone().into());
        }
        push_one(socket, &task).await;
        println!("Sent: {}", printable(task.as_bytes()));
    }
    match arguments.results {
        Some(_) => wait_for_results(&open).await,
        None => Ok(()),
    }
}

/// Binds the sockets, and waits for pullers.
async fn listen(socket: &mut PushSocket, arguments: &Arguments) -> Result<Open> {
    let Arguments { endpoint, results, pullers, .. } = arguments;
    let open = Open::default();
    let mut events = socket.monitor();
    let endpoint = bind(socket, endpoint).await?;
    if let Some(results) = results {
        let mut socket = PullSocket::new();
        println!("Results go to {}", bind(&mut socket, results).await?);
        // By the side, for who reads no results while it sends could wait for ever.
        tokio::spawn(collect(socket, open.clone()));
    }
    println!("Pusher listening on {endpoint}");
    println!("Pullers to wait for: {pullers}");
    let mut joined = 0;
    while joined < *pullers {
        joined +=
            usize::from(matches!(events.recv().await?, SocketEvent::Accepted(..)));
    }
    Ok(open)
}

/// Binds the socket; returns where, for port 0 becomes any free port.
async fn bind(socket: &mut impl Socket, endpoint: &str) -> Result<Endpoint> {
    #[cfg(unix)]
    remove_stale_file(endpoint).await;
    let failure =
        || format!("cannot listen on {endpoint} (try another port or path)");
    socket.bind(endpoint).await.with_context(failure)
}

/// A program that was killed leaves the file of its ipc endpoint behind, which would
/// be in the way. It is removed if it is a socket's, and nobody listens there.
#[cfg(unix)]
async fn remove_stale_file(endpoint: &str) {
    use std::{fs, os::unix::fs::FileTypeExt};
    let Some(path) = endpoint.strip_prefix("ipc://") else { return };
    let is_socket = |file: fs::Metadata| file.file_type().is_socket();
    if !fs::symlink_metadata(path).is_ok_and(is_socket) {
        return;
    }
    match tokio::net::UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            // Should this fail, to bind will fail as well, and tell why.
            let _ = fs::remove_file(path);
        }
        _ => {}
    }
}

/// Pushes a task to the next puller. The crate refuses while there is none, where
/// libzmq would wait; it also loses what it refuses, so each try sends a copy.
async fn push_one(socket: &mut PushSocket, task: &str) {
    let mut said = false;
    // Waits while the puller in turn has too much to do already.
    while socket.send(task.into()).await.is_err() {
        if !said {
            eprintln!("No puller: waiting for one");
        }
        said = true;
        sleep(LOOK).await;
    }
}

/// Strikes out each task whose result comes: the task itself.
async fn collect(mut results: PullSocket, open: Open) {
    loop {
        match results.recv().await {
            Ok(result) => {
                for task in result.iter() {
                    lock(&open).remove(&task[..]);
                }
            }
            Err(error) => eprintln!("Lost a puller: {error}"),
        }
    }
}

/// Waits as long as results keep coming.
async fn wait_for_results(open: &Open) -> Result<()> {
    let (mut left, mut since) = (usize::MAX, Instant::now());
    while left > 0 {
        sleep(LOOK).await;
        let now = lock(open).len();
        if now < left {
            (left, since) = (now, Instant::now());
        }
        ensure!(
            since.elapsed() < REPLY_TIMEOUT,
            "no result of {left} tasks (did a puller end, or has one no --results?)"
        );
    }
    Ok(())
}

fn lock(open: &Open) -> MutexGuard<'_, HashSet<Vec<u8>>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until what was sent has left, which the crate does not tell. But the task that
/// writes to a puller holds the backend, until it has written all.
async fn flush(socket: PushSocket) {
    let backend = socket.backend();
    drop(socket);
    while Arc::strong_count(&backend) > 1 {
        sleep(LOOK).await;
    }
}

/// A peer's bytes as text: what could steer the terminal is escaped, the end cut off.
fn printable(data: &[u8]) -> String {
    let mut out = String::with_capacity(data.len().min(804));
    for chunk in data[..data.len().min(804)].utf8_chunks() {
        for c in chunk.valid().chars() {
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
