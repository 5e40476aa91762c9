//! ZeroMQ's protocol, ZMTP 3.0 (rfc.zeromq.org/spec/23), for one kind of socket.

use anyhow::{Context, Result, bail, ensure};

use super::{Protocol, Taken, message, only};

const GREETING: usize = 64;
/// A frame's flags.
const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

pub struct Zmtp {
    /// REQ sends requests and gets replies; PUB and PUSH send to whoever connects.
    kind: &'static str,
    message: Vec<u8>,
    is_greeted: bool,
    is_ready: bool,
}

impl Zmtp {
    pub fn new(kind: &'static str, message: &str) -> Zmtp {
        Zmtp { kind, message: message.into(), is_greeted: false, is_ready: false }
    }
}

impl Protocol for Zmtp {
    /// The version, the mechanism NULL, and the type of this socket.
    fn greeting(&self) -> Vec<u8> {
        let mut out = b"\xff\0\0\0\0\0\0\0\0\x7f\x03\0NULL".to_vec();
        out.resize(GREETING, 0);
        let length = (self.kind.len() as u32).to_be_bytes();
        let ready = [b"\x05READY\x0bSocket-Type", &length[..], self.kind.as_bytes()];
        write_frame(COMMAND, &ready.concat(), &mut out);
        out
    }

    fn is_ready(&self) -> bool {
        self.is_ready
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        if self.kind == "REQ" {
            // The envelope: an empty delimiter frame before the message.
            write_frame(MORE, b"", out);
        }
        write_frame(0, &self.message, out);
    }

    fn read(&mut self, input: &[u8], _: &mut Vec<u8>) -> Result<Taken> {
        if !self.is_greeted {
            let Some(greeting) = input.get(..GREETING) else { return Ok(None) };
            ensure!(greeting.starts_with(&[0xFF]), "that is no ZMTP");
            self.is_greeted = true;
            return only(GREETING);
        }
        let Some((flags, body, bytes)) = split_frame(input)? else { return Ok(None) };
        match (flags & !LONG, self.kind) {
            (COMMAND, kind) if body.starts_with(b"\x05READY") => {
                // A publisher waits for a subscription as well.
                self.is_ready = kind != "PUB";
                only(bytes)
            }
            (0, "PUB") if body == [1] => {
                self.is_ready = true;
                only(bytes)
            }
            (MORE, "REQ") if body.is_empty() => only(bytes),
            (0, "REQ") if body == self.message => message(bytes),
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

/// The first frame, if it is complete: flags, body, and total length.
fn split_frame(input: &[u8]) -> Result<Option<(u8, &[u8], usize)>> {
    let Some((flags, rest)) = input.split_first() else { return Ok(None) };
    let head = match flags & LONG {
        0 => rest.split_first().map(|(length, rest)| (u64::from(*length), rest)),
        _ => rest
            .split_first_chunk()
            .map(|(&eight, rest)| (u64::from_be_bytes(eight), rest)),
    };
    let Some((length, rest)) = head else { return Ok(None) };
    let frame = rest.split_at_checked(usize::try_from(length).context("too long")?);
    Ok(frame.map(|(body, rest)| (*flags, body, input.len() - rest.len())))
}
