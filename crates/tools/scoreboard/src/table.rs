//! The tables: defined once, printed on a terminal, on the page, or into Markdown.

use std::fmt::Write;

use crate::report::{Figure, Limiter, Part, Report, Row, Side, Three, What};
use crate::rows::TRANSPORTS;

/// Stands where nothing was measured.
pub const NONE: &str = "-";

/// The first line holds the titles of the columns. The first column holds names.
pub struct Table {
    pub title: &'static str,
    pub lines: Vec<Vec<String>>,
}

type Column = (&'static str, fn(&Three) -> String);

const NAME: Column = ("", |it| it.example.transport.clone());
const CLIENTS: Column = ("clients", |it| grouped(it.example.clients as f64));
const BYTES: Column = ("bytes", |it| grouped(it.example.bytes as f64));
const RUST: Column = ("Rust/s", |it| own(it, What::PerSecond));
const SPREAD: Column = ("±", |it| spread(&it.example.figure(What::PerSecond)));
const PYTHON: Column = ("Python/s", |it| median(it.python, What::PerSecond));
const LIMIT: Column = ("limit/s", |it| median(it.limit, What::PerSecond));
const BY_PYTHON: Column =
    ("× Python", |it| ratio(it, Side::Python, What::PerSecond));
const BY_LIMIT: Column = ("of limit", |it| ratio(it, Side::Limit, What::PerSecond));
const CPU_BY_LIMIT: Column =
    ("CPU, of limit", |it| ratio(it, Side::Limit, What::CpuUs));
const LIMITED: Column = ("limited by", |it| limiter(it.example).to_string());
const P50: Column = ("p50 µs", |it| own(it, What::P50Us));
const P99: Column = ("p99 µs", |it| own(it, What::P99Us));
const WIRE: Column = ("bytes", |it| own(it, What::WireBytes));
const CPU: Column = ("CPU µs", |it| {
    let broker = it.example.median(What::BrokerCpuUs).map(number);
    own(it, What::CpuUs) + &broker.map_or(String::new(), |us| format!("+{us}"))
});

const RATES: &[Column] =
    &[NAME, RUST, SPREAD, PYTHON, LIMIT, BY_PYTHON, BY_LIMIT, CPU_BY_LIMIT, LIMITED];
const DELAYS: &[Column] = &[
    NAME,
    P50,
    ("Python", |it| median(it.python, What::P50Us)),
    ("limit", |it| median(it.limit, What::P50Us)),
    P99,
    ("Python", |it| median(it.python, What::P99Us)),
    ("limit", |it| median(it.limit, What::P99Us)),
];
const COSTS: &[Column] = &[
    NAME,
    WIRE,
    ("Python", |it| median(it.python, What::WireBytes)),
    CPU,
    ("Python", |it| median(it.python, What::CpuUs)),
    ("limit", |it| median(it.limit, What::CpuUs)),
    ("load", |it| own(it, What::LoadCpuUs)),
];
const MORE: &[Column] =
    &[NAME, CLIENTS, RUST, PYTHON, LIMIT, BY_PYTHON, BY_LIMIT, LIMITED];
const LARGER: &[Column] =
    &[NAME, BYTES, RUST, PYTHON, LIMIT, BY_PYTHON, BY_LIMIT, LIMITED];
const IDLE: &[Column] = &[
    NAME,
    CLIENTS,
    ("Rust or broker", |it| own(it, What::ClientKib)),
    ("Python", |it| median(it.python, What::ClientKib)),
    ("limit", |it| median(it.limit, What::ClientKib)),
];
/// What stands on the slides, and what in the README.
const SLIDE: &[Column] =
    &[NAME, P50, P99, ("messages/s", RUST.1), BY_PYTHON, BY_LIMIT, WIRE, CPU];
const LIMITS: &[Column] = &[
    NAME,
    ("limit", |it| it.limit.map_or(NONE.into(), |row| row.program.clone())),
    BY_LIMIT,
    CPU_BY_LIMIT,
    LIMITED,
];

/// All tables of a report, those without figures left out.
pub fn all(report: &Report) -> Vec<Table> {
    let mut tables = vec![
        table("Messages per second", report, Part::Reading, RATES),
        table("Delay of a message at a fixed rate", report, Part::Reading, DELAYS),
        table("What a message costs", report, Part::Reading, COSTS),
        table("More clients", report, Part::Clients, MORE),
        table("Larger messages", report, Part::Sizes, LARGER),
        table(
            "KiB per client that is connected and silent",
            report,
            Part::Idle,
            IDLE,
        ),
        missing(report),
    ];
    tables.retain(|table| table.lines.len() > 1);
    tables
}

fn table(
    title: &'static str,
    report: &Report,
    part: Part,
    columns: &[Column],
) -> Table {
    let mut lines =
        vec![columns.iter().map(|(title, _)| title.to_string()).collect()];
    for three in report.part(part) {
        let line: Vec<String> =
            columns.iter().map(|(_, cell)| cell(&three)).collect();
        if line[1..].iter().any(|cell| cell != NONE) {
            lines.push(line);
        }
    }
    Table { title, lines }
}

fn missing(report: &Report) -> Table {
    let mut lines =
        vec![vec![String::new(), "not measured, or not in all rounds".into()]];
    for row in &report.rows {
        if let Some(why) = &row.failed {
            let line = vec![row.name(), why.lines().collect::<Vec<_>>().join(" ")];
            lines.push(line);
        }
    }
    // The same reason need not be given for every load of a transport.
    lines.dedup_by(|a, b| {
        a[1] == b[1] && a[0].split('(').next() == b[0].split('(').next()
    });
    Table { title: "Missing", lines }
}

/// The figures of one run as the deck shows them: sockets and web, or brokers and ZeroMQ.
pub fn slide(report: &Report, is_direct: bool) -> Vec<Vec<String>> {
    let mut lines = table("", report, Part::Reading, SLIDE).lines;
    let direct =
        |name: &str| TRANSPORTS.iter().any(|it| it.name == name && it.is_direct());
    let mut place = 0..;
    lines.retain(|line| place.next() == Some(0) || direct(&line[0]) == is_direct);
    lines[0][0] = if is_direct { "Sockets, web" } else { "Brokers, ZeroMQ" }.into();
    lines
}

/// What the examples reach of their limits: the README's table.
pub fn of_limits(report: &Report) -> Vec<Vec<String>> {
    let mut lines = table("", report, Part::Reading, LIMITS).lines;
    lines.retain(|line| line[2] != NONE);
    lines
}

pub fn markdown(lines: &[Vec<String>]) -> String {
    let line = |cells: &[String]| {
        format!("| {} |\n", cells.join(" | ")).replace("|  |", "| |")
    };
    let rule =
        lines[0].iter().enumerate().map(|(n, _)| if n == 0 { "---" } else { "--:" });
    let mut text = line(&lines[0]);
    text += &format!("| {} |\n", rule.collect::<Vec<_>>().join(" | "));
    text + &lines[1..].iter().map(|cells| line(cells)).collect::<String>()
}

/// For the terminal: names to the left, figures to the right.
pub fn text(report: &Report) -> String {
    let mut text = head(report);
    for Table { title, lines } in all(report) {
        let width = |column: usize| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
        };
        writeln!(text, "\n{title}").unwrap_or_default();
        for line in &lines {
            let mut row = String::new();
            for (column, cell) in line.iter().enumerate() {
                let width = width(column);
                row += &match column == 0 || lines[0].len() == 2 {
                    true => format!("{cell:<width$}  "),
                    false => format!("{cell:>width$}  "),
                };
            }
            text += row.trim_end();
            text.push('\n');
        }
    }
    text
}

