//! A process that cannot be forgotten, and what it prints.

use std::fmt;
use std::io;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use crate::job::Job;
use crate::{lifeline, lines};

/// How often a process that is waited for is asked whether it has ended.
const LOOK: Duration = Duration::from_millis(2);

/// Windows has no signals that could be sent to a program without a console of its own:
/// each of them ends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signal(i32);

impl Signal {
    pub const INT: Signal = Signal(2);
    pub const KILL: Signal = Signal(9);
    pub const TERM: Signal = Signal(15);

    pub fn as_raw(self) -> i32 {
        self.0
    }
}

/// A running program and all that it starts: a job. It is killed when this value is
/// dropped, and when this process ends in any way.
pub struct Process {
    child: Child,
    job: Job,
    status: Option<ExitStatus>,
}

impl Process {
    pub fn start(command: &mut Command) -> io::Result<Process> {
        // What the program starts before it belongs to the job ends at the latest with
        // this process.
        lifeline::tie()?;
        let (job, child) = (Job::new()?, command.spawn()?);
        let process = Process { child, job, status: None };
        process.job.add(&process.child)?;
        Ok(process)
    }

    /// Ctrl-C reaches every program at the console.
    pub fn start_at_the_terminal(command: &mut Command) -> io::Result<Process> {
        Process::start(command)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The pipe into its standard input, if the command asked for one.
    pub fn input(&mut self) -> Option<&mut ChildStdin> {
        self.child.stdin.as_mut()
    }

    /// The pipe of its standard output, once, for somebody who reads it without
    /// `read_lines`.
    pub fn take_output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Reads standard output and standard error to their ends, in threads: a program
    /// that nobody reads would stop when the pipe is full. Each line is told as it
    /// comes, and None once both have ended. The bytes need not be UTF-8.
    pub fn read_lines(
        &mut self,
        tell: impl FnMut(Option<String>) + Clone + Send + 'static,
    ) {
        lines::read(self.child.stdout.take(), self.child.stderr.take(), tell);
    }

    pub fn signal(&self, _signal: Signal) {
        self.kill();
    }

    pub fn kill(&self) {
        self.job.kill();
    }

    /// How it ended, if it has. What it started and left behind ends with it.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
            if self.status.is_some() {
                self.kill();
            }
        }
        Ok(self.status)
    }

    /// Waits for its end for at most so long.
    pub fn wait(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + patience;
        while self.try_wait()?.is_none() && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
        Ok(self.status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // In case it did not come to belong to the job.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "process {}", self.child.id())
    }
}

/// What was ended from outside, as far as an exit status can tell.
pub fn signal_of(status: ExitStatus) -> Option<Signal> {
    (status.code() == Some(1)).then_some(Signal::INT)
}
