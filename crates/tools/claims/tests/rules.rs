//! The rules of the house, which keep every example small, alike and fit to be
//! copied.

mod source;

use std::collections::BTreeMap;

use source::{examples, items, name, programs, read, root};

/// A program's limits: lines of code, and of any item, which must fit a slide.
const CODE_OF_AN_ECHO: usize = 100;
const CODE_OF_THE_REST: usize = 160;
/// What RFC 9110 demands of any server of HTTP does not fit with an API into less.
const CODE_OF_THE_REST_SERVER: usize = 210;
/// What it says is on the broker's disk when it says so: that takes publisher confirms,
/// which amqprs tells by a callback, and a second sending of what got none.
const CODE_OF_THE_RABBITMQ_PRODUCER: usize = 195;
const LINES_OF_AN_ITEM: usize = 25;
const COLUMNS: usize = 86;

#[test]
fn every_program_and_every_item_is_small_enough_for_a_slide() {
    for (path, text) in programs() {
        let path = path.display();
        let code = text.lines().map(str::trim);
        let code =
            code.filter(|line| !line.is_empty() && !line.starts_with("//")).count();
        let most = match path.to_string() {
            path if path.contains("-echo/") => CODE_OF_AN_ECHO,
            path if path.ends_with("/rest-server.rs") => CODE_OF_THE_REST_SERVER,
            path if path.ends_with("/rabbitmq-producer.rs") => {
                CODE_OF_THE_RABBITMQ_PRODUCER
            }
            _ => CODE_OF_THE_REST,
        };
        assert!(code <= most, "{path}: {code} lines of code, {most} are allowed");
        let lines = text.lines().count();
        assert!(lines < most * 3 / 2, "{path}: {lines} lines in all");
        for line in text.lines() {
            assert!(line.chars().count() <= COLUMNS, "{path}: too wide: {line}");
        }
        for item in items(&text) {
            let (name, lines) = (item.name, item.lines.len());
            assert!(lines <= LINES_OF_AN_ITEM, "{path}: {name} has {lines} lines");
        }
    }
}

#[test]
fn every_program_begins_with_the_same_five_things() {
    for (path, text) in programs() {
        let header: Vec<&str> =
            text.lines().map_while(|line| line.strip_prefix("//!")).collect();
        assert!(header[0].ends_with('.'), "{}: a sentence first", path.display());
        let labels =
            header.iter().filter_map(|line| line.strip_prefix(' ')?.split_once(':'));
        let labels: Vec<&str> = labels
            .map(|(label, _)| label)
            .filter(|label| label.chars().all(char::is_alphabetic))
            .collect();
        assert_eq!(labels, ["Contract", "Slide", "Run", "See"], "{}", path.display());
        let sources = ["RFC ", "MQTT 3.1.1", "AMQP 0-9-1", "ZMTP"];
        let names_source =
            sources.iter().any(|source| header.join(" ").contains(source));
        assert!(names_source, "{}: no source", path.display());
    }
}

#[test]
fn printable_and_the_test_helper_are_the_same_in_every_example() {
    let mut printables = BTreeMap::new();
    for (path, text) in programs() {
        let items = items(&text);
        let printable = items.iter().find(|item| item.name == "printable");
        let printable =
            printable.unwrap_or_else(|| panic!("{}: none", path.display()));
        let text = printable.lines.join("\n");
        printables.entry(text).or_insert_with(Vec::new).push(path);
    }
    assert_eq!(printables.len(), 1, "{printables:#?}");
    let mut helpers = BTreeMap::new();
    for folder in examples() {
        let path = folder.join("tests/program/mod.rs");
        helpers.entry(read(&path)).or_insert_with(Vec::new).push(path);
    }
    assert_eq!(helpers.len(), 1, "{:#?}", helpers.values());
}

#[test]
fn every_example_can_be_copied_because_it_inherits_nothing() {
    for folder in examples() {
        let manifest = read(&folder.join("Cargo.toml"));
        for inherited in ["workspace", "path ="] {
            assert!(
                !manifest.contains(inherited),
                "{}: {inherited}",
                folder.display()
            );
        }
        let expected =
            ["edition = \"2024\"", "rust-version = \"1.89\"", "publish = false"];
        for line in expected {
            assert!(manifest.contains(line), "{}: no {line}", folder.display());
        }
        for file in ["README.md", "demo.toml", "tests/program/mod.rs"] {
            assert!(folder.join(file).exists(), "{}: no {file}", folder.display());
        }
        let test = folder.join("tests").join(name(&folder)).with_extension("rs");
        assert!(read(&test).contains("include_str!(\"../README.md\")"));
    }
}

#[test]
fn each_dependency_has_one_version_and_no_crate_has_the_name_of_one() {
    let lock = read(&root().join("Cargo.lock"));
    let names: Vec<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
    // The lock file names a package once for each of its versions, in order.
    for pair in names.windows(2) {
        assert_ne!(
            pair[0], pair[1],
            "two versions, or a crate of ours of the same name"
        );
    }
    assert!(names.len() > 10);
}

#[test]
fn the_names_of_all_programs_differ_and_are_in_the_readmes() {
    let readme = read(&root().join("README.md"));
    let mut seen = Vec::new();
    for (path, _) in programs() {
        let program = name(&path).to_string();
        let crate_name = path.ancestors().nth(3).unwrap();
        let run = match read(&crate_name.join("Cargo.toml"))
            .contains(&format!("default-run = \"{program}\""))
        {
            true => format!("cargo run -p {}", name(crate_name)),
            false => format!("cargo run -p {} --bin {program}", name(crate_name)),
        };
        assert!(readme.contains(&run), "README.md does not say: {run}");
        let its_readme = read(&crate_name.join("README.md"));
        assert!(its_readme.contains(&run), "{}: {run}", crate_name.display());
        assert!(its_readme.contains(&format!("(src/bin/{program}.rs)")));
        assert!(!seen.contains(&program), "two programs named {program}");
        seen.push(program);
    }
}
