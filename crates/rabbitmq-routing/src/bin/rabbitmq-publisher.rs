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

use std::{panic, time::Duration};

use amqprs::connection::{Connection, OpenConnectionArguments as Broker};
use amqprs::{Ack, BasicProperties as Props, Cancel, CloseChannel, Nack, Return};
use amqprs::{callbacks::ChannelCallback, channel::*};
use anyhow::{Context, Error, Result, anyhow, ensure};
use async_trait::async_trait;
use clap::{Parser, error::ErrorKind};
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::{spawn, time::sleep, time::timeout};

const HINT: &str = "is a broker running, and the password right? make brokers";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before connecting again. It doubles with each try in vain.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Publishes a message to an exchange of RabbitMQ, with a routing key (AMQP 0-9-1).
///
/// Makes the exchange if it is missing. Exit status 0 when the broker confirmed that
/// a queue took the message; 1 when none did, or anything else failed; 2 for a wrong
/// argument.
#[derive(Clone, Parser)]
struct Arguments {
    /// The broker, amqp://[user:password@]HOST[:PORT][/vhost]
    #[arg(long, value_name = "URL", env = "AMQP_URL", hide_env_values = true)]
    #[arg(default_value = "amqp://127.0.0.1:5672")]
    broker: String,
    /// The exchange, the same for publishers and subscribers
    #[arg(long, value_name = "NAME", default_value = "home", value_parser = exchange)]
    exchange: String,
    /// How it routes: to all, by the whole key, or by the words of the key
    #[arg(long, value_parser = ["fanout", "direct", "topic"])]
    #[arg(default_value = "topic")]
    kind: String,
    /// The routing key; a topic's is words with dots between them
    #[arg(long, default_value = "livingroom.temperature", value_parser = routing_key)]
    key: String,
    /// What to publish
    #[arg(default_value = "21.50")]
    message: String,
}

type Amqp<T> = Result<T, amqprs::error::Error>;
type Session = (Connection, Channel, UnboundedReceiver<Result<()>>);

/// Checks an exchange's name: the empty one and those in `amq.` are the broker's own.
fn exchange(name: &str) -> Result<String> {
    ensure!(!name.is_empty() && !name.starts_with("amq."), "it is the broker's own");
    routing_key(name)
}

/// Checks the length, which AMQP writes into one byte.
fn routing_key(key: &str) -> Result<String> {
    ensure!(key.len() < 256, "it takes 255 bytes at most");
    Ok(key.to_string())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // In its tasks amqprs panics at some of what is no AMQP. What fails then is told.
    panic::set_hook(Box::new(|_| ()));
    let arguments = Arguments::parse();
    let Some(broker) = broker(&arguments.broker) else {
        let takes = "--broker takes amqp://[user:password@]HOST[:PORT][/vhost]\n";
        clap::Error::raw(ErrorKind::ValueValidation, takes).exit()
    };
    let (connection, channel, verdicts) = connect(&broker, &arguments, 3).await?;
    let published = publish(&arguments, &channel, verdicts).await;
    // Says goodbye; else the broker would take this for a client that broke down.
    let _ = timeout(REPLY_TIMEOUT, connection.close()).await;
    published
}

/// Takes a URL apart. Clap does not, since it would print a wrong one, password and
/// all.
fn broker(url: &str) -> Option<Broker> {
    // %40 stands for an @ in a password, %2f for a slash.
    let decode = |part| percent_decode_str(part).decode_utf8().ok();
    let url = url.trim_end_matches('/').strip_prefix("amqp://")?;
    let (place, vhost) = url.split_once('/').unwrap_or((url, "%2f"));
    let (login, place) = place.rsplit_once('@').unwrap_or(("guest:guest", place));
    let (user, password) = login.split_once(':')?;
    let (host, port) = place.rsplit_once(':').unwrap_or((place, "5672"));
    let (vhost, port) = (decode(vhost)?, port.parse().ok()?);
    let mut broker = Broker::new(host, port, &decode(user)?, &decode(password)?);
    // Signs of life every 10 seconds: after two without one the broker is lost.
    broker.virtual_host(&vhost).heartbeat(10);
    (!host.is_empty() && vhost.len() < 256).then_some(broker)
}

