//! What was measured: the contents of scoreboard.json. It holds rounds, and nothing that
//! follows from them.

use std::fmt::Write;

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// A whole run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub plan: Plan,
    pub rows: Vec<Row>,
}

/// Without it the figures mean nothing elsewhere.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Machine {
    /// The day of the run, as 2026-11-28.
    pub date: String,
    pub processor: String,
    pub cores: usize,
    pub kernel: String,
    /// Programs and libraries: name and version.
    pub versions: Vec<(String, String)>,
}

/// How it was measured.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Plan {
    pub quick: bool,
    /// Messages per second while delays are measured.
    pub rate: u32,
    /// How long delays, and then messages per second, are measured in each round.
    pub window_ms: u64,
    /// The processors of the server and of the load, if two cores could be had.
    pub processors: Option<(usize, usize)>,
    /// The system's load average before each round: what else it had to do, and this.
    pub load: Vec<f64>,
}

/// Which question a row answers.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// One reading over every transport.
    Reading,
    /// What more clients change.
    Clients,
    /// What larger messages change.
    Sizes,
    /// What clients cost that only stay connected.
    Idle,
}

/// Who is measured.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The program on the slides.
    Example,
    /// Its twin in Python.
    Python,
    /// What is possible: the same job in C, or by another library.
    Limit,
}

pub const SIDES: [Side; 3] = [Side::Example, Side::Python, Side::Limit];

/// A program, measured under one load.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Row {
    pub part: Part,
    /// What is the same for an example and what stands beside it, as `TCP, async`.
    pub transport: String,
    pub side: Side,
    /// What was measured, as `async-tcp-server` or `asyncio_server.py`.
    pub program: String,
    pub clients: usize,
    /// Of one message, without what the transport adds.
    pub bytes: usize,
    /// Why there are no figures, or fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// None where it failed.
    pub rounds: Vec<Option<Round>>,
}

/// The figures of one round; those that do not apply are missing.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Round {
    /// Round trip or delivery, from the moment at which the message was due, in
    /// microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_us: Option<f64>,
    /// Messages per second, as many as it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
    /// IP packets on the loopback per message: both ways, all hops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wire_bytes: Option<f64>,
    /// Processor time per message, in microseconds: the program's, the broker's, and
    /// the load's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_cpu_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_cpu_us: Option<f64>,
    /// Resident memory in KiB, before and after the clients came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empty_kib: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_kib: Option<f64>,
}

/// What a figure is taken from.
pub type Of = fn(&Round) -> Option<f64>;

pub const RATE: Of = |round| round.per_second;
/// Of the program and of its broker together.
pub const CPU: Of = |round| Some(round.cpu_us? + round.broker_cpu_us.unwrap_or(0.0));

/// More digits than a measurement can have would only be noise in the file.
pub fn three_digits(value: f64) -> f64 {
    let digits = 3 - value.abs().max(1e-9).log10().ceil() as i32;
    let unit = 10f64.powi(digits.clamp(-12, 12));
    (value * unit).round() / unit
}

/// One figure, measured once per round.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure(Vec<f64>);

impl Figure {
    pub fn of(mut rounds: Vec<f64>) -> Figure {
        rounds.sort_by(f64::total_cmp);
        Figure(rounds)
    }

    /// The value in the middle, or halfway between the two there.
    pub fn median(&self) -> Option<f64> {
        let upper = self.0.get(self.0.len() / 2)?;
        let lower = self.0.get((self.0.len() - 1) / 2)?;
        Some((lower + upper) / 2.0)
    }

    /// The least and the greatest of all rounds.
    pub fn spread(&self) -> Option<(f64, f64)> {
        Some((*self.0.first()?, *self.0.last()?))
    }

    /// Of a ratio: is it on the same side of 1 in every round?
    pub fn is_difference(&self) -> bool {
        self.spread().is_some_and(|(least, most)| least > 1.0 || most < 1.0)
    }
}

/// What keeps the messages per second from being more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Limiter {
    /// The processor that the program and its broker share is busy.
    Server,
    /// The load is busy: the program could do more.
    Load,
    /// Neither: they wait for each other, for a disk or for a timer.
    Waiting,
}

/// The part of a processor above which it counts as busy.
const BUSY: f64 = 0.85;

impl Row {
    /// What is measured, and under which load.
    pub fn name(&self) -> String {
        let Row { transport, program, clients, bytes, .. } = self;
        format!("{transport} ({program}, {clients} clients, {bytes} bytes)")
    }

    pub fn figure(&self, of: Of) -> Figure {
        Figure::of(self.rounds.iter().flatten().filter_map(of).collect())
    }

    pub fn median(&self, of: Of) -> Option<f64> {
        self.figure(of).median()
    }

    /// This by another row, within each round: the machine was the same then.
    pub fn ratio(&self, base: &Row, of: Of) -> Figure {
        let pairs = self.rounds.iter().zip(&base.rounds);
        let ratio = |(a, b): (&Option<Round>, &Option<Round>)| {
            let (a, b) = (of(a.as_ref()?)?, of(b.as_ref()?)?);
            (b > 0.0).then(|| a / b)
        };
        Figure::of(pairs.filter_map(ratio).collect())
    }

    pub fn limiter(&self) -> Option<Limiter> {
        let share = |of: Of| Some(self.median(of)? * self.median(RATE)? / 1e6);
        let (server, load) = (share(CPU)?, share(|round| round.load_cpu_us));
        Some(match load {
            _ if server > BUSY => Limiter::Server,
            Some(load) if load > BUSY => Limiter::Load,
            _ => Limiter::Waiting,
        })
    }

