//! The run that the slides show, and the rows that it has to have.

use std::fs;
use std::path::Path;

use scoreboard::program::{ROOT, here};
use scoreboard::report::{Part, Report, What};
use scoreboard::rows::{Case, Limit, TRANSPORTS, cases};
use scoreboard::slides::{DECK, FOLDER, deck};
use scoreboard::{chart, page, table};

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

fn committed() -> Report {
    Report::read(&Path::new(ROOT).join(FOLDER).join("scoreboard.json")).unwrap()
}

/// What differs, `cargo run -p scoreboard -- --draw slides/scoreboard/scoreboard.json
/// --slides` writes again.
#[test]
fn the_slides_show_the_committed_run() {
    let report = committed();
    let shown = |name: &str| file(&format!("{FOLDER}/{name}"));
    assert_eq!(report.json().unwrap(), shown("scoreboard.json"));
    assert_eq!(table::text(&report), shown("tables.md"));
    for chart in chart::draw(&report).unwrap() {
        assert!(chart.svg == shown(chart.file), "{} is another run's", chart.file);
    }
    assert_eq!(deck(&file(DECK), &report).unwrap(), file(DECK));
}

#[test]
fn the_committed_run_has_every_row_or_says_why_not() {
    let report = committed();
    for case in cases(report.plan.quick, "") {
        let three = report.part(case.part).find(|it| {
            let row = it.example;
            (&row.transport, row.clients, row.bytes)
                == (&case.transport.name, case.clients, case.bytes)
        });
        let row = three.and_then(|three| three.side(case.side));
        let row = row.unwrap_or_else(|| panic!("no {}", case.transport.name));
        let is_measured = row.rounds.len() == report.plan.load.len();
        assert!(is_measured || row.failed.is_some(), "{}", row.name());
    }
    let readings = report.part(Part::Reading);
    let measured = readings.filter(|it| it.example.failed.is_none());
    assert_eq!(measured.count(), TRANSPORTS.len());
}

#[test]
fn a_deck_that_does_not_show_the_run_is_an_error() {
    let error = deck("# No figures\n", &committed()).unwrap_err().to_string();
    assert!(error.contains("does not show"), "{error}");
}

/// Claim 92, that REQ/REP is like REST, only faster: it takes far fewer bytes, and is not
/// slower. And what else the notes ask about.
#[test]
fn what_the_notes_say_of_the_run_holds() {
    let report = committed();
    let ratio = |more, less, what| {
        let [more, less] = [more, less].map(|name| report.reading(name).unwrap());
        more.example.ratio(less.example, what)
    };
    let is_ahead = |more, less, what| {
        let ratio = ratio(more, less, what);
        assert!(ratio.is_difference() && ratio.median() > Some(1.0), "{ratio:?}");
    };
    let (reply, rest) = ("ZeroMQ REQ/REP", "REST, kept alive");
    is_ahead(rest, reply, What::WireBytes);
    let faster = ratio(reply, rest, What::PerSecond);
    assert!(faster.median() > Some(1.0) || !faster.is_difference(), "{faster:?}");
    is_ahead(rest, "REST, a connection each", What::PerSecond);
    is_ahead("MQTT QoS 0", "MQTT QoS 1", What::PerSecond);
    is_ahead("RabbitMQ, fanout", "RabbitMQ, tasks", What::PerSecond);
}

/// What is measured is what is judged, in the place of the same program.
#[test]
fn every_transport_has_a_twin_and_a_limit_that_is_judged_or_a_reason() {
    let judge = include_str!("../../claims/tests/judge/limits.rs");
    let judged: String = judge.split_whitespace().collect();
    for (place, transport) in TRANSPORTS.iter().enumerate() {
        let name = &transport.name;
        assert!(TRANSPORTS[..place].iter().all(|other| other.name != *name));
        let twin = here("python").join(&transport.twin);
        assert!(twin.exists(), "{name}: {twin:?}");
        let stem = match &transport.limit {
            Limit::C(file) => {
                assert!(here("limits").join(file).exists(), "{file}");
                file.trim_end_matches(".c")
            }
            Limit::Rust(binary) => {
                let manifest = include_str!("../Cargo.toml");
                assert!(manifest.contains(&format!("\"{binary}\"")), "{binary}");
                binary.trim_start_matches("limit-")
            }
            Limit::None(why) => {
                assert!(!why.is_empty(), "{name}");
                continue;
            }
        };
        let role = transport.role.as_deref().unwrap_or_default();
        let [package, program] = &transport.example;
        let limit = format!("\"{package}\",\"{program}\",\"{stem}{role}\"");
        assert!(judged.contains(&limit), "{name}: nobody judges {limit}");
    }
}

#[test]
fn a_quick_run_measures_less_and_only_is_a_part_of_a_name() {
    let of = |cases: &[Case], part| cases.iter().filter(|it| it.part == part).count();
    let (all, quick) = (cases(false, ""), cases(true, ""));
    assert_eq!(of(&quick, Part::Reading), 3 * TRANSPORTS.len());
    assert!(of(&quick, Part::Clients) < of(&all, Part::Clients));
    let zeromq = cases(false, "ZeroMQ");
    assert!(zeromq.iter().all(|it| it.transport.name.contains("ZeroMQ")));
}

#[test]
fn every_fault_is_a_claim_with_a_test() {
    let lines = page::faults();
    let claims: usize = TRANSPORTS.iter().map(|it| it.faults.len()).sum();
    assert_eq!(lines.len(), 1 + claims);
    assert!(lines.iter().all(|line| line.iter().skip(1).all(|cell| cell.len() > 8)));
}
