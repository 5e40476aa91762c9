//! A subscriber: has a queue of its own, and prints what an exchange routes into it.
//!
//! Contract: connects to --broker by AMQP 0-9-1; declares --exchange of --kind and an
//!           exclusive queue, bound by each --bind; expects messages, pushed by the
//!           broker, and acknowledges each; ends on Ctrl-C or SIGTERM.
//! Slide:    Pattern: Message Broker (RabbitMQ)
//! Run:      1$ make brokers
//!           2$ cargo run -p rabbitmq-routing
//!           3$ cargo run -p rabbitmq-routing --bin rabbitmq-publisher
//! See:      `Bound # to home`, then `Received livingroom.temperature | 21.50`.

use std::{io, panic, time::Duration};

use amqprs::connection::{Connection, OpenConnectionArguments as Broker};
use amqprs::{callbacks::DefaultChannelCallback, channel::*};
use anyhow::{Context, Error, Result, ensure};
use clap::{Parser, error::ErrorKind};
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::{select, signal, spawn, time::sleep, time::timeout};

const HINT: &str = "is a broker running, and the password right? make brokers";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before connecting again. It doubles with each try in vain.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Messages that the broker pushes ahead of their acknowledgements. Without a limit a
/// slow subscriber would have to keep all that is published.
const PREFETCH: u16 = 100;

/// Prints what an exchange of RabbitMQ routes to it by binding keys (AMQP 0-9-1).
///
/// Makes the exchange if it is missing. Its queue lives as long as its connection;
/// when that is lost it reconnects, without end. Ends on Ctrl-C or SIGTERM with exit
/// status 0; 1 when it cannot start, 2 for a wrong argument.
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
    /// Binding keys; in a topic's * is any one word, # any number of words
    #[arg(long, value_name = "PATTERN", value_parser = routing_key, num_args = 1..)]
    #[arg(default_value = "#", required_if_eq("kind", "direct"))]
    bind: Vec<String>,
}

type Session = (Connection, Channel, UnboundedReceiver<ConsumerMessage>);

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
    select! {
        biased; // Signals must be caught before the subscriber says that it is ready.
        result = signal::ctrl_c() => result?,
        result = terminated() => result?,
        result = serve(&broker, &arguments) => result?,
    }
    // The connection was dropped: a task of amqprs says goodbye to the broker.
    sleep(Duration::from_millis(100)).await;
    Ok(())
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

/// Waits for SIGTERM, which only Unix has; Ctrl-C is waited for everywhere.
async fn terminated() -> io::Result<()> {
    #[cfg(unix)]
    signal::unix::signal(signal::unix::SignalKind::terminate())?.recv().await;
    #[cfg(not(unix))]
    std::future::pending::<()>().await;
    Ok(())
}

/// Prints until the program ends; when the broker is lost, connects to it again.
async fn serve(broker: &Broker, arguments: &Arguments) -> Result<()> {
    let mut tries = 3;
    loop {
        print_messages(connect(broker, arguments, tries).await?).await;
        let lost = "what is published meanwhile is lost";
        eprintln!("Lost the broker: connecting again in {PAUSE:?}; {lost}");
        sleep(PAUSE).await;
        tries = u32::MAX;
    }
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

/// Has the broker push what it routes into a queue of this connection alone.
async fn start(broker: Broker, arguments: Arguments) -> Result<Session> {
    let opened = Connection::open(&broker).await.map_err(|e| e.to_string());
    // What the broker gives as its reason is the quoted part of a long text.
    let reason = |e: String| printable(e.split('"').nth(1).unwrap_or(&e).as_bytes());
    let opened = opened.map_err(|e| Error::msg(reason(e)));
    let at = format!("{}:{}", broker.get_host(), broker.get_port());
    let connection =
        opened.with_context(|| format!("cannot connect to {at} ({HINT})"))?;
    let channel = connection.open_channel(None).await?;
    channel.register_callback(DefaultChannelCallback).await?;
    let Arguments { exchange, kind, bind, .. } = arguments;
    declare(&channel, &exchange, &kind).await?;
    let queue = QueueDeclareArguments::exclusive_server_named();
    let (queue, ..) = channel.queue_declare(queue).await?.context("no queue")?;
    channel.basic_qos(BasicQosArguments::new(0, PREFETCH, false)).await?;
    let consume = BasicConsumeArguments::new(&queue, "");
    let (_, messages) = channel.basic_consume_rx(consume).await?;
    for key in bind {
        channel.queue_bind(QueueBindArguments::new(&queue, &exchange, &key)).await?;
        println!("Bound {key} to {exchange}");
    }
    Ok((connection, channel, messages))
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

/// Prints what comes, until nothing can come any more.
async fn print_messages((_connection, channel, mut messages): Session) {
    // Waits for the next message. None comes when the connection has ended.
    while let Some(ConsumerMessage { deliver, content, .. }) = messages.recv().await {
        let (Some(about), Some(body)) = (deliver, content) else { continue };
        let key = printable(about.routing_key().as_bytes());
        println!("Received {key} | {}", printable(&body));
        // Lets the broker push one more.
        let done = BasicAckArguments::new(about.delivery_tag(), false);
        let _ = channel.basic_ack(done).await;
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
