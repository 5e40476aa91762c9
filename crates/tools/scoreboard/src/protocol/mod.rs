//! The load's side of each protocol, as bytes: no library, since a load that costs
//! more than the server would measure itself. Each takes the shortest way that the
//! standard allows.

pub mod amqp;
pub mod echo;
pub mod http;
pub mod lines;
pub mod messages;
pub mod mqtt;
pub mod websocket;
pub mod zmtp;

use anyhow::Result;

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
    /// and appends to `out` what it has to be answered by.
    fn read(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<Taken>>;
}

/// What was taken: so many bytes, and the arrival of so many messages.
#[derive(Debug, PartialEq)]
pub struct Taken {
    pub bytes: usize,
    pub messages: usize,
}

/// Takes a unit that is no message.
fn only(bytes: usize) -> Result<Option<Taken>> {
    Ok(Some(Taken { bytes, messages: 0 }))
}

/// Takes a unit that is one message.
fn message(bytes: usize) -> Result<Option<Taken>> {
    Ok(Some(Taken { bytes, messages: 1 }))
}

#[cfg(test)]
mod testing {
    use super::*;

    /// Feeds bytes one by one, as the slowest network would; returns the messages
    /// that arrived, and what was answered.
    pub fn feed(protocol: &mut impl Protocol, bytes: &[u8]) -> (usize, Vec<u8>) {
        let (mut input, mut out, mut messages) = (Vec::new(), Vec::new(), 0);
        for byte in bytes {
            input.push(*byte);
            while let Some(taken) = protocol.read(&input, &mut out).unwrap() {
                input.drain(..taken.bytes);
                messages += taken.messages;
            }
        }
        assert!(input.is_empty(), "left over: {input:?}");
        (messages, out)
    }
}
