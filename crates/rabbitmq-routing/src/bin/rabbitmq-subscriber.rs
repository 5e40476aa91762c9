//! A subscriber: has a queue of its own, and prints what an exchange routes into it.
//!
//! Contract: connects to --broker by AMQP 0-9-1; declares --exchange of --kind and an
//!           exclusive queue, bound by each --bind; expects messages and acknowledges
//!           each; connects again when the broker is lost; ends on Ctrl-C.
//! Slide:    Pattern: Message Broker (RabbitMQ)
//! Run:      1$ make brokers
//!           2$ cargo run -p rabbitmq-routing
//!           3$ cargo run -p rabbitmq-routing --bin rabbitmq-publisher
//! See:      `Bound # to home`, then `Received livingroom.temperature | 21.50`.

use std::{process, time::Duration};

use amqprs::connection::{Connection, OpenConnectionArguments as Broker};
use amqprs::{Ack, BasicProperties as Meta, Cancel, CloseChannel, Nack, Return};
use amqprs::{callbacks::*, channel::*, error::Error, security::*};
use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::{select, signal::ctrl_c, spawn, time::sleep, time::timeout};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    select! {
        biased; // Ctrl-C must be caught before the subscriber says that it is ready.
        result = ctrl_c() => result?,
        result = subscribe(&arguments) => result?,
    }
    // The connection was dropped: a task of amqprs now says goodbye to the broker.
    sleep(Duration::from_millis(100)).await;
    Ok(())
}

/// Binds a queue to the exchange, and has the broker deliver what comes there. The
/// publisher declares the exchange too, so that either program may start first.
async fn start(arguments: Arguments) -> Result<Session> {
    let Arguments { broker, exchange, kind, bind } = arguments;
    let connection = open(&broker).await?;
    let channel = connection.open_channel(None).await?;
    channel.register_callback(Refusal).await?;
    let mut durable = ExchangeDeclareArguments::new(&exchange, &kind);
    channel.exchange_declare(durable.durable(true).finish()).await?;
    // Exclusive: it ends with this connection.
    let queue = QueueDeclareArguments::exclusive_server_named();
    let (queue, ..) = channel.queue_declare(queue).await?.context("no queue")?;
    for key in bind {
        channel.queue_bind(QueueBindArguments::new(&queue, &exchange, &key)).await?;
    }
    channel.basic_qos(BasicQosArguments::new(0, PREFETCH, false)).await?;
    let consume = BasicConsumeArguments::new(&queue, "");
    let (_, messages) = channel.basic_consume_rx(consume).await?;
    Ok((connection, channel, messages))
}

/// Prints what the broker delivers. Each acknowledgement lets it push one more
/// message.
async fn print_messages(channel: &Channel, mut queue: Queue) {
    // Waits for the next message. None comes when the connection has ended.
    while let Some(message) = queue.recv().await {
        let Some((about, body)) = message.deliver.zip(message.content) else {
            return;
        };
        let key = printable(about.routing_key().as_bytes());
        println!("Received {key} | {}", printable(&body));
        let done = BasicAckArguments::new(about.delivery_tag(), false);
        let _ = channel.basic_ack(done).await;
    }
}

/// Connects again when the broker is lost. Before that, a refusal is the end.
async fn subscribe(arguments: &Arguments) -> Result<()> {
    let (mut again, mut pause) = (false, PAUSE);
    loop {
        match connect(arguments).await {
            Ok((_connection, channel, queue)) => {
                for key in &arguments.bind {
                    println!("Bound {key} to {}", arguments.exchange);
                }
                print_messages(&channel, queue).await;
                eprintln!("{LOST}");
                (again, pause) = (true, PAUSE);
            }
            Err(error) if again => eprintln!("{error:#}"),
            Err(error) => return Err(error),
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(2 * pause);
    }
}

// Set-up.

/// Prints what a RabbitMQ exchange routes to it (AMQP 0-9-1). A lost connection
/// is replaced, after pauses of 0.5 to 8 seconds, for as long as it takes. Status: 0
/// after Ctrl-C; 1 when there is no connection at the start within 5 seconds, or when
/// the broker refuses; 2 for a wrong argument.
#[derive(Clone, Parser)]
struct Arguments {
    /// amqp://HOST, or amqp://USER:PASSWORD@HOST:PORT/VHOST with %40 for an @
    #[arg(long, env = "AMQP_URL", hide_env_values = true, default_value = BROKER)]
    broker: String,
    /// The exchange, the same for publishers and subscribers
    #[arg(long, value_name = "NAME", default_value = "home", value_parser = short)]
    exchange: String,
    /// How it routes: to all, by the whole key, or by the words of the key
    #[arg(long, default_value = "topic", value_parser = KINDS)]
    kind: String,
    /// Binding keys; for a topic * is exactly one word, # any number of words
    #[arg(long, value_name = "PATTERN", value_parser = short, num_args = 1..)]
    #[arg(default_value = "#", required_if_eq("kind", "direct"))]
    bind: Vec<String>,
}

type Queue = UnboundedReceiver<ConsumerMessage>;
/// Dropping the first two closes them, so they are kept.
type Session = (Connection, Channel, Queue);

/// Messages that the broker pushes ahead of their acknowledgements. Without a limit
/// it would push all at once, and a slow subscriber would have to keep them.
const PREFETCH: u16 = 100;
const KINDS: [&str; 3] = ["fanout", "direct", "topic"];
const BROKER: &str = "amqp://127.0.0.1:5672";
const TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before connecting again. It doubles with each failed try.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
const LOST: &str =
    "Lost the broker: connecting again; what is published meanwhile is lost";
const HINT: &str = " (is a broker running, and the login right? make brokers)";

/// Names and keys: AMQP writes their length into one byte.
fn short(text: &str) -> Result<String> {
    ensure!(text.len() < 256, "it takes 255 bytes at most");
    Ok(text.to_string())
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
