//! The report as charts for the slides. Shapes and names tell apart what not everyone
//! can tell by its colour.

use anyhow::Result;
use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::{Part, Report, Row, Side};
use crate::stats::spread;
use crate::table::grouped;

/// What a slide leaves below its title.
const WIDTH: i32 = 1184;
const HEIGHT: i32 = 560;
/// From one line of text to the next.
const LINE: i32 = 25;
/// The middle of the legend, which is the first line.
const LEGEND: i32 = 12;
/// Where lanes begin below it. Curves leave room for the number at an axis's end.
const LANES: i32 = LINE + 1;
const CURVES: i32 = LINE + 13;
const BOTTOM: i32 = HEIGHT - 52;
/// The backend divides the size by 1.24.
const FONT: (&str, f64) = ("'Source Sans 3', sans-serif", 18.0 * 1.24);

const INK: RGBColor = rgb(0x1c2733);
const MUTED: RGBColor = rgb(0x56616d);
const GRID: RGBColor = rgb(0xc2c9d1);
const FINE: RGBColor = rgb(0xe4e8ec);
const PANEL: RGBColor = rgb(0xf3f5f8);
const RUST: RGBColor = rgb(0xa8380b);
const PYTHON: RGBColor = rgb(0x0b5394);
/// For one transport each, all dark enough for text on white.
const TRANSPORTS: [u32; 9] = [
    0x006d55, 0x9c1c6b, 0xa8380b, 0x0b5394, 0x1c2733, 0x7d5a00, 0x6a3fb5, 0x0a7288,
    0x5f6620,
];

