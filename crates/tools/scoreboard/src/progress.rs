//! How far a run is, and how long it still takes: a line now and then, whether or not
//! somebody sits at a terminal.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(10);

pub struct Progress {
    start: Instant,
    told: Option<Instant>,
    /// The longest that the run may take.
    time: Duration,
    done: usize,
    all: usize,
}

impl Progress {
    pub fn new(all: usize, time: Duration) -> Progress {
        Progress { start: Instant::now(), told: None, time, done: 0, all }
    }

    /// What is measured next.
    pub fn tell(&mut self, what: &str) {
        if self.told.is_none_or(|told| told.elapsed() >= PAUSE) {
            self.told = Some(Instant::now());
            eprintln!("{}", self.line(self.start.elapsed(), what));
        }
        self.done += 1;
    }

    fn line(&self, elapsed: Duration, what: &str) -> String {
        let &Progress { time, done, all, .. } = self;
        let left = match done {
            0 => time,
            _ => elapsed.mul_f64(all.saturating_sub(done) as f64 / done as f64),
        };
        let left = left.min(time.saturating_sub(elapsed)).as_secs();
        format!("{done} of {all}, {}:{:02} left: {what}", left / 60, left % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_left_follows_from_what_is_done() {
        let mut progress = Progress::new(100, Duration::from_secs(840));
        let mut line = |done, seconds| {
            progress.done = done;
            progress.line(Duration::from_secs(seconds), "TCP")
        };
        assert_eq!(line(0, 0), "0 of 100, 14:00 left: TCP");
        assert_eq!(line(50, 60), "50 of 100, 1:00 left: TCP");
        assert_eq!(line(1, 60), "1 of 100, 13:00 left: TCP");
    }
}
