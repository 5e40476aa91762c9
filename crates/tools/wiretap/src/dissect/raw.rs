//! What nothing is known of: lines if it is text, else the bytes as they came.

use super::{Direction, Message, SHOWN};

/// More at once is one message: nobody reads a thousand lines, nor waits for them.
const BULK: usize = 4096;

/// The messages in these bytes; they begin at 0.
pub fn messages(direction: Direction, bytes: &[u8]) -> Vec<Message> {
    let message = |name: &str, start: usize, bytes: &[u8]| Message {
        direction,
        start: start as u64,
        end: (start + bytes.len()) as u64,
        header: 0,
        name: name.to_string(),
        details: String::new(),
        payload: bytes[..bytes.len().min(SHOWN)].to_vec(),
    };
    if bytes.len() > BULK {
        // The head may end in the middle of a character.
        let is_text = (0..4).any(|less| is_text(&bytes[..BULK - less]));
        return vec![message(if is_text { "text" } else { "bytes" }, 0, bytes)];
    }
    if !is_text(bytes) {
        return vec![message("bytes", 0, bytes)];
    }
    let mut start = 0;
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').map(|line| {
        let message = message("text", start, line);
        start += line.len();
        message
    });
    lines.collect()
}

fn is_text(bytes: &[u8]) -> bool {
    let layout = ['\t', '\r', '\n'];
    str::from_utf8(bytes).is_ok_and(|text| {
        !text.contains(|c: char| c.is_control() && !layout.contains(&c))
    })
}

#[cfg(test)]
mod tests {
    use super::BULK;
    use crate::dissect::Direction::*;
    use crate::dissect::testing::shown;

    #[test]
    fn text_is_shown_in_lines_and_anything_else_as_it_came() {
        let sent: [(_, &[u8]); 4] = [
            (ToServer, b"Hello, world"),
            (ToClient, b"one\ntwo\r\nthree"),
            (ToServer, b"caf\xc3"),
            (ToServer, b"\xa9\n\0"),
        ];
        assert_eq!(
            shown(None, &sent),
            [
                "> 0+12 text = Hello, world",
                "< 0+4 text = one\\u{a}",
                "< 0+5 text = two\\u{d}\\u{a}",
                "< 0+5 text = three",
                "> 0+4 bytes = caf\\xc3",
                "> 0+3 bytes = \\xa9\\u{a}\\u{0}",
            ]
        );
    }

    #[test]
    fn text_in_bulk_is_one_message() {
        let lines = "é\n".repeat(BULK);
        for begin in ["", "x", "xy"] {
            let text = format!("{begin}{lines}");
            let messages = super::messages(ToServer, text.as_bytes());
            assert_eq!((messages.len(), &*messages[0].name), (1, "text"));
            assert_eq!(messages[0].end, text.len() as u64);
        }
    }
}
