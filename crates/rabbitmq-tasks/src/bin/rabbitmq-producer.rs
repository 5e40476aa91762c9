//! A producer: sends tasks to a queue, and says so only when the broker has them.
//!
//! Contract: connects to --broker by AMQP 0-9-1; declares --queue and its `.failed`;
//!           sends each MESSAGE, --count times; expects a publisher confirm for each;
//!           ends when all are confirmed, or when the broker refuses or is lost.
//! Slide:    Pattern: Message Broker (RabbitMQ)
//! Run:      1$ make brokers
//!           2$ cargo run -p rabbitmq-tasks
//!           3$ cargo run -p rabbitmq-tasks --bin rabbitmq-producer -- --count 5 task
//! See:      `Sent: task 1` to `Sent: task 5` at once, with or without a worker.

use std::time::Duration;

use amqprs::connection::{Connection, OpenConnectionArguments as Broker};
use amqprs::{Ack, BasicProperties as Meta, Cancel, CloseChannel, Nack, Return};
use amqprs::{FieldTable, callbacks::*, channel::*, error::Error, security::*};
use anyhow::{Context, Result, anyhow, ensure};
use clap::{Parser, value_parser};
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc::{self, UnboundedReceiver as Receiver};
use tokio::{spawn, time::timeout};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut session = connect(&arguments).await?;
    let mut tasks = (1..).zip(tasks(&arguments)).peekable();
    let mut confirmed = 0;
    while tasks.peek().is_some() {
        let mut batch: Batch = tasks.by_ref().take(BATCH).collect();
        confirmed += batch.len();
        let sent = send(&mut batch, &arguments.queue, &mut session).await;
        confirmed -= batch.len(); // Those that are left in it are not confirmed.
        sent.with_context(|| format!("{confirmed} tasks are confirmed"))?;
    }
    let _ = timeout(TIMEOUT, session.0.close()).await; // Says goodbye.
    Ok(())
}

/// Sends a batch, and takes out of it what the broker has confirmed. To wait for each
/// confirm would cost a round trip and a write to the broker's disk for each task.
async fn send(batch: &mut Batch, queue: &str, session: &mut Session) -> Result<()> {
    let (_, channel, confirms) = session;
    for (_, task) in batch.iter() {
        let persistent = Meta::default().with_persistence(true).finish();
        // Mandatory: if there is no such queue, the task comes back.
        let to = BasicPublishArguments::new("", queue).mandatory(true).finish();
        // Does not wait: only the confirm says that the task has arrived.
        let _ = channel.basic_publish(persistent, task.clone().into(), to).await;
    }
    while !batch.is_empty() {
        let (number, all) = next_confirm(confirms).await?;
        let sent = batch.extract_if(.., |it| it.0 == number || all && it.0 < number);
        for (_, task) in sent {
            println!("Sent: {:.200}", printable(task.as_bytes()));
        }
    }
    Ok(())
}

/// Waits for the broker's word on a task. None comes when the connection has ended.
async fn next_confirm(confirms: &mut Receiver<Confirm>) -> Confirm {
    loop {
        match timeout(TIMEOUT, confirms.recv()).await {
            Ok(confirm) => return confirm.context("the broker is lost")?,
            Err(_) => eprintln!("{WAITING}"),
        }
    }
}

/// Makes the queue and the one for its failed tasks, or checks their arguments.
/// The worker does the same, so that either may start first.
async fn declare(channel: &Channel, queue: &str) -> Result<()> {
    for name in [format!("{queue}.failed"), queue.to_string()] {
        // What is rejected goes to the nameless exchange: it routes by queue names.
        let mut table = FieldTable::new();
        table.insert("x-dead-letter-exchange".try_into()?, "".into());
        let failed = format!("{name}.failed");
        table.insert("x-dead-letter-routing-key".try_into()?, failed.into());
        // A durable queue survives a restart of the broker.
        let mut durable = QueueDeclareArguments::durable_client_named(&name);
        channel.queue_declare(durable.arguments(table).finish()).await?;
    }
    Ok(())
}

// Set-up.

/// Sends tasks to a RabbitMQ queue (AMQP 0-9-1). Prints a task as sent when the
/// broker has confirmed it: then it is on the broker's disk. Waits for confirms
/// however long they take: a broker short of memory or disk stops its producers. Exit
/// status: 0 when all are confirmed; 1 when there is no connection within 5 seconds,
/// when the broker refuses a task, or when it is lost; 2 for a wrong argument.
#[derive(Clone, Parser)]
struct Arguments {
    /// amqp://HOST, or amqp://USER:PASSWORD@HOST:PORT/VHOST with %40 for an @
    #[arg(long, env = "AMQP_URL", hide_env_values = true, default_value = BROKER)]
    broker: String,
    /// The queue to send the tasks to
    #[arg(long, value_name = "NAME", default_value = "tasks")]
    queue: String,
    /// How many times to send each; if more than once, a number follows its text
    #[arg(long, default_value = "1", value_parser = value_parser!(u32).range(1..))]
    count: u32,
    /// The tasks; a task that is just `fail` fails
    #[arg(value_name = "MESSAGE", default_value = "Hello, world")]
    messages: Vec<String>,
}

