//! Finds out from its first bytes what a connection speaks.

use super::Protocol;

const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
];
/// The longest request line that HTTP is told by.
const LONGEST_LINE: usize = 8 * 1024;

#[derive(Clone, Copy, PartialEq)]
enum Guess {
    Yes,
    No,
    /// Not before more bytes come.
    Perhaps,
}

/// What it is, once that is certain. In MQTT, AMQP and HTTP the client speaks first; in
/// ZMTP both do. Who answers what is no whole greeting yet speaks none of these.
pub fn protocol(client: &[u8], server: &[u8]) -> Option<Protocol> {
    let guesses = match (client, server) {
        ([], []) => return None,
        ([], server) => vec![
            (Protocol::Http, prefix(server, b"HTTP/1.")),
            (Protocol::Zmtp, zmtp(server)),
        ],
        (client, []) => vec![
            (Protocol::Http, http(client)),
            (Protocol::Mqtt, mqtt(client)),
            (Protocol::Amqp, prefix(client, b"AMQP\0\0\x09\x01")),
            (Protocol::Zmtp, zmtp(client)),
        ],
        (client, server) => match (zmtp(client), zmtp(server)) {
            (Guess::No, _) | (_, Guess::No) => vec![],
            (Guess::Perhaps, Guess::Perhaps) => return None,
            _ => return Some(Protocol::Zmtp),
        },
    };
    let found = guesses.iter().find(|(_, guess)| *guess == Guess::Yes);
    match found {
        Some((protocol, _)) => Some(*protocol),
        None if guesses.iter().any(|(_, guess)| *guess == Guess::Perhaps) => None,
        None => Some(Protocol::Raw),
    }
}

fn prefix(bytes: &[u8], wanted: &[u8]) -> Guess {
    match () {
        _ if bytes.starts_with(wanted) => Guess::Yes,
        _ if wanted.starts_with(bytes) => Guess::Perhaps,
        _ => Guess::No,
    }
}

/// A request line: other text may well begin with a method.
fn http(bytes: &[u8]) -> Guess {
    if METHODS.iter().all(|method| prefix(bytes, method) == Guess::No) {
        return Guess::No;
    }
    // However much has come at once, it depends on the same bytes.
    let bytes = &bytes[..bytes.len().min(LONGEST_LINE)];
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    match (lines.next(), lines.next()) {
        (Some(line), Some(_)) => {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0") {
                true => Guess::Yes,
                false => Guess::No,
            }
        }
        _ if bytes.len() == LONGEST_LINE => Guess::No,
        _ => Guess::Perhaps,
    }
}

/// CONNECT, its length, and the protocol's name.
fn mqtt(bytes: &[u8]) -> Guess {
    if bytes[0] != 0x10 {
        return Guess::No;
    }
    let mut length = bytes[1..].iter().take(4);
    let Some(last) = length.position(|byte| byte & 0x80 == 0) else {
        return if bytes.len() < 5 { Guess::Perhaps } else { Guess::No };
    };
    let name = &bytes[last + 2..];
    match (prefix(name, b"\0\x04MQTT"), prefix(name, b"\0\x06MQIsdp")) {
        (Guess::No, old) => old,
        (new, Guess::No) => new,
        _ => Guess::Perhaps,
    }
}

/// The signature that every greeting begins with.
fn zmtp(bytes: &[u8]) -> Guess {
    match bytes {
        [0xff, rest @ ..] if rest.len() < 9 => Guess::Perhaps,
        [0xff, rest @ ..] if rest[8] == 0x7f => Guess::Yes,
        _ => Guess::No,
    }
}

#[cfg(test)]
mod tests {
    use super::protocol;
    use crate::dissect::Protocol::*;

    #[test]
    fn a_protocol_is_told_as_soon_as_it_is_certain_and_not_before() {
        let cases: [(&[u8], _); 6] = [
            (b"GET / HTTP/1.1\r\n", Http),
            (b"DELETE /items/1 HTTP/1.0\n", Http),
            (b"\x10\x0c\0\x04MQTT", Mqtt),
            (b"\x10\x80\x80\x01\0\x06MQIsdp", Mqtt),
            (b"AMQP\0\0\x09\x01", Amqp),
            (b"\xff\0\0\0\0\0\0\0\x01\x7f", Zmtp),
        ];
        for (bytes, expected) in cases {
            for length in 0..bytes.len() {
                assert_eq!(protocol(&bytes[..length], b""), None, "{expected:?}");
            }
            assert_eq!(protocol(bytes, b""), Some(expected));
        }
    }

    #[test]
    fn what_is_none_of_them_is_told_by_its_first_wrong_byte() {
        let none: [&[u8]; 6] = [
            b"GETS",
            b"GET me a coffee\n",
            b"\x10\x0c\x01",
            b"\x10\xff\xff\xff\xff",
            b"AMQP\x03",
            b"\xff\0\0\0\0\0\0\0\x01\x01",
        ];
        for bytes in none {
            let before = &bytes[..bytes.len() - 1];
            assert_eq!(protocol(before, b""), None, "{bytes:?}");
            assert_eq!(protocol(bytes, b""), Some(Raw), "{bytes:?}");
        }
        assert_eq!(protocol(b"Hello", b""), Some(Raw));
        assert_eq!(protocol(b"PRI * HTTP/2.0\r\n", b""), Some(Raw));
        assert_eq!(protocol(&[b"GET /", &[b'x'; 9000][..]].concat(), b""), Some(Raw));
    }

    #[test]
    fn a_server_that_speaks_first_or_answers_half_a_line_tells_it_too() {
        assert_eq!(protocol(b"", b"HTTP/1"), None);
        assert_eq!(protocol(b"", b"HTTP/1.1 408"), Some(Http));
        assert_eq!(protocol(b"", b"220 mail.example"), Some(Raw));
        assert_eq!(protocol(b"GET", b"GET"), Some(Raw));
        assert_eq!(protocol(b"\xff", b"\xff"), None);
        assert_eq!(protocol(b"\xff", b"\xff\0\0\0\0\0\0\0\x01\x7f"), Some(Zmtp));
        assert_eq!(protocol(b"\xff", b"?"), Some(Raw));
    }
}
