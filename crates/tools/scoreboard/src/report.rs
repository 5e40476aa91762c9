//! What was measured: the contents of scoreboard.json. It holds rounds, and nothing that
//! follows from them.

use std::collections::BTreeMap;
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
    /// Whether nobody else used the loopback, whose bytes are counted.
    pub own_loopback: bool,
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

/// What is measured of a row.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Round trip or delivery, from the moment at which the message was due.
    P50Us,
    P99Us,
    /// Messages, as many as it can.
    PerSecond,
    /// IP packets on the loopback per message: both ways, all hops.
    WireBytes,
    /// Processor time per message: the program's, the broker's, and the load's own.
    CpuUs,
    BrokerCpuUs,
    LoadCpuUs,
    /// Memory that each of the silent clients costs.
    ClientKib,
}

/// The figures of one round, as far as they apply.
pub type Round = BTreeMap<What, f64>;

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

    pub fn figure(&self, what: What) -> Figure {
        let rounds = self.rounds.iter().flatten();
        Figure::of(rounds.filter_map(|round| round.get(&what).copied()).collect())
    }

    pub fn median(&self, what: What) -> Option<f64> {
        self.figure(what).median()
    }

    /// This by another row, within each round: the machine was the same then.
    pub fn ratio(&self, base: &Row, what: What) -> Figure {
        let pairs = self.rounds.iter().zip(&base.rounds);
        let ratio = |(a, b): (&Option<Round>, &Option<Round>)| {
            let (a, b) = (a.as_ref()?.get(&what)?, b.as_ref()?.get(&what)?);
            (*b > 0.0).then(|| a / b)
        };
        Figure::of(pairs.filter_map(ratio).collect())
    }

    pub fn limiter(&self) -> Option<Limiter> {
        let rate = self.median(What::PerSecond)? / 1e6;
        let broker = self.median(What::BrokerCpuUs).unwrap_or_default();
        let server = (self.median(What::CpuUs)? + broker) * rate;
        let load = self.median(What::LoadCpuUs).unwrap_or_default() * rate;
        Some(match () {
            () if server > BUSY => Limiter::Server,
            () if load > BUSY => Limiter::Load,
            () => Limiter::Waiting,
        })
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

    /// The same figure for all that is measured, but a microsecond of each processor.
    pub fn row(part: Part, transport: &str, side: Side, figures: &[f64]) -> Row {
        use What::*;
        let round = |figure: &f64| {
            let all = [P50Us, P99Us, PerSecond, WireBytes, ClientKib];
            let all = all.into_iter().map(|what| (what, *figure));
            Some(all.chain([(CpuUs, 1.0), (LoadCpuUs, 1.0)]).collect())
        };
        Row {
            part,
            transport: transport.into(),
            side,
            program: format!("{side:?}"),
            clients: 1,
            bytes: 64,
            failed: None,
            rounds: figures.iter().map(round).collect(),
        }
    }

    pub fn report(rows: Vec<Row>) -> Report {
        Report { machine: Machine::default(), plan: Plan::default(), rows }
    }

    #[test]
    fn a_ratio_is_a_difference_only_on_one_side_of_1_in_all_rounds() {
        let rates = |rates| row(Part::Reading, "TCP", Side::Example, rates);
        let base = rates(&[100.0, 50.0, 200.0]);
        let ratio = |these| rates(these).ratio(&base, What::PerSecond);
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
        assert_eq!(ours.ratio(&base, What::PerSecond), Figure(vec![2.0, 4.0]));
    }

    #[test]
    fn what_limits_a_row_follows_from_the_processor_time_of_both_sides() {
        let limiter = |own: f64, broker: f64, load: f64| {
            let mut row = row(Part::Reading, "TCP", Side::Example, &[1e6]);
            let times = [(What::CpuUs, own), (What::BrokerCpuUs, broker)];
            let times = times.into_iter().chain([(What::LoadCpuUs, load)]);
            row.rounds[0].as_mut().unwrap().extend(times);
            row.limiter().unwrap()
        };
        assert_eq!(limiter(0.9, 0.0, 0.9), Limiter::Server);
        assert_eq!(limiter(0.4, 0.5, 0.4), Limiter::Server);
        assert_eq!(limiter(0.5, 0.0, 0.9), Limiter::Load);
        assert_eq!(limiter(0.5, 0.0, 0.5), Limiter::Waiting);
    }

    #[test]
    fn the_file_has_one_row_per_line_and_is_read_back_as_it_was() {
        let mut failed = row(Part::Idle, "UDP", Side::Limit, &[1.0, 2.0]);
        (failed.rounds[0], failed.failed) = (None, Some("no compiler".into()));
        let ours = row(Part::Reading, "TCP", Side::Example, &[3.0]);
        let report = report(vec![ours, failed]);
        let json = report.json().unwrap();
        assert_eq!(json.lines().count(), 3 + 2 + 1);
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }
}
