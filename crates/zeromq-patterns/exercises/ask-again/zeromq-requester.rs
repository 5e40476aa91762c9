//! A ZeroMQ requester: a "lazy pirate", which asks again when no reply comes.
//!
//! Contract: connects a REQ socket to ENDPOINT; sends MESSAGE, `--count` times; waits
//!           5 seconds for each reply, and asks three times at most, on a new socket
//!           each; then ends. The protocol is ZMTP 3.0 (rfc.zeromq.org/spec/23).
//! Slide:    Pattern: Brokerless (ZeroMQ / ØMQ)
//! Run:      1$ cargo run -p zeromq-patterns
//!           2$ cargo run -p zeromq-patterns --bin zeromq-requester
//! See:      `Received reply 1: Hello, world`

use std::{io::ErrorKind, time::Duration};

use anyhow::{Result, bail};
use clap::{Parser, value_parser};
use tokio::time::{sleep, timeout};
use zeromq::ZmqError::{self, Network};
use zeromq::{Endpoint, ReqSocket, ZmqMessage, prelude::*};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut kept = None;
    for number in 1..=arguments.count {
        let reply = ask(&mut kept, &arguments).await?;
        println!("Received reply {number}: {:.200}", show(&reply));
        if number < arguments.count && !arguments.interval.is_zero() {
            sleep(arguments.interval).await;
        }
    }
    Ok(())
}

async fn ask(kept: &mut Option<ReqSocket>, what: &Arguments) -> Result<ZmqMessage> {
    for number in 1..=TRIES {
        match timeout(PATIENCE, try_once(kept, what)).await.unwrap_or(SILENCE) {
            Ok(reply) => return Ok(reply),
            // The system refuses to connect, and to ask again would not change that.
            Err(Network(why)) => bail!("cannot connect to {}: {why}", what.endpoint),
            Err(error) => eprintln!("No reply, try {number} of {TRIES}: {error}"),
        }
        sleep(PAUSE).await;
    }
    bail!("no reply from {}{HINT}", what.endpoint)
}

/// Asks once: on the socket of the last time if all went well, else on a new one.
async fn try_once(
    kept: &mut Option<ReqSocket>,
    what: &Arguments,
) -> Result<ZmqMessage, ZmqError> {
    // Exercise: take the socket that was kept, or connect a new one. Send the message and
    // receive its reply. Keep the socket only when the reply has come.
    todo!("{}", kept.is_some() && what.message.is_empty())
}

// Set-up.

/// Asks a ZeroMQ replier (ZMTP 3.0).
///
/// Asks three times at most, 5 seconds each, connecting included: a request may be
/// answered twice. Looking a name up takes as long as the system lets it. Exit
/// status: 1 when there is no reply, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The replier: tcp://HOST:PORT, or ipc://PATH on Unix
    #[arg(default_value = "tcp://127.0.0.1:5555")]
    endpoint: Endpoint,
    /// What to ask
    #[arg(default_value = "Hello, world")]
    message: String,
    /// Requests to send, one after the other
    #[arg(long, default_value = "1", value_parser = value_parser!(u32).range(1..))]
    count: u32,
    /// Seconds to wait between two requests, such as 0.5
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0")]
    interval: Duration,
}

const TRIES: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(5);
const SILENCE: Result<ZmqMessage, ZmqError> = Err(ZmqError::Other("silence for 5 s"));
/// What fails at once may need time to pass.
const PAUSE: Duration = Duration::from_millis(500);
const HANG_UP: [ErrorKind; 2] = [ErrorKind::ConnectionReset, ErrorKind::NotConnected];
const HINT: &str = " (is the replier running? cargo run -p zeromq-patterns)";

fn seconds(text: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

/// Waits until somebody listens, since the crate tries again by itself.
async fn connect(endpoint: &Endpoint) -> Result<ReqSocket, ZmqError> {
    println!("Connecting to {endpoint}");
    let mut socket = ReqSocket::new();
    match socket.connect(&endpoint.to_string()).await {
        // This is not the system, but a replier that has just ended.
        Err(Network(why)) if HANG_UP.contains(&why.kind()) => {
            Err(ZmqError::Other("it hung up"))
        }
        result => result.map(|()| socket),
    }
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
