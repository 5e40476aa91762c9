//! What an expected line stands for: numbers, and places that have names.
//!
//! The first expected line with `{shop}` in it finds the place: whatever the program
//! prints there. Everything later uses it.

use std::collections::BTreeMap;

use regex_lite::{Regex, escape};

/// A name in braces, or a number in angle brackets. Other braces mean themselves, and so
/// do those of an escaped character, `\u{a}`.
const SPECIAL: &str = r"\\u\{[0-9a-f]+\}|\{([a-z][a-z0-9_]*)\}|<(?:n|port)>";

/// The names in a text, in order.
pub fn names(text: &str) -> Vec<String> {
    let special = Regex::new(SPECIAL).expect("a valid pattern");
    let names = special.captures_iter(text).filter_map(|found| found.get(1));
    names.map(|name| name.as_str().to_string()).collect()
}

/// Puts what is known in the place of each name.
fn fill_in(text: &str, known: impl Fn(&str) -> Option<String>) -> String {
    replace(text, str::to_string, |special| match special {
        Special::Name(name) => known(name).unwrap_or_else(|| format!("{{{name}}}")),
        Special::Number(word) => word.to_string(),
    })
}

/// An expected line, ready to be compared with what a program prints.
pub struct Pattern {
    regex: Regex,
    /// The names that it finds.
    finds: Vec<String>,
}

impl Pattern {
    fn new(expected: &str, known: impl Fn(&str) -> Option<String>) -> Pattern {
        let mut finds = Vec::new();
        let pattern = replace(expected.trim(), escape, |special| match special {
            Special::Number("<port>") => r"\d+".to_string(),
            Special::Number(_) => r"-?\d+(?:\.\d+)?".to_string(),
            Special::Name(name) => match known(name) {
                Some(place) => escape(&place),
                None => {
                    finds.push(name.to_string());
                    r"([^\s,]+)".to_string()
                }
            },
        });
        let regex = Regex::new(&format!("^{pattern}$")).expect("a valid pattern");
        Pattern { regex, finds }
    }

    /// What each name stands for, if this is the expected line. How far it is indented
    /// makes no difference.
    pub fn find(&self, line: &str) -> Option<Vec<(String, String)>> {
        let found = self.regex.captures(line.trim())?;
        let places =
            found.iter().skip(1).flatten().map(|place| place.as_str().to_string());
        Some(self.finds.iter().cloned().zip(places).collect())
    }
}

/// Where the places of a scene are.
#[derive(Default)]
pub struct Places {
    found: BTreeMap<String, Place>,
}

struct Place {
    address: String,
    /// Where a wiretap in front of it listens: that is where the others are sent.
    tap: Option<String>,
    /// What its own programs print when they are there, and who they are: a second one
    /// may take the place of one that was killed.
    ready: String,
    programs: Vec<String>,
}

impl Places {
    /// A place that nobody on stage serves.
    pub fn tell(&mut self, name: &str, address: &str) {
        let ready = String::new();
        let place =
            Place { address: address.into(), tap: None, ready, programs: Vec::new() };
        self.found.insert(name.to_string(), place);
    }

    /// A program printed where a place is.
    pub fn find(&mut self, name: &str, address: &str, ready: &str, program: &str) {
        self.tell(name, address);
        if let Some(place) = self.found.get_mut(name) {
            place.ready = ready.to_string();
            place.programs.push(program.to_string());
        }
    }

    /// From now on the others are sent there.
    pub fn tap(&mut self, name: &str, tap: String) {
        if let Some(place) = self.found.get_mut(name) {
            place.tap = Some(tap);
        }
    }

    /// A program that is to print the same line as the first one at a place will be
    /// there as well.
    pub fn enter<'a>(
        &mut self,
        program: &str,
        expected: impl Iterator<Item = &'a String>,
    ) {
        for line in expected {
            let places = self.found.values_mut().filter(|place| place.ready == *line);
            places.for_each(|place| place.programs.push(program.to_string()));
        }
    }

    /// What a name stands for in what this program is told and prints.
    fn of(&self, name: &str, program: &str) -> Option<String> {
        let place = self.found.get(name)?;
        let is_own = place.programs.iter().any(|own| own == program);
        let tap = place.tap.as_ref().filter(|_| !is_own);
        Some(tap.unwrap_or(&place.address).clone())
    }

    pub fn fill_in(&self, text: &str, program: &str) -> String {
        fill_in(text, |name| self.of(name, program))
    }

    pub fn pattern(&self, expected: &str, program: &str) -> Pattern {
        Pattern::new(expected, |name| self.of(name, program))
    }
}

