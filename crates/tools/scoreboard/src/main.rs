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
#[cfg(test)]
mod slides;
mod stats;
mod table;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{env, fs, io, io::Write, time::Duration};

use anyhow::{Context, Result, ensure};
use brokers::{Broker, Kind};
use brokers::{lifeline, python};
use clap::{Parser, Subcommand};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use cases::{Case, Programs, TRANSPORTS};
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
/// About what it takes to start a program and its load, in seconds.
const START: f64 = 0.2;

/// Measures the examples of the lecture, beside Python, on this machine.
///
/// Says first how long it will take. Prints a table, and writes scoreboard.json and
/// charts. Exit status 1 when something could not be measured, 2 for a wrong
/// argument.
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
    let files = write(&report, &output.unwrap_or(folder))?;
    let files = files.iter().map(|path| format!("{}\n", path.display()));
    let text = format!("{}\n{}", table::text(&report), files.collect::<String>());
    io::stdout().write_all(text.as_bytes()).context("cannot print the table")
}

/// Writes the figures and the charts; says where.
fn write(report: &Report, folder: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    let json = serde_json::to_string_pretty(report)? + "\n";
    let mut files = vec![("scoreboard.json", Some(json))];
    files.extend(chart::draw(report)?);
    let mut written = Vec::new();
    for (name, text) in files {
        let path = folder.join(name);
        let Some(text) = text else {
            // Of another run there may be one, which would be taken for this one's.
            let _ = fs::remove_file(path);
            continue;
        };
        fs::write(&path, text)
            .with_context(|| format!("cannot write {}", path.display()))?;
        written.push(path);
    }
    Ok(written)
}

fn measure_all(quick: bool, only: &str, folder: &Path) -> Result<Report> {
    let names = TRANSPORTS.map(|transport| transport.name);
    let is_known = names.iter().any(|name| name.contains(only));
    ensure!(is_known, "'{only}' is in none of these: {}", names.join("; "));
    eprintln!("Building the examples");
    let release = program::build_examples("release", &cases::packages())?;
    let programs = Programs::prepare(release, folder)?;
    let mut machine = machine::describe(programs.python.as_deref(), &PACKAGES);
    let work = Work::choose(&programs, quick, only);
    let (rounds, window_ms) = if quick { (2, 60) } else { (5, 600) };
    let plan = Plan { quick, rounds, rate: 500, window_ms };
    let bar = work.announce(&plan)?;
    work.open_files()?;
    let mut bench = Bench::start(plan, work.brokers())?;
    if let Ok(version) = bench.rabbitmq_version() {
        machine.versions.push(("RabbitMQ".into(), version));
    }
    let mut rows = Vec::new();
    for part in [Part::Transports, Part::Clients, Part::Sizes] {
        let cases = work.cases.iter().filter(|case| case.part == part);
        rows.extend(bench.rounds(&cases.collect::<Vec<_>>(), &bar)?);
    }
    rows.extend(senders::rounds(&work.senders, &mut bench, &programs, &bar)?);
    bar.finish_and_clear();
    Ok(Report { machine, plan: bench.plan, rows })
}

/// All that is to be measured.
struct Work {
    cases: Vec<Case>,
    senders: Vec<Sender>,
}

impl Work {
    fn choose(programs: &Programs, quick: bool, only: &str) -> Work {
        let mut cases = programs.transports();
        cases.extend(programs.growing(quick));
        cases.extend(programs.sized(quick));
        cases.retain(|case| case.transport.contains(only));
        let mut senders = Sender::all(programs, quick);
        senders.retain(|sender| sender.transport.contains(only));
        Work { cases, senders }
    }

    fn brokers(&self) -> impl Iterator<Item = Kind> + Clone {
        let cases = self.cases.iter().filter_map(Case::broker);
        cases.chain(self.senders.iter().filter_map(Sender::broker))
    }

    /// Each client is an open file here; the servers inherit the higher limit.
    fn open_files(&self) -> Result<()> {
        let clients = self.cases.iter().map(|case| case.clients).max();
        let needed = clients.unwrap_or_default() as u64 + 200;
        let allowed = rlimit::increase_nofile_limit(needed)?;
        ensure!(allowed >= needed, "{needed} open files needed, {allowed} allowed");
        Ok(())
    }

