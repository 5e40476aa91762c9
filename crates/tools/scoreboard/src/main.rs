//! The scoreboard: measures the same job over every transport of the lecture, beside
//! Python and beside what is possible, and draws what it found.
//!
//! What answers or relays are the programs on the slides, in release builds, and the
//! brokers; the load is the scoreboard's own.

mod chart;
mod kernel;
mod load;
mod machine;
mod measure;
mod page;
mod program;
mod progress;
mod protocol;
mod report;
mod rows;
mod slides;
mod table;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use brokers::Kind;
use clap::Parser;

use measure::Bench;
use program::{Program, Programs};
use progress::Progress;
use report::{Plan, Report, Row, three_digits};
use rows::{Case, TRANSPORTS, cases};

/// A round begins only if it fits: so long takes a run at most, after the build.
const TIME: Duration = Duration::from_secs(14 * 60);
const QUICK_TIME: Duration = Duration::from_secs(55);
const ROUNDS: usize = 5;

/// Measures the examples of the lecture, beside Python and beside what is possible.
///
/// Prints tables, and writes scoreboard.json, charts and index.html, a page with
/// everything. Takes a quarter of an hour. What cannot be measured is named, and all else
/// is measured. Exit status 1 when nothing could be measured, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// A first look in a minute: fewer, shorter rounds, and fewer loads
    #[arg(long)]
    quick: bool,
    /// Measure only transports whose name contains this, such as `ZeroMQ`
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    only: String,
    /// The folder for what is written [default: target/scoreboard]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Measure nothing: print and draw again what was measured before
    #[arg(long, value_name = "RUN", conflicts_with_all = ["quick", "only"])]
    draw: Option<PathBuf>,
    /// Tell what has changed since another run, a scoreboard.json
    #[arg(long, value_name = "RUN")]
    compare: Option<PathBuf>,
    /// Show this run on the slides: write slides/scoreboard, and the figures in the deck
    #[arg(long, conflicts_with = "only")]
    slides: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let folder = program::target()?.join("scoreboard");
    let output = arguments.output.as_ref().unwrap_or(&folder);
    fs::create_dir_all(&folder)?;
    fs::create_dir_all(output)?;
    let before = arguments.compare.as_deref().map(read).transpose()?;
    let report = match &arguments.draw {
        Some(run) => read(run)?,
        None => measure_all(&arguments, &folder, output)?,
    };
    let mut text = table::text(&report);
    if let Some(before) = before {
        text += &format!("\n{}", table::compare(&report, &before));
    }
    for path in write(&report, output)? {
        text += &format!("\n{}", path.display());
    }
    if arguments.slides {
        slides::show(&report, &program::here("../../.."))?;
        text += "\nThe slides show this run";
    }
    text.push('\n');
    io::stdout().write_all(text.as_bytes()).context("cannot print the tables")
}

fn read(run: &Path) -> Result<Report> {
    let text = fs::read_to_string(run);
    let text = text.with_context(|| format!("cannot read {}", run.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is not a scoreboard", run.display()))
}

/// Writes figures, charts and page; says where.
fn write(report: &Report, folder: &Path) -> Result<Vec<PathBuf>> {
    let charts = chart::draw(report)?;
    let mut files = vec![("scoreboard.json", report.json()?)];
    files.push(("index.html", page::html(report, &charts)?));
    files.extend(charts.into_iter().map(|chart| (chart.file, chart.svg)));
    let mut paths = Vec::new();
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text)
            .with_context(|| format!("cannot write {}", path.display()))?;
        paths.push(path);
    }
    Ok(paths)
}

