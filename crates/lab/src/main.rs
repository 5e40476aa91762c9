//! The classroom tool: `lab demo` plays the examples as a guided tour.

mod demo;
mod scene;
mod stage;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The classroom tool of "Network programming in Rust".
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plays the examples in lecture order: really runs the commands that it shows
    ///
    /// Between two scenes it waits for Enter when standard input is a terminal; q and
    /// Enter end it, as does Ctrl-C, and nothing that it started stays behind. Exit
    /// status 0 when all went as the scenes say, 1 when a program failed, hung or
    /// printed something else, 2 for a wrong argument.
    Demo {
        /// Crates to play, or the paths of scenes (demo.toml); all crates by default
        scenes: Vec<String>,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Demo { scenes } => demo::play(&scenes),
    }
}
