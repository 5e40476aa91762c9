//! What all connections of a wiretap share.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fastrand::Rng;
use tokio::sync::Notify;

use crate::dissect::Direction;
use crate::options::Options;
use crate::record::Recorder;

/// Seeds are small numbers, which are easily typed again.
const SEEDS: u64 = 1_000_000;

pub struct Tap {
    /// The wiretap's own.
    pub address: SocketAddr,
    pub target: String,
    pub options: Options,
    pub seed: u64,
    pub recorder: Arc<Recorder>,
    /// Told when the first connection has ended.
    pub first_end: Notify,
    pub cuts: Left,
    pub swallows: Left,
    pub freezes: Left,
}

impl Tap {
    pub fn new(
        address: SocketAddr,
        target: &str,
        options: Options,
        recorder: Arc<Recorder>,
    ) -> Tap {
        let times = options.faults.times.unwrap_or(1);
        Tap {
            address,
            target: target.to_string(),
            seed: options.faults.seed.unwrap_or_else(|| fastrand::u64(..SEEDS)),
            recorder,
            first_end: Notify::new(),
            cuts: Left(times.into()),
            swallows: Left(times.into()),
            freezes: Left(times.into()),
            options,
        }
    }

    /// The chance of one direction of a connection: the same seed throws the same
    /// dice for it, whatever the others do.
    pub fn dice(&self, connection: u64, direction: Direction) -> Rng {
        let base = Rng::with_seed(self.seed).u64(..);
        // Seeds that are close to each other make alike beginnings; a fork's is not.
        Rng::with_seed(base ^ (connection << 1 | direction as u64)).fork()
    }

    /// The target's addresses, the wiretap's own left out: it would forward to
    /// itself, and that to itself, without end.
    pub async fn target(&self) -> io::Result<Vec<SocketAddr>> {
        let addresses = tokio::net::lookup_host(&self.target).await?;
        let own = self.address;
        let is_own = |address: &SocketAddr| {
            address.port() == own.port()
                && (address.ip() == own.ip() || own.ip().is_unspecified())
        };
        let addresses: Vec<_> =
            addresses.filter(|address| !is_own(address)).collect();
        match addresses.is_empty() {
            true => Err(io::Error::other("that is the wiretap itself")),
            false => Ok(addresses),
        }
    }
}

/// How often a fault may still happen.
pub struct Left(AtomicU32);

impl Left {
    pub fn take(&self) -> bool {
        let (order, less) = (Ordering::Relaxed, |left: u32| left.checked_sub(1));
        self.0.fetch_update(order, order, less).is_ok()
    }
}
