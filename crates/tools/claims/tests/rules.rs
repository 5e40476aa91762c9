//! The rules of the examples: what keeps each of them short, alike, and fit to be copied.
//!
//! A program is read on a projector, from the top, by somebody who has never seen it. So
//! the rules measure what such a reader meets: how long it is, how soon its idea comes,
//! and whether the next program looks the same. No file is exempt.

mod source;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use source::{examples, items, name, programs, read, root};

/// A program: its name, the most lines of code that it may have, the number of lines
/// within which its core calls stand, and these calls.
type Shape = (&'static str, usize, usize, &'static [&'static str]);

const CLIENT: &[&str] = &["connect(", ".write_all(", ".read_to_end("];
const DATAGRAMS: &[&str] = &[".recv_from(", ".send_to("];

const SHAPES: [Shape; 30] = [
    ("tcp-server", 60, 30, &[".accept(", ".read(", ".write_all("]),
    ("tcp-client", 60, 30, CLIENT),
    ("udp-server", 60, 30, DATAGRAMS),
    ("udp-client", 60, 30, DATAGRAMS),
    ("threaded-tcp-server", 60, 30, &["spawn("]),
    ("threaded-tcp-client", 60, 30, CLIENT),
    ("async-tcp-server", 60, 30, &["tokio::spawn(", ".read(", ".write_all("]),
    ("async-tcp-client", 60, 30, CLIENT),
    ("async-udp-server", 60, 30, DATAGRAMS),
    ("async-udp-client", 60, 30, &[".connect(", ".send(", ".recv("]),
    ("lines-server", 80, 30, &["read_until(", "answer(", ".write_all("]),
    ("lines-client", 80, 30, &[".write_all(", "read_until("]),
    ("frames-server", 80, 30, &["frames.next(", "answer("]),
    ("frames-client", 80, 30, &["frames.send(", "frames.next("]),
    ("rest-server", 130, 40, &["match (method, path"]),
    ("rest-client", 115, 40, &[".send_request("]),
    // 115, and lines for goodbyes. One that cannot be sent needs a bound; and to the library
    // it is an error to send something to a client that is leaving.
    ("ws-server", 119, 41, &["upgrade::on(", "CHAT.send((peer"]),
    ("ws-client", 116, 40, &["server.send(", ".next()"]),
    ("mqtt-subscriber", 90, 40, &["subscribe", "message_callback("]),
    ("mqtt-publisher", 90, 40, &["publish("]),
    // amqprs tells the broker's reason and its confirms only to a callback of six methods,
    // connects again for nobody, and leaves `%40` as it is: some 25 lines in each.
    ("rabbitmq-worker", 140, 40, &["sleep(work)", "basic_ack("]),
    ("rabbitmq-producer", 146, 40, &["basic_publish(", "confirm"]),
    ("rabbitmq-subscriber", 136, 40, &["queue_bind("]),
    ("rabbitmq-publisher", 115, 40, &["basic_publish("]),
    ("zeromq-replier", 85, 40, &[".recv(", ".send("]),
    ("zeromq-requester", 85, 40, &[".send(", ".recv("]),
    ("zeromq-publisher", 85, 40, &[".send("]),
    ("zeromq-subscriber", 85, 40, &[".recv("]),
    ("zeromq-pusher", 85, 40, &[".send("]),
    ("zeromq-puller", 85, 40, &[".recv("]),
];

/// What a slide can show at once, and a reader take in.
const LINES_OF_AN_ITEM: usize = 20;
const COLUMNS: usize = 86;
/// The one helper of all tests is read by whoever copies an example.
const LINES_OF_THE_HELPER: usize = 160;
/// The line below which a reader may stop.
const SET_UP: &str = "// Set-up.";

/// A rule that fails also names the page that explains it.
struct Guide;

impl Drop for Guide {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "The rules, and what they are for: CONTRIBUTING.md, 'Add an example'"
            );
        }
    }
}

/// Lines that are neither empty nor comments; imports count.
fn code(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with("//")).collect()
}

/// The folder of an example that a path lies in.
fn folder(path: &Path) -> &Path {
    path.ancestors().nth(3).unwrap()
}