    /// Memory per client, in KiB.
    pub fn per_client_kib(&self) -> Figure {
        let each = |round: &Round| Some(round.resident_kib? - round.empty_kib?);
        let all = self.rounds.iter().flatten().filter_map(each);
        Figure::of(all.map(|kib| kib.max(0.0) / self.clients as f64).collect())
    }
}

/// An example, and what stands beside it under the same load.
pub struct Three<'a> {
    pub example: &'a Row,
    pub python: Option<&'a Row>,
    pub limit: Option<&'a Row>,
}

impl<'a> Three<'a> {
    pub fn side(&self, side: Side) -> Option<&'a Row> {
        match side {
            Side::Example => Some(self.example),
            Side::Python => self.python,
            Side::Limit => self.limit,
        }
    }
}

impl Report {
    pub fn part(&self, part: Part) -> impl Iterator<Item = Three<'_>> {
        let rows = self.rows.iter().filter(move |row| row.part == part);
        rows.clone().filter(|row| row.side == Side::Example).map(move |example| {
            let find = |side| {
                rows.clone().find(|row| {
                    row.side == side
                        && row.transport == example.transport
                        && (row.clients, row.bytes)
                            == (example.clients, example.bytes)
                })
            };
            Three { example, python: find(Side::Python), limit: find(Side::Limit) }
        })
    }

    /// The part's rows of one transport, by the number of clients or of bytes.
    pub fn of(&self, part: Part, transport: &str) -> Vec<Three<'_>> {
        self.part(part).filter(|three| three.example.transport == transport).collect()
    }

    pub fn reading(&self, transport: &str) -> Option<Three<'_>> {
        self.of(Part::Reading, transport).pop()
    }

    /// The file: one row per line.
    pub fn json(&self) -> Result<String> {
        let machine = serde_json::to_string(&self.machine)?;
        let plan = serde_json::to_string(&self.plan)?;
        let mut text =
            format!("{{\"machine\": {machine},\n\"plan\": {plan},\n\"rows\": [");
        for (place, row) in self.rows.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(text, "{comma}\n{}", serde_json::to_string(row)?)?;
        }
        Ok(text + "\n]}\n")
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Messages per second, round by round; all else follows from them.
    pub fn row(part: Part, transport: &str, side: Side, rates: &[f64]) -> Row {
        let round = |rate: &f64| {
            let rate = Some(*rate);
            Some(Round {
                p50_us: rate,
                p99_us: rate,
                per_second: rate,
                wire_bytes: rate,
                cpu_us: Some(1.0),
                load_cpu_us: Some(1.0),
                empty_kib: Some(0.0),
                resident_kib: rate,
                ..Round::default()
            })
        };
        Row {
            part,
            transport: transport.into(),
            side,
            program: format!("{side:?}"),
            clients: 1,
            bytes: 64,
            failed: None,
            rounds: rates.iter().map(round).collect(),
        }
    }

    pub fn report(rows: Vec<Row>) -> Report {
        Report { machine: Machine::default(), plan: Plan::default(), rows }
    }

    #[test]
    fn a_ratio_is_a_difference_only_on_one_side_of_1_in_all_rounds() {
        let rates = |rates| row(Part::Reading, "TCP", Side::Example, rates);
        let base = rates(&[100.0, 50.0, 200.0]);
        let ratio = |these| rates(these).ratio(&base, RATE);
        assert_eq!(ratio(&[150.0, 60.0, 500.0]).median(), Some(1.5));
        assert!(ratio(&[150.0, 60.0, 500.0]).is_difference());
        assert!(ratio(&[90.0, 40.0, 100.0]).is_difference());
        assert!(!ratio(&[150.0, 40.0, 500.0]).is_difference());
        assert!(!ratio(&[]).is_difference());
    }

    #[test]
    fn a_ratio_is_taken_within_a_round_also_when_another_one_failed() {
        let mut base = row(Part::Reading, "TCP", Side::Python, &[100.0, 1.0, 100.0]);
        base.rounds[1] = None;
        let ours = row(Part::Reading, "TCP", Side::Example, &[200.0, 7.0, 400.0]);
        assert_eq!(ours.ratio(&base, RATE), Figure(vec![2.0, 4.0]));
    }

    #[test]
    fn the_median_is_the_middle_or_halfway_between_two() {
        let median = |rounds: &[f64]| Figure::of(rounds.to_vec()).median();
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn what_limits_a_row_follows_from_the_processor_time_of_both_sides() {
        let mut row = row(Part::Reading, "TCP", Side::Example, &[900_000.0]);
        assert_eq!(row.limiter(), Some(Limiter::Server));
        row.rounds[0].as_mut().unwrap().cpu_us = Some(0.5);
        assert_eq!(row.limiter(), Some(Limiter::Load));
        row.rounds[0].as_mut().unwrap().load_cpu_us = Some(0.5);
        assert_eq!(row.limiter(), Some(Limiter::Waiting));
        row.rounds[0].as_mut().unwrap().broker_cpu_us = Some(0.5);
        assert_eq!(row.limiter(), Some(Limiter::Server));
    }

    #[test]
    fn the_file_has_one_row_per_line_and_is_read_back_as_it_was() {
        let mut failed = row(Part::Idle, "UDP", Side::Limit, &[1.0, 2.0]);
        (failed.rounds[0], failed.failed) = (None, Some("no compiler".into()));
        let report =
            report(vec![row(Part::Reading, "TCP", Side::Example, &[3.0]), failed]);
        let json = report.json().unwrap();
        assert_eq!(json.lines().count(), 3 + 2 + 1);
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }

    #[test]
    fn a_figure_keeps_three_digits() {
        let values = [123_456.0, 1.23456, 0.012_345, 0.0];
        assert_eq!(values.map(three_digits), [123_000.0, 1.23, 0.0123, 0.0]);
    }
}
