//! What the figures were measured on.

use std::ffi::OsStr;
use std::process::Command;
use std::{fs, thread};

use brokers::Kind;

use crate::program::{PACKAGES, Programs, here};
use crate::report::Machine;

/// The crates that do the work of the examples and of their limits, as the lock file has
/// them.
const CRATES: [&str; 9] = [
    "socket2",
    "tokio",
    "hyper",
    "tokio-tungstenite",
    "paho-mqtt",
    "amqprs",
    "zeromq",
    "axum",
    "lapin",
];

/// Describes this machine, and what is installed on it or, of Python, for this alone.
pub fn describe(programs: &Programs) -> Machine {
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.unwrap_or("unknown processor");
    Machine {
        date: first_line("date", "+%F"),
        processor: model.trim_start_matches(['\t', ':', ' ']).to_string(),
        cores: thread::available_parallelism().map_or(0, usize::from),
        kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        versions: versions(programs),
    }
}

fn versions(programs: &Programs) -> Vec<(String, String)> {
    let mosquitto = Kind::Mosquitto.find().unwrap_or_default();
    let mut versions = vec![
        ("Rust".to_string(), first_line("rustc", "--version")),
        ("C compiler".to_string(), first_line("cc", "--version")),
        ("Mosquitto".to_string(), first_line(mosquitto, "-h")),
    ];
    let lock = read(&here("../../../Cargo.lock").to_string_lossy());
    versions
        .extend(CRATES.map(|name| (format!("crate {name}"), locked(&lock, name))));
    if let Ok(python) = &programs.python {
        versions.push(("Python".to_string(), first_line(python, "--version")));
        let packages = PACKAGES.iter().filter_map(|package| package.split_once("=="));
        let named =
            packages.map(|(name, it)| (format!("Python's {name}"), it.into()));
        versions.extend(named);
    }
    versions
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What a program says of itself; nothing if it is not there.
fn first_line(program: impl AsRef<OsStr>, argument: &str) -> String {
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
}
