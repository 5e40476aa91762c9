//! A client of the chat (RFC 6455): one speaks, the others listen.

use anyhow::{Result, bail, ensure};

use super::{Protocol, Taken, message, only};

const TEXT: u8 = 0x81;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;

pub struct WebSocket {
    message: Vec<u8>,
    is_open: bool,
}

impl WebSocket {
    pub fn new(message: Vec<u8>) -> WebSocket {
        WebSocket { message, is_open: false }
    }

    /// The head of an answer to the Upgrade.
    fn open(&mut self, input: &[u8]) -> Result<Option<Taken>> {
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
        // A server checks that there is a key, and not which one.
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n\
          Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            .to_vec()
    }

    fn is_ready(&self) -> bool {
        self.is_open
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        write_frame(TEXT, &self.message, out);
    }

    fn read(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<Taken>> {
        if !self.is_open {
            return self.open(input);
        }
        let Some((kind, payload, bytes)) = split_frame(input) else {
            return Ok(None);
        };
        match kind {
            // In front of it stands who said it.
            TEXT if payload.ends_with(&self.message) => message(bytes),
            PING => {
                write_frame(PONG, payload, out);
                only(bytes)
            }
            _ => bail!("an unexpected frame: {}", String::from_utf8_lossy(payload)),
        }
    }
}

/// A frame masked as a client has to: with zeros, which change nothing.
fn write_frame(kind: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..126), _) => out.push(0x80 | length),
        (_, Ok(length)) => {
            out.push(0x80 | 126);
            out.extend(length.to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(payload);
}

/// The first frame, if it is there as a whole: its kind, its payload, and its length.
fn split_frame(input: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (&[kind, length], rest) = input.split_first_chunk()?;
    let (length, rest) = match length {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::try_from(u64::from_be_bytes(*length)).ok()?, rest)
        }
        length => (usize::from(length), rest),
    };
    let (payload, rest) = rest.split_at_checked(length)?;
    Some((kind, payload, input.len() - rest.len()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::feed;
    use super::*;

    const OPEN: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

    #[test]
    fn a_chat_opens_and_then_messages_of_all_lengths_are_counted() {
        for length in [3, 125, 126, 65_535, 65_536] {
            let mut socket = WebSocket::new(vec![b'x'; length]);
            let mut frame = Vec::new();
            write_frame(TEXT, &[b"[1]: ", &*socket.message].concat(), &mut frame);
            // What comes from a server is not masked: the bit and the key go.
            frame[1] &= 0x7F;
            let head = frame.len() - 5 - length;
            frame.drain(head - 4..head);
            assert!(!socket.is_ready());
            assert_eq!(feed(&mut socket, &[OPEN, &frame].concat()).0, 1, "{length}");
            assert!(socket.is_ready());
        }
    }

    #[test]
    fn a_ping_is_answered_and_counts_for_nothing() {
        let mut socket = WebSocket::new(b"hello".to_vec());
        let (messages, answer) = feed(&mut socket, &[OPEN, &[PING, 1, 7]].concat());
        assert_eq!((messages, &*answer), (0, &[PONG, 0x81, 0, 0, 0, 0, 7][..]));
    }

    #[test]
    fn a_refusal_another_message_and_a_close_are_errors() {
        let mut socket = WebSocket::new(b"hello".to_vec());
        let refused = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        assert!(socket.read(refused, &mut Vec::new()).is_err());
        feed(&mut socket, OPEN);
        assert!(socket.read(&[TEXT, 1, b'x'], &mut Vec::new()).is_err());
        assert!(socket.read(&[0x88, 2, 3, 0xE8], &mut Vec::new()).is_err());
    }
}
