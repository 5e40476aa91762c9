//! What the class sees: words that wrap, colours that can be read, one line of status.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use anstyle::{Ansi256Color, Color, Style};
use textwrap::core::display_width;

use crate::audience;
use crate::deck::Slide;
use crate::scene::Scene;
use crate::{record, terminal};

/// Colours that can be told from black and from white, on any projector.
const PROGRAMS: [u8; 6] = [32, 28, 133, 166, 63, 30];
const EVENT: u8 = 160;
const QUESTION: u8 = 63;
const ANSWER: u8 = 28;
/// What a terminal of unknown width has, and the least that text is wrapped to.
const USUAL: usize = 80;
const LEAST: usize = 24;
/// Before a line of output: the time, and where the text begins after the name.
const TIME: usize = 8;

const BOLD: Style = Style::new().bold();

/// A line of output, or something that happened on stage.
pub struct Line {
    pub after: Duration,
    pub what: What,
    pub text: String,
}

#[derive(Clone)]
pub enum What {
    /// A program printed it: its place on the stage, and its name.
    Printed(usize, String),
    /// It crossed between the programs.
    Crossed,
    /// A program was killed, say.
    Happened,
}

pub struct Screen {
    /// Whether the last line can be drawn again.
    live: bool,
    terminal: bool,
    colour: bool,
    /// Whether only ASCII can be shown.
    ascii: bool,
    /// What the last line says now.
    status: String,
    /// The longest name of a program in the scene.
    names: usize,
    /// What was written, and when, if it is to be recorded.
    pub record: Option<Vec<(Instant, String)>>,
}

impl Screen {
    pub fn new() -> Screen {
        let terminal = io::stdout().is_terminal();
        Screen {
            live: terminal && terminal::redraws(),
            terminal,
            colour: AutoStream::choice(&io::stdout()) != ColorChoice::Never,
            ascii: terminal && !speaks_utf8(),
            status: String::new(),
            names: 0,
            record: None,
        }
    }

    /// The title of a scene, who acts in it, and where in the deck it belongs.
    pub fn header(&mut self, number: &str, scene: &Scene, slide: Option<&Slide>) {
        self.names =
            scene.actors().iter().map(|name| display_width(name)).max().unwrap_or(0);
        let rule = "=".repeat(self.width().unwrap_or(USUAL).min(USUAL));
        self.plain("");
        self.write(&paint(BOLD, &rule));
        self.wrapped(&format!("{number}: "), BOLD, &scene.title);
        if let Some(slide) = slide {
            self.wrapped(
                "Slide ",
                Style::new(),
                &format!("{} of the deck: {}", slide.number, slide.title),
            );
        }
        self.wrapped("Lecture: ", Style::new(), &scene.slide);
        self.wrapped("Code: ", Style::new(), &scene.folder);
        self.wrapped("On stage: ", Style::new(), &scene.actors().join(", "));
    }

    /// A sentence to the class, after a label.
    pub fn say(&mut self, label: &str, text: &str) {
        let columns = display_width(label);
        self.hanging(&paint(BOLD, label), columns, Style::new(), text);
    }

    pub fn question(&mut self, text: &str) {
        self.wrapped("Question: ", colour(QUESTION).bold(), text);
    }

    pub fn answer(&mut self, text: &str) {
        self.wrapped("Answer: ", colour(ANSWER).bold(), text);
    }

    /// A command that is run, or will be.
    pub fn command(&mut self, command: &str) {
        self.wrapped("$ ", BOLD, command);
    }

    pub fn plain(&mut self, text: &str) {
        self.wrapped("", Style::new(), text);
    }

    pub fn line(&mut self, line: &Line) {
        let seconds = format!("{:5.1} s ", line.after.as_secs_f64());
        let text = printable(&line.text);
        let (name, style) = match &line.what {
            What::Printed(place, name) => {
                (name.as_str(), colour(PROGRAMS[place % PROGRAMS.len()]))
            }
            What::Crossed => ("", Style::new()),
            What::Happened => {
                return self.wrapped(&seconds, colour(EVENT).bold(), &text);
            }
        };
        let gap = " ".repeat(self.names.saturating_sub(display_width(name)));
        let prefix =
            format!("{seconds}{}{gap} {} ", paint(style, name), paint(style, "|"));
        // What a wiretap does to the network is an event as well.
        let is_fault = text.contains("FAULT:");
        let style = if is_fault { colour(EVENT).bold() } else { Style::new() };
        self.hanging(&prefix, TIME + self.names + 3, style, &text);
    }

    /// So many similar lines before this one are not shown.
    pub fn more(&mut self, count: usize, last: &Line) {
        let lines = if count == 1 { "line" } else { "lines" };
        let of = match &last.what {
            What::Printed(_, name) => format!(" of {name}"),
            _ => String::new(),
        };
        self.write(&format!("{:TIME$}... {count} more such {lines}{of}", ""));
    }

    /// Why a scene failed, with what its programs printed last.
    pub fn failure(&mut self, report: &str) {
        let mut lines = report.lines();
        self.plain("");
        self.wrapped(
            "FAILED: ",
            colour(EVENT).bold(),
            lines.next().unwrap_or_default(),
        );
        lines.for_each(|line| self.plain(&printable(line)));
    }

