//! MQTT 3.1.1 and 5: packets.
//!
//! The payload is what an application publishes. All else counts as header: all of any
//! other packet, and of a PUBLISH the fixed header, topic, packet id and properties.

use super::reader::Reader;
use super::{Direction, Parser, Piece, Step, printable};

/// How much of a packet is looked at for its details.
const LOOKED_AT: usize = 1024;

const NAMES: [&str; 16] = [
    "",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
];

#[derive(Default)]
pub struct Mqtt {
    /// Version 5 has properties and reasons; CONNECT says which version it is.
    five: bool,
}

impl Parser for Mqtt {
    fn step(&mut self, direction: Direction, head: &[u8]) -> Step {
        let first = head[..].first().copied().unwrap_or_default();
        let (kind, flags) = (first >> 4, first & 0x0f);
        let flags_allowed = match kind {
            0 => return Step::Raw,
            3 => flags & 0b0110 != 0b0110,
            6 | 8 | 10 => flags == 0b0010,
            _ => flags == 0,
        };
        if !flags_allowed {
            return Step::Raw;
        }
        let (remaining, fixed) = match variable(head, 1) {
            Variable::Is(remaining, fixed) => (remaining, fixed),
            Variable::More(wanted) => return Step::More(wanted),
            Variable::Never => return Step::Raw,
        };
        if kind == 3 {
            return self.publish(flags, remaining, fixed, head);
        }
        let kept = remaining.min(LOOKED_AT);
        if head.len() < fixed + kept {
            return Step::More(fixed + kept);
        }
        let mut details = Vec::new();
        // Whatever is missing at the end of a packet is missing in its details.
        self.details(direction, kind, Reader(&head[fixed..]), &mut details);
        let skip = (remaining - kept) as u64;
        let name = NAMES[usize::from(kind)];
        Step::Piece(Piece { skip, ..Piece::new(name, details.join(", ")) })
    }
}

impl Mqtt {
    fn publish(
        &self,
        flags: u8,
        remaining: usize,
        fixed: usize,
        head: &[u8],
    ) -> Step {
        let qos = flags >> 1 & 0b11;
        let mut wanted = fixed + 2;
        if remaining < 2 {
            return Step::Raw;
        }
        let Some(topic) = Reader(head).take(wanted).map(|head| &head[fixed..]) else {
            return Step::More(wanted);
        };
        let topic = usize::from(topic[0]) << 8 | usize::from(topic[1]);
        wanted += topic + if qos > 0 { 2 } else { 0 };
        if wanted - fixed > remaining {
            return Step::Raw;
        }
        if head.len() < wanted {
            return Step::More(wanted);
        }
        let mut skip = 0;
        if self.five {
            match variable(head, wanted) {
                Variable::Is(length, _) if wanted - fixed >= remaining + length => {
                    return Step::Raw;
                }
                Variable::Is(length, end) => (skip, wanted) = (length, end),
                Variable::More(wanted) => return Step::More(wanted),
                Variable::Never => return Step::Raw,
            }
        }
        let Some(payload) = remaining.checked_sub(wanted - fixed + skip) else {
            return Step::Raw;
        };
        let mut reader = Reader(&head[fixed..]);
        let topic = printable(reader.counted(2).unwrap_or_default());
        let mut details = vec![format!("QoS {qos}")];
        let named = [(0b1000, "DUP"), (0b0001, "RETAIN")];
        let named = named.iter().filter(|(flag, _)| flags & flag != 0);
        details.extend(named.map(|(_, name)| name.to_string()));
        if qos > 0 {
            details.extend(packet(&mut reader));
        }
        details.push(format!("topic {topic}"));
        if skip > 0 {
            details.push(format!("{skip} bytes of properties"));
        }
        let (skip, payload) = (skip as u64, payload as u64);
        Step::Piece(Piece {
            skip,
            payload,
            ..Piece::new("PUBLISH", details.join(", "))
        })
    }

    /// Adds what the packet says; stops where it ends.
    fn details(
        &mut self,
        direction: Direction,
        kind: u8,
        mut reader: Reader,
        details: &mut Vec<String>,
    ) -> Option<()> {
        match kind {
            1 => self.connect(direction, reader, details)?,
            2 => {
                let present = reader.number(1)? & 1 == 1;
                details.push(match reader.number(1)? {
                    0 => "accepted".to_string(),
                    code => format!("refused, code {code}"),
                });
                details.extend(present.then(|| "session present".to_string()));
            }
            4..=7 => {
                details.push(packet(&mut reader)?);
                self.reason(reader, details)?;
            }
            8 | 10 => {
                details.push(packet(&mut reader)?);
                self.properties(&mut reader)?;
                while let Some(topic) = reader.counted(2) {
                    let qos = match kind {
                        8 => format!(" QoS {}", reader.number(1)? & 0b11),
                        _ => String::new(),
                    };
                    details.push(format!("topic {}{qos}", printable(topic)));
                }
            }
            9 | 11 => {
                details.push(packet(&mut reader)?);
                self.properties(&mut reader)?;
                while let Some(code) = reader.number(1) {
                    details.push(match code {
                        0..=2 if kind == 9 => format!("QoS {code} granted"),
                        0 => "done".to_string(),
                        code => format!("refused, code {code}"),
                    });
                }
            }
            14 | 15 => self.reason(reader, details)?,
            _ => {}
        }
        Some(())
    }

