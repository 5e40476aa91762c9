//! Where the deck has its slides.

use std::fs;

use crate::scene::root;

/// A slide of the deck.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slide {
    pub number: usize,
    pub title: String,
}

/// The first slide whose notes say to play this scene, or else the demo of its crate.
pub fn slide_of(scene: &str) -> Option<Slide> {
    let deck = fs::read_to_string(root().join("slides/deck.md")).ok()?;
    find(&deck, scene).or_else(|| find(&deck, scene.split('/').next()?))
}

fn find(deck: &str, scene: &str) -> Option<Slide> {
    let plays = [format!("make demo-{scene}"), format!("lab demo {scene}")];
    let mut slide = Slide { number: 0, title: String::new() };
    let (mut is_code, mut is_note) = (false, false);
    for line in deck.lines() {
        is_note |= line.starts_with("<!--");
        is_code ^= line.starts_with("```");
        let heading = line.strip_prefix("## ").or_else(|| line.strip_prefix("# "));
        if let (false, Some(title)) = (is_code, heading) {
            slide = Slide { number: slide.number + 1, title: title.to_string() };
        }
        if is_note && plays.iter().any(|play| says(line, play)) {
            return Some(slide);
        }
        is_note &= !line.ends_with("-->");
    }
    None
}

/// Whether a line has these words, and not the beginning of a longer name.
fn says(line: &str, words: &str) -> bool {
    line.match_indices(words).any(|(place, _)| {
        let next = line[place + words.len()..].chars().next();
        !next.is_some_and(|next| next.is_alphanumeric() || "-/".contains(next))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slide_that_says_to_play_a_demo_is_found_by_its_number() {
        let deck = "---\nlang: en\n---\n# Title\n## One\n```\n# no slide\n```\n\
            `make demo-tcp-echo`\n<!-- make demo-tcp-echo-twice, lab demo tcp-echo/draft -->\n## Run it\n<!--\nRun `make demo-tcp-echo`.\n-->\n";
        let slide = Slide { number: 3, title: "Run it".to_string() };
        assert_eq!(find(deck, "tcp-echo"), Some(slide));
        assert_eq!(find(deck, "tcp-echo/draft").unwrap().number, 2);
        assert_eq!(find(deck, "udp-echo"), None);
    }
}
