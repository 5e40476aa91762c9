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

use std::{io, time::Duration};

use amqprs::callbacks::ChannelCallback;
use amqprs::channel::QueueDeclareArguments;
use amqprs::channel::{BasicAckArguments, BasicConsumeArguments, BasicQosArguments};
use amqprs::channel::{BasicRejectArguments, Channel, ConsumerMessage};
use amqprs::connection::{Connection, OpenConnectionArguments as Broker};
use amqprs::{Ack, BasicProperties, Cancel, CloseChannel, FieldTable, FieldValue};
use amqprs::{Nack, Return};
use anyhow::{Context, Error, Result, ensure};
use async_trait::async_trait;
use clap::{Parser, error::ErrorKind};
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::{select, signal, time::sleep, time::timeout};

const HINT: &str = "is a broker running? make brokers";
const REFUSED: &str = "does it know this user, password and vhost?";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before connecting again, which doubles each time, up to the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Seconds between signs of life; after two without one the connection is lost.
const HEARTBEAT: u16 = 10;
/// How long Ctrl-C waits for the broker's goodbye.
const FAREWELL: Duration = Duration::from_millis(500);

/// Does tasks from a RabbitMQ queue, one at a time (AMQP 0-9-1).
///
/// The work is a pause of --work. A task whose text is `fail` fails: it is given back,
/// and after three tries the broker moves it to `<queue>.failed`. Reconnects without
/// end. Ends on Ctrl-C or SIGTERM with exit status 0; the task in hand goes back to
/// the queue. 1 when it cannot start, 2 for a wrong argument.
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

/// Checks a queue's name: AMQP allows 255 bytes, and `.failed` needs seven of them.
fn queue_name(name: &str) -> Result<String> {
    ensure!((1..=248).contains(&name.len()), "it takes 1 to 248 bytes");
    Ok(name.to_string())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let broker = broker(&arguments.broker).unwrap_or_else(|| {
        // Not by clap's own check: it would print the password with the URL.
        let takes = "--broker takes amqp://[user:password@]HOST[:PORT][/vhost]\n";
        clap::Error::raw(ErrorKind::ValueValidation, takes).exit()
    });
    let mut connection = None;
    select! {
        biased; // Signals must be caught before the worker says that it is ready.
        result = signal::ctrl_c() => result?,
        result = terminated() => result?,
        result = serve(&arguments, &broker, &mut connection) => result?,
    }
    if let Some(connection) = connection {
        let _ = timeout(FAREWELL, connection.close()).await;
    }
    println!("Stopped: a task in hand goes back to the queue");
    Ok(())
}

/// Takes a broker's URL apart; what is left out is as RabbitMQ has it after set-up.
fn broker(url: &str) -> Option<Broker> {
    // %40 stands for an @ in a password, and so on.
    let decoded = |text| percent_decode_str(text).decode_utf8().ok();
    let url = url.strip_prefix("amqp://")?;
    let (place, vhost) = url.split_once('/').unwrap_or((url, ""));
    let (login, address) = place.rsplit_once('@').unwrap_or(("guest:guest", place));
    let (user, password) = login.split_once(':')?;
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (address, 5672), // Without a port; a colon may be inside of [::1].
    };
    let vhost = decoded(if vhost.is_empty() { "/" } else { vhost })?;
    if host.is_empty() || vhost.len() > 255 {
        return None;
    }
    let mut broker = Broker::new(host, port, &decoded(user)?, &decoded(password)?);
    Some(broker.virtual_host(&vhost).heartbeat(HEARTBEAT).finish())
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
async fn serve(
    Arguments { queue, work, .. }: &Arguments,
    broker: &Broker,
    held: &mut Option<Connection>,
) -> Result<()> {
    let mut connection = retry(3, || open(broker)).await?;
    let mut session = start(&connection, queue).await?;
    loop {
        *held = Some(connection);
        println!("Waiting for tasks in {queue}");
        let why = session.work(Duration::from_millis(*work)).await;
        eprintln!("Lost the broker ({why}): connecting again");
        sleep(PAUSE).await;
        let again = async || {
            let connection = open(broker).await?;
            let session = start(&connection, queue).await?;
            Ok((connection, session))
        };
        (connection, session) = retry(u32::MAX, again).await?;
    }
}

