//! What the wiretap is asked to do.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail, ensure};
use clap::Args;

use crate::dissect::Protocol;

/// What to forward, what to show of it and what to break. The default shows each
/// message of TCP connections and breaks nothing.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Forward UDP datagrams instead of TCP connections
    #[arg(long, conflicts_with = "protocol")]
    pub udp: bool,
    /// What the connections speak; found out from their first bytes by default
    #[arg(long = "as", value_enum)]
    pub protocol: Option<Protocol>,
    /// Show the bytes of each message as well, header and payload apart
    #[arg(long)]
    pub hex: bool,
    /// Write what was let through to a file for Wireshark (pcap)
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Write the sequence of the messages to a file, at the end (Mermaid)
    #[arg(long, value_name = "FILE")]
    pub mermaid: Option<PathBuf>,
    #[command(flatten)]
    pub faults: Faults,
}

/// What to break on purpose.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Faults")]
pub struct Faults {
    /// UDP: lose this share of the datagrams, such as 20%
    #[arg(long, value_name = "PERCENT", requires = "udp", default_value = "0%")]
    #[arg(hide_default_value = true)]
    pub drop: Percent,
    /// UDP: forward this share of the datagrams twice
    #[arg(long, value_name = "PERCENT", requires = "udp", default_value = "0%")]
    #[arg(hide_default_value = true)]
    pub duplicate: Percent,
    /// UDP: hold this share of the datagrams back until the next one has passed
    #[arg(long, value_name = "PERCENT", requires = "udp", default_value = "0%")]
    #[arg(hide_default_value = true)]
    pub reorder: Percent,
    /// Forward everything so much later: 50ms, or 50ms±20ms (also 50ms+-20ms)
    #[arg(long, value_name = "TIME")]
    pub delay: Option<Delay>,
    /// Forward no faster than this in each direction of a connection: 500B/s, 10kB/s
    #[arg(long, value_name = "RATE")]
    pub rate: Option<Rate>,
    /// TCP: forward in pieces of so many bytes, each in a segment of its own
    #[arg(long, value_name = "BYTES", conflicts_with = "udp")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub slice: Option<u32>,
    /// TCP: reset the connection after so much of both directions: 1000B, 3messages
    #[arg(long, value_name = "POINT", conflicts_with = "udp")]
    pub cut_after: Option<Point>,
    /// TCP: lose the first message of this name, such as PUBACK, and reset the
    /// connection: what came before it has passed, what comes after it is lost too.
    /// The first of its details choose more closely: 'PUBACK packet 2'
    #[arg(long, value_name = "NAME", conflicts_with = "udp")]
    pub swallow: Option<String>,
    /// Forward nothing for so long, once, after the point of --freeze-after
    #[arg(long, value_name = "TIME")]
    pub freeze: Option<Time>,
    /// When to freeze a connection: after 1000B or 3messages of both directions
    #[arg(
        long,
        value_name = "POINT",
        requires = "freeze",
        default_value = "1message"
    )]
    pub freeze_after: Point,
    /// On how many connections to cut, swallow and freeze: the first ones that get so
    /// far. A client that connects again gets through
    /// [default: 1]
    #[arg(long, value_name = "NUMBER")]
    pub times: Option<u32>,
    /// Repeat the chance of an earlier run, which has printed its seed
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
}

impl Faults {
    pub fn any(&self) -> bool {
        self.to_string() != ""
    }

    /// Whether anything is left to chance.
    pub fn is_random(&self) -> bool {
        [self.drop, self.duplicate, self.reorder].iter().any(|share| share.0 > 0)
            || self.delay.is_some_and(|delay| !delay.deviation.is_zero())
    }
}

/// The faults asked for, as one would ask for them; empty when there are none.
impl Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let share = |name: &str, share: Percent| {
            (share.0 > 0).then(|| format!("{name} {}%", share.0))
        };
        let times = match self.times {
            None | Some(1) => String::new(),
            Some(times) => format!(", on {times} connections"),
        };
        let faults = [
            share("drop", self.drop),
            share("duplicate", self.duplicate),
            share("reorder", self.reorder),
            self.delay.map(|delay| format!("delay {delay}")),
            self.rate.map(|rate| format!("rate {} B/s", rate.0)),
            self.slice.map(|bytes| format!("slices of {bytes} B")),
            self.cut_after.map(|point| format!("cut after {point}{times}")),
            self.swallow.as_ref().map(|name| format!("swallow {name}{times}")),
            self.freeze.map(|time| {
                format!("freeze {:?} after {}{times}", time.0, self.freeze_after)
            }),
        ];
        let faults: Vec<String> = faults.into_iter().flatten().collect();
        write!(out, "{}", faults.join("; "))
    }
}

