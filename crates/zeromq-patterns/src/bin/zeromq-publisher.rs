//! A ZeroMQ publisher: the temperature of two rooms, for whoever is subscribed.
//!
//! Contract: binds a PUB socket to ENDPOINT; sends each subscriber the messages whose
//!           first frame begins with one of its topics; ends after `--count` readings
//!           or on Ctrl-C. The protocol is ZMTP 3.0 (rfc.zeromq.org/spec/23).
//! Slide:    Pattern: Brokerless (ZeroMQ / ØMQ); Python Publisher Example
//! Run:      1$ cargo run -p zeromq-patterns --bin zeromq-publisher
//!           2$ cargo run -p zeromq-patterns --bin zeromq-subscriber
//! See:      `Publishing: myhome/livingroom/temperature | <n> | <n>`

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use clap::Parser;
use tokio::{select, signal, time::sleep};
use zeromq::{Endpoint, PubSocket, ZmqMessage, prelude::*};

// On several threads: what is sent leaves in the background.
#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut socket = PubSocket::new();
    let endpoint = listen(&mut socket, &arguments.endpoint).await?;
    select! {
        biased; // Ctrl-C is caught before the publisher says that it is ready.
        result = signal::ctrl_c() => result?,
        result = publish(&mut socket, &endpoint, &arguments) => result?,
    }
    sleep(LINGER).await;
    socket.close().await; // Removes the file of an IPC endpoint.
    Ok(())
}

async fn publish(
    socket: &mut PubSocket,
    endpoint: &Endpoint,
    arguments: &Arguments,
) -> Result<()> {
    println!("Publisher listening on {endpoint}");
    for number in 1..=arguments.count {
        sleep(arguments.interval).await;
        for topic in TOPICS {
            let temperature = format!("{:.2}", rand::random_range(20.0..=25.0));
            println!("Publishing: {topic} | {number} | {temperature}");
            let mut message = ZmqMessage::from(topic);
            message.push_back(number.to_string().into());
            message.push_back(temperature.into());
            // Waits for nobody and keeps nothing: a late subscriber misses this.
            socket.send(message).await?;
        }
    }
    Ok(())
}

// Set-up.

/// Publishes a temperature under two topics, to ZeroMQ subscribers (ZMTP 3.0).
///
/// A message has three frames: the topic, a number, and the temperature. Listen on
/// trusted networks only: there are no passwords and no limits, so whoever reaches
/// ENDPOINT can end this program. Exit status: 0 at the end and on Ctrl-C, 1 when it
/// cannot listen, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: tcp://ADDR:PORT (0: any free port), or ipc://PATH on Unix
    #[arg(default_value = "tcp://127.0.0.1:5556")]
    endpoint: Endpoint,
    /// Readings of each room to publish; without it, until Ctrl-C
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    count: u64,
    /// Seconds to wait before each reading, such as 0.5
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "1")]
    interval: Duration,
}

const TOPICS: [&str; 2] =
    ["myhome/livingroom/temperature", "myhome/kitchen/temperature"];
/// The end of the program loses what has not left by then. The crate does not say
/// when all has left (zeromq/zmq.rs#116), so it gets this long.
const LINGER: Duration = Duration::from_millis(500);
const HINT: &str = " (if a killed program left this file behind, delete it)";

fn seconds(text: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
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
