//! The slides show the committed run, and nothing else: what differs is printed as it
//! should be.

use std::fs;

use crate::cases::TRANSPORTS;
use crate::program::here;
use crate::report::{Part, Report, Row, Side};
use crate::table::{figure, ratio, with_broker};
use crate::{chart, write};

const FOLDER: &str = "../../../slides/scoreboard";

fn committed() -> Report {
    let file = here(FOLDER).join("scoreboard.json");
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn deck() -> String {
    fs::read_to_string(here("../../../slides/deck.md")).unwrap()
}

#[test]
fn the_committed_run_is_a_whole_one() {
    let report = committed();
    assert!(!report.plan.quick && report.plan.rounds >= 5);
    for transport in TRANSPORTS {
        for side in [Side::Example, Side::Python] {
            let is_it =
                |row: &&Row| row.transport == transport.name && row.side == side;
            let row = report.rows(Part::Transports).find(is_it);
            let row = row.unwrap_or_else(|| panic!("{} is missing", transport.name));
            assert_eq!(row.per_second.0.len(), report.plan.rounds, "{}", row.name());
            assert_eq!(row.p99_us.0.len(), report.plan.rounds, "{}", row.name());
        }
    }
    let limits = report.rows(Part::Transports).filter(|row| row.side == Side::Limit);
    assert_eq!(limits.count(), 3);
    assert!(
        [Part::Clients, Part::Sizes, Part::Senders]
            .into_iter()
            .all(|part| report.rows(part).count() >= 10)
    );
}

#[test]
fn the_charts_on_the_slides_are_drawn_from_the_committed_run() {
    for (name, svg) in chart::draw(&committed()).unwrap() {
        let shown = fs::read_to_string(here(FOLDER).join(name)).unwrap();
        assert!(svg == Some(shown), "{name}: draw it again, as the README says");
        assert!(deck().contains(&format!("(scoreboard/{name})")), "{name}");
    }
}

#[test]
fn the_run_that_is_written_is_the_one_that_was_read() {
    let folder = tempfile::tempdir().unwrap();
    write(&committed(), folder.path()).unwrap();
    let written = fs::read_to_string(folder.path().join("scoreboard.json")).unwrap();
    let file = fs::read_to_string(here(FOLDER).join("scoreboard.json")).unwrap();
    assert!(written == file, "scoreboard.json was edited");
}

/// The slide "The right tool": its lines end with bytes on the wire, and delay.
#[test]
fn the_right_tool_has_the_figures_of_the_committed_run() {
    let (report, deck) = (committed(), deck());
    for (line, transport) in [
        ("TCP, UDP", "TCP, async"),
        ("REST", "REST, kept alive"),
        ("WebSocket", "WebSocket"),
        ("MQTT", "MQTT QoS 0"),
        ("RabbitMQ", "RabbitMQ, confirmed"),
        ("ZeroMQ", "ZeroMQ REQ/REP, TCP"),
    ] {
        let mut rows = report.rows(Part::Transports);
        let row = rows.find(|row| row.transport == transport).unwrap();
        let (bytes, delay) = (figure(&row.wire_bytes), figure(&row.p50_us));
        let delay = delay.trim_end_matches(".0");
        let end = format!("| {bytes} | {delay} µs |");
        let begin = format!("| {line} |");
        let mut lines = deck.lines().filter(|it| it.starts_with(&begin));
        assert!(lines.any(|it| it.ends_with(&end)), "{begin} ... {end}");
    }
}

/// The slide "The figures of one run": a line for each transport.
#[test]
fn the_figures_of_one_run_are_those_of_the_committed_run() {
    let (report, deck) = (committed(), deck());
    let lines = report.rows(Part::Transports).filter(|row| row.side == Side::Example);
    let lines: String = lines.map(|row| line(&report, row) + "\n").collect();
    assert!(deck.contains(&lines), "slides/deck.md should have:\n{lines}");
}

fn line(report: &Report, row: &Row) -> String {
    let twin = ratio(row, report.beside(row, Side::Python), |row| &row.per_second);
    let cells = [
        row.transport.clone(),
        figure(&row.p50_us),
        figure(&row.p99_us),
        figure(&row.per_second),
        twin.trim_end_matches(" Python").trim_end_matches('x').to_string(),
        figure(&row.wire_bytes),
        with_broker(&row.cpu_us, &row.broker_cpu_us, 1.0),
        with_broker(&row.resident_kib, &row.broker_resident_kib, 1024.0),
    ];
    format!("| {} |", cells.join(" | "))
}

/// Claim 92, that REQ/REP is faster than REST, and what else the notes say.
#[test]
fn what_the_notes_say_of_the_run_holds() {
    let report = committed();
    let find = |part, transport, clients| {
        let is_it = move |row: &&Row| {
            (row.side, &*row.transport) == (Side::Example, transport)
                && (clients == 0 || row.clients == clients)
        };
        report.rows(part).find(is_it).unwrap()
    };
    let rate = |transport| &find(Part::Transports, transport, 0).per_second;
    let times = |faster, slower| {
        let ratio = rate(faster).by(rate(slower));
        assert!(ratio.is_difference(), "{faster} and {slower} do not differ");
        ratio.median()
    };
    assert!(times("ZeroMQ REQ/REP, TCP", "REST, kept alive") > 1.0);
    assert!(times("REST, kept alive", "REST, a connection each") > 2.0);
    assert!(times("MQTT QoS 0", "MQTT QoS 1") > 10.0);
    assert!(times("RabbitMQ, fanout", "RabbitMQ, tasks") > 10.0);
    for clients in [10, 100, 1000] {
        let [events, threads] = ["TCP, async", "TCP, threads"]
            .map(|transport| find(Part::Clients, transport, clients));
        let ratio = events.per_second.by(&threads.per_second);
        assert!(ratio.is_difference() && ratio.median() > 1.0, "{clients}");
    }
    let [few, many] = [1, 1000].map(|n| find(Part::Clients, "TCP, one at a time", n));
    assert!(!few.per_second.by(&many.per_second).is_difference());
}
