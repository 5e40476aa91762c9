//! The command: what it is told, and how it ends.

use std::fs;
use std::process::Command;

const RUN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../slides/scoreboard/scoreboard.json"
);

/// Runs it; returns its exit status, what it printed, and its errors.
fn scoreboard(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scoreboard"));
    let ended = command.args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended.status.code(), text(ended.stdout), text(ended.stderr))
}

#[test]
fn a_run_of_before_is_printed_and_drawn_again_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().to_str().unwrap();
    let (code, table, errors) =
        scoreboard(&["--draw", RUN, "--compare", RUN, "--output", output]);
    assert_eq!((code, &*errors), (Some(0), ""));
    assert!(
        table.contains("\n| TCP, async ") && table.contains("× Python"),
        "{table}"
    );
    assert!(table.contains("\nCompared with the run of 20"), "{table}");
    for file in
        ["scoreboard.json", "tables.md", "index.html", "rate.svg", "delay.svg"]
    {
        let path = folder.path().join(file);
        assert!(fs::metadata(&path).unwrap().len() > 1000);
        assert!(table.contains(path.to_str().unwrap()), "{table}");
    }
}

#[test]
fn what_cannot_be_measured_or_read_is_a_clear_error() {
    let (code, _, errors) = scoreboard(&["--only", "Pigeon"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("'Pigeon' is in none of these: TCP, one"), "{errors}");
    let (code, _, errors) = scoreboard(&["--draw", "/no/such"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("cannot read /no/such"), "{errors}");
    let (code, _, errors) = scoreboard(&["--draw", env!("CARGO_BIN_EXE_scoreboard")]);
    assert_eq!(code, Some(1), "{errors}");
    assert_eq!(scoreboard(&["--slow"]).0, Some(2));
}
