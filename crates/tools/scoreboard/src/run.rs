//! A whole run: every case, in rounds.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use brokers::Kind;

use crate::measure::Bench;
use crate::program::{Program, Programs};
use crate::report::{Plan, Report, Row, three_digits};
use crate::rows::{Case, TRANSPORTS, cases};
use crate::{kernel, machine};

/// The longest run, without the build: a round begins only if it fits in.
const TIME: Duration = Duration::from_secs(14 * 60);
const QUICK_TIME: Duration = Duration::from_secs(55);
const ROUNDS: usize = 5;

/// The time between two reports of progress.
const PAUSE: Duration = Duration::from_secs(10);

/// Measures all cases, and saves the report after each round.
pub fn measure_all(
    quick: bool,
    only: &str,
    folder: &Path,
    output: &Path,
) -> Result<Report> {
    let cases = cases(quick, only);
    let names: Vec<&str> = TRANSPORTS.iter().map(|it| &*it.name).collect();
    ensure!(!cases.is_empty(), "'{only}' is in none of these: {}", names.join("; "));
    eprintln!("Building the examples");
    let programs = Programs::prepare("release", folder)?;
    let machine = machine::describe(); // Before it is pinned: else it sees one core.
    open_files(&cases)?;
    let own_loopback = kernel::own_loopback()?;
    let kinds = [Kind::Mosquitto, Kind::RabbitMq].into_iter().filter(|kind| {
        cases.iter().any(|case| case.transport.broker() == Some(*kind))
    });
    let window_ms = if quick { 50 } else { 400 };
    let plan = Plan { quick, rate: 500, window_ms, own_loopback, ..Plan::default() };
    let mut bench = Bench::start(kinds, plan)?;
    let mut run = Run::new(cases, &programs, bench.plan.clone());
    run.report.machine = machine;
    let file = output.join("scoreboard.json");
    run.all_rounds(&mut bench, |report| {
        fs::write(&file, report.json()?).with_context(|| file.display().to_string())
    })?;
    let mut rounds = run.report.rows.iter().flat_map(|row| &row.rounds);
    let why = &run.report.rows[0].failed;
    ensure!(rounds.any(Option::is_some), "nothing could be measured: {why:?}");
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

/// A run in progress: for each case its program, if there is one, and its row.
pub struct Run {
    pub cases: Vec<(Case, Option<Program>)>,
    pub report: Report,
    /// When progress was last reported.
    told: Option<Instant>,
}

impl Run {
    pub fn new(cases: Vec<Case>, programs: &Programs, plan: Plan) -> Run {
        let report = Report { plan, ..Report::default() };
        let mut run = Run { cases: Vec::new(), report, told: None };
        for case in cases {
            let found = programs.find(case.transport, case.side);
            let program = match (case.transport.broker(), &found) {
                (Some(broker), _) if case.is_idle_at_broker() => broker.name().into(),
                (_, Ok(program)) => program.name.clone(),
                (_, Err(_)) => "none".to_string(),
            };
            run.report.rows.push(Row {
                part: case.part,
                transport: case.transport.name.clone(),
                side: case.side,
                program,
                clients: case.clients,
                bytes: case.bytes,
                failed: found.as_ref().err().cloned(),
                rounds: Vec::new(),
            });
            run.cases.push((case, found.ok()));
        }
        run
    }

    /// How many rounds there are at most, and how long they may take.
    fn most(&self) -> (usize, Duration) {
        if self.report.plan.quick { (2, QUICK_TIME) } else { (ROUNDS, TIME) }
    }

    /// Measures all cases in each round: other load on the machine slows all of them, so
    /// that a ratio within the round is still fair.
    pub fn all_rounds(
        &mut self,
        bench: &mut Bench,
        mut keep: impl FnMut(&Report) -> Result<()>,
    ) -> Result<()> {
        let (rounds, time) = self.most();
        let (start, mut longest) = (Instant::now(), Duration::ZERO);
        for round in 0..rounds {
            if start.elapsed() + longest > time {
                break;
            }
            let begin = Instant::now();
            self.report.plan.load.push(kernel::load_average());
            self.round(bench, round, start);
            longest = longest.max(begin.elapsed());
            keep(&self.report)?;
        }
        Ok(())
    }

    /// Every second round goes backwards, so that no case always follows the same one.
    pub fn round(&mut self, bench: &mut Bench, round: usize, start: Instant) {
        let ((rounds, time), cases) = (self.most(), self.cases.len());
        for turn in 0..cases {
            let which = if round.is_multiple_of(2) { turn } else { cases - 1 - turn };
            let (case, Some(program)) = &self.cases[which] else { continue };
            let row = &mut self.report.rows[which];
            if self.told.is_none_or(|told| told.elapsed() > PAUSE) {
                self.told = Some(Instant::now());
                let done = (round * cases + turn) as f64 / (rounds * cases) as f64;
                eprintln!(
                    "{}: {}",
                    progress(done, start.elapsed(), time),
                    row.name()
                );
            }
            let mut measured = bench.measure(case, program);
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

/// How much is done, and the time left: an estimate from what is done, at most what
/// remains of `time`.
pub fn progress(done: f64, elapsed: Duration, time: Duration) -> String {
    let rest = time.saturating_sub(elapsed);
    let left =
        if done > 0.0 { elapsed.mul_f64(1.0 / done - 1.0).min(rest) } else { rest };
    let left = left.as_secs();
    format!("{:.0} %, {}:{:02} left", done * 100.0, left / 60, left % 60)
}