enum Special<'a> {
    Name(&'a str),
    Number(&'a str),
}

fn replace(
    text: &str,
    plain: impl Fn(&str) -> String,
    mut special: impl FnMut(Special) -> String,
) -> String {
    let pattern = Regex::new(SPECIAL).expect("a valid pattern");
    let (mut result, mut end) = (String::new(), 0);
    for found in pattern.captures_iter(text) {
        let (Some(whole), name) = (found.get(0), found.get(1)) else { continue };
        result += &plain(&text[end..whole.start()]);
        result += &match name {
            Some(name) => special(Special::Name(name.as_str())),
            None if whole.as_str().starts_with('\\') => plain(whole.as_str()),
            None => special(Special::Number(whole.as_str())),
        };
        end = whole.end();
    }
    result + &plain(&text[end..])
}

/// The known word that is most like this one, if any is.
pub fn similar<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let alike = known.into_iter().map(|known| (strsim::jaro(word, known), known));
    let best = alike.max_by(|one, other| one.0.total_cmp(&other.0));
    best.filter(|(alike, _)| *alike > 0.7).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(expected: &str, line: &str) -> bool {
        Pattern::new(expected, |_| None).find(line).is_some()
    }

    #[test]
    fn a_placeholder_matches_a_number_and_nothing_else() {
        assert!(matches("by 127.0.0.1:<port>", "by 127.0.0.1:54321"));
        assert!(matches("p50 <n> ms, p99 <n> ms", "p50 0.31 ms, p99 12 ms"));
        assert!(matches("as it is", "as it is"));
        assert!(matches("  <n> s  it", "     0.123 s  it"));
        assert!(matches("Publishing: <n>", "Publishing: -2.50"));
        assert!(matches("It was <n>.", "It was 5."));
        assert!(!matches("It was <n>", "It was 5."));
        assert!(
            !matches("<n>", "1.2.3") && !matches("<n>", ".5") && !matches("<n>", "-")
        );
        assert!(!matches("<port>", "-1") && !matches("<port>", "1.5"));
        assert!(!matches("p50 <n> ms", "p50  ms"));
        assert!(!matches("p50 <n> ms", "p50 fast ms"));
        assert!(!matches("p50 <n> ms", "p50 1 ms and more"));
        assert!(!matches("as it is", "as it is not") && !matches("a.c", "abc"));
    }

    #[test]
    fn the_first_line_with_a_name_finds_the_place_and_later_ones_use_it() {
        let pattern = Pattern::new("Server on http://{shop}", |_| None);
        let found = pattern.find("Server on http://127.0.0.1:8000").unwrap();
        assert_eq!(found, [("shop".to_string(), "127.0.0.1:8000".to_string())]);
        let pattern = Pattern::new("on {wire}, for {shop}", |name| {
            (name == "shop").then(|| "127.0.0.1:8000".to_string())
        });
        let found = pattern.find("on [::1]:1, for 127.0.0.1:8000").unwrap();
        assert_eq!(found, [("wire".to_string(), "[::1]:1".to_string())]);
        assert!(pattern.find("on [::1]:1, for 127.0.0.1:8001").is_none());
        assert!(pattern.find("on , for 127.0.0.1:8000").is_none());
    }

    #[test]
    fn braces_around_anything_else_mean_themselves() {
        assert!(matches("{\"id\": <n>}", "{\"id\": 3}"));
        assert!(matches(r"line: get a\u{a}", r"line: get a\u{a}"));
        assert!(names(r"get a\u{a}").is_empty());
        assert!(names("{} { a } {A} {\"id\"}").is_empty());
        assert_eq!(names("{shop} and {a_1}"), ["shop", "a_1"]);
    }

    #[test]
    fn a_misspelt_word_is_like_the_right_one_and_another_is_not() {
        let known = ["server", "client", "broker"];
        assert_eq!(similar("sever", known), Some("server"));
        assert_eq!(similar("xyz", known), None);
    }
}
