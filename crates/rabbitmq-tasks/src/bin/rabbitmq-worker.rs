//! A worker: does one task after the other from a queue that several workers share.
//!
//! Contract: connects to --broker by AMQP 0-9-1; declares --queue and its `.failed`;
//!           expects any bytes as a task, and answers each with an acknowledgement
//!           after the work, or gives it back; ends on Ctrl-C or SIGTERM.
//! Slide:    Pattern: Message Broker (RabbitMQ)
//! Run:      1$ make brokers
//!           2$ cargo run -p rabbitmq-tasks
//!           3$ cargo run -p rabbitmq-tasks --bin rabbitmq-producer
//! See:      `Waiting for tasks in tasks`, `Received: Hello, world`, and a second
//!           later `Done: Hello, world`.

use std::{io, panic, time::Duration};

use amqprs::channel::{self, Channel, ConsumerMessage, QueueDeclareArguments};
use amqprs::connection::{Connection, OpenConnectionArguments as Broker};
use amqprs::{FieldTable, FieldValue, callbacks::DefaultChannelCallback};
use anyhow::{Context, Error, Result, ensure};
use clap::{Parser, error::ErrorKind};
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::{select, signal, spawn, time::sleep, time::timeout};

const HINT: &str = "is a broker running, and the password right? make brokers";
const OTHER: &str = "cannot declare the queue (does it exist with other arguments?)";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before connecting again. It doubles with each try in vain.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Does tasks from a RabbitMQ queue, one at a time (AMQP 0-9-1).
///
/// The work is a pause of --work. A task whose text is `fail` fails: it is given
/// back, and after three tries the broker moves it to `<queue>.failed`. Reconnects
/// without end. Ends on Ctrl-C or SIGTERM with exit status 0, and the task in hand
/// goes back to the queue; 1 when it cannot start, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The broker, amqp://[user:password@]HOST[:PORT][/vhost]
    #[arg(long, value_name = "URL", env = "AMQP_URL", hide_env_values = true)]
    #[arg(default_value = "amqp://127.0.0.1:5672")]
    broker: String,
    /// Where the tasks wait
    #[arg(long, value_name = "NAME", value_parser = queue_name)]
    #[arg(default_value = "tasks")]
    queue: String,
    /// How long a task takes
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1000)]
    work: u64,
}

type Session = (Connection, Channel, UnboundedReceiver<ConsumerMessage>);

/// Checks a queue's name: AMQP allows 255 bytes, and `.failed` needs seven of them.
fn queue_name(name: &str) -> Result<String> {
    ensure!((1..=248).contains(&name.len()), "it takes 1 to 248 bytes");
    Ok(name.to_string())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // In its tasks amqprs panics at some of what is no AMQP. What fails then is told.
    panic::set_hook(Box::new(|_| ()));
    let Arguments { broker: url, queue, work } = Arguments::parse();
    let Some(broker) = broker(&url) else {
        let takes = "--broker takes amqp://[user:password@]HOST[:PORT][/vhost]\n";
        clap::Error::raw(ErrorKind::ValueValidation, takes).exit()
    };
    select! {
        biased; // Signals must be caught before the worker says that it is ready.
        result = signal::ctrl_c() => result?,
        result = terminated() => result?,
        result = serve(&broker, &queue, work) => result?,
    }
    println!("Stopped: a task in hand goes back to the queue");
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

/// Works until the program ends; when the broker is lost, connects to it again.
async fn serve(broker: &Broker, queue: &str, work: u64) -> Result<()> {
    // The connection closes when it is dropped, so it is kept.
    let (mut _connection, mut channel, mut tasks) = connect(broker, queue, 3).await?;
    loop {
        println!("Waiting for tasks in {queue}");
        // Waits for the next task. None comes when the connection has ended.
        while let Some(task) = tasks.recv().await {
            let Ok(()) = do_task(&channel, task, work).await else { break };
        }
        eprintln!("Lost the broker: connecting again in {PAUSE:?}");
        sleep(PAUSE).await;
        (_connection, channel, tasks) = connect(broker, queue, u32::MAX).await?;
    }
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

/// Has the broker deliver the queue's tasks, one at a time.
async fn start(broker: Broker, queue: String) -> Result<Session> {
    let opened = Connection::open(&broker).await.map_err(|e| e.to_string());
    // What the broker gives as its reason is the quoted part of a long text.
    let reason = |e: String| printable(e.split('"').nth(1).unwrap_or(&e).as_bytes());
    let opened = opened.map_err(|e| Error::msg(reason(e)));
    let at = format!("{}:{}", broker.get_host(), broker.get_port());
    let connection =
        opened.with_context(|| format!("cannot connect to {at} ({HINT})"))?;
    let channel = connection.open_channel(None).await?;
    channel.register_callback(DefaultChannelCallback).await?;
    declare(&channel, &queue).await.context(OTHER)?;
    // The prefetch: the next task comes when this one is acknowledged. Without it
    // the first worker would get all that wait.
    channel.basic_qos(channel::BasicQosArguments::new(0, 1, false)).await?;
    let consume = channel::BasicConsumeArguments::new(&queue, "");
    let (_, tasks) = channel.basic_consume_rx(consume).await?;
    Ok((connection, channel, tasks))
}

/// Makes the queue, or checks that it is as here; the producer does the same, so that
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

/// Acknowledges a task after its work, and not before: if this worker dies, another
/// one gets the task.
async fn do_task(channel: &Channel, task: ConsumerMessage, work: u64) -> Result<()> {
    let (delivery, task) = task.deliver.zip(task.content).context("no delivery")?;
    let again = if delivery.redelivered() { " again" } else { "" };
    println!("Received{again}: {}", printable(&task));
    if work > 0 {
        sleep(Duration::from_millis(work)).await; // The work.
    }
    ensure!(channel.is_open(), "too late: the broker gives it to another worker");
    let tag = delivery.delivery_tag();
    if task == b"fail" {
        // Not basic_nack, which from RabbitMQ 4.3 on does not count as a try.
        channel.basic_reject(channel::BasicRejectArguments::new(tag, true)).await?;
        println!("Failed: {}", printable(&task));
    } else {
        channel.basic_ack(channel::BasicAckArguments::new(tag, false)).await?;
        println!("Done: {}", printable(&task));
    }
    Ok(())
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
