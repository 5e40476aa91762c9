//! An MQTT subscriber: prints what anybody publishes on its topics.
//!
//! Contract: connects to the broker at mqtt://HOST:PORT; subscribes to `--topic`;
//!           expects messages at any time, and prints them before it acknowledges
//!           them; ends on Ctrl-C or SIGTERM. MQTT 3.1.1 is an OASIS standard.
//! Slide:    Python Subscriber Example, subscriber.py
//! Run:      1$ make brokers
//!           2$ cargo run -p mqtt-temperature
//!           3$ cargo run -p mqtt-temperature --bin mqtt-publisher
//! See:      `Topic: myhome/livingroom/temperature | Message: <n>`, every 5 seconds.

use std::io::{self, Write};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::{mem, process, time::Duration};

use anyhow::{Result, bail, ensure};
use clap::{Parser, value_parser};
use paho_mqtt::{AsyncClient, ConnectOptions, ConnectOptionsBuilder};
use paho_mqtt::{CreateOptionsBuilder, Error, MQTT_VERSION_3_1_1, Message};
use tokio::{select, signal, sync::Notify, time::sleep, time::timeout};

const BROKER: &str = "mqtt://127.0.0.1:1883";
const HINT: &str = "is a broker running? make brokers";
const LOGIN: &str = "is the login right? mqtt://NAME:PASSWORD@HOST:PORT";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses between tries to connect: the first, and what doubling leads to.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

static ARGUMENTS: LazyLock<Arguments> = LazyLock::new(Arguments::parse);
/// Told by the library's own thread that the connection is gone.
static CUT: Notify = Notify::const_new();
/// Retained messages that came before the answer to the subscription, and what came
/// after them: printed later, so that the lines are in order.
static EARLY: Mutex<Option<Vec<Message>>> = Mutex::new(None);

/// Prints what is published on topics, by MQTT 3.1.1. Exit status 0 after Ctrl-C or
/// SIGTERM, 1 without a broker or when it refuses, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The broker: mqtt://HOST:PORT, or mqtt://NAME:PASSWORD@HOST:PORT
    #[arg(long, env = "MQTT_URL", hide_env_values = true, default_value = BROKER)]
    broker: String,
    /// What to subscribe to, again for more; + is any one level, # all that follow
    #[arg(long, value_parser = name, default_value = "myhome/livingroom/temperature")]
    topic: Vec<String>,
    /// Quality of service: 0 at most once, 1 at least once, 2 exactly once
    #[arg(long, default_value = "0", value_parser = value_parser!(i32).range(0..=2))]
    qos: i32,
    /// Let the broker collect messages, but for those of QoS 0, while this is away
    #[arg(long, requires = "client_id")]
    persistent: bool,
    /// The name of this client, which no other may have
    #[arg(long, default_value_t = format!("subscriber{:08x}", fastrand::u32(..)))]
    client_id: String,
    /// Seconds of silence after which the broker is asked for a sign of life
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    #[arg(value_parser = value_parser!(u64).range(1..=65535))]
    keep_alive: u64,
}

/// Checks the name of a topic, in which + and # stand for whole levels.
fn name(text: &str) -> Result<String> {
    let (levels, last) = text.rsplit_once('/').unwrap_or(("", text));
    let is_level = |level: &str| level == "+" || !level.contains(['+', '#']);
    let is_filter =
        levels.split('/').all(is_level) && (last == "#" || is_level(last));
    ensure!(is_filter, "+ stands for one whole level, # for all levels at the end");
    ensure!(!text.contains(char::is_control), "it takes no control characters");
    ensure!((1..=65_535).contains(&text.len()), "it takes 1 to 65535 bytes");
    Ok(text.to_string())
}

/// The event loop. What the network brings, the library reads on a thread of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let new = CreateOptionsBuilder::new().server_uri(broker().0);
    let client = AsyncClient::new(new.client_id(&ARGUMENTS.client_id).finalize())?;
    client.set_connection_lost_callback(|_| CUT.notify_one());
    client.set_message_callback(|_, message| message.into_iter().for_each(arrived));
    // Never dropped, since that takes a second.
    mem::forget(client.clone());
    select! {
        biased; // Signals must be caught before the subscriber says that it is ready.
        result = signal::ctrl_c() => result?,
        result = terminated() => result?,
        result = stay_subscribed(&client) => result?,
    }
    let _ = timeout(Duration::from_millis(500), client.disconnect(None)).await;
    Ok(())
}