fn measure_all(
    arguments: &Arguments,
    folder: &Path,
    output: &Path,
) -> Result<Report> {
    let Arguments { quick, only, .. } = arguments;
    let cases = cases(*quick, only);
    let names: Vec<&str> = TRANSPORTS.iter().map(|it| &*it.name).collect();
    ensure!(!cases.is_empty(), "'{only}' is in none of these: {}", names.join("; "));
    eprintln!("Building the examples");
    let programs = Programs::prepare("release", folder)?;
    let machine = machine::describe();
    open_files(&cases)?;
    let own_loopback = kernel::own_loopback()?;
    let kinds = [Kind::Mosquitto, Kind::RabbitMq].into_iter().filter(|kind| {
        cases.iter().any(|case| case.transport.broker() == Some(*kind))
    });
    let mut bench = Bench::start(kinds)?;
    let processors = bench.processors.map(|pair| (pair.server, pair.load));
    let window_ms = if *quick { 50 } else { 400 };
    let plan = Plan {
        quick: *quick,
        rate: 500,
        window_ms,
        processors,
        own_loopback,
        load: Vec::new(),
    };
    let mut run =
        Run::new(cases, &programs, Report { machine, plan, rows: Vec::new() });
    let time = if *quick { QUICK_TIME } else { TIME };
    run.all_rounds(&mut bench, time, |report| {
        let file = output.join("scoreboard.json");
        fs::write(&file, report.json()?).with_context(|| file.display().to_string())
    })?;
    let measured =
        run.report.rows.iter().any(|row| row.rounds.iter().any(Option::is_some));
    ensure!(measured, "nothing could be measured: {:?}", run.report.rows[0].failed);
    Ok(run.report)
}

/// Each client is an open file here; the servers inherit the higher limit.
fn open_files(cases: &[Case]) -> Result<()> {
    let clients = cases.iter().map(|case| case.clients).max();
    let needed = clients.unwrap_or_default() as u64 + 200;
    let allowed = rlimit::increase_nofile_limit(needed)?;
    ensure!(allowed >= needed, "{needed} open files needed, {allowed} allowed");
    Ok(())
}

/// A run under way: for each case its program, if it can be had, and its row.
struct Run {
    cases: Vec<(Case, Option<Program>)>,
    report: Report,
}

impl Run {
    fn new(cases: Vec<Case>, programs: &Programs, mut report: Report) -> Run {
        let mut run = Vec::new();
        for case in cases {
            let found = programs.find(case.transport, case.side);
            let name = match (case.transport.broker(), &found) {
                (Some(broker), _) if case.is_idle_at_broker() => broker.name().into(),
                (_, Ok(program)) => program.name.clone(),
                (_, Err(_)) => "none".to_string(),
            };
            report.rows.push(Row {
                part: case.part,
                transport: case.transport.name.clone(),
                side: case.side,
                program: name,
                clients: case.clients,
                bytes: case.bytes,
                failed: found.as_ref().err().cloned(),
                rounds: Vec::new(),
            });
            run.push((case, found.ok()));
        }
        Run { cases: run, report }
    }

    /// Measures all cases in each round: what else the machine does in a round slows
    /// them all, and a ratio within the round is still fair.
    fn all_rounds(
        &mut self,
        bench: &mut Bench,
        time: Duration,
        mut keep: impl FnMut(&Report) -> Result<()>,
    ) -> Result<()> {
        let (start, mut longest) = (Instant::now(), Duration::ZERO);
        let rounds = if self.report.plan.quick { 2 } else { ROUNDS };
        let measured =
            self.cases.iter().filter(|(_, program)| program.is_some()).count();
        let mut progress = Progress::new(rounds * measured, time);
        for round in 0..rounds {
            if start.elapsed() + longest > time {
                break;
            }
            let begin = Instant::now();
            self.report.plan.load.push(kernel::load_average());
            self.round(bench, round, &mut progress);
            longest = longest.max(begin.elapsed());
            keep(&self.report)?;
        }
        Ok(())
    }

