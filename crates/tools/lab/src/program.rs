//! The programs of a scene: started, listened to, and ended whatever happens.

use std::collections::VecDeque;
use std::io::Write;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use brokers::{Process, Signal, signal_of};

use crate::{scene, terminal};

/// How long a program may take to end when it is asked to.
pub const ENDING: Duration = Duration::from_secs(5);
/// How long after a program's end its output is waited for: somebody may still have it.
pub const REST: Duration = Duration::from_millis(500);
/// Lines that are kept to be compared with what the scene expects, and their bytes.
const MOST_LINES: usize = 10_000;
const MOST_BYTES: usize = 1 << 20;
/// Lines that are kept to be shown when the scene fails.
const LAST_LINES: usize = 10;

/// What a scene waits for.
pub enum Event {
    /// A program, by its place on the stage, printed a line.
    Line(usize, String),
    /// A program's output has ended.
    Closed(usize),
    /// Something crossed between the programs.
    Crossing(String),
}

pub struct Program {
    pub name: String,
    process: Process,
    /// What was not yet compared with what the scene expects. A program that prints
    /// without end pushes its own oldest lines out.
    waiting: VecDeque<String>,
    bytes: usize,
    /// The end of what it printed.
    pub last: VecDeque<String>,
    closed: bool,
    exited: Option<Instant>,
    /// Whether it was asked to end on stage.
    pub interrupted: bool,
    /// Whether its end was part of the scene.
    pub finished: bool,
}

impl Program {
    /// Starts a command, which then tells its events by its place on the stage.
    pub fn start(
        name: &str,
        command: &str,
        has_input: bool,
        place: usize,
        events: SyncSender<Event>,
    ) -> Result<Program> {
        let words = shell_words::split(command)
            .with_context(|| format!("cannot understand the command: {command}"))?;
        ensure!(!words.is_empty(), "a command is empty");
        let mut process = Command::new(&words[0]);
        process.args(&words[1..]).current_dir(scene::root());
        // A draft that panics says where. The calls that led there say nothing to a class.
        process.env("RUST_BACKTRACE", "0");
        process.stdin(if has_input { Stdio::piped() } else { Stdio::null() });
        process.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::start(&mut process)
            .with_context(|| format!("cannot start: {command}"))?;
        // The queue is bounded, so a program that prints faster than it is read waits.
        // Nobody listens any more when the scene is over.
        process.read_lines(move |line| {
            let _ = events.send(match line {
                Some(line) => Event::Line(place, line),
                None => Event::Closed(place),
            });
        });
        Ok(Program {
            name: name.to_string(),
            process,
            waiting: VecDeque::new(),
            bytes: 0,
            last: VecDeque::new(),
            closed: false,
            exited: None,
            interrupted: false,
            finished: false,
        })
    }

    pub fn type_line(&mut self, line: &str) -> Result<()> {
        let input = self.process.input().context("it takes no input")?;
        writeln!(input, "{line}")
            .with_context(|| format!("cannot type into {}", self.name))
    }

    pub fn keep(&mut self, line: String) {
        self.last.push_back(line.clone());
        if self.last.len() > LAST_LINES {
            self.last.pop_front();
        }
        self.bytes += line.len();
        self.waiting.push_back(line);
        while self.waiting.len() > MOST_LINES || self.bytes > MOST_BYTES {
            self.take_line();
        }
    }

    /// The next line that was not yet compared with what the scene expects.
    pub fn take_line(&mut self) -> Option<String> {
        let line = self.waiting.pop_front()?;
        self.bytes -= line.len();
        Some(line)
    }

    pub fn has_waiting_lines(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Takes note of its end.
    pub fn look(&mut self) -> Result<()> {
        if self.exited.is_none() && self.process.try_wait()?.is_some() {
            self.exited = Some(Instant::now());
        }
        Ok(())
    }

    /// Whether nothing more will come of it.
    pub fn has_ended(&self) -> bool {
        self.closed || self.exited.is_some_and(|exited| exited.elapsed() > REST)
    }

    /// Asks the program to end, as Ctrl-C does.
    pub fn interrupt(&self) {
        terminal::interrupt(&self.process);
    }

    /// Ends the program, and all that it started, as a power cut would.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Waits for the end of a program that has closed its output or was asked to end.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let status = self.process.wait(patience)?;
        self.finished = status.is_some();
        status.with_context(|| format!("{} does not end", self.name))
    }
}

/// Whether a program ended as one may that was asked to: well, or by the signal itself.
pub fn is_orderly(status: ExitStatus) -> bool {
    status.success() || signal_of(status) == Some(Signal::INT)
}
