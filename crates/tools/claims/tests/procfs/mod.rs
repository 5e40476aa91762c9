//! Watches a running program through Linux's /proc.
#![allow(dead_code)] // No test uses all of it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
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

/// A value of /proc/PID/status, such as `Threads:` or `VmRSS:` (in KiB).
pub fn status(process: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status"));
    value(&status.expect("it runs"), name)
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

/// The user that a process runs as.
pub fn owner(process: u32) -> u64 {
    value(
        &fs::read_to_string(format!("/proc/{process}/status")).expect("it runs"),
        "Uid:",
    )
}

/// All processes that this one has started, and those that they have, and so on.
pub fn descendants(process: u32) -> Vec<u32> {
    let folders = fs::read_dir("/proc").expect("Linux").flatten();
    let numbers =
        folders.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: Vec<(u32, u64)> = numbers
        .filter_map(|number: u32| {
            let status = fs::read_to_string(format!("/proc/{number}/status")).ok()?;
            Some((number, value(&status, "PPid:")))
        })
        .collect();
    let mut found = vec![process];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        let children = parents.iter().filter(|(_, its)| *its == u64::from(parent));
        found.extend(children.map(|(child, _)| child));
        next += 1;
    }
    found.split_off(1)
}

/// The TCP addresses on which these processes listen.
pub fn listening(processes: &[u32]) -> Vec<SocketAddr> {
    let mut sockets = Vec::new();
    for process in processes {
        let files = fs::read_dir(format!("/proc/{process}/fd")).expect("root's own");
        let links =
            files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        sockets.extend(links.map(|link| link.to_string_lossy().into_owned()));
    }
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        let table = fs::read_to_string(format!("/proc/net/{table}")).expect("Linux");
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_theirs = sockets.contains(&format!("socket:[{}]", fields[9]));
            // 0A is the state LISTEN.
            if fields[3] == "0A" && is_theirs {
                found.push(address(fields[1]));
            }
        }
    }
    found
}

/// An address as /proc/net writes it: words of 32 bits in hex, and the port.
fn address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').expect("a port");
    let words = (0..ip.len()).step_by(8).map(|at| {
        u32::from_str_radix(&ip[at..at + 8], 16).expect("a word").to_ne_bytes()
    });
    let bytes: Vec<u8> = words.flatten().collect();
    let port = u16::from_str_radix(port, 16).expect("a port");
    match <[u8; 4]>::try_from(&*bytes) {
        Ok(bytes) => (Ipv4Addr::from(bytes), port).into(),
        Err(_) => {
            let bytes: [u8; 16] = bytes.try_into().expect("16 bytes");
            (Ipv6Addr::from(bytes), port).into()
        }
    }
}

/// Waits until no process of this number runs; who is dead but not buried is gone.
pub fn assert_gone(process: u32) {
    wait_until(&format!("the end of process {process}"), || {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"));
        stat.map_or(true, |stat| stat.rsplit(") ").next().unwrap().starts_with('Z'))
    });
}
