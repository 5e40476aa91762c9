//! AMQP 0-9-1: frames, as RabbitMQ speaks them.
//!
//! The payload is what an application publishes, which comes in body frames. All else
//! counts as header: all of any other frame, and of a body frame the 7 bytes before and
//! the one after.

use super::reader::Reader;
use super::{Direction, Parser, Piece, Step, printable};

/// How much of a frame is looked at for its details.
const LOOKED_AT: usize = 1024;
const FRAME_END: u8 = 0xce;

#[derive(Default)]
pub struct Amqp {
    begun: [bool; 2],
    ending: [bool; 2],
}

impl Parser for Amqp {
    fn step(&mut self, direction: Direction, head: &[u8]) -> Step {
        let at = direction as usize;
        if self.ending[at] {
            self.ending[at] = false;
            return match head {
                [FRAME_END] => Step::Piece(Piece::default()),
                _ => Step::Raw,
            };
        }
        if !self.begun[at] && head.starts_with(b"A") {
            return self.protocol_header(at, head);
        }
        self.begun[at] = true;
        let mut reader = Reader(head);
        let kind = reader.number(1).unwrap_or_default();
        if !matches!(kind, 1 | 2 | 3 | 8) {
            return Step::Raw;
        }
        let (Some(channel), Some(size)) = (reader.number(2), reader.number(4)) else {
            return Step::More(7);
        };
        let mut payload = 0;
        let mut title = match kind {
            3 => {
                payload = size;
                ("body".to_string(), String::new())
            }
            8 => ("heartbeat".to_string(), String::new()),
            kind => {
                let kept = size.min(LOOKED_AT as u64) as usize;
                if head.len() < 7 + kept {
                    return Step::More(7 + kept);
                }
                match kind {
                    1 => method(reader),
                    _ => content_header(reader),
                }
            }
        };
        if kind != 8 {
            let comma = if title.1.is_empty() { "" } else { ", " };
            title.1 = format!("channel {channel}{comma}{}", title.1);
        }
        self.ending[at] = true;
        let skip = (size - payload).saturating_sub((head.len() - 7) as u64);
        Step::Piece(Piece {
            title: Some(title),
            skip,
            payload,
            goes_on: true,
            ..Piece::default()
        })
    }
}

impl Amqp {
    fn protocol_header(&mut self, at: usize, head: &[u8]) -> Step {
        match head {
            [b'A', b'M', b'Q', b'P', 0, 0, 9, 1] => {
                self.begun[at] = true;
                Step::Piece(Piece::new("protocol header", "AMQP 0-9-1"))
            }
            _ if b"AMQP\0\0\x09\x01".starts_with(head) => Step::More(head.len() + 1),
            _ => Step::Raw,
        }
    }
}

