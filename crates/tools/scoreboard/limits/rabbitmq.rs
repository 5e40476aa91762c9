//! The limit for RabbitMQ: worker, producer and subscriber on lapin, the other well-known
//! library in Rust.
//! Usage: `limit-rabbitmq worker|producer|subscriber`, and then the arguments of the
//! example of that name. It prints that example's lines.

use std::collections::VecDeque;
use std::{error::Error, thread, time::Duration};

use clap::{Parser, ValueEnum};
use futures_util::StreamExt;
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use lapin::{Confirmation, ExchangeKind, options::*};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// As in the examples: tasks that wait for their confirms, and messages that a subscriber
/// has not acknowledged.
const BATCH: usize = 500;
const PREFETCH: u16 = 100;
const PERSISTENT: u8 = 2;

#[derive(Clone, Copy, ValueEnum)]
enum Role {
    Worker,
    Producer,
    Subscriber,
}

#[derive(Parser)]
struct Arguments {
    role: Role,
    #[arg(long, env = "AMQP_URL", default_value = "amqp://127.0.0.1:5672")]
    broker: String,
    #[arg(long, default_value = "tasks")]
    queue: String,
    #[arg(long, default_value = "1")]
    work: f64,
    #[arg(long, default_value = "1")]
    count: u32,
    #[arg(default_value = "Hello, world")]
    message: String,
    #[arg(long, default_value = "home")]
    exchange: String,
    #[arg(long, default_value = "topic")]
    kind: String,
    #[arg(long, default_value = "#")]
    bind: String,
}

/// lapin reads and writes on a thread of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(&arguments.broker, properties).await?;
    let channel = connection.create_channel().await?;
    match arguments.role {
        Role::Worker => work(&channel, &arguments).await?,
        Role::Producer => produce(&channel, &arguments).await?,
        Role::Subscriber => subscribe(&channel, &arguments).await?,
    }
    Ok(connection.close(200, "done".into()).await?)
}

/// The two queues of the examples.
async fn declare(channel: &Channel, queue: &str) -> Result<()> {
    for name in [format!("{queue}.failed"), queue.to_string()] {
        let text = |text: &str| AMQPValue::LongString(LongString::from(text));
        let mut table = FieldTable::default();
        table.insert("x-dead-letter-exchange".into(), text(""));
        let failed = format!("{name}.failed");
        table.insert("x-dead-letter-routing-key".into(), text(&failed));
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(name.into(), durable, table).await?;
    }
    Ok(())
}

async fn work(
    channel: &Channel,
    Arguments { queue, work, .. }: &Arguments,
) -> Result<()> {
    declare(channel, queue).await?;
    channel.basic_qos(1, BasicQosOptions::default()).await?;
    let consume = BasicConsumeOptions::default();
    let tasks = channel.basic_consume(
        queue.as_str().into(),
        "".into(),
        consume,
        FieldTable::default(),
    );
    let mut tasks = tasks.await?;
    println!("Waiting for tasks in {queue}");
    while let Some(task) = tasks.next().await {
        let task = task?;
        let text = String::from_utf8_lossy(&task.data);
        println!("Received: {text:.200}");
        thread::sleep(Duration::try_from_secs_f64(*work)?);
        task.ack(BasicAckOptions::default()).await?;
        println!("Done: {text:.200}");
    }
    Ok(())
}

async fn produce(channel: &Channel, arguments: &Arguments) -> Result<()> {
    let Arguments { queue, count, message, .. } = arguments;
    declare(channel, queue).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let persistent = BasicProperties::default().with_delivery_mode(PERSISTENT);
    let mut unconfirmed = VecDeque::with_capacity(BATCH);
    for number in 1..=*count {
        let task =
            if *count > 1 { format!("{message} {number}") } else { message.clone() };
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let to = (String::new().into(), queue.as_str().into());
        let confirm = channel.basic_publish(
            to.0,
            to.1,
            options,
            task.as_bytes(),
            persistent.clone(),
        );
        unconfirmed.push_back((confirm.await?, task));
        while unconfirmed.len() == BATCH
            || number == *count && !unconfirmed.is_empty()
        {
            let (confirm, task) = unconfirmed.pop_front().ok_or("no task")?;
            match confirm.await? {
                Confirmation::Ack(None) => println!("Sent: {task:.200}"),
                refusal => return Err(format!("refused: {refusal:?}").into()),
            }
        }
    }
    Ok(())
}

async fn subscribe(channel: &Channel, arguments: &Arguments) -> Result<()> {
    let Arguments { exchange, kind, bind, .. } = arguments;
    let (kind, none) = (ExchangeKind::Custom(kind.into()), FieldTable::default());
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel
        .exchange_declare(exchange.as_str().into(), kind, durable, none.clone())
        .await?;
    let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
    let queue = channel.queue_declare("".into(), exclusive, none.clone()).await?;
    let (name, key) = (queue.name().clone(), bind.as_str().into());
    let options = QueueBindOptions::default();
    channel
        .queue_bind(
            name.clone(),
            exchange.as_str().into(),
            key,
            options,
            none.clone(),
        )
        .await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let consume = BasicConsumeOptions::default();
    let mut messages = channel.basic_consume(name, "".into(), consume, none).await?;
    println!("Bound {bind} to {exchange}");
    while let Some(message) = messages.next().await {
        let message = message?;
        println!(
            "Received {} | {}",
            message.routing_key,
            String::from_utf8_lossy(&message.data)
        );
        message.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}
