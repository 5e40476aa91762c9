//! What the other tools and the tests use of the classroom tool.

pub mod brokers;
pub mod lifeline;
pub mod python;
