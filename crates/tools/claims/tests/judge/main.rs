//! The judge is judged: right programs pass, and wrong ones fail what they break and
//! nothing else. It takes minutes, so `make mutants` runs it, and `make test` does not.
#![cfg(unix)]

mod async_tcp_echo;
mod async_udp_echo;
#[path = "../examples/mod.rs"]
mod examples;
mod limits;
mod mqtt_temperature;
mod rabbitmq_routing;
mod rabbitmq_tasks;
mod rest_items;
#[allow(dead_code)] // The rest is for the rules.
#[path = "../source/mod.rs"]
mod source;
mod tcp_echo;
mod tcp_messages;
mod threaded_tcp_echo;
mod udp_echo;
mod ws_chat;
mod zeromq_patterns;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use source::{name, read, root};

/// What is judged of one example beside its own programs.
struct Fixtures {
    example: &'static str,
    /// Its programs with one thing changed.
    patches: &'static [Patch],
    /// Programs in tests/judged, written from the README alone.
    in_python: &'static [Python],
}

/// A program with one thing changed, and the promises that it then breaks.
struct Patch {
    program: &'static str,
    /// What is in its source, and what stands there instead.
    change: [&'static str; 2],
    breaks: &'static [&'static str],
}

const fn patch(
    program: &'static str,
    change: [&'static str; 2],
    breaks: &'static [&'static str],
) -> Patch {
    Patch { program, change, breaks }
}

struct Python {
    /// The program in whose place it runs.
    program: &'static str,
    file: &'static str,
    /// Promises of network.rs alone: it keeps all of lecture.rs. Without a list it is judged
    /// by lecture.rs only.
    breaks: Option<&'static [&'static str]>,
}

const fn python(
    program: &'static str,
    file: &'static str,
    breaks: &'static [&'static str],
) -> Python {
    Python { program, file, breaks: Some(breaks) }
}

const fn for_lecture(program: &'static str, file: &'static str) -> Python {
    Python { program, file, breaks: None }
}

/// The promises that fail with these programs in the places of ours, each with what the
/// judge says of it, and how many do not fail.
fn judge(
    example: &str,
    stage: &[&str],
    programs: &[(String, String)],
) -> (BTreeMap<String, String>, usize) {
    let mut judge = Command::new(examples::program("lab", "lab"));
    judge.args(["judge", example, "--json"]).args(stage).stderr(Stdio::inherit());
    for (name, command) in programs {
        judge.args(["--program", &format!("{name}={command}")]);
    }
    let judged = judge.output().unwrap();
    let verdict: Value = serde_json::from_slice(&judged.stdout).unwrap();
    assert!(verdict["problem"].is_null(), "{example}: {}", verdict["problem"]);
    let stages = verdict["stages"].as_array().unwrap().iter();
    let promises = stages.flat_map(|stage| stage["promises"].as_array().unwrap());
    let (passed, failed): (Vec<_>, Vec<_>) =
        promises.partition(|promise| promise["passed"] == true);
    let text = |it: &Value, name: &str| it[name].as_str().unwrap().to_string();
    let failed = failed.iter().map(|it| (text(it, "sentence"), text(it, "message")));
    (failed.collect(), passed.len())
}

/// A copy of an example outside the workspace, to be changed; it is built where the last
/// one was, so that its dependencies are built once.
fn copy(example: &str) -> PathBuf {
    let copy = root().join("target/mutants").join(example);
    fs::create_dir_all(copy.join("src/bin")).unwrap();
    let original = root().join("crates").join(example);
    for folder in ["", "src/bin"] {
        for file in fs::read_dir(original.join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.is_file() {
                let to = copy.join(folder).join(path.file_name().unwrap());
                fs::copy(&path, to).unwrap();
            }
        }
    }
    let manifest = read(&original.join("Cargo.toml")) + "\n[workspace]\n";
    fs::write(copy.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root().join("Cargo.lock"), copy.join("Cargo.lock")).unwrap();
    copy
}

/// Builds the program with its change; returns where it is.
fn build(example: &str, patch: &Patch, number: usize) -> PathBuf {
    let folder = copy(example);
    let source = folder.join(format!("src/bin/{}.rs", patch.program));
    let text = read(&source);
    let [old, new] = patch.change;
    assert_eq!(text.matches(old).count(), 1, "{}: '{old}'", patch.program);
    fs::write(&source, text.replace(old, new)).unwrap();
    let target = root().join("target/mutants/target");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "-q", "--bin", patch.program]).current_dir(&folder);
    cargo.env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", "-Awarnings");
    assert!(cargo.status().unwrap().success(), "{}: '{new}'", patch.program);
    let built = target.join(format!("{number}-{}", patch.program));
    fs::copy(target.join("debug").join(patch.program), &built).unwrap();
    built
}

impl Fixtures {
    /// Each program gets its verdict.
    fn judge(&self) {
        let mut wrong = Vec::new();
        let mut expect = |what: &str,
                          breaks: Option<&[&str]>,
                          programs: &[(String, String)]| {
            let stage =
                if breaks.is_none() { &["--stage", "lecture"][..] } else { &[] };
            let begin = Instant::now();
            let (failed, passed) = judge(self.example, stage, programs);
            let took = begin.elapsed().as_secs();
            let example = self.example;
            let broken: BTreeSet<&str> = failed.keys().map(String::as_str).collect();
            println!(
                "{example}: {what}: {passed} kept, broken: {broken:?}, {took} s"
            );
            if broken != breaks.iter().copied().flatten().copied().collect() {
                wrong.push(format!("{what} breaks {failed:#?}"));
            }
        };
        expect("our programs", Some(&[]), &our_programs(self.example));
        for Python { program, file, breaks } in self.in_python {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judged");
            let command =
                format!("{} {}", interpreter(), folder.join(file).display());
            expect(file, *breaks, &[(program.to_string(), command)]);
        }
        for (number, patch) in self.patches.iter().enumerate() {
            let built = build(self.example, patch, number).display().to_string();
            let what = format!("{} with '{}'", patch.program, patch.change[1]);
            expect(&what, Some(patch.breaks), &[(patch.program.to_string(), built)]);
        }
        assert!(wrong.is_empty(), "{}:\n{}", self.example, wrong.join("\n"));
    }
}

/// A Python that has the libraries which the programs in tests/judged use.
fn interpreter() -> String {
    const PACKAGES: [&str; 4] =
        ["websockets==17.4", "paho-mqtt==2.2.0", "pika==1.4.4", "pyzmq==27.3.0"];
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("judged");
    brokers::python::environment(&folder, &PACKAGES).unwrap().display().to_string()
}

fn our_programs(example: &str) -> Vec<(String, String)> {
    let folder = root().join("crates").join(example).join("src/bin");
    let paths = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let program = |path: PathBuf| {
        let built = examples::program(example, name(&path));
        (name(&path).to_string(), built.display().to_string())
    };
    paths.map(program).collect()
}