/// The number of a task that the broker has, and whether it has all before it as
/// well; or why it will not have one.
type Confirm = Result<(u64, bool)>;
type Batch = Vec<(u64, String)>;
/// Dropping the first two closes them, so they are kept.
type Session = (Connection, Channel, Receiver<Confirm>);

const BROKER: &str = "amqp://127.0.0.1:5672";
const TIMEOUT: Duration = Duration::from_secs(5);
const BATCH: usize = 500;
const WAITING: &str = "still waiting (a memory or disk alarm at the broker?)";
const REFUSED: &str = "the broker refuses it (is the queue full?)";
const HINT: &str = " (is a broker running, and the login right? make brokers)";

/// Made one at a time, so that no count is too large for the memory.
fn tasks(all: &Arguments) -> impl Iterator<Item = String> {
    (1..=all.count).flat_map(|number| {
        let number = if all.count > 1 { format!(" {number}") } else { String::new() };
        all.messages.iter().map(move |message| format!("{message}{number}"))
    })
}

/// Connects in a task of its own, since amqprs panics at some of what is not AMQP.
async fn connect(arguments: &Arguments) -> Result<Session> {
    let session = spawn(timeout(TIMEOUT, start(arguments.clone()))).await;
    let session = session.context("the broker's answer is not AMQP")?;
    session.context("no answer from the broker within 5 seconds")?
}

/// Opens a channel on which the broker confirms each task.
async fn start(Arguments { broker, queue, .. }: Arguments) -> Result<Session> {
    ensure!((1..=248).contains(&queue.len()), "--queue takes 1 to 248 bytes");
    let connection = open(&broker).await?;
    let channel = connection.open_channel(None).await?;
    let (sender, mut confirms) = mpsc::unbounded_channel();
    channel.register_callback(Confirms(sender)).await?;
    if declare(&channel, &queue).await.is_err() {
        next_confirm(&mut confirms).await?; // The broker's reason.
    }
    channel.confirm_select(ConfirmSelectArguments::new(false)).await?;
    Ok((connection, channel, confirms))
}

/// Opens a connection. amqprs takes the URL apart, but leaves `%40` as it is.
async fn open(url: &str) -> Result<Connection> {
    ensure!(url.len() < 256 && !url.contains('?'), "--broker: too long, or a query");
    let mut broker = Broker::try_from(url).context("--broker")?;
    let decode = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let place = url.split('/').nth(2).unwrap_or_default();
    let login = place.split_once('@').map_or("guest:guest", |(login, _)| login);
    let (user, password) = login.split_once(':').unwrap_or((login, "guest"));
    let login = SecurityCredentials::new_plain(&decode(user), &decode(password));
    broker.virtual_host(&decode(broker.get_virtual_host()));
    // In seconds. When two of them do not come, the broker is lost.
    broker.credentials(login).heartbeat(10);
    let opened = Connection::open(&broker).await;
    opened.map_err(|error| cannot_connect(&broker, &error.to_string()))
}

/// The broker's own words are the quoted part of what amqprs says.
fn cannot_connect(broker: &Broker, text: &str) -> anyhow::Error {
    let (host, port) = (broker.get_host(), broker.get_port());
    let why = text.split('"').nth(1).unwrap_or(text);
    let is_usual = why.contains("refused") || why.contains("peer");
    let hint = if is_usual { HINT } else { "" };
    anyhow!("cannot connect to {host}:{port}{hint}: {why}")
}

/// What amqprs calls when the broker says something unasked. It is dropped when the
/// connection ends, and the sender with it: then no confirm comes any more.
struct Confirms(mpsc::UnboundedSender<Confirm>);

#[async_trait::async_trait]
#[rustfmt::skip] // A method with nothing to do takes one line.
impl ChannelCallback for Confirms {
    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        let _ = self.0.send(Ok((ack.delivery_tag(), ack.mutiple())));
    }
    async fn publish_nack(&mut self, _: &Channel, _: Nack) {
        let _ = self.0.send(Err(anyhow!(REFUSED)));
    }
    async fn publish_return(&mut self, _: &Channel, it: Return, _: Meta, _: Vec<u8>) {
        let _ = self.0.send(Err(anyhow!(printable(it.reply_text().as_bytes()))));
    }
    async fn close(&mut self, _: &Channel, why: CloseChannel) -> Result<(), Error> {
        let _ = self.0.send(Err(anyhow!(printable(why.reply_text().as_bytes()))));
        Ok(())
    }
    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), Error> { Ok(()) }
    async fn flow(&mut self, _: &Channel, _: bool) -> Result<bool, Error> { Ok(true) }
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
