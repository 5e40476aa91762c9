//! Runs `lab judge` on programs that are right, wrong, and no programs at all.
#![cfg(unix)] // The programs are scripts of the shell.

#[path = "../../../tcp-echo/tests/program/mod.rs"]
mod program;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use program::{Ended, Program};
use serde_json::Value;

const LAB: &str = env!("CARGO_BIN_EXE_lab");
/// Building an example's tests may come first.
const PATIENCE: Duration = Duration::from_secs(300);

fn judge(arguments: &[&str]) -> Ended {
    let mut judge = Program::start(LAB, &[&["judge"], arguments].concat());
    judge.patience = PATIENCE;
    judge.end()
}

/// The verdict on a command in the place of tcp-server, by its lecture tests.
fn verdict_on(command: &str) -> Value {
    let ended =
        judge(&["tcp-echo", "--server", command, "--stage", "lecture", "--json"]);
    assert_eq!(ended.code, Some(1), "{:?}\n{}", ended.output, ended.errors);
    serde_json::from_str(&ended.output[0]).unwrap()
}

fn problem_of(command: &str) -> String {
    let verdict = verdict_on(command);
    assert_eq!(verdict["stages"].as_array().unwrap().len(), 0);
    assert_eq!(verdict["passed"], false);
    verdict["problem"].as_str().unwrap().to_string()
}

/// The example's own server, built as the tests of the example build it.
fn tcp_server() -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root).args(["build", "--quiet", "-p", "tcp-echo", "--bins"]);
    assert!(cargo.status().unwrap().success());
    let beside_lab = Path::new(LAB).with_file_name("tcp-server");
    beside_lab.to_str().unwrap().to_string()
}

