//! What every scene of every example has, beside going as it says.

use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// All scenes, as their files say them.
fn scenes() -> Vec<(PathBuf, Table)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let manifest: Table = toml::from_str(&manifest).unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    let folders = members.iter().map(|member| root.join(member.as_str().unwrap()));
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = files.map(|file| file.unwrap().path()).filter(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("demo") && name.ends_with(".toml")
    });
    let scenes = paths.map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        (path, toml::from_str(&text).unwrap())
    });
    scenes.collect()
}

fn steps(scene: &Table) -> Vec<&Table> {
    let steps = scene["step"].as_array().unwrap().iter();
    steps.map(|step| step.as_table().unwrap()).collect()
}

#[test]
fn every_scene_begins_with_a_sentence_and_has_a_question_with_its_answer() {
    let scenes = scenes();
    assert!(scenes.len() > 20, "{}", scenes.len());
    for (path, scene) in &scenes {
        let (path, steps) = (path.display(), steps(scene));
        assert!(steps[0].contains_key("say"), "{path}: nothing is said first");
        let has =
            |key: &str| steps.iter().filter(|step| step.contains_key(key)).count();
        assert!(has("question") >= 1, "{path}: no question");
        assert_eq!(has("question"), has("answer"), "{path}");
    }
}

/// A draft breaks in front of the class, and the program beside it does not.
#[test]
fn every_draft_has_a_scene_that_runs_it_and_then_the_program() {
    let mut drafts = 0;
    for (path, _) in scenes().iter().filter(|(path, _)| path.ends_with("demo.toml")) {
        let folder = path.parent().unwrap();
        for draft in fs::read_dir(folder.join("examples")).into_iter().flatten() {
            let draft = draft.unwrap().path();
            let draft = draft.file_stem().unwrap().to_str().unwrap().to_string();
            let name = draft.strip_suffix("-draft").unwrap();
            let scene = folder.join(format!("demo-draft-{name}.toml"));
            let text = fs::read_to_string(&scene)
                .unwrap_or_else(|_| panic!("no {}", scene.display()));
            let of_draft = text.find(&format!("--example {draft} "));
            let last_run = text.rfind("run = ").unwrap();
            assert!(of_draft.is_some_and(|it| it < last_run), "{draft}");
            drafts += 1;
        }
    }
    assert!(drafts >= 11, "{drafts}");
}

/// What is said to a class is made of sentences.
#[test]
fn what_is_said_begins_with_a_capital_letter_and_ends_as_a_sentence() {
    for (path, scene) in &scenes() {
        let path = path.display();
        let said = steps(scene).into_iter().flat_map(|step| {
            ["say", "question", "answer"].map(|key| (key, step.get(key)))
        });
        let notice = [("notice", scene.get("notice"))].into_iter();
        for (key, text) in said.chain(notice) {
            let Some(text) = text.and_then(Value::as_str) else { continue };
            let first = text.chars().next().unwrap();
            assert!(!first.is_lowercase(), "{path}: {text}");
            let end = if key == "question" { "?" } else { "." };
            assert!(text.ends_with(end), "{path}: {text}");
            assert!(text.len() < 200, "{path}: too long for a class: {text}");
        }
    }
}

/// A question is one whose wrong answer the scene would refute: something is expected of
/// a program between it and its answer.
#[test]
fn something_is_checked_between_a_question_and_its_answer() {
    for (path, scene) in &scenes() {
        let mut asked: Option<(&str, bool)> = None;
        for step in steps(scene) {
            if let Some(question) = step.get("question") {
                asked = Some((question.as_str().unwrap(), false));
            }
            let checks =
                ["expect", "quiet", "exit"].iter().any(|key| step.contains_key(*key));
            asked = asked.map(|(question, checked)| (question, checked || checks));
            if step.contains_key("answer") {
                let (question, checked) = asked.take().expect("a question");
                assert!(checked, "{}: {question}", path.display());
            }
        }
    }
}

/// A port that somebody else has must not stop a lecture.
#[test]
fn no_server_of_a_scene_needs_a_port_of_its_own() {
    for (path, scene) in &scenes() {
        let runs =
            steps(scene).into_iter().filter_map(|step| step.get("run")?.as_str());
        for run in runs.filter(|run| !run.contains("udp-client")) {
            let ports = run
                .match_indices("127.0.0.1:")
                .map(|(at, host)| &run[at + host.len()..]);
            for port in ports {
                assert!(port.starts_with('0'), "{}: {run}", path.display());
            }
        }
    }
}
