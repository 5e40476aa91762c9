//! What needs Linux: choosing a processor for a program, the processor time and memory
//! of a process, and the bytes on the loopback.

use std::fs::{self, File};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sched::{self, CloneFlags, CpuSet};
use nix::sys::resource::{UsageWho, getrusage};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// The processors of the server and of the load, on two cores, so that neither takes the
/// other's time. None if they have to share a core.
pub type Processors = Option<(usize, usize)>;

/// Two processors that this program may use and that do not share a core.
pub fn two_cores() -> Result<Processors> {
    let allowed = sched::sched_getaffinity(Pid::from_raw(0))?;
    let allowed: Vec<usize> = (0..CpuSet::count())
        .filter(|processor| allowed.is_set(*processor).unwrap_or(false))
        .collect();
    Ok(apart(&allowed, |processor| {
        let topology = format!("/sys/devices/system/cpu/cpu{processor}/topology");
        fs::read_to_string(format!("{topology}/thread_siblings_list")).ok()
    }))
}

/// The first processor, and the first one on another core, which has other siblings. If
/// the kernel lists no siblings, each processor is a core.
pub fn apart(
    allowed: &[usize],
    siblings: impl Fn(usize) -> Option<String>,
) -> Processors {
    let core = |processor| siblings(processor).unwrap_or(processor.to_string());
    let (server, others) = allowed.split_first()?;
    let load = others.iter().find(|other| core(**other) != core(*server))?;
    Some((*server, *load))
}

/// Starts a program on the server's processor: it inherits the CPU affinity that this
/// thread has at that moment.
pub fn on_server_processor<T>(
    processors: Processors,
    start: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let Some((server, load)) = processors else { return start() };
    pin(server)?;
    let started = start();
    pin(load)?;
    started
}

fn pin(processor: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor)?;
    sched::sched_setaffinity(Pid::from_raw(0), &set)
        .context("cannot choose a processor")
}

/// The processor time of all threads of a process so far, in seconds. Its resolution is
/// a nanosecond; that of /proc is a hundredth of a second.
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

/// The resident memory of a process, in KiB.
pub fn resident_kib(process: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    first_number(&status, "VmRSS:").context("no VmRSS")
}

/// The bytes of all IP packets that have crossed the loopback so far.
pub fn loopback_bytes() -> Result<f64> {
    let devices = fs::read_to_string("/proc/thread-self/net/dev")?;
    first_number(&devices, "lo:").context("no loopback")
}

/// Moves into a new network namespace, whose loopback nobody else uses; returns whether
/// that was allowed. Programs that are started later are in it too.
pub fn own_loopback() -> Result<bool> {
    let before = File::open("/proc/thread-self/ns/net")?;
    if sched::unshare(CloneFlags::CLONE_NEWNET).is_err() {
        return Ok(false);
    }
    let mut ip = Command::new("ip");
    let is_up =
        ip.args(["link", "set", "lo", "up"]).status().is_ok_and(|it| it.success());
    if !is_up {
        sched::setns(before, CloneFlags::CLONE_NEWNET)?;
    }
    Ok(is_up)
}

/// How many programs have wanted a processor, on average over the last minute.
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    first_number(&text, "").unwrap_or_default()
}

pub fn first_number(text: &str, label: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}
