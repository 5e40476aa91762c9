//! ZeroMQ's protocol, ZMTP 3.0 (rfc.zeromq.org/spec/23), for one kind of socket.

use anyhow::{Context, Result, bail, ensure};

use super::{Protocol, Taken, message, only};

const GREETING: usize = 64;
/// A frame's flags.
const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// Asks, and is answered.
    Req,
    /// Publishes to the subscriber that connects.
    Pub,
    /// Sends tasks to the puller that connects.
    Push,
}

impl Kind {
    fn name(self) -> &'static [u8] {
        match self {
            Kind::Req => b"REQ",
            Kind::Pub => b"PUB",
            Kind::Push => b"PUSH",
        }
    }
}

pub struct Zmtp {
    kind: Kind,
    message: Vec<u8>,
    is_greeted: bool,
    is_ready: bool,
}

impl Zmtp {
    pub fn new(kind: Kind, message: Vec<u8>) -> Zmtp {
        Zmtp { kind, message, is_greeted: false, is_ready: false }
    }

    /// The peer says READY. A publisher waits for a subscription as well.
    fn command(&mut self, body: &[u8], bytes: usize) -> Result<Option<Taken>> {
        ensure!(body.starts_with(b"\x05READY"), "an unexpected command: {body:?}");
        self.is_ready = self.kind != Kind::Pub;
        only(bytes)
    }
}

impl Protocol for Zmtp {
    /// The version, the mechanism NULL, and what kind of socket this is.
    fn greeting(&self) -> Vec<u8> {
        let mut out = b"\xff\0\0\0\0\0\0\0\0\x7f\x03\0NULL".to_vec();
        out.resize(GREETING, 0);
        let mut ready = b"\x05READY\x0bSocket-Type".to_vec();
        let name = self.kind.name();
        ready.extend((name.len() as u32).to_be_bytes());
        ready.extend(name);
        write_frame(COMMAND, &ready, &mut out);
        out
    }

    fn is_ready(&self) -> bool {
        self.is_ready
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        if self.kind == Kind::Req {
            // The envelope: an empty frame between the way back and the message.
            write_frame(MORE, b"", out);
        }
        write_frame(0, &self.message, out);
    }

    fn read(&mut self, input: &[u8], _: &mut Vec<u8>) -> Result<Option<Taken>> {
        if !self.is_greeted {
            let Some(greeting) = input.get(..GREETING) else { return Ok(None) };
            ensure!(greeting.starts_with(&[0xFF]), "that is no ZMTP");
            self.is_greeted = true;
            return only(GREETING);
        }
        let Some((flags, body, bytes)) = split_frame(input)? else { return Ok(None) };
        match (flags & !LONG, self.kind) {
            (COMMAND, _) => self.command(body, bytes),
            (MORE, Kind::Req) if body.is_empty() => only(bytes),
            (0, Kind::Pub) => {
                ensure!(body == [1], "a subscription to {body:?}");
                self.is_ready = true;
                only(bytes)
            }
            (0, Kind::Req) => {
                ensure!(body == self.message, "another message came back");
                message(bytes)
            }
            _ => bail!("an unexpected frame: {flags:x} {body:?}"),
        }
    }
}

fn write_frame(flags: u8, body: &[u8], out: &mut Vec<u8>) {
    match u8::try_from(body.len()) {
        Ok(length) => out.extend([flags, length]),
        Err(_) => {
            out.push(flags | LONG);
            out.extend((body.len() as u64).to_be_bytes());
        }
    }
    out.extend(body);
}

/// The first frame, if it is there as a whole: flags, body, and length in all.
fn split_frame(input: &[u8]) -> Result<Option<(u8, &[u8], usize)>> {
    let Some((&[flags, short], rest)) = input.split_first_chunk() else {
        return Ok(None);
    };
    let (length, rest) = match flags & LONG {
        0 => (usize::from(short), rest),
        _ => match input[1..].split_first_chunk() {
            Some((length, rest)) => {
                let length = u64::from_be_bytes(*length);
                (usize::try_from(length).context("too long")?, rest)
            }
            None => return Ok(None),
        },
    };
    let frame = rest.split_at_checked(length);
    Ok(frame.map(|(body, rest)| (flags, body, input.len() - rest.len())))
}

#[cfg(test)]
mod tests {
    use super::super::testing::feed;
    use super::*;

    fn greeted(kind: Kind, message: &[u8]) -> Zmtp {
        let mut zmtp = Zmtp::new(kind, message.to_vec());
        let peer = Zmtp::new(Kind::Req, Vec::new()).greeting();
        assert!(!zmtp.is_ready());
        assert_eq!(feed(&mut zmtp, &peer).0, 0);
        zmtp
    }

    #[test]
    fn a_requester_counts_replies_of_all_lengths() {
        for length in [0, 255, 256, 70_000] {
            let mut zmtp = greeted(Kind::Req, &vec![7; length]);
            assert!(zmtp.is_ready());
            let mut reply = Vec::new();
            zmtp.write(&mut reply);
            assert_eq!(feed(&mut zmtp, &reply.repeat(2)).0, 2, "{length}");
        }
    }

    #[test]
    fn another_reply_and_what_is_no_zmtp_are_errors() {
        let mut zmtp = greeted(Kind::Req, b"21.5");
        assert!(zmtp.read(b"\0\x0421.6", &mut Vec::new()).is_err());
        let mut zmtp = Zmtp::new(Kind::Req, Vec::new());
        assert!(zmtp.read(&[b'H'; GREETING], &mut Vec::new()).is_err());
    }
}
