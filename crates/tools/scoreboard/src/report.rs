//! What was measured: the contents of scoreboard.json.

use serde::{Deserialize, Serialize};

use crate::stats::{median, ratios, spread};

/// A whole run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub plan: Plan,
    pub rows: Vec<Row>,
}

/// Without it the figures mean nothing elsewhere.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Machine {
    /// The day of the run, as 2026-11-28.
    pub date: String,
    pub processor: String,
    pub cores: usize,
    pub kernel: String,
    /// Programs and libraries: name, and version.
    pub versions: Vec<(String, String)>,
}

/// How it was measured.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Plan {
    pub quick: bool,
    pub rounds: usize,
    /// Messages a second while delays are measured.
    pub rate: u32,
    /// For how long delays, and then messages a second, are measured in each round.
    pub window_ms: u64,
}

/// Which question a row answers.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// One reading over every transport.
    #[default]
    Transports,
    /// What more clients change.
    Clients,
    /// What larger messages change.
    Sizes,
    /// How fast the programs send that only send.
    Senders,
}

/// Who is measured.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The program on the slides.
    #[default]
    Example,
    /// Its twin in Python.
    Python,
    /// What is possible: the same in C or with axum.
    Limit,
}

/// A program, measured under one load.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Row {
    pub part: Part,
    /// Such as `async TCP`: what is the same for an example and its twin.
    pub transport: String,
    pub side: Side,
    /// What was measured, as `async-tcp-server`, or `asyncio_server.py`.
    pub program: String,
    pub clients: usize,
    /// Of one message, without what the transport adds.
    pub bytes: usize,
    /// Round trip or delivery, from the moment at which the message was due, in
    /// microseconds.
    #[serde(default, skip_serializing_if = "Figure::is_empty")]
    pub p50_us: Figure,
    #[serde(default, skip_serializing_if = "Figure::is_empty")]
    pub p99_us: Figure,
    /// Messages a second, as many as it can.
    #[serde(default, skip_serializing_if = "Figure::is_empty")]
    pub per_second: Figure,
    /// What the kernel's loopback counted a message: IP packets, both ways, all hops.
    #[serde(default, skip_serializing_if = "Figure::is_empty")]
    pub wire_bytes: Figure,
    /// The program's processor time a message, in microseconds; the broker's apart.
    #[serde(default, skip_serializing_if = "Figure::is_empty")]
    pub cpu_us: Figure,
    #[serde(default, skip_serializing_if = "Figure::is_empty")]
    pub broker_cpu_us: Figure,
    /// The load's own, by which to judge whether the load was the limit.
    #[serde(default, skip_serializing_if = "Figure::is_empty")]
    pub load_cpu_us: Figure,
    /// The program's resident memory after the load, in KiB; the broker's apart.
    #[serde(default, skip_serializing_if = "Figure::is_empty")]
    pub resident_kib: Figure,
    #[serde(default, skip_serializing_if = "Figure::is_empty")]
    pub broker_resident_kib: Figure,
}

/// One figure, measured once a round.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(from = "Rounds", into = "Rounds")]
pub struct Figure(pub Vec<f64>);

/// In the file stands also what follows from the rounds, for whoever reads it.
#[derive(Deserialize, Serialize)]
struct Rounds {
    #[serde(default)]
    median: f64,
    #[serde(default)]
    least: f64,
    #[serde(default)]
    most: f64,
    rounds: Vec<f64>,
}

impl From<Rounds> for Figure {
    fn from(rounds: Rounds) -> Figure {
        Figure(rounds.rounds)
    }
}

impl From<Figure> for Rounds {
    fn from(figure: Figure) -> Rounds {
        let (least, most) = figure.spread();
        Rounds { median: figure.median(), least, most, rounds: figure.0 }
    }
}

impl Row {
    /// What is measured, and under which load.
    pub fn name(&self) -> String {
        let Row { transport, program, clients, bytes, .. } = self;
        format!("{transport} ({program}, {clients} clients, {bytes} bytes)")
    }
}

impl Figure {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// More digits than the measurement can have would only be noise in the file.
    pub fn push(&mut self, value: f64) {
        let digits = 3 - value.abs().max(1e-9).log10().ceil() as i32;
        let unit = 10f64.powi(digits.clamp(-12, 12));
        self.0.push((value * unit).round() / unit);
    }

    pub fn median(&self) -> f64 {
        median(&self.0).unwrap_or_default()
    }

    /// The least and the greatest of all rounds.
    pub fn spread(&self) -> (f64, f64) {
        spread(&self.0).unwrap_or_default()
    }

    /// This by another figure of the same rounds.
    pub fn by(&self, base: &Figure) -> Figure {
        Figure(ratios(&self.0, &base.0))
    }

    /// Of a ratio: does it differ from 1 in every round? A difference that is smaller
    /// than its spread is none.
    pub fn is_difference(&self) -> bool {
        let (least, most) = self.spread();
        !self.is_empty() && (least > 1.0 || most < 1.0)
    }
}

impl Report {
    pub fn rows(&self, part: Part) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.part == part)
    }

    /// The row of another side that stands beside this one.
    pub fn beside(&self, row: &Row, side: Side) -> Option<&Row> {
        self.rows(row.part).find(|other| {
            other.side == side
                && other.transport == row.transport
                && (other.clients, other.bytes) == (row.clients, row.bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(values: &[f64]) -> Figure {
        Figure(values.to_vec())
    }

    #[test]
    fn a_difference_smaller_than_its_spread_is_none() {
        let base = figure(&[100.0, 100.0, 100.0]);
        assert!(figure(&[120.0, 150.0, 130.0]).by(&base).is_difference());
        assert!(figure(&[80.0, 90.0, 99.0]).by(&base).is_difference());
        assert!(!figure(&[120.0, 150.0, 99.0]).by(&base).is_difference());
        assert!(!figure(&[]).by(&base).is_difference());
    }

    #[test]
    fn a_figure_keeps_three_digits() {
        let mut figure = Figure::default();
        for value in [123_456.0, 1.23456, 0.012_345, 0.0] {
            figure.push(value);
        }
        assert_eq!(figure.0, [123_000.0, 1.23, 0.0123, 0.0]);
    }

    #[test]
    fn the_file_holds_each_figure_with_its_rounds_median_and_spread() {
        let json = serde_json::to_value(figure(&[3.0, 1.0, 2.0])).unwrap();
        let expected = serde_json::json!({
            "median": 2.0, "least": 1.0, "most": 3.0, "rounds": [3.0, 1.0, 2.0],
        });
        assert_eq!(json, expected);
        let read: Figure = serde_json::from_value(json).unwrap();
        assert_eq!(read, figure(&[3.0, 1.0, 2.0]));
    }
}
