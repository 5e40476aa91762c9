//! The programs of a scene: started, listened to, and ended whatever happens.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use brokers::lifeline;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
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
    /// One of a program's two output streams ended.
    Closed(usize),
    /// Somebody typed a line.
    Typed(String),
    /// Ctrl-C, or the terminal was closed.
    Interrupted,
}

pub struct Program {
    pub name: String,
    child: Child,
    /// All that it printed.
    pub lines: Vec<String>,
    /// How many of the lines were compared with what the scene expects.
    compared: usize,
    /// How many lines were printed since the current step began.
    pub shown: usize,
    /// Output streams that are still open.
    streams: usize,
    /// How it ended, once that is known.
    status: Option<ExitStatus>,
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
        process.process_group(0);
        let mut child =
            process.spawn().with_context(|| format!("cannot start: {command}"))?;
        lifeline::started(-child.id().cast_signed())?;
        listen(child.stdout.take().context("no output")?, index, events.clone());
        listen(child.stderr.take().context("no output")?, index, events.clone());
        Ok(Program {
            name: name.to_string(),
            child,
            lines: Vec::new(),
            compared: 0,
            shown: 0,
            streams: 2,
            status: None,
        })
    }

    pub fn type_line(&mut self, line: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().context("it takes no input")?;
        let typed = writeln!(input, "{line}");
        typed.with_context(|| format!("cannot type into {}", self.name))
    }

    /// The next line that was not yet compared with what the scene expects.
    pub fn next_line(&mut self) -> Option<String> {
        let line = self.lines.get(self.compared).cloned();
        self.compared += usize::from(line.is_some());
        line
    }

    pub fn close_stream(&mut self) {
        self.streams -= 1;
    }

    /// A program whose output has ended prints nothing more: all its lines are here.
    pub fn has_ended(&self) -> bool {
        self.streams == 0
    }

    /// Whether its exit status has been asked for.
    pub fn is_finished(&self) -> bool {
        self.status.is_some()
    }

    /// Asks the program to end, as Ctrl-C does.
    pub fn interrupt(&mut self) {
        self.signal(Signal::SIGINT);
    }

    /// Waits for the end of a program that has closed its output or was asked to end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + ENDING;
        loop {
            if let Some(status) = self.status {
                return Ok(status);
            }
            if let Some(status) = self.child.try_wait()? {
                // What it started and left behind ends now.
                self.kill();
                self.status = Some(status);
                lifeline::ended(-self.child.id().cast_signed())?;
            }
            ensure!(Instant::now() < deadline, "{} does not end", self.name);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends the program, and all that it started, as a power cut would.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
    }

    /// Signals the program and all that it started, until it is known to have ended:
    /// from then on its number may be another's.
    fn signal(&mut self, signal: Signal) {
        if self.status.is_none() {
            // A group that has ended already is what was asked for.
            let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), signal);
        }
    }
}

/// Nothing outlives the demo: neither the program nor what it started.
impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

/// Whether a program ended as one may that was asked to: well, or by the signal
/// itself.
pub fn is_orderly(status: ExitStatus) -> bool {
    status.success() || status.signal() == Some(Signal::SIGINT as i32)
}

/// Passes on each line that a program prints; its bytes need not be UTF-8.
fn listen(stream: impl Read + Send + 'static, index: usize, events: Sender<Event>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_string();
            // Nobody listens any more when the demo is over.
            let _ = events.send(Event::Line(index, text));
            line.clear();
        }
        let _ = events.send(Event::Closed(index));
    });
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
