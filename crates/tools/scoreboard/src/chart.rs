//! The report as charts for the slides and for the page. Shapes tell the sides apart for
//! whoever cannot tell their colours.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::{Figure, Of, Part, RATE, Report, Row, SIDES, Side, Three};
use crate::rows::TRANSPORTS;
use crate::table::{grouped, number};

/// The deck's colours and fonts; a slide is 1280 by 720.
pub const THEME: &str = include_str!("../../../../slides/theme.css");
/// What a slide leaves below its title.
const SIZE: (u32, u32) = (1184, 544);
const LEGEND: i32 = 34;
/// Pixels on the slide.
const TEXT: i32 = 24;
/// The backend divides the size by 1.24.
const FONT: (&str, f64) = ("'Source Sans 3', sans-serif", TEXT as f64 * 1.24);
const NAMES: u32 = 272;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub struct Chart {
    pub file: &'static str,
    pub svg: String,
    /// What it shows, for those who cannot see it.
    pub says: String,
}

/// All charts for which there are figures.
pub fn draw(report: &Report) -> Result<Vec<Chart>> {
    let mut charts = Vec::new();
    let lanes = [
        ("rate.svg", RATES, rate_says(report)),
        ("delay.svg", DELAYS, delay_says(report)),
        ("memory.svg", MEMORY, memory_says(report)),
    ];
    for (file, chart, says) in lanes {
        let svg = chart.draw(report).with_context(|| file)?;
        charts.extend(svg.map(|svg| Chart {
            file,
            svg,
            says: says.unwrap_or_default(),
        }));
    }
    let curves = [
        ("clients.svg", CLIENTS, clients_says(report)),
        ("sizes.svg", SIZES, sizes_says(report)),
    ];
    for (file, chart, says) in curves {
        let svg = chart.draw(report).with_context(|| file)?;
        charts.extend(svg.map(|svg| Chart {
            file,
            svg,
            says: says.unwrap_or_default(),
        }));
    }
    Ok(charts)
}

/// A chart with a lane for each transport, from top to bottom.
struct Lanes {
    axis: &'static str,
    label: fn(f64) -> String,
    note: &'static str,
    part: Part,
    /// Where the bar begins, the mark stands, and the bar ends.
    bar: fn(&Row) -> Option<[f64; 3]>,
}

const RATES: Lanes = Lanes {
    axis: "messages per second",
    label: grouped,
    note: "bar: spread of the rounds",
    part: Part::Reading,
    bar: |row| bar(&row.figure(RATE)),
};

const DELAYS: Lanes = Lanes {
    axis: "delay of a message",
    label: |us| match us {
        ..1e3 => format!("{us} µs"),
        _ => format!("{} ms", us / 1e3),
    },
    note: "mark: median; end of the bar: 99 %",
    part: Part::Reading,
    bar: |row| {
        let median = row.median(|round| round.p50_us)?;
        Some([median, median, row.median(|round| round.p99_us)?.max(median)])
    },
};

const MEMORY: Lanes = Lanes {
    axis: "KiB of memory per idle client",
    label: |kib| if kib < 1.0 { kib.to_string() } else { grouped(kib) },
    note: "of about 1,000 clients",
    part: Part::Idle,
    bar: |row| {
        let is_meant = (900..=1000).contains(&row.clients);
        bar(&row.per_client_kib()).filter(|_| is_meant)
    },
};

fn bar(figure: &Figure) -> Option<[f64; 3]> {
    let (least, most) = figure.spread()?;
    // A logarithmic axis has no place for 0.
    (least > 0.0).then_some([least, figure.median()?, most])
}

