//! What was measured: the contents of scoreboard.json. It holds the rounds; everything
//! else is computed from them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// A whole run.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub plan: Plan,
    pub rows: Vec<Row>,
}

/// The machine of the run: figures of different machines are not comparable.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Machine {
    /// The day of the run, such as 2026-11-28.
    pub date: String,
    pub processor: String,
    pub cores: usize,
    pub kernel: String,
    /// Programs and the commit: name and version.
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
    /// The system's load average before each round. The run itself is included.
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
    /// What connected but silent clients cost.
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
    /// Its limit: the same job in C, or with another library.
    Limit,
}

pub const SIDES: [Side; 3] = [Side::Example, Side::Python, Side::Limit];

/// A program, measured under one load.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Row {
    pub part: Part,
    /// The name of the transport, the same on all sides, such as `TCP, async`.
    pub transport: String,
    pub side: Side,
    /// What was measured, such as `async-tcp-server` or `asyncio_server.py`.
    pub program: String,
    pub clients: usize,
    /// The size of a message, without what the transport adds.
    pub bytes: usize,
    /// Why there are no figures, or fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// None for a round in which it failed.
    pub rounds: Vec<Option<Round>>,
}

/// What a figure of a row measures.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Round trip or delivery, since the message was due; at full speed, since sent.
    P50Us,
    P99Us,
    /// Messages at full speed.
    PerSecond,
    /// Bytes of IP packets on the loopback per message: both ways, all hops.
    WireBytes,
    /// Processor time per message: the program's, the broker's, and the load's own.
    CpuUs,
    BrokerCpuUs,
    LoadCpuUs,
    /// Memory per idle client.
    ClientKib,
}

/// The figures of one round, those that apply.
pub type Round = BTreeMap<What, f64>;

/// Rounds to three significant digits: further digits are noise.
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

    /// The middle value, or the mean of the two middle values.
    pub fn median(&self) -> Option<f64> {
        let upper = self.0.get(self.0.len() / 2)?;
        let lower = self.0.get((self.0.len() - 1) / 2)?;
        Some((lower + upper) / 2.0)
    }

    /// The least and the greatest of all rounds.
    pub fn spread(&self) -> Option<(f64, f64)> {
        Some((*self.0.first()?, *self.0.last()?))
    }

    /// For a ratio: whether it is on the same side of 1 in every round.
    pub fn is_difference(&self) -> bool {
        self.spread().is_some_and(|(least, most)| least > 1.0 || most < 1.0)
    }
}

/// The utilisation above which a processor counts as busy.
const BUSY: f64 = 0.85;

impl Row {
    /// What is measured, and under which load.
    pub fn name(&self) -> String {
        let Row { transport, program, clients, bytes, .. } = self;
        let s = if *clients == 1 { "" } else { "s" };
        format!("{transport} ({program}, {clients} client{s}, {bytes} bytes)")
    }

    pub fn figure(&self, what: What) -> Figure {
        let rounds = self.rounds.iter().flatten();
        Figure::of(rounds.filter_map(|round| round.get(&what).copied()).collect())
    }

    pub fn median(&self, what: What) -> Option<f64> {
        self.figure(what).median()
    }

    /// The ratio to another row in each round: both had the same conditions.
    pub fn ratio(&self, base: &Row, what: What) -> Figure {
        let pairs = self.rounds.iter().zip(&base.rounds);
        let ratio = |(a, b): (&Option<Round>, &Option<Round>)| {
            let (a, b) = (a.as_ref()?.get(&what)?, b.as_ref()?.get(&what)?);
            (*b > 0.0).then(|| a / b)
        };
        Figure::of(pairs.filter_map(ratio).collect())
    }

    /// The bottleneck of the messages per second: the processor that the program shares
    /// with its broker, or that of the load. Otherwise they wait: for each other, for a
    /// disk or for a timer.
    pub fn limited_by(&self) -> Option<&'static str> {
        let rate = self.median(What::PerSecond)? / 1e6;
        let broker = self.median(What::BrokerCpuUs).unwrap_or_default();
        let server = (self.median(What::CpuUs)? + broker) * rate;
        let load = self.median(What::LoadCpuUs).unwrap_or_default() * rate;
        let sides = [("server", server), ("load", load)];
        let busy = sides.into_iter().find(|(_, used)| *used > BUSY);
        Some(busy.map_or("waiting", |(side, _)| side))
    }
}

/// An example, its twin and its limit, under the same load.
pub struct Three<'a> {
    pub example: &'a Row,
    report: &'a Report,
}

impl<'a> Three<'a> {
    pub fn side(&self, side: Side) -> Option<&'a Row> {
        let load = |row: &'a Row| (row.part, &row.transport, row.clients, row.bytes);
        let mut rows = self.report.rows.iter();
        rows.find(|row| row.side == side && load(row) == load(self.example))
    }
}

impl Report {
    pub fn read(run: &Path) -> Result<Report> {
        let text = fs::read_to_string(run);
        let text = text.with_context(|| format!("cannot read {}", run.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is not a scoreboard", run.display()))
    }

    pub fn part(&self, part: Part) -> impl Iterator<Item = Three<'_>> {
        let is_meant =
            move |row: &&Row| row.part == part && row.side == Side::Example;
        let examples = self.rows.iter().filter(is_meant);
        examples.map(|example| Three { example, report: self })
    }

    pub fn reading(&self, transport: &str) -> Option<Three<'_>> {
        self.part(Part::Reading).find(|three| three.example.transport == transport)
    }

    /// The file's text, with one line per row: a row begins with its part.
    pub fn json(&self) -> Result<String> {
        let text = serde_json::to_string(self)?;
        Ok(text.replace("{\"part\"", "\n{\"part\"") + "\n")
    }
}