/// What was measured where and how, and how to read it.
pub fn head(report: &Report) -> String {
    let (machine, plan) = (&report.machine, &report.plan);
    let rounds = plan.load.len();
    let kind = if plan.quick { ", a quick run" } else { "" };
    let busy = Figure::of(plan.load.clone()).spread().unwrap_or_default();
    let apart = match plan.processors {
        Some((server, load)) => {
            format!("Server on processor {server}, load on {load}")
        }
        None => "Server and load share one core: compare with care".into(),
    };
    let shared = match plan.own_loopback {
        true => "",
        false => " Bytes may include those of other programs on the loopback.",
    };
    format!(
        "{}, {} cores, {}, {}\n\
         Rounds: {rounds}{kind}. {apart}. Load average {:.1} to {:.1}.\n\
         Figures are medians of the rounds. A ratio is taken within each round; = is \
         written where it is\nnot on the same side of 1 in all of them. Delays at {} \
         messages per second.{shared}\n",
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.date,
        busy.0,
        busy.1,
        plan.rate,
    )
}

/// What changed since another run: figures that lie apart in all rounds of both.
pub fn compare(now: &Report, before: &Report) -> String {
    let mut text = format!("Compared with the run of {}:\n", before.machine.date);
    for row in &now.rows {
        let is_same = |other: &&Row| {
            (other.part, other.side, &*other.name())
                == (row.part, row.side, &*row.name())
        };
        let other = before.rows.iter().find(is_same);
        let what =
            if row.part == Part::Idle { What::ClientKib } else { What::PerSecond };
        let (new, old) = (row.figure(what), other.map(|other| other.figure(what)));
        let both = old.as_ref().map(|old| [new.spread(), old.spread()]);
        let (Some([Some(x), Some(y)]), Some(old)) = (both, &old) else { continue };
        let (a, b) = (new.median().unwrap_or(0.0), old.median().unwrap_or(0.0));
        // Of different runs there are no pairs: what overlaps is no difference.
        let apart = (x.0 > y.1 || x.1 < y.0) && b > 0.0;
        let change = if apart { format!("{}x", number(a / b)) } else { "=".into() };
        let line = format!("{:<62} {:>10} {:>10}", row.name(), number(b), number(a));
        text += &format!("{line} {change:>8}\n");
    }
    text
}

