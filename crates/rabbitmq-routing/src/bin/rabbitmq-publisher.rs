//! A publisher: gives an exchange a message, and learns whether a queue took it.
//!
//! Contract: connects to --broker by AMQP 0-9-1; declares --exchange of --kind; sends
//!           MESSAGE with --key; expects the broker's confirm, and before it the
//!           message back when no queue takes it; ends then.
//! Slide:    Pattern: Message Broker (RabbitMQ)
//! Run:      1$ make brokers
//!           2$ cargo run -p rabbitmq-routing
//!           3$ cargo run -p rabbitmq-routing --bin rabbitmq-publisher
//! See:      `Sent livingroom.temperature | 21.50`; without the subscriber an error,
//!           since no queue is bound for this key.

use std::time::Duration;

use amqprs::connection::{Connection, OpenConnectionArguments as Broker};
use amqprs::{Ack, BasicProperties as Meta, Cancel, CloseChannel, Nack, Return};
use amqprs::{callbacks::*, channel::*, error::Error, security::*};
use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc::{self, UnboundedReceiver as Receiver};
use tokio::{spawn, time::timeout};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut session = connect(&arguments).await?;
    let published = publish(&arguments, &mut session).await;
    let _ = timeout(TIMEOUT, session.0.close()).await; // Says goodbye.
    published
}

/// Publishes, and says so only when the broker has said that a queue took it.
async fn publish(arguments: &Arguments, session: &mut Session) -> Result<()> {
    let Arguments { exchange, key, message, .. } = arguments;
    let (_, channel, verdicts) = session;
    // Mandatory: what no queue takes comes back, instead of vanishing.
    let to = BasicPublishArguments::new(exchange, key).mandatory(true).finish();
    // Does not wait: the message is on its way.
    channel.basic_publish(Meta::default(), message.clone().into(), to).await?;
    // Waits. What comes back does so before its confirm, so the first word counts.
    let verdict = timeout(TIMEOUT, verdicts.recv()).await.ok().flatten();
    verdict.context(NO_CONFIRM)??;
    println!("Sent {key} | {message}");
    Ok(())
}

// Set-up.

/// Publishes to a RabbitMQ exchange (AMQP 0-9-1). Exit status: 0 when a queue took
/// the message, 1 when none did or anything else failed, 2 for a wrong argument.
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
    /// The routing key; for a topic, words with dots between them
    #[arg(long, default_value = "livingroom.temperature", value_parser = short)]
    key: String,
    /// What to publish
    #[arg(default_value = "21.50")]
    message: String,
}

/// Dropping the first two closes them, so they are kept.
type Session = (Connection, Channel, Receiver<Result<()>>);

const KINDS: [&str; 3] = ["fanout", "direct", "topic"];
const BROKER: &str = "amqp://127.0.0.1:5672";
const TIMEOUT: Duration = Duration::from_secs(5);
const REFUSED: &str = "the broker refuses it (is a queue full?)";
const HINT: &str = " (is a broker running, and the login right? make brokers)";
const NO_CONFIRM: &str = "no confirm: the message may have arrived, or not";
const NOBODY: &str = "no queue is bound for this key: nobody got the message";

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

/// Opens a channel on which the broker confirms what it takes. Makes the exchange, or
/// checks its kind; the subscriber does the same, so that either may start first.
async fn start(arguments: Arguments) -> Result<Session> {
    let connection = open(&arguments.broker).await?;
    let channel = connection.open_channel(None).await?;
    let (sender, mut verdicts) = mpsc::unbounded_channel();
    channel.register_callback(Verdicts(sender)).await?;
    let mut exchange =
        ExchangeDeclareArguments::new(&arguments.exchange, &arguments.kind);
    if channel.exchange_declare(exchange.durable(true).finish()).await.is_err() {
        verdicts.recv().await.context("the broker is lost")??; // The broker's reason.
    }
    channel.confirm_select(ConfirmSelectArguments::default()).await?;
    Ok((connection, channel, verdicts))
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
/// connection ends, and the sender with it: then no verdict comes any more.
struct Verdicts(mpsc::UnboundedSender<Result<()>>);

#[async_trait::async_trait]
#[rustfmt::skip] // A method with nothing to do takes one line.
impl ChannelCallback for Verdicts {
    async fn publish_ack(&mut self, _: &Channel, _: Ack) {
        let _ = self.0.send(Ok(()));
    }
    async fn publish_nack(&mut self, _: &Channel, _: Nack) {
        let _ = self.0.send(Err(anyhow!(REFUSED)));
    }
    async fn publish_return(&mut self, _: &Channel, _: Return, _: Meta, _: Vec<u8>) {
        let _ = self.0.send(Err(anyhow!(NOBODY)));
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
