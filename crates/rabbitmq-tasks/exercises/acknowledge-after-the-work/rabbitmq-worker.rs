//! A worker: does one task after another from a queue that several workers share.
//!
//! Contract: connects to --broker by AMQP 0-9-1; declares --queue and its `.failed`;
//!           expects any bytes as a task; acknowledges each after its work or rejects
//!           it; connects again when the broker is lost; ends on Ctrl-C.
//! Slide:    Pattern: Message Broker (RabbitMQ)
//! Run:      1$ make brokers
//!           2$ cargo run -p rabbitmq-tasks
//!           3$ cargo run -p rabbitmq-tasks --bin rabbitmq-producer
//! See:      `Waiting for tasks in tasks`, `Received: Hello, world`, and a second
//!           later `Done: Hello, world`.

use std::{process, time::Duration};

use amqprs::connection::{Connection, OpenConnectionArguments as Broker};
use amqprs::{Ack, BasicProperties as Meta, Cancel, CloseChannel, Nack, Return};
use amqprs::{FieldTable, callbacks::*, channel::*, error::Error, security::*};
use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::{select, signal::ctrl_c, spawn, time::sleep, time::timeout};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    select! {
        biased; // Ctrl-C must be caught before the worker says that it is ready.
        result = ctrl_c() => result?,
        result = run(&arguments) => result?,
    }
    println!("Stopped");
    // The connection was dropped: a task of amqprs now says goodbye to the broker.
    sleep(Duration::from_millis(100)).await;
    Ok(())
}

/// Acknowledges a task after its work: if this worker dies, another one gets it.
async fn do_tasks(channel: &Channel, mut tasks: Tasks, work: Duration) -> Result<()> {
    while let Some(task) = tasks.recv().await {
        let (delivery, task) = task.deliver.zip(task.content).context("no task")?;
        let again = if delivery.redelivered() { " again" } else { "" };
        println!("Received{again}: {:.200}", printable(&task));
        if !work.is_zero() {
            sleep(work).await; // The work.
        }
        let tag = delivery.delivery_tag();
        if task == b"fail" {
            channel.basic_reject(BasicRejectArguments::new(tag, false)).await?;
            println!("Failed: {:.200}", printable(&task));
        } else {
            // Exercise: acknowledge this one task, and only then print `Done: TASK`.
            todo!("{tag}");
        }
    }
    Ok(())
}

/// Connects again when the broker is lost. Before that, a refusal is the end.
async fn run(arguments: &Arguments) -> Result<()> {
    let (mut again, mut pause) = (false, PAUSE);
    loop {
        match connect(arguments).await {
            Ok((_connection, channel, tasks)) => {
                println!("Waiting for tasks in {}", arguments.queue);
                let _ = do_tasks(&channel, tasks, arguments.work).await;
                eprintln!("Lost the broker: connecting again");
                (again, pause) = (true, PAUSE);
            }
            Err(error) if again => eprintln!("{error:#}"),
            Err(error) => return Err(error),
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(2 * pause);
    }
}

/// Has the broker deliver the queue's tasks, one at a time.
async fn start(Arguments { broker, queue, .. }: Arguments) -> Result<Session> {
    ensure!((1..=248).contains(&queue.len()), "--queue takes 1 to 248 bytes");
    let connection = open(&broker).await?;
    let channel = connection.open_channel(None).await?;
    channel.register_callback(Refusal).await?;
    declare(&channel, &queue).await?;
    // The prefetch: the next task comes when this one is acknowledged. Without it the
    // first worker would get all that wait.
    channel.basic_qos(BasicQosArguments::new(0, 1, false)).await?;
    let consume = BasicConsumeArguments::new(&queue, "");
    let (_, tasks) = channel.basic_consume_rx(consume).await?;
    Ok((connection, channel, tasks))
}

/// Makes the queue and the one for its failed tasks, or checks their arguments.
/// The producer does the same, so that either may start first.
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

/// Does the tasks of a RabbitMQ queue, one at a time (AMQP 0-9-1).
///
/// The work is a pause of --work. The task `fail` fails: it is rejected, and the
/// broker moves it to `<queue>.failed`. On Ctrl-C a task that is not done goes back
/// to the queue. A lost connection is replaced, after pauses of 0.5 to 8 seconds,
/// however long it takes. Exit status: 0 after Ctrl-C; 1 when there is no connection
/// at the start within 5 seconds, or when the broker refuses; 2 for a wrong argument.
#[derive(Clone, Parser)]
struct Arguments {
    /// amqp://HOST, or amqp://USER:PASSWORD@HOST:PORT/VHOST with %40 for an @
    #[arg(long, env = "AMQP_URL", hide_env_values = true, default_value = BROKER)]
    broker: String,
    /// The queue to take tasks from
    #[arg(long, value_name = "NAME", default_value = "tasks")]
    queue: String,
    /// How long a task takes, such as 0.5
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    work: Duration,
}

type Tasks = UnboundedReceiver<ConsumerMessage>;
/// Dropping the first two closes them, so they are kept.
type Session = (Connection, Channel, Tasks);

const BROKER: &str = "amqp://127.0.0.1:5672";
const TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before connecting again. It doubles with each failed try.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
const HINT: &str = " (is a broker running, and the login right? make brokers)";

fn seconds(text: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

/// Connects in a task of its own, since amqprs panics at some of what is not AMQP.
async fn connect(arguments: &Arguments) -> Result<Session> {
    let session = spawn(timeout(TIMEOUT, start(arguments.clone()))).await;
    let session = session.context("the broker's answer is not AMQP")?;
    session.context("no answer from the broker within 5 seconds")?
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

/// The broker closes the channel to refuse something, and gives its reason, which
/// amqprs passes to this callback and to nobody else. It ends the program.
struct Refusal;

#[async_trait::async_trait]
#[rustfmt::skip] // A method with nothing to do takes one line.
impl ChannelCallback for Refusal {
    async fn close(&mut self, _: &Channel, why: CloseChannel) -> Result<(), Error> {
        eprintln!("Error: {}", printable(why.reply_text().as_bytes()));
        process::exit(1)
    }
    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), Error> { Ok(()) }
    async fn flow(&mut self, _: &Channel, _: bool) -> Result<bool, Error> { Ok(true) }
    async fn publish_ack(&mut self, _: &Channel, _: Ack) {}
    async fn publish_nack(&mut self, _: &Channel, _: Nack) {}
    async fn publish_return(&mut self, _: &Channel, _: Return, _: Meta, _: Vec<u8>) {}
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