    /// Each round begins with another case, so that none always follows the same one.
    fn round(&mut self, bench: &mut Bench, round: usize, progress: &mut Progress) {
        for turn in 0..self.cases.len() {
            let which = (turn + round) % self.cases.len();
            let (case, Some(program)) = &self.cases[which] else { continue };
            let row = &mut self.report.rows[which];
            progress.tell(&row.name());
            let mut measured = bench.measure(case, program, &self.report.plan);
            if let Ok(round) = &mut measured {
                round.values_mut().for_each(|figure| *figure = three_digits(*figure));
            }
            if let Err(why) = &measured {
                let why = format!("round {}: {why:#}", round + 1);
                eprintln!("{}, {why}", row.name());
                row.failed = Some(why);
            }
            row.rounds.push(measured.ok());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Machine, Part, Side, What};
    use std::sync::LazyLock;

    /// What several tests use is made once.
    static PROGRAMS: LazyLock<Programs> = LazyLock::new(|| {
        let folder = program::target().unwrap().join("scoreboard");
        fs::create_dir_all(&folder).unwrap();
        let programs = Programs::prepare("dev", &folder).unwrap();
        assert!(programs.python.is_ok(), "no python3: make test installs it");
        programs
    });

    fn run(is_meant: impl FnMut(&Case) -> bool) -> Run {
        let cases = cases(true, "").into_iter().filter(is_meant).collect();
        let plan = Plan { quick: true, rate: 500, window_ms: 20, ..Plan::default() };
        Run::new(
            cases,
            &PROGRAMS,
            Report { machine: Machine::default(), plan, rows: vec![] },
        )
    }

    /// Each program is started, understood by the load, and put under it: an example
    /// that prints another line, or a twin that answers otherwise, fails here.
    fn measures_every_side(kinds: &[Kind]) {
        let kind_of = |case: &Case| case.transport.broker();
        let is_meant = |case: &Case| kind_of(case).is_none() == kinds.is_empty();
        let mut run = run(|case| case.part == Part::Reading && is_meant(case));
        let mut bench = Bench::start(kinds.iter().copied()).unwrap();
        run.round(&mut bench, 0, &mut Progress::new(run.cases.len(), QUICK_TIME));
        assert!(run.report.rows.len() > 3);
        for row in &run.report.rows {
            // A limit need not be had on every machine, but what is here has to work.
            let Some(round) = row.rounds.first() else {
                assert!(row.side == Side::Limit && row.failed.is_some(), "{row:?}");
                continue;
            };
            let round = round.as_ref().unwrap_or_else(|| panic!("{row:?}"));
            assert!(round[&What::PerSecond] > 0.0, "{row:?}");
            // In so short a time, on a busy machine, a program may have had no processor.
            assert!(
                round.contains_key(&What::CpuUs) || !round.contains_key(&What::P50Us),
                "{row:?}"
            );
        }
    }

    #[test]
    fn every_transport_without_a_broker_is_measured_on_all_sides() {
        measures_every_side(&[]);
    }

    #[test]
    fn every_transport_with_a_broker_is_measured_on_all_sides() {
        measures_every_side(&[Kind::Mosquitto, Kind::RabbitMq]);
    }

    #[test]
    fn a_case_that_fails_marks_its_row_and_the_run_goes_on() {
        let mut run = run(|case| {
            case.transport.name == "TCP, async" && case.part == Part::Reading
        });
        run.cases[0].1 =
            Some(Program { name: "ends".into(), command: vec!["false".into()] });
        let mut kept = 0;
        let mut bench = Bench::start([]).unwrap();
        let keep = |_: &Report| {
            kept += 1;
            Ok(())
        };
        run.all_rounds(&mut bench, QUICK_TIME, keep).unwrap();
        let [failed, measured, ..] = &run.report.rows[..] else { panic!() };
        assert_eq!(failed.rounds, [None, None]);
        assert!(failed.failed.as_ref().unwrap().contains("it ended at once"));
        assert!(
            measured.rounds.iter().all(Option::is_some) && measured.failed.is_none()
        );
        assert_eq!(kept, 2, "what was measured is kept after each round");
    }
}
