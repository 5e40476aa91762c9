//! The slides show one committed run. All that follows from it is written here: charts,
//! their alternative texts, the figures in the deck, and the table in the README.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::report::{Report, What};
use crate::table::{markdown, number, of_limits, slide};
use crate::{chart, write};

const DECK: &str = "slides/deck.md";
const README: &str = "crates/tools/scoreboard/README.md";
const FOLDER: &str = "slides/scoreboard";
/// The tools on the slide "The right tool", and of each the transport that was measured.
const TOOLS: [(&str, &str); 6] = [
    ("TCP, UDP", "TCP, async"),
    ("REST", "REST, kept alive"),
    ("WebSocket", "WebSocket"),
    ("MQTT", "MQTT QoS 0"),
    ("RabbitMQ", "RabbitMQ, confirmed"),
    ("ZeroMQ", "ZeroMQ REQ/REP"),
];
/// How the table of that slide ends, in its first line.
const TOOLS_HEAD: &str = "| bytes | delay |";
/// Where the README's table of the limits begins and ends.
const MARKS: [&str; 2] = ["<!-- of the committed run -->\n", "<!-- end -->"];

/// The load average above which something else than the run was going on.
const BUSY: f64 = 3.0;

/// Makes a run the one that the slides show.
pub fn show(report: &Report, root: &Path) -> Result<()> {
    let folder = root.join(FOLDER);
    write(report, &folder)?;
    // The page is for whoever has measured.
    fs::remove_file(folder.join("index.html"))?;
    for (file, rewrite) in [(DECK, deck as fn(&str, &Report) -> _), (README, readme)]
    {
        let path = root.join(file);
        let text = fs::read_to_string(&path).with_context(|| file)?;
        fs::write(&path, rewrite(&text, report)?).with_context(|| file)?;
    }
    Ok(())
}

/// The deck with the figures of a run: a chart by its file, a table by its first line.
fn deck(old: &str, report: &Report) -> Result<String> {
    let charts = chart::draw(report)?;
    let tables = [true, false].map(|is_direct| slide(report, is_direct));
    let (mut new, mut found) = (String::new(), 0);
    let mut lines = old.lines().peekable();
    while let Some(line) = lines.next() {
        let file =
            line.strip_prefix("![").and_then(|rest| rest.split_once("](scoreboard/"));
        let chart = file
            .and_then(|(_, file)| charts.iter().find(|it| file.starts_with(it.file)));
        let is_same = |table: &&Vec<Vec<String>>| {
            line.starts_with(&format!("| {} |", table[0][0]))
        };
        if let (Some((_, file)), Some(chart)) = (file, chart) {
            new += &format!("![{}{}](scoreboard/{file}\n", chart.says, note(report));
            found += 1;
        } else if let Some(table) = tables.iter().find(is_same) {
            new += &markdown(table);
            while lines.next_if(|line| line.starts_with('|')).is_some() {}
            found += 1;
        } else if line.ends_with(TOOLS_HEAD) {
            new += &format!("{line}\n");
            while let Some(line) = lines.next_if(|line| line.starts_with('|')) {
                new += &tool(line, report);
            }
            found += 1;
        } else {
            new += &format!("{line}\n");
        }
    }
    let all = charts.len() + tables.len() + 1;
    ensure!(
        found == all,
        "{DECK} shows {found} of {all} charts and tables of the run"
    );
    Ok(new)
}

/// A line of "The right tool": its last two cells are figures.
fn tool(line: &str, report: &Report) -> String {
    let tool =
        TOOLS.iter().find(|(tool, _)| line.starts_with(&format!("| {tool} |")));
    let figures = tool.and_then(|(_, transport)| {
        let row = report.reading(transport)?.example;
        let bytes = number(row.median(What::WireBytes)?);
        let delay = number(row.median(What::P50Us)?);
        Some(format!(" {bytes} | {} µs |\n", delay.trim_end_matches(".0")))
    });
    let mut cells: Vec<&str> = line.split('|').collect();
    match figures {
        Some(figures) if cells.len() > 4 => {
            cells.truncate(cells.len() - 3);
            cells.join("|") + "|" + &figures
        }
        _ => format!("{line}\n"),
    }
}

