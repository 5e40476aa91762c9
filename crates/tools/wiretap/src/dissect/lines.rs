//! Lines, as many protocols send them: a message ends with its line end, wherever the
//! reads end. All of it is payload.

use super::{Direction, LONGEST_HEADER, Parser, Piece, Step};

pub struct Lines;

impl Parser for Lines {
    fn step(&mut self, _: Direction, head: &[u8]) -> Step {
        match head {
            [.., b'\n'] => {
                let early = head.len();
                Step::Piece(Piece { early, ..Piece::new("line", "") })
            }
            _ if head.len() < LONGEST_HEADER => Step::More(head.len() + 1),
            _ => Step::Raw,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::dissect::Direction::*;
    use crate::dissect::Protocol;
    use crate::dissect::testing::shown;

    #[test]
    fn a_line_is_a_message_however_many_come_at_once_and_in_however_many_pieces() {
        let sent: [(_, &[u8]); 5] = [
            (ToServer, b"set a 1\r\nget a\nli"),
            (ToClient, b"ok\nvalue 1\n"),
            (ToServer, b"s"),
            (ToServer, b"t\n\xff\n"),
            (ToClient, b"keys a\n"),
        ];
        assert_eq!(
            shown(Some(Protocol::Lines), &sent),
            [
                "> 0+9 line = set a 1\\u{d}\\u{a}",
                "> 0+6 line = get a\\u{a}",
                "< 0+3 line = ok\\u{a}",
                "< 0+8 line = value 1\\u{a}",
                "> 0+5 line = list\\u{a}",
                "> 0+2 line = \\xff\\u{a}",
                "< 0+7 line = keys a\\u{a}",
            ]
        );
    }

    #[test]
    fn a_long_line_is_one_message_and_one_without_end_is_text() {
        let long = ["x".repeat(60_000), "\n".to_string()].concat();
        let lines = shown(Some(Protocol::Lines), &[(ToServer, long.as_bytes())]);
        assert!(lines[0].starts_with("> 0+60001 line = xxx"), "{lines:?}");
        let endless = "x".repeat(70_000);
        let lines = shown(Some(Protocol::Lines), &[(ToServer, endless.as_bytes())]);
        assert!(lines[0].starts_with("> 0+70000 text = xxx"), "{lines:?}");
        let half = shown(Some(Protocol::Lines), &[(ToServer, b"set a")]);
        assert_eq!(half, ["> 0+5 text = set a"]);
    }
}
