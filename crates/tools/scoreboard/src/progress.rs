//! How far a run is, and how long it still takes: one line that changes on a terminal,
//! else a line now and then.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// How often a line is printed where it stays.
const PAUSE: Duration = Duration::from_secs(10);
const WIDTH: usize = 78;

pub struct Progress {
    start: Instant,
    told: Option<Instant>,
    /// The longest that the run may take.
    time: Duration,
    done: usize,
    all: usize,
    is_terminal: bool,
}

impl Progress {
    pub fn new(rounds: usize, cases: usize, time: Duration) -> Progress {
        let is_terminal = io::stderr().is_terminal();
        let (start, all) = (Instant::now(), rounds * cases);
        Progress { start, told: None, time, done: 0, all, is_terminal }
    }

    /// What is measured next.
    pub fn tell(&mut self, what: &str) {
        let pause = if self.is_terminal { Duration::ZERO } else { PAUSE };
        if self.told.is_none_or(|told| told.elapsed() >= pause) {
            self.told = Some(Instant::now());
            let line = self.line(what);
            match self.is_terminal {
                true => eprint!("\r\x1b[K{line:.WIDTH$}"),
                false => eprintln!("{line}"),
            }
        }
        self.done += 1;
    }

    /// What should stay on the terminal.
    pub fn say(&self, what: &str) {
        self.end();
        eprintln!("{what}");
    }

    pub fn end(&self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }

    fn line(&self, what: &str) -> String {
        let elapsed = self.start.elapsed();
        let left = match self.done {
            0 => self.time,
            done => {
                elapsed.mul_f64((self.all - done.min(self.all)) as f64 / done as f64)
            }
        };
        let left = left.min(self.time.saturating_sub(elapsed)).as_secs();
        let Progress { done, all, .. } = self;
        format!(
            "{done} of {all}, {}:{:02} left at most: {what}",
            left / 60,
            left % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_left_follows_from_what_is_done() {
        let mut progress = Progress::new(5, 20, Duration::from_secs(840));
        assert_eq!(progress.line("TCP"), "0 of 100, 13:59 left at most: TCP");
        progress.start = Instant::now() - Duration::from_secs(60);
        progress.done = 50;
        assert!(progress.line("TCP").starts_with("50 of 100, 1:00 left"));
        progress.done = 1;
        assert!(progress.line("TCP").starts_with("1 of 100, 12:59 left"));
    }
}
