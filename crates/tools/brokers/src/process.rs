//! A process that cannot be forgotten, and what it prints.

use std::fmt;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};

use crate::{lifeline, lines};

/// How often a process that is waited for is asked whether it has ended.
const LOOK: Duration = Duration::from_millis(2);

/// A running program and all that it starts: its process group. It is killed when this
/// value is dropped, and when this process ends in any way.
pub struct Process {
    child: Child,
    pid: Pid,
    /// Whether it leads a process group of its own, all of which is meant then.
    leads: bool,
    /// How it ended, once that is known. From then on its number may be another's.
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts a command in a process group of its own: Ctrl-C at the terminal does not
    /// reach it.
    pub fn start(command: &mut Command) -> io::Result<Process> {
        let _spawning = lifeline::spawning()?;
        Process::guard(command.process_group(0).spawn()?, true)
    }

    /// Starts a command that may use the terminal, where Ctrl-C reaches it. What it
    /// starts itself is its own affair.
    pub fn start_at_the_terminal(command: &mut Command) -> io::Result<Process> {
        let _spawning = lifeline::spawning()?;
        Process::guard(command.spawn()?, false)
    }

    fn guard(child: Child, leads: bool) -> io::Result<Process> {
        let process =
            Process { pid: Pid::from_child(&child), child, leads, status: None };
        lifeline::started(process.target())?;
        Ok(process)
    }

    /// How the lifeline knows it: a negative number is a process group.
    fn target(&self) -> i32 {
        let id = self.child.id().cast_signed();
        if self.leads { -id } else { id }
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

    /// Signals the program and all that it started, unless it is known to have ended.
    pub fn signal(&self, signal: Signal) {
        if self.leads && self.status.is_none() {
            // One that has ended already needs no signal.
            let _ = kill_process_group(self.pid, signal);
        } else {
            self.signal_alone(signal);
        }
    }

    /// Signals the program, and not what it started: RabbitMQ fails when its helpers end
    /// before it does.
    pub fn signal_alone(&self, signal: Signal) {
        if self.status.is_none() {
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Ends it as a power cut would.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// How it ended, if it has. What it started and left behind ends with it.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.look(WaitIdOptions::NOHANG)?;
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

    /// Looks for its end without taking note of it: until its number is given back it
    /// cannot be another's, so the rest of its group can be killed by that number.
    fn look(&mut self, options: WaitIdOptions) -> io::Result<()> {
        if self.status.is_some() {
            return Ok(());
        }
        let options = options | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        if waitid(WaitId::Pid(self.pid), options)?.is_some() {
            self.kill();
            lifeline::ended(self.target())?;
            self.status = Some(self.child.wait()?);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // There is nobody left to tell of an error.
        let _ = self.look(WaitIdOptions::empty());
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "process {}", self.child.id())
    }
}

/// The signal that ended a program, if one did.
pub fn signal_of(status: ExitStatus) -> Option<Signal> {
    Signal::from_named_raw(status.signal()?)
}
