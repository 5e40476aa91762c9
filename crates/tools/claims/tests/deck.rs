//! The deck agrees with the programs: each listing is there and fits, each program is
//! shown, the minutes add up. `make slides-check` looks at the pages themselves.

mod source;

use std::fs;
use std::path::Path;

use source::{examples, items, name, programs, read, root};

const CORE_SLIDES: usize = 60;
const MINUTES: usize = 120;
/// What fits a slide at 18 px, the smallest; up to 20 lines are shown at 22 px.
const LINES: usize = 25;
const COLUMNS: usize = 86;

struct Slide {
    title: String,
    class: String,
    /// What is on it.
    text: String,
    /// What the lecturer reads in the presenter view.
    notes: String,
}

impl Slide {
    /// The first line of the notes: `2 min.`
    fn minutes(&self) -> Option<usize> {
        self.notes.trim().lines().next()?.strip_suffix(" min.")?.parse().ok()
    }

    /// The files that it shows: path, what of it, and the title of the link.
    fn shown(&self) -> Vec<(&str, &str, &str)> {
        let links = self.text.lines().filter_map(|line| {
            let link =
                line.strip_prefix('[')?.strip_suffix(')')?.split_once("](../")?.1;
            let (link, title) = link.split_once(' ').unwrap_or((link, ""));
            let (path, part) = link.split_once('#')?;
            Some((path, part, title.trim_matches('"')))
        });
        links.collect()
    }
}

/// A heading begins a slide (`headingDivider: 2`).
fn slides() -> Vec<Slide> {
    let deck = read(&root().join("slides/deck.md"));
    let (_, deck) =
        deck.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
    let mut slides: Vec<Slide> = Vec::new();
    let (mut is_code, mut is_note) = (false, false);
    for line in deck.lines() {
        is_code ^= line.starts_with("```");
        let title = line.strip_prefix("# ").or(line.strip_prefix("## "));
        if let (Some(title), false, false) = (title, is_code, is_note) {
            slides.push(Slide {
                title: title.to_string(),
                class: String::new(),
                text: String::new(),
                notes: String::new(),
            });
            continue;
        }
        let Some(slide) = slides.last_mut() else { continue };
        match line {
            "<!--" => is_note = true,
            "-->" => is_note = false,
            _ if is_note => slide.notes += &format!("{line}\n"),
            _ => match line.strip_prefix("<!-- ") {
                Some(line) => {
                    let class = line.strip_prefix("_class: ").unwrap_or_default();
                    slide.class += class.trim_end_matches(" -->");
                }
                None => slide.text += &format!("{line}\n"),
            },
        }
    }
    assert!(!is_code && !is_note, "a listing or a note without an end");
    slides
}

fn core(slide: &&Slide) -> bool {
    slide.class != "extra"
}

/// The script of a page, as if it were a file.
fn script(page: &str) -> String {
    let script = page.split("<script>\n").nth(1).unwrap();
    let lines = script.lines().take_while(|line| line.trim() != "</script>");
    lines
        .map(|line| line.strip_prefix("    ").unwrap_or(line).to_string() + "\n")
        .collect()
}

#[test]
fn every_listing_names_an_item_and_fits() {
    for slide in slides() {
        for (path, part, steps) in slide.shown() {
            let shown = format!("\"{}\": {path}#{part}", slide.title);
            if path.ends_with(".md") {
                continue;
            }
            let text = read(&root().join(path));
            let text = if path.ends_with(".html") { script(&text) } else { text };
            let all = items(&text);
            let mut lines: Vec<&str> = Vec::new();
            for name in part.split(',') {
                let found: Vec<_> =
                    all.iter().filter(|item| item.name == name).collect();
                assert_eq!(found.len(), 1, "{shown}: items named {name}");
                if !lines.is_empty() {
                    lines.push("");
                }
                lines.extend(&found[0].lines);
            }
            assert!(lines.len() <= LINES, "{shown} has {} lines", lines.len());
            let widest = lines.iter().map(|line| line.chars().count()).max();
            assert!(widest <= Some(COLUMNS), "{shown} is too wide");
            for number in steps.split(['|', ',', '-']).filter(|step| !step.is_empty())
            {
                let number: usize = number.parse().expect("a number of a line");
                assert!(
                    (1..=lines.len()).contains(&number),
                    "{shown} has no line {number}"
                );
            }
        }
    }
}

#[test]
fn every_program_is_shown() {
    let slides = slides();
    for (program, _) in programs() {
        let is_shown = |slide: &Slide| {
            slide.shown().iter().any(|(path, ..)| program.ends_with(path))
        };
        assert!(slides.iter().any(is_shown), "no slide shows {}", program.display());
    }
}