/// What has to be said of a run that was not a whole one, or not taken in peace.
fn note(report: &Report) -> String {
    let load = report.plan.load.iter().copied().fold(0.0, f64::max);
    match report.plan.quick || load > BUSY {
        true => {
            format!(" Not yet a full run on a quiet machine: load average {load:.1}.")
        }
        false => String::new(),
    }
}

fn readme(old: &str, report: &Report) -> Result<String> {
    let (before, rest) =
        old.split_once(MARKS[0]).context("no table in the README")?;
    let (_, after) =
        rest.split_once(MARKS[1]).context("no end of the README's table")?;
    let (date, table) = (&report.machine.date, markdown(&of_limits(report)));
    let said = format!("Measured on {date}.{}\n\n{table}", note(report));
    Ok(format!("{before}{}\n{said}\n{}{after}", MARKS[0], MARKS[1]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::here;
    use crate::report::Part;
    use crate::rows::cases;

    fn file(path: &str) -> String {
        fs::read_to_string(here("../../..").join(path)).unwrap()
    }

    fn committed() -> Report {
        serde_json::from_str(&file("slides/scoreboard/scoreboard.json")).unwrap()
    }

    /// What differs, `cargo run -p scoreboard -- --draw slides/scoreboard/scoreboard.json
    /// --slides` writes again.
    #[test]
    fn the_slides_show_the_committed_run() {
        let report = committed();
        assert_eq!(report.json().unwrap(), file("slides/scoreboard/scoreboard.json"));
        for chart in chart::draw(&report).unwrap() {
            let svg = file(&format!("{FOLDER}/{}", chart.file));
            assert!(chart.svg == svg, "{} is another run's", chart.file);
        }
        assert_eq!(deck(&file(DECK), &report).unwrap(), file(DECK));
        assert_eq!(readme(&file(README), &report).unwrap(), file(README));
    }

    #[test]
    fn the_committed_run_has_every_row_or_says_why_not() {
        let report = committed();
        for case in cases(report.plan.quick, "") {
            let mut rows = report.of(case.part, &case.transport.name).into_iter();
            let three = rows.find(|it| {
                (it.example.clients, it.example.bytes) == (case.clients, case.bytes)
            });
            let row = three.and_then(|three| three.side(case.side));
            let row = row.unwrap_or_else(|| panic!("no {}", case.transport.name));
            let is_measured = row.rounds.len() == report.plan.load.len();
            assert!(is_measured || row.failed.is_some(), "{}", row.name());
        }
        let measured =
            report.part(Part::Reading).filter(|it| it.example.failed.is_none());
        assert_eq!(measured.count(), crate::rows::TRANSPORTS.len());
    }

    #[test]
    fn a_deck_that_does_not_show_the_run_is_an_error() {
        let error = deck("# No figures\n", &committed()).unwrap_err().to_string();
        assert!(error.contains("shows 0 of"), "{error}");
    }

    /// Claim 92, that REQ/REP is faster than REST, and what else the notes ask about.
    #[test]
    fn what_the_notes_say_of_the_run_holds() {
        let report = committed();
        let times = |faster, slower| {
            let [faster, slower] =
                [faster, slower].map(|name| report.reading(name).unwrap());
            let ratio = faster.example.ratio(slower.example, What::PerSecond);
            assert!(ratio.is_difference(), "{ratio:?}");
            ratio.median().unwrap()
        };
        assert!(times("ZeroMQ REQ/REP", "REST, kept alive") > 1.0);
        assert!(times("REST, kept alive", "REST, a connection each") > 1.0);
        assert!(times("MQTT QoS 0", "MQTT QoS 1") > 1.0);
        assert!(times("RabbitMQ, fanout", "RabbitMQ, tasks") > 1.0);
    }
}
