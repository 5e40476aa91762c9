//! The examples' sources, as the rules of the house and the deck look at them.

use std::fs;
use std::path::{Path, PathBuf};

/// A function, a struct, a constant: doc comment and attributes included.
pub struct Item<'a> {
    pub name: &'a str,
    pub lines: Vec<&'a str>,
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The folders of the examples: the members of the workspace that bring along what
/// their tests need. The tools borrow it.
pub fn examples() -> Vec<PathBuf> {
    let manifest = read(&root().join("Cargo.toml"));
    // The default members are named once more.
    let lines = manifest.lines().take_while(|line| !line.starts_with("default-"));
    let members = lines.filter_map(|line| line.trim().strip_prefix('"'));
    let folders = members.map(|line| root().join(line.trim_end_matches([',', '"'])));
    let examples: Vec<_> =
        folders.filter(|path| path.join("tests/program").exists()).collect();
    assert!(examples.len() >= 5, "{examples:?}");
    examples
}

pub fn name(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

/// All programs of the examples: the path and the text.
pub fn programs() -> Vec<(PathBuf, String)> {
    let mut programs = Vec::new();
    for folder in examples() {
        for file in fs::read_dir(folder.join("src/bin")).unwrap() {
            let path = file.unwrap().path();
            programs.push((path.clone(), read(&path)));
        }
    }
    programs
}

/// The items of a file laid out by rustfmt: each ends with the first line of closing
/// brackets alone in column 0, unless it is whole before.
///
/// `items` in slides/source.mjs is its twin, for the deck; slides/items.sample.txt holds
/// both to the same result.
pub fn items(text: &str) -> Vec<Item<'_>> {
    let mut items = Vec::new();
    let mut lines: Vec<&str> = Vec::new();
    let mut declaration = None;
    for line in text.lines().filter(|line| !line.starts_with("//!")) {
        if declaration.is_none() && line.is_empty() {
            // A comment that stands alone belongs to no item.
            lines.clear();
            continue;
        }
        if lines.is_empty() && line.starts_with("use ") {
            continue;
        }
        lines.push(line);
        let is_before = line.starts_with("//")
            || line.starts_with("#[")
            || line.starts_with([' ', ')']);
        if declaration.is_none() && !is_before {
            declaration = Some(line);
        }
        let Some(first) = declaration else { continue };
        let code = line.split(" //").next().unwrap_or_default();
        let is_whole = code.ends_with([';', '}'])
            && (lines.last() == Some(&first) || first.ends_with('='));
        let brackets = line.strip_suffix(';').unwrap_or(line);
        let is_closed = !brackets.is_empty()
            && brackets.trim_start_matches(['}', ')', ']']).is_empty();
        if is_whole || is_closed {
            let lines = std::mem::take(&mut lines);
            items.push(Item { name: name_of(first), lines });
            declaration = None;
        }
    }
    assert!(declaration.is_none(), "an item without an end: {lines:?}");
    items
}

/// The word after the keyword of a declaration.
fn name_of(declaration: &str) -> &str {
    let keywords = ["fn", "struct", "enum", "const", "static", "type", "function"];
    let mut words = declaration.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.find(|word| keywords.contains(word));
    words.next().unwrap_or_default()
}