fn own(three: &Three, what: What) -> String {
    median(Some(three.example), what)
}

fn median(row: Option<&Row>, what: What) -> String {
    row.and_then(|row| row.median(what)).map_or(NONE.into(), number)
}

/// The example by what stands on a side: a number, or = where the rounds disagree.
fn ratio(three: &Three, side: Side, what: What) -> String {
    let Some(other) = three.side(side) else { return NONE.into() };
    let ratio = three.example.ratio(other, what);
    match ratio.median() {
        None => NONE.into(),
        Some(_) if !ratio.is_difference() => "=".into(),
        Some(median) => number(median),
    }
}

fn limiter(row: &Row) -> &'static str {
    match row.limiter() {
        Some(Limiter::Server) => "server",
        Some(Limiter::Load) => "load",
        Some(Limiter::Waiting) => "waiting",
        None => NONE,
    }
}

/// The farthest round from the median, in percent.
fn spread(figure: &Figure) -> String {
    match (figure.median(), figure.spread()) {
        (Some(median), Some((least, most))) if least < most => {
            format!("{:.0} %", (median - least).max(most - median) / median * 100.0)
        }
        _ => NONE.into(),
    }
}

/// Three digits, and a comma before every three of a whole number.
pub fn number(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        _ if value < 9.995 => format!("{value:.2}"),
        _ if value < 99.95 => format!("{value:.1}"),
        _ => grouped(crate::report::three_digits(value)),
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

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::report::tests::{report, row};

    /// All parts and sides of one transport, and one that failed.
    pub fn full() -> Report {
        let mut rows = Vec::new();
        for part in [Part::Reading, Part::Clients, Part::Sizes, Part::Idle] {
            rows.push(row(part, "TCP, async", Side::Example, &[1.3e4, 2e4]));
            rows.push(row(part, "TCP, async", Side::Python, &[1e3, 2e3]));
            rows.push(row(part, "TCP, async", Side::Limit, &[1.6e4, 1.8e4]));
        }
        rows[2].failed = Some("no C compiler".into());
        report(rows)
    }

    fn line<'a>(text: &'a str, start: &str) -> &'a str {
        text.lines().find(|line| line.starts_with(start)).unwrap()
    }

    #[test]
    fn a_row_shows_three_columns_and_what_limits_it() {
        let text = text(&full());
        let rates: Vec<&str> = line(&text, "TCP, async").split_whitespace().collect();
        let expected =
            ["16,500", "21", "%", "1,500", "17,000", "11.5", "=", "=", "waiting"];
        assert_eq!(rates[2..], expected, "{text}");
        assert!(text.contains("no C compiler"), "{text}");
    }

    #[test]
    fn without_a_twin_there_is_a_row_and_no_ratio() {
        let rows = vec![row(Part::Reading, "UDP, async", Side::Example, &[7.0])];
        let text = text(&report(rows));
        assert!(line(&text, "UDP, async").contains(" - "), "{text}");
    }

    #[test]
    fn a_report_without_rows_has_only_its_head() {
        let empty = report(Vec::new());
        assert_eq!(text(&empty), head(&empty));
    }

    #[test]
    fn two_runs_differ_where_no_rounds_overlap() {
        let run = |rates: &[f64]| {
            report(vec![row(Part::Reading, "UDP", Side::Example, rates)])
        };
        let text = compare(&run(&[200.0, 220.0]), &run(&[100.0, 110.0]));
        assert!(text.trim_end().ends_with("105        210    2.00x"), "{text}");
        let text = compare(&run(&[105.0, 220.0]), &run(&[100.0, 110.0]));
        assert!(text.trim_end().ends_with(" ="), "{text}");
    }

    #[test]
    fn a_table_for_markdown_has_its_names_left_and_its_figures_right() {
        let lines = [vec!["".into(), "a".into()], vec!["TCP".into(), "1".into()]];
        assert_eq!(markdown(&lines), "| | a |\n| --- | --: |\n| TCP | 1 |\n");
    }

    #[test]
    fn a_number_has_three_digits() {
        let values = [0.0, 0.094, 1.0, 12.34, 99.96, 1234.0, 129_900.0, 1e6];
        let texts =
            ["0", "0.09", "1.00", "12.3", "100", "1,230", "130,000", "1,000,000"];
        assert_eq!(values.map(number), texts);
    }
}
