//! Many similar lines, shown as the first few, the last one and a count.

use std::collections::BTreeMap;

/// Similar lines that are shown as they come.
const SHOWN: usize = 3;
/// Lines of one program that are shown in one step, however much they differ.
const MOST: usize = 40;

/// Lines that differ only in their numbers are similar; so are, once a program has
/// printed too many, all that follow.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    program: Option<usize>,
    shape: Option<String>,
}

struct Similar<Line> {
    shown: usize,
    hidden: usize,
    /// The last one that was not shown, and its place among all lines.
    last: Option<(usize, Line)>,
}

/// What one step has printed so far.
pub struct Fold<Line> {
    kinds: BTreeMap<Kind, Similar<Line>>,
    /// How many lines of each program are shown.
    shown: BTreeMap<Option<usize>, usize>,
    total: usize,
}

impl<Line> Fold<Line> {
    pub fn new() -> Fold<Line> {
        Fold { kinds: BTreeMap::new(), shown: BTreeMap::new(), total: 0 }
    }

    /// Returns the line if it is to be shown now.
    pub fn add(
        &mut self,
        program: Option<usize>,
        text: &str,
        line: Line,
    ) -> Option<Line> {
        self.total += 1;
        let shown = self.shown.entry(program).or_default();
        let mut kind = Kind { program, shape: Some(shape(text)) };
        let mut most = SHOWN;
        if *shown >= MOST && !self.kinds.contains_key(&kind) {
            (kind.shape, most) = (None, 0);
        }
        let none = Similar { shown: 0, hidden: 0, last: None };
        let similar = self.kinds.entry(kind).or_insert(none);
        if similar.shown < most {
            similar.shown += 1;
            *shown += 1;
            return Some(line);
        }
        similar.hidden += 1;
        similar.last = Some((self.total, line));
        None
    }

    /// How many lines are not shown so far.
    pub fn hidden(&self) -> usize {
        self.kinds.values().map(|similar| similar.hidden).sum()
    }

    /// The end of the step: for each kind with lines that were not shown, how many
    /// there were before the last one, and the last one.
    pub fn finish(&mut self) -> Vec<(usize, Line)> {
        let kinds = std::mem::take(&mut self.kinds).into_values();
        let mut left: Vec<_> = kinds
            .filter_map(|similar| {
                let (place, line) = similar.last?;
                Some((place, similar.hidden - 1, line))
            })
            .collect();
        left.sort_by_key(|(place, ..)| *place);
        *self = Fold::new();
        left.into_iter().map(|(_, hidden, line)| (hidden, line)).collect()
    }
}

/// A line without its numbers, and without the blanks that line columns up.
fn shape(text: &str) -> String {
    let mut shape = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii_digit() {
            true if shape.ends_with('#') => {}
            true => shape.push('#'),
            false if c == ' ' && shape.ends_with(' ') => {}
            false => shape.push(c),
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(
        lines: impl IntoIterator<Item = String>,
    ) -> (Vec<String>, Vec<(usize, String)>) {
        let mut fold = Fold::new();
        let lines = lines.into_iter();
        let shown = lines.filter_map(|line| fold.add(Some(0), &line.clone(), line));
        let shown = shown.collect();
        (shown, fold.finish())
    }

    #[test]
    fn a_thousand_similar_lines_are_the_first_three_the_last_and_a_count() {
        let (shown, rest) = fold((1..=1000).map(|n| format!("Sent {n}")));
        assert_eq!(shown, ["Sent 1", "Sent 2", "Sent 3"]);
        assert_eq!(rest, [(996, "Sent 1000".to_string())]);
    }

    #[test]
    fn four_similar_lines_are_shown_whole() {
        let (shown, rest) = fold((1..=4).map(|n| format!("Sent {n}")));
        assert_eq!(shown.len(), 3);
        assert_eq!(rest, [(0, "Sent 4".to_string())]);
    }

    #[test]
    fn each_kind_is_counted_by_itself_and_told_in_the_order_of_its_last_line() {
        let lines = (1..=9).flat_map(|n| [format!("Sent {n}"), format!("Done {n}")]);
        let (shown, rest) = fold(lines);
        assert_eq!(shown.len(), 6);
        assert_eq!(rest, [(5, "Sent 9".to_string()), (5, "Done 9".to_string())]);
    }

    #[test]
    fn a_program_that_never_says_the_same_twice_is_cut_short_too() {
        let lines = (1..=2000).map(|n| "x".repeat(n));
        let (shown, rest) = fold(lines);
        assert_eq!((shown.len(), rest.len()), (40, 1));
        assert_eq!(rest[0].0, 1959);
    }
}
