//! Ends what this process has started when it ends itself, even if it is killed: all of it
//! belongs to one job, which ends with its last handle, and only this process has one.

use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use crate::job::Job;

static JOB: LazyLock<io::Result<Job>> = LazyLock::new(|| {
    let job = Job::new()?;
    job.add_this_process()?;
    Ok(job)
});

/// From now on whatever this process starts ends with it.
pub fn tie() -> io::Result<()> {
    JOB.as_ref().map(drop).map_err(|error| io::Error::from(error.kind()))
}

/// Ends all that runs, for a process that is about to end itself: its end does that.
pub fn end_all(_patience: Duration) -> io::Result<()> {
    Ok(())
}
