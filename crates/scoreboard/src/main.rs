//! The scoreboard: measures the same job over every transport of the lecture, beside
//! Python, and draws what it found.
//!
//! What answers or relays are the programs on the slides, in release builds, and the
//! brokers; the load is the scoreboard's own.

mod axum_items;
mod cases;
mod chart;
mod kernel;
mod load;
mod machine;
mod measure;
mod program;
mod protocol;
mod report;
mod senders;
mod stats;
mod table;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use lab::brokers::{Broker, Kind};
use lab::{lifeline, python};

use cases::{Case, Programs};
use kernel::two_processors;
use measure::Bench;
use report::{Part, Plan, Report, Row};
use senders::Sender;
use tempfile::TempDir;

/// What the twins in Python need, in a virtual environment of their own.
const PACKAGES: [&str; 6] = [
    "fastapi==0.165.0",
    "uvicorn[standard]==0.54.0",
    "websockets==17.4",
    "paho-mqtt==2.2.0",
    "pika==1.4.4",
    "pyzmq==27.3.0",
];
/// Open files that ten thousand clients need here; the servers inherit the limit.
const OPEN_FILES: u64 = 10_000 + 200;
/// About what it takes to start a program and its load, in seconds.
const START: f64 = 0.2;

/// Measures the examples of the lecture, beside Python, on this machine.
///
/// Says first how long it will take. Prints a table, and writes scoreboard.json and
/// charts. Exit status 1 when something could not be measured, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// A first look in a minute: fewer, shorter rounds, and fewer loads
    #[arg(long)]
    quick: bool,
    /// Measure only transports whose name contains this, as `ZeroMQ`
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// The folder for scoreboard.json and the charts [default: target/scoreboard]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Measure nothing: print and draw again what was measured before
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "only"])]
    draw: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// Is the server in axum that is measured
    #[command(hide = true)]
    Axum {
        address: SocketAddr,
        #[arg(long)]
        story: bool,
    },
}

fn main() -> Result<()> {
    let Arguments { quick, only, output, draw, role } = Arguments::parse();
    if let Some(Role::Axum { address, story }) = role {
        return axum_items::serve(address, story);
    }
    let folder = program::target()?.join("scoreboard");
    fs::create_dir_all(&folder)?;
    let report = match &draw {
        Some(file) => {
            let text = fs::read_to_string(file);
            let text =
                text.with_context(|| format!("cannot read {}", file.display()))?;
            serde_json::from_str(&text)
                .with_context(|| format!("{} is no scoreboard", file.display()))?
        }
        None => measure_all(quick, &only.unwrap_or_default(), &folder)?,
    };
    table::print(&report);
    write(&report, &output.unwrap_or(folder))
}

/// Writes the figures and the charts.
fn write(report: &Report, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let json = serde_json::to_string_pretty(report)? + "\n";
    let mut files = vec![("scoreboard.json", json)];
    files.extend(chart::draw(report)?);
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text)
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

fn measure_all(quick: bool, only: &str, folder: &Path) -> Result<Report> {
    let is_meant = |name: &str| name.contains(only);
    let mut transports = cases::TRANSPORTS.iter();
    ensure!(
        transports.any(|it| is_meant(it.name)),
        "no transport's name has '{only}'"
    );
    let allowed = rlimit::increase_nofile_limit(OPEN_FILES)?;
    ensure!(
        allowed >= OPEN_FILES,
        "{OPEN_FILES} open files needed, {allowed} allowed"
    );
    let programs = Programs::prepare("release", folder)?;
    let machine = machine::describe(programs.python.as_deref(), &PACKAGES);
    let (rounds, window_ms) = if quick { (2, 60) } else { (5, 600) };
    let plan = Plan { quick, rounds, rate: 500, window_ms };
    let mut cases = programs.transports();
    cases.extend(programs.growing(quick));
    cases.extend(programs.sized(quick));
    cases.retain(|case| is_meant(case.transport));
    let mut senders = Sender::all(&programs, quick);
    senders.retain(|sender| is_meant(sender.transport));
    let bar = progress(&plan, &cases, senders.len())?;
    let mut bench = Bench::start(plan)?;
    let mut rows = Vec::new();
    for part in [Part::Transports, Part::Clients, Part::Sizes] {
        let cases: Vec<_> = cases.iter().filter(|case| case.part == part).collect();
        rows.extend(bench.rounds(&cases, &bar)?);
    }
    rows.extend(senders::rounds(&senders, &mut bench, &programs, &bar)?);
    bar.finish_and_clear();
    Ok(Report { machine, plan: bench.plan, rows })
}

