//! A producer: sends tasks to a queue, and says so only when the broker has them.
//!
//! Contract: connects to --broker by AMQP 0-9-1; declares --queue and its `.failed`;
//!           sends each MESSAGE, --count times; expects a publisher confirm for each,
//!           and sends again what gets none; ends when all are confirmed.
//! Slide:    Pattern: Message Broker (RabbitMQ)
//! Run:      1$ make brokers
//!           2$ cargo run -p rabbitmq-tasks
//!           3$ cargo run -p rabbitmq-tasks --bin rabbitmq-producer -- --count 5 task
//! See:      `Sent: task 1` to `Sent: task 5` at once, with or without a worker.

use std::{collections::BTreeMap, mem, panic, time::Duration};

use amqprs::callbacks::ChannelCallback;
use amqprs::channel::{self, Channel, QueueDeclareArguments};
use amqprs::connection::{Connection, OpenConnectionArguments as Broker};
use amqprs::{
    Ack, BasicProperties as Basic, Cancel, CloseChannel, FieldTable, FieldValue,
};
use amqprs::{Nack, Return};
use anyhow::{Context, Error, Result, ensure};
use async_trait::async_trait;
use clap::{Parser, error::ErrorKind, value_parser};
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::{spawn, time::sleep, time::timeout};

const HINT: &str = "is a broker running, and the password right? make brokers";
const OTHER: &str = "cannot declare the queue (does it exist with other arguments?)";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before connecting again. It doubles with each try in vain.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Tasks sent ahead of their confirms. To wait for each one's costs a round trip,
/// and a write to the broker's disk, a task.
const IN_FLIGHT: usize = 100;

/// Sends tasks to a RabbitMQ queue (AMQP 0-9-1).
///
/// Prints a task as sent when the broker has confirmed it: then it is on the broker's
/// disk. Reconnects without end, and sends again what was not confirmed: none is
/// lost, and one may come twice. Exit status 0 when all are confirmed; 1 when it
/// cannot start or the broker refuses a task, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The broker, amqp://[user:password@]HOST[:PORT][/vhost]
    #[arg(long, value_name = "URL", env = "AMQP_URL", hide_env_values = true)]
    #[arg(default_value = "amqp://127.0.0.1:5672")]
    broker: String,
    /// Where the tasks are to wait
    #[arg(long, value_name = "NAME", value_parser = queue_name)]
    #[arg(default_value = "tasks")]
    queue: String,
    /// How often each is sent; if more than once, its number follows the text
    #[arg(long, default_value = "1", value_parser = value_parser!(u32).range(1..))]
    count: u32,
    /// The tasks; one whose whole text is `fail` fails
    #[arg(value_name = "MESSAGE", default_value = "Hello, world")]
    messages: Vec<String>,
}

/// The number of a task that the broker has, and whether it has all lower ones as
/// well; or why it will not have one.
type Confirm = Result<(u64, bool), String>;
type Amqp<T> = Result<T, amqprs::error::Error>;
type Session = (Connection, Channel, UnboundedReceiver<Confirm>);

