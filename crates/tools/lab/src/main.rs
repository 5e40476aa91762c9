//! The classroom tool: `lab demo` plays the examples as a guided tour, `lab classroom`
//! opens the chat to a class, `lab brokers` starts the brokers that some of them need.

mod audience;
mod backstage;
mod classroom;
mod deck;
mod fold;
mod judge;
mod performance;
mod places;
mod program;
mod record;
mod scene;
mod screen;
mod serve;
mod stage;
#[cfg_attr(windows, path = "terminal_windows.rs")]
mod terminal;
mod tour;
mod warm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

use crate::tour::Options;

/// The classroom tool of "Network programming in Rust".
#[derive(Parser)]
#[command(bin_name = "cargo lab")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Plays the examples in lecture order: really runs the commands that it shows
    ///
    /// At a terminal you lead: Enter runs the next step, s skips the scene, r plays it
    /// again, b goes back one scene, q ends the tour, ? lists the keys. Without a
    /// terminal it plays straight through. Ctrl-C ends everything at once. Exit status
    /// 0 when all went as the scenes say; 1 when a program failed, hung or printed
    /// something else, or a scene had to be left out; 2 for a wrong argument.
    Demo(Options),
    /// Judges a program, in any language, by the tests of an example
    ///
    /// The command runs in the place of the example's program. Its contract is in the
    /// example's README. Prints for each promise whether it is kept, and if not what was
    /// expected and what happened. Exit status 0 when all are kept, 1 when one is not or
    /// the program does not start; 2 for a wrong argument.
    ///
    /// A program has bounds on memory, processor time, processes and the size of files,
    /// and nothing of it outlives the judge. This is no sandbox: the program can do what
    /// you can. For strangers' programs use a container, such as
    /// docker run --rm --network none -v "$PWD:/work" -w /work IMAGE cargo lab judge ...
    Judge(judge::Arguments),
    /// Becomes a command, within the limits of a program that is judged
    #[command(hide = true)]
    Limited(judge::Limited),
    /// Presses Ctrl-C at the console of a process
    #[cfg(windows)]
    #[command(hide = true)]
    Interrupt { process: u32 },
    /// Opens the chat of `ws-chat` to the local network, for a classroom's phones
    ///
    /// Says what becomes reachable and asks for Enter, then shows the address, also as a
    /// QR code, and who comes and goes. Ctrl-C ends it and says how many took part. No
    /// other command listens on more than this machine's own 127.0.0.1. Exit status 1
    /// when there is no network, no consent, or the chat cannot start.
    Classroom(classroom::Arguments),
    /// Starts a private Mosquitto and a private RabbitMQ, and ends them
    ///
    /// Both listen on 127.0.0.1 only, keep what they write in a folder of their own,
    /// and leave nothing behind. Without a command they have the standard ports, 1883
    /// and 5672, until Ctrl-C; a port that is taken is left alone. With a command they
    /// have any free ports, and the command finds them in MQTT_URL and AMQP_URL; of
    /// these the one that is set already is used as it is. Exit status: the command's;
    /// 1 when a broker could not be started or has died, and the end of its log is
    /// shown.
    Brokers {
        /// What to run with MQTT_URL and AMQP_URL set, after `--`
        #[arg(last = true)]
        command: Vec<String>,
    },
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().command {
        Some(Command::Judge(arguments)) => judge::judge(&arguments)
            .map(|passed| if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        Some(Command::Limited(limited)) => Err(judge::run_limited(&limited)),
        #[cfg(windows)]
        Some(Command::Interrupt { process }) => {
            Ok(brokers::interrupt(process).map(|()| ExitCode::SUCCESS)?)
        }
        Some(Command::Demo(options)) => {
            let result = tour::run(&options);
            // What Ctrl-C made fail is not to be told.
            audience::stay_if_leaving();
            result
        }
        Some(Command::Classroom(arguments)) => {
            classroom::run(&arguments).map(|()| ExitCode::SUCCESS)
        }
        Some(Command::Brokers { command }) => {
            serve::serve(&command).map(ExitCode::from)
        }
        None => {
            Arguments::command().print_help()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
