//! The programs of a scene: started, listened to, and ended whatever happens.

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use brokers::{Process, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::scene;

/// How long a program may take to end when it is asked to.
pub const ENDING: Duration = Duration::from_secs(5);

/// What the demo waits for. Every source of events has a thread of its own.
pub enum Event {
    /// A program, by its place on the stage, printed a line.
    Line(usize, String),
    /// Something crossed between the programs.
    Wire(String),
    /// A program's output has ended.
    Closed(usize),
    /// Somebody typed a line.
    Typed(String),
    /// Ctrl-C, or the terminal was closed.
    Interrupted,
}

pub struct Program {
    pub name: String,
    process: Process,
    /// All that it printed.
    pub lines: Vec<String>,
    /// How many of the lines were compared with what the scene expects.
    compared: usize,
    /// How many lines were printed since the current step began.
    pub shown: usize,
    /// Whether its output has ended.
    closed: bool,
    /// Whether its exit status has been asked for.
    finished: bool,
}

impl Program {
    /// Starts a command in a process group of its own: Ctrl-C at the terminal then
    /// reaches the demo alone, which ends the programs in order.
    pub fn start(
        name: &str,
        command: &str,
        has_input: bool,
        index: usize,
        events: &Sender<Event>,
    ) -> Result<Program> {
        let words = shell_words::split(command)
            .with_context(|| format!("cannot understand the command: {command}"))?;
        ensure!(!words.is_empty(), "a command is empty");
        let mut process = Command::new(&words[0]);
        process.args(&words[1..]).current_dir(scene::root());
        process.stdin(if has_input { Stdio::piped() } else { Stdio::null() });
        process.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::start(&mut process)
            .with_context(|| format!("cannot start: {command}"))?;
        let events = events.clone();
        // Nobody listens any more when the demo is over.
        process.read_lines(move |line| {
            let _ = events.send(match line {
                Some(line) => Event::Line(index, line),
                None => Event::Closed(index),
            });
        });
        Ok(Program {
            name: name.to_string(),
            process,
            lines: Vec::new(),
            compared: 0,
            shown: 0,
            closed: false,
            finished: false,
        })
    }

    pub fn type_line(&mut self, line: &str) -> Result<()> {
        let input = self.process.input().context("it takes no input")?;
        let typed = writeln!(input, "{line}");
        typed.with_context(|| format!("cannot type into {}", self.name))
    }

    /// The next line that was not yet compared with what the scene expects.
    pub fn next_line(&mut self) -> Option<String> {
        let line = self.lines.get(self.compared).cloned();
        self.compared += usize::from(line.is_some());
        line
    }

    pub fn close(&mut self) {
        self.closed = true;
    }

    /// A program whose output has ended prints nothing more: all its lines are here.
    pub fn has_ended(&self) -> bool {
        self.closed
    }

    /// Whether its exit status has been asked for.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Asks the program to end, as Ctrl-C does.
    pub fn interrupt(&mut self) {
        self.process.signal(Signal::INT);
    }

    /// Waits for the end of a program that has closed its output or was asked to end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.process.wait(ENDING)?;
        self.finished = status.is_some();
        status.with_context(|| format!("{} does not end", self.name))
    }

    /// Ends the program, and all that it started, as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

/// Whether a program ended as one may that was asked to: well, or by the signal
/// itself.
pub fn is_orderly(status: ExitStatus) -> bool {
    status.success() || status.signal() == Some(SIGINT)
}

/// Passes on Ctrl-C, and what is typed if somebody sits at a terminal.
pub fn listen_to_the_audience(events: &Sender<Event>, watched: bool) -> Result<()> {
    let (typing, interrupting) = (events.clone(), events.clone());
    if watched {
        thread::spawn(move || {
            for line in io::stdin().lines().map_while(Result::ok) {
                let _ = typing.send(Event::Typed(line));
            }
            // Ctrl-D, the end of the input, is a wish to end as well.
            let _ = typing.send(Event::Interrupted);
        });
    }
    on_signal(move |_| drop(interrupting.send(Event::Interrupted)))
}

/// Calls this, in a thread, for each Ctrl-C (SIGINT), SIGTERM and SIGHUP (the terminal
/// was closed), none of which then ends this process by itself.
pub fn on_signal(act: impl Fn(i32) + Send + 'static) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::spawn(move || signals.forever().for_each(act));
    Ok(())
}
