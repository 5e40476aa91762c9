//! An MQTT subscriber: prints what anybody publishes on its topics.
//!
//! Contract: connects to the broker at mqtt://HOST:PORT; subscribes to each TOPIC;
//!           prints a message before it acknowledges it; connects again when the
//!           connection is lost; ends on Ctrl-C. MQTT 3.1.1 is an OASIS standard.
//! Slide:    Python Subscriber Example, subscriber.py
//! Run:      1$ make brokers
//!           2$ cargo run -p mqtt-temperature
//!           3$ cargo run -p mqtt-temperature --bin mqtt-publisher
//! See:      `Topic: myhome/livingroom/temperature | Message: <n>`, every 5 seconds.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use paho_mqtt::{AsyncClient, ConnectOptionsBuilder, Error, Message};
use tokio::time::{Duration, sleep, timeout};
use tokio::{select, signal, sync::mpsc};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let new = paho_mqtt::CreateOptionsBuilder::new().server_uri(&arguments.broker);
    let new = new.client_id(&arguments.client_id).finalize();
    let client = AsyncClient::new(new).context("--broker")?;
    // The library calls this and the other callbacks on a thread of its own.
    client.set_message_callback(|_, message| message.iter().for_each(print));
    client
        .set_connection_lost_callback(|_| eprintln!("Lost connection, reconnecting"));
    select! {
        result = signal::ctrl_c() => Ok(result?),
        result = stay_subscribed(&client, &arguments) => result,
    } // Leaving drops the client, which says goodbye to the broker.
}

/// Subscribes after each connect, since a clean session ends with its connection.
async fn stay_subscribed(client: &AsyncClient, arguments: &Arguments) -> Result<()> {
    let (tell, mut connected) = mpsc::unbounded_channel();
    // It only tells, because a callback must not wait for the broker's answer.
    client.set_connected_callback(move |_| tell.send(()).unwrap_or_default());
    connect(client, arguments).await?;
    let mut failures = 0;
    while connected.recv().await.is_some() {
        let result = subscribe(client, arguments).await;
        failures = if result.is_err() { failures + 1 } else { 0 };
        // What fails with its connection is tried again on the next one. Some topics
        // make a broker hang up, so three failures in a row end the program.
        let is_lost = !client.is_connected() || !connected.is_empty();
        if !is_lost || failures == 3 {
            result?;
        }
    }
    Ok(())
}

/// Waits until the broker has acknowledged each subscription, by a SUBACK.
async fn subscribe(client: &AsyncClient, arguments: &Arguments) -> Result<()> {
    for topic in &arguments.topic {
        let answer = client.subscribe(topic, arguments.qos as i32);
        if !timeout(PATIENCE, answer).await.is_ok_and(|answer| answer.is_ok()) {
            sleep(Duration::from_millis(500)).await; // By then a loss is known.
            bail!("the broker accepts no subscription to '{topic}' (a bad topic?)");
        }
        println!("Subscribed to '{topic}'");
    }
    Ok(())
}

/// The library acknowledges the message when this returns. By then it is printed.
fn print(message: &Message) {
    let topic = printable(message.topic().as_bytes());
    println!("Topic: {topic} | Message: {}", printable(message.payload()));
}

// Set-up.

/// Prints what is published on topics (MQTT 3.1.1)
#[derive(Parser)]
struct Arguments {
    /// Where the broker is: mqtt://HOST:PORT
    #[arg(long, env = "MQTT_URL", default_value = "mqtt://127.0.0.1:1883")]
    broker: String,
    #[arg(long, env = "MQTT_USERNAME", requires = "password", help = "Login name")]
    username: Option<String>,
    #[arg(long, env = "MQTT_PASSWORD", hide_env_values = true, help = "Password")]
    password: Option<String>,
    /// May be repeated; + stands for one level, # for all levels that follow
    #[arg(long, default_value = "myhome/livingroom/temperature")]
    topic: Vec<String>,
    #[arg(long, default_value = "0", value_parser = 0..=2, help = "QoS: 0, 1 or 2")]
    qos: i64,
    #[arg(long, requires = "client_id", help = "Let the broker keep what you miss")]
    persistent: bool,
    #[arg(long, default_value = "", help = "No other client may have this name")]
    client_id: String,
}

const PATIENCE: Duration = Duration::from_secs(5);

/// Connects for the first time. After that the library reconnects by itself.
async fn connect(client: &AsyncClient, arguments: &Arguments) -> Result<()> {
    let Arguments { broker, username, password, .. } = arguments;
    ensure!(!broker.contains('@'), "a login belongs in --username and --password");
    let mut options = ConnectOptionsBuilder::with_mqtt_version(4); // 3.1.1
    options.automatic_reconnect(Duration::from_secs(1), Duration::from_secs(8));
    options.connect_timeout(PATIENCE).clean_session(!arguments.persistent);
    if let (Some(name), Some(password)) = (username, password) {
        options.user_name(name).password(password.as_bytes());
    }
    match client.connect(options.finalize()).await {
        Err(Error::ConnectReturn(why)) => bail!("{broker} refuses: {why}"),
        result => result.context(format!("no broker at {broker} (make brokers)"))?,
    };
    Ok(())
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
