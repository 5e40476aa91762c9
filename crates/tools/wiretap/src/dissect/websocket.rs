//! WebSocket (RFC 6455): frames, as they follow the upgrade.
//!
//! The header is the frame's first 2 to 14 bytes, the mask included; a close frame's
//! code counts as header too. The payload is shown without its mask.

use super::reader::Reader;
use super::{Direction, Parser, Piece, Step};

#[derive(Default)]
pub struct WebSocket {
    /// What each direction has begun to send in fragments.
    fragmented: [Option<&'static str>; 2],
}

impl Parser for WebSocket {
    fn step(&mut self, direction: Direction, head: &[u8]) -> Step {
        let &[first, second, ..] = head else { return Step::More(2) };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        let (masked, short) = (second & 0x80 != 0, second & 0x7f);
        let Some(name) = name(opcode) else { return Step::Raw };
        // A control frame is short and whole.
        let control = opcode & 0x08 != 0;
        if control && (!fin || short > 125) {
            return Step::Raw;
        }
        let extra = [0, 2, 8][usize::from(short > 125) + usize::from(short > 126)];
        let size = 2 + extra + if masked { 4 } else { 0 };
        let code = if opcode == 8 && short >= 2 { 2 } else { 0 };
        if head.len() < size + code {
            return Step::More(size + code);
        }
        let mut reader = Reader(&head[2..]);
        let long = reader.number(extra).unwrap_or_default();
        let length = if extra == 0 { u64::from(short) } else { long };
        if length > i64::MAX as u64 {
            return Step::Raw;
        }
        let mask = masked.then(|| reader.take(4)).flatten();
        let mask = mask.and_then(|mask| <[u8; 4]>::try_from(mask).ok());
        let mut details = vec![if fin { "FIN" } else { "more" }.to_string()];
        if masked {
            details.push("masked".to_string());
        }
        let extensions = [(0x40, "compressed"), (0x20, "RSV2"), (0x10, "RSV3")];
        let extensions = extensions.iter().filter(|(bit, _)| first & bit != 0);
        details.extend(extensions.map(|(_, name)| name.to_string()));
        if !control {
            let begun = &mut self.fragmented[direction as usize];
            if let (0, Some(kind)) = (opcode, *begun) {
                details.push(format!("of a {kind}"));
            }
            *begun = match (fin, opcode) {
                (true, _) => None,
                (false, 0) => *begun,
                (false, _) => Some(name),
            };
        }
        let mut mask = mask;
        if let (2, Some(code)) = (code, reader.number(code)) {
            let [a, b, c, d] = mask.unwrap_or_default();
            let code = code as u16 ^ u16::from_be_bytes([a, b]);
            details.push(close_code(code));
            mask = mask.map(|_| [c, d, a, b]);
        }
        let payload = length - code as u64;
        Step::Piece(Piece { payload, mask, ..Piece::new(name, details.join(", ")) })
    }
}

fn name(opcode: u8) -> Option<&'static str> {
    Some(match opcode {
        0 => "continuation frame",
        1 => "text frame",
        2 => "binary frame",
        8 => "close frame",
        9 => "ping frame",
        10 => "pong frame",
        _ => return None,
    })
}

fn close_code(code: u16) -> String {
    let meaning = match code {
        1000 => " normal",
        1001 => " going away",
        1002 => " protocol error",
        1003 => " unsupported data",
        1007 => " invalid data",
        1008 => " policy violation",
        1009 => " too big",
        1010 => " extension missing",
        1011 => " internal error",
        _ => "",
    };
    format!("code {code}{meaning}")
}

#[cfg(test)]
mod tests {
    use crate::dissect::Direction::*;
    use crate::dissect::testing::shown;

    const UPGRADE: &[u8] = b"GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\
        Connection: keep-alive, Upgrade\r\n\r\n";
    const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
        Upgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n";

