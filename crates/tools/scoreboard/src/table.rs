//! The report as tables on the terminal.

use crate::report::{Figure, Part, Report, Row, Side};

/// What a terminal shows beside other windows.
const WIDTH: usize = 110;
/// Stands where nothing was measured.
const NONE: &str = "-";

type Key = fn(&Row) -> usize;
type Cell = fn(&Row) -> String;
/// The first holds the titles of the columns; names have none.
type Lines = Vec<Vec<String>>;

const COLUMNS: [(&str, Cell); 10] = [
    ("", |row| row.transport.clone()),
    ("", |row| row.program.clone()),
    ("p50 us", |row| figure(&row.p50_us)),
    ("p99 us", |row| figure(&row.p99_us)),
    ("messages/s", |row| figure(&row.per_second)),
    ("±", |row| deviation(&row.per_second)),
    ("wire B", |row| figure(&row.wire_bytes)),
    ("CPU us", |row| with_broker(&row.cpu_us, &row.broker_cpu_us, 1.0)),
    ("load us", |row| figure(&row.load_cpu_us)),
    ("MiB", |row| with_broker(&row.resident_kib, &row.broker_resident_kib, 1024.0)),
];

const PIVOTS: [(&str, Part, Key, Cell); 4] = [
    ("Messages/s by clients", Part::Clients, |row| row.clients, COLUMNS[4].1),
    ("p99 us by clients", Part::Clients, |row| row.clients, COLUMNS[3].1),
    ("MiB by clients", Part::Clients, |row| row.clients, COLUMNS[9].1),
    ("Messages/s by bytes", Part::Sizes, |row| row.bytes, COLUMNS[4].1),
];

pub fn text(report: &Report) -> String {
    let mut text = head(report);
    for (part, title) in
        [(Part::Transports, "Transports"), (Part::Senders, "Senders")]
    {
        text += &section(title, figures(report, part));
        text += &section(&format!("{title}, as ratios"), ratios(report, part));
    }
    for (title, part, key, cell) in PIVOTS {
        text += &section(title, pivot(report, part, key, cell));
    }
    text
}

fn head(report: &Report) -> String {
    let (machine, plan) = (&report.machine, &report.plan);
    let kind = if plan.quick { ", quick" } else { "" };
    format!(
        "{:.50}, {} cores, {:.30}, {}\n\
         Rounds: {}{kind}. Figures are medians, ± the farthest; \
         after a +, the broker's.\n\
         Ratios are taken within each round; = means less difference than spread.\n\
         Delays at {} messages/s; > where it cannot keep up: they grow then.\n",
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.date,
        plan.rounds,
        grouped(f64::from(plan.rate)),
    )
}

fn figures(report: &Report, part: Part) -> Lines {
    let titles = COLUMNS.map(|(title, _)| title.to_owned()).to_vec();
    let line = |row: &Row| {
        let mut line = COLUMNS.map(|(_, cell)| cell(row)).to_vec();
        let keeps_up = row.per_second.median() >= f64::from(report.plan.rate);
        if part == Part::Transports && !keeps_up {
            line[2..4].iter_mut().for_each(|delay| delay.insert(0, '>'));
        }
        line
    };
    [titles].into_iter().chain(report.rows(part).map(line)).collect()
}

/// The examples by their twins, and by what is possible.
fn ratios(report: &Report, part: Part) -> Lines {
    let titles = ["", "messages/s", "CPU", "messages/s", "CPU"].map(str::to_owned);
    let mut lines = vec![titles.to_vec()];
    for row in report.rows(part).filter(|row| row.side == Side::Example) {
        let mut line = vec![row.transport.clone()];
        for other in [Side::Python, Side::Limit].map(|side| report.beside(row, side))
        {
            line.push(ratio(row, other, |row| &row.per_second));
            line.push(ratio(row, other, |row| &row.cpu_us));
        }
        lines.push(line);
    }
    lines
}

