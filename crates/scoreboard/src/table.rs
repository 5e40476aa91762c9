//! The table: what was measured, each figure as a median with its spread.

use scoreboard::stats::{median, ratios, spread};

pub struct Group {
    pub title: String,
    pub rows: Vec<Row>,
}

/// One figure, measured once a round.
pub struct Row {
    pub name: &'static str,
    pub unit: &'static str,
    pub values: Vec<f64>,
    /// Medians of the ratios to what else was measured in the same round.
    pub ratios: Vec<Option<f64>>,
}

impl Row {
    pub fn new(name: &'static str, unit: &'static str, values: Vec<f64>) -> Row {
        Row { name, unit, values, ratios: Vec::new() }
    }

    pub fn compare(&mut self, base: Option<&[f64]>) {
        let ratios = base.map(|base| ratios(&self.values, base));
        self.ratios.push(ratios.and_then(|ratios| median(&ratios)));
    }
}

pub fn print(groups: &[Group], ratios: [&str; 2]) {
    let [first, second] = ratios;
    let head = ("", "unit", "median", "min .. max");
    println!(
        "{:<28}{:>8}{:>10}{:>22}{first:>9}{second:>9}",
        head.0, head.1, head.2, head.3
    );
    for group in groups {
        println!("{}", group.title);
        group.rows.iter().for_each(print_row);
    }
}

fn print_row(row: &Row) {
    let Some((min, max)) = spread(&row.values) else { return };
    let middle = median(&row.values).map(short).unwrap_or_default();
    let range = format!("{} .. {}", short(min), short(max));
    print!("  {:<26}{:>8}{middle:>10}{range:>22}", row.name, row.unit);
    for ratio in &row.ratios {
        let ratio = ratio.map_or("-".to_string(), |ratio| format!("{ratio:.2}"));
        print!("{ratio:>9}");
    }
    println!();
}

/// No more digits than such a measurement deserves.
fn short(value: f64) -> String {
    let decimals = match value {
        1000.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_compared_round_by_round() {
        let mut row = Row::new("echoes", "1/s", vec![90.0, 10.0, 95.0]);
        row.compare(Some(&[100.0, 10.0, 100.0]));
        row.compare(None);
        assert_eq!(row.ratios, [Some(0.95), None]);
    }

    #[test]
    fn a_figure_has_few_digits() {
        assert_eq!([1.876, 12.345, 123_456.7].map(short), ["1.88", "12.3", "123457"]);
    }
}
