//! The limits within which somebody else's program runs. They are no sandbox.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Error;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};

/// A variable in the environment of everything that a judged program starts.
const MARK: &str = "NETWORK_PROGRAMMING_JUDGE";

const MEMORY: u64 = 2 << 30;
const FILE: u64 = 256 << 20;
const SECONDS: u64 = 120;
/// Threads included, beyond those that run already.
const PROCESSES: u64 = 256;

#[derive(clap::Args)]
pub struct Limited {
    /// Where it runs
    #[arg(long)]
    folder: PathBuf,
    /// The command
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Becomes the command, within the limits. Returns only if that fails.
pub fn run_limited(limited: &Limited) -> Error {
    let limits = [
        (Resource::Data, MEMORY),
        (Resource::Fsize, FILE),
        (Resource::Cpu, SECONDS),
        (Resource::Core, 0),
        (Resource::Nproc, running() + PROCESSES),
    ];
    for (resource, most) in limits {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        // Where less is allowed already, that holds.
        let _ = setrlimit(resource, limit);
    }
    let mut command = Command::new(&limited.command[0]);
    let error =
        command.args(&limited.command[1..]).current_dir(&limited.folder).exec();
    Error::new(error).context(format!("cannot start {}", limited.command[0]))
}

/// The threads that run now: those are what Linux counts against the limit.
fn running() -> u64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let threads = processes.map(|process| fs::read_dir(process.path().join("task")));
    match threads.flatten().map(|threads| threads.count() as u64).sum() {
        0 => 1024, // Other systems have no /proc, and count processes.
        threads => threads,
    }
}

/// Nothing of a judged program outlives this value, as far as /proc shows it: neither
/// what it started, nor what left its process group.
pub struct Marked {
    mark: String,
}

impl Marked {
    pub fn new() -> Marked {
        Marked { mark: std::process::id().to_string() }
    }

    /// The variable and its value.
    pub fn variable(&self) -> (&'static str, &str) {
        (MARK, &self.mark)
    }

    /// Ends whatever bears the mark.
    pub fn sweep(&self) {
        let wanted = format!("{MARK}={}", self.mark);
        let is_marked = |pid: &i32| {
            let environment =
                fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|entry| entry == wanted.as_bytes())
        };
        // One that is about to start another may be missed the first time.
        for _ in 0..3 {
            let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
            let names = entries.map(|entry| entry.file_name());
            let pids = names.filter_map(|name| name.to_str()?.parse().ok());
            for process in pids.filter(is_marked).filter_map(Pid::from_raw) {
                // It may have ended meanwhile.
                let _ = kill_process(process, Signal::KILL);
            }
        }
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        self.sweep();
    }
}