#[test]
fn a_command_that_is_no_program_is_told_in_a_sentence() {
    assert!(problem_of("no-such-program-here --fast").contains(
        "there is no program 'no-such-program-here', the first word of the command"
    ));
    let script = Path::new(env!("CARGO_TARGET_TMPDIR")).join("not-executable.py");
    fs::write(&script, "print('hello')\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(problem_of(script.to_str().unwrap()).contains("may not be executed"));
    let unclosed = judge(&["tcp-echo", "--server", "python3 'server.py"]);
    assert_eq!(unclosed.code, Some(1));
    assert!(unclosed.errors.contains("cannot understand the command"));
}

#[test]
fn a_program_that_does_not_become_ready_is_told_with_what_it_printed() {
    let ended = problem_of("sh -c 'echo oh no; exit 3'");
    assert!(ended.contains("it ended with exit status 3"), "{ended}");
    assert!(ended.contains("    oh no"), "{ended}");
    let killed = problem_of("sh -c 'kill -KILL $$'");
    assert!(killed.contains("it ended by signal 9"), "{killed}");
    assert!(killed.contains("it printed nothing"), "{killed}");
    let wrong = problem_of("sh -c 'echo Serving on 127.0.0.1:1; exec sleep 100'");
    let expected = "did not print 'TCP server listening on ADDRESS' within 10 s";
    assert!(wrong.contains(expected), "{wrong}");
    assert!(wrong.contains("    Serving on 127.0.0.1:1"), "{wrong}");
}

#[test]
fn a_program_that_prints_a_gigabyte_is_a_verdict_and_not_a_hang() {
    let problem = problem_of("yes hello");
    assert!(problem.contains("it printed 1000 lines"), "{problem}");
    // One line without an end.
    let problem = problem_of("sh -c 'head -c 1000000000 /dev/zero'");
    assert!(problem.contains("it ended with exit status 0"), "{problem}");
    // It becomes ready, and then it prints while it is judged.
    let server = tcp_server();
    let command = format!(
        "sh -c '{server} \"$@\" & sleep 0.5; yes hello | head -c 1000000000; wait' sh"
    );
    let verdict = verdict_on(&command);
    assert_eq!(verdict["problem"], Value::Null);
    // Some tests wait for its end, and it prints on instead; others do not mind.
    let stage = &verdict["stages"][0];
    assert!(stage["failed"].as_u64() > Some(0), "{stage}");
    assert!(stage["passed"].as_u64() > Some(0), "{stage}");
}

#[test]
fn a_server_that_listens_elsewhere_or_ignores_its_argument_is_told_so() {
    let say = |address: &str| {
        problem_of(&format!(
            "sh -c 'echo TCP server listening on {address}; exec sleep 100'"
        ))
    };
    let nobody = say("127.0.0.1:1");
    assert!(nobody.contains("but nobody answers there"), "{nobody}");
    // The port of the contract, a port that is none, and all addresses of the machine.
    for address in ["127.0.0.1:65432", "127.0.0.1:0", "0.0.0.0:40000"] {
        let ignored = say(address);
        assert!(ignored.contains("does it use its first argument"), "{ignored}");
        assert!(ignored.contains(&format!("and says {address}")), "{ignored}");
    }
    let empty = say("somewhere");
    assert!(empty.contains("and not with an address and a port"), "{empty}");
}

#[test]
fn a_right_program_passes_and_a_slow_start_is_only_remarked() {
    // Only the first start is slow, or the tests would take a minute.
    let first = tempfile::tempdir().unwrap();
    let first = first.path().join("started");
    let command = format!(
        "sh -c 'mkdir {} 2>/dev/null && sleep 5; exec {} \"$@\"' sh",
        first.display(),
        tcp_server()
    );
    let ended =
        judge(&["tcp-echo", "--server", &command, "--stage", "lecture", "--json"]);
    assert_eq!(ended.code, Some(0), "{:?}\n{}", ended.output, ended.errors);
    let verdict: Value = serde_json::from_str(&ended.output[0]).unwrap();
    let remark = verdict["remarks"][0].as_str().unwrap();
    assert!(remark.starts_with("tcp-server needs 5."), "{remark}");
    assert_eq!(verdict["stages"][0]["failed"], 0);
    assert!(verdict["stages"][0]["passed"].as_u64().unwrap() > 5);
}

#[test]
fn the_readme_has_every_field_of_the_verdict() {
    let command = format!("sh -c 'exec {} \"$@\"' sh", tcp_server());
    let ended =
        judge(&["tcp-echo", "--server", &command, "--stage", "lecture", "--json"]);
    assert_eq!(ended.output.len(), 1, "{:?}", ended.output);
    let verdict: Value = serde_json::from_str(&ended.output[0]).unwrap();
    let readme = include_str!("../README.md");
    let levels =
        [&verdict, &verdict["stages"][0], &verdict["stages"][0]["promises"][0]];
    for field in levels.iter().flat_map(|it| it.as_object().unwrap().keys()) {
        assert!(readme.contains(&format!("`{field}`")), "no `{field}`");
    }
}

#[test]
fn nothing_of_a_submission_outlives_the_judge() {
    let mark = format!("{}", 1_000_000 + std::process::id());
    let server = tcp_server();
    let command = format!("sh -c 'setsid sleep {mark} & exec {server} \"$@\"' sh");
    let arguments = ["judge", "tcp-echo", "--server", &command, "--stage", "lecture"];
    judge(&arguments[1..]);
    assert_eq!(running(&mark), 0);
    // The same when the judge is interrupted.
    let mut interrupted = Program::start(LAB, &arguments);
    interrupted.patience = PATIENCE;
    interrupted.wait_for_error("Judging lecture");
    interrupted.signal("INT");
    assert_eq!(interrupted.end().code, Some(130));
    assert_eq!(running(&mark), 0);
}

/// How many programs run with this word in their command, as Linux tells.
fn running(word: &str) -> usize {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let commands = entries.map(|entry| fs::read(entry.path().join("cmdline")));
    let has_word = |command: &Vec<u8>| {
        command.split(|byte| *byte == 0).any(|it| it == word.as_bytes())
    };
    commands.flatten().filter(has_word).count()
}

#[test]
fn a_report_has_a_line_for_each_promise_and_says_what_happened() {
    // It answers, and then it is over: every other client is turned away.
    let script = "sh -c 'echo TCP server listening on 127.0.0.1:1'";
    let ended = judge(&["tcp-echo", "--server", script]);
    assert_eq!(ended.code, Some(1));
    let all = ended.output.join("\n");
    assert!(all.contains("is judged as tcp-server."), "{all}");
    assert!(all.contains("Nothing could be judged: it says that"), "{all}");
}

/// Our own server knows nothing of it, and no solution lies in the project.
#[test]
fn an_assignment_is_a_stage_of_its_own_that_our_program_does_not_pass() {
    let server = tcp_server().replace("tcp-server", "lines-server");
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root).args([
        "build",
        "--quiet",
        "-p",
        "tcp-messages",
        "--bins",
    ]);
    assert!(cargo.status().unwrap().success());
    let program = format!("lines-server={server}");
    let stage = ["--stage", "assignment", "--json"];
    let ended =
        judge(&[&["tcp-messages", "--program", &program], &stage[..]].concat());
    assert_eq!(ended.code, Some(1), "{}", ended.errors);
    let verdict: Value = serde_json::from_str(&ended.output[0]).unwrap();
    let [stage] = &verdict["stages"].as_array().unwrap()[..] else {
        panic!("{verdict}")
    };
    assert_eq!((&stage["passed"], stage["failed"].as_u64()), (&0.into(), Some(9)));
}

#[test]
fn what_is_to_be_judged_must_be_said() {
    for (arguments, expected) in [
        (&["no-such-example", "--server", "x"][..], "no example has the name"),
        (&["tcp-echo", "--stage", "assignment"], "tcp-echo has no assignment/"),
        (&["tcp-echo"], "nothing to judge: give --server COMMAND"),
        (&["zeromq-patterns", "--server", "x"], "which program is meant?"),
        (&["tcp-echo", "--program", "tcp-sever=x"], "is none of its programs"),
    ] {
        let ended = judge(arguments);
        assert_eq!(ended.code, Some(1), "{arguments:?}");
        assert!(ended.errors.contains(expected), "{}", ended.errors);
    }
}