/// Takes the URL apart: where the broker is, and how to connect to it.
fn broker() -> (String, ConnectOptions) {
    let rest = ARGUMENTS.broker.strip_prefix("mqtt://").unwrap_or_default();
    let (login, address) = rest.rsplit_once('@').unwrap_or((":", rest));
    let (host, port) = address.rsplit_once(':').unwrap_or_default();
    let is_place = !host.is_empty() && port.parse::<u16>().is_ok();
    let (Some((user, password)), true) = (login.split_once(':'), is_place) else {
        // Not left to clap, which would show the password.
        eprintln!("error: --broker takes mqtt://[NAME:PASSWORD@]HOST:PORT");
        process::exit(2);
    };
    let mut options = ConnectOptionsBuilder::with_mqtt_version(MQTT_VERSION_3_1_1);
    options.connect_timeout(CONNECT_TIMEOUT).clean_session(!ARGUMENTS.persistent);
    options.keep_alive_interval(Duration::from_secs(ARGUMENTS.keep_alive));
    if !user.is_empty() {
        options.user_name(user).password(password);
    }
    (format!("mqtt://{address}"), options.finalize())
}

/// Waits for SIGTERM, which only Unix has; Ctrl-C is waited for everywhere.
async fn terminated() -> io::Result<()> {
    #[cfg(unix)]
    signal::unix::signal(signal::unix::SignalKind::terminate())?.recv().await;
    #[cfg(not(unix))]
    std::future::pending::<()>().await;
    Ok(())
}

/// Connects and subscribes, and does so again whenever the connection is lost.
async fn stay_subscribed(client: &AsyncClient) -> Result<()> {
    let (url, options) = broker();
    let (mut tries, mut pause) = (3, PAUSE);
    loop {
        *early() = Some(Vec::new());
        match client.connect(options.clone()).await {
            Ok(_) => {
                subscribe(client).await?;
                while client.is_connected() {
                    CUT.notified().await;
                }
                eprintln!("Lost connection, reconnecting");
                (tries, pause) = (u32::MAX, PAUSE);
            }
            Err(Error::ConnectReturn(why)) => bail!("{url} refuses: {why} ({LOGIN})"),
            Err(_) if tries == 1 => bail!("cannot connect to {url} ({HINT})"),
            Err(_) => tries -= 1,
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(2 * pause);
    }
}

/// Subscribes to each topic, and waits for the broker's answer.
async fn subscribe(client: &AsyncClient) -> Result<()> {
    for topic in &ARGUMENTS.topic {
        let answer = client.subscribe(topic, ARGUMENTS.qos);
        match timeout(REPLY_TIMEOUT, answer).await {
            Ok(Ok(_)) => println!("Subscribed to '{}'", printable(topic.as_bytes())),
            // A connection that is cut fails in the same way, and is gone then.
            Ok(Err(Error::Failure)) if client.is_connected() => {
                bail!("the broker refuses '{topic}'")
            }
            // The connection is lost, or of no use: the caller will connect again.
            _ => {
                let _ = client.disconnect(None).await;
                return Ok(());
            }
        }
    }
    early().take().into_iter().flatten().for_each(print);
    Ok(())
}

fn early() -> MutexGuard<'static, Option<Vec<Message>>> {
    EARLY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called by the library's thread, which acknowledges the message afterwards.
fn arrived(message: Message) {
    match early().as_mut() {
        Some(early) if message.retained() || !early.is_empty() => early.push(message),
        _ => print(message),
    }
}

fn print(message: Message) {
    let (topic, payload) =
        (printable(message.topic().as_bytes()), printable(message.payload()));
    if writeln!(io::stdout(), "Topic: {topic} | Message: {payload}").is_err() {
        process::exit(1); // Nobody reads it: so it is not acknowledged.
    }
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
