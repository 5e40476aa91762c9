//! The exercises of the deck: each is one of the examples with a hole in it, and a test of
//! that example which the hole makes fail.

#[allow(dead_code)] // The rest is for the rules.
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use source::{examples, name, read, root};

struct Exercise {
    folder: PathBuf,
    /// The program that has the hole.
    program: String,
    /// What its README tells a student to type, line by line.
    commands: Vec<String>,
}

impl Exercise {
    fn example(&self) -> &Path {
        self.folder.ancestors().nth(2).unwrap()
    }

    /// The test that judges it.
    fn test(&self) -> &str {
        self.commands.last().unwrap().split("cargo test ").nth(1).unwrap()
    }
}

fn exercises() -> Vec<Exercise> {
    let folders = examples()
        .into_iter()
        .filter_map(|example| fs::read_dir(example.join("exercises")).ok());
    let mut found = Vec::new();
    for folder in folders.flatten() {
        let folder = folder.unwrap().path();
        let readme = read(&folder.join("README.md"));
        let block =
            readme.split("```text\n").nth(1).expect("no commands").split("```");
        let commands: Vec<String> =
            block.take(1).flat_map(str::lines).map(str::to_string).collect();
        let files = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
        let program = files.filter(|path| path.extension() == Some("rs".as_ref()));
        let program = program.map(|path| name(&path).to_string()).next().unwrap();
        found.push(Exercise { folder, program, commands });
    }
    assert!(found.len() >= 8, "only {} exercises were found", found.len());
    found
}

/// A solution is the program itself, so the two must not drift apart.
#[test]
fn a_starting_point_is_the_program_with_one_hole() {
    for exercise in exercises() {
        let file = format!("{}.rs", exercise.program);
        let start = read(&exercise.folder.join(&file));
        let program = read(&exercise.example().join("src/bin").join(&file));
        let (start, program): (Vec<_>, Vec<_>) =
            (start.lines().collect(), program.lines().collect());
        let pairs = start.iter().zip(&program);
        let before = pairs.take_while(|(a, b)| a == b).count();
        let pairs = start.iter().rev().zip(program.iter().rev());
        let after = pairs.take_while(|(a, b)| a == b).count();
        let hole = &start[before..start.len().saturating_sub(after).max(before)];
        let place = exercise.folder.display();
        assert!(
            hole.len() <= 8
                && hole.iter().any(|line| line.contains("// Exercise: "))
                && hole.iter().any(|line| line.contains("todo!(")),
            "{place}: beside one short hole with `// Exercise: ` and `todo!` it has to be \
             {file} as it is now. Line {} on, it differs by:\n{}",
            before + 1,
            hole.join("\n")
        );
    }
}

#[test]
fn an_exercise_says_what_to_type_and_the_deck_shows_it() {
    let deck = read(&root().join("slides/deck.md"));
    for exercise in exercises() {
        let (place, example) = (name(&exercise.folder), name(exercise.example()));
        // The broker's address may stand before the last one.
        let [copy, enter, begin, .., test] = &exercise.commands[..] else {
            panic!("{place}: {:?}", exercise.commands)
        };
        assert_eq!(*copy, format!("cp -r crates/{example} ~/{place}"));
        assert_eq!(*enter, format!("cd ~/{place}"));
        let program = &exercise.program;
        assert_eq!(*begin, format!("cp exercises/{place}/{program}.rs src/bin/"));
        let tests = ["lecture", "network"]
            .map(|file| read(&exercise.example().join(format!("tests/{file}.rs"))));
        let test_line = format!("fn {}(", exercise.test());
        assert!(tests.concat().contains(&test_line), "{place}: no test for '{test}'");
        let readme = read(&exercise.example().join("README.md"));
        let link = format!("](exercises/{place}/README.md)");
        assert!(readme.contains(&link), "{example}/README.md does not link {place}");
        // Each line stands alone on the slide.
        for command in &exercise.commands {
            let is_shown = deck.lines().any(|line| line == command);
            assert!(is_shown, "{place}: no slide shows '{command}'");
        }
    }
}

#[test]
fn the_rubric_of_the_graded_assignment_names_every_promise_and_adds_up() {
    let folder = root().join("crates/tcp-messages/assignment");
    let tests = read(&folder.join("assignment.rs"));
    let promises: Vec<_> = tests
        .split("#[test]\nfn ")
        .skip(1)
        .map(|test| test.split('(').next().unwrap().replace('_', " "))
        .collect();
    let readme = read(&folder.join("README.md"));
    let rows =
        readme.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows: Vec<_> = rows
        .filter_map(|row| row.split_once(" | "))
        .filter_map(|(what, points)| Some((what, points.parse::<u32>().ok()?)))
        .collect();
    let named: Vec<_> =
        rows.iter().take(promises.len()).map(|(what, _)| *what).collect();
    assert_eq!(named, promises);
    assert_eq!(rows.iter().map(|(_, points)| points).sum::<u32>(), 100, "{rows:?}");
}

/// As its README says, in a folder outside the workspace. It takes minutes, so
/// `make exercises` runs it, and `make test` does not.
#[cfg(feature = "exercises")]
#[test]
fn a_starting_point_fails_its_test_and_the_solution_passes() {
    let mut wrong = Vec::new();
    for exercise in exercises() {
        let copy = tempfile::tempdir().unwrap();
        let crate_copy = copy.path().join(name(&exercise.folder));
        copy_folder(exercise.example(), &crate_copy);
        fs::copy(root().join("Cargo.lock"), crate_copy.join("Cargo.lock")).unwrap();
        let program = format!("src/bin/{}.rs", exercise.program);
        let solution = run(&exercise, &crate_copy);
        let start = exercise.folder.join(format!("{}.rs", exercise.program));
        fs::copy(start, crate_copy.join(program)).unwrap();
        let start = run(&exercise, &crate_copy);
        let is_right = solution.contains("test result: ok. 1 passed")
            && start.contains("FAILED. 0 passed; 1 failed");
        println!("{}: {}", exercise.folder.display(), is_right);
        if !is_right {
            wrong
                .push(format!("{}:\n{solution}\n{start}", exercise.folder.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the test prints that judges an exercise.
#[cfg(feature = "exercises")]
fn run(exercise: &Exercise, folder: &Path) -> String {
    let test = std::process::Command::new(env!("CARGO"))
        .args(["test", exercise.test()])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", root().join("target/copies"))
        .env("RUSTFLAGS", "-Awarnings")
        .output()
        .unwrap();
    String::from_utf8_lossy(&[test.stdout, test.stderr].concat()).into_owned()
}

#[cfg(feature = "exercises")]
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) =
            (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
        if path.is_dir() {
            copy_folder(&path, &to.join(name));
        } else {
            fs::copy(path, to.join(name)).unwrap();
        }
    }
}
