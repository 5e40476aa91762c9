//! A publisher of AMQP 0-9-1, with or without publisher confirms.

use std::collections::VecDeque;

use anyhow::{Result, bail, ensure};

use super::{Protocol, Taken, only};

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
const FRAME_END: u8 = 0xCE;
/// Bytes of a frame before its payload (type, channel, length), and with its end.
const BEFORE: usize = 7;
const AROUND: usize = BEFORE + 1;

/// A method: its class, and its number there.
type Method = (u16, u16);

const START: Method = (10, 10);
const START_OK: Method = (10, 11);
const TUNE: Method = (10, 30);
const TUNE_OK: Method = (10, 31);
const OPEN: Method = (10, 40);
const OPEN_OK: Method = (10, 41);
const CHANNEL_OPEN: Method = (20, 10);
const CHANNEL_OPEN_OK: Method = (20, 11);
const PUBLISH: Method = (60, 40);
const ACK: Method = (60, 80);
const SELECT: Method = (85, 10);
const SELECT_OK: Method = (85, 11);

pub struct Amqp {
    /// The methods that the broker still has to send, each with the answer to it.
    handshake: VecDeque<(Method, Vec<u8>)>,
    /// A message as it crosses the network.
    message: Vec<u8>,
    last_confirmed: u64,
}

impl Amqp {
    pub fn new(exchange: &str, key: &str, message: &str, confirmed: bool) -> Amqp {
        // No client properties; the default login, guest; a locale.
        let login = b"\0\0\0\0\x05PLAIN\0\0\0\x0c\0guest\0guest\x05en_US";
        // One channel, frames of 128 KiB, no heartbeats.
        let tuned = method(0, TUNE_OK, &[0, 1, 0, 2, 0, 0, 0, 0]);
        let mut handshake = VecDeque::from([
            (START, method(0, START_OK, login)),
            (TUNE, [tuned, method(0, OPEN, b"\x01/\0\0")].concat()),
            (OPEN_OK, method(1, CHANNEL_OPEN, b"\0")),
            (CHANNEL_OPEN_OK, Vec::new()),
        ]);
        if confirmed {
            handshake[3].1 = method(1, SELECT, b"\0");
            handshake.push_back((SELECT_OK, Vec::new()));
        }
        // A message is three frames. It has one property: it is persistent.
        let named = |name: &str| [&[name.len() as u8], name.as_bytes()].concat();
        let to = [&[0, 0], &*named(exchange), &named(key), &[0]].concat();
        let length = (message.len() as u64).to_be_bytes();
        let header = [&[0, 60, 0, 0], &length[..], &[0x10, 0, 2]].concat();
        let body = frame(BODY, 1, message.as_bytes());
        let message = [method(1, PUBLISH, &to), frame(HEADER, 1, &header), body];
        Amqp { handshake, message: message.concat(), last_confirmed: 0 }
    }

    fn confirms(&mut self, arguments: &[u8]) -> Result<usize> {
        let Some((&number, &[multiple])) = arguments.split_first_chunk() else {
            bail!("a malformed confirm");
        };
        let number = u64::from_be_bytes(number);
        // Confirms for one queue come in order: for one message, or with `multiple`
        // for all up to this one.
        let expected = number == self.last_confirmed + 1 || multiple == 1;
        ensure!(expected && number > self.last_confirmed, "a confirm out of order");
        let count = number - self.last_confirmed;
        self.last_confirmed = number;
        Ok(usize::try_from(count)?)
    }
}

impl Protocol for Amqp {
    fn greeting(&self) -> Vec<u8> {
        b"AMQP\0\0\x09\x01".to_vec()
    }

    fn is_ready(&self) -> bool {
        self.handshake.is_empty()
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        out.extend(&self.message);
    }

    fn read(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Taken> {
        let Some(&[kind, _, _, a, b, c, d]) = input.first_chunk() else {
            return Ok(None);
        };
        let bytes = AROUND + u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(frame) = input.get(..bytes) else { return Ok(None) };
        let method = frame[BEFORE..bytes - 1].split_first_chunk();
        let (METHOD, Some((&[a, b, c, d], arguments))) = (kind, method) else {
            ensure!(kind == HEARTBEAT, "an unexpected frame: {kind}");
            return only(bytes);
        };
        let method = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        if method == ACK {
            let messages = self.confirms(arguments)?;
            return Ok(Some((bytes, messages)));
        }
        match self.handshake.pop_front() {
            Some((expected, answer)) if method == expected => out.extend(answer),
            _ => bail!("the broker says {}", String::from_utf8_lossy(arguments)),
        }
        only(bytes)
    }
}

fn method(channel: u16, method: Method, arguments: &[u8]) -> Vec<u8> {
    let (class, method) = (method.0.to_be_bytes(), method.1.to_be_bytes());
    frame(METHOD, channel, &[&class, &method, arguments].concat())
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let (channel, length) =
        (channel.to_be_bytes(), (payload.len() as u32).to_be_bytes());
    [&[kind], &channel[..], &length, payload, &[FRAME_END]].concat()
}
