//! A request and its reply, the same each time.

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Protocol, Taken, message};

pub struct Fixed {
    request: Vec<u8>,
    reply: Vec<u8>,
}

impl Fixed {
    /// An echo over TCP (RFC 9293) or UDP (RFC 768).
    pub fn echo(reading: &str) -> Fixed {
        Fixed { request: reading.into(), reply: reading.into() }
    }

    /// A reading that `tcp-messages` stores under a key, as a line.
    pub fn line(reading: &str) -> Fixed {
        Fixed {
            request: format!("set reading {reading}\n").into(),
            reply: b"ok\n".to_vec(),
        }
    }

    /// The same as a frame: the length in four bytes, then JSON.
    pub fn frame(reading: &str) -> Fixed {
        let framed = |json: serde_json::Value| {
            let text = json.to_string();
            [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
        };
        let request = json!({"do": "set", "key": "reading", "value": reading});
        Fixed { request: framed(request), reply: framed(json!({"ok": true})) }
    }
}

impl Protocol for Fixed {
    fn write(&mut self, out: &mut Vec<u8>) {
        out.extend(&self.request);
    }

    fn read(&mut self, input: &[u8], _: &mut Vec<u8>) -> Result<Taken> {
        let Some(reply) = input.get(..self.reply.len()) else { return Ok(None) };
        let text = String::from_utf8_lossy(reply);
        ensure!(reply == self.reply, "an unexpected reply: {text:?}");
        message(reply.len())
    }
}
