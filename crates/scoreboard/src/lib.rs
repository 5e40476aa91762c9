//! What the measurements share: servers under measurement, processors, statistics.

pub mod processor;
pub mod programs;
pub mod server;
pub mod stats;
