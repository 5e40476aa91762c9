//! A publisher of MQTT 3.1.1 at QoS 0, 1 or 2.

use anyhow::{Result, bail, ensure};

use super::{Protocol, Taken, message, only};

const CONNACK: u8 = 0x20;
const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

pub struct Mqtt {
    topic: &'static str,
    message: Vec<u8>,
    qos: u8,
    is_connected: bool,
    last_id: u16,
}

impl Mqtt {
    pub fn new(topic: &'static str, message: &str, qos: u8) -> Mqtt {
        Mqtt { topic, message: message.into(), qos, is_connected: false, last_id: 0 }
    }
}

impl Protocol for Mqtt {
    /// CONNECT: a clean session, no keep-alive, and a name that the broker chooses.
    fn greeting(&self) -> Vec<u8> {
        b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0".to_vec()
    }

    fn is_ready(&self) -> bool {
        self.is_connected
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        let has_id = self.qos > 0;
        let topic = self.topic.as_bytes();
        let length = 2 + topic.len() + 2 * usize::from(has_id) + self.message.len();
        out.push(0x30 | self.qos << 1);
        write_length(length, out);
        out.extend((topic.len() as u16).to_be_bytes());
        out.extend(topic);
        if has_id {
            // Packet id 0 is not allowed. An id is free again long before it is reused.
            self.last_id = self.last_id % u16::MAX + 1;
            out.extend(self.last_id.to_be_bytes());
        }
        out.extend(&self.message);
    }

    /// Every packet from the broker to a publisher has four bytes.
    fn read(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Taken> {
        let Some(&[kind, length, high, low]) = input.first_chunk() else {
            return Ok(None);
        };
        ensure!(length == 2, "an unexpected packet: {kind:x}");
        match kind {
            CONNACK => {
                ensure!(low == 0, "the broker refuses: {low}");
                self.is_connected = true;
                only(4)
            }
            PUBREC => {
                out.extend([PUBREL, 2, high, low]);
                only(4)
            }
            PUBACK | PUBCOMP => message(4),
            _ => bail!("an unexpected packet: {kind:x}"),
        }
    }
}

/// Seven bits per byte, the lowest first; the eighth bit says that more bytes follow.
fn write_length(mut length: usize, out: &mut Vec<u8>) {
    while length > 127 {
        out.push(0x80 | (length & 0x7F) as u8);
        length >>= 7;
    }
    out.push(length as u8);
}