/// The programs that have the shape: a name for failures, the text, and the limits.
fn shaped() -> Vec<(String, String, Shape)> {
    let shaped = programs().into_iter().map(|(path, text)| {
        let shape = SHAPES.into_iter().find(|(program, ..)| *program == name(&path));
        let path = path.strip_prefix(root()).unwrap().display().to_string();
        let shape = shape.unwrap_or_else(|| {
            panic!("{path}: add it to SHAPES, or nobody watches its size")
        });
        (path, text, shape)
    });
    shaped.collect()
}

#[test]
fn a_program_is_short_enough_to_be_read_in_class() {
    let _guide = Guide;
    for (path, text, (_, most, ..)) in shaped() {
        let lines = code(&text).len();
        assert!(
            lines <= most,
            "{path} has {lines} lines of code, and {most} are allowed: a program is read \
             from the top in one go. When it does not fit, a feature goes, never \
             correctness."
        );
    }
}

#[test]
fn the_idea_of_a_program_comes_on_its_first_screen() {
    let _guide = Guide;
    for (path, text, (_, _, within, core)) in shaped() {
        let (lesson, _) = text.split_once(SET_UP).unwrap_or((&text, ""));
        for call in core {
            let lines = code(lesson);
            let calls =
                |line: &&str| line.contains(call) && !line.starts_with("use ");
            let number = lines.iter().position(calls).map(|before| before + 1);
            let Some(number) = number else {
                panic!(
                    "{path}: no `{call}` above '{SET_UP}', and it is what the program \
                        exists to show"
                )
            };
            assert!(
                number <= within,
                "{path}: `{call}` comes in line {number} of its code, and {within} is the \
                 last that is allowed. It is what the program exists to show: a reader \
                 meets it before the arguments, the options of a socket and the printing."
            );
        }
    }
}

#[test]
fn every_item_fits_a_slide() {
    let _guide = Guide;
    for (path, text, _) in shaped() {
        for line in text.lines() {
            let columns = line.chars().count();
            assert!(
                columns <= COLUMNS,
                "{path}: {columns} columns, and a slide has {COLUMNS}: {line}"
            );
        }
        for item in items(&text) {
            let (name, lines) = (item.name, item.lines.len());
            assert!(
                lines <= LINES_OF_AN_ITEM,
                "{path}: {name} has {lines} lines with its comments, and {LINES_OF_AN_ITEM} \
                 are allowed: a slide shows whole items, by name"
            );
        }
    }
}

#[test]
fn a_program_tells_its_lesson_first_and_its_set_up_last() {
    let _guide = Guide;
    for (path, text, _) in shaped() {
        let marks = text.lines().filter(|line| *line == SET_UP).count();
        assert_eq!(
            marks, 1,
            "{path}: one line '{SET_UP}' tells a reader where the lesson ends"
        );
        let (lesson, set_up) = text.split_once(&format!("\n{SET_UP}\n")).unwrap();
        let lines: Vec<&str> = lesson.lines().collect();
        let main = lines.iter().position(|line| line.contains("fn main("));
        let imports = lines.iter().rposition(|line| line.starts_with("use "));
        assert!(
            imports < main && items(lesson)[0].name == "main",
            "{path}: after the header come the imports, and then `main`, where a reader \
             begins"
        );
        for line in lines {
            let skipped = ["const ", "static ", "struct Arguments", "fn printable("];
            assert!(
                !skipped.iter().any(|start| line.starts_with(start)),
                "{path}: '{line}' belongs below '{SET_UP}', with all that a reader may skip"
            );
        }
        assert!(
            items(set_up).iter().any(|item| item.name == "Arguments"),
            "{path}: no struct `Arguments` below '{SET_UP}': every program has a `--help`"
        );
    }
}

#[test]
fn every_program_begins_with_the_same_five_things() {
    let _guide = Guide;
    for (path, text, _) in shaped() {
        let header: Vec<&str> =
            text.lines().map_while(|line| line.strip_prefix("//!")).collect();
        assert!(
            text.starts_with("//! ") && header[0].ends_with('.'),
            "{path}: the first line is a sentence that says what the program is"
        );
        let labels =
            header.iter().filter_map(|line| line.strip_prefix(' ')?.split_once(':'));
        let labels: Vec<&str> = labels
            .map(|(label, _)| label)
            .filter(|label| label.chars().all(char::is_alphabetic))
            .collect();
        assert_eq!(
            labels,
            ["Contract", "Slide", "Run", "See"],
            "{path}: the header says the same things in the same order, so that a reader \
             finds them"
        );
        let sources = ["RFC ", "MQTT 3.1.1", "AMQP 0-9-1", "ZMTP"];
        let header = header.join(" ");
        assert!(
            sources.iter().any(|source| header.contains(source)),
            "{path}: the header names the standard that it follows, one of {sources:?}"
        );
    }
}

