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
use report::{Part, Plan, Report, Row};
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
    let names = TRANSPORTS.map(|transport| transport.name).join("; ");
    ensure!(!cases.is_empty(), "'{only}' is in none of these: {names}");
    eprintln!("Building the examples");
    let programs = Programs::prepare("release", folder)?;
    let mut machine = machine::describe(&programs);
    open_files(&cases)?;
    let mut kinds: Vec<Kind> = Vec::new();
    for kind in cases.iter().filter_map(|case| case.transport.how.broker()) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let mut bench = Bench::start(&kinds)?;
    if let Ok(version) = bench.rabbitmq_version() {
        machine.versions.push(("RabbitMQ".into(), version));
    }
    let processors = bench.processors.map(|pair| (pair.server, pair.load));
    let window_ms = if *quick { 50 } else { 400 };
    let plan =
        Plan { quick: *quick, rate: 500, window_ms, processors, load: Vec::new() };
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
            let at_broker =
                case.part == Part::Idle && case.transport.how.broker().is_some();
            let found = programs.find(case.transport, case.side);
            let name = match (case.transport.how.broker(), &found) {
                (Some(broker), _) if at_broker => broker.name().to_string(),
                (_, Ok(program)) => program.name.clone(),
                (_, Err(_)) => "none".to_string(),
            };
            report.rows.push(Row {
                part: case.part,
                transport: case.transport.name.into(),
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
        let mut progress = Progress::new(rounds, measured, time);
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
        progress.end();
        Ok(())
    }

    /// Each round begins with another case, so that none always follows the same one.
    fn round(&mut self, bench: &mut Bench, round: usize, progress: &mut Progress) {
        for turn in 0..self.cases.len() {
            let which = (turn + round) % self.cases.len();
            let (case, Some(program)) = &self.cases[which] else { continue };
            let row = &mut self.report.rows[which];
            progress.tell(&row.name());
            let measured = bench.measure(case, program, &self.report.plan);
            if let Err(why) = &measured {
                let why = format!("round {}: {why:#}", round + 1);
                progress.say(&format!("{}, {why}", row.name()));
                row.failed = Some(why);
            }
            row.rounds.push(measured.ok());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Round, Side};
    use std::sync::LazyLock;

    /// What several tests use is made once.
    static PROGRAMS: LazyLock<Programs> = LazyLock::new(|| {
        let folder = program::target().unwrap().join("scoreboard");
        fs::create_dir_all(&folder).unwrap();
        let programs = Programs::prepare("dev", &folder).unwrap();
        assert!(programs.python.is_ok(), "no python3: make test installs it");
        programs
    });

    fn plan() -> Plan {
        Plan { quick: true, rate: 500, window_ms: 20, ..Plan::default() }
    }

    /// Each program is started, understood by the load, and put under it: an example
    /// that prints another line, or a twin that answers otherwise, fails here.
    fn measures_every_side(kinds: &[Kind], is_meant: fn(&Case) -> bool) {
        let cases: Vec<Case> = cases(true, "").into_iter().filter(is_meant).collect();
        let mut bench = Bench::start(kinds).unwrap();
        let empty = Report {
            machine: report::Machine::default(),
            plan: plan(),
            rows: vec![],
        };
        let mut run = Run::new(cases, &PROGRAMS, empty);
        let mut progress = Progress::new(1, run.cases.len(), QUICK_TIME);
        run.round(&mut bench, 0, &mut progress);
        let rows = &run.report.rows;
        assert!(rows.len() > 3);
        for row in
            rows.iter().filter(|row| row.side != Side::Limit || row.failed.is_none())
        {
            let round: Round = row.rounds[0].unwrap_or_else(|| panic!("{row:?}"));
            assert!(
                round.per_second > Some(0.0) && round.cpu_us.is_some(),
                "{row:?}"
            );
            assert!(round.wire_bytes > Some(0.0), "{row:?}");
        }
    }

    #[test]
    fn every_transport_without_a_broker_is_measured_on_all_sides() {
        measures_every_side(&[], |case| {
            case.part == Part::Reading && case.transport.how.broker().is_none()
        });
    }

    #[test]
    fn every_transport_with_a_broker_is_measured_on_all_sides() {
        measures_every_side(&[Kind::Mosquitto, Kind::RabbitMq], |case| {
            case.part == Part::Reading && case.transport.how.broker().is_some()
        });
    }

    #[test]
    fn a_case_that_fails_marks_its_row_and_the_run_goes_on() {
        let cases = cases(true, "TCP, async");
        let empty = Report {
            machine: report::Machine::default(),
            plan: plan(),
            rows: vec![],
        };
        let mut run = Run::new(cases, &PROGRAMS, empty);
        run.cases.truncate(2);
        run.report.rows.truncate(2);
        run.cases[0].1 =
            Some(Program { name: "ends".into(), command: vec!["false".into()] });
        let mut kept = 0;
        let mut bench = Bench::start(&[]).unwrap();
        let keep = |_: &Report| {
            kept += 1;
            Ok(())
        };
        run.all_rounds(&mut bench, QUICK_TIME, keep).unwrap();
        let [failed, measured] = &run.report.rows[..] else { panic!() };
        assert_eq!(failed.rounds, [None, None]);
        assert!(failed.failed.as_ref().unwrap().contains("it ended at once"));
        assert!(
            measured.rounds.iter().all(Option::is_some) && measured.failed.is_none()
        );
        assert_eq!(kept, 2, "what was measured is kept after each round");
    }
}
