//! The slide's MQTT publisher, translated directly: publisher.py. Compare it with
//! src/bin/mqtt-publisher.rs.
//!
//! Run: 1$ make brokers
//!      2$ cargo run -p mqtt-temperature
//!      3$ cargo run -p mqtt-temperature --example mqtt-publisher-draft

use std::{thread::sleep, time::Duration};

use paho_mqtt::{Client, Message, Result};

fn main() -> Result<()> {
    let broker =
        std::env::args().nth(1).unwrap_or("mqtt://127.0.0.1:1883".to_string());
    let client = Client::new(broker)?;
    client.connect(None)?;
    loop {
        let temperature = format!("{:.2}", 20.0 + 5.0 * fastrand::f64());
        println!("Publishing: {temperature}");
        client.publish(Message::new(
            "myhome/livingroom/temperature",
            temperature,
            0,
        ))?;
        sleep(Duration::from_secs(5));
    }
}

// It looks right, and it runs. What on a real network breaks it?
//
// Answer: when the broker restarts, it ends; when it is killed, nobody is told.
