//! The program of the wiretap.

use std::fmt::Display;
#[cfg(unix)]
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use anyhow::{Result, ensure};
use clap::Parser;
use tokio::{select, signal};
use wiretap::{Line, Options, Wiretap};

/// Open files to ask for, two a connection: many systems allow a program only 1,024.
const OPEN_FILES: u64 = 16_384;
/// How long printing the summary may take.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Forwards between clients and a server, and shows every message that crosses.
///
/// One line per message: the time since the start, the connection if there are
/// several, the direction, the size, what it is, and its payload. Lines are coloured on
/// a terminal unless NO_COLOR is set. What is forwarded is neither changed nor delayed
/// unless a fault is asked for. A summary ends the output. Ends on Ctrl-C, SIGTERM or
/// SIGHUP with exit status 0; 1 when it cannot listen or write a file, 2 for a wrong
/// argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: an IP address of this machine and a port, 0 for any free port
    #[arg(value_name = "LISTEN")]
    listen: SocketAddr,
    /// Where to forward to: HOST:PORT
    #[arg(value_name = "TARGET", value_parser = host_port)]
    target: String,
    /// End when the first connection has ended
    #[arg(long, conflicts_with = "udp")]
    once: bool,
    /// Print JSON, one object per line; wiretap's README lists the fields
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

/// Checks that the text is HOST:PORT; whether the host exists, connecting will tell.
fn host_port(text: &str) -> Result<String> {
    let (host, port) = text.rsplit_once(':').unwrap_or_default();
    ensure!(!host.is_empty() && port.parse::<u16>().is_ok(), "it takes HOST:PORT");
    Ok(text.to_string())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { listen, target, once, json, options } = Arguments::parse();
    rlimit::increase_nofile_limit(OPEN_FILES)?;
    let is_coloured = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
    let show = move |line: Line| match (json, is_coloured) {
        (true, _) => print(io::stdout(), line.json()),
        (false, true) => print(anstream::stdout(), line.coloured()),
        (false, false) => print(io::stdout(), line),
    };
    let faults = options.faults.clone();
    let wiretap = Wiretap::start(listen, &target, options, show)?;
    let (address, seed) = (wiretap.address(), wiretap.seed());
    let faults = match (faults.any(), faults.is_random()) {
        (false, _) => String::new(),
        (true, false) => format!("\nFaults: {faults}"),
        (true, true) => format!("\nFaults: {faults}; seed {seed}"),
    };
    let ready = async {
        // In one piece, or a connection's line could come in between.
        let ready = format!("Wiretap listening on {address}, forwarding to {target}");
        let ready = if json { wiretap.json() } else { ready + &faults };
        print(io::stdout(), ready);
        match once {
            true => wiretap.first_end().await,
            false => std::future::pending().await,
        }
    };
    // In this order, since signals must be caught before it says that it is ready.
    select! {
        biased;
        result = signal::ctrl_c() => result?,
        result = terminated() => result?,
        () = ready => {}
    }
    let summary = wiretap.stop()?;
    let (printing, printed) = mpsc::channel();
    thread::spawn(move || {
        let text = if json { summary.json() } else { summary.to_string() };
        print(io::stdout(), text);
        let _ = printing.send(());
    });
    // A terminal that is stopped does not keep the program from ending.
    let _ = printed.recv_timeout(LAST_LINES);
    Ok(())
}

/// Prints a line. That nobody reads it any more ends nothing.
fn print(mut out: impl Write, line: impl Display) {
    let _ = out.write_all(format!("{line}\n").as_bytes());
}

/// Waits for SIGTERM, or for SIGHUP, which says that the terminal is gone; `nohup` has
/// it ignored. Only Unix has them; Ctrl-C is waited for everywhere.
async fn terminated() -> io::Result<()> {
    #[cfg(unix)]
    {
        use signal::unix::{SignalKind, signal};
        let hangup_ends = !ignores_hangup();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        select! {
            _ = terminate.recv() => {}
            _ = hangup.recv(), if hangup_ends => {}
        }
    }
    #[cfg(not(unix))]
    std::future::pending::<()>().await;
    Ok(())
}

/// As Linux tells it: SIGHUP is the lowest bit of those that are ignored.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}