/// Class, method, name; then the arguments by name and size: bytes of a number, `s` for
/// a short string, `b` for bits; `-` is not worth showing, as is all that is left out.
const METHODS: &[(u64, u64, &str, &str)] = &[
    (10, 10, "connection.start", ""),
    (10, 11, "connection.start-ok", ""),
    (10, 20, "connection.secure", ""),
    (10, 21, "connection.secure-ok", ""),
    (10, 30, "connection.tune", "channel-max:2 frame-max:4 heartbeat:2"),
    (10, 31, "connection.tune-ok", "channel-max:2 frame-max:4 heartbeat:2"),
    (10, 40, "connection.open", "vhost:s"),
    (10, 41, "connection.open-ok", ""),
    (10, 50, "connection.close", "code:2 text:s"),
    (10, 51, "connection.close-ok", ""),
    (10, 60, "connection.blocked", "reason:s"),
    (10, 61, "connection.unblocked", ""),
    (10, 70, "connection.update-secret", ""),
    (10, 71, "connection.update-secret-ok", ""),
    (20, 10, "channel.open", ""),
    (20, 11, "channel.open-ok", ""),
    (20, 20, "channel.flow", "active:b"),
    (20, 21, "channel.flow-ok", "active:b"),
    (20, 40, "channel.close", "code:2 text:s"),
    (20, 41, "channel.close-ok", ""),
    (
        40,
        10,
        "exchange.declare",
        "-:2 exchange:s type:s passive|durable|auto-delete|internal|no-wait:b",
    ),
    (40, 11, "exchange.declare-ok", ""),
    (40, 20, "exchange.delete", "-:2 exchange:s if-unused|no-wait:b"),
    (40, 21, "exchange.delete-ok", ""),
    (40, 30, "exchange.bind", "-:2 destination:s source:s routing-key:s no-wait:b"),
    (40, 31, "exchange.bind-ok", ""),
    (40, 40, "exchange.unbind", "-:2 destination:s source:s routing-key:s no-wait:b"),
    (40, 51, "exchange.unbind-ok", ""),
    (
        50,
        10,
        "queue.declare",
        "-:2 queue:s passive|durable|exclusive|auto-delete|no-wait:b",
    ),
    (50, 11, "queue.declare-ok", "queue:s messages:4 consumers:4"),
    (50, 20, "queue.bind", "-:2 queue:s exchange:s routing-key:s no-wait:b"),
    (50, 21, "queue.bind-ok", ""),
    (50, 30, "queue.purge", "-:2 queue:s no-wait:b"),
    (50, 31, "queue.purge-ok", "messages:4"),
    (50, 40, "queue.delete", "-:2 queue:s if-unused|if-empty|no-wait:b"),
    (50, 41, "queue.delete-ok", "messages:4"),
    (50, 50, "queue.unbind", "-:2 queue:s exchange:s routing-key:s"),
    (50, 51, "queue.unbind-ok", ""),
    (60, 10, "basic.qos", "-:4 prefetch:2 global:b"),
    (60, 11, "basic.qos-ok", ""),
    (
        60,
        20,
        "basic.consume",
        "-:2 queue:s consumer:s no-local|no-ack|exclusive|no-wait:b",
    ),
    (60, 21, "basic.consume-ok", "consumer:s"),
    (60, 30, "basic.cancel", "consumer:s no-wait:b"),
    (60, 31, "basic.cancel-ok", "consumer:s"),
    (60, 40, "basic.publish", "-:2 exchange:s routing-key:s mandatory|immediate:b"),
    (60, 50, "basic.return", "code:2 text:s exchange:s routing-key:s"),
    (
        60,
        60,
        "basic.deliver",
        "consumer:s delivery-tag:8 redelivered:b exchange:s routing-key:s",
    ),
    (60, 70, "basic.get", "-:2 queue:s no-ack:b"),
    (
        60,
        71,
        "basic.get-ok",
        "delivery-tag:8 redelivered:b exchange:s routing-key:s messages:4",
    ),
    (60, 72, "basic.get-empty", ""),
    (60, 80, "basic.ack", "delivery-tag:8 multiple:b"),
    (60, 90, "basic.reject", "delivery-tag:8 requeue:b"),
    (60, 100, "basic.recover-async", "requeue:b"),
    (60, 110, "basic.recover", "requeue:b"),
    (60, 111, "basic.recover-ok", ""),
    (60, 120, "basic.nack", "delivery-tag:8 multiple|requeue:b"),
    (85, 10, "confirm.select", "no-wait:b"),
    (85, 11, "confirm.select-ok", ""),
    (90, 10, "tx.select", ""),
    (90, 11, "tx.select-ok", ""),
    (90, 20, "tx.commit", ""),
    (90, 21, "tx.commit-ok", ""),
    (90, 30, "tx.rollback", ""),
    (90, 31, "tx.rollback-ok", ""),
];

fn method(mut reader: Reader) -> (String, String) {
    let (class, method) = (reader.number(2), reader.number(2));
    let (class, method) = (class.unwrap_or_default(), method.unwrap_or_default());
    let known = METHODS.iter().find(|known| (known.0, known.1) == (class, method));
    let Some((_, _, name, arguments)) = known else {
        return (format!("method {class}.{method}"), String::new());
    };
    let mut details = Vec::new();
    for argument in arguments.split_whitespace() {
        let (name, kind) = argument.split_once(':').unwrap_or_default();
        match value(&mut reader, name, kind) {
            Some(shown) if name != "-" => details.extend(shown),
            Some(_) => {}
            None => break,
        }
    }
    (name.to_string(), details.join(", "))
}

fn value(reader: &mut Reader, name: &str, kind: &str) -> Option<Vec<String>> {
    Some(match kind {
        "s" => vec![format!("{name} '{}'", printable(reader.counted(1)?))],
        "b" => {
            let bits = reader.number(1)?;
            let set =
                name.split('|').enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
            set.map(|(_, name)| name.to_string()).collect()
        }
        size => vec![format!("{name} {}", reader.number(size.parse().ok()?)?)],
    })
}

