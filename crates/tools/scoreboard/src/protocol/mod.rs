//! The load's side of each protocol, as bytes: a load that costs more than the server
//! would measure itself. Each takes the shortest way that the standard allows.

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

/// One side of a conversation in which messages of one kind are sent.
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

    /// Takes one unit from the front of what has arrived, if it is there as a whole,
    /// and appends to `out` what it has to be answered by. Anything but the message that
    /// was sent, and what belongs to it, is an error.
    fn read(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Taken>;
}

/// What was taken, if it is there as a whole: so many bytes, and the arrival of so many
/// messages.
pub type Taken = Option<(usize, usize)>;

/// Takes a unit that is no message.
fn only(bytes: usize) -> Result<Taken> {
    Ok(Some((bytes, 0)))
}

/// Takes a unit that is one message.
fn message(bytes: usize) -> Result<Taken> {
    Ok(Some((bytes, 1)))
}
