//! The slides show one committed run. This writes all that is derived from it: tables and
//! charts, and in the deck the alternative texts and the figures.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::chart::{self, Chart};
use crate::page;
use crate::report::{Report, What};
use crate::table::{self, NONE, markdown, number, slide};

pub const DECK: &str = "slides/deck.md";
pub const FOLDER: &str = "slides/scoreboard";
/// The tools on the slide "Bytes and delay of one message", and the transport of each.
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
/// The load average above which something besides the run was going on.
const BUSY_LOAD: f64 = 3.0;

/// Writes figures, tables, charts and page; returns their paths.
pub fn write(report: &Report, folder: &Path) -> Result<Vec<PathBuf>> {
    let charts = chart::draw(report)?;
    let mut files = vec![("scoreboard.json", report.json()?)];
    files.push(("tables.md", table::text(report)));
    files.push(("index.html", page::html(report, &charts)));
    files.extend(charts.into_iter().map(|chart| (chart.file, chart.svg)));
    let write = |(name, text): (&str, String)| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    };
    files.into_iter().map(write).collect()
}

/// Makes a run the one that the slides show.
pub fn show(report: &Report, root: &Path) -> Result<()> {
    let (folder, path) = (root.join(FOLDER), root.join(DECK));
    write(report, &folder)?;
    // The deck does not need the page.
    fs::remove_file(folder.join("index.html"))?;
    let text = fs::read_to_string(&path).context(DECK)?;
    fs::write(&path, deck(&text, report)?).context(DECK)
}

/// The deck with the figures of a run.
pub fn deck(old: &str, report: &Report) -> Result<String> {
    let mut deck = old.to_string();
    let find = |deck: &str, from: usize, what: &str| {
        let place = deck[from..].find(what).map(|place| from + place);
        place.with_context(|| format!("{DECK} does not show '{what}'"))
    };
    for Chart { file, says, .. } in chart::draw(report)? {
        let end = find(&deck, 0, &format!("](scoreboard/{file}"))?;
        let start = deck[..end].rfind("![").context("no image")?;
        deck.replace_range(start + 2..end, &(says + &note(report)));
    }
    for table in [true, false].map(|is_direct| slide(report, is_direct)) {
        let start = find(&deck, 0, &format!("| {} ", table[0][0]))?;
        let end = find(&deck, start, "\n\n")? + 1;
        deck.replace_range(start..end, &markdown(&table));
    }
    // The last two cells of these lines are the figures.
    let table = find(&deck, 0, TOOLS_HEAD)?;
    for (tool, transport) in TOOLS {
        let start = find(&deck, table, &format!("\n| {tool} |"))? + 1;
        let end = find(&deck, start, "\n")?;
        let cells = deck[start..end].rmatch_indices('|').nth(2);
        let words = start + cells.context("a line without figures")?.0;
        let row = report.reading(transport).context(transport)?.example;
        let figure = |what| row.median(what).map_or(NONE.into(), number);
        let (bytes, delay) = (figure(What::WireBytes), figure(What::P50Us));
        let figures = format!("| {bytes} | {} µs |", delay.trim_end_matches(".0"));
        deck.replace_range(words..end, &figures);
    }
    Ok(deck)
}

/// A warning if the run was a quick one, or if the machine was busy before it.
fn note(report: &Report) -> String {
    let load = report.plan.load.first().copied().unwrap_or_default();
    match report.plan.quick || load > BUSY_LOAD {
        true => {
            format!(" Not yet a full run on a quiet machine: load average {load:.1}.")
        }
        false => String::new(),
    }
}