const fn rgb(hex: u32) -> RGBColor {
    let [_, red, green, blue] = hex.to_be_bytes();
    RGBColor(red, green, blue)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Point = (i32, i32);

/// The name and the text of each SVG file; no text without any figure.
pub fn draw(report: &Report) -> Result<[(&'static str, Option<String>); 5]> {
    Ok([
        ("delay.svg", lanes(report, &DELAY)?),
        ("rate.svg", lanes(report, &RATE)?),
        ("clients.svg", curves(report, &CLIENTS)?),
        ("memory.svg", curves(report, &MEMORY)?),
        ("sizes.svg", curves(report, &SIZES)?),
    ])
}

/// A chart with a lane for each transport, from top to bottom.
struct Lanes {
    axis: &'static str,
    label: fn(f64) -> String,
    note: &'static str,
    /// From the back to the front.
    sides: &'static [Side],
    /// Where the bar begins, the mark stands, and the bar ends.
    bar: fn(&Row) -> [f64; 3],
}

const DELAY: Lanes = Lanes {
    axis: "delay of a message",
    label: |us| {
        if us < 1e3 { format!("{us} µs") } else { format!("{} ms", us / 1e3) }
    },
    note: "mark: median; end of the bar: 99th percentile",
    sides: &[Side::Python, Side::Example],
    bar: |row| {
        let median = row.p50_us.median();
        [median, median, row.p99_us.median().max(median)]
    },
};

const RATE: Lanes = Lanes {
    axis: "messages a second",
    label: count,
    note: "mark: median; bar: spread of the rounds",
    sides: &[Side::Limit, Side::Python, Side::Example],
    bar: |row| {
        let (least, most) = row.per_second.spread();
        [least, row.per_second.median(), most]
    },
};

fn lanes(report: &Report, chart: &Lanes) -> Result<Option<String>> {
    let drawn =
        |row: &&Row| chart.sides.contains(&row.side) && drawable((chart.bar)(row)[1]);
    let rows: Vec<&Row> = report.rows(Part::Transports).filter(drawn).collect();
    let mut values: Vec<f64> = rows.iter().flat_map(|row| (chart.bar)(row)).collect();
    values.retain(|value| drawable(*value));
    let Some(range) = spread(&values) else { return Ok(None) };
    let names = names(rows.iter().copied());
    let (left, right) = (width(&names), WIDTH - 44);
    let axis = Axis::round(range, (left, right));
    svg(|area| {
        let middles = panels(area, &names, left)?;
        axis.grid(area, (LANES, BOTTOM), chart.label)?;
        for &side in chart.sides {
            for row in rows.iter().filter(|row| row.side == side) {
                let at = (chart.bar)(row).map(|value| axis.at(value));
                let lane = names.iter().position(|name| *name == row.transport);
                let y = middles[lane.unwrap_or_default()] + track(side, &rows);
                bar(area, side, at, y)?;
            }
        }
        legend(area, left + 8, &rows, colour, chart.note)?;
        foot(area, report, chart.axis, right)
    })
}

/// The names, and the middle of each lane. Every other family of transports stands on
/// a panel, that the eye keeps to its lane.
fn panels(area: &Area, names: &[&str], left: i32) -> Result<Vec<i32>> {
    let edge = |lane| LANES + (BOTTOM - LANES) * lane as i32 / names.len() as i32;
    let (mut middles, mut families) = (Vec::new(), Vec::new());
    for (lane, name) in names.iter().enumerate() {
        families.push(name.split([' ', ',']).next());
        families.dedup();
        let (top, bottom) = (edge(lane), edge(lane + 1));
        if families.len() % 2 == 1 {
            area.draw(&Rectangle::new([(0, top), (WIDTH, bottom)], PANEL.filled()))?;
        }
        text(area, name, (left - 14, (top + bottom) / 2), HPos::Right, INK)?;
        middles.push((top + bottom) / 2);
    }
    Ok(middles)
}

/// How far below the middle of its lane a side stands, if two share the lanes.
fn track(side: Side, rows: &[&Row]) -> i32 {
    match side {
        Side::Python => 6,
        Side::Example if rows.iter().any(|row| row.side == Side::Python) => -6,
        _ => 0,
    }
}

fn bar(area: &Area, side: Side, [start, at, end]: [i32; 3], y: i32) -> Result<()> {
    if side != Side::Limit {
        line(area, [(start, y), (end, y)], colour(side), 3)?;
        line(area, [(start, y - 5), (start, y + 5)], colour(side), 2)?;
        line(area, [(end, y - 5), (end, y + 5)], colour(side), 2)?;
    }
    mark(area, side, colour(side), (at, y))
}

/// A chart with a curve for each transport and side.
struct Curves {
    axes: [&'static str; 2],
    part: Part,
    at: fn(&Row) -> (f64, f64),
}

const CLIENTS: Curves = Curves {
    axes: ["clients at once", "messages a second"],
    part: Part::Clients,
    at: |row| (row.clients as f64, row.per_second.median()),
};

const MEMORY: Curves = Curves {
    axes: ["clients at once", "resident memory in MiB"],
    part: Part::Clients,
    at: |row| (row.clients as f64, row.resident_kib.median() / 1024.0),
};

const SIZES: Curves = Curves {
    axes: ["bytes in a message", "MB a second"],
    part: Part::Sizes,
    at: |row| (row.bytes as f64, row.bytes as f64 * row.per_second.median() / 1e6),
};

fn curves(report: &Report, chart: &Curves) -> Result<Option<String>> {
    let mut rows: Vec<&Row> = report.rows(chart.part).collect();
    rows.retain(|row| row.side != Side::Limit && drawable((chart.at)(row).1));
    rows.sort_by_key(|row| (&row.transport, row.side as u8, row.bytes, row.clients));
    let (xs, ys): (Vec<f64>, Vec<f64>) =
        rows.iter().map(|row| (chart.at)(row)).unzip();
    let Some(range) = spread(&ys) else { return Ok(None) };
    let (left, right) = (86, WIDTH - width(&names(rows.iter().copied())) - 56);
    let x = Axis::measured(xs, (left, right));
    let y = Axis::round(range, (BOTTOM, CURVES));
    svg(|area| {
        x.grid(area, (CURVES, BOTTOM), count)?;
        y.grid(area, (left, right), count)?;
        let point = |(a, b)| (x.at(a), y.at(b));
        let ends = each_curve(area, report, &rows, |row| point((chart.at)(row)))?;
        end_names(area, right + 50, ends)?;
        text(area, chart.axes[1], (0, LEGEND), HPos::Left, INK)?;
        legend(area, 300, &rows, |_| INK, "median of the rounds")?;
        foot(area, report, chart.axes[0], right)
    })
}

struct End<'a> {
    at: Point,
    row: &'a Row,
    colour: RGBColor,
}

/// Draws the curve of each transport and side, and tells where they end.
fn each_curve<'a>(
    area: &Area,
    report: &Report,
    rows: &[&'a Row],
    at: impl Fn(&Row) -> Point,
) -> Result<Vec<End<'a>>> {
    // A transport has the same colour in every chart.
    let all = names(report.rows(Part::Clients).chain(report.rows(Part::Sizes)));
    let mut ends = Vec::new();
    for own in rows.chunk_by(|a, b| a.transport == b.transport && a.side == b.side) {
        let (row, points) = (own[0], own.iter().map(|row| at(row)));
        let place = all.iter().position(|name| *name == row.transport);
        let colour = rgb(TRANSPORTS[place.unwrap_or_default() % TRANSPORTS.len()]);
        curve(area, row.side, colour, points.clone().collect())?;
        ends.extend(points.last().map(|at| End { at, row, colour }));
    }
    Ok(ends)
}

fn curve(
    area: &Area,
    side: Side,
    colour: RGBColor,
    points: Vec<Point>,
) -> Result<()> {
    points.iter().try_for_each(|at| mark(area, side, colour, *at))?;
    let style = colour.stroke_width(3);
    match side {
        Side::Python => area.draw(&DashedPathElement::new(points, 9, 6, style))?,
        _ => area.draw(&PathElement::new(points, style))?,
    }
    Ok(())
}

/// The name of each curve, as near to its end as the other names permit.
fn end_names(area: &Area, x: i32, mut ends: Vec<End>) -> Result<()> {
    ends.sort_by_key(|end| end.at.1);
    let mut ys: Vec<i32> = ends.iter().map(|end| end.at.1).collect();
    // Two that are too near move apart, and may thereby come too near to others.
    for _ in 0..500 {
        for i in 1..ys.len() {
            let lack = (LINE - (ys[i] - ys[i - 1])).max(0);
            ys[i - 1] = (ys[i - 1] - (lack + 1) / 2).max(CURVES);
            ys[i] = (ys[i] + (lack + 1) / 2).min(BOTTOM);
        }
    }
    for (End { at, row, colour }, y) in ends.into_iter().zip(ys) {
        area.draw(&PathElement::new([at, (x - 12, y)], colour.mix(0.5)))?;
        mark(area, row.side, colour, (x, y))?;
        text(area, &row.transport, (x + 14, y), HPos::Left, colour)?;
    }
    Ok(())
}

/// A logarithmic one: from a value to its double is equally far everywhere.
struct Axis {
    values: (f64, f64),
    pixels: (i32, i32),
    /// Where a line is drawn, and whether its value stands beside it.
    ticks: Vec<(f64, bool)>,
}

impl Axis {
    /// From one round value to another.
    fn round((low, high): (f64, f64), pixels: (i32, i32)) -> Axis {
        let decades = low.log10().floor() as i32 - 1..=high.log10().ceil() as i32;
        let steps: Vec<(i32, f64)> = decades
            .flat_map(|ten| (1..10).map(move |n| (n, f64::from(n) * 10f64.powi(ten))))
            .collect();
        let round = |n: i32| [1, 2, 5].contains(&n);
        let mut rounds = steps.iter().filter(|step| round(step.0)).map(|step| step.1);
        let start = rounds.clone().rfind(|value| *value < low * 0.97).unwrap_or(low);
        let end = rounds.find(|value| *value > high * 1.03).unwrap_or(high);
        let mut axis = Axis { values: (start, end), pixels, ticks: Vec::new() };
        // From 1 to 2 there must be room for a number, or for a line of text.
        let room = if pixels.0 < pixels.1 { 94 } else { LINE };
        let few = (axis.at(2.0 * start) - pixels.0).abs() > room;
        let drawn = steps.iter().filter(|step| (start..=end).contains(&step.1));
        axis.ticks =
            drawn.map(|&(n, value)| (value, n == 1 || few && round(n))).collect();
        axis
    }

    /// With a line where something was measured, and nowhere else.
    fn measured(mut values: Vec<f64>, pixels: (i32, i32)) -> Axis {
        let (low, high) = spread(&values).unwrap_or((1.0, 1.0));
        values.sort_by(|a, b| b.total_cmp(a));
        values.dedup();
        let mut labelled = f64::INFINITY;
        let mut ticks = Vec::new();
        for value in values {
            let apart = labelled / value > 3.0;
            labelled = if apart { value } else { labelled };
            ticks.push((value, apart));
        }
        Axis { values: (low / 1.2, high * 1.2), pixels, ticks }
    }

    /// What is too low for the axis, such as 0, stands at its start.
    fn at(&self, value: f64) -> i32 {
        let ((low, high), (start, end)) = (self.values, self.pixels);
        let share = (value.clamp(low, high) / low).ln() / (high / low).ln();
        start + (share * f64::from(end - start)).round() as i32
    }

    /// Lines across the chart, and their values.
    fn grid(
        &self,
        area: &Area,
        (from, to): Point,
        label: fn(f64) -> String,
    ) -> Result<()> {
        for &(value, labelled) in &self.ticks {
            let at = self.at(value);
            let (ends, beside, h) = if self.pixels.0 < self.pixels.1 {
                ([(at, from), (at, to)], (at, to + 13), HPos::Center)
            } else {
                ([(from, at), (to, at)], (from - 8, at), HPos::Right)
            };
            line(area, ends, if labelled { GRID } else { FINE }, 1)?;
            if labelled {
                text(area, &label(value), beside, h, INK)?;
            }
        }
        Ok(())
    }
}

/// A logarithmic axis has no place for anything else.
fn drawable(value: f64) -> bool {
    value > 0.0 && value.is_finite()
}

/// A side has the same shape in every chart.
fn mark(area: &Area, side: Side, colour: RGBColor, (x, y): Point) -> Result<()> {
    let square = [(x - 5, y - 5), (x + 5, y + 5)];
    match side {
        Side::Example => area.draw(&Circle::new((x, y), 6, colour.filled()))?,
        Side::Python => area.draw(&Rectangle::new(square, colour.filled()))?,
        Side::Limit => line(area, [(x, y - 11), (x, y + 11)], colour, 4)?,
    }
    Ok(())
}

fn colour(side: Side) -> RGBColor {
    match side {
        Side::Example => RUST,
        Side::Python => PYTHON,
        Side::Limit => MUTED,
    }
}

fn legend(
    area: &Area,
    mut x: i32,
    rows: &[&Row],
    colour: fn(Side) -> RGBColor,
    note: &str,
) -> Result<()> {
    let sides = [Side::Example, Side::Python, Side::Limit];
    for (side, name) in sides.into_iter().zip(["Rust", "Python", "C or axum"]) {
        if rows.iter().any(|row| row.side == side) {
            mark(area, side, colour(side), (x, LEGEND))?;
            text(area, name, (x + 14, LEGEND), HPos::Left, INK)?;
            x += width(&[name]) + 22;
        }
    }
    text(area, note, (x, LEGEND), HPos::Left, MUTED)
}

/// The name of the axis, and the machine where there is room for it.
fn foot(area: &Area, report: &Report, axis: &str, right: i32) -> Result<()> {
    let (y, machine) = (HEIGHT - 14, &report.machine);
    let machine = format!("{}, {} cores", machine.processor, machine.cores);
    if width(&[&machine]) + width(&[axis]) < right {
        text(area, &machine, (0, y), HPos::Left, MUTED)?;
    }
    text(area, axis, (right, y), HPos::Right, INK)
}

/// Each transport once, in the order of the rows.
fn names<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<&'a str> {
    let mut names = Vec::new();
    for row in rows {
        if !names.contains(&row.transport.as_str()) {
            names.push(&row.transport);
        }
    }
    names
}