    /// What follows the upgrade.
    fn frames(client: &[u8], server: &[u8]) -> Vec<String> {
        let sent = [
            (ToServer, UPGRADE),
            (ToClient, SWITCHING),
            (ToServer, client),
            (ToClient, server),
        ];
        let mut shown = shown(None, &sent);
        assert_eq!(
            shown.drain(..2).collect::<Vec<_>>(),
            [
                "> 84+0 GET /chat HTTP/1.1, upgrade to websocket",
                "< 77+0 101 Switching Protocols, upgrade to websocket"
            ]
        );
        shown
    }

    /// RFC 6455, 5.7.
    #[test]
    fn the_examples_of_the_standard_are_what_it_says() {
        assert_eq!(
            frames(
                b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
                b"\x81\x05Hello\x01\x03Hel\x89\x05Hello\x80\x02lo\x8a\x05Hello"
            ),
            [
                "> 6+5 text frame FIN, masked = Hello",
                "< 2+5 text frame FIN = Hello",
                "< 2+3 text frame more = Hel",
                "< 2+5 ping frame FIN = Hello",
                "< 2+2 continuation frame FIN, of a text frame = lo",
                "< 2+5 pong frame FIN = Hello",
            ]
        );
    }

    #[test]
    fn the_length_takes_one_three_or_nine_bytes() {
        let payload = vec![b'x'; 65536];
        let sent = [
            &b"\x82\x7d"[..],
            &payload[..125],
            b"\x82\x7e\x01\0",
            &payload[..256],
            b"\x82\x7f\0\0\0\0\0\x01\0\0",
            &payload,
        ];
        let frames = frames(b"", &sent.concat());
        let sizes = frames.iter().map(|frame| frame.split(' ').nth(1).unwrap());
        assert_eq!(sizes.collect::<Vec<_>>(), ["2+125", "4+256", "10+65536"]);
    }

    #[test]
    fn a_close_frame_says_its_code_with_or_without_a_mask() {
        assert_eq!(
            frames(b"\x88\x85\x01\x02\x03\x04\x02\xeaa}d", b"\x88\x02\x03\xe9\x88\0"),
            [
                "> 8+3 close frame FIN, masked, code 1000 normal = bye",
                "< 4+0 close frame FIN, code 1001 going away",
                "< 2+0 close frame FIN",
            ]
        );
    }

    #[test]
    fn what_is_no_frame_is_bytes_from_there_on() {
        let reserved = b"\x81\x02ok\x83\x02no";
        let fragmented_ping = b"\x09\x00";
        assert_eq!(
            frames(fragmented_ping, reserved),
            [
                "> 0+2 bytes = \\u{9}\\u{0}",
                "< 2+2 text frame FIN = ok",
                "< 0+4 bytes = \\x83\\u{2}no",
            ]
        );
    }

    #[test]
    fn a_frame_that_claims_everything_is_counted_and_not_kept() {
        let long = [&b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"[..], &[b'x'; 9999]];
        let too_long = b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff";
        let frames = frames(&long.concat(), too_long);
        let payload = "x".repeat(200);
        assert_eq!(
            frames[1],
            format!("> 10+9999 binary frame FIN, cut short = {payload}")
        );
        assert!(frames[0].starts_with("< 0+10 bytes"), "{frames:?}");
    }

    #[test]
    fn what_the_client_says_before_the_answer_is_read_after_it() {
        let early = [
            (ToServer, UPGRADE),
            (ToServer, b"\x81\x82\0\0\0\0Hi"),
            (ToClient, SWITCHING),
        ];
        assert_eq!(shown(None, &early)[2], "> 6+2 text frame FIN, masked = Hi");
        let refusal = b"HTTP/1.1 426 No\r\nContent-Length: 0\r\n\r\n";
        let early = [
            (ToServer, UPGRADE),
            (ToServer, b"GET / HTTP/1.1\r\n\r\n"),
            (ToClient, refusal),
        ];
        assert_eq!(
            shown(None, &early)[1..],
            ["< 38+0 426 No", "> 18+0 GET / HTTP/1.1"]
        );
    }
}
