//! Private Mosquitto and RabbitMQ servers, and processes that end with their parent:
//! what the other tools, and the tests, use to run what the examples need.

mod broker;
mod handshake;
pub mod lifeline;
mod process;
pub mod python;

pub use broker::{Broker, Kind, free_port};
pub use process::Process;
pub use rustix::process::Signal;
