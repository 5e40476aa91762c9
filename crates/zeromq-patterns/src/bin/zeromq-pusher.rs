//! A ZeroMQ pusher: deals tasks out to its pullers, evenly.
//!
//! Contract: binds a PUSH socket to ENDPOINT; waits for `--pullers`; sends `--count`
//!           tasks, each to the next puller in turn; ends when all have left, or on
//!           Ctrl-C. The protocol is ZMTP 3.0 (rfc.zeromq.org/spec/23).
//! Slide:    Pattern: Brokerless (ZeroMQ / ØMQ)
//! Run:      1$ cargo run -p zeromq-patterns --bin zeromq-pusher
//!           2$ cargo run -p zeromq-patterns --bin zeromq-puller
//! See:      `Sent: <n>-1 Hello, world`

use std::{process, sync::Arc, time::Duration, time::Instant};

use anyhow::{Result, anyhow, ensure};
use clap::Parser;
use tokio::{select, signal, task::coop, time::sleep};
use zeromq::{Endpoint, PushSocket, SocketEvent, ZmqError, prelude::*};

// On several threads: what is sent leaves in the background.
#[tokio::main]
async fn main() -> Result<()> {
    let (arguments, mut sent) = (Arguments::parse(), 0);
    let mut socket = PushSocket::new();
    select! {
        biased; // Ctrl-C is caught before the pusher says that it is ready.
        result = signal::ctrl_c() => result?,
        result = push_all(&mut socket, &arguments, &mut sent) => result?,
    }
    wait_until_all_has_left(socket).await?;
    println!("All {sent} tasks have left");
    Ok(())
}

async fn push_all(
    socket: &mut PushSocket,
    arguments: &Arguments,
    sent: &mut u64,
) -> Result<()> {
    wait_for_pullers(socket, arguments).await?;
    for number in 1..=arguments.count {
        // The process id tells the tasks of this run from those of another one.
        let task = format!("{}-{number} {}", process::id(), arguments.task);
        push(socket, &task).await;
        println!("Sent: {task:.200}");
        *sent = number;
        coop::consume_budget().await; // Else Ctrl-C waits until `send` has to wait.
    }
    Ok(())
}

async fn push(socket: &mut PushSocket, task: &str) {
    // Deals tasks out like cards: one to each puller in turn, however busy that one
    // is, and waits only when 100,000 wait for it already.
    while let Err(error) = socket.send(task.into()).await {
        // Without pullers the crate refuses the task, where libzmq waits. Any other
        // error means that this puller has left, and the next one gets the task.
        if matches!(error, ZmqError::ReturnToSender { .. }) {
            eprintln!("No puller: waiting for one");
            sleep(PAUSE).await;
        }
    }
}

// Set-up.

/// Deals tasks out to ZeroMQ pullers, each to the next one in turn (ZMTP 3.0).
///
/// A task that has left is not done yet. Listen on trusted networks only: whoever
/// reaches ENDPOINT can end this program. Exit status: 0 when all that was sent has
/// left; 1 when it cannot leave or listen; 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: tcp://ADDR:PORT (0: any free port), or ipc://PATH on Unix
    #[arg(default_value = "tcp://127.0.0.1:5557")]
    endpoint: Endpoint,
    /// What to do
    #[arg(default_value = "Hello, world")]
    task: String,
    /// Tasks to push
    #[arg(long, default_value_t = 10)]
    count: u64,
    /// Pullers to wait for before the first task
    #[arg(long, default_value_t = 1)]
    pullers: usize,
}

const PAUSE: Duration = Duration::from_secs(1);
const STUCK: &str = "not all tasks have left within 5 s (does a puller not read?)";
const HINT: &str = " (if a killed program left this file behind, delete it)";

/// The first puller would get all tasks, if they were sent before another one comes.
async fn wait_for_pullers(
    socket: &mut PushSocket,
    arguments: &Arguments,
) -> Result<()> {
    let mut events = socket.monitor();
    println!("Pusher listening on {}", listen(socket, &arguments.endpoint).await?);
    for missing in (1..=arguments.pullers).rev() {
        println!("Pullers to wait for: {missing}");
        while !matches!(events.recv().await?, SocketEvent::Accepted(..)) {}
    }
    Ok(())
}

/// The end of the program loses what has not left by then. The crate does not say
/// when all has left (zeromq/zmq.rs#116), but whatever writes to a puller there holds
/// the backend until it has written everything.
async fn wait_until_all_has_left(socket: PushSocket) -> Result<()> {
    let backend = socket.backend();
    socket.close().await; // Also removes the file of an IPC endpoint.
    let end = Instant::now() + Duration::from_secs(5);
    while Arc::strong_count(&backend) > 1 {
        ensure!(Instant::now() < end, STUCK);
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Returns the endpoint with the port that it really has.
async fn listen(socket: &mut impl Socket, endpoint: &Endpoint) -> Result<Endpoint> {
    let text = endpoint.to_string();
    // The crate would look up a host of that name, and panic over such a path.
    ensure!(!text.contains("://*"), "instead of * write tcp://0.0.0.0 or ipc://PATH");
    let is_taken = matches!(endpoint, Endpoint::Ipc(Some(file)) if file.exists());
    let hint = if is_taken { HINT } else { "" };
    let bound = socket.bind(&text).await;
    bound.map_err(|why| anyhow!("cannot listen on {text}{hint}: {why}"))
}
