//! ZMTP 3.0 and 3.1, which ZeroMQ's peers speak: a greeting, commands and messages.
//!
//! The payload is a message frame's body. All else counts as header: the greeting, all
//! of a command, and a subscription, which ZMTP 3.0 sends as a message.

use super::reader::Reader;
use super::{Direction, Parser, Piece, Step, printable};

/// How much of a command is looked at for its details.
const LOOKED_AT: u64 = 1024;

#[derive(Default)]
pub struct Zmtp {
    greeted: [bool; 2],
    /// What sends in this direction sends subscriptions.
    subscribes: [bool; 2],
}

impl Parser for Zmtp {
    fn step(&mut self, direction: Direction, head: &[u8]) -> Step {
        let at = direction as usize;
        if !self.greeted[at] {
            return self.greeting(at, head);
        }
        let flags = head.first().copied().unwrap_or_default();
        let (more, long, command) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
        if flags > 7 || (command && more) {
            return Step::Raw;
        }
        let mut reader = Reader(head.get(1..).unwrap_or_default());
        let Some(size) = reader.number(if long { 8 } else { 1 }) else {
            return Step::More(if long { 9 } else { 2 });
        };
        if size > i64::MAX as u64 {
            return Step::Raw;
        }
        let before = if long { 9 } else { 2 };
        let follows = if more { "more" } else { "last" };
        if !command {
            match self.subscription(at, size, reader.0) {
                Subscription::No => {
                    // One byte may have been looked at, to see what it is.
                    let early = reader.0.len();
                    let payload = size - early as u64;
                    let piece = Piece::new("message frame", follows);
                    return Step::Piece(Piece { early, payload, ..piece });
                }
                Subscription::More(wanted) => return Step::More(before + wanted),
                Subscription::Is(details) => {
                    let skip = size - reader.0.len() as u64;
                    let details = format!("{follows}, {details}");
                    let piece = Piece::new("message frame", details);
                    return Step::Piece(Piece { skip, ..piece });
                }
            }
        }
        let kept = size.min(LOOKED_AT) as usize;
        if reader.0.len() < kept {
            return Step::More(before + kept);
        }
        let name = reader.counted(1).unwrap_or_default();
        let details = self.details(at, name, reader).unwrap_or_default();
        let name = match name {
            [] => "command".to_string(),
            name => printable(name),
        };
        let skip = size - kept as u64;
        Step::Piece(Piece { skip, ..Piece::new(name, details) })
    }
}

enum Subscription {
    No,
    More(usize),
    Is(String),
}

impl Zmtp {
    fn greeting(&mut self, at: usize, head: &[u8]) -> Step {
        match head {
            [0xff] => Step::More(10),
            // What an older version sends after the signature is shorter.
            [0xff, .., 0x7f] if head.len() == 10 => Step::More(11),
            [0xff, ..] if head.len() == 11 && head[10] >= 3 => Step::More(64),
            [0xff, ..] if head.len() >= 64 => {
                self.greeted[at] = true;
                let mechanism = head[12..32].split(|byte| *byte == 0).next();
                let mechanism = printable(mechanism.unwrap_or_default());
                let server = if head[32] & 1 == 1 { ", as server" } else { "" };
                let details = format!(
                    "ZMTP {}.{}, mechanism {mechanism}{server}",
                    head[10], head[11]
                );
                Step::Piece(Piece::new("greeting", details))
            }
            _ => Step::Raw,
        }
    }

    /// A subscriber's message that begins with 1 or 0 is one.
    fn subscription(&self, at: usize, size: u64, body: &[u8]) -> Subscription {
        if !self.subscribes[at] || size == 0 {
            return Subscription::No;
        }
        let kept = size.min(LOOKED_AT) as usize;
        match body {
            [] => Subscription::More(1),
            [0 | 1, ..] if body.len() < kept => Subscription::More(kept),
            [1, topic @ ..] => {
                Subscription::Is(format!("subscribes to '{}'", printable(topic)))
            }
            [0, topic @ ..] => {
                Subscription::Is(format!("unsubscribes from '{}'", printable(topic)))
            }
            _ => Subscription::No,
        }
    }

