//! Measures confirmed publishing: rabbitmq-producer, with 100 tasks in flight, beside
//! pika's BlockingConnection, which waits for each confirm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use lab::brokers::{Broker, Kind};

use scoreboard::programs;
use scoreboard::stats::{median, ratios, spread};

const PYTHON_LIBRARY: &str = "pika==1.4.4";
const QUEUE: &str = "bench";

/// Measures rabbitmq-producer beside the Python library pika, confirm by confirm.
///
/// Both send persistent tasks to the same durable quorum queue of a private RabbitMQ.
/// A rate is the number of tasks by the time from the program's start to its end, when
/// all are confirmed. Builds the one, and installs the other into a virtual
/// environment in the target folder.
#[derive(Parser)]
struct Arguments {
    /// Rounds, in which the two take turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Tasks to send in each
    #[arg(long, default_value_t = 10_000)]
    tasks: u32,
}

fn main() -> Result<()> {
    let Arguments { rounds, tasks } = Arguments::parse();
    let producer = programs::example("rabbitmq-tasks", "rabbitmq-producer")?;
    let (python, script) = python()?;
    let broker = Broker::start(Kind::RabbitMq)?;
    let (url, count) = (broker.url(), tasks.to_string());
    // Makes the queue, which the other one only uses.
    let rust = |count: &str| {
        let mut command = Command::new(&producer);
        command.args(["--broker", &url, "--queue", QUEUE, "--count", count, "task"]);
        rate(&mut command, tasks)
    };
    rust("1")?;
    let mut rates = [Vec::new(), Vec::new()];
    for round in 1..=rounds {
        rates[0].push(rust(&count)?);
        let mut pika = Command::new(&python);
        rates[1].push(rate(pika.arg(&script).args([&url, QUEUE, &count]), tasks)?);
        let [ours, theirs] = rates.each_ref().map(|rates| rates[round - 1]);
        eprintln!("round {round} of {rounds}: {ours:.0} and {theirs:.0} a second");
    }
    let [ours, theirs] = &rates;
    println!("{tasks} confirmed tasks a second (median of {rounds} rounds, spread)");
    print_row("rabbitmq-producer", ours, 0);
    print_row(PYTHON_LIBRARY, theirs, 0);
    print_row("ratio", &ratios(ours, theirs), 1);
    Ok(())
}

/// Installs the library; says where Python and the script for it are.
fn python() -> Result<(PathBuf, PathBuf)> {
    let folder = programs::target()?.join("rabbitmq-bench");
    fs::create_dir_all(&folder)?;
    let python = programs::python(&folder, &[PYTHON_LIBRARY])?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin");
    Ok((python, script.join("rabbitmq-bench.py")))
}

/// Tasks a second, by the program's whole life. What it prints goes nowhere.
fn rate(command: &mut Command, tasks: u32) -> Result<f64> {
    let start = Instant::now();
    let status = command.stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(f64::from(tasks) / start.elapsed().as_secs_f64())
}

fn print_row(name: &str, values: &[f64], digits: usize) {
    let middle = median(values).unwrap_or_default();
    let (least, most) = spread(values).unwrap_or_default();
    println!("  {name:18} {middle:>8.digits$} ({least:.digits$} to {most:.digits$})");
}
