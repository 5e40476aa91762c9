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

use std::{io, mem, process, sync::LazyLock, time::Duration};

use anyhow::{Result, bail, ensure};
use clap::{Parser, value_parser};
use paho_mqtt::{AsyncClient, ConnectOptions, ConnectOptionsBuilder};
use paho_mqtt::{CreateOptionsBuilder, Error, MQTT_VERSION_3_1_1, Message};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio::{select, signal, sync::Notify, task::JoinSet};

const BROKER: &str = "mqtt://127.0.0.1:1883";
const HINT: &str = "is a broker running? make brokers";
const LOGIN: &str = "is the login right? mqtt://NAME:PASSWORD@HOST:PORT";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses between tries to connect: the first, and what doubling leads to.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Messages not acknowledged yet: with so many, the next one waits. Memory has an end
/// and the absence of a broker may have none; to drop one would break the promise.
const MAX_PENDING: usize = 64;

static ARGUMENTS: LazyLock<Arguments> = LazyLock::new(Arguments::parse);
/// Told by the library's own thread that the connection is gone.
static CUT: Notify = Notify::const_new();

/// Publishes a temperature by MQTT 3.1.1; exit status 1 if any was not delivered.
#[derive(Parser)]
struct Arguments {
    /// The broker: mqtt://HOST:PORT, or mqtt://NAME:PASSWORD@HOST:PORT
    #[arg(long, env = "MQTT_URL", hide_env_values = true, default_value = BROKER)]
    broker: String,
    /// What to publish on; /status below it says whether this program lives
    #[arg(long, value_parser = name, default_value = "myhome/livingroom/temperature")]
    topic: String,
    /// Seconds between two messages; 0 is for measuring
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "5")]
    interval: Duration,
    /// Messages to publish; without it there is no end
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    count: u64,
    /// Quality of service: 0 at most once, 1 at least once, 2 exactly once
    #[arg(long, default_value = "0", value_parser = value_parser!(i32).range(0..=2))]
    qos: i32,
    /// Let the broker keep the last temperature for those who subscribe later
    #[arg(long)]
    retain: bool,
    /// The name of this client, which no other may have
    #[arg(long, default_value_t = format!("publisher{:08x}", fastrand::u32(..)))]
    client_id: String,
}

/// Checks the name of a topic, to which `/status` is going to be added.
fn name(text: &str) -> Result<String> {
    let is_bad = |c: char| matches!(c, '+' | '#') || c.is_control();
    ensure!(!text.contains(is_bad), "it takes no +, no # and no control characters");
    ensure!((1..=65_528).contains(&text.len()), "it takes 1 to 65528 bytes");
    Ok(text.to_string())
}

fn seconds(text: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

/// The event loop. What the network brings, the library reads on a thread of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let new = CreateOptionsBuilder::new().server_uri(broker().0);
    let client = AsyncClient::new(new.client_id(&ARGUMENTS.client_id).finalize())?;
    client.set_connection_lost_callback(|_| CUT.notify_one());
    // Never dropped, since that takes a second, and says goodbye even when nobody
    // heard `offline`, and the last will has to tell.
    mem::forget(client.clone());
    // A task for each message that is not acknowledged yet.
    let mut tasks = JoinSet::new();
    select! {
        biased; // Signals must be caught before the publisher says that it is ready.
        result = signal::ctrl_c() => result?,
        result = terminated() => result?,
        result = run(&client, &mut tasks) => result?,
    }
    stop(&client, tasks).await
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
    // One message on its way at a time: with more, a broken connection can abort the
    // program, since Paho C 1.3.16 frees twice what it could not write. More only to
    // measure; Mosquitto takes 20 of QoS 2, and loses those beyond.
    let in_flight = if ARGUMENTS.interval.is_zero() { 20 } else { 1 };
    options.connect_timeout(CONNECT_TIMEOUT).max_inflight(in_flight);
    // Exactly once needs a broker that remembers, across connections, what it has.
    options.clean_session(ARGUMENTS.qos < 2).will_message(status("offline"));
    if !user.is_empty() {
        options.user_name(user).password(password);
    }
    (format!("mqtt://{address}"), options.finalize())
}

fn status(text: &str) -> Message {
    Message::new_retained(format!("{}/status", ARGUMENTS.topic), text, 1)
}

/// Waits for SIGTERM, which only Unix has; Ctrl-C is waited for everywhere.
async fn terminated() -> io::Result<()> {
    #[cfg(unix)]
    signal::unix::signal(signal::unix::SignalKind::terminate())?.recv().await;
    #[cfg(not(unix))]
    std::future::pending::<()>().await;
    Ok(())
}

/// Publishes while there is a connection, and replaces one that is lost.
async fn run(client: &AsyncClient, tasks: &mut JoinSet<()>) -> Result<()> {
    let (url, options) = broker();
    let (mut tries, mut pause, mut left) = (3, PAUSE, ARGUMENTS.count);
    loop {
        match client.connect(options.clone()).await {
            Ok(_) => {
                println!("Connected to {}", printable(url.as_bytes()));
                client.publish(status("online"));
                select! {
                    () = publish(client, tasks, &mut left) => return Ok(()),
                    () = CUT.notified() => eprintln!("Lost connection, reconnecting"),
                }
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

/// Publishes at each interval; returns when the last message is acknowledged.
async fn publish(client: &AsyncClient, tasks: &mut JoinSet<()>, left: &mut u64) {
    let new = if ARGUMENTS.retain { Message::new_retained } else { Message::new };
    let mut next = Instant::now();
    while *left > 0 || !tasks.is_empty() {
        select! {
            Some(_) = tasks.join_next() => {}
            () = sleep_until(next), if *left > 0 && tasks.len() < MAX_PENDING => {
                let text = format!("{:.2}", 20.0 + 5.0 * fastrand::f64());
                println!("Publishing: {text}");
                let message = new(&ARGUMENTS.topic, text, ARGUMENTS.qos);
                tasks.spawn(deliver(client.clone(), message));
                (*left, next) = (*left - 1, next + ARGUMENTS.interval);
            }
        }
    }
}

/// Publishes a message until it is acknowledged (QoS 1 and 2) or sent (QoS 0).
async fn deliver(client: AsyncClient, message: Message) {
    // The library sends again what a lost connection leaves open. It gives up only
    // when the broker has lost the session, which happens when it is killed.
    while client.publish(message.clone()).await.is_err() {
        sleep(PAUSE).await;
    }
}

/// Waits for the last acknowledgements, and says goodbye.
async fn stop(client: &AsyncClient, mut tasks: JoinSet<()>) -> Result<()> {
    let goodbye = async {
        while tasks.join_next().await.is_some() {}
        client.publish(status("offline")).await?;
        client.disconnect(None).await
    };
    let _ = timeout(Duration::from_millis(500), goodbye).await;
    println!("Publishing stopped");
    let lost = if ARGUMENTS.qos > 0 { tasks.len() } else { 0 };
    ensure!(lost == 0, "{lost} messages were not acknowledged");
    Ok(())
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
