//! What the MQTT example keeps of its promises when the broker itself stops or dies.

mod examples;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use lab::brokers::{Broker, Kind};

const PATIENCE: Duration = Duration::from_secs(60);
const COUNT: usize = 200;
const INTERVAL: &str = "0.02";

/// One of the example's programs; killed when dropped.
struct Program {
    child: Child,
    lines: Receiver<String>,
    printed: Vec<String>,
}

impl Program {
    fn start(binary: &str, broker: &Broker, arguments: &[&str]) -> Program {
        let mut child = Command::new(examples::program("mqtt-temperature", binary))
            .args(["--broker", &broker.url()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.for_each(|line| drop(sender.send(line)));
        });
        Program { child, lines, printed: Vec::new() }
    }

    /// Reads what it prints until this is so; then true. False at its end.
    fn read_until(&mut self, is_so: impl Fn(&[String]) -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.printed) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.printed.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => return false,
                Err(_) => panic!("it takes too long: {:?}", self.printed),
            }
        }
        true
    }

    /// Waits until it has printed so many lines that begin like this.
    fn wait_for(&mut self, start: &str, count: usize) {
        let is_there = |lines: &[String]| rest(lines, start).len() >= count;
        assert!(self.read_until(is_there), "it ended: {:?}", self.printed);
    }

    /// Waits for its end, which must be a success.
    fn end(&mut self) {
        assert!(!self.read_until(|_| false));
        assert!(self.child.wait().unwrap().success(), "{:?}", self.printed);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rest of each line that begins like this.
fn rest(lines: &[String], start: &str) -> Vec<String> {
    let rest = lines.iter().filter_map(|line| line.strip_prefix(start));
    rest.map(str::to_string).collect()
}