    fn connect(
        &mut self,
        direction: Direction,
        mut reader: Reader,
        details: &mut Vec<String>,
    ) -> Option<()> {
        reader.counted(2)?;
        let version = reader.number(1)?;
        if direction == Direction::ToServer {
            self.five = version == 5;
        }
        details.push(match version {
            3 => "MQTT 3.1".to_string(),
            4 => "MQTT 3.1.1".to_string(),
            version => format!("MQTT {version}"),
        });
        let flags = reader.number(1)?;
        let keep_alive = reader.number(2)?;
        self.properties(&mut reader)?;
        details.push(format!("client id {}", printable(reader.counted(2)?)));
        let clean = if version == 5 { "clean start" } else { "clean session" };
        let named =
            [(0x02, clean), (0x04, "will"), (0x80, "user name"), (0x40, "password")];
        let named = named.iter().filter(|(flag, _)| flags & flag != 0);
        details.extend(named.map(|(_, name)| name.to_string()));
        details.push(format!("keep alive {keep_alive} s"));
        Some(())
    }

    /// Why, if it is not simply success.
    fn reason(&self, mut reader: Reader, details: &mut Vec<String>) -> Option<()> {
        match reader.number(1)? {
            0 => {}
            reason => details.push(format!("reason 0x{reason:02x}")),
        }
        Some(())
    }

    fn properties(&self, reader: &mut Reader) -> Option<()> {
        if self.five {
            let Variable::Is(length, start) = variable(reader.0, 0) else {
                return None;
            };
            reader.take(start + length)?;
        }
        Some(())
    }
}

fn packet(reader: &mut Reader) -> Option<String> {
    Some(format!("packet {}", reader.number(2)?))
}

/// A number of one to four bytes, each of seven bits.
enum Variable {
    /// The number, and where it ends.
    Is(usize, usize),
    /// How many bytes must be there to go on.
    More(usize),
    Never,
}

fn variable(bytes: &[u8], start: usize) -> Variable {
    let mut number = 0;
    for at in 0..4 {
        let Some(byte) = bytes.get(start + at) else {
            return Variable::More(start + at + 1);
        };
        number |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Variable::Is(number, start + at + 1);
        }
    }
    Variable::Never
}

#[cfg(test)]
mod tests {
    use crate::dissect::testing::shown;
    use crate::dissect::{Direction::*, Protocol::Mqtt};

    const CONNECT_5: &[u8] = b"\x10\x10\0\x04MQTT\x05\x02\0\x3c\x03\x21\0\x14\0\0";

    /// MQTT 3.1.1, figure 3.6 and others: a will of QoS 1, a user name, a password.
    #[test]
    fn connecting_says_who_and_how() {
        let connect =
            b"\x10\x1b\0\x04MQTT\x04\xce\0\x0a\0\x02me\0\x01w\0\x01x\0\x01u\0\x02pw";
        let refused = b"\x20\x02\0\x05";
        assert_eq!(
            shown(None, &[(ToServer, &connect[..27]), (ToServer, &connect[27..])])
                .len(),
            1
        );
        assert_eq!(
            shown(None, &[(ToServer, connect), (ToClient, refused)]),
            [
                "> 29+0 CONNECT MQTT 3.1.1, client id me, clean session, will, user name, \
                 password, keep alive 10 s",
                "< 4+0 CONNACK refused, code 5",
            ]
        );
    }

    #[test]
    fn a_publication_has_its_topic_in_the_header() {
        let sent = b"\x30\x08\0\x03a/bone\x3d\x0a\0\x03a/b\0\x0atwo\x40\x02\0\x0a";
        assert_eq!(
            shown(Some(Mqtt), &[(ToServer, sent)]),
            [
                "> 7+3 PUBLISH QoS 0, topic a/b = one",
                "> 9+3 PUBLISH QoS 2, DUP, RETAIN, packet 10, topic a/b = two",
                "> 4+0 PUBACK packet 10",
            ]
        );
    }

