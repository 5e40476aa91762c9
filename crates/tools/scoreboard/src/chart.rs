//! The report as charts for the slides and for the page: a lane for each row, with a mark
//! for each side. Each side has its own shape, for those who cannot see the colours.

use anyhow::{Context, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::{Figure, Part, Report, Row, SIDES, Side, Three, What};
use crate::rows::transport;
use crate::table::{grouped, number};

/// The deck's colours and fonts; a slide is 1280 by 720.
pub const THEME: &str = include_str!("../../../../slides/theme.css");
/// The space on a slide below its title.
const SIZE: (u32, u32) = (1184, 544);
const LEGEND: i32 = 34;
/// Pixels on the slide. The backend divides the size by 1.24.
pub const TEXT: i32 = 24;
const FONT: (&str, f64) = ("'Source Sans 3', sans-serif", TEXT as f64 * 1.24);
/// The width for the names of the lanes.
const NAMES: u32 = 300;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub struct Chart {
    pub file: &'static str,
    pub svg: String,
    /// The alternative text: what it shows.
    pub says: String,
}

/// What a chart shows.
struct Lanes {
    file: &'static str,
    axis: &'static str,
    note: &'static str,
    part: Part,
    what: What,
    /// The unit in the alternative text.
    unit: &'static str,
}

const SPREAD: &str = "bar: spread of the rounds";

/// A chart of messages per second.
const fn rates(file: &'static str, part: Part) -> Lanes {
    let unit = "messages per second";
    Lanes { file, axis: unit, note: SPREAD, part, what: What::PerSecond, unit }
}

const CHARTS: [Lanes; 5] = [
    rates("rate.svg", Part::Reading),
    Lanes {
        file: "delay.svg",
        axis: "delay of a message in µs",
        note: "mark: median; end of the bar: 99 %",
        part: Part::Reading,
        what: What::P50Us,
        unit: "µs of median delay",
    },
    Lanes {
        file: "memory.svg",
        axis: "KiB of memory per idle client",
        note: SPREAD,
        part: Part::Idle,
        what: What::ClientKib,
        unit: "KiB per idle client",
    },
    rates("clients.svg", Part::Clients),
    rates("sizes.svg", Part::Sizes),
];

/// Whether the chart shows the row: those of all transports have no room for each.
fn is_shown(row: &Row) -> bool {
    let only_in_tables =
        transport(&row.transport).is_some_and(|it| it.only_in_tables);
    match row.part {
        Part::Reading => !only_in_tables,
        Part::Idle => row.clients > 1 && !only_in_tables,
        Part::Clients | Part::Sizes => true,
    }
}

/// The name of a lane: for idle clients of a broker, that of the broker.
fn name(row: &Row) -> String {
    let Row { transport: name, clients, bytes, .. } = row;
    let is_broker = transport(name).is_some_and(|it| it.broker().is_some());
    match row.part {
        Part::Reading => name.clone(),
        Part::Sizes => format!("{name}, {} KiB", bytes / 1024),
        Part::Idle if is_broker => {
            format!("{}, {}", row.program, grouped(*clients as f64))
        }
        Part::Idle | Part::Clients => format!("{name}, {}", grouped(*clients as f64)),
    }
}

/// All charts for which there are figures.
pub fn draw(report: &Report) -> Result<Vec<Chart>> {
    let mut charts = Vec::new();
    for chart in &CHARTS {
        let rows: Vec<Three> = report
            .part(chart.part)
            .filter(|it| is_shown(it.example) && chart.bar(it.example).is_some())
            .collect();
        if !rows.is_empty() {
            let svg = chart.draw(&rows).with_context(|| chart.file)?;
            charts.push(Chart { file: chart.file, svg, says: chart.says(&rows) });
        }
    }
    Ok(charts)
}

impl Lanes {
    /// Where the bar begins, the mark stands, and the bar ends.
    fn bar(&self, row: &Row) -> Option<[f64; 3]> {
        let (figure, median) = (row.figure(self.what), row.median(self.what)?);
        let (from, to) = match self.what {
            What::P50Us => (median, row.median(What::P99Us)?.max(median)),
            _ => figure.spread()?,
        };
        // A logarithmic axis has no place for 0.
        (from > 0.0).then_some([from, median, to])
    }

    fn draw(&self, rows: &[Three]) -> Result<String> {
        let bars = rows.iter().flat_map(|three| {
            SIDES.iter().filter_map(|side| self.bar(three.side(*side)?))
        });
        let spread = Figure::of(bars.flatten().collect()).spread();
        let (low, high) = spread.context("nothing to draw")?;
        let lanes = rows.len();
        // The first row is at the top, where the axis has its greatest value.
        let label = |y: &f64| {
            let row = rows.get(lanes.wrapping_sub(y.round() as usize + 1));
            let row = row.filter(|_| y.fract() == 0.0);
            row.map_or(String::new(), |three| name(three.example))
        };
        let mut text = String::new();
        let whole = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        let (top, below) = whole.split_vertically(LEGEND);
        legend(&top, self.note)?;
        let mut plot = ChartBuilder::on(&below)
            .set_label_area_size(LabelAreaPosition::Left, NAMES)
            .set_label_area_size(LabelAreaPosition::Bottom, 2 * TEXT + 12)
            .margin_right(48)
            .build_cartesian_2d(
                (low / 1.3..high * 1.3).log_scale(),
                -0.5..lanes as f64 - 0.5,
            )?;
        plot.configure_mesh()
            .y_labels(lanes + 1)
            .y_label_formatter(&label)
            .x_label_formatter(&|value| tick(*value))
            .x_desc(self.axis)
            .label_style(FONT.into_font().color(&colour("ink")))
            .bold_line_style(colour("line"))
            .light_line_style(TRANSPARENT)
            .axis_style(TRANSPARENT)
            .draw()?;
        for (lane, three) in rows.iter().enumerate() {
            // The example is drawn last, in front.
            for side in SIDES.into_iter().rev() {
                let Some([from, at, to]) =
                    three.side(side).and_then(|row| self.bar(row))
                else {
                    continue;
                };
                let (colour, track) = side.look();
                let y = (lanes - 1 - lane) as f64 + track;
                let line = colour.stroke_width(3);
                plot.draw_series([PathElement::new([(from, y), (to, y)], line)])?;
                let (x, y) = plot.backend_coord(&(at, y));
                side.mark(&below, (x, y - LEGEND))?;
            }
        }
        whole.present()?;
        drop((plot, top, below, whole));
        Ok(text)
    }

    /// The result in a sentence or two.
    fn says(&self, rows: &[Three]) -> String {
        let figure =
            |three: &Three| self.bar(three.example).map_or(0.0, |bar| bar[1]);
        let mut sorted: Vec<&Three> = rows.iter().collect();
        sorted.sort_by(|a, b| figure(a).total_cmp(&figure(b)));
        let of = |three: &Three| (number(figure(three)), name(three.example));
        let ((least, first), (most, last)) =
            (of(sorted[0]), of(sorted[rows.len() - 1]));
        let unit = self.unit;
        let mut says = format!(
            "The examples in Rust: from {least} {unit} ({first}) to {most} ({last})."
        );
        if self.what == What::PerSecond {
            let is_ahead = |three: &&Three| {
                let python = three.side(Side::Python);
                let ratio =
                    python.map(|python| three.example.ratio(python, self.what));
                let ahead =
                    |it: Figure| it.is_difference() && it.median() > Some(1.0);
                ratio.is_some_and(ahead)
            };
            let ahead = rows.iter().filter(is_ahead).count();
            let all = rows.len();
            says += &format!(" In {ahead} of {all} rows they are ahead of Python.");
        }
        says
    }
}

impl Side {
    /// Its colour, and how far from the middle of its lane it stands.
    fn look(self) -> (RGBColor, f64) {
        match self {
            Side::Example => (colour("accent"), 0.2),
            Side::Python => (colour("python"), -0.2),
            Side::Limit => (colour("muted"), 0.0),
        }
    }

    /// A side has the same shape in every chart.
    fn mark(self, area: &Area, (x, y): (i32, i32)) -> Result<()> {
        let square = [(x - 6, y - 6), (x + 6, y + 6)];
        let upright = [(x, y - 13), (x, y + 13)];
        let colour = self.look().0;
        let fill = colour.filled();
        match self {
            Side::Example => area.draw(&Circle::new((x, y), 7, fill))?,
            Side::Python => area.draw(&Rectangle::new(square, fill))?,
            Side::Limit => {
                area.draw(&PathElement::new(upright, colour.stroke_width(4)))?
            }
        }
        Ok(())
    }
}

fn legend(area: &Area, note: &str) -> Result<()> {
    let (mut x, y) = (NAMES as i32, LEGEND / 2);
    for (side, name) in SIDES.into_iter().zip(["Rust", "Python", "limit"]) {
        side.mark(area, (x + 8, y))?;
        text(area, name, (x + 24, y), colour("ink"))?;
        x += 44 + 13 * name.len() as i32;
    }
    text(area, note, (x, y), colour("muted"))
}

fn text(area: &Area, words: &str, at: (i32, i32), colour: RGBColor) -> Result<()> {
    let middle = Pos::new(HPos::Left, VPos::Center);
    Ok(area.draw_text(words, &FONT.into_font().color(&colour).pos(middle), at)?)
}

/// A colour of the deck's theme, by its name there.
fn colour(name: &str) -> RGBColor {
    let definition = format!("--{name}: #");
    let hex = THEME.split_once(&definition).and_then(|(_, rest)| rest.get(..6));
    let number = u32::from_str_radix(hex.unwrap_or_default(), 16).unwrap_or_default();
    let [_, red, green, blue] = number.to_be_bytes();
    RGBColor(red, green, blue)
}

/// Only powers of ten are labelled: there is no room for more.
fn tick(value: f64) -> String {
    let ten = 10f64.powf(value.log10().round());
    match (value / ten - 1.0).abs() < 1e-6 {
        true if ten < 1.0 => ten.to_string(),
        true => grouped(ten),
        false => String::new(),
    }
}
