//! The machine of the run. The commit determines the versions of the libraries.

use std::ffi::OsStr;
use std::process::Command;
use std::{fs, thread};

use brokers::Kind;

use crate::program::ROOT;
use crate::report::Machine;

pub fn describe() -> Machine {
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.unwrap_or("unknown processor");
    let mosquitto = Kind::Mosquitto.find().unwrap_or_default();
    let commit = ["-C", ROOT, "describe", "--always", "--dirty"];
    let versions = [
        ("commit", first_line("git", &commit)),
        ("Rust", first_line("rustc", &["--version"])),
        ("C compiler", first_line("cc", &["--version"])),
        ("Python", first_line("python3", &["--version"])),
        ("Mosquitto", first_line(mosquitto, &["-h"])),
        ("RabbitMQ", first_line("rabbitmqctl", &["version"])),
    ];
    Machine {
        date: first_line("date", &["+%F"]),
        processor: model.trim_start_matches(['\t', ':', ' ']).to_string(),
        cores: thread::available_parallelism().map_or(0, usize::from),
        kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        versions: versions.map(|(name, version)| (name.into(), version)).to_vec(),
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The first line that a program prints; empty if it is missing.
fn first_line(program: impl AsRef<OsStr>, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_string()
}
