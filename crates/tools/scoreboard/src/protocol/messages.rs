//! A reading stored under a key of `tcp-messages`: by a line, or by a frame.

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Protocol, Taken, message};

/// What is sent for each message, and what is answered to it.
pub struct Request {
    request: Vec<u8>,
    reply: Vec<u8>,
}

pub fn line(reading: &str) -> Request {
    let request = format!("set reading {reading}\n").into_bytes();
    Request { request, reply: b"ok\n".to_vec() }
}

pub fn frame(reading: &str) -> Request {
    let request = json!({"do": "set", "key": "reading", "value": reading});
    let framed = |text: String| {
        let length = (text.len() as u32).to_be_bytes();
        [&length, text.as_bytes()].concat()
    };
    Request {
        request: framed(request.to_string()),
        reply: framed(json!({"ok": true}).to_string()),
    }
}

impl Protocol for Request {
    fn write(&mut self, out: &mut Vec<u8>) {
        out.extend(&self.request);
    }

    fn read(&mut self, input: &[u8], _: &mut Vec<u8>) -> Result<Option<Taken>> {
        let Some((reply, _)) = input.split_at_checked(self.reply.len()) else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(reply);
        ensure!(reply == self.reply, "it answers {text:?}");
        message(reply.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::feed;
    use super::*;

    #[test]
    fn a_reply_is_complete_with_its_last_byte_and_another_one_is_an_error() {
        assert_eq!(feed(&mut line("21.5"), b"ok\nok\n").0, 2);
        assert_eq!(feed(&mut frame("21.5"), b"\0\0\0\x0b{\"ok\":true}").0, 1);
        assert!(line("21.5").read(b"error full\n", &mut Vec::new()).is_err());
    }
}
