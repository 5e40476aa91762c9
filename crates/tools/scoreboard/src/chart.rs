//! The report as charts for the slides and for the page: a lane for each row, with a mark
//! for each side. Shapes tell the sides apart for whoever cannot tell their colours.

use anyhow::{Context, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::{Figure, Part, Report, Row, SIDES, Side, Three, What};
use crate::rows::TRANSPORTS;
use crate::table::{grouped, number};

/// The deck's colours and fonts; a slide is 1280 by 720.
pub const THEME: &str = include_str!("../../../../slides/theme.css");
/// What a slide leaves below its title.
const SIZE: (u32, u32) = (1184, 544);
const LEGEND: i32 = 34;
/// Pixels on the slide. The backend divides the size by 1.24.
const TEXT: i32 = 24;
const FONT: (&str, f64) = ("'Source Sans 3', sans-serif", TEXT as f64 * 1.24);
/// What the names of the lanes take.
const NAMES: u32 = 300;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub struct Chart {
    pub file: &'static str,
    pub svg: String,
    /// What it shows, for those who cannot see it.
    pub says: String,
}

/// What a chart shows.
struct Lanes {
    file: &'static str,
    axis: &'static str,
    note: &'static str,
    part: Part,
    is_shown: fn(&Row) -> bool,
    name: fn(&Row) -> String,
    what: What,
    /// What the alternative text calls a figure.
    unit: &'static str,
}

const ROUNDS: &str = "bar: spread of the rounds";

const CHARTS: [Lanes; 5] = [
    Lanes {
        file: "rate.svg",
        axis: "messages per second",
        note: ROUNDS,
        part: Part::Reading,
        is_shown: in_charts,
        name: |row| row.transport.clone(),
        what: What::PerSecond,
        unit: "messages per second",
    },
    Lanes {
        file: "delay.svg",
        axis: "delay of a message in µs",
        note: "mark: median; end of the bar: 99 %",
        part: Part::Reading,
        is_shown: in_charts,
        name: |row| row.transport.clone(),
        what: What::P50Us,
        unit: "µs of median delay",
    },
    Lanes {
        file: "memory.svg",
        axis: "KiB of memory per idle client",
        note: ROUNDS,
        part: Part::Idle,
        is_shown: |row| row.clients > 1 && in_charts(row),
        name: with_clients,
        what: What::ClientKib,
        unit: "KiB per idle client",
    },
    Lanes {
        file: "clients.svg",
        axis: "messages per second",
        note: ROUNDS,
        part: Part::Clients,
        is_shown: |_| true,
        name: with_clients,
        what: What::PerSecond,
        unit: "messages per second",
    },
    Lanes {
        file: "sizes.svg",
        axis: "messages per second",
        note: ROUNDS,
        part: Part::Sizes,
        is_shown: |_| true,
        name: |row| format!("{}, {} KiB", row.transport, row.bytes / 1024),
        what: What::PerSecond,
        unit: "messages per second",
    },
];

fn in_charts(row: &Row) -> bool {
    TRANSPORTS.iter().any(|it| it.name == row.transport && it.in_charts)
}

/// A broker keeps its silent clients, and not the example.
fn with_clients(row: &Row) -> String {
    let transport = TRANSPORTS.iter().find(|it| it.name == row.transport);
    let is_broker = transport.is_some_and(|it| it.broker().is_some());
    let name = if is_broker { &row.program } else { &row.transport };
    format!("{name}, {}", grouped(row.clients as f64))
}

/// All charts for which there are figures.
pub fn draw(report: &Report) -> Result<Vec<Chart>> {
    let mut charts = Vec::new();
    for chart in &CHARTS {
        let rows: Vec<Three> = report
            .part(chart.part)
            .filter(|it| {
                (chart.is_shown)(it.example) && chart.bar(it.example).is_some()
            })
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
        // The first row stands at the top, where an axis has its greatest value.
        let name =
            |y: &f64| match rows.get(lanes.wrapping_sub(y.round() as usize + 1)) {
                Some(three) if y.fract() == 0.0 => (self.name)(three.example),
                _ => String::new(),
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
            .y_label_formatter(&name)
            .x_label_formatter(&|value| tick(*value))
            .x_desc(self.axis)
            .label_style(FONT.into_font().color(&colour("ink")))
            .bold_line_style(colour("line"))
            .light_line_style(TRANSPARENT)
            .axis_style(TRANSPARENT)
            .draw()?;
        for (lane, three) in rows.iter().enumerate() {
            // The example is drawn last: it stands in front.
            for side in SIDES.into_iter().rev() {
                let Some([from, at, to]) =
                    three.side(side).and_then(|row| self.bar(row))
                else {
                    continue;
                };
                let y = (lanes - 1 - lane) as f64 + side.track();
                let line = side.colour().stroke_width(3);
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
        let mut sorted: Vec<(f64, String)> = rows
            .iter()
            .map(|three| (figure(three), (self.name)(three.example)))
            .collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let [(least, first), .., (most, last)] = &sorted[..] else {
            return format!(
                "{}: {} {}.",
                sorted[0].1,
                number(sorted[0].0),
                self.unit
            );
        };
        let mut says = format!(
            "The examples in Rust: from {} {} ({first}) to {} ({last}).",
            number(*least),
            self.unit,
            number(*most),
        );
        if self.what == What::PerSecond {
            let ratios = |side: Side| {
                let each = rows.iter().filter_map(move |three| {
                    let ratio =
                        three.example.ratio(three.side(side)?, What::PerSecond);
                    ratio.median().map(|median| (median, ratio.is_difference()))
                });
                each.collect::<Vec<(f64, bool)>>()
            };
            let pythons = ratios(Side::Python);
            let faster =
                pythons.iter().filter(|(median, differs)| *differs && *median > 1.0);
            says += &format!(
                " They are ahead of Python in {} of {} rows.",
                faster.count(),
                pythons.len()
            );
            let limits = ratios(Side::Limit).into_iter().map(|(median, _)| median);
            if let Some((least, most)) = Figure::of(limits.collect()).spread() {
                let (least, most) = (number(least), number(most));
                says += &format!(" They reach {least} to {most} of the limit.");
            }
        }
        says
    }
}

impl Side {
    fn colour(self) -> RGBColor {
        colour(match self {
            Side::Example => "accent",
            Side::Python => "python",
            Side::Limit => "muted",
        })
    }

    /// How far from the middle of its lane a side stands.
    fn track(self) -> f64 {
        match self {
            Side::Example => 0.2,
            Side::Python => -0.2,
            Side::Limit => 0.0,
        }
    }

    /// A side has the same shape in every chart.
    fn mark(self, area: &Area, (x, y): (i32, i32)) -> Result<()> {
        let square = [(x - 6, y - 6), (x + 6, y + 6)];
        let upright = [(x, y - 13), (x, y + 13)];
        let fill = self.colour().filled();
        match self {
            Side::Example => area.draw(&Circle::new((x, y), 7, fill))?,
            Side::Python => area.draw(&Rectangle::new(square, fill))?,
            Side::Limit => {
                area.draw(&PathElement::new(upright, self.colour().stroke_width(4)))?
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

/// Only powers of ten stand at an axis: there is no room for more.
fn tick(value: f64) -> String {
    let ten = 10f64.powf(value.log10().round());
    match (value / ten - 1.0).abs() < 1e-6 {
        true if ten < 1.0 => ten.to_string(),
        true => grouped(ten),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{report, row};
    use crate::table::tests::full;

    #[test]
    fn what_was_not_measured_is_not_drawn() {
        let files = |report: &Report| -> Vec<&str> {
            draw(report).unwrap().into_iter().map(|chart| chart.file).collect()
        };
        assert!(files(&report(Vec::new())).is_empty());
        let rates =
            vec![row(Part::Reading, "TCP, async", Side::Example, &[5.0, 7.0])];
        assert_eq!(files(&report(rates)), ["rate.svg", "delay.svg"]);
        let mut all = full();
        all.rows.iter_mut().for_each(|row| row.clients = 1000);
        assert_eq!(files(&all).len(), 5);
    }

    #[test]
    fn every_text_is_legible_and_the_marks_have_colours_of_the_theme() {
        for Chart { svg, says, .. } in draw(&full()).unwrap() {
            let texts: Vec<&str> =
                svg.lines().filter(|line| line.starts_with("<text")).collect();
            assert!(texts.len() > 4 && says.len() > 20, "{says}");
            for text in texts {
                assert!(text.contains(&format!("font-size=\"{TEXT}\"")), "{text}");
            }
            assert!(svg.contains("fill=\"#A8380B\""), "no mark of the example");
        }
    }

    #[test]
    fn a_chart_says_its_result() {
        let says = draw(&full()).unwrap().remove(0).says;
        let expected = "TCP, async: 16,500 messages per second.";
        assert!(says.starts_with(expected), "{says}");
    }
}
