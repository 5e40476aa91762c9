//! What the tests of each protocol look at.

use super::{Direction, Dissector, Message, Protocol, printable};

/// The messages in what was sent, and at both ends: whose they are, header and payload
/// bytes, name, details, and the payload itself. In single bytes they must be the same.
pub fn shown(protocol: Option<Protocol>, sent: &[(Direction, &[u8])]) -> Vec<String> {
    let whole = messages(protocol, sent);
    let bytes = sent.iter().flat_map(|(direction, bytes)| {
        bytes.chunks(1).map(|byte| (*direction, byte)).collect::<Vec<_>>()
    });
    let sliced = messages(protocol, &bytes.collect::<Vec<_>>());
    assert_eq!(without_raw(&whole), without_raw(&sliced));
    whole.iter().map(show).collect()
}

/// All messages; they cover each direction without a gap.
fn messages(protocol: Option<Protocol>, sent: &[(Direction, &[u8])]) -> Vec<Message> {
    let mut dissector = Dissector::new(protocol);
    let mut messages = Vec::new();
    for (direction, bytes) in sent {
        messages.extend(dissector.push(*direction, bytes));
    }
    for direction in [Direction::ToServer, Direction::ToClient] {
        messages.extend(dissector.end(direction));
        let of_it = |(of, bytes): &(Direction, &[u8])| {
            if *of == direction { bytes.len() as u64 } else { 0 }
        };
        let mut covered = 0;
        for message in
            messages.iter().filter(|message| message.direction == direction)
        {
            assert_eq!(message.start, covered, "{message:?}");
            covered = message.end;
        }
        assert_eq!(covered, sent.iter().map(of_it).sum::<u64>(), "{messages:#?}");
    }
    messages
}

/// Text and bytes are cut as they come.
fn without_raw(messages: &[Message]) -> Vec<Message> {
    let framed = messages.iter().filter(|message| {
        !["text", "bytes"].contains(&message.name.as_str()) || message.header > 0
    });
    framed.cloned().collect()
}

fn show(message: &Message) -> String {
    let direction = match message.direction {
        Direction::ToServer => ">",
        Direction::ToClient => "<",
    };
    let payload = message.end - message.start - message.header;
    assert_eq!(payload.min(200), message.payload.len() as u64, "{message:?}");
    let mut shown =
        format!("{direction} {}+{payload} {}", message.header, message.name);
    if !message.details.is_empty() {
        shown += &format!(" {}", message.details);
    }
    if payload > 0 {
        shown += &format!(" = {}", printable(&message.payload));
    }
    shown
}
