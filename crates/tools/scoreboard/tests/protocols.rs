//! The load's side of each protocol: fed byte by byte, and with what is no answer.

use scoreboard::measure::reading;
use scoreboard::protocol::{
    Amqp, Fixed, Http, Lines, Mqtt, Protocol, WebSocket, Zmtp,
};

const OPEN: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

/// Feeds bytes one by one, as the slowest network would; returns the messages that
/// arrived, and what was answered.
fn feed(protocol: &mut impl Protocol, bytes: &[u8]) -> (usize, Vec<u8>) {
    let (mut input, mut out, mut messages) = (Vec::new(), Vec::new(), 0);
    for byte in bytes {
        input.push(*byte);
        while let Some((bytes, arrived)) = protocol.read(&input, &mut out).unwrap() {
            input.drain(..bytes);
            messages += arrived;
        }
    }
    assert!(input.is_empty(), "left over: {input:?}");
    (messages, out)
}

#[track_caller]
fn is_error(mut protocol: impl Protocol, before: &[u8], bytes: &[u8]) {
    feed(&mut protocol, before);
    let result = protocol.read(bytes, &mut Vec::new());
    assert!(result.is_err(), "{result:?}: {}", String::from_utf8_lossy(bytes));
}

fn zmtp_greeting() -> Vec<u8> {
    Zmtp::new("REQ", "").greeting()
}

/// A method of AMQP on channel 1.
fn method(class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
    let length = (4 + arguments.len() as u32).to_be_bytes();
    let head = [&[1, 0, 1], &length[..], &class.to_be_bytes(), &method.to_be_bytes()];
    [&head.concat(), arguments, &[0xCE]].concat()
}

fn confirm(number: u8, multiple: u8) -> Vec<u8> {
    method(60, 80, &[0, 0, 0, 0, 0, 0, 0, number, multiple])
}

#[test]
fn a_reading_is_an_item_as_json_of_the_size_that_is_asked_for() {
    for bytes in [64, 1024, 65_536] {
        let reading = reading(bytes);
        assert_eq!(reading.len(), bytes);
        let item: serde_json::Value = serde_json::from_str(&reading).unwrap();
        assert_eq!(item["price"], 21.53);
    }
}

#[test]
fn an_answer_is_complete_with_its_last_byte() {
    assert_eq!(feed(&mut Fixed::echo("abc"), b"abcabc").0, 2);
    assert_eq!(feed(&mut Fixed::line("21.5"), b"ok\nok\n").0, 2);
    assert_eq!(feed(&mut Fixed::frame("21.5"), b"\0\0\0\x0b{\"ok\":true}").0, 1);
    let answer = b"HTTP/1.1 200 OK\r\nContent-length: 2\r\nX: y\r\n\r\n{}";
    assert_eq!(feed(&mut Http(b"{}".to_vec()), &answer.repeat(2)).0, 2);
    let mut lines = Lines { ready: Some("Waiting"), tells: b"Done: ".to_vec() };
    assert_eq!(feed(&mut lines, b"Connected\nDone: a\nWaiting\nDone: b\n").0, 2);
    assert!(lines.is_ready());
}

/// Each length has its own number of bytes on the wire.
#[test]
fn short_and_long_messages_are_counted() {
    for length in [0, 3, 125, 126, 255, 256, 65_535, 65_536, 70_000] {
        let text = "x".repeat(length);
        let mut socket = WebSocket::new(&text);
        assert!(!socket.is_ready());
        let mut frame = Vec::new();
        socket.write(&mut frame);
        // What comes from a server is not masked: the bit and the key go.
        frame[1] &= 0x7F;
        let head = frame.len() - 4 - length;
        frame.drain(head..head + 4);
        assert_eq!(feed(&mut socket, &[OPEN, &frame].concat()).0, 1, "{length}");
        assert!(socket.is_ready());
        let mut requester = Zmtp::new("REQ", &text);
        assert!(!requester.is_ready());
        assert_eq!(feed(&mut requester, &zmtp_greeting()).0, 0);
        assert!(requester.is_ready());
        let mut reply = Vec::new();
        requester.write(&mut reply);
        assert_eq!(feed(&mut requester, &reply.repeat(2)).0, 2, "{length}");
    }
}

#[test]
fn a_length_of_mqtt_takes_as_many_bytes_as_it_needs() {
    for (length, bytes) in [
        (127, &[0x7F][..]),
        (128, &[0x80, 1]),
        (16_383, &[0xFF, 0x7F]),
        (65_570, &[0xA2, 0x80, 4]),
    ] {
        let mut out = Vec::new();
        // The topic takes three bytes of it.
        Mqtt::new("t", &"x".repeat(length - 3), 0).write(&mut out);
        assert_eq!(out[1..][..bytes.len()], *bytes);
        assert_eq!(out.len(), 1 + bytes.len() + length);
    }
}

#[test]
fn a_ping_is_answered_and_counts_for_nothing() {
    let mut socket = WebSocket::new("hello");
    let (messages, answer) = feed(&mut socket, &[OPEN, &[0x89, 1, 7]].concat());
    assert_eq!((messages, &*answer), (0, &[0x8A, 0x81, 0, 0, 0, 0, 7][..]));
}

#[test]
fn a_confirm_counts_for_one_message_or_for_all_before_it() {
    let mut amqp = Amqp::new("", "queue", "hi", true);
    for (class, number) in [(10, 10), (10, 30), (10, 41), (20, 11), (85, 11)] {
        assert!(!amqp.is_ready());
        feed(&mut amqp, &method(class, number, b"..."));
    }
    assert!(amqp.is_ready());
    let confirms = [confirm(1, 0), confirm(4, 1), confirm(5, 0)].concat();
    assert_eq!(feed(&mut amqp, &confirms), (5, Vec::new()));
    is_error(amqp, b"", &confirm(7, 0));
}

/// Else a program that fails quickly would be the fastest.
#[test]
fn a_refusal_and_another_message_are_errors() {
    is_error(Fixed::echo("abc"), b"", b"abd");
    is_error(Fixed::line("21.5"), b"", b"error full\n");
    for answer in [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        "HTTP/1.1 200 OK\r\n\r\n{}",
        "SSH-2.0-OpenSSH\r\n",
    ] {
        is_error(Http(b"{}".to_vec()), b"", answer.as_bytes());
    }
    is_error(WebSocket::new("hello"), b"", b"HTTP/1.1 400 Bad Request\r\n\r\n");
    is_error(WebSocket::new("hello"), OPEN, b"\x81\x01x");
    is_error(WebSocket::new("hello"), OPEN, b"\x88\x02\x03\xE8");
    is_error(Mqtt::new("t", "", 0), b"", b"\x20\x02\0\x05");
    is_error(Mqtt::new("t", "", 0), b"", b"\x30\x02\0\0");
    is_error(Mqtt::new("t", "", 0), b"", b"HTTP/1.1");
    is_error(Zmtp::new("REQ", "21.5"), &zmtp_greeting(), b"\0\x0421.6");
    is_error(Zmtp::new("REQ", ""), b"", &[b'H'; 64]);
    let closed = method(20, 40, b"\x01\x94\x09NOT_FOUND\0\0\0\0");
    let error = Amqp::new("", "queue", "hi", false).read(&closed, &mut Vec::new());
    assert!(error.unwrap_err().to_string().contains("NOT_FOUND"));
}
