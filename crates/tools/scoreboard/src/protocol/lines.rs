//! The lines that a program prints: one for each message that was delivered to it.

use anyhow::Result;

use super::{Protocol, Taken};

pub struct Lines {
    /// How the line begins that says it is ready, until it was seen.
    pub ready: Option<&'static str>,
    /// How a line begins that tells of a message.
    pub tells: Vec<u8>,
}

impl Protocol for Lines {
    fn is_ready(&self) -> bool {
        self.ready.is_none()
    }

    /// A program is only listened to.
    fn write(&mut self, _: &mut Vec<u8>) {}

    fn read(&mut self, input: &[u8], _: &mut Vec<u8>) -> Result<Taken> {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        self.ready.take_if(|ready| input.starts_with(ready.as_bytes()));
        let messages = usize::from(input.starts_with(&self.tells));
        Ok(Some((end + 1, messages)))
    }
}
