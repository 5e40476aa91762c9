//! A ZeroMQ puller: does the tasks that a pusher sends it.
//!
//! Contract: connects a PULL socket to ENDPOINT; expects tasks; does them, one after
//!           the other; sends each back to the PULL socket at `--results`, if given;
//!           connects again when the pusher is gone; ends after `--count` tasks, on
//!           Ctrl-C or SIGTERM. The protocol is ZMTP 3.0 (rfc.zeromq.org/spec/23).
//! Slide:    Pattern: Brokerless (ZeroMQ / ØMQ)
//! Run:      1$ cargo run -p zeromq-patterns --bin zeromq-pusher
//!           2$ cargo run -p zeromq-patterns --bin zeromq-puller
//! See:      `Received: <n>-1 Hello, world`

use std::{io, time::Duration};

use anyhow::{Result, bail};
use clap::Parser;
use tokio::time::{sleep, timeout};
use tokio::{select, signal};
use zeromq::{Endpoint, PullSocket, PushSocket, ZmqMessage, prelude::*};

/// The pause before the second try to connect; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// The crate sends in the background, and drops the rest when the program ends: this
/// is how long the last results get to leave.
const LINGER: Duration = Duration::from_millis(500);

/// Where tasks come from, and where results go.
struct Sockets {
    tasks: PullSocket,
    results: Option<PushSocket>,
}

/// The crate's PULL socket does not close its connections when it is dropped, and the
/// pusher would go on sending.
impl Drop for Sockets {
    fn drop(&mut self) {
        self.tasks.backend().shutdown();
    }
}

/// Does the tasks of a ZeroMQ pusher (ZMTP 3.0).
///
/// Waits for a pusher that is not there yet, and for one that is gone. Tasks that it
/// has received when it ends are lost. Ends after --count tasks, on Ctrl-C or SIGTERM
/// with exit status 0; 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The pusher: tcp://HOST:PORT or ipc://PATH (not Windows)
    #[arg(value_parser = endpoint, default_value = "tcp://127.0.0.1:5557")]
    endpoint: String,
    /// Where the pusher listens for results
    #[arg(long, value_name = "ENDPOINT", value_parser = endpoint)]
    results: Option<String>,
    /// Seconds that a task takes
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0")]
    work: Duration,
    /// Tasks to do; without end by default
    #[arg(long)]
    count: Option<u64>,
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

/// One thread is enough: what is sent leaves in the background, while main waits for
/// the next task.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    select! {
        biased; // Signals must be caught before the puller says that it is ready.
        result = signal::ctrl_c() => result?,
        result = terminated() => result?,
        () = pull(&arguments) => {}
    }
    if arguments.results.is_some() {
        sleep(LINGER).await;
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

/// Follows the pusher, also when it is gone for a while.
async fn pull(arguments: &Arguments) {
    let mut left = arguments.count.unwrap_or(u64::MAX);
    while left > 0 {
        let mut sockets = connect(arguments).await;
        println!("Connected to {}", arguments.endpoint);
        if let Err(error) = work(&mut sockets, arguments.work, &mut left).await {
            eprintln!("Lost the pusher: {error}");
        }
    }
}

/// Waits until there is a pusher.
async fn connect(arguments: &Arguments) -> Sockets {
    let endpoint = &arguments.endpoint;
    let mut pause = FIRST_PAUSE;
    loop {
        // While nobody listens this tries again by itself.
        match timeout(pause, connect_once(arguments)).await {
            Ok(Ok(sockets)) => return sockets,
            Ok(Err(error)) => {
                eprintln!("Cannot connect to {endpoint}: {error}");
                sleep(pause).await;
            }
            Err(_) => eprintln!("Waiting for a pusher at {endpoint}"),
        }
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Connects for tasks first: should another pusher have taken over before the results
/// connect, then to lose the connection for tasks will tell.
async fn connect_once(arguments: &Arguments) -> Result<Sockets> {
    let mut sockets = Sockets { tasks: PullSocket::new(), results: None };
    sockets.tasks.connect(&arguments.endpoint).await?;
    if let Some(endpoint) = &arguments.results {
        sockets.results.insert(PushSocket::new()).connect(endpoint).await?;
    }
    Ok(sockets)
}

/// Does what arrives until the connection is lost. Only the monitor tells that, and
/// once connected nothing else.
async fn work(sockets: &mut Sockets, time: Duration, left: &mut u64) -> Result<()> {
    let Sockets { tasks, results } = sockets;
    let mut events = tasks.monitor();
    while *left > 0 {
        let task = select! {
            task = tasks.recv() => task?,
            _ = events.recv() => bail!("it closed the connection"),
        };
        println!("Received: {}", show(&task));
        if !time.is_zero() {
            sleep(time).await;
        }
        if let Some(results) = results {
            results.send(task).await?;
        }
        *left -= 1;
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
