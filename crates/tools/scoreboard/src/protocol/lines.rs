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

    fn read(&mut self, input: &[u8], _: &mut Vec<u8>) -> Result<Option<Taken>> {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        self.ready.take_if(|ready| input.starts_with(ready.as_bytes()));
        let messages = usize::from(input.starts_with(&self.tells));
        Ok(Some(Taken { bytes: end + 1, messages }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::feed;
    use super::*;

    #[test]
    fn a_line_that_begins_as_expected_is_a_message_once_it_is_whole() {
        let mut lines = Lines { ready: Some("Waiting"), tells: b"Done: ".to_vec() };
        assert_eq!(feed(&mut lines, b"Connected\n").0, 0);
        assert!(!lines.is_ready());
        assert_eq!(feed(&mut lines, b"Waiting for tasks\nDone: a\nDone: b\n").0, 2);
        assert!(lines.is_ready());
    }
}