fn count(value: f64) -> String {
    if value < 1.0 { value.to_string() } else { grouped(value) }
}

/// Of the longest text. Only a browser knows its font, and this is rather too wide.
fn width(texts: &[&str]) -> i32 {
    let letters = texts.iter().map(|text| text.chars().count()).max();
    letters.unwrap_or_default() as i32 * 21 / 2 + 14
}

fn text(
    area: &Area,
    words: &str,
    at: Point,
    h: HPos,
    colour: RGBColor,
) -> Result<()> {
    let style = FONT.into_font().color(&colour).pos(Pos::new(h, VPos::Center));
    // The backend centres small letters. Here the middle is that of the capitals.
    Ok(area.draw_text(words, &style, (at.0, at.1 + 2))?)
}

fn line(area: &Area, ends: [Point; 2], colour: RGBColor, width: u32) -> Result<()> {
    Ok(area.draw(&PathElement::new(ends, colour.stroke_width(width)))?)
}

fn svg(draw: impl FnOnce(&Area) -> Result<()>) -> Result<Option<String>> {
    let mut text = String::new();
    let size = (WIDTH as u32, HEIGHT as u32);
    let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
    draw(&area)?;
    area.present()?;
    drop(area);
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::{full, report, row};

    fn files(report: &Report) -> Vec<&'static str> {
        let charts = draw(report).unwrap().into_iter();
        charts.filter_map(|(file, svg)| svg.map(|_| file)).collect()
    }

    #[test]
    fn the_same_report_gives_the_same_charts() {
        assert_eq!(draw(&full()).unwrap(), draw(&full()).unwrap());
        let all = ["delay.svg", "rate.svg", "clients.svg", "memory.svg", "sizes.svg"];
        assert_eq!(files(&full()), all);
    }

    #[test]
    fn a_report_without_rows_has_no_charts() {
        assert!(files(&report(Vec::new())).is_empty());
    }

    #[test]
    fn a_row_without_its_twin_is_drawn() {
        let rows = vec![row(Part::Transports, "TCP", Side::Example, &[5.0, 5.0])];
        let [_, (_, svg), ..] = draw(&report(rows)).unwrap();
        let svg = svg.unwrap();
        assert!(svg.contains("<circle") && !svg.contains("Python"));
    }

    #[test]
    fn what_was_not_measured_is_not_drawn() {
        let mut report = full();
        for row in &mut report.rows {
            row.p99_us.0.clear();
            row.per_second.0 = vec![0.0, f64::INFINITY, f64::NAN];
        }
        assert_eq!(files(&report), ["delay.svg", "memory.svg"]);
    }

    #[test]
    fn every_text_is_large_enough_and_has_a_colour() {
        for (_, svg) in draw(&full()).unwrap() {
            for text in svg.unwrap().lines().filter(|line| line.starts_with("<text"))
            {
                assert!(text.contains("font-size=\"18\""), "{text}");
                assert!(text.contains("fill=\"#"), "{text}");
            }
        }
    }

    #[test]
    fn a_curve_goes_from_small_to_large_whatever_the_number_of_clients() {
        let rows = [(64, 16), (1024, 16), (16_384, 4)].map(|(bytes, clients)| Row {
            bytes,
            clients,
            ..row(Part::Sizes, "UDP", Side::Example, &[5.0])
        });
        let [.., (_, svg)] = draw(&report(rows.to_vec())).unwrap();
        let svg = svg.unwrap();
        let curve = svg.lines().find(|line| line.contains("stroke-width=\"3\""));
        let points = curve.unwrap().split("points=\"").nth(1).unwrap();
        let xs = points.split(' ').filter_map(|point| point.split_once(','));
        let xs: Vec<i32> = xs.map(|(x, _)| x.parse().unwrap()).collect();
        assert!(xs.len() == 3 && xs.is_sorted(), "{xs:?}");
    }

    #[test]
    fn the_numbers_of_an_axis_are_round() {
        let axis = Axis::round((30.0, 4000.0), (0, 900));
        let labelled = axis.ticks.iter().filter(|tick| tick.1).map(|tick| tick.0);
        let expected = [20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0];
        assert_eq!(labelled.collect::<Vec<f64>>(), expected);
        assert_eq!([0.0, 20.0, 5000.0].map(|value| axis.at(value)), [0, 0, 900]);
    }
}
