//! Private Mosquitto and RabbitMQ servers, and processes that end with their parent:
//! what the other tools, and the tests, use to run what the examples need.
//!
//! On Windows there are processes only: a broker that runs elsewhere is named by MQTT_URL
//! or AMQP_URL.

#[cfg(unix)]
mod broker;
#[cfg(windows)]
#[path = "broker_windows.rs"]
mod broker;
#[cfg(unix)]
mod handshake;
#[cfg(windows)]
mod job;
mod kind;
#[cfg_attr(windows, path = "lifeline_windows.rs")]
pub mod lifeline;
mod lines;
#[cfg_attr(windows, path = "process_windows.rs")]
mod process;
#[cfg(unix)]
pub mod python;

pub use broker::Broker;
#[cfg(unix)]
pub use broker::free_port;
pub use kind::Kind;
pub use process::{Process, signal_of};
#[cfg(windows)]
pub use process::{Signal, interrupt};
#[cfg(unix)]
pub use rustix::process::Signal;
