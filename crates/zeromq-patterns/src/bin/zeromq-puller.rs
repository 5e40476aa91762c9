//! A ZeroMQ puller: does the tasks that a pusher deals out.
//!
//! Contract: connects a PULL socket to ENDPOINT; expects tasks; does one after the
//!           other, each in `--work` seconds; connects again when the pusher is gone;
//!           ends after `--count` tasks or on Ctrl-C. The protocol is ZMTP 3.0
//!           (rfc.zeromq.org/spec/23).
//! Slide:    Pattern: Brokerless (ZeroMQ / ØMQ)
//! Run:      1$ cargo run -p zeromq-patterns --bin zeromq-pusher
//!           2$ cargo run -p zeromq-patterns --bin zeromq-puller
//! See:      `Received: <n>-1 Hello, world`

use std::{io::ErrorKind, time::Duration};

use anyhow::{Result, bail};
use clap::Parser;
use tokio::{select, signal, time::sleep};
use zeromq::ZmqError::{self, ConnectTimeout, Network};
use zeromq::{Endpoint, PullSocket, SocketOptions, ZmqMessage, prelude::*};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    select! {
        biased; // Ctrl-C is caught before the puller says that it is ready.
        result = signal::ctrl_c() => Ok(result?),
        result = pull(&arguments) => result,
    }
}

/// Follows the pusher, also when it is gone for a while: on a new socket, since the
/// crate does not connect a PULL socket again (zeromq/zmq.rs#143).
async fn pull(arguments: &Arguments) -> Result<()> {
    let mut left = arguments.count;
    let mut socket = connect(arguments, true).await?;
    while let Err(error) = work(socket, arguments, &mut left).await {
        eprintln!("Lost the pusher: {error}");
        socket = connect(arguments, false).await?;
    }
    Ok(())
}

async fn work(mut tasks: PullSocket, what: &Arguments, left: &mut u64) -> Result<()> {
    println!("Connected to {}", what.endpoint);
    let mut events = tasks.monitor();
    while *left > 0 {
        let task = select! {
            // Waits for a task. Further ones are already on the way, whether this
            // puller is busy or not, and they are lost if it dies.
            task = tasks.recv() => task?,
            // Only this event tells that the pusher is gone: `recv` waits on.
            _ = events.recv() => bail!("it closed the connection"),
        };
        println!("Received: {:.200}", show(&task));
        if !what.work.is_zero() {
            sleep(what.work).await;
        }
        *left -= 1;
    }
    Ok(())
}

// Set-up.

/// Does the tasks of a ZeroMQ pusher (ZMTP 3.0).
///
/// Waits for a pusher that is not there yet, and for one that is gone. Tasks that
/// have arrived when it ends are lost. Exit status: 0 after --count tasks and on
/// Ctrl-C, 1 when it cannot connect for another reason, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The pusher: tcp://HOST:PORT, or ipc://PATH on Unix
    #[arg(default_value = "tcp://127.0.0.1:5557")]
    endpoint: Endpoint,
    /// Seconds that a task takes, such as 0.5
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0")]
    work: Duration,
    /// Tasks to do; without it, until Ctrl-C
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    count: u64,
}

/// How long the first try to connect takes. Each further one takes twice as long.
const FIRST_TRY: Duration = Duration::from_millis(500);
const LONGEST_TRY: Duration = Duration::from_secs(8);

fn seconds(text: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

/// Waits until there is a pusher. Any other failure is final at the first time;
/// later it may pass, unless permission is denied.
async fn connect(arguments: &Arguments, is_first: bool) -> Result<PullSocket> {
    let (endpoint, mut time) = (&arguments.endpoint, FIRST_TRY);
    loop {
        let mut options = SocketOptions::default();
        options.connect_timeout(time); // Meanwhile the crate tries again by itself.
        let mut socket = PullSocket::with_options(options);
        match socket.connect(&endpoint.to_string()).await {
            Ok(()) => return Ok(socket),
            Err(ConnectTimeout(_)) => eprintln!("Waiting for a pusher at {endpoint}"),
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