#[test]
fn what_a_peer_sent_is_printed_by_the_same_function_everywhere() {
    let _guide = Guide;
    let mut all = BTreeMap::new();
    for (path, text, _) in shaped() {
        let items = items(&text);
        if let Some(printable) = items.iter().find(|item| item.name == "printable") {
            all.entry(printable.lines.join("\n")).or_insert_with(Vec::new).push(path);
        }
    }
    assert_eq!(
        all.len(),
        1,
        "`printable` is the same in every program that has it, comment included: whoever \
         has read it once need not read it again. {all:#?}"
    );
}

#[test]
fn all_examples_have_the_same_short_test_helper() {
    let _guide = Guide;
    let mut all = BTreeMap::new();
    for folder in examples() {
        let path = folder.join("tests/program/mod.rs");
        all.entry(read(&path)).or_insert_with(Vec::new).push(path);
    }
    assert_eq!(
        all.len(),
        1,
        "tests/program/mod.rs is the same file in every example, since each is copied \
         alone: {:#?}",
        all.values()
    );
    let lines = code(all.keys().next().unwrap()).len();
    assert!(
        lines <= LINES_OF_THE_HELPER,
        "tests/program/mod.rs has {lines} lines of code, and {LINES_OF_THE_HELPER} are \
         allowed: it comes along with every copy of an example"
    );
}

#[test]
fn every_example_brings_its_tests_in_two_files() {
    let _guide = Guide;
    for folder in examples() {
        let of = name(&folder);
        for file in ["lecture.rs", "network.rs"] {
            assert!(
                folder.join("tests").join(file).exists(),
                "{of}: no tests/{file}. lecture.rs judges what the slide promises, \
                 network.rs what a real network does to it."
            );
        }
        assert!(
            read(&folder.join("tests/lecture.rs"))
                .contains("include_str!(\"../README.md\")"),
            "{of}: tests/lecture.rs compares the output with the README, or it goes stale"
        );
        let tests = fs::read_dir(folder.join("tests")).unwrap();
        let tests = tests.filter(|entry| entry.as_ref().unwrap().path().is_file());
        assert_eq!(
            tests.count(),
            2,
            "{of}: lecture.rs and network.rs hold all of its tests"
        );
    }
}

#[test]
fn every_example_can_be_copied_because_it_inherits_nothing() {
    let _guide = Guide;
    for folder in examples() {
        let of = name(&folder);
        let manifest = read(&folder.join("Cargo.toml"));
        assert!(
            !manifest.contains("workspace"),
            "{of}: Cargo.toml says 'workspace', which a copy of the folder lacks"
        );
        // A test may say where its own file is; a dependency may not.
        for line in manifest.lines().filter(|line| line.contains("path =")) {
            let inside = line.strip_prefix("path = \"").unwrap_or("..");
            let file = folder.join(inside.trim_end_matches('"'));
            assert!(
                !inside.starts_with("..") && file.is_file(),
                "{of}: Cargo.toml says '{line}', which a copy of the folder lacks"
            );
        }
        let expected =
            ["edition = \"2024\"", "rust-version = \"1.89\"", "publish = false"];
        for line in expected {
            assert!(manifest.contains(line), "{of}: every Cargo.toml says {line}");
        }
        for file in ["README.md", "tests/program/mod.rs"] {
            assert!(folder.join(file).exists(), "{of}: every example has a {file}");
        }
        let is_scene = |path: PathBuf| name(&path).starts_with("demo");
        let mut files =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        assert!(
            files.any(is_scene),
            "{of}: no demo.toml: `make demo` shows every example"
        );
        assert!(!folder.join("src/lib.rs").exists(), "{of}: one program is one file");
    }
}

/// That each dependency has one version is judged by `versions.rs`.
#[test]
fn no_example_has_the_name_of_a_dependency() {
    let _guide = Guide;
    let lock = read(&root().join("Cargo.lock"));
    for folder in examples() {
        let line = format!("name = \"{}\"", name(&folder));
        let count = lock.lines().filter(|found| *found == line).count();
        assert_eq!(count, 1, "a crate of ours would be mistaken for another: {line}");
    }
}