    /// Says how long it will take, and makes the bar that shows how far it is.
    fn announce(&self, plan: &Plan) -> Result<ProgressBar> {
        let window = plan.window_ms as f64 / 1000.0;
        let cases =
            self.cases.iter().map(|case| START + window * case.part.windows());
        // A sender takes no window, but two runs.
        let sender = if plan.quick { 0.3 } else { 0.8 };
        let round = cases.sum::<f64>() + sender * self.senders.len() as f64;
        let (loads, rounds) = (self.cases.len() + self.senders.len(), plan.rounds);
        let time = HumanDuration(Duration::from_secs_f64(round * rounds as f64));
        println!("{loads} loads in {rounds} rounds: about {time}");
        let style = "{bar:40} {pos} of {len}, {eta} left: {wide_msg}";
        let bar = ProgressBar::new((loads * rounds) as u64);
        Ok(bar.with_style(ProgressStyle::with_template(style)?))
    }
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
    /// Makes what stands beside the examples, as far as it can be had here.
    fn prepare(release: PathBuf, folder: &Path) -> Result<Programs> {
        let epoll = program::build_c(folder)?;
        if epoll.is_none() {
            eprintln!("No C compiler (cc): async TCP has no limit beside it");
        }
        let python = python::environment(folder, &PACKAGES);
        if let Err(error) = &python {
            eprintln!("{error:#}: no Python is measured beside the examples");
        }
        let (python, own) = (python.ok(), env::current_exe()?);
        Ok(Programs { release, python, epoll, own })
    }
}

impl Bench {
    /// Starts the brokers of these kinds, on the processor of all that is measured.
    fn start(plan: Plan, kinds: impl Iterator<Item = Kind> + Clone) -> Result<Bench> {
        let processors = two_processors()?;
        let is_needed = |kind: &Kind| kinds.clone().any(|it| it == *kind);
        let kinds = [Kind::Mosquitto, Kind::RabbitMq].into_iter().filter(is_needed);
        let start = || kinds.map(Broker::start).collect::<Result<Vec<_>>>();
        let brokers = match processors {
            Some(processors) => processors.beside(start)?,
            None => start()?,
        };
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
    use crate::report::Figure;
    use std::sync::LazyLock;

    /// What several tests use is made once.
    static PROGRAMS: LazyLock<Programs> = LazyLock::new(|| {
        let folder = program::target().unwrap().join("scoreboard");
        fs::create_dir_all(&folder).unwrap();
        let mut built = PathBuf::new();
        // One by one, as other tests build them: together they are other builds.
        for package in cases::packages() {
            built = program::build_examples("dev", &[package]).unwrap();
        }
        let programs = Programs::prepare(built, &folder).unwrap();
        assert!(programs.python.is_some(), "no python3: make test installs it");
        programs
    });

    fn bench(work: &Work) -> Bench {
        let plan = Plan { quick: true, rounds: 1, rate: 500, window_ms: 20 };
        Bench::start(plan, work.brokers()).unwrap()
    }

    /// Each program is started, understood by the load, and put under it: an example
    /// that prints another line, or a twin that answers otherwise, fails here.
    #[test]
    fn every_transport_is_measured_with_every_figure_on_both_sides() {
        let mut work = Work::choose(&PROGRAMS, true, "");
        // Only the scoreboard itself can be axum, and here a test is running.
        work.cases.retain(|case| case.program.name != "axum");
        let cases = work.cases.iter().filter(|case| case.part == Part::Transports);
        let cases: Vec<&Case> = cases.collect();
        assert_eq!(cases.len(), 2 * TRANSPORTS.len() + 1);
        for row in bench(&work).rounds(&cases, &ProgressBar::hidden()).unwrap() {
            let figures = [&row.p50_us, &row.p99_us, &row.per_second];
            let figures = figures.into_iter().chain([&row.resident_kib, &row.cpu_us]);
            assert!(figures.map(Figure::median).all(|it| it > 0.0), "{row:?}");
            assert_eq!(row.wire_bytes.0.len(), 1, "{row:?}");
        }
    }

    #[test]
    fn every_sender_sends_all_it_was_told_to() {
        let work = Work { cases: Vec::new(), senders: Sender::all(&PROGRAMS, true) };
        let (mut bench, puller) = (bench(&work), PROGRAMS.example("zeromq-puller"));
        assert_eq!(work.senders.len(), 10);
        for sender in &work.senders {
            sender.run(&mut bench, &puller, 20).unwrap();
        }
    }
}