/// Says how long it will take, and makes the bar that shows how far it is.
fn progress(plan: &Plan, cases: &[Case], senders: usize) -> Result<ProgressBar> {
    let window = plan.window_ms as f64 / 1000.0;
    let seconds = cases.iter().map(|case| START + window * case.part.windows());
    // A sender takes no window, but two runs.
    let sending = senders as f64 * if plan.quick { 0.3 } else { 0.8 };
    let minutes = plan.rounds as f64 * (seconds.sum::<f64>() + sending) / 60.0;
    let (rounds, loads) = (plan.rounds, cases.len() + senders);
    println!("{loads} loads in {rounds} rounds: about {minutes:.1} minutes");
    let bar = ProgressBar::new((loads * rounds) as u64);
    let style = "{bar:40} {pos} of {len}, {eta} left: {wide_msg}";
    Ok(bar.with_style(ProgressStyle::with_template(style)?))
}

impl Part {
    /// How many windows a measurement takes, the warming up included.
    fn windows(self) -> f64 {
        match self {
            Part::Transports => 2.25,
            _ => 1.25,
        }
    }
}

impl Programs {
    /// Builds the examples, and what stands beside them as far as it can be had.
    fn prepare(profile: &str, folder: &Path) -> Result<Programs> {
        eprintln!("Building the examples");
        let packages = cases::TRANSPORTS.iter().map(|transport| transport.example[0]);
        let release = program::build_examples(profile, packages)?;
        let epoll = program::build_c(folder)?;
        if epoll.is_none() {
            eprintln!("No C compiler (cc): async TCP has no limit beside it");
        }
        let python = match std::process::Command::new("python3").arg("-V").output() {
            Ok(_) => Some(python::environment(folder, &PACKAGES)?),
            Err(_) => None,
        };
        if python.is_none() {
            eprintln!("No python3: nothing is measured beside the examples");
        }
        Ok(Programs { release, python, epoll, own: env::current_exe()? })
    }
}

impl Bench {
    /// Starts the brokers, on the processor of all that is measured.
    fn start(plan: Plan) -> Result<Bench> {
        let processors = two_processors()?;
        let start = || [Kind::Mosquitto, Kind::RabbitMq].map(Broker::start);
        let brokers = match processors {
            Some(processors) => processors.beside(|| Ok(start()))?,
            None => start(),
        };
        let brokers = brokers.into_iter().collect::<Result<_>>()?;
        // A path in the target folder can be too long for a socket.
        let folder = TempDir::with_prefix("scoreboard-")?;
        lifeline::folder(folder.path())?;
        Ok(Bench { plan, processors, brokers, folder, names: 0 })
    }

    /// Measures all cases in each round: what else the machine does in a round slows
    /// them all, and a ratio within the round is still fair.
    fn rounds(&mut self, cases: &[&Case], bar: &ProgressBar) -> Result<Vec<Row>> {
        let mut rows: Vec<Row> = cases.iter().map(|case| case.row()).collect();
        for round in 0..self.plan.rounds {
            for turn in 0..cases.len() {
                // Each round begins with another one, so that none is always next to
                // the same neighbour.
                let which = (turn + round) % cases.len();
                bar.set_message(rows[which].name());
                self.measure(cases[which], &mut rows[which])?;
                bar.inc(1);
            }
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each program is started, understood by the load, and put under it: an example
    /// that prints another line, or a twin that answers otherwise, fails here.
    #[test]
    fn every_transport_is_measured_with_every_figure_on_both_sides() {
        let folder = program::target().unwrap().join("scoreboard");
        fs::create_dir_all(&folder).unwrap();
        let programs = Programs::prepare("dev", &folder).unwrap();
        assert!(
            programs.python.is_some(),
            "python3 is missing: make test installs it"
        );
        let plan = Plan { quick: true, rounds: 1, rate: 500, window_ms: 20 };
        let mut bench = Bench::start(plan).unwrap();
        let cases = programs.transports();
        let cases: Vec<&Case> =
            cases.iter().filter(|case| case.program.name != "axum").collect();
        let rows = bench.rounds(&cases, &ProgressBar::hidden()).unwrap();
        assert!(rows.len() >= 2 * cases::TRANSPORTS.len());
        for row in rows {
            let figures =
                [&row.p50_us, &row.p99_us, &row.per_second, &row.resident_kib];
            assert!(figures.iter().all(|it| it.median() > 0.0), "{row:?}");
            assert!(
                row.cpu_us.0.len() == 1 && row.wire_bytes.0.len() == 1,
                "{row:?}"
            );
        }
    }
}
