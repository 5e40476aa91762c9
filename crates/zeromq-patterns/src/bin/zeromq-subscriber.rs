//! A ZeroMQ subscriber: connects to the publisher itself, since there is no broker.
//!
//! Contract: connects a SUB socket to ENDPOINT; expects messages whose first frame
//!           begins with a TOPIC; prints them; connects again when the publisher is
//!           gone; ends on Ctrl-C. The protocol is ZMTP 3.0 (rfc.zeromq.org/spec/23).
//! Slide:    Pattern: Brokerless (ZeroMQ / ØMQ); Python Subscriber Example
//! Run:      1$ cargo run -p zeromq-patterns --bin zeromq-publisher
//!           2$ cargo run -p zeromq-patterns --bin zeromq-subscriber
//! See:      `Received: myhome/livingroom/temperature | <n> | <n>`

use std::{io::ErrorKind, time::Duration};

use anyhow::{Result, bail};
use clap::Parser;
use tokio::{select, signal, time::sleep};
use zeromq::ZmqError::{self, ConnectTimeout, Network};
use zeromq::{Endpoint, SocketOptions, SubSocket, ZmqMessage, prelude::*};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    select! {
        biased; // Ctrl-C is caught before the subscriber says that it is ready.
        result = signal::ctrl_c() => Ok(result?),
        result = follow(&arguments) => result,
    }
}

/// Follows the publisher, also when it is gone for a while: on a new socket, since
/// the crate alone would connect again after up to 30 seconds, and without a word.
async fn follow(arguments: &Arguments) -> Result<()> {
    let mut socket = connect(arguments, true).await?;
    loop {
        if let Err(error) = print_messages(socket, arguments).await {
            eprintln!("Lost the publisher: {error}");
        }
        socket = connect(arguments, false).await?;
    }
}

async fn print_messages(mut socket: SubSocket, arguments: &Arguments) -> Result<()> {
    for topic in &arguments.topics {
        // The publisher filters: what begins otherwise is not even sent.
        socket.subscribe(topic).await?;
    }
    println!("Connected to {}", arguments.endpoint);
    let mut events = socket.monitor();
    loop {
        select! {
            // Waits for the next message. Nobody has kept what was sent before.
            message = socket.recv() => println!("Received: {}", show(&message?)),
            // Only this event tells that the publisher is gone: `recv` waits on.
            _ = events.recv() => bail!("it closed the connection"),
        }
    }
}

// Set-up.

/// Prints what a ZeroMQ publisher sends (ZMTP 3.0).
///
/// Misses what is sent before it is connected. Waits for a publisher that is not
/// there yet, and for one that is gone. Exit status: 0 on Ctrl-C, 1 when it cannot
/// connect for another reason, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The publisher: tcp://HOST:PORT, or ipc://PATH on Unix
    #[arg(default_value = "tcp://127.0.0.1:5556")]
    endpoint: Endpoint,
    /// How the wanted topics begin; may be repeated; all topics by default
    #[arg(long = "topic", value_name = "TOPIC", default_value = "")]
    topics: Vec<String>,
}

/// How long the first try to connect takes. Each further one takes twice as long.
const FIRST_TRY: Duration = Duration::from_millis(500);
const LONGEST_TRY: Duration = Duration::from_secs(8);
const WAITING: &str = "Waiting for a publisher at";

/// Waits until there is a publisher. Any other failure is final at the first time;
/// later it may pass, unless permission is denied.
async fn connect(arguments: &Arguments, is_first: bool) -> Result<SubSocket> {
    let (endpoint, mut time) = (&arguments.endpoint, FIRST_TRY);
    loop {
        let mut options = SocketOptions::default();
        options.connect_timeout(time); // Meanwhile the crate tries again by itself.
        let mut socket = SubSocket::with_options(options);
        match socket.connect(&endpoint.to_string()).await {
            Ok(()) => return Ok(socket),
            Err(ConnectTimeout(_)) => eprintln!("{WAITING} {endpoint}"),
            Err(why) if is_first || is_denied(&why) => {
                bail!("cannot connect to {endpoint}: {why}")
            }
            Err(why) => eprintln!("Cannot connect to {endpoint}: {why}"),
        }
        sleep(FIRST_TRY).await;
        time = LONGEST_TRY.min(time * 2);
    }
}

fn is_denied(error: &ZmqError) -> bool {
    matches!(error, Network(why) if why.kind() == ErrorKind::PermissionDenied)
}

/// The frames of a message, with `|` between them.
fn show(message: &ZmqMessage) -> String {
    message.iter().map(|frame| printable(frame)).collect::<Vec<_>>().join(" | ")
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
