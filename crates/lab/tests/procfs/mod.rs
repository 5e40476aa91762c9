//! Watches a running program through Linux's /proc.
#![allow(dead_code)] // No test uses all of it.

use std::time::{Duration, Instant};
use std::{fs, io, thread};

/// The longest that a test waits here. A healthy program takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a program has to do nothing at all before it counts as resting.
const REST: Duration = Duration::from_millis(300);

/// What the kernel says of one thread: /proc/PID/task/TID/stat and status.
#[derive(PartialEq)]
pub struct Task {
    /// `R` runs or could run, `S` waits for something, `T` was stopped by a signal.
    pub state: char,
    /// The processor that it runs on, or ran on last.
    pub processor: u32,
    /// Processor time in the kernel's ticks, mostly hundredths of a second.
    pub ticks: u64,
    /// How often it had to wait and gave its processor away.
    pub switches: u64,
}

impl Task {
    pub fn of(process: u32, thread: u32) -> io::Result<Task> {
        let folder = format!("/proc/{process}/task/{thread}");
        let status = fs::read_to_string(format!("{folder}/status"))?;
        let stat = fs::read_to_string(format!("{folder}/stat"))?;
        // The second field is the name, in brackets, which may contain anything.
        let fields = stat.rsplit_once(") ").expect("a name in brackets").1;
        let fields: Vec<&str> = fields.split(' ').collect();
        let number =
            |field: usize| fields[field - 3].parse::<u64>().expect("a number");
        let switches = value(&status, "voluntary_ctxt_switches:");
        Ok(Task {
            state: fields[0].chars().next().expect("a letter"),
            processor: number(39) as u32,
            ticks: number(14) + number(15),
            switches,
        })
    }

    /// All threads of a process. One that ends meanwhile is left out.
    pub fn all(process: u32) -> Vec<Task> {
        let threads = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
        let threads = threads.flatten().map(|entry| entry.file_name());
        let numbers = threads.map(|name| name.to_string_lossy().parse().unwrap());
        numbers.flat_map(|thread| Task::of(process, thread).ok()).collect()
    }
}

/// Memory in use, in KiB. VmRSS is quicker to read, but each thread may keep 63 pages
/// from the count before Linux 6.2; here the kernel counts the pages themselves.
pub fn memory(process: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"));
    value(&rollup.expect("it runs"), "Rss:")
}

fn value(text: &str, name: &str) -> u64 {
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    let number = found.and_then(|rest| rest.split_whitespace().next());
    number.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

/// Waits until all threads of the program wait for something and stay so: no thread
/// wakes up, none takes processor time. Returns them.
pub fn wait_for_rest(process: u32) -> Vec<Task> {
    let deadline = Instant::now() + PATIENCE;
    let mut before = Task::all(process);
    loop {
        thread::sleep(REST);
        let now = Task::all(process);
        if now == before && now.iter().all(|task| task.state == 'S') {
            return now;
        }
        before = now;
        assert!(Instant::now() < deadline, "process {process} does not come to rest");
    }
}

/// Waits until the condition holds.
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::yield_now();
    }
}
