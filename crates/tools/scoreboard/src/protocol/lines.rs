//! The lines that a program prints: one for each message that was delivered to it.

use anyhow::Result;

use super::{Protocol, Taken};

pub struct Lines {
    /// How the line begins that says the program is ready; None when it has come.
    pub ready: Option<&'static str>,
    /// How the line of a message begins.
    pub tells: Vec<u8>,
}

impl Protocol for Lines {
    fn is_ready(&self) -> bool {
        self.ready.is_none()
    }

    /// Nothing is sent to a program that prints.
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
