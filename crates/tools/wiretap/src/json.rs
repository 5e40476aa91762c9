//! What happened as data: one JSON object per line. The README lists the fields.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::Wiretap;
use crate::dissect::{Direction, steers};
use crate::line::{Event, Line, hex};
use crate::record::Summary;

impl Wiretap {
    /// That it listens, and what it was asked for.
    pub fn json(&self) -> String {
        line(json!({
            "event": "listening",
            "address": self.tap.address,
            "target": self.tap.target,
            "faults": self.tap.options.faults.to_string(),
            "seed": self.tap.seed,
        }))
    }
}

impl Line {
    /// What happened, and when.
    pub fn json(&self) -> String {
        let mut object = match &self.event {
            Event::Connected(from) => json!({"event": "connected", "client": from}),
            Event::FirstDatagram(from) => {
                json!({"event": "first_datagram", "client": from})
            }
            Event::Message(message, bytes) => json!({
                "event": "message",
                "bytes": message.end - message.start,
                "header": message.header,
                "name": message.name,
                "details": message.details,
                "payload": String::from_utf8_lossy(&message.payload),
                "payload_hex": hex(&message.payload),
                "hex": (!bytes.is_empty()).then(|| hex(bytes)),
            }),
            Event::End(_) => json!({"event": "end"}),
            Event::Reset(_) => json!({"event": "reset"}),
            Event::Fault(_, what) => json!({"event": "fault", "what": what}),
            Event::Trouble(what) => json!({"event": "trouble", "what": what}),
            Event::LeftOut(count) => json!({"event": "left_out", "lines": count}),
        };
        object["time"] = self.time.as_secs_f64().into();
        if self.connection > 0 {
            object["connection"] = self.connection.into();
        }
        if let Some(direction) = self.event.direction() {
            object["direction"] = name(direction).into();
        }
        line(object)
    }
}

fn name(direction: Direction) -> &'static str {
    match direction {
        Direction::ToServer => "to_server",
        Direction::ToClient => "to_client",
    }
}

impl Summary {
    pub fn json(&self) -> String {
        let mut object = json!({
            "event": "summary",
            "connections": self.connections,
            "faults": self.faults,
            "lines_left_out": self.lines_left_out,
            "packets_left_out": self.packets_left_out,
        });
        for way in [Direction::ToServer, Direction::ToClient] {
            let [messages, bytes, header] =
                [self.messages, self.bytes, self.header].map(|n| n[way as usize]);
            object[name(way)] =
                json!({"messages": messages, "bytes": bytes, "header": header});
        }
        line(object)
    }
}

/// A terminal obeys some characters that JSON allows; they are escaped.
fn line(value: Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        let _ = match steers(c) {
            true => write!(out, "\\u{:04x}", u32::from(c)),
            false => write!(out, "{c}"),
        };
    }
    out
}