fn content_header(mut reader: Reader) -> (String, String) {
    let mut fields = || {
        reader.take(4)?;
        let size = reader.number(8)?;
        let mut details = format!("{size} bytes of body");
        let flags = reader.number(2)?;
        let shown = [(15, "content type"), (14, "content encoding")];
        for (bit, name) in shown {
            if flags >> bit & 1 == 1 {
                details += &format!(", {name} {}", printable(reader.counted(1)?));
            }
        }
        if flags >> 13 & 1 == 1 {
            reader.counted(4)?;
        }
        if flags >> 12 & 1 == 1 && reader.number(1)? == 2 {
            details += ", persistent";
        }
        Some(details)
    };
    ("content header".to_string(), fields().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use crate::dissect::testing::shown;
    use crate::dissect::{Direction::*, Protocol::Amqp};

    fn frame(kind: u8, channel: u16, body: &[u8]) -> Vec<u8> {
        let mut frame = vec![kind];
        frame.extend(channel.to_be_bytes());
        frame.extend((body.len() as u32).to_be_bytes());
        frame.extend(body);
        frame.push(0xce);
        frame
    }

    #[test]
    fn a_published_message_is_a_method_a_content_header_and_a_body() {
        let publish = frame(1, 1, b"\0\x3c\0\x28\0\0\x04logs\x04info\0");
        let header =
            frame(2, 1, b"\0\x3c\0\0\0\0\0\0\0\0\0\x05\x90\0\x0atext/plain\x02");
        let body = frame(3, 1, b"Hello");
        let sent = [b"AMQP\0\0\x09\x01".to_vec(), publish, header, body].concat();
        let sizes = "channel 1, 5 bytes of body, content type text/plain, persistent";
        assert_eq!(
            shown(None, &[(ToServer, &sent)]),
            [
                "> 8+0 protocol header AMQP 0-9-1",
                "> 25+0 basic.publish channel 1, exchange 'logs', routing-key 'info'",
                &format!("> 34+0 content header {sizes}"),
                "> 8+5 body channel 1 = Hello",
            ]
        );
    }

    #[test]
    fn a_delivery_and_its_acknowledgement_name_the_same_tag() {
        let deliver = b"\0\x3c\0\x3c\x02c1\0\0\0\0\0\0\0\x07\x01\0\x05tasks";
        let ack = b"\0\x3c\0\x50\0\0\0\0\0\0\0\x07\0";
        let deliver = frame(1, 1, deliver);
        let ack = frame(1, 1, ack);
        assert_eq!(
            shown(Some(Amqp), &[(ToClient, &deliver), (ToServer, &ack)]),
            [
                "< 31+0 basic.deliver channel 1, consumer 'c1', delivery-tag 7, \
                 redelivered, exchange '', routing-key 'tasks'",
                "> 21+0 basic.ack channel 1, delivery-tag 7",
            ]
        );
    }

    #[test]
    fn a_heartbeat_is_eight_bytes_and_an_unknown_method_a_number() {
        let sent = [frame(8, 0, b""), frame(1, 2, b"\0\x63\0\x01")].concat();
        assert_eq!(
            shown(Some(Amqp), &[(ToServer, &sent)]),
            ["> 8+0 heartbeat", "> 12+0 method 99.1 channel 2"]
        );
    }

    #[test]
    fn a_long_table_is_counted_and_not_kept() {
        let mut start = b"\0\x0a\0\x0a".to_vec();
        start.resize(100_000, b'x');
        let sent = [frame(1, 0, &start), frame(8, 0, b"")].concat();
        assert_eq!(
            shown(Some(Amqp), &[(ToClient, &sent)]),
            ["< 100008+0 connection.start channel 0", "< 8+0 heartbeat"]
        );
    }

    #[test]
    fn a_frame_without_its_end_is_cut_short_and_the_rest_is_bytes() {
        let mut sent = frame(3, 1, b"Hello");
        sent.pop();
        sent.extend([0, 1]);
        assert_eq!(
            shown(Some(Amqp), &[(ToServer, &sent)]),
            ["> 7+5 body channel 1, cut short = Hello", "> 0+2 bytes = \\u{0}\\u{1}",]
        );
    }

    #[test]
    fn a_frame_of_four_gigabytes_is_waited_for_in_a_few_bytes() {
        let sent = [&b"\x03\0\x01\xff\xff\xff\xff"[..], &[b'x'; 1000]].concat();
        let payload = "x".repeat(200);
        assert_eq!(
            shown(Some(Amqp), &[(ToServer, &sent)]),
            [format!("> 7+1000 body channel 1, cut short = {payload}")]
        );
    }
}