impl Lanes {
    fn draw(&self, report: &Report) -> Result<Option<String>> {
        let in_charts = |name: &str| {
            let found = TRANSPORTS.iter().find(|it| it.name == name);
            found.is_some_and(|it| it.in_charts)
        };
        let mut lanes: Vec<(&str, Vec<(Side, [f64; 3])>)> = Vec::new();
        for three in report.part(self.part) {
            let bars = SIDES.iter().filter_map(|&side| {
                Some((side, three.side(side).and_then(self.bar)?))
            });
            let (name, bars) = (&*three.example.transport, bars.collect::<Vec<_>>());
            if in_charts(name) && !bars.is_empty() {
                lanes.push((name, bars));
            }
        }
        let values =
            lanes.iter().flat_map(|(_, bars)| bars).flat_map(|(_, bar)| *bar);
        let Some((low, high)) = Figure::of(values.collect()).spread() else {
            return Ok(None);
        };
        let (count, label) = (lanes.len(), |value: &f64| tick(*value, self.label));
        let name =
            |y: &f64| match lanes.get(count.wrapping_sub(y.round() as usize + 1)) {
                Some((name, _)) if y.fract() == 0.0 => name.to_string(),
                _ => String::new(),
            };
        svg(|area| {
            let (top, below) = area.split_vertically(LEGEND);
            legend(&top, NAMES as i32, self.note, |_| true)?;
            let mut plot = ChartBuilder::on(&below)
                .set_label_area_size(LabelAreaPosition::Left, NAMES)
                .set_label_area_size(LabelAreaPosition::Bottom, 2 * TEXT + 12)
                .margin_right(48)
                .build_cartesian_2d(
                    (low / 1.3..high * 1.3).log_scale(),
                    -0.5..count as f64 - 0.5,
                )?;
            plot.configure_mesh()
                .y_labels(count + 1)
                .y_label_formatter(&name)
                .x_label_formatter(&label)
                .x_desc(self.axis)
                .label_style(ink())
                .bold_line_style(colour("line"))
                .light_line_style(TRANSPARENT)
                .axis_style(TRANSPARENT)
                .draw()?;
            for (lane, (_, bars)) in lanes.iter().enumerate() {
                for (side, [start, at, end]) in bars.iter().rev() {
                    let y = (count - 1 - lane) as f64 + side.track();
                    let line = side.colour().stroke_width(3);
                    let bar = PathElement::new([(*start, y), (*end, y)], line);
                    plot.draw_series([bar])?;
                    side.mark(&below, plot.backend_coord(&(*at, y)), side.colour())?;
                }
            }
            Ok(())
        })
        .map(Some)
    }
}

/// A chart with a curve for each transport, by the example and by its twin.
struct Curves {
    axes: [&'static str; 2],
    part: Part,
    x: fn(&Row) -> usize,
    y: fn(&Row) -> Option<f64>,
}

const CLIENTS: Curves = Curves {
    axes: ["clients at once", "messages per second"],
    part: Part::Clients,
    x: |row| row.clients,
    y: |row| row.median(RATE),
};

const SIZES: Curves = Curves {
    axes: ["bytes per message", "MB per second"],
    part: Part::Sizes,
    x: |row| row.bytes,
    y: |row| Some(row.bytes as f64 * row.median(RATE)? / 1e6),
};

impl Curves {
    /// The points of each transport and side, those of the first part included.
    fn points<'a>(
        &self,
        report: &'a Report,
    ) -> Vec<(&'a str, Side, Vec<(f64, f64)>)> {
        let mut curves = Vec::new();
        for transport in &TRANSPORTS {
            let (base, more) = (
                report.reading(transport.name),
                report.of(self.part, transport.name),
            );
            // Of the chat's reading one hears it; else all who come ask.
            let base =
                base.filter(|_| self.part == Part::Sizes || transport.clients > 2);
            for side in [Side::Example, Side::Python] {
                let rows = base.iter().chain(&more).filter_map(|it| it.side(side));
                let at = |row: &'a Row| Some(((self.x)(row), (row, (self.y)(row)?)));
                let points: BTreeMap<usize, (&Row, f64)> =
                    rows.filter_map(at).collect();
                let Some((row, _)) =
                    points.values().next().filter(|_| !more.is_empty())
                else {
                    continue;
                };
                let line = points.iter().map(|(x, (_, y))| (*x as f64, *y)).collect();
                curves.push((&*row.transport, side, line));
            }
        }
        curves.retain(|(_, _, points): &(_, _, Vec<_>)| points.len() > 1);
        curves
    }