/// Tries until it succeeds or the tries are used up, with longer and longer pauses.
async fn retry<T>(tries: u32, attempt: impl AsyncFn() -> Result<T>) -> Result<T> {
    let mut pause = PAUSE;
    for _ in 1..tries {
        match attempt().await {
            Err(e) => eprintln!("{e:#}; trying again in {} s", pause.as_secs_f32()),
            success => return success,
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(2 * pause);
    }
    attempt().await
}

async fn open(broker: &Broker) -> Result<Connection> {
    let error = match timeout(CONNECT_TIMEOUT, Connection::open(broker)).await {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer within 5 s".to_string(),
    };
    // RabbitMQ hangs up on a wrong password, and never says why.
    let refused = ["reset", "shutdown", "NOT_ALLOWED"];
    let refused = refused.iter().any(|word| error.contains(word));
    let hint = if refused { REFUSED } else { HINT };
    let at = format!("{}:{}", broker.get_host(), broker.get_port());
    // The broker's own words, if any, are the text in a dump of its last frame.
    let why = printable(error.split('"').nth(1).unwrap_or(&error).as_bytes());
    Err(Error::msg(why)).context(format!("cannot connect to {at} ({hint})"))
}

/// What a worker has while it is connected.
struct Session {
    channel: Channel,
    tasks: UnboundedReceiver<ConsumerMessage>,
    reasons: UnboundedReceiver<String>,
}

/// Has the broker deliver the queue's tasks, one at a time.
async fn start(connection: &Connection, queue: &str) -> Result<Session> {
    let (reason, mut reasons) = unbounded_channel();
    let started = timeout(REPLY_TIMEOUT, async {
        let channel = connection.open_channel(None).await?;
        channel.register_callback(Reasons(reason)).await?;
        declare(&channel, queue).await?;
        // The prefetch: a task comes only when the one before is acknowledged. Else
        // the first worker would get all that wait.
        channel.basic_qos(BasicQosArguments::new(0, 1, false)).await?;
        let consume = BasicConsumeArguments::new(queue, "");
        anyhow::Ok((channel.basic_consume_rx(consume).await?.1, channel))
    });
    let started = started.await.context("no answer within 5 s").flatten();
    // The error tells only that the channel was closed; the broker had told why.
    let why = |error| reasons.try_recv().map_or(error, Error::msg);
    let started = started.map_err(why);
    let (tasks, channel) =
        started.with_context(|| format!("cannot use the queue {queue}"))?;
    Ok(Session { channel, tasks, reasons })
}

/// Makes both queues, or checks that they are as here. The producer does the same, so
/// that either may be first.
async fn declare(channel: &Channel, queue: &str) -> Result<()> {
    let durable = |name: &str, table: &FieldTable| {
        let queue = QueueDeclareArguments::durable_client_named(name);
        channel.queue_declare(queue.clone().arguments(table.clone()).finish())
    };
    let failed = format!("{queue}.failed");
    let mut table = FieldTable::new();
    table.insert("x-queue-type".try_into()?, "quorum".into());
    durable(&failed, &table).await?;
    // Given back for the third time, a task is not delivered again: the nameless
    // exchange routes it to the queue of the failed ones, and only when it is there
    // it leaves this one.
    table.insert("x-delivery-limit".try_into()?, FieldValue::I(2));
    table.insert("x-dead-letter-exchange".try_into()?, "".into());
    table.insert("x-dead-letter-routing-key".try_into()?, failed.into());
    table.insert("x-dead-letter-strategy".try_into()?, "at-least-once".into());
    table.insert("x-overflow".try_into()?, "reject-publish".into());
    durable(queue, &table).await?;
    Ok(())
}

impl Session {
    /// Does what is delivered until nothing more can be; returns why.
    async fn work(&mut self, work: Duration) -> String {
        // Waits for the next task; there is none when the channel has closed.
        while let Some(message) = self.tasks.recv().await {
            if self.do_task(message, work).await.is_err() {
                break;
            }
        }
        self.reasons.try_recv().unwrap_or("the connection ended".into())
    }

    /// Acknowledges a task after its work, and not before: if this worker dies, the
    /// broker delivers the task to another one.
    async fn do_task(&self, message: ConsumerMessage, work: Duration) -> Result<()> {
        let delivery = message.deliver.context("no delivery")?;
        let task = message.content.context("no content")?;
        let again = if delivery.redelivered() { " again" } else { "" };
        println!("Received{again}: {}", printable(&task));
        sleep(work).await; // The work.
        ensure!(self.channel.is_open(), "too late to acknowledge it");
        if task == b"fail" {
            // Not basic_nack, which from RabbitMQ 4.3 on does not count as a try.
            let give_back = BasicRejectArguments::new(delivery.delivery_tag(), true);
            self.channel.basic_reject(give_back).await?;
            println!("Failed: {}", printable(&task));
        } else {
            let done = BasicAckArguments::new(delivery.delivery_tag(), false);
            self.channel.basic_ack(done).await?;
            println!("Done: {}", printable(&task));
        }
        Ok(())
    }
}

type Amqp<T> = Result<T, amqprs::error::Error>;

/// Keeps what the broker says unasked: why it closes the channel, or stops delivering.
struct Reasons(UnboundedSender<String>);

#[async_trait]
impl ChannelCallback for Reasons {
    async fn close(&mut self, _: &Channel, close: CloseChannel) -> Amqp<()> {
        let _ = self.0.send(printable(close.reply_text().as_bytes()));
        Ok(())
    }
    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Amqp<()> {
        let _ = self.0.send("the queue was deleted".to_string());
        Ok(())
    }
    async fn flow(&mut self, _: &Channel, active: bool) -> Amqp<bool> {
        Ok(active)
    }
    async fn publish_ack(&mut self, _: &Channel, _: Ack) {}
    async fn publish_nack(&mut self, _: &Channel, _: Nack) {}
    async fn publish_return(
        &mut self,
        _: &Channel,
        _: Return,
        _: BasicProperties,
        _: Vec<u8>,
    ) {
    }
}

/// A peer's bytes as text: what could steer the terminal is escaped, the end cut off.
fn printable(data: &[u8]) -> String {
    let mut out = String::with_capacity(data.len().min(804));
    for chunk in data[..data.len().min(804)].utf8_chunks() {
        for c in chunk.valid().chars() {
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
