//! The slide's MQTT subscriber, translated directly: subscriber.py. Compare it with
//! src/bin/mqtt-subscriber.rs.
//!
//! Run: 1$ make brokers
//!      2$ cargo run -p mqtt-temperature --example mqtt-subscriber-draft
//!      3$ cargo run -p mqtt-temperature --bin mqtt-publisher

use paho_mqtt::{Client, Result};

fn main() -> Result<()> {
    let broker =
        std::env::args().nth(1).unwrap_or("mqtt://127.0.0.1:1883".to_string());
    let client = Client::new(broker)?;
    let messages = client.start_consuming();
    client.connect(None)?;
    client.subscribe("myhome/livingroom/temperature", 0)?;
    println!("Subscribed to 'myhome/livingroom/temperature'");
    for message in messages {
        let message = message.unwrap();
        println!("Topic: {} | Message: {}", message.topic(), message.payload_str());
    }
    Ok(())
}

// It looks right, and it runs. What on a real network breaks it?
//
// Answer: when the broker restarts, connection and subscription are gone.
