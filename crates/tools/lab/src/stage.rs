//! The stage: the programs of a scene, and what the class sees of them.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow};

use crate::fold::Fold;
use crate::program::{Event, Program};
use crate::screen::{Line, Screen, What};

/// How many events may wait. A program that prints faster has to wait too.
const QUEUE: usize = 1000;

pub struct Stage<'a> {
    pub screen: &'a mut Screen,
    pub programs: Vec<Program>,
    begin: Instant,
    sender: SyncSender<Event>,
    events: Receiver<Event>,
    /// What the current step has printed; None when the curtain has fallen.
    fold: Option<Fold<Line>>,
}

impl Stage<'_> {
    pub fn new(screen: &mut Screen) -> Stage<'_> {
        let (sender, events) = mpsc::sync_channel(QUEUE);
        let (programs, begin) = (Vec::new(), Instant::now());
        Stage { screen, programs, begin, sender, events, fold: Some(Fold::new()) }
    }

    /// For those who are not programs, and have something to show.
    pub fn sender(&self) -> SyncSender<Event> {
        self.sender.clone()
    }

    /// Starts a program; returns its place.
    pub fn start(
        &mut self,
        name: &str,
        command: &str,
        has_input: bool,
    ) -> Result<usize> {
        let place = self.programs.len();
        let program = Program::start(name, command, has_input, place, self.sender())?;
        self.programs.push(program);
        Ok(place)
    }

    /// The last program of this name: earlier ones have ended.
    pub fn find(&self, name: &str) -> Result<usize> {
        let place = self.programs.iter().rposition(|program| program.name == name);
        place.with_context(|| format!("no program '{name}' was started"))
    }

    /// Handles the next event; returns false when none came in time.
    pub fn handle_next(&mut self, patience: Duration) -> bool {
        let event = self.events.recv_timeout(patience);
        event.map(|event| self.handle(event)).is_ok()
    }

    /// From now on nothing is part of the story. What came before this moment is, but
    /// no more of a program that prints without end.
    pub fn curtain(&mut self) {
        for event in self.events.try_iter().take(QUEUE).collect::<Vec<_>>() {
            self.handle(event);
        }
        self.tell_hidden_lines();
        self.fold = None;
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Line(place, text) => {
                let program = &mut self.programs[place];
                program.keep(text.clone());
                let what = What::Printed(place, program.name.clone());
                self.show(Some(place), what, text);
            }
            Event::Crossing(text) => self.show(None, What::Crossed, text),
            Event::Closed(place) => self.programs[place].close(),
        }
    }

    fn show(&mut self, program: Option<usize>, what: What, text: String) {
        let Some(fold) = &mut self.fold else { return };
        let line = Line { after: self.begin.elapsed(), what, text: text.clone() };
        if let Some(line) = fold.add(program, &text, line) {
            self.screen.line(&line);
        }
    }

    /// Something that no program says: it is coloured, and timed like a line of output.
    pub fn happen(&mut self, text: String) {
        self.tell_hidden_lines();
        let line = Line { after: self.begin.elapsed(), what: What::Happened, text };
        self.screen.line(&line);
    }

    pub fn tell_hidden_lines(&mut self) {
        for (count, line) in self.fold.as_mut().map_or(Vec::new(), Fold::finish) {
            if count > 0 {
                self.screen.more(count, &line);
            }
            self.screen.line(&line);
        }
    }

    /// What the last line says, until something else is written.
    pub fn status(&mut self, text: &str) {
        match self.fold.as_ref().map_or(0, Fold::hidden) {
            0 => self.screen.status(text),
            hidden => self.screen.status(&format!("{hidden} more lines | {text}")),
        }
    }

    /// A failure, with the end of what each program had printed.
    pub fn report(&self, error: &Error) -> Error {
        let mut report = format!("{error:#}");
        for program in self.programs.iter().filter(|program| !program.last.is_empty())
        {
            report += &format!("\nThe last lines of {}:", program.name);
            program.last.iter().for_each(|line| report += &format!("\n    {line}"));
        }
        anyhow!(report)
    }
}
