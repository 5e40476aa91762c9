//! The load's side of each protocol, as bytes: if the load cost more than the server, the
//! load would be measured. Each does the least that the standard allows.

mod amqp;
mod fixed;
mod http;
mod lines;
mod mqtt;
mod websocket;
mod zmtp;

use anyhow::Result;

pub use self::{amqp::Amqp, fixed::Fixed, http::Http, lines::Lines};
pub use self::{mqtt::Mqtt, websocket::WebSocket, zmtp::Zmtp};

/// One side of a conversation, which sends the same message again and again.
pub trait Protocol {
    /// What to send first, before anything arrives.
    fn greeting(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Whether messages can be sent now.
    fn is_ready(&self) -> bool {
        true
    }

    /// Appends one message, as it crosses the network.
    fn write(&mut self, out: &mut Vec<u8>);

    /// Takes one complete unit, such as a frame, from the front of `input`, and appends
    /// its answer, if it needs one, to `out`. Anything but the message that was sent, and
    /// what the protocol adds to it, is an error.
    fn read(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Taken>;
}

/// What was taken: the number of bytes, and the number of messages that arrived. None if
/// the unit is not complete yet.
pub type Taken = Option<(usize, usize)>;

/// Takes a unit that is not a message.
fn only(bytes: usize) -> Result<Taken> {
    Ok(Some((bytes, 0)))
}

/// Takes a unit that is one message.
fn message(bytes: usize) -> Result<Taken> {
    Ok(Some((bytes, 1)))
}
