//! The ledger of the lecture's claims, claims.md, agrees with the tests: each claim has a
//! verdict and a test, and each test names claims that exist. A test names what it judges
//! in its doc comment: "Claim 5", "Claims 18 and 22". With UPDATE_CLAIMS=1 the column of
//! tests is written anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use regex_lite::Regex;

const CLAIMS: usize = 103;
const VERDICTS: [&str; 3] = ["holds", "holds with a nuance", "false"];

/// By a claim's number: the packages that judge it, and their tests by name.
type Tests = BTreeMap<usize, BTreeMap<String, Vec<String>>>;

/// A function of a test file.
struct Function<'a> {
    name: &'a str,
    is_test: bool,
    claims: Vec<usize>,
    body: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// On Windows Git may have made other line ends of them.
fn read(path: &Path) -> String {
    let text = fs::read_to_string(path);
    text.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .replace("\r\n", "\n")
}

/// The numbers after the word, with commas, "and" or "to" between them.
fn claims_in(comment: &str) -> Vec<usize> {
    let named =
        Regex::new(r"(?:\bC|\(c)laims? (\d+(?:(?:, | and | to |-)\d+)*)").unwrap();
    let part = Regex::new(r"(\d+)(?:(?: to |-)(\d+))?").unwrap();
    let number = |text: &str| text.parse::<usize>().unwrap();
    let mut claims = Vec::new();
    for list in named.captures_iter(comment) {
        for range in part.captures_iter(&list[1]) {
            let first = number(&range[1]);
            claims.extend(
                first..=range.get(2).map_or(first, |last| number(last.as_str())),
            );
        }
    }
    claims
}

fn functions(text: &str) -> Vec<Function<'_>> {
    let start = Regex::new(r"^(?:pub )?(?:async )?fn (\w+)").unwrap();
    let mut functions: Vec<Function> = Vec::new();
    let (mut comment, mut is_test) = (String::new(), false);
    for line in text.lines() {
        let code = line.trim();
        if let Some(words) = code.strip_prefix("///") {
            comment += words;
        } else if code.starts_with("#[") {
            is_test |=
                code.starts_with("#[test]") || code.starts_with("#[tokio::test");
        } else {
            if let Some(found) = start.captures(code) {
                let name = found.get(1).unwrap().as_str();
                let (claims, body) = (claims_in(&comment), String::new());
                functions.push(Function { name, is_test, claims, body });
            } else if let Some(function) = functions.last_mut() {
                function.body += &format!("{line}\n");
            }
            (comment, is_test) = (String::new(), false);
        }
    }
    functions
}

/// All tests that name a claim. What the comment of a helper says counts for the tests of
/// its file that call it.
fn tests() -> Tests {
    let mut found = Tests::new();
    for folder in packages() {
        let package = folder.file_name().unwrap().to_str().unwrap();
        for path in sources(&folder) {
            let text = read(&path);
            let functions = functions(&text);
            for test in functions.iter().filter(|function| function.is_test) {
                let called = |other: &&Function| {
                    !other.is_test && test.body.contains(&format!("{}(", other.name))
                };
                let helpers = functions.iter().filter(called);
                for claim in
                    helpers.chain([test]).flat_map(|function| &function.claims)
                {
                    assert!(
                        (1..=CLAIMS).contains(claim),
                        "{}: no claim {claim}",
                        test.name
                    );
                    let tests = found.entry(*claim).or_default();
                    let tests = tests.entry(package.to_string()).or_default();
                    if !tests.iter().any(|name| name == test.name) {
                        tests.push(test.name.to_string());
                    }
                }
            }
        }
    }
    found
}

/// The folders of all packages, examples before tools, in the order of their names.
fn packages() -> Vec<PathBuf> {
    let mut packages = Vec::new();
    for place in ["crates", "crates/tools"] {
        let all = fs::read_dir(root().join(place)).unwrap();
        let mut folders: Vec<_> = all.map(|entry| entry.unwrap().path()).collect();
        folders.retain(|folder| folder.join("Cargo.toml").exists());
        folders.sort();
        packages.extend(folders);
    }
    packages
}

/// The Rust files of a package that may hold tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.join("tests"), folder.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|kind| kind == "rs") => {
                    files.push(path)
                }
                false => {}
            }
        }
    }
    files.sort();
    files
}

/// The last cell of a claim's row: `` tcp-echo: `a_test`, `another`; claims: `a_third` ``.
fn cell(tests: &BTreeMap<String, Vec<String>>) -> String {
    let packages = tests.iter().map(|(package, names)| {
        let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        format!("{package}: {}", names.join(", "))
    });
    packages.collect::<Vec<_>>().join("; ")
}

/// The number and the cells of a row: claim, verdict, what to say instead, tests.
fn row(line: &str) -> Option<(usize, Vec<&str>)> {
    let cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
    let mut cells = cells.map(str::trim);
    let number = cells.next()?.parse().ok()?;
    Some((number, cells.collect()))
}

#[test]
fn each_claim_of_the_ledger_has_a_verdict_and_the_tests_that_judge_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("claims.md");
    let (ledger, tests) = (read(&path), tests());
    let (mut written, mut numbers) = (String::new(), Vec::new());
    for line in ledger.lines() {
        let Some((number, cells)) = row(line) else {
            written += &format!("{line}\n");
            continue;
        };
        numbers.push(number);
        let [claim, verdict, instead, _] = cells[..] else {
            panic!("claim {number} has {} cells, not 4: {line}", cells.len());
        };
        assert!(
            VERDICTS.contains(&verdict),
            "claim {number}: no verdict '{verdict}'"
        );
        let is_plainly_true = verdict == VERDICTS[0];
        assert_eq!(instead.is_empty(), is_plainly_true, "claim {number}: {instead}");
        assert!(
            is_plainly_true || instead.ends_with('.'),
            "claim {number}: {instead}"
        );
        let judges = tests.get(&number).map(cell).unwrap_or_default();
        assert!(!judges.is_empty(), "no test names claim {number}: {claim}");
        written +=
            &format!("| {number} | {claim} | {verdict} | {instead} | {judges} |\n");
    }
    assert_eq!(numbers, Vec::from_iter(1..=CLAIMS), "the numbers of the claims");
    if env::var_os("UPDATE_CLAIMS").is_some_and(|value| value == "1") {
        fs::write(&path, written).unwrap();
        return;
    }
    let mut both = ledger.lines().zip(written.lines());
    if let Some((is, should)) = both.find(|(is, should)| is != should) {
        panic!(
            "claims.md has:\n{is}\nthe tests say:\n{should}\nUPDATE_CLAIMS=1 writes it"
        );
    }
}

#[test]
fn numbers_of_claims_are_found_in_the_comments_of_tests_and_of_their_helpers() {
    assert_eq!(claims_in(" Claim 97: who listens."), [97]);
    assert_eq!(claims_in(" Claims 28, 29 and 33: one socket."), [28, 29, 33]);
    assert_eq!(claims_in(" Claims 98 to 103, of 6 tools. (claim 77)."), {
        [98, 99, 100, 101, 102, 103, 77]
    });
    assert_eq!(claims_in(" It claims 5 places."), [0; 0]);
    let text = "/// Claim 1.\nfn helper() {\n}\n\n/// Claims 2\n/// and 3.\n#[test]\n\
        fn a_test() {\n    helper();\n}\n";
    let functions = functions(text);
    assert_eq!((functions[0].is_test, &*functions[0].claims), (false, &[1][..]));
    assert_eq!((functions[1].is_test, &*functions[1].claims), (true, &[2, 3][..]));
    assert!(functions[1].body.contains("helper("));
}