/// A share of 100.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Percent(pub u8);

impl FromStr for Percent {
    type Err = Error;

    fn from_str(text: &str) -> Result<Percent> {
        let number =
            text.strip_suffix('%').context("it takes a share such as 20%")?;
        let number = number.parse().context("it takes a whole number of percent")?;
        ensure!(number <= 100, "there is no more than 100%");
        Ok(Percent(number))
    }
}

impl Display for Percent {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{}%", self.0)
    }
}

/// A time such as 50ms or 5s.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Time(pub Duration);

impl FromStr for Time {
    type Err = Error;

    fn from_str(text: &str) -> Result<Time> {
        let (number, unit) = number_and_unit(text)?;
        let milliseconds = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1000),
            _ => bail!("it takes a time such as 50ms or 5s"),
        };
        let milliseconds = milliseconds.filter(|&time| time <= 3_600_000);
        Ok(Time(Duration::from_millis(milliseconds.context("an hour at most")?)))
    }
}

/// A time and how far chance may take it up or down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Delay {
    pub mean: Duration,
    pub deviation: Duration,
}

impl Delay {
    /// In microseconds.
    pub fn range(&self) -> RangeInclusive<u64> {
        let (mean, deviation) = (self.mean.as_micros(), self.deviation.as_micros());
        (mean - deviation) as u64..=(mean + deviation) as u64
    }
}

impl FromStr for Delay {
    type Err = Error;

    fn from_str(text: &str) -> Result<Delay> {
        let parts = text.split_once('±').or_else(|| text.split_once("+-"));
        let (mean, deviation) = parts.unwrap_or((text, "0ms"));
        let Time(mean) = mean.trim().parse()?;
        let Time(deviation) = deviation.trim().parse()?;
        ensure!(deviation <= mean, "nothing can be forwarded before it came");
        Ok(Delay { mean, deviation })
    }
}

impl Display for Delay {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self.deviation {
            Duration::ZERO => write!(out, "{:?}", self.mean),
            deviation => write!(out, "{:?}±{deviation:?}", self.mean),
        }
    }
}

/// Bytes a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate(pub u64);

impl Rate {
    /// How long so many bytes take.
    pub fn time(&self, bytes: usize) -> Duration {
        Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / self.0)
    }
}

impl FromStr for Rate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Rate> {
        let rate =
            text.strip_suffix("/s").context("it takes a rate such as 10kB/s")?;
        let bytes = bytes(rate)?;
        ensure!(bytes > 0, "use --freeze to forward nothing");
        Ok(Rate(bytes))
    }
}

/// A point in what a connection has forwarded, both directions together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Point {
    Bytes(u64),
    Messages(u64),
}

impl Default for Point {
    fn default() -> Point {
        Point::Messages(1)
    }
}

impl FromStr for Point {
    type Err = Error;

    fn from_str(text: &str) -> Result<Point> {
        let (number, unit) = number_and_unit(text)?;
        ensure!(number > 0, "it takes a point after something");
        match unit {
            "message" | "messages" => Ok(Point::Messages(number)),
            _ => Ok(Point::Bytes(bytes(text).context("or 3messages")?)),
        }
    }
}

impl Display for Point {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Point::Bytes(number) => write!(out, "{number} B"),
            Point::Messages(1) => write!(out, "1 message"),
            Point::Messages(number) => write!(out, "{number} messages"),
        }
    }
}

fn bytes(text: &str) -> Result<u64> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit {
        "B" => 1,
        "kB" => 1000,
        "MB" => 1_000_000,
        _ => bail!("it takes a size such as 1000B, 10kB or 1MB"),
    };
    number.checked_mul(factor).context("too many bytes")
}

/// The two parts of `10kB`, `50ms` or `3 messages`.
fn number_and_unit(text: &str) -> Result<(u64, &str)> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = &text[..text.len() - unit.len()];
    let number = number.parse().context("it takes a whole number and its unit")?;
    Ok((number, unit.trim()))
}