    #[test]
    fn the_other_packets_are_all_header() {
        let client = b"\x82\x0c\0\x01\0\x03a/#\x01\0\x01b\0\xa2\x05\0\x02\0\x01b\
            \x62\x02\0\x07\xc0\0\xe0\0";
        let server = b"\x20\x02\x01\0\x90\x04\0\x01\x01\x80\xb0\x02\0\x02\
            \x50\x02\0\x07\x70\x02\0\x07\xd0\0";
        assert_eq!(
            shown(Some(Mqtt), &[(ToServer, client), (ToClient, server)]),
            [
                "> 14+0 SUBSCRIBE packet 1, topic a/# QoS 1, topic b QoS 0",
                "> 7+0 UNSUBSCRIBE packet 2, topic b",
                "> 4+0 PUBREL packet 7",
                "> 2+0 PINGREQ",
                "> 2+0 DISCONNECT",
                "< 4+0 CONNACK accepted, session present",
                "< 6+0 SUBACK packet 1, QoS 1 granted, refused, code 128",
                "< 4+0 UNSUBACK packet 2",
                "< 4+0 PUBREC packet 7",
                "< 4+0 PUBCOMP packet 7",
                "< 2+0 PINGRESP",
            ]
        );
    }

    #[test]
    fn version_5_has_properties_and_reasons_in_both_directions() {
        let publish = b"\x32\x0c\0\x01t\0\x05\x02\x01\x01text";
        let server = b"\x20\x03\0\0\0\x40\x03\0\x05\x10\x30\x06\0\x01t\0hi";
        assert_eq!(
            shown(
                None,
                &[(ToServer, CONNECT_5), (ToServer, publish), (ToClient, server)]
            ),
            [
                "> 18+0 CONNECT MQTT 5, client id , clean start, keep alive 60 s",
                "> 10+4 PUBLISH QoS 1, packet 5, topic t, 2 bytes of properties = text",
                "< 5+0 CONNACK accepted",
                "< 5+0 PUBACK packet 5, reason 0x10",
                "< 6+2 PUBLISH QoS 0, topic t = hi",
            ]
        );
    }

    #[test]
    fn what_the_standard_forbids_is_bytes() {
        let forbidden: [&[u8]; 6] = [
            b"\0\0",                  // no type
            b"\x36\x05\0\x01t\0\x01", // QoS 3
            b"\x80\0",                // flags of SUBSCRIBE
            b"\xc0\xff\xff\xff\xff",  // a length without end
            b"\x30\x03\0\x05t",       // a topic longer than the packet
            b"\x32\x03\0\x01t",       // no room for the packet id
        ];
        for packet in forbidden {
            let shown = shown(Some(Mqtt), &[(ToServer, packet)]);
            assert!(
                shown[0].starts_with(&format!("> 0+{} ", packet.len())),
                "{shown:?}"
            );
        }
        let properties = b"\x30\x04\0\x01t\x7f";
        let shown = shown(None, &[(ToServer, CONNECT_5), (ToServer, properties)]);
        assert!(shown[1].starts_with("> 0+6 bytes"), "{shown:?}");
    }

    #[test]
    fn a_long_list_of_topics_is_counted_and_not_kept() {
        let topics = b"\0\x03a/b\x01".repeat(20_000);
        let subscribe = [&b"\x82\xc2\xa9\x07\0\x01"[..], &topics, b"\xc0\0"].concat();
        let shown = shown(Some(Mqtt), &[(ToServer, &subscribe)]);
        let expected = "> 120006+0 SUBSCRIBE packet 1, topic a/b QoS 1, topic a/b";
        assert!(shown[0].starts_with(expected), "{shown:?}");
        assert_eq!(shown[1..], ["> 2+0 PINGREQ"]);
    }

    #[test]
    fn a_long_topic_is_waited_for_and_long_properties_are_not() {
        let mut publish = b"\x30\x84\x80\x04\xff\xff".to_vec();
        publish.resize(publish.len() + 65535, b't');
        publish.extend(b"end");
        let topics = shown(Some(Mqtt), &[(ToServer, &publish)]);
        assert!(
            topics[0].starts_with("> 65541+3 PUBLISH QoS 0, topic ttt"),
            "{topics:?}"
        );
        // 256 MB of properties are announced, and the first of them came.
        let publish = b"\x30\xff\xff\xff\x7f\0\x01t\xf0\xff\xff\x7fproperties";
        assert_eq!(
            shown(None, &[(ToServer, CONNECT_5), (ToServer, publish)])[1],
            "> 22+0 PUBLISH QoS 0, topic t, 268435440 bytes of properties, cut short"
        );
    }
}