#[test]
fn each_example_is_run_on_one_slide_with_the_transcripts_of_its_readme() {
    let slides = slides();
    for folder in examples() {
        let example = name(&folder);
        let readme = format!("crates/{example}/README.md");
        let run: Vec<_> = slides
            .iter()
            .filter(|slide| slide.title.starts_with("Run it: "))
            .flat_map(Slide::shown)
            .filter(|(path, ..)| *path == readme)
            .collect();
        assert_eq!(run.len(), 1, "slides that run {example}");
        let text = read(&root().join(&readme));
        let section = text.split("\n## ").find_map(|part| part.strip_prefix("Run\n"));
        let transcripts = section.unwrap_or_default().matches("```text\n$ ").count();
        for number in run[0].2.split(',').filter(|number| !number.is_empty()) {
            let number: usize = number.parse().expect("a transcript's number");
            assert!((1..=transcripts).contains(&number), "{readme} has no {number}");
        }
        assert!(transcripts > 0, "{readme} shows no transcript");
    }
}

#[test]
fn the_core_slides_fit_two_hours_and_the_schedule_adds_up() {
    let slides = slides();
    assert!(slides.iter().filter(core).count() <= CORE_SLIDES);
    let schedule = slides.iter().find(|slide| slide.text.contains("\n| from |"));
    let mut planned = String::new();
    let (mut from, mut section) = (0, "Introduction");
    let mut sections: Vec<(&str, usize)> = Vec::new();
    for slide in slides.iter().filter(core) {
        let minutes = slide.minutes();
        let minutes =
            minutes.unwrap_or_else(|| panic!("\"{}\": no minutes", slide.title));
        if slide.class == "section" {
            section = &slide.title;
        }
        match sections.last_mut().filter(|(last, _)| *last == section) {
            Some((_, sum)) => *sum += minutes,
            None => sections.push((section, minutes)),
        }
    }
    for (section, minutes) in sections {
        planned +=
            &format!("| {}:{:02} | {section} | {minutes} |\n", from / 60, from % 60);
        from += minutes;
    }
    let rows = schedule.expect("a schedule").text.lines();
    let rows = rows.filter(|row| row.contains(':')); // A time.
    let rows = rows.filter_map(|row| row.rsplitn(3, '|').nth(2));
    let rows: String = rows.map(|row| format!("{row}|\n")).collect();
    assert_eq!(rows, planned, "the schedule, and what the notes say");
    assert_eq!(from, MINUTES);
}

#[test]
fn every_slide_has_notes_and_no_extra_one_stands_among_the_core() {
    let slides = slides();
    for slide in &slides {
        assert!(slide.notes.trim().len() > 20, "\"{}\": no notes", slide.title);
    }
    let titles = slides.iter().map(|slide| &slide.title);
    let mut titles: Vec<_> = titles.collect();
    titles.sort();
    assert!(
        titles.windows(2).all(|pair| pair[0] != pair[1]),
        "two slides of one title"
    );
    assert!(slides.iter().skip_while(core).all(|slide| !core(&slide)));
}

#[test]
fn each_section_with_an_example_ends_with_an_exercise_which_a_test_judges() {
    let slides: Vec<_> = slides().into_iter().filter(|slide| core(&slide)).collect();
    for section in slides.chunk_by(|_, next| next.class != "section") {
        let has_example = section.iter().any(|slide| !slide.shown().is_empty());
        let last = section.last().unwrap();
        assert_eq!(last.class == "exercise", has_example, "\"{}\"", last.title);
    }
    for slide in slides.iter().filter(|slide| slide.class == "exercise") {
        let after = |start| slide.text.split(start).nth(1)?.split_whitespace().next();
        let example = after("cp -r crates/").expect("what to copy");
        let test = after("\ncargo test ").expect("the test that judges it");
        let tests = format!("crates/{example}/tests/{example}.rs");
        let is_there = read(&root().join(&tests)).contains(&format!("fn {test}("));
        assert!(is_there, "\"{}\": {tests} has no {test}", slide.title);
    }
}

#[test]
fn what_the_deck_names_exists() {
    let tests = all_tests();
    for slide in slides() {
        let links = slide.text.split("](").skip(1);
        for link in links.filter_map(|rest| rest.split([')', '#', ' ']).next()) {
            let is_there =
                link.contains(':') || root().join("slides").join(link).exists();
            assert!(is_there, "\"{}\": no {link}", slide.title);
        }
        let all = slide.text + &slide.notes;
        for word in all.split('`').skip(1).step_by(2) {
            let is_test = word.matches('_').count() > 3 && !word.contains([' ', ':']);
            let name = format!("fn {word}(");
            assert!(!is_test || tests.contains(&name), "\"{}\": {word}", slide.title);
            if let Some(example) = word.strip_prefix("make demo-") {
                let scene = format!("crates/{example}/demo.toml");
                assert!(root().join(scene).exists(), "\"{}\": {word}", slide.title);
            }
        }
    }
}

/// The text of all tests of all crates.
fn all_tests() -> String {
    fn collect(folder: &Path, text: &mut String) {
        for file in fs::read_dir(folder).into_iter().flatten() {
            let path = file.unwrap().path();
            match path.is_dir() {
                true => collect(&path, text),
                false if path.extension().is_some_and(|kind| kind == "rs") => {
                    *text += &read(&path);
                }
                false => {}
            }
        }
    }
    let mut text = String::new();
    for place in ["crates", "crates/tools"] {
        for folder in fs::read_dir(root().join(place)).unwrap() {
            collect(&folder.unwrap().path().join("tests"), &mut text);
        }
    }
    text
}
