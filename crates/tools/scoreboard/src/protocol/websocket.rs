//! A client of the chat (RFC 6455): one speaks, the others listen.

use std::io::Cursor;

use anyhow::{Result, bail, ensure};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::{Protocol, Taken, message, only};

/// The key is always the same: a server does not check that it is new.
const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

pub struct WebSocket {
    message: Vec<u8>,
    is_open: bool,
}

impl WebSocket {
    pub fn new(message: &str) -> WebSocket {
        WebSocket { message: message.into(), is_open: false }
    }

    /// Takes the head of the response to the upgrade request.
    fn open(&mut self, input: &[u8]) -> Result<Taken> {
        let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&input[..end]);
        ensure!(head.starts_with("HTTP/1.1 101 "), "no Upgrade: {head}");
        self.is_open = true;
        only(end + 4)
    }
}

impl Protocol for WebSocket {
    fn greeting(&self) -> Vec<u8> {
        UPGRADE.to_vec()
    }

    fn is_ready(&self) -> bool {
        self.is_open
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        write_frame(OpCode::Data(Data::Text), &self.message, out);
    }

    fn read(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Taken> {
        if !self.is_open {
            return self.open(input);
        }
        let mut place = Cursor::new(input);
        let Some((head, length)) = FrameHeader::parse(&mut place)? else {
            return Ok(None);
        };
        let start = place.position() as usize;
        let end = start + usize::try_from(length)?;
        let Some(payload) = input.get(start..end) else { return Ok(None) };
        match head.opcode {
            // The server puts the sender's name in front.
            OpCode::Data(Data::Text) if payload.ends_with(&self.message) => {
                message(end)
            }
            OpCode::Control(Control::Ping) => {
                write_frame(OpCode::Control(Control::Pong), payload, out);
                only(end)
            }
            _ => bail!("an unexpected frame: {}", String::from_utf8_lossy(payload)),
        }
    }
}

/// A frame masked as a client has to: with zeros, which change nothing.
fn write_frame(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    let head = FrameHeader { opcode, mask: Some([0; 4]), ..FrameHeader::default() };
    head.format(payload.len() as u64, out).expect("a Vec takes all that is written");
    out.extend(payload);
}
