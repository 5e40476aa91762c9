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

/// What is in a worker's hand when it is stopped goes back to the queue; a last worker
/// does it. Returns what was done, by whom ever, and how often in all.
async fn stop_and_do_the_rest(
    workers: Vec<Program>,
    broker: &Broker,
    confirmed: &[String],
) -> (BTreeSet<String>, usize) {
    let deadline = Instant::now() + PATIENCE;
    while depth(broker, "tasks").await != Some(0) {
        assert!(Instant::now() < deadline, "tasks stay in the queue");
    }
    workers.iter().for_each(|worker| worker.signal("INT"));
    let done = workers.into_iter().map(|it| tasks(&it.end().output, "Done: "));
    let mut all: Vec<String> = done.flatten().collect();
    let mut done: BTreeSet<String> = all.iter().cloned().collect();
    let mut last = start("rabbitmq-worker", broker, &["--work", "0"]);
    while !confirmed.iter().all(|task| done.contains(task)) {
        let task = last.wait_for("Done: ");
        all.push(task.clone());
        done.insert(task);
    }
    (done, all.len())
}

/// Two workers that are ready, with tasks of some milliseconds.
fn start_workers(broker: &Broker) -> Vec<Program> {
    let workers =
        [0, 1].map(|_| start("rabbitmq-worker", broker, &["--work", "0.001"]));
    let mut workers = Vec::from(workers);
    workers.iter_mut().for_each(|worker| drop(worker.wait_for("Waiting for tasks")));
    workers
}

fn wait_until_connected_again(workers: &mut [Program]) {
    for worker in workers {
        worker.wait_for_error("Lost the broker");
        worker.wait_for("Waiting for tasks");
    }
}

/// The broker breaks when 500 tasks are confirmed, some of them are done, and a second
/// producer is in the middle of many more. What that one says then is true: so many are
/// confirmed, and these are done as well.
#[tokio::test]
async fn no_confirmed_task_is_lost_when_rabbitmq_restarts_or_is_killed() {
    let mut broker = broker().await;
    for how in ["restarted", "killed"] {
        let mut workers = start_workers(&broker);
        let producer = start("rabbitmq-producer", &broker, &["--count", "500", how]);
        let producer = producer.end();
        assert_eq!(producer.code, Some(0), "{}", producer.errors);
        let mut confirmed = tasks(&producer.output, "Sent: ");
        assert_eq!(confirmed.iter().collect::<BTreeSet<_>>().len(), 500);
        let many = ["--count", "1000000", &format!("cut {how}")];
        let mut cut = start("rabbitmq-producer", &broker, &many);
        cut.wait_for("Sent: cut");
        if how == "killed" {
            broker.kill().unwrap()
        } else {
            broker.stop().unwrap()
        }
        broker.restart().unwrap();
        let cut = cut.end();
        confirmed.extend(tasks(&cut.output, "Sent: "));
        let so_many = format!("Error: {} tasks are confirmed", cut.output.len());
        assert_eq!(cut.code, Some(1), "{}", cut.errors);
        assert!(cut.errors.starts_with(&so_many), "{}", cut.errors);
        wait_until_connected_again(&mut workers);
        let (done, times) = stop_and_do_the_rest(workers, &broker, &confirmed).await;
        let (all, again) = (done.len(), times - done.len());
        println!("{how}: {} confirmed, {all} done, {again} again", confirmed.len());
    }
}

/// Claim 85, two by two: a queue that is not durable is gone after a restart, and so is
/// a message that is not persistent.
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
