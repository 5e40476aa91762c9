//! What producer and workers keep of their promises when RabbitMQ itself is killed or
//! restarted.

#[path = "examples/mod.rs"]
mod examples;
#[path = "../../../tcp-echo/tests/program/mod.rs"]
mod program;

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Instant;

use amqprs::BasicProperties;
use amqprs::channel::{BasicPublishArguments, Channel, QueueDeclareArguments};
use amqprs::connection::{Connection, OpenConnectionArguments};
use brokers::{Broker, Kind};
use program::{PATIENCE, Program};
use tokio::sync::{Mutex, MutexGuard};

/// One broker for all tests, who break it one after the other: it takes seconds to
/// start. It ends with this process.
async fn broker() -> MutexGuard<'static, Broker> {
    static BROKER: LazyLock<Mutex<Broker>> =
        LazyLock::new(|| Mutex::new(Broker::start(Kind::RabbitMq).unwrap()));
    BROKER.lock().await
}

fn start(program: &str, broker: &Broker, more: &[&str]) -> Program {
    let path = examples::program("rabbitmq-tasks", program);
    let url = broker.url();
    Program::start(path.to_str().unwrap(), &[&["--broker", &url], more].concat())
}

/// A client of the test's own.
async fn connect(broker: &Broker) -> (Connection, Channel) {
    let url = broker.url();
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    let broker = OpenConnectionArguments::new("127.0.0.1", port, "guest", "guest");
    let connection = Connection::open(&broker).await.unwrap();
    let channel = connection.open_channel(None).await.unwrap();
    (connection, channel)
}

/// How many messages wait in a queue; none is told where there is no queue.
async fn depth(broker: &Broker, queue: &str) -> Option<u32> {
    let (_connection, channel) = connect(broker).await;
    let mut passive = QueueDeclareArguments::durable_client_named(queue);
    let declared = channel.queue_declare(passive.passive(true).finish()).await;
    declared.ok().flatten().map(|(_, messages, _)| messages)
}

fn tasks(lines: &[String], begin: &str) -> Vec<String> {
    let tasks = lines.iter().filter_map(|line| line.strip_prefix(begin));
    tasks.map(str::to_string).collect()
}

/// Sends 500 tasks to two workers, and breaks the broker in the middle: each confirmed
/// task must be done. Says how many were done more than once.
async fn assert_no_task_is_lost(broker: &mut Broker, how: &str) {
    let worker = ["--queue", "tasks", "--work", "5"];
    let mut workers = [0, 1].map(|_| start("rabbitmq-worker", broker, &worker));
    workers.iter_mut().for_each(|worker| drop(worker.wait_for("Waiting for tasks")));
    let mut producer = start("rabbitmq-producer", broker, &["--count", "500", how]);
    producer.wait_for(&format!("Sent: {how} 1"));
    if how == "killed" {
        broker.kill().unwrap()
    } else {
        broker.stop().unwrap()
    }
    broker.restart().unwrap();
    let producer = producer.end();
    assert_eq!(producer.code, Some(0), "{}", producer.errors);
    let confirmed = tasks(&producer.output, "Sent: ");
    assert_eq!(confirmed.iter().collect::<BTreeSet<_>>().len(), 500);
    for worker in &mut workers {
        worker.wait_for_error("Lost the broker");
        worker.wait_for("Waiting for tasks");
    }
    let deadline = Instant::now() + PATIENCE;
    while depth(broker, "tasks").await != Some(0) {
        assert!(Instant::now() < deadline, "tasks stay in the queue");
    }
    // What they have in hand goes back, and a last worker does it.
    workers.iter().for_each(|worker| worker.signal("TERM"));
    let done = workers.map(|worker| tasks(&worker.end().output, "Done: "));
    let mut times = done.iter().map(Vec::len).sum::<usize>();
    let mut done: BTreeSet<String> = done.concat().into_iter().collect();
    let mut last = start("rabbitmq-worker", broker, &worker);
    while done.len() < 500 {
        done.insert(last.wait_for("Done: "));
        times += 1;
    }
    assert!(confirmed.iter().all(|task| done.contains(task)));
    println!("{how}: 500 confirmed, 500 done, {} done again", times - 500);
}

/// An orderly restart first: RabbitMQ has a flaw (issue 15725 of rabbitmq-server), by
/// which a quorum queue never recovers if the broker is killed within about a second
/// of the queue's first declaration.
#[tokio::test]
async fn no_confirmed_task_is_lost_when_rabbitmq_restarts_or_is_killed() {
    let mut broker = broker().await;
    assert_no_task_is_lost(&mut broker, "restarted").await;
    assert_no_task_is_lost(&mut broker, "killed").await;
}

/// Claim 85, two by two: a queue that is not durable is gone after a restart, and so is
/// a message that is not persistent. These are classic queues; a quorum queue, which
/// the examples use, keeps all on disk.
#[tokio::test]
async fn a_message_survives_a_restart_if_it_is_persistent_and_its_queue_durable() {
    let mut broker = broker().await;
    let mut queues = Vec::new();
    for (durable, persistent) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let queue = format!("durable-{durable}-persistent-{persistent}");
        let (connection, channel) = connect(&broker).await;
        let mut declare = QueueDeclareArguments::new(&queue);
        // From 4.3 on RabbitMQ refuses one that is not durable: then it never exists.
        if channel.queue_declare(declare.durable(durable == 1).finish()).await.is_ok()
        {
            let mut properties = BasicProperties::default();
            let properties = properties.with_persistence(persistent == 1).finish();
            let to = BasicPublishArguments::new("", &queue);
            channel.basic_publish(properties, b"kept?".into(), to).await.unwrap();
            // Its answer comes after the message was taken.
            channel.close().await.unwrap();
            connection.close().await.unwrap();
            assert_eq!(depth(&broker, &queue).await, Some(1));
        }
        queues.push(queue);
    }
    broker.stop().unwrap();
    broker.restart().unwrap();
    let mut kept = Vec::new();
    for queue in queues {
        kept.push(depth(&broker, &queue).await);
    }
    assert_eq!(kept, [None, None, Some(0), Some(1)]);
}
