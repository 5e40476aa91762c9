//! Measures with the real programs and brokers, in debug builds and for moments.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use brokers::Kind;
use scoreboard::measure::Bench;
use scoreboard::program::{Program, Programs, target};
use scoreboard::report::{Part, Plan, Side, What};
use scoreboard::rows::{Case, cases};
use scoreboard::run::Run;

/// What several tests use is made once.
static PROGRAMS: LazyLock<Programs> = LazyLock::new(|| {
    let folder = target().unwrap().join("scoreboard");
    fs::create_dir_all(&folder).unwrap();
    let programs = Programs::prepare("dev", &folder).unwrap();
    assert!(programs.python.is_ok(), "no python3: make test installs it");
    programs
});

fn run(is_meant: impl FnMut(&Case) -> bool) -> Run {
    let cases = cases(true, "").into_iter().filter(is_meant).collect();
    Run::new(cases, &PROGRAMS, plan())
}

fn plan() -> Plan {
    Plan { quick: true, rate: 500, window_ms: 20, ..Plan::default() }
}

/// Each program is started, understood by the load, and put under it: an example that
/// prints another line, or a twin that answers otherwise, fails here.
fn measures_every_side(kinds: &[Kind]) {
    let kind_of = |case: &Case| case.transport.broker();
    let is_meant = |case: &Case| kind_of(case).is_none() == kinds.is_empty();
    let mut run = run(|case| case.part == Part::Reading && is_meant(case));
    let mut bench = Bench::start(kinds.iter().copied(), plan()).unwrap();
    run.round(&mut bench, 0, std::time::Instant::now());
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
        let is_timed = round.contains_key(&What::CpuUs);
        assert!(is_timed || !round.contains_key(&What::P50Us), "{row:?}");
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
    let mut run =
        run(|case| case.transport.name == "TCP, async" && case.part == Part::Reading);
    let command =
        ["sh", "-c", "echo no luck >&2; exit 3"].map(PathBuf::from).to_vec();
    run.cases[0].1 = Some(Program { name: "ends".into(), command });
    let mut kept = 0;
    let mut bench = Bench::start([], plan()).unwrap();
    let keep = |_: &_| {
        kept += 1;
        Ok(())
    };
    run.all_rounds(&mut bench, keep).unwrap();
    let [failed, measured, ..] = &run.report.rows[..] else { panic!() };
    assert_eq!(failed.rounds, [None, None]);
    let why = failed.failed.as_ref().unwrap();
    assert!(why.contains("it ended at once: exit status: 3; no luck"), "{why}");
    assert!(measured.rounds.iter().all(Option::is_some) && measured.failed.is_none());
    assert_eq!(kept, 2, "what was measured is kept after each round");
}
