//! An MQTT publisher: sends a room's temperature, and never knows who listens.
//!
//! Contract: connects to the broker at mqtt://HOST:PORT; publishes a temperature on
//!           TOPIC every 5 seconds, and `online` or `offline` on TOPIC/status;
//!           connects again when the connection is lost; ends after `--count`
//!           messages or on Ctrl-C. MQTT 3.1.1 is an OASIS standard.
//! Slide:    Python Publisher Example, publisher.py
//! Run:      1$ make brokers
//!           2$ cargo run -p mqtt-temperature
//!           3$ cargo run -p mqtt-temperature --bin mqtt-publisher
//! See:      `Publishing: <n>`; what it sends, in the second terminal.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use paho_mqtt::{AsyncClient, ConnectOptionsBuilder, Error, Message};
use tokio::{select, signal, time::Duration, time::sleep, time::timeout};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let new = paho_mqtt::CreateOptionsBuilder::new().server_uri(&arguments.broker);
    let new = new.client_id(format!("publisher{:08x}", fastrand::u32(..))).finalize();
    // Never dropped: that says goodbye, and the broker would publish no last will.
    let client = Box::leak(AsyncClient::new(new).map(Box::new).context("--broker")?);
    connect(client, &arguments).await?;
    select! {
        biased; // Ctrl-C is caught before the first temperature is printed.
        result = signal::ctrl_c() => result?,
        () = publish(client, &arguments) => {}
    }
    println!("Publishing stopped");
    client.remove_connected_callback(); // It would say `online` once more.
    // Long enough to replace a lost connection.
    let goodbye = deliver(client, status(&arguments, "offline"));
    timeout(5 * SECOND, goodbye).await.context("the last message may be lost")?;
    Ok(client.disconnect(None).await.map(drop)?)
}

/// Publishes the temperatures, one at a time.
async fn publish(client: &AsyncClient, what: &Arguments) {
    for number in 0..what.count.unwrap_or(u64::MAX) {
        if number > 0 && !what.interval.is_zero() {
            sleep(what.interval).await;
        }
        let reading = format!("{:.2}", 20.0 + 5.0 * fastrand::f64());
        println!("Publishing: {reading}");
        deliver(client, Message::new(&what.topic, reading, what.qos as i32)).await;
    }
}

/// Returns when the broker has acknowledged the message, or at QoS 0 when it is sent.
async fn deliver(client: &AsyncClient, message: Message) {
    // Fails while there is no connection, and when it is lost on the way.
    while client.publish(message.clone()).await.is_err() {
        sleep(SECOND / 2).await;
    }
}

// Set-up.

/// Publishes a temperature again and again (MQTT 3.1.1)
#[derive(Parser)]
struct Arguments {
    /// Where the broker is: mqtt://HOST:PORT
    #[arg(long, env = "MQTT_URL", default_value = "mqtt://127.0.0.1:1883")]
    broker: String,
    #[arg(long, env = "MQTT_USERNAME", requires = "password", help = "Login name")]
    username: Option<String>,
    #[arg(long, env = "MQTT_PASSWORD", hide_env_values = true, help = "Password")]
    password: Option<String>,
    /// What to publish on; TOPIC/status says `online` or `offline`
    #[arg(long, default_value = "myhome/livingroom/temperature")]
    topic: String,
    #[arg(long, default_value = "5", value_parser = seconds, help = "Seconds apart")]
    interval: Duration,
    #[arg(long, help = "How many to publish; without it, until Ctrl-C")]
    count: Option<u64>,
    #[arg(long, default_value = "0", value_parser = 0..=2, help = "QoS: 0, 1 or 2")]
    qos: i64,
}

const SECOND: Duration = Duration::from_secs(1);

/// At most a thousandth of the longest `Duration`: longer than any clock can count.
fn seconds(text: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse::<f64>()? * 1000.0)? / 1000)
}

fn status(arguments: &Arguments, text: &str) -> Message {
    Message::new_retained(format!("{}/status", arguments.topic), text, 1)
}

/// Connects for the first time. After that the library reconnects by itself.
async fn connect(client: &AsyncClient, arguments: &Arguments) -> Result<()> {
    let Arguments { broker, username, password, qos, .. } = arguments;
    ensure!(!broker.contains('@'), "a login belongs in --username and --password");
    let mut options = ConnectOptionsBuilder::with_mqtt_version(4); // 3.1.1
    options.connect_timeout(5 * SECOND).automatic_reconnect(SECOND, 8 * SECOND);
    // One message on its way. With more, a lost connection can abort the program:
    // Paho C 1.3.16 frees twice what it could not write (its issues 1621 and 1622).
    options.max_inflight(1).clean_session(*qos < 2); // QoS 2 needs a broker's memory.
    options.will_message(status(arguments, "offline"));
    if let (Some(name), Some(password)) = (username, password) {
        options.user_name(name).password(password.as_bytes());
    }
    match client.connect(options.finalize()).await {
        Err(Error::ConnectReturn(why)) => bail!("{broker} refuses: {why}"),
        Err(Error::TcpConnectCompletionFailure) => bail!("it hung up (a bad topic?)"),
        result => result.context(format!("no broker at {broker} (make brokers)"))?,
    };
    say_online(client, arguments).await
}

/// Publishes `online` now, and again after each later connect.
async fn say_online(mqtt: &AsyncClient, arguments: &Arguments) -> Result<()> {
    println!("Connected to {}", arguments.broker);
    mqtt.set_connection_lost_callback(|_| eprintln!("Lost connection, reconnecting"));
    // Some topics make a broker hang up. This leaves time for three connections.
    let online = deliver(mqtt, status(arguments, "online"));
    timeout(8 * SECOND, online).await.context("it does not answer (a bad topic?)")?;
    let (broker, online) = (arguments.broker.clone(), status(arguments, "online"));
    mqtt.set_connected_callback(move |client| {
        println!("Connected to {broker}");
        client.publish(online.clone());
    });
    Ok(())
}
