//! Reads fields of a header, as far as they are there, and makes them fit to be shown.

/// What is left of a header.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of at most eight bytes in network order.
    pub fn number(&mut self, bytes: usize) -> Option<u64> {
        let bytes = self.take(bytes)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Bytes that follow their length, itself a number of so many bytes.
    pub fn counted(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let length = self.number(bytes)?;
        self.take(usize::try_from(length).ok()?)
    }
}

/// A peer's bytes as text: what could steer the terminal is escaped, the end cut off.
pub fn printable(data: &[u8]) -> String {
    let mut out = String::with_capacity(data.len().min(804));
    for chunk in data[..data.len().min(804)].utf8_chunks() {
        for c in chunk.valid().chars().take(201) {
            match steers(c) {
                true => out.extend(c.escape_unicode()),
                false => out.push(c),
            }
        }
        out.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    if let Some((cut, _)) = out.char_indices().nth(200) {
        out.replace_range(cut.., &format!("... ({} bytes)", data.len()));
    }
    out
}

/// Whether a terminal obeys it: controls, and marks that turn the direction of text.
pub fn steers(c: char) -> bool {
    let is_mark = |c| matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}');
    let is_turn = |c| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || is_mark(c) || is_turn(c)
}
