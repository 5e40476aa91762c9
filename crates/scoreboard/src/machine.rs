//! What the figures were measured on: without it they mean nothing elsewhere.

use std::process::Command;
use std::{fs, thread};

pub fn describe() -> String {
    let kernel = read("/proc/sys/kernel/osrelease");
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model =
        model.unwrap_or("unknown processor").trim_start_matches(['\t', ':', ' ']);
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let rustc = output("rustc").unwrap_or("unknown rustc".into());
    let cc = output("cc").unwrap_or("no C compiler".into());
    format!("{cores} cores of {model}, Linux {}, {rustc}, {cc}", kernel.trim())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn output(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(str::to_string)
}