pub fn ratio(row: &Row, other: Option<&Row>, of: fn(&Row) -> &Figure) -> String {
    let Some(other) = other else { return NONE.to_owned() };
    let (ratio, name) = (of(row).by(of(other)), who(other));
    match ratio.is_difference() {
        _ if !ratio.median().is_finite() || ratio.median() <= 0.0 => NONE.to_owned(),
        false => format!("= {name}"),
        true if other.side == Side::Limit => format!("{} of {name}", figure(&ratio)),
        true => format!("{}x {name}", figure(&ratio)),
    }
}

/// A line for each transport and side, and a column for each key.
fn pivot(report: &Report, part: Part, key: Key, cell: Cell) -> Lines {
    let mut keys: Vec<usize> = report.rows(part).map(key).collect();
    keys.sort();
    keys.dedup();
    let mut titles = vec![String::new(), String::new()];
    titles.extend(keys.iter().map(|key| grouped(*key as f64)));
    let mut lines = vec![titles];
    for row in report.rows(part) {
        let names = [row.transport.clone(), who(row).to_owned()];
        let known = lines.iter().position(|line| line[..2] == names);
        let line = known.unwrap_or(lines.len());
        if known.is_none() {
            lines.push([&names[..], &vec![NONE.to_owned(); keys.len()]].concat());
        }
        let column = keys.iter().take_while(|other| **other < key(row)).count();
        lines[line][2 + column] = cell(row);
    }
    lines
}

fn who(row: &Row) -> &str {
    match row.side {
        Side::Example => "Rust",
        Side::Python => "Python",
        Side::Limit if row.program.contains("axum") => "axum",
        Side::Limit => "C",
    }
}

/// Without the lines and columns in which nothing was measured.
fn section(title: &str, mut lines: Lines) -> String {
    let measured = |line: &Vec<String>| line.iter().skip(1).any(|cell| cell != NONE);
    lines.retain(measured);
    let empty = |column: &usize| lines[1..].iter().all(|line| line[*column] == NONE);
    if lines.len() < 2 {
        return String::new();
    }
    for column in (0..lines[0].len()).rev().filter(empty).collect::<Vec<usize>>() {
        lines.iter_mut().for_each(|line| drop(line.remove(column)));
    }
    format!("\n{title}\n{}", layout(&lines))
}