    fn details(
        &mut self,
        at: usize,
        name: &[u8],
        mut reader: Reader,
    ) -> Option<String> {
        Some(match name {
            b"READY" | b"INITIATE" => {
                let mut metadata = Vec::new();
                while let (Some(name), Some(value)) =
                    (reader.counted(1), reader.counted(4))
                {
                    if name.eq_ignore_ascii_case(b"socket-type") {
                        self.subscribes[at] = matches!(value, b"SUB" | b"XSUB");
                    }
                    if !value.is_empty() {
                        metadata.push(format!(
                            "{} {}",
                            printable(name),
                            printable(value)
                        ));
                    }
                }
                metadata.join(", ")
            }
            b"ERROR" => printable(reader.counted(1)?),
            b"SUBSCRIBE" => format!("to '{}'", printable(reader.0)),
            b"CANCEL" => format!("of '{}'", printable(reader.0)),
            b"PING" => format!("time to live {} ms", reader.number(2)? * 100),
            _ => String::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::dissect::Direction::*;
    use crate::dissect::testing::shown;

    fn greeting(minor: u8) -> Vec<u8> {
        let mut greeting = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03".to_vec();
        greeting.push(minor);
        greeting.extend(b"NULL");
        greeting.resize(64, 0);
        greeting
    }

    fn ready(socket: &[u8]) -> Vec<u8> {
        let mut ready = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
        ready.push(socket.len() as u8);
        ready.extend(socket);
        [&[4, ready.len() as u8], &ready[..]].concat()
    }

    /// What follows the greetings.
    fn frames(client: &[u8], server: &[u8]) -> Vec<String> {
        let (three_one, three_zero) = (greeting(1), greeting(0));
        // Both send a part of it, and wait for the other's.
        let sent = [
            (ToServer, &three_one[..10]),
            (ToClient, &three_zero[..]),
            (ToServer, &three_one[10..]),
            (ToServer, client),
            (ToClient, server),
        ];
        let (greetings, frames): (Vec<_>, Vec<_>) = shown(None, &sent)
            .into_iter()
            .partition(|line| line.contains("greeting"));
        assert_eq!(
            greetings,
            [
                "< 64+0 greeting ZMTP 3.0, mechanism NULL",
                "> 64+0 greeting ZMTP 3.1, mechanism NULL"
            ]
        );
        frames
    }

    #[test]
    fn a_question_and_its_answer_are_two_frames_each() {
        let client = [ready(b"REQ"), b"\x01\0\0\x05Hello".to_vec()].concat();
        let server = [ready(b"REP"), b"\x01\0\0\x05World".to_vec()].concat();
        assert_eq!(
            frames(&client, &server),
            [
                "> 27+0 READY Socket-Type REQ",
                "> 2+0 message frame more",
                "> 2+5 message frame last = Hello",
                "< 27+0 READY Socket-Type REP",
                "< 2+0 message frame more",
                "< 2+5 message frame last = World",
            ]
        );
    }

    #[test]
    fn a_subscription_is_a_command_or_a_subscribers_message() {
        let client = [
            &ready(b"SUB")[..],
            b"\x04\x0e\x09SUBSCRIBEtemp\x04\x0b\x06CANCELtemp\
            \0\x05\x01temp\0\x05\0temp\0\x02no",
        ]
        .concat();
        let server = [ready(b"PUB"), b"\0\x05\x01temp".to_vec()].concat();
        assert_eq!(
            frames(&client, &server)[1..],
            [
                "> 16+0 SUBSCRIBE to 'temp'",
                "> 13+0 CANCEL of 'temp'",
                "> 7+0 message frame last, subscribes to 'temp'",
                "> 7+0 message frame last, unsubscribes from 'temp'",
                "> 2+2 message frame last = no",
                "< 27+0 READY Socket-Type PUB",
                "< 2+5 message frame last = \\u{1}temp",
            ]
        );
    }

    #[test]
    fn a_long_frame_has_a_header_of_nine_bytes() {
        let long = [&b"\x02\0\0\0\0\0\0\x01\0"[..], &[b'x'; 256]].concat();
        let ping = b"\x04\x0a\x04PING\0\x0actx\x04\x0b\x05ERROR\x04nope";
        let frames = frames(&long, ping);
        assert!(
            frames[0].starts_with("> 9+256 message frame last = xxx"),
            "{frames:?}"
        );
        assert_eq!(
            frames[1..],
            ["< 12+0 PING time to live 1000 ms", "< 13+0 ERROR nope"]
        );
    }

    #[test]
    fn what_is_no_frame_or_too_long_is_bytes() {
        let claims = b"\x02\x10\0\0\0\0\0\0\0some";
        assert_eq!(
            frames(claims, b"\x08\0"),
            [
                "< 0+2 bytes = \\u{8}\\u{0}",
                "> 9+4 message frame last, cut short = some"
            ]
        );
        let too_long = b"\x02\x80\0\0\0\0\0\0\0";
        assert!(frames(too_long, b"")[0].starts_with("> 0+9 bytes"));
        assert!(frames(b"\x05\0", b"")[0].starts_with("> 0+2 bytes"));
    }
}
