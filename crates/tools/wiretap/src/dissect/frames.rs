//! Frames as many protocols send them: a length of four bytes in network order, the
//! header, and so many bytes of payload.

use super::reader::Reader;
use super::{Direction, Parser, Piece, Step};

pub struct Frames;

impl Parser for Frames {
    fn step(&mut self, _: Direction, head: &[u8]) -> Step {
        match Reader(head).number(4) {
            None => Step::More(4),
            // A negative number, for those who read it as one.
            Some(length) if length > i32::MAX as u64 => Step::Raw,
            Some(payload) => {
                Step::Piece(Piece { payload, ..Piece::new("frame", "") })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::dissect::Direction::*;
    use crate::dissect::Protocol;
    use crate::dissect::testing::shown;

    #[test]
    fn a_frame_is_a_message_however_many_come_at_once_and_in_however_many_pieces() {
        let sent: [(_, &[u8]); 4] = [
            (ToServer, b"\0\0\0\x02{}\0\0\0\0\0\0\0\x0d{\"do\":"),
            (ToClient, b"\0\0\0\x04true"),
            (ToServer, b"\"list\""),
            (ToServer, b"}\0\0"),
        ];
        assert_eq!(
            shown(Some(Protocol::Frames), &sent),
            [
                "> 4+2 frame = {}",
                "> 4+0 frame",
                "< 4+4 frame = true",
                "> 4+13 frame = {\"do\":\"list\"}",
                "> 0+2 bytes = \\u{0}\\u{0}",
            ]
        );
    }

    #[test]
    fn an_unfinished_frame_is_cut_short_and_a_negative_length_is_bytes() {
        let half = shown(Some(Protocol::Frames), &[(ToServer, b"\0\0\0\x09half")]);
        assert_eq!(half, ["> 4+4 frame cut short = half"]);
        let negative =
            shown(Some(Protocol::Frames), &[(ToServer, b"\xff\xff\xff\xff{}")]);
        assert_eq!(negative, ["> 0+6 bytes = \\xff\\xff\\xff\\xff{}"]);
    }
}