    fn draw(&self, report: &Report) -> Result<Option<String>> {
        let curves = self.points(report);
        let all = curves.iter().flat_map(|(_, _, points)| points);
        let (xs, ys): (Vec<f64>, Vec<f64>) = all.copied().unzip();
        let (Some(x), Some(y)) = (Figure::of(xs).spread(), Figure::of(ys).spread())
        else {
            return Ok(None);
        };
        let label = |value: &f64| {
            tick(*value, |it| if it < 1.0 { it.to_string() } else { grouped(it) })
        };
        svg(|area| {
            let (top, below) = area.split_vertically(LEGEND);
            let is_drawn = |side| side != Side::Limit;
            legend(
                &top,
                0,
                &format!("from bottom to top: {}", self.axes[1]),
                is_drawn,
            )?;
            let mut plot = ChartBuilder::on(&below)
                .set_label_area_size(LabelAreaPosition::Left, 112)
                .set_label_area_size(LabelAreaPosition::Bottom, 2 * TEXT + 12)
                .margin_right(NAMES + 48)
                .margin_top(12)
                .build_cartesian_2d(
                    (x.0 / 1.1..x.1 * 1.1).log_scale(),
                    (y.0 / 1.3..y.1 * 1.3).log_scale(),
                )?;
            plot.configure_mesh()
                .x_label_formatter(&label)
                .y_label_formatter(&label)
                .x_desc(self.axes[0])
                .label_style(ink())
                .bold_line_style(colour("line"))
                .light_line_style(TRANSPARENT)
                .axis_style(TRANSPARENT)
                .draw()?;
            let mut ends = Vec::new();
            let mut names: Vec<&str> = Vec::new();
            for (name, side, points) in curves {
                names.extend((names.last() != Some(&name)).then_some(name));
                let line = colour(&format!("chart-{}", (names.len() - 1) % 7 + 1));
                let style = line.stroke_width(3);
                match side {
                    Side::Python => plot.draw_series(DashedLineSeries::new(
                        points.clone(),
                        9,
                        6,
                        style,
                    ))?,
                    _ => plot.draw_series(LineSeries::new(points.clone(), style))?,
                };
                for point in &points {
                    side.mark(&below, plot.backend_coord(point), line)?;
                }
                let end = points.last().map(|point| plot.backend_coord(point));
                ends.extend(end.map(|end| (end, name, side, line)));
            }
            end_names(&below, ends)
        })
        .map(Some)
    }
}

/// The name of each curve, as near to its end as the other names permit.
fn end_names(
    area: &Area,
    mut ends: Vec<((i32, i32), &str, Side, RGBColor)>,
) -> Result<()> {
    ends.sort_by_key(|((_, y), ..)| *y);
    let base = area.get_base_pixel().1;
    let bottom = SIZE.1 as i32 - LEGEND - 2 * TEXT - 12;
    let mut ys: Vec<i32> = ends.iter().map(|((_, y), ..)| y - base).collect();
    // Two that are too near move apart, and may thereby come too near to others.
    for _ in 0..500 {
        for i in 1..ys.len() {
            let lack = (TEXT + 2 - (ys[i] - ys[i - 1])).max(0);
            ys[i - 1] = (ys[i - 1] - (lack + 1) / 2).max(14);
            ys[i] = (ys[i] + (lack + 1) / 2).min(bottom);
        }
    }
    let x = (SIZE.0 - NAMES) as i32;
    for (((from, at), name, side, line), y) in ends.into_iter().zip(ys) {
        let ends = [(from, at - base), (x - 14, y)];
        area.draw(&PathElement::new(ends, line.mix(0.5)))?;
        side.mark(area, (x, y + base), line)?;
        text(area, name, (x + 16, y), line)?;
    }
    Ok(())
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Example => "Rust",
            Side::Python => "Python",
            Side::Limit => "limit",
        }
    }

    fn colour(self) -> RGBColor {
        match self {
            Side::Example => colour("accent"),
            Side::Python => colour("python"),
            Side::Limit => colour("muted"),
        }
    }

    /// How far from the middle of its lane a side stands.
    fn track(self) -> f64 {
        match self {
            Side::Example => 0.2,
            Side::Python => -0.2,
            Side::Limit => 0.0,
        }
    }

    /// A side has the same shape in every chart. The place is a pixel of the whole.
    fn mark(self, area: &Area, (x, y): (i32, i32), colour: RGBColor) -> Result<()> {
        let y = y - area.get_base_pixel().1;
        let square = [(x - 6, y - 6), (x + 6, y + 6)];
        let upright = [(x, y - 13), (x, y + 13)];
        match self {
            Side::Example => area.draw(&Circle::new((x, y), 7, colour.filled()))?,
            Side::Python => area.draw(&Rectangle::new(square, colour.filled()))?,
            Side::Limit => {
                area.draw(&PathElement::new(upright, colour.stroke_width(4)))?
            }
        }
        Ok(())
    }
}

