//! The program of the wiretap.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tokio::{select, signal};
use wiretap::{Options, Wiretap};

/// Open files to ask for, two a connection: many systems allow a program only 1,024.
const OPEN_FILES: u64 = 16_384;
/// How long printing the summary may take.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Forwards between clients and a server, and shows every message that crosses.
///
/// A line a message: the time since the start, the connection if there are several,
/// the direction, the size, what it is, and its payload. What is forwarded is never
/// changed nor kept waiting unless a fault is asked for. At the end it sums up. Ends
/// on Ctrl-C or SIGTERM with exit status 0; 1 when it cannot listen or write a file,
/// 2 for a wrong argument.
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
    let Arguments { listen, target, once, options } = Arguments::parse();
    rlimit::increase_nofile_limit(OPEN_FILES)?;
    if let Some(path) = &options.mermaid {
        // Written at the end, when it is too late to learn that it cannot be.
        File::create(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let faults = options.faults.clone();
    let wiretap = Wiretap::start(listen, &target, options, print)?;
    let faults = match (faults.any(), faults.is_random()) {
        (false, _) => String::new(),
        (true, false) => format!("\nFaults: {faults}"),
        (true, true) => format!("\nFaults: {faults}; seed {}", wiretap.seed()),
    };
    let address = wiretap.address();
    let ready = async {
        // In one piece, or a connection's line could come in between.
        print(format!(
            "Wiretap listening on {address}, forwarding to {target}{faults}"
        ));
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
        print(summary);
        let _ = printing.send(());
    });
    // A terminal that is stopped does not keep the program from ending.
    let _ = printed.recv_timeout(LAST_LINES);
    Ok(())
}

/// Prints a line. Nobody may read any more, which ends nothing.
fn print(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Waits for SIGTERM, which only Unix has; Ctrl-C is waited for everywhere.
async fn terminated() -> io::Result<()> {
    #[cfg(unix)]
    signal::unix::signal(signal::unix::SignalKind::terminate())?.recv().await;
    #[cfg(not(unix))]
    std::future::pending::<()>().await;
    Ok(())
}
