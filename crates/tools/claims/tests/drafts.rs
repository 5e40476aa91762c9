//! The drafts break where their READMEs say so, and nowhere else.
//!
//! A README's section "The draft" has a table for each draft: what the network does, which
//! is the name of a test in tests/network.rs; whether the draft `holds` or `breaks`; and
//! that the program holds. With UPDATE_DRAFTS=1 the second column is written anew.

mod examples;
#[allow(dead_code)] // The rest is for the rules.
mod source;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, thread};

use serde_json::Value;
use source::{examples, name, read};

/// Tests with such a line in their comment need no row: they are about an option, or about
/// a program that has no draft.
const NO_DRAFT: &str = "/// No draft: ";

/// A draft, and what its table says: sentence and verdict, row by row.
struct Draft {
    example: String,
    program: String,
    rows: Vec<(String, String)>,
}

fn drafts_of(folder: &Path) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for file in fs::read_dir(folder.join("examples")).into_iter().flatten() {
        let path = file.unwrap().path();
        let draft = name(&path).to_string();
        let program = draft.strip_suffix("-draft").expect("a draft").to_string();
        let readme = read(&folder.join("README.md"));
        let rows = table(&readme, &draft);
        drafts.push(Draft { example: name(folder).to_string(), program, rows });
    }
    drafts.sort_by(|a, b| a.program.cmp(&b.program));
    drafts
}

/// The rows of the table whose second column is this draft's.
fn table(readme: &str, draft: &str) -> Vec<(String, String)> {
    let head = format!("| {draft} |");
    let lines = readme.lines().skip_while(|line| !line.contains(&head)).skip(2);
    let rows = lines.take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    cells.map(|cells| (cells[1].to_string(), cells[2].to_string())).collect()
}

/// What became of each promise of tests/network.rs with the draft in the program's place.
fn judge(draft: &Draft) -> BTreeMap<String, bool> {
    let lab = examples::program("lab", "lab");
    let file = example_program(&draft.example, &format!("{}-draft", draft.program));
    let program = format!("{}={}", draft.program, command(draft, &file));
    let judged = Command::new(lab)
        .args(["judge", &draft.example, "--stage", "network", "--json", "--program"])
        .arg(program)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let verdict: Value = serde_json::from_slice(&judged.stdout).unwrap();
    assert!(
        verdict["problem"].is_null(),
        "{}: {}",
        draft.program,
        verdict["problem"]
    );
    let promises = verdict["stages"][0]["promises"].as_array().unwrap();
    let outcome = |promise: &Value| {
        let sentence = promise["sentence"].as_str().unwrap().to_string();
        (sentence, promise["passed"].as_bool().unwrap())
    };
    promises.iter().map(outcome).collect()
}

/// How the tests start a draft, which is told the address and nothing else. A program of
/// MQTT is told `--broker URL --topic TOPIC`: the draft gets the second word of that, and
/// with more options it is not even started.
fn command(draft: &Draft, file: &Path) -> String {
    let file = file.display();
    match &*draft.example {
        "mqtt-temperature" => {
            format!("sh -c '[ $# = 4 ] && exec \"$0\" \"$2\"' {file}")
        }
        _ => file.to_string(),
    }
}

fn example_program(package: &str, draft: &str) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(source::root()).args([
        "build",
        "-q",
        "-p",
        package,
        "--examples",
    ]);
    assert!(cargo.status().unwrap().success());
    // Beside the programs, in a folder of its own.
    let folder = examples::program("lab", "lab").with_file_name("examples");
    folder.join(draft)
}

/// Writes what was seen into the table.
fn update(draft: &Draft, seen: &BTreeMap<String, bool>) {
    let path = source::root().join("crates").join(&draft.example).join("README.md");
    let mut text = read(&path);
    for (sentence, verdict) in &draft.rows {
        let now = if seen[sentence] { "holds" } else { "breaks" };
        let head = format!("| {}-draft |", draft.program);
        let place = text.find(&head).unwrap();
        let (before, table) = text.split_at(place);
        let old = format!("| {sentence} | {verdict} |");
        let new = format!("| {sentence} | {now} |");
        text = before.to_string() + &table.replacen(&old, &new, 1);
    }
    fs::write(path, text).unwrap();
}

#[test]
fn each_draft_breaks_where_its_readme_says_so() {
    let drafts = examples().into_iter().flat_map(|folder| drafts_of(&folder));
    let drafts: Vec<Draft> = drafts.filter(|draft| !draft.rows.is_empty()).collect();
    assert!(drafts.len() >= 7);
    let mut wrong = Vec::new();
    // Most of a judgement is waiting: several at a time.
    for some in drafts.chunks(4) {
        let seen: Vec<_> = thread::scope(|scope| {
            let judges: Vec<_> =
                some.iter().map(|draft| scope.spawn(|| judge(draft))).collect();
            judges.into_iter().map(|judge| judge.join().unwrap()).collect()
        });
        for (draft, seen) in some.iter().zip(seen) {
            if env::var_os("UPDATE_DRAFTS").is_some() {
                update(draft, &seen);
                continue;
            }
            for (sentence, verdict) in &draft.rows {
                let holds = seen.get(sentence);
                let holds = holds.unwrap_or_else(|| panic!("no test '{sentence}'"));
                let is = if *holds { "holds" } else { "breaks" };
                if verdict != is {
                    let program = &draft.program;
                    wrong.push(format!(
                        "{program}-draft {is}, and its README says {verdict}: {sentence}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_tables_have_every_promise_that_is_not_about_options() {
    for folder in examples() {
        let drafts = drafts_of(&folder);
        if drafts.is_empty() {
            continue;
        }
        let rows: Vec<&String> =
            drafts.iter().flat_map(|draft| &draft.rows).map(|row| &row.0).collect();
        let (mut is_option, mut is_test) = (false, false);
        for line in read(&folder.join("tests/network.rs")).lines() {
            is_option |= line.starts_with(NO_DRAFT);
            is_test |= line == "#[test]";
            let Some(rest) = line.strip_prefix("fn ") else { continue };
            let sentence = rest.split('(').next().unwrap().replace('_', " ");
            let is_there = rows.contains(&&sentence);
            assert!(
                !is_test || is_option || is_there,
                "{}: no row for: {sentence}",
                folder.display()
            );
            (is_option, is_test) = (false, false);
        }
    }
}
