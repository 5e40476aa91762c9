//! How fast the programs send that only send: each runs to its end, which is when all
//! is sent, or confirmed where the protocol confirms.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use brokers::{Kind, free_port};
use indicatif::ProgressBar;

use crate::cases::Programs;
use crate::kernel::cpu_seconds_of_the_ended;
use crate::measure::Bench;
use crate::program::Program;
use crate::report::{Part, Row, Side};

/// The longest that one run may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// About 64 bytes, with the number and, of ZeroMQ, the process id in front.
const TASK: &str = "a.task.that.takes.no.time.but.has.some.bytes.to.carry";

/// A program that sends, to a broker or to a puller.
pub struct Sender {
    pub transport: &'static str,
    side: Side,
    program: Program,
    to: To,
    count: u64,
}

#[derive(Clone, Copy)]
enum To {
    Mosquitto(&'static str),
    RabbitMq,
    /// The example's, whoever sends: what receives is the same then.
    Puller,
}

impl Sender {
    pub fn all(programs: &Programs, quick: bool) -> Vec<Sender> {
        let mqtt = ["mqtt-publisher", "publisher.py"];
        let rabbitmq = ["rabbitmq-producer", "producer.py"];
        let zeromq = ["zeromq-pusher", "zeromq_pusher.py"];
        // So many messages take each of them some tenths of a second.
        let kinds = [
            ("MQTT QoS 0", mqtt, To::Mosquitto("0"), [20_000, 10_000]),
            ("MQTT QoS 1", mqtt, To::Mosquitto("1"), [5_000, 3_000]),
            ("MQTT QoS 2", mqtt, To::Mosquitto("2"), [3_000, 2_000]),
            ("RabbitMQ", rabbitmq, To::RabbitMq, [20_000, 1_000]),
            ("ZeroMQ", zeromq, To::Puller, [500_000, 100_000]),
        ];
        let mut senders = Vec::new();
        for (transport, [example, twin], to, counts) in kinds {
            let example = (Side::Example, Some(programs.example(example)));
            let sides = [example, (Side::Python, programs.twin(twin))];
            for ((side, program), count) in sides.into_iter().zip(counts) {
                let Some(program) = program else { continue };
                let count = if quick { count / 4 } else { count };
                senders.push(Sender { transport, side, program, to, count });
            }
        }
        senders
    }

    /// The broker that it needs, if it does.
    pub fn broker(&self) -> Option<Kind> {
        match self.to {
            To::Mosquitto(_) => Some(Kind::Mosquitto),
            To::RabbitMq => Some(Kind::RabbitMq),
            To::Puller => None,
        }
    }

    fn row(&self) -> Row {
        Row {
            part: Part::Senders,
            transport: self.transport.to_string(),
            side: self.side,
            program: self.program.name.clone(),
            clients: 1,
            bytes: TASK.len(),
            ..Row::default()
        }
    }

    /// Measures once. What it takes to start and to connect, which sending one
    /// message alone tells, does not count.
    pub fn measure(
        &self,
        bench: &mut Bench,
        puller: &Program,
        row: &mut Row,
    ) -> Result<()> {
        let (one, cpu_of_one) = self.run(bench, puller, 1)?;
        let (all, cpu_of_all) = self.run(bench, puller, self.count)?;
        let messages = (self.count - 1) as f64;
        ensure!(all > one, "{} messages took no time", self.count);
        row.per_second.push(messages / (all - one));
        row.cpu_us.push((cpu_of_all - cpu_of_one).max(0.0) / messages * 1e6);
        Ok(())
    }

    /// Sends so many; returns how long that took, and the processor time.
    pub fn run(
        &self,
        bench: &mut Bench,
        puller: &Program,
        count: u64,
    ) -> Result<(f64, f64)> {
        let endpoint = format!("tcp://127.0.0.1:{}", free_port()?);
        let arguments = match self.to {
            To::Mosquitto(qos) => {
                let broker = bench.url(Kind::Mosquitto)?;
                format!("--broker {broker} --interval 0 --qos {qos}")
            }
            To::RabbitMq => {
                let (broker, queue) =
                    (bench.url(Kind::RabbitMq)?, bench.name("sent"));
                format!("--broker {broker} --queue {queue} {TASK}")
            }
            To::Puller => format!("{endpoint} {TASK}"),
        };
        let count = ["--count".to_string(), count.to_string()];
        let arguments = arguments.split(' ').map(String::from).chain(count);
        let (start, cpu) = (Instant::now(), cpu_seconds_of_the_ended()?);
        let arguments: Vec<String> = arguments.collect();
        let sender = self.program.start(&arguments, false, bench.processors)?;
        let puller = match self.to {
            To::Puller => Some(puller.start(&[endpoint], false, None)?),
            _ => None,
        };
        sender.wait(PATIENCE).with_context(|| self.program.name.clone())?;
        let seconds = start.elapsed().as_secs_f64();
        let cpu = cpu_seconds_of_the_ended()? - cpu;
        // Ended only now: its processor time is not the sender's.
        drop(puller);
        Ok((seconds, cpu))
    }
}

/// Measures all senders in each round.
pub fn rounds(
    senders: &[Sender],
    bench: &mut Bench,
    programs: &Programs,
    bar: &ProgressBar,
) -> Result<Vec<Row>> {
    let puller = programs.example("zeromq-puller");
    let mut rows: Vec<Row> = senders.iter().map(Sender::row).collect();
    for _ in 0..bench.plan.rounds {
        for (sender, row) in senders.iter().zip(&mut rows) {
            bar.set_message(row.name());
            sender.measure(bench, &puller, row)?;
            bar.inc(1);
        }
    }
    Ok(rows)
}
