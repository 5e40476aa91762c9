//! A process that cannot be forgotten, and what it prints.

use std::os::windows::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus};
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use windows_sys::Win32::Foundation::STATUS_CONTROL_C_EXIT;
use windows_sys::Win32::System::Console::{
    AttachConsole, CTRL_C_EVENT, FreeConsole, GenerateConsoleCtrlEvent,
    SetConsoleCtrlHandler,
};
use windows_sys::Win32::System::Threading::CREATE_NO_WINDOW;

use crate::job::Job;
use crate::{lifeline, lines};

/// How often a process that is waited for is asked whether it has ended.
const LOOK: Duration = Duration::from_millis(2);

/// How long the end of a process may take that cannot be added to a job.
const ENDING: Duration = Duration::from_secs(1);

/// Windows has no signals but Ctrl-C, for all programs at a console: see `interrupt`. The
/// others end a program at once.
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
    /// Starts a command at a console of its own, which has no window: Ctrl-C at the
    /// console of this process does not reach it.
    pub fn start(command: &mut Command) -> io::Result<Process> {
        Process::start_at_the_terminal(command.creation_flags(CREATE_NO_WINDOW))
    }

    /// Starts a command at this console, where Ctrl-C reaches it.
    pub fn start_at_the_terminal(command: &mut Command) -> io::Result<Process> {
        // What the program starts before it belongs to the job ends at the latest with
        // this process.
        lifeline::tie()?;
        let (job, child) = (Job::new()?, command.spawn()?);
        let mut process = Process { child, job, status: None };
        // One that has ended already belongs to no job any more.
        match process.job.add(&process.child) {
            Err(error) if process.wait(ENDING)?.is_none() => Err(error),
            _ => Ok(process),
        }
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

/// Presses Ctrl-C at the console of another process. A process has one console only, and
/// this one gives its own up: it is for a helper that does nothing else.
pub fn interrupt(process: u32) -> io::Result<()> {
    // SAFETY: none of these has a pointer but the null one, which means Ctrl-C itself.
    let results = unsafe {
        FreeConsole();
        let attached = AttachConsole(process);
        // Not for this process, which is at that console too now.
        SetConsoleCtrlHandler(None, 1);
        [attached, GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0)]
    };
    if results.contains(&0) { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What was ended from outside, as far as an exit status can tell.
pub fn signal_of(status: ExitStatus) -> Option<Signal> {
    [Some(1), Some(STATUS_CONTROL_C_EXIT)]
        .contains(&status.code())
        .then_some(Signal::INT)
}
