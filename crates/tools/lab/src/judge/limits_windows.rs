//! Windows' jobs end what somebody else's program has started. Its memory, its files and
//! its time are not limited here.

use std::path::PathBuf;
use std::process::{self, Command};

use anyhow::Error;
use brokers::lifeline;

#[derive(clap::Args)]
pub struct Limited {
    /// Where it runs
    #[arg(long)]
    folder: PathBuf,
    /// The command
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Runs the command, and ends as it does. Returns only if it cannot be started. Who kills
/// this process means the command: it ends too.
pub fn run_limited(limited: &Limited) -> Error {
    if let Err(error) = lifeline::tie() {
        return error.into();
    }
    let mut command = Command::new(&limited.command[0]);
    let status =
        command.args(&limited.command[1..]).current_dir(&limited.folder).status();
    match status {
        Ok(status) => process::exit(status.code().unwrap_or(1)),
        Err(error) => {
            Error::new(error).context(format!("cannot start {}", limited.command[0]))
        }
    }
}

/// What marks a judged program and all that it starts. Here they belong to a job, which
/// ends with this process.
pub struct Marked;

impl Marked {
    pub fn new() -> Marked {
        Marked
    }

    /// The variable and its value.
    pub fn variable(&self) -> (&'static str, &str) {
        ("NETWORK_PROGRAMMING_JUDGE", "")
    }

    pub fn sweep(&self) {}
}
