//! The classroom tool: `lab demo` plays the examples as a guided tour, `lab brokers`
//! starts the brokers that some of them need.

mod backstage;
mod demo;
mod scene;
mod serve;
mod stage;

use std::process::ExitCode;

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
    /// printed something else, or a scene had to be left out; 2 for a wrong argument.
    Demo {
        /// Crates to play, or the paths of scenes (demo.toml); all crates by default
        scenes: Vec<String>,
        /// Shows every message that crosses between a server, or a broker, and the others
        ///
        /// The others are sent to a wiretap that passes on what they send.
        #[arg(long)]
        wire: bool,
    },
    /// Starts a private Mosquitto and a private RabbitMQ, and ends them
    ///
    /// Both listen on 127.0.0.1 only, keep what they write in a folder of their own,
    /// and leave nothing behind. Without a command they have the standard ports, 1883
    /// and 5672, until Ctrl-C; a port that is taken is left alone. With a command they
    /// have any free ports, and the command finds them in MQTT_URL and AMQP_URL; of
    /// these the one that is set already is used as it is. Exit status: the command's;
    /// 1 when a broker could not be started, and the end of its log is shown.
    Brokers {
        /// What to run with MQTT_URL and AMQP_URL set, after `--`
        #[arg(last = true)]
        command: Vec<String>,
    },
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().command {
        Command::Demo { scenes, wire } => {
            demo::play(&scenes, wire).map(|()| ExitCode::SUCCESS)
        }
        Command::Brokers { command } => serve::serve(&command).map(ExitCode::from),
    }
}
