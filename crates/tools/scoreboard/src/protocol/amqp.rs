//! A publisher of AMQP 0-9-1, with or without publisher confirms.

use anyhow::{Result, bail, ensure};

use super::{Protocol, Taken, only};

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
const FRAME_END: u8 = 0xCE;
/// What a frame has beside its payload: kind, channel and length, and its end.
const AROUND: usize = 8;
/// Methods: of a class, and its number there.
const START: (u16, u16) = (10, 10);
const START_OK: (u16, u16) = (10, 11);
const TUNE: (u16, u16) = (10, 30);
const TUNE_OK: (u16, u16) = (10, 31);
const OPEN: (u16, u16) = (10, 40);
const OPEN_OK: (u16, u16) = (10, 41);
const CHANNEL_OPEN: (u16, u16) = (20, 10);
const CHANNEL_OPEN_OK: (u16, u16) = (20, 11);
const PUBLISH: (u16, u16) = (60, 40);
const ACK: (u16, u16) = (60, 80);
const CONFIRM_SELECT: (u16, u16) = (85, 10);
const CONFIRM_SELECT_OK: (u16, u16) = (85, 11);

pub struct Amqp {
    exchange: &'static str,
    routing_key: String,
    message: Vec<u8>,
    /// Whether the broker is to confirm each message.
    confirmed: bool,
    is_ready: bool,
    last_confirmed: u64,
}

impl Amqp {
    pub fn new(
        exchange: &'static str,
        routing_key: &str,
        message: Vec<u8>,
        confirmed: bool,
    ) -> Amqp {
        let routing_key = routing_key.to_string();
        let (is_ready, last_confirmed) = (false, 0);
        Amqp { exchange, routing_key, message, confirmed, is_ready, last_confirmed }
    }

    /// Answers what the broker says; returns how many messages it confirms.
    fn method(
        &mut self,
        method: (u16, u16),
        arguments: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        match method {
            START => {
                // No properties; the login of a new broker; a language.
                let login = b"\0\0\0\0\x05PLAIN\0\0\0\x0c\0guest\0guest\x05en_US";
                write_method(0, START_OK, login, out);
            }
            TUNE => {
                let [.., a, b] = arguments else { bail!("a short Tune") };
                ensure!(arguments.len() == 8, "a Tune without a heartbeat: {a}{b}");
                // As the broker wants it, but without heartbeats.
                let tuned = [&arguments[..6], &[0, 0]].concat();
                write_method(0, TUNE_OK, &tuned, out);
                write_method(0, OPEN, b"\x01/\0\0", out);
            }
            OPEN_OK => write_method(1, CHANNEL_OPEN, b"\0", out),
            CHANNEL_OPEN_OK if self.confirmed => {
                write_method(1, CONFIRM_SELECT, b"\0", out);
            }
            CHANNEL_OPEN_OK | CONFIRM_SELECT_OK => self.is_ready = true,
            ACK => return self.confirms(arguments),
            _ => bail!("the broker says {}", String::from_utf8_lossy(arguments)),
        }
        Ok(0)
    }

    fn confirms(&mut self, arguments: &[u8]) -> Result<usize> {
        let Some((&number, &[multiple])) = arguments.split_first_chunk() else {
            bail!("a malformed confirm");
        };
        let number = u64::from_be_bytes(number);
        // Of messages to one queue the confirms come in order, each alone or the last
        // one for all before it.
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
        self.is_ready
    }

    /// A message is three frames: the method, its header, and its body.
    fn write(&mut self, out: &mut Vec<u8>) {
        let mut arguments = vec![0, 0];
        for name in [self.exchange, &self.routing_key] {
            arguments.push(name.len() as u8);
            arguments.extend(name.as_bytes());
        }
        arguments.push(0);
        write_method(1, PUBLISH, &arguments, out);
        let mut header = vec![0, 60, 0, 0];
        header.extend((self.message.len() as u64).to_be_bytes());
        // One property: the message is persistent.
        header.extend([0x10, 0, 2]);
        write_frame(HEADER, 1, &header, out);
        write_frame(BODY, 1, &self.message, out);
    }

    fn read(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<Taken>> {
        let Some(&[kind, _, _, a, b, c, d]) = input.first_chunk() else {
            return Ok(None);
        };
        let bytes = AROUND + u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(frame) = input.get(..bytes) else { return Ok(None) };
        if kind == HEARTBEAT {
            return only(bytes);
        }
        let payload = &frame[AROUND - 1..bytes - 1];
        let (METHOD, Some((&[a, b, c, d], arguments))) =
            (kind, payload.split_first_chunk())
        else {
            bail!("an unexpected frame: {kind}");
        };
        let method = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        Ok(Some(Taken { bytes, messages: self.method(method, arguments, out)? }))
    }
}

fn write_method(channel: u16, method: (u16, u16), rest: &[u8], out: &mut Vec<u8>) {
    let method = [method.0.to_be_bytes(), method.1.to_be_bytes()].concat();
    write_frame(METHOD, channel, &[&method, rest].concat(), out);
}

fn write_frame(kind: u8, channel: u16, payload: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend(channel.to_be_bytes());
    out.extend((payload.len() as u32).to_be_bytes());
    out.extend(payload);
    out.push(FRAME_END);
}

#[cfg(test)]
mod tests {
    use super::super::testing::feed;
    use super::*;

    fn says(method: (u16, u16), arguments: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        write_method(1, method, arguments, &mut frame);
        frame
    }

    fn ready(confirmed: bool) -> Amqp {
        let mut amqp = Amqp::new("", "queue", b"hi".to_vec(), confirmed);
        for (method, arguments, answers) in [
            (START, &b"\0\x09"[..], 1),
            (TUNE, &[7, 255, 0, 2, 0, 0, 0, 60], 2),
            (OPEN_OK, b"\0", 1),
            (CHANNEL_OPEN_OK, b"\0\0\0\0", usize::from(confirmed)),
        ] {
            let (messages, out) = feed(&mut amqp, &says(method, arguments));
            let ends = out.iter().filter(|byte| **byte == FRAME_END).count();
            assert_eq!((messages, ends), (0, answers));
        }
        assert_eq!(amqp.is_ready(), !confirmed);
        feed(&mut amqp, &says(CONFIRM_SELECT_OK, b""));
        assert!(amqp.is_ready());
        amqp
    }

    #[test]
    fn a_confirm_counts_for_one_message_or_for_all_before_it() {
        let ack = |number: u8, multiple| {
            says(ACK, &[0, 0, 0, 0, 0, 0, 0, number, multiple])
        };
        let mut amqp = ready(true);
        let acks = [ack(1, 0), ack(4, 1), ack(5, 0)].concat();
        assert_eq!(feed(&mut amqp, &acks), (5, Vec::new()));
        assert!(amqp.read(&ack(7, 0), &mut Vec::new()).is_err());
    }

    #[test]
    fn what_the_broker_complains_of_is_an_error() {
        let closed = says((20, 40), b"\x01\x94\x09NOT_FOUND\0\0\0\0");
        let error = ready(false).read(&closed, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("NOT_FOUND"), "{error}");
    }
}
