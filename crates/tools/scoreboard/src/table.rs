//! The tables: defined once, printed on a terminal, on the page, or into Markdown.

use crate::report::Side::{self, Example, Limit, Python};
use crate::report::What::{
    self, BrokerCpuUs, ClientKib, CpuUs, LoadCpuUs, P50Us, P99Us, PerSecond,
    WireBytes,
};
use crate::report::{Figure, Part, Report, Row, Three, three_digits};
use crate::rows::transport;

/// Shown where nothing was measured.
pub const NONE: &str = "-";

/// A table. The first line has the titles of the columns; the first column has names.
pub type Lines = Vec<Vec<String>>;

/// What a column shows of a row.
#[derive(Clone, Copy)]
enum Cell {
    Name,
    Clients,
    Bytes,
    /// A figure of the program on that side, the median of the rounds.
    Of(Side, What),
    /// The example's processor time, and after a `+` its broker's.
    Cpu,
    /// The ratio of the example's figure to that of the other side.
    By(Side, What),
    /// How far the farthest round is from the median.
    Spread,
    LimitedBy,
}
use Cell::{By, Of};

type Column = (&'static str, Cell);

const NAME: Column = ("", Cell::Name);
const RUST: Column = ("Rust/s", Of(Example, PerSecond));
const PYTHON: Column = ("Python/s", Of(Python, PerSecond));
const LIMIT: Column = ("limit/s", Of(Limit, PerSecond));
const BY_PYTHON: Column = ("× Python", By(Python, PerSecond));
const BY_LIMIT: Column = ("of limit", By(Limit, PerSecond));
const CPU_BY_LIMIT: Column = ("CPU, of limit", By(Limit, CpuUs));
const LIMITED: Column = ("limited by", Cell::LimitedBy);
const P50: Column = ("p50 µs", Of(Example, P50Us));
const P99: Column = ("p99 µs", Of(Example, P99Us));
const WIRE: Column = ("bytes", Of(Example, WireBytes));
const CPU: Column = ("CPU µs", Cell::Cpu);

const RATES: &[Column] = &[
    NAME,
    RUST,
    ("±", Cell::Spread),
    PYTHON,
    LIMIT,
    BY_PYTHON,
    BY_LIMIT,
    CPU_BY_LIMIT,
    LIMITED,
];
const DELAYS: &[Column] = &[
    NAME,
    P50,
    ("Python", Of(Python, P50Us)),
    ("limit", Of(Limit, P50Us)),
    P99,
    ("Python", Of(Python, P99Us)),
    ("limit", Of(Limit, P99Us)),
];
const COSTS: &[Column] = &[
    NAME,
    WIRE,
    ("Python", Of(Python, WireBytes)),
    CPU,
    ("Python", Of(Python, CpuUs)),
    ("limit", Of(Limit, CpuUs)),
    ("load", Of(Example, LoadCpuUs)),
];
const MORE: &[Column] = &[
    NAME,
    ("clients", Cell::Clients),
    ("bytes", Cell::Bytes),
    RUST,
    PYTHON,
    LIMIT,
    BY_PYTHON,
    BY_LIMIT,
    LIMITED,
];
const IDLE: &[Column] = &[
    NAME,
    ("clients", Cell::Clients),
    ("Rust or broker", Of(Example, ClientKib)),
    ("Python", Of(Python, ClientKib)),
    ("limit", Of(Limit, ClientKib)),
];
/// The columns on the slides.
const SLIDE: &[Column] =
    &[NAME, P50, P99, ("messages/s", RUST.1), BY_PYTHON, BY_LIMIT, WIRE, CPU];

/// The whole report in Markdown. Tables without figures are left out.
pub fn text(report: &Report) -> String {
    let mut text = head(report);
    let table = |part, columns| table(report, part, columns);
    for (title, lines) in [
        ("Messages per second", table(Part::Reading, RATES)),
        ("Delay of a message at a fixed rate", table(Part::Reading, DELAYS)),
        ("What a message costs", table(Part::Reading, COSTS)),
        ("More clients", table(Part::Clients, MORE)),
        ("Larger messages", table(Part::Sizes, MORE)),
        ("KiB per client that is connected and silent", table(Part::Idle, IDLE)),
        ("Missing", missing(report)),
    ] {
        if lines.len() > 1 {
            text += &format!("\n## {title}\n\n{}", markdown(&lines));
        }
    }
    text
}

fn table(report: &Report, part: Part, columns: &[Column]) -> Lines {
    let titles = columns.iter().map(|(title, _)| title.to_string()).collect();
    let rows = report.part(part).map(|three| {
        columns.iter().map(|(_, cell)| cell.text(&three)).collect::<Vec<_>>()
    });
    let measured = rows.filter(|line| line[1..].iter().any(|cell| cell != NONE));
    [titles].into_iter().chain(measured).collect()
}

impl Cell {
    fn text(self, three: &Three) -> String {
        let row = three.example;
        let median = |row: Option<&Row>, what| row.and_then(|row| row.median(what));
        let text = |figure: Option<f64>| figure.map_or(NONE.into(), number);
        match self {
            Cell::Name => row.transport.clone(),
            Cell::Clients => grouped(row.clients as f64),
            Cell::Bytes => grouped(row.bytes as f64),
            Of(side, what) => text(median(three.side(side), what)),
            Cell::Cpu => {
                let broker = row.median(BrokerCpuUs).map(number);
                let broker = broker.map_or(String::new(), |us| format!("+{us}"));
                text(row.median(CpuUs)) + &broker
            }
            By(side, what) => {
                let ratio = three.side(side).map(|other| row.ratio(other, what));
                match ratio.map(|it| (it.median(), it.is_difference())) {
                    Some((Some(_), false)) => "=".into(),
                    ratio => text(ratio.and_then(|(median, _)| median)),
                }
            }
            Cell::Spread => spread(&row.figure(PerSecond)),
            Cell::LimitedBy => row.limited_by().unwrap_or(NONE).into(),
        }
    }
}

fn missing(report: &Report) -> Lines {
    let titles = ["", "not measured, or not in all rounds"];
    let mut lines = vec![titles.map(String::from).to_vec()];
    for row in &report.rows {
        let why = row.failed.as_deref().unwrap_or_default().replace('\n', " ");
        // The same reason is given once per transport, not for every load.
        let is_same =
            |it: &Vec<String>| it[0].starts_with(&row.transport) && it[1] == why;
        if !why.is_empty() && !lines.iter().any(is_same) {
            lines.push(vec![row.name(), why]);
        }
    }
    lines
}

/// A table as the deck shows it: sockets and web, or brokers and ZeroMQ.
pub fn slide(report: &Report, is_direct: bool) -> Lines {
    let mut lines = table(report, Part::Reading, SLIDE);
    lines[0][0] = if is_direct { "Sockets, web" } else { "Brokers, ZeroMQ" }.into();
    // The line of titles is kept: its name is not that of a transport.
    lines.retain(|line| {
        transport(&line[0]).is_none_or(|it| it.is_direct() == is_direct)
    });
    lines
}

/// The table in Markdown, aligned so that it is legible on a terminal too: names to the
/// left, figures to the right. A table of two or three columns has only text.
pub fn markdown(lines: &[Vec<String>]) -> String {
    let columns = lines[0].len();
    let is_name = |column| column == 0 || columns <= 3;
    let rule = |column| if is_name(column) { "---" } else { "--:" }.to_string();
    let mut lines = lines.to_vec();
    lines.insert(1, (0..columns).map(rule).collect());
    let width =
        |column: usize| lines.iter().map(|it| it[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).filter_map(width).collect();
    let mut text = String::new();
    for line in &lines {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            text += &match is_name(column) {
                true => format!("| {cell:width$} "),
                false => format!("| {cell:>width$} "),
            };
        }
        text += "|\n";
    }
    text
}

/// Where and how it was measured, and how to read the tables.
fn head(report: &Report) -> String {
    let (machine, plan) = (&report.machine, &report.plan);
    let kind = if plan.quick { ", a quick run" } else { "" };
    let busy = Figure::of(plan.load.clone()).spread().unwrap_or_default();
    let apart = match plan.processors {
        Some((server, load)) => {
            format!("Server on processor {server}, load on {load}")
        }
        None => "Server and load share one core: compare with care".into(),
    };
    let version = |(name, version): &(String, String)| format!("{name}: {version}");
    let versions: Vec<String> = machine.versions.iter().map(version).collect();
    let shared = match plan.own_loopback {
        true => "",
        false => " Bytes may include those of other programs on the loopback.",
    };
    format!(
        "# The scoreboard\n\n{}, {} cores, {}, {}. {}.\n\
         Rounds: {}{kind}. {apart}. Load average {:.1} to {:.1}.\n\
         Figures are medians of the rounds; ratios are medians of the ratios within \
         rounds.\n= means above 1 in some rounds and below 1 in others. Delays at {} \
         messages per second.{shared}\n",
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.date,
        versions.join("; "),
        plan.load.len(),
        busy.0,
        busy.1,
        plan.rate,
    )
}

/// What changed since another run: figures whose ranges over the rounds do not overlap.
pub fn compare(now: &Report, before: &Report) -> String {
    let mut text = format!("Compared with the run of {}:\n", before.machine.date);
    for row in &now.rows {
        let key = |row: &Row| (row.part, row.side, row.name());
        let found = before.rows.iter().find(|other| key(other) == key(row));
        let Some(other) = found else { continue };
        let what = if row.part == Part::Idle { ClientKib } else { PerSecond };
        let (old, new) = (other.figure(what), row.figure(what));
        let (Some(a), Some(b)) = (old.median(), new.median()) else { continue };
        let [old, new] = [old, new].map(|it| it.spread().unwrap_or_default());
        // Rounds of two runs cannot be paired: ranges that overlap are no difference.
        let apart = (new.0 > old.1 || new.1 < old.0) && a > 0.0;
        let change = if apart { format!("{}x", number(b / a)) } else { "=".into() };
        let line = format!("{:<62} {:>10} {:>10}", row.name(), number(a), number(b));
        text += &format!("{line} {change:>8}\n");
    }
    text
}

/// The spread in percent of the median.
fn spread(figure: &Figure) -> String {
    match (figure.median(), figure.spread()) {
        (Some(median), Some((least, most))) if least < most => {
            format!("{:.0} %", (median - least).max(most - median) / median * 100.0)
        }
        _ => NONE.into(),
    }
}

/// Three significant digits, with commas in large numbers.
pub fn number(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        _ if value < 9.995 => format!("{value:.2}"),
        _ if value < 99.95 => format!("{value:.1}"),
        _ => grouped(three_digits(value)),
    }
}

pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