/// Checks a queue's name: AMQP allows 255 bytes, and `.failed` needs seven of them.
fn queue_name(name: &str) -> Result<String> {
    ensure!((1..=248).contains(&name.len()), "it takes 1 to 248 bytes");
    Ok(name.to_string())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // In its tasks amqprs panics at some of what is no AMQP. What fails then is told.
    panic::set_hook(Box::new(|_| ()));
    let Arguments { broker: url, queue, count, messages } = Arguments::parse();
    let Some(broker) = broker(&url) else {
        let takes = "--broker takes amqp://[user:password@]HOST[:PORT][/vhost]\n";
        clap::Error::raw(ErrorKind::ValueValidation, takes).exit()
    };
    // They are made one by one: no count is too large for the memory.
    let mut tasks = (1..=count).flat_map(|number| {
        let number = if count > 1 { format!(" {number}") } else { String::new() };
        messages.iter().map(move |message| format!("{message}{number}"))
    });
    let mut in_flight = BTreeMap::new();
    let mut session = connect(&broker, &queue, 3).await?;
    while !send(&queue, &mut tasks, &mut in_flight, &mut session).await? {
        eprintln!("No confirm from the broker: connecting again in {PAUSE:?}");
        sleep(PAUSE).await;
        session = connect(&broker, &queue, u32::MAX).await?;
    }
    let _ = timeout(REPLY_TIMEOUT, session.0.close()).await;
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

/// Tries so many times, with longer and longer pauses.
async fn connect(broker: &Broker, queue: &str, mut tries: u32) -> Result<Session> {
    let mut pause = PAUSE;
    loop {
        tries -= 1;
        let session = timeout(CONNECT_TIMEOUT, start(broker.clone(), queue.into()));
        // A panic ends this task alone, and counts as no answer.
        let session = spawn(session).await.ok().and_then(Result::ok);
        match session.context("no AMQP from the broker within 5 s").flatten() {
            Err(e) if tries > 0 => eprintln!("{e:#}: again in {pause:?}"),
            session => return session,
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(2 * pause);
    }
}

/// Opens a channel on which the broker confirms each task.
async fn start(broker: Broker, queue: String) -> Result<Session> {
    let opened = Connection::open(&broker).await.map_err(|e| e.to_string());
    // What the broker gives as its reason is the quoted part of a long text.
    let reason = |e: String| printable(e.split('"').nth(1).unwrap_or(&e).as_bytes());
    let opened = opened.map_err(|e| Error::msg(reason(e)));
    let at = format!("{}:{}", broker.get_host(), broker.get_port());
    let connection =
        opened.with_context(|| format!("cannot connect to {at} ({HINT})"))?;
    let channel = connection.open_channel(None).await?;
    let (sender, confirms) = unbounded_channel();
    channel.register_callback(Confirms(sender)).await?;
    declare(&channel, &queue).await.context(OTHER)?;
    channel.confirm_select(channel::ConfirmSelectArguments::new(false)).await?;
    Ok((connection, channel, confirms))
}

/// Makes the queue, or checks that it is as here; the worker does the same, so that
/// either may be first.
async fn declare(channel: &Channel, queue: &str) -> Result<()> {
    let failed = format!("{queue}.failed");
    let durable = QueueDeclareArguments::durable_client_named;
    channel.queue_declare(durable(&failed)).await?;
    let mut table = FieldTable::new();
    // A quorum queue is kept on disk, and counts how often a task was given back.
    table.insert("x-queue-type".try_into()?, "quorum".into());
    // The third time it leaves by the nameless exchange for the queue of the failed.
    table.insert("x-delivery-limit".try_into()?, FieldValue::I(2));
    table.insert("x-dead-letter-exchange".try_into()?, "".into());
    table.insert("x-dead-letter-routing-key".try_into()?, failed.into());
    // It leaves only when it has arrived there, whatever breaks meanwhile.
    table.insert("x-dead-letter-strategy".try_into()?, "at-least-once".into());
    table.insert("x-overflow".try_into()?, "reject-publish".into());
    channel.queue_declare(durable(queue).arguments(table).finish()).await?;
    Ok(())
}

/// Sends what was in flight when the last connection ended, then all further tasks.
/// Returns whether all are confirmed; if not, the connection is lost.
async fn send(
    queue: &str,
    tasks: &mut impl Iterator<Item = String>,
    in_flight: &mut BTreeMap<u64, String>,
    (_, channel, confirms): &mut Session,
) -> Result<bool> {
    let again = mem::take(in_flight).into_values();
    let mut tasks = (1..).zip(again.chain(tasks)); // As the channel counts.
    loop {
        for (number, task) in tasks.by_ref().take(IN_FLIGHT - in_flight.len()) {
            publish(channel, queue, &task).await;
            in_flight.insert(number, task);
        }
        if in_flight.is_empty() {
            return Ok(true);
        }
        // Waits for a confirm. None comes when the connection has ended.
        let confirm = timeout(REPLY_TIMEOUT, confirms.recv()).await;
        let Ok(Some(confirm)) = confirm else { return Ok(false) };
        let (number, all) = confirm.map_err(Error::msg).context("not all sent")?;
        confirm_task(in_flight, number, all);
    }
}

/// Takes out what the broker has: this task and, if it says so, all before it.
fn confirm_task(in_flight: &mut BTreeMap<u64, String>, number: u64, all: bool) {
    let mut sent = in_flight.split_off(if all { &0 } else { &number });
    in_flight.append(&mut sent.split_off(&number.saturating_add(1)));
    for task in sent.values() {
        println!("Sent: {}", printable(task.as_bytes()));
    }
}

/// Hands a task over to be sent. Whether it arrives, only its confirm can tell.
async fn publish(channel: &Channel, queue: &str, task: &str) {
    // On disk even where the queue itself does not see to it.
    let persistent = Basic::default().with_persistence(true).finish();
    // The nameless exchange routes by the queue's name. Mandatory: without a queue
    // the task comes back, instead of being confirmed and thrown away.
    let to = channel::BasicPublishArguments::new("", queue).mandatory(true).finish();
    let _ = channel.basic_publish(persistent, task.into(), to).await;
}

/// What amqprs calls when the broker says something unasked. It is dropped when the
/// connection ends, and the sender with it: who waits for a confirm learns of it.
struct Confirms(UnboundedSender<Confirm>);

#[async_trait]
impl ChannelCallback for Confirms {
    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        let _ = self.0.send(Ok((ack.delivery_tag(), ack.mutiple())));
    }
    async fn publish_nack(&mut self, _: &Channel, _: Nack) {
        let _ = self.0.send(Err("the broker refuses: is the queue full?".into()));
    }
    async fn publish_return(&mut self, _: &Channel, r: Return, _: Basic, _: Vec<u8>) {
        let _ = self.0.send(Err(r.reply_text().clone()));
    }
    async fn close(&mut self, _: &Channel, why: CloseChannel) -> Amqp<()> {
        let _ = self.0.send(Err(why.reply_text().clone()));
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
