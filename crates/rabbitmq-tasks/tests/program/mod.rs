//! Runs a program as a person at a terminal would, with a bound on every wait.
//!
//! The same file in every example crate, so that a copied crate brings it along.
#![allow(dead_code)] // No test uses all of it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// The longest that a test waits for anything. A healthy program takes milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. It is killed when this value is dropped, so also when a test
/// fails.
pub struct Program {
    child: Child,
    printing: Receiver<Line>,
    printed: Vec<Line>,
    /// How many of the printed lines were looked at for output, and for errors.
    read: [usize; 2],
}

/// How a program ended and what it had printed.
pub struct Ended {
    /// The exit status; none when a signal ended the program.
    pub code: Option<i32>,
    /// The lines of standard output.
    pub output: Vec<String>,
    /// Standard error, whole.
    pub errors: String,
}

struct Line {
    text: String,
    is_error: bool,
}

impl Program {
    /// Starts the program at `path` and reads its output from then on: a program that
    /// nobody reads would stop when the pipe is full.
    pub fn start(path: &str, arguments: &[&str]) -> Program {
        let child = Command::new(path)
            .args(arguments)
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {path}: {error}"));
        let (sender, printing) = mpsc::channel();
        // From here on dropping the value kills the child.
        let mut program =
            Program { child, printing, printed: Vec::new(), read: [0; 2] };
        read_lines(program.child.stdout.take().unwrap(), sender.clone(), false);
        read_lines(program.child.stderr.take().unwrap(), sender, true);
        program
    }

    /// Runs the program to its end.
    pub fn run(path: &str, arguments: &[&str]) -> Ended {
        Program::start(path, arguments).end()
    }

    /// Waits for a line of standard output that starts with `start`; returns its
    /// rest. Lines before it are passed over.
    pub fn wait_for(&mut self, start: &str) -> String {
        self.wait(start, false)
    }

    /// The same for standard error.
    pub fn wait_for_error(&mut self, start: &str) -> String {
        self.wait(start, true)
    }

    fn wait(&mut self, start: &str, is_error: bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(line) = self.printed.get(self.read[is_error as usize]) {
                self.read[is_error as usize] += 1;
                let rest = line.text.strip_prefix(start);
                if let (Some(rest), true) = (rest, line.is_error == is_error) {
                    return rest.to_string();
                }
            }
            match self.printing.recv_timeout(deadline - Instant::now()) {
                Ok(line) => self.printed.push(line),
                Err(_) => panic!("no line '{start}...' in:\n{}", self.transcript()),
            }
        }
    }

    /// Waits for the line that says where a server listens; returns the address.
    pub fn address(&mut self, ready: &str) -> SocketAddr {
        let address = self.wait_for(ready);
        address.parse().unwrap_or_else(|_| panic!("'{address}' is no address"))
    }

    /// The lines of standard output read so far, once `start` begins one of them.
    pub fn output_up_to(&mut self, start: &str) -> Vec<String> {
        self.wait_for(start);
        lines(&self.printed[..self.read[0]], false)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A value of Linux's /proc/PID/status, such as `Threads` or `VmRSS` (in kB).
    pub fn status(&self, name: &str) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(&format!("{name}:")));
        let value = line.and_then(|line| line.split_whitespace().nth(1));
        value.unwrap_or_else(|| panic!("no {name} in {status}")).parse().unwrap()
    }

    /// Sends a signal by its name, as `kill -INT` does (Ctrl-C sends INT).
    pub fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let killed = Command::new("kill").args([&format!("-{name}"), &id]).status();
        assert!(killed.unwrap().success(), "cannot send {name}");
    }

    /// Whether the program still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the program's end and returns all that it printed.
    pub fn end(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        // Both readers hang up when the program's output ends, and that is its end.
        while let Ok(line) = self.printing.recv_timeout(deadline - Instant::now()) {
            self.printed.push(line);
        }
        while self.is_running() {
            assert!(Instant::now() < deadline, "it runs on:\n{}", self.transcript());
            thread::yield_now();
        }
        let code = self.child.wait().unwrap().code();
        let errors = lines(&self.printed, true).join("\n");
        Ended { code, output: lines(&self.printed, false), errors }
    }

    fn transcript(&self) -> String {
        let lines: Vec<&str> =
            self.printed.iter().map(|line| line.text.as_str()).collect();
        lines.join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(printed: &[Line], is_error: bool) -> Vec<String> {
    let chosen = printed.iter().filter(|line| line.is_error == is_error);
    chosen.map(|line| line.text.clone()).collect()
}

/// Passes on each line as it comes, in a thread that ends with the stream.
fn read_lines(
    stream: impl Read + Send + 'static,
    lines: Sender<Line>,
    is_error: bool,
) {
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_string();
            // Nobody listens any more once the test has ended.
            let _ = lines.send(Line { text, is_error });
            line.clear();
        }
    });
}

/// Asserts that the lines are those that the README shows under a command.
/// In the README `<port>` and `<n>` stand for any number, and so does the port in
/// `127.0.0.1:65432`: no test can have the one that a person would.
pub fn assert_shown(readme: &str, command: &str, lines: &[String]) {
    let block = readme
        .split("```text\n")
        .find_map(|block| block.strip_prefix(&format!("$ {command}\n")))
        .unwrap_or_else(|| panic!("the README shows no output of '{command}'"));
    let shown: Vec<&str> = block.lines().take_while(|line| *line != "```").collect();
    let same = shown.len() == lines.len()
        && shown.iter().zip(lines).all(|(pattern, line)| matches(pattern, line));
    assert!(
        same,
        "the README shows:\n{}\nit is:\n{}",
        shown.join("\n"),
        lines.join("\n")
    );
}

/// Whether the line is the pattern with any numbers in the places that stand for one.
fn matches(pattern: &str, line: &str) -> bool {
    let mut hosts = pattern.split("127.0.0.1:");
    let mut pattern = hosts.next().unwrap_or_default().replace("<port>", "<n>");
    for host in hosts {
        let path = host.trim_start_matches(|c: char| c.is_ascii_digit());
        let port = if path.len() < host.len() { "<n>" } else { "" };
        let path = path.replace("<port>", "<n>");
        pattern += &format!("127.0.0.1:{port}{path}");
    }
    let mut rest = line;
    for (index, literal) in pattern.split("<n>").enumerate() {
        if index > 0 {
            let end =
                rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            if end.len() == rest.len() {
                return false;
            }
            rest = end;
        }
        let Some(end) = rest.strip_prefix(literal) else { return false };
        rest = end;
    }
    rest.is_empty()
}
