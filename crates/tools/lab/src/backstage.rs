//! The brokers that scenes need, which start while other scenes play.

use std::env;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow, bail};
use brokers::{Broker, Kind};

use crate::scene::Scene;

#[derive(Default)]
pub struct Brokers {
    starting: Vec<(Kind, JoinHandle<Result<Broker>>)>,
    /// Those that have started, and why others have not.
    started: Vec<(Kind, Result<Broker>)>,
}

impl Brokers {
    /// Starts what these scenes need, and the environment does not name already.
    pub fn start(scenes: &[Scene]) -> Brokers {
        let mut brokers = Brokers::default();
        scenes.iter().filter_map(|scene| scene.broker).for_each(|kind| {
            if !brokers.starting.iter().any(|(known, _)| *known == kind) {
                brokers.renew(kind);
            }
        });
        brokers
    }

    /// Starts a broker in the place of one that may still hold what an unfinished scene
    /// has left there, or that has died.
    pub fn renew(&mut self, kind: Kind) {
        if env::var_os(kind.variable()).is_none() {
            self.started.retain(|(this, _)| *this != kind);
            let starting = thread::spawn(move || Broker::start(kind));
            self.starting.push((kind, starting));
        }
    }

    pub fn is_starting(&self, kind: Kind) -> bool {
        let is_it = |(this, thread): &(Kind, JoinHandle<_>)| {
            *this == kind && !thread.is_finished()
        };
        self.starting.iter().any(is_it)
    }

    /// Where a broker is that does not start any more, if it still runs.
    pub fn url(&mut self, kind: Kind) -> Result<String> {
        if let Ok(url) = env::var(kind.variable()) {
            return Ok(url);
        }
        let place = self.starting.iter().position(|(this, _)| *this == kind);
        if let Some(place) = place {
            let (_, thread) = self.starting.swap_remove(place);
            let result = thread.join().map_err(|_| anyhow!("the start panicked"));
            self.started.push((kind, result.flatten()));
        }
        let found = self.started.iter_mut().find(|(this, _)| *this == kind);
        match found.context("nobody has started it")? {
            (_, Ok(broker)) => {
                if let Some(log) = broker.failure() {
                    bail!("{} has ended; the end of its log:\n{log}", kind.name());
                }
                Ok(broker.url())
            }
            (_, Err(error)) => Err(anyhow!("{error:#}")),
        }
    }
}
