//! An MQTT publisher: sends a room's temperature, and never knows who listens.
//!
//! Contract: connects to the broker at mqtt://HOST:PORT; publishes a temperature on
//!           TOPIC every 5 seconds, and on TOPIC/status that it is `online`; ends
//!           after `--count`, on Ctrl-C or SIGTERM. MQTT 3.1.1 is an OASIS standard.
//! Slide:    Python Publisher Example, publisher.py
//! Run:      1$ make brokers
//!           2$ cargo run -p mqtt-temperature
//!           3$ cargo run -p mqtt-temperature --bin mqtt-publisher
//! See:      `Publishing: <n>`; what it sends, in the second terminal.

use std::{io, mem, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::{CommandFactory, Parser, error::ErrorKind, value_parser};
use paho_mqtt::{AsyncClient, ConnectOptions, ConnectOptionsBuilder};
use paho_mqtt::{CreateOptionsBuilder, Error, MQTT_VERSION_3_1_1, Message};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio::{select, signal, sync::Notify, task::JoinSet};

const HINT: &str = "is a broker running? make brokers";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses between tries to connect: the first, and what doubling leads to.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// How long Ctrl-C waits for the broker, once to tell it and once to part.
const FAREWELL: Duration = Duration::from_millis(400);
/// Messages kept until the broker has acknowledged them; then the next one waits. A
/// bound, since a broker may stay away for long; and no message is dropped for it.
const MAX_UNACKNOWLEDGED: usize = 100;

/// Told by the library's thread that the connection is gone.
static LOST: Notify = Notify::const_new();

/// Publishes a temperature by MQTT 3.1.1, again and again.
///
/// Also publishes `online` on TOPIC/status, and leaves the broker a last will: to
/// publish `offline` there when this program dies. Tries three times to connect; a
/// connection lost later is replaced. Exit status 0 after `--count`, Ctrl-C or
/// SIGTERM; 1 without a broker, or when a message of QoS 1 or 2 could not be
/// delivered; 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The broker, mqtt://[USER:PASSWORD@]HOST:PORT
    #[arg(long, value_name = "URL", env = "MQTT_URL", hide_env_values = true)]
    #[arg(default_value = "mqtt://127.0.0.1:1883")]
    broker: String,
    /// What to publish on
    #[arg(long, value_parser = topic, default_value = "myhome/livingroom/temperature")]
    topic: String,
    /// Seconds between two messages
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "5")]
    interval: Duration,
    /// Messages to publish; without it, until Ctrl-C
    #[arg(long)]
    count: Option<u64>,
    /// Quality of service: 0 at most once, 1 at least once, 2 exactly once
    #[arg(long, value_parser = value_parser!(i32).range(0..=2), default_value = "0")]
    qos: i32,
    /// Let the broker keep the last temperature for who subscribes later
    #[arg(long)]
    retain: bool,
    /// A name that no other client of the broker has; random if left out
    #[arg(long, value_name = "NAME")]
    client_id: Option<String>,
    /// Seconds of silence after which the broker is asked for a sign of life
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    #[arg(value_parser = value_parser!(u64).range(1..=65535))]
    keep_alive: u64,
}

/// Checks the name of a topic, to which `/status` is going to be added.
fn topic(text: &str) -> Result<String> {
    ensure!(!text.contains(['+', '#']), "+ and # are for those who subscribe");
    ensure!(!text.contains(char::is_control), "it has no control characters, as NUL");
    ensure!((1..=65_528).contains(&text.len()), "it has 1 to 65528 bytes");
    Ok(text.to_string())
}

fn seconds(text: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

/// Takes a broker's URL apart: where it is, and who we are, which nobody else sees.
fn broker(url: &str) -> Result<(String, Option<(&str, &str)>)> {
    let rest = url.strip_prefix("mqtt://").unwrap_or_default();
    let (login, address) =
        rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
    let (host, port) =
        address.trim_end_matches('/').rsplit_once(':').unwrap_or_default();
    ensure!(
        !host.is_empty() && port.parse::<u16>().is_ok(),
        "--broker takes mqtt://HOST:PORT or mqtt://USER:PASSWORD@HOST:PORT, without TLS"
    );
    let login = login.map(|login| login.split_once(':').unwrap_or((login, "")));
    Ok((format!("mqtt://{host}:{port}"), login))
}

struct Publisher {
    arguments: Arguments,
    client: AsyncClient,
    options: ConnectOptions,
    url: String,
}

/// What was published: how often, and a task for each message not yet acknowledged.
#[derive(Default)]
struct Deliveries {
    begun: u64,
    tasks: JoinSet<()>,
}

/// The event loop. What the network brings, the library reads on a thread of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let publisher = Publisher::new(Arguments::parse())?;
    let mut deliveries = Deliveries::default();
    let patience = select! {
        biased; // Signals must be caught before the publisher says that it is ready.
        result = signal::ctrl_c() => result.map(|()| FAREWELL)?,
        result = terminated() => result.map(|()| FAREWELL)?,
        result = publisher.run(&mut deliveries) => result.map(|()| REPLY_TIMEOUT)?,
    };
    publisher.stop(deliveries, patience).await
}

/// Waits for SIGTERM, which only Unix has; Ctrl-C is waited for everywhere.
async fn terminated() -> io::Result<()> {
    #[cfg(unix)]
    signal::unix::signal(signal::unix::SignalKind::terminate())?.recv().await;
    #[cfg(not(unix))]
    std::future::pending::<()>().await;
    Ok(())
}

impl Publisher {
    fn new(arguments: Arguments) -> Result<Publisher> {
        let (url, login) = broker(&arguments.broker).unwrap_or_else(|error| {
            // Not left to clap, which would show the password.
            Arguments::command().error(ErrorKind::ValueValidation, error).exit()
        });
        let random = format!("publisher{:08x}", fastrand::u32(..));
        let client = CreateOptionsBuilder::new()
            .server_uri(&url)
            .client_id(arguments.client_id.clone().unwrap_or(random))
            .send_while_disconnected(true)
            .max_buffered_messages(2 * MAX_UNACKNOWLEDGED as i32)
            .create_client()?;
        client.set_connection_lost_callback(|_| LOST.notify_one());
        let mut options = ConnectOptionsBuilder::with_mqtt_version(MQTT_VERSION_3_1_1);
        options.connect_timeout(CONNECT_TIMEOUT);
        options.keep_alive_interval(Duration::from_secs(arguments.keep_alive));
        if let Some((user, password)) = login {
            options.user_name(user).password(password);
        }
        Ok(Publisher { arguments, client, options: options.finalize(), url })
    }
}
