//! What an example's tests promise: their names, and what their comments say.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// One test. Its name is a sentence, and its comment may have lines for the judge:
/// `Hint: ...` for who fails it, and `Wiretap: OPTIONS` where the proxy shows the fault.
#[derive(Serialize, Debug, PartialEq)]
pub struct Promise {
    pub name: String,
    pub sentence: String,
    pub hint: Option<String>,
    /// The command that lets one see it.
    pub wiretap: Option<String>,
}

pub fn read(path: &Path) -> Result<Vec<Promise>> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(parse(&text))
}

fn parse(text: &str) -> Vec<Promise> {
    let mut promises = Vec::new();
    let (mut comment, mut is_test): (Vec<&str>, bool) = (Vec::new(), false);
    // Tests in a module of the file are indented.
    for line in text.lines().map(str::trim_start) {
        if let Some(comment_line) = line.strip_prefix("/// ") {
            comment.push(comment_line);
        } else if line.starts_with("#[") {
            is_test |= line == "#[test]";
        } else {
            let name =
                line.strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            if let (Some(name), true) = (name, is_test) {
                promises.push(promise(name, &comment));
            }
            comment.clear();
            is_test = false;
        }
    }
    promises
}

fn promise(name: &str, comment: &[&str]) -> Promise {
    let wiretap = labelled(comment, "Wiretap:").map(|options| {
        let options = if options == "-" { String::new() } else { options + " " };
        format!("cargo run -p wiretap -- {options}127.0.0.1:65433 ADDRESS, and connect to 65433")
    });
    Promise {
        name: name.to_string(),
        sentence: name.replace('_', " "),
        hint: labelled(comment, "Hint:"),
        wiretap,
    }
}

/// What follows a label, up to the end of its sentence or of the comment.
fn labelled(comment: &[&str], label: &str) -> Option<String> {
    let place = comment.iter().position(|line| line.starts_with(label))?;
    let labels = ["Hint:", "Wiretap:", "No draft:"];
    let is_label = |line: &&&str| labels.iter().any(|label| line.starts_with(label));
    let more = comment[place + 1..].iter().take_while(|line| !is_label(line));
    let first = comment[place][label.len()..].trim();
    Some([first].into_iter().chain(more.copied()).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Promise, parse, read};
    use crate::scene::root;

    #[test]
    fn a_test_is_a_promise_and_its_comment_may_help() {
        let text = "/// Claim 3.\n/// Hint: read until the end of\n/// the stream.\n\
            /// Wiretap: --slice 1\n/// No draft: an option.\n#[test]\nfn pieces_are_put_together() {\n}\n\n\
            fn help() {\n}\n\nmod unix {\n    #[cfg(unix)]\n    #[test]\n    fn it_ends() {\n";
        let command = "cargo run -p wiretap -- --slice 1 127.0.0.1:65433 ADDRESS, \
            and connect to 65433";
        let [first, second] = &parse(text)[..] else { panic!("{:?}", parse(text)) };
        let expected = Promise {
            name: "pieces_are_put_together".to_string(),
            sentence: "pieces are put together".to_string(),
            hint: Some("read until the end of the stream.".to_string()),
            wiretap: Some(command.to_string()),
        };
        assert_eq!(*first, expected);
        assert_eq!((&*second.sentence, &second.hint), ("it ends", &None));
    }

    /// A hint is one sentence, and says where to look.
    #[test]
    fn every_promise_of_the_examples_has_a_hint() {
        let mut hints = 0;
        for folder in fs::read_dir(root().join("crates")).unwrap() {
            let tests = folder.unwrap().path().join("tests");
            for path in ["lecture.rs", "network.rs"].map(|file| tests.join(file)) {
                for promise in read(&path).unwrap_or_default() {
                    let place = format!("{}: {}", path.display(), promise.name);
                    let hint =
                        promise.hint.unwrap_or_else(|| panic!("{place}: no hint"));
                    assert!(hint.ends_with(['.', '?']), "{place}: {hint}");
                    assert!(
                        !hint.contains(". ") && !hint.contains("? "),
                        "{place}: more than one sentence: {hint}"
                    );
                    hints += 1;
                }
            }
        }
        assert!(hints > 200, "{hints}");
    }
}
