//! The limit for RabbitMQ's task queue: worker and producer on lapin, the other well-known
//! library in Rust.
//! Usage: `limit-rabbitmq-tasks worker|producer`, and then the arguments of the example of
//! that name. It prints that example's lines.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Result, bail};
use clap::Parser;
use futures_util::StreamExt;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, PublisherConfirm};
use lapin::{ConnectionProperties, options::*};
use tokio::{select, signal::ctrl_c, time::sleep};

/// As in rabbitmq-producer: tasks that wait for their confirms.
const BATCH: usize = 500;
const PERSISTENT: u8 = 2;

#[derive(Parser)]
struct Arguments {
    #[arg(value_parser = ["worker", "producer"])]
    role: String,
    #[arg(long, env = "AMQP_URL", default_value = "amqp://127.0.0.1:5672")]
    broker: String,
    #[arg(long, default_value = "tasks")]
    queue: String,
    #[arg(long, default_value = "1")]
    work: f64,
    #[arg(long, default_value = "1")]
    count: u32,
    #[arg(default_value = "Hello, world")]
    messages: Vec<String>,
}

/// lapin reads and writes on a thread of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(&arguments.broker, properties).await?;
    let channel = connection.create_channel().await?;
    declare(&channel, &arguments.queue).await?;
    if arguments.role == "producer" {
        produce(&channel, &arguments).await?;
    } else {
        select! {
            biased; // Ctrl-C is caught before the worker says that it is ready.
            result = ctrl_c() => result?,
            result = work(&channel, &arguments) => result?,
        }
        println!("Stopped");
    }
    Ok(connection.close(200, "done".into()).await?)
}

/// Declares the queue, and the one for its failed tasks.
async fn declare(channel: &Channel, queue: &str) -> Result<()> {
    for name in [format!("{queue}.failed"), queue.to_string()] {
        let failed = format!("{name}.failed");
        let text = |text: &str| AMQPValue::LongString(text.into());
        let mut table = FieldTable::default();
        table.insert("x-dead-letter-exchange".into(), text(""));
        table.insert("x-dead-letter-routing-key".into(), text(&failed));
        let durable = QueueDeclareOptions::durable();
        channel.queue_declare(name.into(), durable, table).await?;
    }
    Ok(())
}

async fn work(channel: &Channel, arguments: &Arguments) -> Result<()> {
    let queue = arguments.queue.as_str();
    let work = Duration::try_from_secs_f64(arguments.work)?;
    channel.basic_qos(1, BasicQosOptions::default()).await?;
    let (options, table) = Default::default();
    let tasks = channel.basic_consume(queue.into(), "".into(), options, table);
    let mut tasks = tasks.await?;
    println!("Waiting for tasks in {queue}");
    while let Some(task) = tasks.next().await.transpose()? {
        let again = if task.redelivered { " again" } else { "" };
        let text = String::from_utf8_lossy(&task.data);
        println!("Received{again}: {text:.200}");
        if !work.is_zero() {
            sleep(work).await;
        }
        if text == "fail" {
            task.reject(BasicRejectOptions { requeue: false }).await?;
            println!("Failed: {text:.200}");
        } else {
            task.ack(BasicAckOptions::default()).await?;
            println!("Done: {text:.200}");
        }
    }
    bail!("the broker is lost")
}

async fn produce(channel: &Channel, arguments: &Arguments) -> Result<()> {
    let Arguments { queue, count, messages, .. } = arguments;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
    let persistent = BasicProperties::default().with_delivery_mode(PERSISTENT);
    let mut unconfirmed = VecDeque::with_capacity(BATCH);
    for number in 1..=*count {
        let end = if *count > 1 { format!(" {number}") } else { String::new() };
        for task in messages.iter().map(|message| format!("{message}{end}")) {
            let (to, meta) = (queue.as_str().into(), persistent.clone());
            let bytes = task.as_bytes();
            let sent = channel.basic_publish("".into(), to, mandatory, bytes, meta);
            unconfirmed.push_back((sent.await?, task));
            if unconfirmed.len() == BATCH {
                wait_for_confirm(unconfirmed.pop_front()).await?;
            }
        }
    }
    while !unconfirmed.is_empty() {
        wait_for_confirm(unconfirmed.pop_front()).await?;
    }
    Ok(())
}

async fn wait_for_confirm(first: Option<(PublisherConfirm, String)>) -> Result<()> {
    let Some((confirm, task)) = first else { return Ok(()) };
    match confirm.await? {
        Confirmation::Ack(None) => println!("Sent: {task:.200}"),
        Confirmation::Ack(Some(returned)) => bail!("{}", returned.reply_text),
        _ => bail!("the broker refuses it (is the queue full?)"),
    }
    Ok(())
}
