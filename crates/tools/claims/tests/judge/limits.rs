//! The limits of the scoreboard, in the places of the examples that they stand beside: a
//! comparison says something only of programs that do the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::source::{name, read, root};
use crate::{examples, judge};

/// What a limit may have, without empty lines and comments.
const LINES: usize = 120;

struct Limit {
    example: &'static str,
    /// The program in whose place it runs.
    program: &'static str,
    /// The name of its file, and its role where it has several.
    command: &'static str,
    /// Promises of lecture.rs that it does not keep, each with the reason. It keeps all
    /// others.
    breaks: &'static [(&'static str, &'static str)],
}

const fn limit(
    example: &'static str,
    program: &'static str,
    command: &'static str,
    breaks: &'static [(&'static str, &'static str)],
) -> Limit {
    Limit { example, program, command, breaks }
}

const ONE_THREAD: &str =
    "one thread serves all clients at once, whatever the example";

const LIMITS: [Limit; 15] = [
    limit(
        "tcp-echo",
        "tcp-server",
        "tcp-epoll blocking",
        &[("an idle client blocks the next one which is then served", ONE_THREAD)],
    ),
    limit(
        "threaded-tcp-echo",
        "threaded-tcp-server",
        "tcp-epoll threaded",
        &[
            ("each client has a thread of its own", ONE_THREAD),
            (
                "a client that comes when max clients are served waits for one to leave",
                "it knows no --max-clients",
            ),
        ],
    ),
    limit("async-tcp-echo", "async-tcp-server", "tcp-epoll", &[]),
    limit("udp-echo", "udp-server", "udp", &[]),
    limit("async-udp-echo", "async-udp-server", "udp async", &[]),
    limit("rest-items", "rest-server", "rest", &[]),
    limit("ws-chat", "ws-server", "chat", &[]),
    limit("mqtt-temperature", "mqtt-publisher", "paho publish", &[]),
    limit("mqtt-temperature", "mqtt-subscriber", "paho subscribe", &[]),
    limit("rabbitmq-tasks", "rabbitmq-worker", "rabbitmq-tasks worker", &[]),
    limit("rabbitmq-tasks", "rabbitmq-producer", "rabbitmq-tasks producer", &[]),
    limit("rabbitmq-routing", "rabbitmq-subscriber", "rabbitmq-routing", &[]),
    limit("zeromq-patterns", "zeromq-replier", "zeromq rep", &[]),
    limit("zeromq-patterns", "zeromq-subscriber", "zeromq sub", &[]),
    limit("zeromq-patterns", "zeromq-puller", "zeromq pull", &[]),
];

fn folder() -> PathBuf {
    root().join("crates/tools/scoreboard/limits")
}

/// Builds a limit as the scoreboard does; returns where it is.
fn build(stem: &str) -> PathBuf {
    let source = folder().join(stem).with_extension("c");
    if !source.exists() {
        return examples::program("scoreboard", &format!("limit-{stem}"));
    }
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("limit-{stem}"));
    let mut compiler = Command::new("cc");
    compiler.arg("-O2").arg("-o").arg(&built).arg(source);
    match stem {
        "paho" => {
            let library = paho();
            compiler.arg("-I").arg(library.join("include"));
            compiler.arg("-L").arg(library.join("lib"));
            compiler.args(["-lpaho-mqtt3a", "-lpthread"]);
        }
        "zeromq" => drop(compiler.arg("-lzmq")),
        _ => {}
    }
    assert!(compiler.status().unwrap().success(), "{compiler:?}");
    built
}

/// The Paho C library, as the build of mqtt-temperature has made it.
fn paho() -> PathBuf {
    let program = examples::program("mqtt-temperature", "mqtt-publisher");
    let builds = fs::read_dir(program.with_file_name("build")).unwrap();
    let outs = builds.map(|folder| folder.unwrap().path().join("out"));
    let is_it = |out: &PathBuf| out.join("lib/libpaho-mqtt3a.a").exists();
    outs.into_iter().find(is_it).expect("no libpaho-mqtt3a.a")
}

#[test]
fn each_limit_keeps_what_its_example_promises() {
    let mut wrong = Vec::new();
    for Limit { example, program, command, breaks } in LIMITS {
        let (stem, role) = command.split_once(' ').unwrap_or((command, ""));
        let judged = format!("{} {role}", build(stem).display());
        let begin = Instant::now();
        let programs = [(program.to_string(), judged)];
        let (failed, kept) = judge(example, &["--stage", "lecture"], &programs);
        let took = begin.elapsed().as_secs();
        let broken: BTreeSet<&str> = failed.keys().map(String::as_str).collect();
        println!("{command} as {program}: {kept} kept, broken: {broken:?}, {took} s");
        let listed: BTreeSet<&str> =
            breaks.iter().map(|(promise, _)| *promise).collect();
        if broken != listed {
            wrong.push(format!(
                "{command} as {program} should break {listed:#?}, and breaks {failed:#?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_limit_is_judged_and_has_at_most_120_lines_of_code() {
    for file in fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        let mut stems = LIMITS.iter().filter_map(|it| it.command.split(' ').next());
        assert!(
            stems.any(|stem| stem == name(&path)),
            "{} is not judged",
            path.display()
        );
        let text = read(&path);
        let lines = text.lines().map(str::trim);
        let code = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
        let count = code.count();
        assert!(count <= LINES, "{} has {count} lines of code", path.display());
    }
}
