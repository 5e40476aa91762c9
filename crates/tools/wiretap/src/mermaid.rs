//! Draws what crossed as a sequence diagram in Mermaid's language.

use std::fmt::Write;

use crate::dissect::{Direction, Message};
use crate::line;

/// Messages drawn; of the rest only the number is told.
const MOST: usize = 100;
/// Characters of a message's details, and of its payload.
const SHORT: usize = 64;

#[derive(Default)]
pub struct Diagram {
    arrows: Vec<Arrow>,
    left_out: u64,
}

struct Arrow {
    connection: u64,
    direction: Direction,
    text: String,
    arrives: bool,
}

impl Diagram {
    pub fn add(&mut self, connection: u64, message: &Message, arrives: bool) {
        if self.arrows.len() == MOST {
            self.left_out += 1;
            return;
        }
        let mut text = message.name.clone();
        if !message.details.is_empty() {
            let details = without_made_up(&message.details);
            text += " ";
            text.extend(details.chars().take(SHORT));
            text += if details.chars().count() > SHORT { "..." } else { "" };
        }
        if !message.payload.is_empty() {
            let size = message.end - message.start;
            let payload = &message.payload[..message.payload.len().min(SHORT / 2)];
            let size = size.saturating_sub(message.header);
            text += " ";
            text += &line::text_or_hex(payload, size);
        }
        let direction = message.direction;
        self.arrows.push(Arrow {
            connection,
            direction,
            text: escape(&text),
            arrives,
        });
    }

    /// The diagram so far. A client that is alone needs no number.
    pub fn draw(&self) -> String {
        let mut clients: Vec<u64> =
            self.arrows.iter().map(|arrow| arrow.connection).collect();
        clients.sort_unstable();
        clients.dedup();
        let name = |connection: u64| match clients.len() {
            0 | 1 => "C".to_string(),
            _ => format!("C{connection}"),
        };
        let mut out = "sequenceDiagram\n".to_string();
        for &client in &clients {
            let number =
                if clients.len() > 1 { format!(" {client}") } else { "".into() };
            let _ =
                writeln!(out, "    participant {} as Client{number}", name(client));
        }
        out += "    participant S as Server\n";
        for arrow in &self.arrows {
            let client = name(arrow.connection);
            let (from, to) = match arrow.direction {
                Direction::ToServer => (&*client, "S"),
                Direction::ToClient => ("S", &*client),
            };
            let line = if arrow.arrives { "->>" } else { "--x" };
            let _ = writeln!(out, "    {from}{line}{to}: {}", arrow.text);
        }
        if self.left_out > 0 {
            let _ = writeln!(out, "    Note over S: and {} more", self.left_out);
        }
        out
    }
}

/// Names that RabbitMQ makes up by chance, shortened to what they begin with.
fn without_made_up(details: &str) -> String {
    let mut parts = details.split("'amq.ctag-");
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        out += "'amq.ctag-...'";
        out += part.split_once('\'').map_or("", |(_, rest)| rest);
    }
    out
}

/// Puts what Mermaid would take for its own into its form of an entity.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            ';' | '#' | '<' | '>' | '%' | '\\' | '\0'..' ' => {
                let _ = write!(out, "#{};", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &str) -> Message {
        Message {
            direction: Direction::ToServer,
            start: 0,
            end: payload.len() as u64,
            header: 0,
            name: "bytes".into(),
            details: String::new(),
            payload: payload.into(),
        }
    }

    #[test]
    fn no_payload_can_become_a_statement_of_the_diagram() {
        let mut diagram = Diagram::default();
        diagram.add(1, &message("a;b#c\n<d>"), true);
        diagram.add(2, &message("lost"), false);
        let text = "sequenceDiagram\n    participant C1 as Client 1\n    \
            participant C2 as Client 2\n    participant S as Server\n    \
            C1->>S: bytes a#59;b#35;c#92;u{a}#60;d#62;\n    C2--xS: bytes lost\n";
        assert_eq!(diagram.draw(), text);
    }

    #[test]
    fn a_name_made_up_by_the_broker_is_the_same_in_every_run() {
        let details = "channel 1, consumer 'amq.ctag-KalCuz1S', delivery-tag 1";
        let shown = "channel 1, consumer 'amq.ctag-...', delivery-tag 1";
        assert_eq!(without_made_up(details), shown);
        assert_eq!(
            without_made_up("consumer 'amq.ctag-K"),
            "consumer 'amq.ctag-...'"
        );
        assert_eq!(without_made_up("consumer 'mine'"), "consumer 'mine'");
    }

    #[test]
    fn more_messages_than_fit_are_counted() {
        let mut diagram = Diagram::default();
        (0..MOST + 3).for_each(|_| diagram.add(1, &message("m"), true));
        assert!(
            diagram.draw().ends_with("S: bytes m\n    Note over S: and 3 more\n")
        );
    }
}