/// Tries so many times, with longer and longer pauses.
async fn connect(broker: &Broker, args: &Arguments, tries: u32) -> Result<Session> {
    let (host, port) = (broker.get_host(), broker.get_port());
    let (mut pause, mut tries) = (PAUSE, tries);
    loop {
        tries -= 1;
        let session = timeout(CONNECT_TIMEOUT, start(broker.clone(), args.clone()));
        // A panic ends this task alone, and counts as no answer.
        let session = spawn(session).await.ok().and_then(Result::ok);
        let none = || format!("no AMQP from {host}:{port} within 5 s ({HINT})");
        match session.with_context(none).flatten() {
            Err(e) if tries > 0 => eprintln!("{e:#}: again in {pause:?}"),
            session => return session,
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(2 * pause);
    }
}

/// Opens a channel on which the broker confirms what it took.
async fn start(broker: Broker, arguments: Arguments) -> Result<Session> {
    let opened = Connection::open(&broker).await.map_err(|e| e.to_string());
    // What the broker gives as its reason is the quoted part of a long text.
    let reason = |e: String| printable(e.split('"').nth(1).unwrap_or(&e).as_bytes());
    let opened = opened.map_err(|e| Error::msg(reason(e)));
    let at = format!("{}:{}", broker.get_host(), broker.get_port());
    let connection =
        opened.with_context(|| format!("cannot connect to {at} ({HINT})"))?;
    let channel = connection.open_channel(None).await?;
    let (sender, verdicts) = unbounded_channel();
    channel.register_callback(Verdicts(sender)).await?;
    declare(&channel, &arguments.exchange, &arguments.kind).await?;
    channel.confirm_select(ConfirmSelectArguments::default()).await?;
    Ok((connection, channel, verdicts))
}

/// Makes the exchange, or checks that it is as here. Both sides do the same, so that
/// either may be first.
async fn declare(channel: &Channel, exchange: &str, kind: &str) -> Result<()> {
    let durable =
        ExchangeDeclareArguments::new(exchange, kind).durable(true).finish();
    let declared = channel.exchange_declare(durable).await;
    let other = "is there already with another kind, or refused to this user";
    ensure!(declared.is_ok(), "exchange {exchange} {other}");
    Ok(())
}

/// Publishes, and says so only when the broker has said that a queue took it.
async fn publish(
    Arguments { exchange, key, message, .. }: &Arguments,
    channel: &Channel,
    mut verdicts: UnboundedReceiver<Result<()>>,
) -> Result<()> {
    // Mandatory: what no queue takes comes back, instead of vanishing.
    let to = BasicPublishArguments::new(exchange, key).mandatory(true).finish();
    // Waits only until the message is on its way.
    channel.basic_publish(Props::default(), message.clone().into(), to).await?;
    // Waits. What comes back does so before its confirm, so the first word counts.
    let verdict = timeout(REPLY_TIMEOUT, verdicts.recv()).await.ok().flatten();
    verdict.context("no confirm: the message may have arrived, or not")??;
    let (key, message) = (printable(key.as_bytes()), printable(message.as_bytes()));
    println!("Sent {key} | {message}");
    Ok(())
}

/// What amqprs calls when the broker says something unasked. When the connection
/// ends, this is dropped, and with it the sender: no verdict comes any more.
struct Verdicts(UnboundedSender<Result<()>>);

#[async_trait]
impl ChannelCallback for Verdicts {
    async fn publish_return(&mut self, _: &Channel, _: Return, _: Props, _: Vec<u8>) {
        let why = anyhow!("no queue is bound for this key: nobody got the message");
        let _ = self.0.send(Err(why));
    }
    async fn publish_ack(&mut self, _: &Channel, _: Ack) {
        let _ = self.0.send(Ok(()));
    }
    async fn publish_nack(&mut self, _: &Channel, _: Nack) {
        let _ = self.0.send(Err(anyhow!("the broker could not take the message")));
    }
    async fn close(&mut self, _: &Channel, why: CloseChannel) -> Amqp<()> {
        let _ = self.0.send(Err(anyhow!(printable(why.reply_text().as_bytes()))));
        Ok(())
    }
    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Amqp<()> {
        Ok(())
    }
    async fn flow(&mut self, _: &Channel, active: bool) -> Amqp<bool> {
        Ok(active)
    }
}

/// A peer's bytes as text: what could steer the terminal is escaped, the end cut off.
fn printable(data: &[u8]) -> String {
    let mut out = String::with_capacity(data.len().min(804));
    for chunk in data[..data.len().min(804)].utf8_chunks() {
        for c in chunk.valid().chars().take(201) {
            match c {
                ' '..='~' => out.push(c),
                _ if c.is_control() => out.extend(c.escape_unicode()),
                '\u{61c}' | '\u{200e}' | '\u{200f}' => out.extend(c.escape_unicode()),
                '\u{2028}'..='\u{202e}' => out.extend(c.escape_unicode()),
                '\u{2066}'..='\u{2069}' => out.extend(c.escape_unicode()),
                _ => out.push(c),
            }
        }
        out.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    if let Some((cut, _)) = out.char_indices().nth(200) {
        out.replace_range(cut.., &format!("... ({} bytes)", data.len()));
    }
    out
}