#[test]
fn the_names_of_all_programs_differ_and_are_in_the_readmes() {
    let _guide = Guide;
    let readme = read(&root().join("README.md"));
    for folder in examples() {
        let link = format!("](crates/{}/README.md)", name(&folder));
        assert!(readme.contains(&link), "README.md links every example: {link}");
    }
    let mut seen = Vec::new();
    for (path, _) in programs() {
        let program = name(&path).to_string();
        let (folder, of) = (folder(&path), name(folder(&path)));
        let default = format!("default-run = \"{program}\"");
        let run = match read(&folder.join("Cargo.toml")).contains(&default) {
            true => format!("cargo run -p {of}"),
            false => format!("cargo run -p {of} --bin {program}"),
        };
        let its_readme = read(&folder.join("README.md"));
        assert!(
            its_readme.contains(&run),
            "{of}: its README says how to run it: {run}"
        );
        let link = format!("(src/bin/{program}.rs)");
        assert!(
            its_readme.contains(&link),
            "{of}: its README links every program: {link}"
        );
        assert!(!seen.contains(&program), "two programs are named {program}");
        seen.push(program);
    }
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    let _guide = Guide;
    let link = regex_lite::Regex::new(r"\]\(([^)\s#:]*)(#[^)\s]+)?\)").unwrap();
    let mut pages = Vec::new();
    markdown(&root(), &mut pages);
    assert!(pages.len() > 20, "{pages:?}");
    for page in pages {
        let text = read(&page);
        for found in link.captures_iter(&text) {
            let target = match &found[1] {
                "" => page.clone(),
                path => page.parent().unwrap().join(path),
            };
            let place = format!("{}: {}", page.display(), &found[0]);
            assert!(target.exists(), "{place} leads nowhere");
            let Some(anchor) = found.get(2) else { continue };
            if target.extension() == Some("md".as_ref()) {
                let heading = |line: &str| {
                    let kept = line.trim_start_matches('#').trim().to_lowercase();
                    let kept = kept.replace(' ', "-");
                    let is_kept = |c: &char| c.is_alphanumeric() || "-_".contains(*c);
                    format!("#{}", kept.chars().filter(is_kept).collect::<String>())
                };
                let text = read(&target);
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                let is_there = headings.any(|line| heading(line) == anchor.as_str());
                assert!(is_there, "{place}: no such heading");
            }
        }
    }
}

/// All pages below a folder that are ours.
fn markdown(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_foreign = [".git", "node_modules", "target"].contains(&name(&path));
        // The deck is judged by its own tests.
        let is_deck = path.ends_with("deck.md");
        if path.is_dir() && !is_foreign {
            markdown(&path, pages);
        } else if path.extension() == Some("md".as_ref()) && !is_deck {
            pages.push(path);
        }
    }
}

#[test]
fn every_readme_has_the_same_sections() {
    let _guide = Guide;
    for folder in examples() {
        let of = name(&folder);
        let readme = read(&folder.join("README.md"));
        assert!(
            readme.starts_with(&format!("# {of}\n")),
            "{of}: the title of its README is its name"
        );
        let sections =
            ["Run", "The contract", "What to notice", "Python and Rust", "Try next"];
        for section in sections {
            assert!(
                readme.contains(&format!("\n## {section}\n")),
                "{of}: its README lacks '## {section}'. All have the same sections, so that \
                 a reader of one finds everything in the next."
            );
        }
    }
}

#[test]
fn the_guide_to_contributing_names_what_the_rules_ask_for() {
    let guide = read(&root().join("CONTRIBUTING.md"));
    let numbers =
        [format!("at most {LINES_OF_AN_ITEM} lines"), format!("most {COLUMNS}\n")];
    let files =
        ["tests/lecture.rs", "tests/network.rs", "tests/program/mod.rs", SET_UP];
    let labels = ["`Contract:`", "`Slide:`", "`Run:`", "`See:`"];
    let words = numbers.iter().map(String::as_str).chain(files).chain(labels);
    for word in words {
        assert!(guide.contains(word), "CONTRIBUTING.md does not say: {word}");
    }
    for section in ["Set up", "Check", "Add an example", "Write"] {
        assert!(guide.contains(&format!("\n## {section}\n")), "no section {section}");
    }
    let lines = guide.lines().count();
    assert!(lines <= 90, "CONTRIBUTING.md is one page, and has {lines} lines");
}
