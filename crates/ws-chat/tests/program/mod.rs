//! Runs a program as a person at a terminal would, with a bound on every wait.
//!
//! The program is this crate's, unless a variable named after it holds another command:
//! `TCP_SERVER='python3 my_server.py' cargo test`. The same file in every example crate.
#![allow(dead_code)] // No test uses all of it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};
use std::{env, thread};

use regex_lite::Regex;

/// The longest that a test waits for anything. A healthy program takes milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The most that is kept of what a program prints; the rest is read and thrown away.
const MOST_BYTES: u64 = 16 << 20;

/// A running program. It is killed when this value is dropped, so also when a test fails.
pub struct Program {
    name: String,
    pub child: Child,
    printing: Receiver<Line>,
    /// The lines of standard output and of standard error, and how many were looked at.
    printed: [Vec<String>; 2],
    seen: [usize; 2],
    /// How long to wait for a line or for the end: PATIENCE, unless a protocol needs more.
    pub patience: Duration,
}

/// Which of the two output streams, and what it said.
type Line = (usize, String);

/// How a program ended and what it had printed.
pub struct Ended {
    /// The exit status; none when a signal ended the program.
    pub code: Option<i32>,
    /// The lines of standard output.
    pub output: Vec<String>,
    /// Standard error, whole.
    pub errors: String,
}

impl Program {
    /// Starts a program whose standard input is empty.
    pub fn start(path: &str, arguments: &[&str]) -> Program {
        let mut program = Program::start_with_input(path, arguments);
        program.child.stdin = None;
        program
    }

    /// Runs a program to its end.
    pub fn run(path: &str, arguments: &[&str]) -> Ended {
        Program::start(path, arguments).end()
    }

    /// Starts a program into which `type_in` can type.
    pub fn start_with_input(path: &str, arguments: &[&str]) -> Program {
        let name = Path::new(path).file_stem().unwrap().to_str().unwrap().to_string();
        let variable = name.replace('-', "_").to_uppercase();
        let words = match env::var(&variable) {
            Ok(command) => shell_words::split(&command).unwrap(),
            Err(_) => vec![path.to_string()],
        };
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(arguments).env_remove("RUST_BACKTRACE");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn();
        let child =
            child.unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let (sender, printing) = mpsc::channel();
        let (printed, seen, patience) = (Default::default(), [0; 2], PATIENCE);
        // From here on dropping the value kills the child.
        let mut program = Program { name, child, printing, printed, seen, patience };
        // A program that nobody reads would stop when the pipe is full.
        read_lines(program.child.stdout.take().unwrap(), 0, sender.clone());
        read_lines(program.child.stderr.take().unwrap(), 1, sender);
        program
    }

    /// Waits for a line of standard output that starts with `start`; returns its rest.
    /// Lines before it are passed over.
    pub fn wait_for(&mut self, start: &str) -> String {
        self.wait(0, start)
    }

    /// The same for standard error.
    pub fn wait_for_error(&mut self, start: &str) -> String {
        self.wait(1, start)
    }

    fn wait(&mut self, stream: usize, start: &str) -> String {
        let deadline = Instant::now() + self.patience;
        loop {
            while let Some(line) = self.printed[stream].get(self.seen[stream]) {
                self.seen[stream] += 1;
                if let Some(rest) = line.strip_prefix(start) {
                    return rest.to_string();
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.printing.recv_timeout(left) {
                Ok((stream, line)) if !left.is_zero() => {
                    self.printed[stream].push(line)
                }
                _ => panic!("expected a line '{start}...'. {}", self.report()),
            }
        }
    }

    /// Waits for the line that says where a server listens; returns the address.
    pub fn address(&mut self, ready: &str) -> SocketAddr {
        let address = self.wait_for(ready);
        address.parse().unwrap_or_else(|_| panic!("'{address}' is not an address"))
    }

    /// The lines of standard output read so far, once `start` begins one of them.
    pub fn output_up_to(&mut self, start: &str) -> Vec<String> {
        self.wait_for(start);
        self.printed[0][..self.seen[0]].to_vec()
    }

    /// Types bytes into the program; without a line end they are not a line yet.
    /// Setting `child.stdin` to `None` ends the input, as Ctrl-D does.
    pub fn type_in(&mut self, bytes: impl AsRef<[u8]>) {
        self.child.stdin.as_mut().unwrap().write_all(bytes.as_ref()).unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal by its name, as `kill -INT` does (Ctrl-C sends INT).
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let (name, id) = (format!("-{name}"), self.child.id().to_string());
        assert!(Command::new("kill").args([name, id]).status().unwrap().success());
    }

    /// Ends the program at once, as a power cut would, and returns what it had printed.
    pub fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.end()
    }

    /// Waits for the program's end and returns all that it printed.
    pub fn end(mut self) -> Ended {
        let deadline = Instant::now() + self.patience;
        let left = || deadline.saturating_duration_since(Instant::now());
        // Both readers hang up when the program's output ends, and that is its end.
        while let Ok((stream, line)) = self.printing.recv_timeout(left()) {
            self.printed[stream].push(line);
            assert!(!left().is_zero(), "expected it to end. {}", self.report());
        }
        while self.is_running() {
            assert!(!left().is_zero(), "expected it to end. {}", self.report());
            thread::yield_now();
        }
        let code = self.child.wait().unwrap().code();
        let [output, errors] = std::mem::take(&mut self.printed);
        Ended { code, output, errors: errors.join("\n") }
    }

    /// What a failure says: whether the program still runs, and what it printed.
    fn report(&mut self) -> String {
        let state = match self.child.try_wait().unwrap() {
            Some(status) => format!("ended with {status}"),
            None => format!("still runs after {:?}", self.patience),
        };
        let [output, errors] = self.printed.each_ref().map(|lines| lines.join("\n"));
        let printed = format!("Output:\n{output:.9999}\nErrors:\n{errors:.9999}");
        format!("{} {state}. {printed}", self.name)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes on each line as it comes, in a thread that ends with the stream.
fn read_lines(mut from: impl Read + Send + 'static, stream: usize, to: Sender<Line>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(from.by_ref().take(MOST_BYTES));
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_string();
            // Nobody listens any more once the test has ended.
            let _ = to.send((stream, text));
            line.clear();
        }
        let _ = io::copy(&mut from, &mut io::sink());
    });
}

/// Asserts that the lines are those that the README shows under a command. `<port>` and
/// `<n>` there stand for any number, and so does the port in `127.0.0.1:65432`: no test
/// can have the one that a person would.
pub fn assert_shown(readme: &str, command: &str, lines: &[String]) {
    let readme = readme.replace("\r\n", "\n");
    let block = readme
        .split("```text\n")
        .find_map(|block| block.strip_prefix(&format!("$ {command}\n")))
        .unwrap_or_else(|| panic!("the README shows no output of '{command}'"));
    let shown = block.split("```").next().unwrap_or_default().trim_end();
    let ports = Regex::new(r"127\.0\.0\.1:\d+").unwrap();
    let pattern = ports.replace_all(shown, "127.0.0.1:<port>");
    let pattern = regex_lite::escape(&pattern).replace("<port>", r"\d+");
    let pattern = pattern.replace("<n>", r"-?\d+(\.\d+)?");
    let printed = lines.join("\n");
    let same = Regex::new(&format!("^{pattern}$")).unwrap().is_match(&printed);
    assert!(same, "the README shows:\n{shown}\nit is:\n{printed}");
}
