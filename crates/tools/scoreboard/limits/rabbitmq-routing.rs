//! The limit for RabbitMQ's exchanges: the subscriber on lapin, the other well-known
//! library in Rust.
//! Usage: `limit-rabbitmq-routing`, and then the arguments of rabbitmq-subscriber. It
//! prints that example's lines.

use anyhow::{Result, bail};
use clap::Parser;
use futures_util::StreamExt;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, ExchangeKind, options::*};

/// As in rabbitmq-subscriber: messages that it has not acknowledged.
const PREFETCH: u16 = 100;

#[derive(Parser)]
struct Arguments {
    #[arg(long, env = "AMQP_URL", default_value = "amqp://127.0.0.1:5672")]
    broker: String,
    #[arg(long, default_value = "home")]
    exchange: String,
    #[arg(long, default_value = "topic")]
    kind: String,
    #[arg(long, default_value = "#", num_args = 1..)]
    bind: Vec<String>,
}

/// lapin reads and writes on a thread of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { broker, exchange, kind, bind } = Arguments::parse();
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(&broker, properties).await?;
    let channel = connection.create_channel().await?;
    let (exchange, table) = (exchange.as_str(), FieldTable::default);
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let kind = ExchangeKind::Custom(kind);
    channel.exchange_declare(exchange.into(), kind, durable, table()).await?;
    let exclusive = QueueDeclareOptions::exclusive();
    let queue = channel.queue_declare("".into(), exclusive, table()).await?;
    let name = || queue.name().clone();
    for key in &bind {
        let (key, options) = (key.as_str().into(), Default::default());
        channel.queue_bind(name(), exchange.into(), key, options, table()).await?;
    }
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let messages = channel.basic_consume(name(), "".into(), options, table());
    let mut messages = messages.await?;
    for key in &bind {
        println!("Bound {key} to {exchange}");
    }
    while let Some(message) = messages.next().await.transpose()? {
        let text = String::from_utf8_lossy(&message.data);
        println!("Received {} | {text}", message.routing_key);
        message.ack(BasicAckOptions::default()).await?;
    }
    bail!("the broker is lost")
}
