//! What only Linux tells and does: the processor time of another process, to the
//! nanosecond where /proc counts in hundredths, and on which processor it runs.

use anyhow::{Context, Result};

pub use system::{cpu_seconds, pin, two_processors};

/// Where server and load run: apart, so that neither takes the other's time.
#[derive(Clone, Copy)]
pub struct Processors {
    pub server: usize,
    pub load: usize,
}

#[cfg(target_os = "linux")]
mod system {
    use super::*;
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::time::clock_getcpuclockid;
    use nix::unistd::Pid;
    use std::time::Duration;

    /// The first two processors that this program may use, if it may use two.
    pub fn two_processors() -> Result<Option<Processors>> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let allowed = |core: &usize| allowed.is_set(*core).unwrap_or(false);
        let mut cores = (0..CpuSet::count()).filter(allowed);
        let pair = cores.next().zip(cores.next());
        Ok(pair.map(|(server, load)| Processors { server, load }))
    }

    /// Binds a process to one processor, and with it all threads it starts later.
    pub fn pin(process: u32, processor: usize) -> Result<()> {
        let mut set = CpuSet::new();
        set.set(processor)?;
        let process = Pid::from_raw(process.cast_signed());
        sched_setaffinity(process, &set).context("cannot choose a processor")
    }

    /// The processor time that all threads of a process have had so far.
    pub fn cpu_seconds(process: u32) -> Result<f64> {
        let clock = clock_getcpuclockid(Pid::from_raw(process.cast_signed()))?;
        Ok(Duration::from(clock.now()?).as_secs_f64())
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::*;

    pub fn two_processors() -> Result<Option<Processors>> {
        None.context("the scoreboard asks the kernel through /proc: it needs Linux")
    }

    pub fn pin(_: u32, _: usize) -> Result<()> {
        two_processors().map(drop)
    }

    pub fn cpu_seconds(_: u32) -> Result<f64> {
        two_processors().map(|_| 0.0)
    }
}
