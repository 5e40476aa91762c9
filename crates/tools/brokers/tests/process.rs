//! What is started ends, whatever happens, and nothing else does.
#![cfg(unix)] // Process groups and signals are Unix's.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use brokers::{Process, Signal};

const PATIENCE: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn lines(process: &mut Process) -> Receiver<Option<String>> {
    let (sender, lines) = mpsc::channel();
    process.read_lines(move |line| drop(sender.send(line)));
    lines
}

fn next(lines: &Receiver<Option<String>>) -> Option<String> {
    lines.recv_timeout(PATIENCE).expect("a line, or the end")
}

#[test]
fn both_outputs_are_read_to_their_ends_and_the_end_is_told_once() {
    let mut process = Process::start(&mut shell("echo one; echo two >&2")).unwrap();
    let lines = lines(&mut process);
    let mut printed = [next(&lines), next(&lines)];
    printed.sort();
    assert_eq!(printed, [Some("one".into()), Some("two".into())]);
    assert_eq!(next(&lines), None);
    assert!(lines.recv_timeout(PATIENCE).is_err(), "nothing comes after the end");
    assert!(process.wait(PATIENCE).unwrap().unwrap().success());
}

#[test]
fn a_line_without_an_end_is_cut_and_the_next_one_is_whole() {
    let script = "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo next";
    let mut process = Process::start(&mut shell(script)).unwrap();
    let lines = lines(&mut process);
    assert_eq!(next(&lines).map(|line| line.len()), Some(16 << 10));
    assert_eq!(next(&lines), Some("next".into()));
}

#[test]
fn what_a_program_leaves_behind_ends_with_it() {
    // What stays behind holds the pipe: its end tells that it has ended.
    let mut process =
        Process::start(&mut shell("sleep 1000 & echo started")).unwrap();
    let lines = lines(&mut process);
    assert_eq!(next(&lines), Some("started".into()));
    assert!(process.wait(PATIENCE).unwrap().unwrap().success());
    assert_eq!(next(&lines), None);
}

#[test]
fn a_signal_reaches_the_whole_group_and_the_end_says_which() {
    let mut process = Process::start(&mut shell("sleep 1000; true")).unwrap();
    process.signal(Signal::TERM);
    let status = process.wait(PATIENCE).unwrap().expect("it ends");
    assert_eq!(status.signal(), Some(15));
    // Its number may be another's from now on.
    process.kill();
}

#[test]
fn a_program_that_does_not_end_is_not_waited_for_and_dropping_it_kills_it() {
    let mut process = Process::start(&mut shell("echo started; sleep 1000")).unwrap();
    let lines = lines(&mut process);
    assert_eq!(next(&lines), Some("started".into()));
    let begin = Instant::now();
    assert_eq!(process.wait(Duration::from_millis(50)).unwrap(), None);
    assert!(begin.elapsed() < PATIENCE);
    drop(process);
    assert_eq!(next(&lines), None);
}

#[test]
fn a_program_at_the_terminal_shares_this_group_and_is_ended_too() {
    let mut command = shell("ps -o pgid= -p $$; exec sleep 1000");
    let mut process = Process::start_at_the_terminal(&mut command).unwrap();
    let lines = lines(&mut process);
    let group = rustix::process::getpgrp().as_raw_nonzero().to_string();
    assert_eq!(next(&lines).unwrap().trim(), group);
    drop(process);
    assert_eq!(next(&lines), None);
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    assert!(Process::start(&mut Command::new("/no/such")).is_err());
}

/// It once doubled the list of what runs, and what was doubled was never forgotten: its
/// number could be another's by the time that everything was ended.
#[test]
fn what_has_ended_is_forgotten_even_after_an_end_that_nobody_knows() {
    // The list is one for a whole process: this one needs a process of its own.
    if std::env::var_os("LIFELINE").is_none() {
        let this = std::env::current_exe().unwrap();
        let name = "what_has_ended_is_forgotten_even_after_an_end_that_nobody_knows";
        let mut command = Command::new(this);
        command.args([name, "--exact", "--nocapture"]).env("LIFELINE", "1");
        let output = command.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).to_string()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{printed}");
        return;
    }
    use brokers::lifeline;
    let mut bystander = shell("sleep 1000").process_group(0).spawn().unwrap();
    let mut known = Process::start(&mut shell("sleep 1000")).unwrap();
    let group = -bystander.id().cast_signed();
    lifeline::started(group).unwrap();
    lifeline::ended(-999_999_999).unwrap();
    lifeline::ended(group).unwrap();
    lifeline::end_all(PATIENCE).unwrap();
    let ended = known.wait(PATIENCE);
    let spared = bystander.try_wait().unwrap().is_none();
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    assert!(
        spared,
        "it was said to have ended, and its number was killed all the same"
    );
    // The guard is gone, so the end could be told to nobody.
    assert!(ended.is_err() || ended.unwrap().is_some(), "what runs is ended");
    assert!(Process::start(&mut shell("true")).is_err(), "nothing starts any more");
}