/// Names to the left and numbers to the right. The last name gives way where a line
/// is too wide, and the first stands once for all its lines.
fn layout(lines: &Lines) -> String {
    let widest = |column: usize| {
        lines.iter().map(move |line| line[column].chars().count()).max()
    };
    let mut widths: Vec<usize> = (0..lines[0].len()).filter_map(widest).collect();
    let sum: usize = widths.iter().sum();
    let gap = if sum + 2 * widths.len() <= WIDTH + 2 { 2 } else { 1 };
    let names = lines[0].iter().filter(|title| title.is_empty()).count();
    let over = (sum + gap * widths.len()).saturating_sub(WIDTH + gap);
    widths[names - 1] = widths[names - 1].saturating_sub(over);
    let (mut text, mut above) = (String::new(), "");
    for line in lines {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let cell = if column == 0 && cell == above { "" } else { cell };
            text += &match column < names {
                true => format!("{cell:<width$.width$}{:gap$}", ""),
                false => format!("{cell:>width$}{:gap$}", ""),
            };
        }
        above = &line[0];
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

pub fn figure(figure: &Figure) -> String {
    if figure.is_empty() { NONE.to_owned() } else { number(figure.median()) }
}

pub fn with_broker(own: &Figure, broker: &Figure, unit: f64) -> String {
    let text = |figure: &Figure| number(figure.median() / unit);
    match broker.is_empty() {
        _ if own.is_empty() => NONE.to_owned(),
        true => text(own),
        false => format!("{}+{}", text(own), text(broker)),
    }
}

/// From one round alone no deviation follows.
fn deviation(figure: &Figure) -> String {
    let ((least, most), median) = (figure.spread(), figure.median());
    if figure.0.len() < 2 || median <= 0.0 {
        return NONE.to_owned();
    }
    format!("{:.0}%", 100.0 * (most - median).max(median - least) / median)
}

/// With three digits at most, as more would say nothing.
fn number(value: f64) -> String {
    let unit = 10f64.powi(value.max(0.1).log10().floor() as i32 - 2);
    let rounded = (value / unit).round() * unit;
    if rounded >= 100.0 {
        return grouped(rounded);
    }
    let decimals = match rounded {
        0.0 => 0,
        10.0.. => 1,
        0.1.. => 2,
        _ => 3,
    };
    format!("{rounded:.decimals$}")
}

/// With a comma before every three digits.
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
    use serde_json::{from_value, json};

    use super::*;

    /// With the same rounds for every figure.
    pub fn row(part: Part, transport: &str, side: Side, rounds: &[f64]) -> Row {
        let figure = json!({ "rounds": rounds });
        from_value(json!({
            "part": part, "transport": transport, "side": side, "program": transport,
            "clients": 1, "bytes": 64, "p50_us": figure, "p99_us": figure,
            "per_second": figure, "wire_bytes": figure,
            "cpu_us": figure, "broker_cpu_us": figure,
            "resident_kib": figure, "broker_resident_kib": figure,
        }))
        .unwrap()
    }

    pub fn report(rows: Vec<Row>) -> Report {
        from_value(json!({
            "machine": {
                "date": "", "processor": "", "cores": 2, "kernel": "", "versions": [],
            },
            "plan": { "quick": false, "rounds": 2, "rate": 1000, "window_ms": 100 },
            "rows": rows,
        }))
        .unwrap()
    }

    /// All parts and sides.
    pub fn full() -> Report {
        let mut rows = Vec::new();
        for part in [Part::Transports, Part::Clients, Part::Sizes, Part::Senders] {
            let name = "RabbitMQ, tasks, confirmed";
            rows.push(row(part, name, Side::Example, &[1.3e4, 2e4]));
            rows.push(row(part, name, Side::Python, &[1e3, 2e3]));
            rows.push(row(part, name, Side::Limit, &[1.6e4, 1.8e4]));
        }
        report(rows)
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let text = text(&full());
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("16,500+16,500"), "{text}");
    }

    #[test]
    fn a_difference_smaller_than_the_spread_is_none() {
        let text = text(&full());
        assert!(text.contains("= C") && text.contains("11.5x Python"), "{text}");
    }

    #[test]
    fn who_cannot_keep_up_with_the_rate_is_marked() {
        let delays = |per_second| {
            let row = row(Part::Transports, "UDP", Side::Example, &[per_second]);
            text(&report(vec![row]))
        };
        assert!(delays(999.0).contains(" >999 ") && !delays(1000.0).contains(" >1"));
    }

    #[test]
    fn without_a_twin_there_is_a_line_and_no_ratio() {
        let text =
            text(&report(vec![row(Part::Transports, "UDP", Side::Example, &[0.0])]));
        assert!(text.contains("\nUDP ") && !text.contains("ratios"), "{text}");
    }

    #[test]
    fn a_report_without_rows_has_only_its_head() {
        assert_eq!(text(&report(Vec::new())), head(&full()));
    }

    #[test]
    fn the_columns_of_a_pivot_are_in_order_and_may_have_gaps() {
        let rows = [("TCP", 1000), ("TCP", 1), ("UDP", 10)].map(|(name, bytes)| {
            Row { bytes, ..row(Part::Sizes, name, Side::Example, &[7.0]) }
        });
        let text = text(&report(rows.to_vec()));
        let expected = "
              1    10  1,000
TCP  Rust  7.00     -   7.00
UDP  Rust     -  7.00      -
";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn a_number_has_three_digits() {
        let values = [0.0, 0.094, 1.0, 12.34, 99.96, 1234.0, 129_900.0, 1e6];
        let texts =
            ["0", "0.094", "1.00", "12.3", "100", "1,230", "130,000", "1,000,000"];
        assert_eq!(values.map(number), texts);
    }
}