fn legend(
    area: &Area,
    mut x: i32,
    note: &str,
    is_drawn: fn(Side) -> bool,
) -> Result<()> {
    let middle = LEGEND / 2;
    for side in SIDES.into_iter().filter(|side| is_drawn(*side)) {
        side.mark(area, (x + 8, middle), side.colour())?;
        text(area, side.name(), (x + 24, middle), colour("ink"))?;
        x += 44 + 13 * side.name().len() as i32;
    }
    text(area, note, (x, middle), colour("muted"))
}

fn text(area: &Area, words: &str, at: (i32, i32), colour: RGBColor) -> Result<()> {
    let middle = Pos::new(HPos::Left, VPos::Center);
    Ok(area.draw_text(words, &FONT.into_font().color(&colour).pos(middle), at)?)
}

fn ink() -> TextStyle<'static> {
    FONT.into_font().color(&colour("ink"))
}

/// A colour of the deck's theme, by its name there.
fn colour(name: &str) -> RGBColor {
    let definition = format!("--{name}: #");
    let hex = THEME.split_once(&definition).and_then(|(_, rest)| rest.get(..6));
    let [_, red, green, blue] = u32::from_str_radix(hex.unwrap_or_default(), 16)
        .unwrap_or_default()
        .to_be_bytes();
    RGBColor(red, green, blue)
}

/// Only round numbers stand at an axis: there is no room for others.
fn tick(value: f64, label: impl Fn(f64) -> String) -> String {
    let ten = 10f64.powf(value.log10().round());
    if (value / ten - 1.0).abs() < 1e-6 { label(ten) } else { String::new() }
}

fn svg(draw: impl FnOnce(&Area) -> Result<()>) -> Result<String> {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
    draw(&area)?;
    area.present()?;
    drop(area);
    Ok(text)
}

/// The transports of the charts with an example's figure, from the least to the most.
fn sorted(report: &Report, of: Of) -> Vec<(f64, Three<'_>)> {
    let found = TRANSPORTS.iter().filter(|it| it.in_charts);
    let found = found.filter_map(|it| report.reading(it.name));
    let mut found: Vec<(f64, Three)> =
        found.filter_map(|three| Some((three.example.median(of)?, three))).collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found
}

fn rate_says(report: &Report) -> Option<String> {
    let rows = sorted(report, RATE);
    let ((least, slow), (most, fast)) = (rows.first()?, rows.last()?);
    let ratios = |side: Side| {
        let each = rows.iter().filter_map(move |(_, it)| {
            Some(it.example.ratio(it.side(side)?, RATE))
                .filter(|it| it.median().is_some())
        });
        each.collect::<Vec<_>>()
    };
    let (pythons, limits) = (ratios(Side::Python), ratios(Side::Limit));
    let faster =
        pythons.iter().filter(|it| it.is_difference() && it.median() > Some(1.0));
    let limits = Figure::of(limits.iter().filter_map(Figure::median).collect());
    let limits = limits.spread().map_or(String::new(), |(least, most)| {
        format!(", and reach {} to {} of the limit", number(least), number(most))
    });
    Some(format!(
        "Messages per second by the examples in Rust: from {} ({}) to {} ({}). They are \
         ahead of Python in {} of {} transports{limits}.",
        number(*least),
        slow.example.transport,
        number(*most),
        fast.example.transport,
        faster.count(),
        pythons.len(),
    ))
}