    /// What is drawn in lines, where it has room; a code to be scanned dark on light.
    pub fn picture(&mut self, lines: &[String], is_code: bool) {
        let width = self.width().unwrap_or(0);
        if self.ascii || lines.iter().any(|line| display_width(line) > width) {
            return;
        }
        let ink = Style::new().fg_color(Some(Ansi256Color(16).into()));
        let code = ink.bg_color(Some(Ansi256Color(231).into()));
        let style = if is_code { code } else { BOLD };
        lines.iter().for_each(|line| self.write(&paint(style, line)));
    }

    /// The last line, until something else is written.
    pub fn status(&mut self, text: &str) {
        let width = self.width().unwrap_or(USUAL);
        let text: String = text.chars().take(width.saturating_sub(1)).collect();
        if self.live && text != self.status {
            self.put(&format!("\r\x1b[K{text}"));
            self.status = text;
        }
    }

    /// A text that the last line says where it can be drawn again, and a line elsewhere.
    pub fn prompt(&mut self, text: &str) {
        match self.live {
            true => self.status(text),
            false => self.plain(text),
        }
    }

    /// Wraps a text under the label before it.
    fn wrapped(&mut self, label: &str, style: Style, text: &str) {
        self.hanging(&paint(style, label), display_width(label), style, text);
    }

    /// Writes a text after a prefix that takes so many columns, and further lines under
    /// the text. A prefix that leaves too little room gets a line of its own.
    fn hanging(&mut self, prefix: &str, columns: usize, style: Style, text: &str) {
        let width = self.width();
        let is_tight = width.is_some_and(|width| columns > width / 2);
        let columns = if is_tight { 4 } else { columns };
        if is_tight {
            self.write(prefix);
        }
        let lines = match width {
            Some(width) => wrap(text, width - columns),
            None => vec![text.to_string()],
        };
        for (number, line) in lines.iter().enumerate() {
            let line = paint(style, line);
            match number {
                0 if !is_tight => self.write(&format!("{prefix}{line}")),
                _ => self.write(&format!("{:columns$}{line}", "")),
            }
        }
    }

    fn write(&mut self, line: &str) {
        if let Some(record) = &mut self.record {
            record.push((Instant::now(), line.to_string()));
        }
        let line =
            if self.colour { line.into() } else { strip_str(line).to_string() };
        let clear = if self.status.is_empty() { "" } else { "\r\x1b[K" };
        self.status.clear();
        self.put(&format!("{clear}{}\n", line.trim_end()));
    }

    fn put(&self, text: &str) {
        audience::stay_if_leaving();
        let text = match self.ascii {
            true => text.replace(|c: char| !c.is_ascii(), "?"),
            false => text.to_string(),
        };
        let mut out = io::stdout();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            // Nobody looks any more.
            audience::leave(1);
        }
    }

    /// The terminal's width now: it may change.
    fn width(&self) -> Option<usize> {
        if self.record.is_some() {
            return Some(record::COLUMNS);
        }
        let columns = terminal::columns().unwrap_or(0);
        let columns = if columns == 0 { USUAL } else { columns };
        self.terminal.then(|| columns.max(LEAST))
    }
}

fn colour(number: u8) -> Style {
    Style::new().fg_color(Some(Color::Ansi256(Ansi256Color(number))))
}

fn paint(style: Style, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{style}{text}{style:#}") }
}

/// A program must not steer the terminal.
fn printable(text: &str) -> String {
    text.replace('\t', "    ").replace(char::is_control, "\u{fffd}")
}

/// Where the locale is set it says; where it is not, UTF-8 is the usual thing.
fn speaks_utf8() -> bool {
    let variables = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter();
    let mut set = variables.filter_map(|name| std::env::var(name).ok());
    let locale = set.find(|value| !value.is_empty());
    locale
        .is_none_or(|locale| locale.to_lowercase().replace('-', "").contains("utf8"))
}

/// Wraps a text at its words.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let options = textwrap::Options::new(room)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    let lines = textwrap::wrap(text, options);
    lines.into_iter().map(|line| line.into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_wrap_whole_and_only_a_word_longer_than_the_line_breaks() {
        assert_eq!(wrap("one two three", 12), ["one two", "three"]);
        let long = "a".repeat(30);
        assert_eq!(wrap(&long, 12), ["a".repeat(12), "a".repeat(12), "a".repeat(6)]);
        assert_eq!(wrap("", 12), [""]);
        assert_eq!(wrap("    \"id\": 3,", 60), ["    \"id\": 3,"]);
        // A letter of twice the width counts twice.
        assert_eq!(wrap("学生 学生 学生", 12), ["学生 学生", "学生"]);
    }

    #[test]
    fn what_a_program_prints_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\tc"), "a\u{fffd}[2Jb    c");
        assert_eq!(printable("Olá"), "Olá");
    }

    /// The contrast of WCAG: 3 is the least for large text, and a projector's is large.
    #[test]
    fn every_colour_can_be_read_on_black_and_on_white() {
        for number in PROGRAMS.into_iter().chain([EVENT, QUESTION, ANSWER]) {
            let steps = [0_u8, 95, 135, 175, 215, 255];
            let index = usize::from(number - 16);
            let channels = [index / 36, index / 6 % 6, index % 6].map(|step| {
                let value = f64::from(steps[step]) / 255.0;
                ((value + 0.055) / 1.055).powf(2.4)
            });
            let light =
                0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2];
            let (on_black, on_white) = ((light + 0.05) / 0.05, 1.05 / (light + 0.05));
            assert!(
                on_black > 3.0 && on_white > 3.0,
                "{number}: {on_black} {on_white}"
            );
        }
    }
}
