//! What the figures were measured on.

use std::path::Path;
use std::process::Command;
use std::{fs, thread};

use crate::program::here;
use crate::report::Machine;

/// The crates that do the examples' work, as the lock file has them.
const CRATES: [&str; 7] = [
    "socket2",
    "tokio",
    "hyper",
    "tokio-tungstenite",
    "paho-mqtt",
    "amqprs",
    "zeromq",
];

/// Describes this machine, and what is installed here or, of Python, for this alone.
pub fn describe(python: Option<&Path>, packages: &[&str]) -> Machine {
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.unwrap_or("unknown processor");
    let mut versions = Vec::new();
    for (name, program) in [("Rust", "rustc"), ("C compiler", "cc")] {
        versions.push((name.to_string(), first_line(program, "--version")));
    }
    versions.push(("Mosquitto".into(), first_line("mosquitto", "-h")));
    let lock = read(&here("../../Cargo.lock").to_string_lossy());
    versions.extend(CRATES.map(|name| (name.to_string(), locked(&lock, name))));
    if let Some(python) = python {
        let version = first_line(&python.to_string_lossy(), "--version");
        versions.push(("Python".into(), version));
        let packages = packages.iter().filter_map(|package| package.split_once("=="));
        versions
            .extend(packages.map(|(name, version)| (name.into(), version.into())));
    }
    Machine {
        date: first_line("date", "+%F"),
        processor: model.trim_start_matches(['\t', ':', ' ']).to_string(),
        cores: thread::available_parallelism().map_or(0, usize::from),
        kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        versions,
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What a program says of itself; nothing if it is not there.
fn first_line(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&output);
    text.lines().next().unwrap_or_default().to_string()
}

fn locked(lock: &str, name: &str) -> String {
    let package = format!("name = \"{name}\"\nversion = \"");
    let version =
        lock.split_once(&package).and_then(|(_, rest)| rest.split_once('"'));
    version.map(|(version, _)| version.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crates_version_is_the_lock_files() {
        let lock = "[[package]]\nname = \"tokio\"\nversion = \"1.54.1\"\n";
        assert_eq!(locked(lock, "tokio"), "1.54.1");
        assert_eq!(locked(lock, "hyper"), "");
    }

    #[test]
    fn a_program_that_is_missing_has_no_version() {
        assert_eq!(first_line("/no/such", "--version"), "");
    }
}