fn delay_says(report: &Report) -> Option<String> {
    let rows = sorted(report, |round| round.p50_us);
    let ((least, quick), (most, slow)) = (rows.first()?, rows.last()?);
    Some(format!(
        "The median delay of a message in Rust: from {} µs ({}) to {} µs ({}).",
        number(*least),
        quick.example.transport,
        number(*most),
        slow.example.transport,
    ))
}

fn memory_says(report: &Report) -> Option<String> {
    let about = |name| {
        let found = report.of(Part::Idle, name);
        let meant =
            found.iter().find(|it| (900..=1000).contains(&it.example.clients))?;
        let kib = |row: &Row| row.per_client_kib().median().map(number);
        let python = meant
            .python
            .and_then(kib)
            .map_or(String::new(), |kib| format!(" ({kib} in Python)"));
        Some(format!("{name} {}{python}", kib(meant.example)?))
    };
    let all = ["TCP, async", "TCP, threads", "REST, kept alive", "WebSocket"];
    let all: Vec<String> = all.into_iter().filter_map(about).collect();
    (!all.is_empty())
        .then(|| format!("KiB of memory per idle client: {}.", all.join(", ")))
}

fn clients_says(report: &Report) -> Option<String> {
    let rates = report.part(Part::Clients).filter(|it| it.example.clients == 1000);
    let rates = rates.filter_map(|it| {
        Some(format!("{} {}", it.example.transport, number(it.example.median(RATE)?)))
    });
    let rates: Vec<String> = rates.collect();
    (!rates.is_empty()).then(|| {
        format!("Messages per second with 1,000 clients: {}.", rates.join(", "))
    })
}

fn sizes_says(report: &Report) -> Option<String> {
    let all = report.part(Part::Sizes).filter(|it| it.example.bytes == 16 * 1024);
    let all = all.filter_map(|it| {
        Some(format!("{} {}", it.example.transport, number((SIZES.y)(it.example)?)))
    });
    let all: Vec<String> = all.collect();
    (!all.is_empty()).then(|| {
        format!("MB per second with messages of 16 KiB: {}.", all.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{report, row};
    use crate::table::tests::full;

    fn files(report: &Report) -> Vec<&'static str> {
        draw(report).unwrap().into_iter().map(|chart| chart.file).collect()
    }

    #[test]
    fn what_was_not_measured_is_not_drawn() {
        assert!(files(&report(Vec::new())).is_empty());
        let rates =
            vec![row(Part::Reading, "TCP, async", Side::Example, &[5.0, 7.0])];
        assert_eq!(files(&report(rates)), ["rate.svg", "delay.svg"]);
        let mut all = full();
        for row in &mut all.rows {
            row.clients = if row.part == Part::Reading { 16 } else { 1000 };
            row.bytes = if row.part == Part::Sizes { 1024 } else { 64 };
        }
        let expected =
            ["rate.svg", "delay.svg", "memory.svg", "clients.svg", "sizes.svg"];
        assert_eq!(files(&all), expected);
    }

    #[test]
    fn every_text_is_legible_and_has_a_colour_of_the_theme() {
        for Chart { svg, says, .. } in draw(&full()).unwrap() {
            let texts: Vec<&str> =
                svg.lines().filter(|line| line.starts_with("<text")).collect();
            assert!(texts.len() > 3 && says.len() > 20, "{says}");
            for text in texts {
                assert!(text.contains(&format!("font-size=\"{TEXT}\"")), "{text}");
            }
            assert!(svg.contains("fill=\"#A8380B\""), "no mark of the example");
        }
    }

    #[test]
    fn a_chart_says_its_result() {
        let says = rate_says(&full()).unwrap();
        assert!(
            says.contains("ahead of Python in 1 of 1 transports, and reach"),
            "{says}"
        );
        assert!(says.contains("from 16,500 (TCP, async) to 16,500"), "{says}");
    }
}
