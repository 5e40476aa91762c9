//! What only Linux tells and does: on which processor a program runs, how much of it
//! a process has had, and how many bytes crossed the loopback.

use std::fs::{self, File};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, CpuSet, setns, unshare};
use nix::sched::{sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// Where server and load run: apart, so that neither takes the other's time.
#[derive(Clone, Copy)]
pub struct Processors {
    pub server: usize,
    pub load: usize,
}

/// Two processors that this program may use and that do not share a core.
pub fn two_cores() -> Result<Option<Processors>> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let allowed: Vec<usize> = (0..CpuSet::count())
        .filter(|processor| allowed.is_set(*processor).unwrap_or(false))
        .collect();
    Ok(apart(&allowed, |processor| {
        let topology = format!("/sys/devices/system/cpu/cpu{processor}/topology");
        fs::read_to_string(format!("{topology}/thread_siblings_list")).ok()
    }))
}

/// The first processor, and the first one whose siblings are not the same. Where the
/// kernel tells no siblings, each is a core of its own.
fn apart(
    allowed: &[usize],
    siblings: impl Fn(usize) -> Option<String>,
) -> Option<Processors> {
    let server = *allowed.first()?;
    let core = |processor| siblings(processor).unwrap_or(processor.to_string());
    let other = |load: &&usize| **load != server && core(**load) != core(server);
    allowed.iter().find(other).map(|load| Processors { server, load: *load })
}

impl Processors {
    /// Starts a program on the server's processor: it inherits where this one runs at
    /// that moment.
    pub fn beside<T>(self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        pin(self.server)?;
        let started = start();
        pin(self.load)?;
        started
    }
}

fn pin(processor: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor)?;
    sched_setaffinity(Pid::from_raw(0), &set).context("cannot choose a processor")
}

/// The processor time that all threads of a process have had so far, in seconds: to
/// the nanosecond where /proc counts in hundredths.
pub fn cpu_seconds(process: u32) -> Result<f64> {
    let clock = clock_getcpuclockid(Pid::from_raw(process.cast_signed()))?;
    Ok(Duration::from(clock.now()?).as_secs_f64())
}

/// The processor time of all programs that this one started and that have ended.
pub fn cpu_seconds_of_the_ended() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = [usage.user_time(), usage.system_time()]
        .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6);
    Ok(seconds.iter().sum())
}

/// The memory that a process really occupies, in KiB.
pub fn resident_kib(process: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    first_number(&status, "VmRSS:").context("no VmRSS")
}

/// The bytes of all IP packets that have crossed the loopback so far.
pub fn loopback_bytes() -> Result<f64> {
    let devices = fs::read_to_string("/proc/thread-self/net/dev")?;
    first_number(&devices, "lo:").context("no loopback")
}

/// Moves into a network of our own, with nothing in it but a loopback that nobody else
/// uses; says whether that may be done. What is started from now on is in there too.
pub fn own_loopback() -> Result<bool> {
    let before = File::open("/proc/thread-self/ns/net")?;
    if unshare(CloneFlags::CLONE_NEWNET).is_err() {
        return Ok(false);
    }
    let mut ip = Command::new("ip");
    let is_up =
        ip.args(["link", "set", "lo", "up"]).status().is_ok_and(|it| it.success());
    if !is_up {
        setns(before, CloneFlags::CLONE_NEWNET)?;
    }
    Ok(is_up)
}

/// How many programs have wanted a processor, on average over the last minute.
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    first_number(&text, "").unwrap_or_default()
}

fn first_number(text: &str, label: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::thread;

    #[test]
    fn server_and_load_never_share_a_core() {
        let chosen = |siblings: &[&str]| {
            let processors: Vec<usize> = (0..siblings.len()).collect();
            let pair = apart(&processors, |n| Some(siblings[n].to_string()));
            pair.map(|pair| (pair.server, pair.load))
        };
        assert_eq!(chosen(&["0", "1"]), Some((0, 1)));
        assert_eq!(chosen(&["0-1", "0-1", "2-3", "2-3"]), Some((0, 2)));
        assert_eq!(chosen(&["0,2", "1,3", "0,2", "1,3"]), Some((0, 1)));
        assert_eq!(chosen(&["0-1", "0-1"]), None);
        assert_eq!(chosen(&["0"]), None);
    }

    #[test]
    fn the_kernels_tables_are_read_by_their_labels() {
        let table = "Inter-|   Receive\n  eth0: 9 1\n    lo:  4711    42  0\n";
        assert_eq!(first_number(table, "lo:"), Some(4711.0));
        assert_eq!(first_number("VmRSS:\t  6124 kB\n", "VmRSS:"), Some(6124.0));
        assert_eq!(first_number(table, "wlan0:"), None);
        assert_eq!(first_number("lo: many", "lo:"), None);
    }

    /// Where that may be done. In any case the bytes are those of IP packets.
    #[test]
    fn a_loopback_of_our_own_carries_nothing_of_others() {
        let counted = thread::spawn(|| {
            let is_own = own_loopback().unwrap();
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let before = loopback_bytes().unwrap();
            socket.send_to(&[0; 64], socket.local_addr().unwrap()).unwrap();
            socket.recv(&mut [0; 64]).unwrap();
            (is_own, loopback_bytes().unwrap() - before)
        });
        let (is_own, bytes) = counted.join().unwrap();
        assert!(bytes == 64.0 + 8.0 + 20.0 || !is_own && bytes > 92.0, "{bytes}");
    }

    #[test]
    fn a_program_that_computes_takes_processor_time() {
        let before = cpu_seconds(std::process::id()).unwrap();
        let sum = (0..3_000_000u64).map(std::hint::black_box).sum::<u64>();
        assert!(sum > 0 && cpu_seconds(std::process::id()).unwrap() > before);
    }
}
