//! One scene, played: its programs run, and what they print is shown and checked.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow};
use wiretap::{Options, Wiretap};

use crate::audience::Key;
use crate::fold::Fold;
use crate::places::Places;
use crate::program::{self, Event, Program};
use crate::scene::{Scene, Step};
use crate::screen::{Line, Screen, What};
use crate::tour::{Guide, HELP, PROMPT, Pace};

/// How many events may wait. A program that prints faster has to wait too.
const QUEUE: usize = 1000;
/// How often the remaining time is shown anew, and the programs are looked at.
const TICK: Duration = Duration::from_millis(50);
/// A wait that is shorter is not worth a word.
const SHORT: Duration = Duration::from_millis(1500);

/// Why a scene ended before its end.
pub enum Stop {
    /// It did not go as it should.
    Failed(Error),
    /// The lecturer wants something else.
    Key(Key),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// What came while something was waited for.
#[derive(PartialEq, Eq)]
enum Next {
    Event,
    Nothing,
    Enter,
    /// The time is over.
    Over,
}

/// A wait, and what the last line says of it meanwhile.
struct Wait {
    begin: Instant,
    time: Duration,
    /// How long it goes on before it is worth a word.
    patience: Duration,
    what: String,
    before: &'static str,
    after: &'static str,
}

impl Wait {
    fn at_most(seconds: u64, what: String) -> Wait {
        let (begin, time) = (Instant::now(), Duration::from_secs(seconds));
        Wait {
            begin,
            time,
            patience: SHORT,
            what,
            before: "at most ",
            after: " more",
        }
    }

    fn all_of(seconds: u64, what: String) -> Wait {
        let (patience, after) = (Duration::ZERO, " to go. Enter: long enough");
        Wait { patience, before: "", after, ..Wait::at_most(seconds, what) }
    }
}

pub struct Performance<'a> {
    scene: &'a Scene,
    screen: &'a mut Screen,
    guide: &'a Guide,
    /// Whether to show what crosses between the programs.
    wired: bool,
    begin: Instant,
    ticked: Instant,
    sender: SyncSender<Event>,
    events: Receiver<Event>,
    programs: Vec<Program>,
    places: Places,
    taps: Vec<Wiretap>,
    /// What the current step has printed; None when the curtain has fallen.
    fold: Option<Fold<Line>>,
}

impl<'a> Performance<'a> {
    pub fn new(
        scene: &'a Scene,
        screen: &'a mut Screen,
        guide: &'a Guide,
        wired: bool,
    ) -> Performance<'a> {
        let (sender, events) = mpsc::sync_channel(QUEUE);
        let (programs, taps) = (Vec::new(), Vec::new());
        let (places, fold) = (Places::default(), Some(Fold::new()));
        let (begin, ticked) = (Instant::now(), Instant::now());
        // A scene with wiretaps of its own shows what crosses by them.
        let wired = wired && !scene.has_wiretap();
        Performance {
            scene,
            screen,
            guide,
            wired,
            begin,
            ticked,
            sender,
            events,
            programs,
            places,
            taps,
            fold,
        }
    }

    /// Plays it to its end. Whatever it started ends with this call.
    pub fn play(mut self, broker: Option<&str>) -> Result<(), Stop> {
        let played = self.play_all(broker);
        self.screen.status("");
        self.tell_hidden_lines();
        played.map_err(|stop| match stop {
            Stop::Failed(error) => Stop::Failed(self.report(&error)),
            key => key,
        })
    }

    fn play_all(&mut self, broker: Option<&str>) -> Result<(), Stop> {
        if let Some(url) = broker {
            self.find_broker(url)?;
        }
        let mut number = 0;
        let count = self.scene.steps.iter().filter(|step| step.waits()).count();
        for step in &self.scene.steps {
            if step.waits() {
                number += 1;
                self.introduce(step, &format!("{number}/{count}"))?;
            }
            self.act(step)?;
            self.tell_hidden_lines();
            if let Some(answer) = &step.answer {
                let answer = self.places.fill_in(answer.get_ref(), step.program());
                self.screen.answer(&answer);
            }
        }
        self.fold = None;
        self.end_programs()?;
        Ok(())
    }

    /// What the lecturer has to say, and the command; then it is the lecturer's turn.
    fn introduce(&mut self, step: &Step, number: &str) -> Result<(), Stop> {
        self.screen.plain("");
        let fill_in = |text: &toml::Spanned<String>| {
            self.places.fill_in(text.get_ref(), step.program())
        };
        let (say, question) =
            (step.say.as_ref().map(fill_in), step.question.as_ref().map(fill_in));
        self.screen.say(&format!("{number} "), &say.unwrap_or_default());
        if step.run.is_some() {
            self.enter(step);
            let command = self.command(step);
            self.screen.command(&command);
        }
        if let Some(question) = question {
            self.screen.question(&question);
        }
        self.pause()
    }

    /// Waits for Enter, or as long as the pace says; the programs go on meanwhile.
    fn pause(&mut self) -> Result<(), Stop> {
        let until = match self.guide.pace {
            Pace::None => return Ok(()),
            Pace::Auto(pace) => Some(Instant::now() + pace),
            Pace::Led => None,
        };
        if until.is_none() {
            self.screen.prompt(PROMPT);
        }
        loop {
            let deadline =
                until.unwrap_or(Instant::now() + Duration::from_secs(3600));
            match self.next(deadline)? {
                Next::Enter => break,
                Next::Over if until.is_some() => break,
                _ if until.is_none() => {
                    self.screen.status(&self.with_hidden_lines(PROMPT))
                }
                _ => {}
            }
        }
        self.screen.status("");
        self.tell_hidden_lines();
        Ok(())
    }

    fn act(&mut self, step: &Step) -> Result<(), Stop> {
        let Some(name) = &step.program else { return Ok(()) };
        let index = match &step.run {
            Some(_) => self.start(step)?,
            None => self.find(name.get_ref())?,
        };
        if let Some(line) = &step.typed {
            let line = self.places.fill_in(line.get_ref(), step.program());
            self.happen(format!("Typed into {}: {line}", step.program()));
            self.programs[index].type_line(&line)?;
        }
        if step.interrupt {
            self.happen(format!("Ctrl-C: {}", step.program()));
            self.programs[index].interrupted = true;
            self.programs[index].interrupt();
        }
        for line in &step.expect {
            self.expect(index, line.get_ref(), step.within)?;
        }
        if let Some(seconds) = step.quiet {
            self.expect_silence(index, seconds)?;
        }
        if let Some(code) = step.exit {
            self.expect_exit(index, code, step.within)?;
        }
        if step.kill {
            self.kill(index)?;
        }
        Ok(())
    }

    /// One that is to print the same as an earlier one takes its place.
    fn enter(&mut self, step: &Step) {
        let expected = step.expect.iter().map(|line| line.get_ref().as_str());
        let expected: Vec<&str> = expected.collect();
        self.places.enter(step.program(), &expected);
    }

    fn command(&self, step: &Step) -> String {
        let run = step.run.as_ref().map_or("", |run| run.get_ref());
        self.places.fill_in(run, step.program())
    }

    fn start(&mut self, step: &Step) -> Result<usize> {
        if !step.waits() {
            self.enter(step);
            let command = self.command(step);
            self.screen.command(&command);
        }
        let has_input = self.scene.types_into(step.program());
        let (command, place) = (self.command(step), self.programs.len());
        let events = self.sender.clone();
        let program =
            Program::start(step.program(), &command, has_input, place, events)?;
        self.programs.push(program);
        Ok(place)
    }

    /// The last program of this name: the others have ended.
    fn find(&self, name: &str) -> Result<usize> {
        let place = self.programs.iter().rposition(|program| program.name == name);
        place.with_context(|| format!("no program '{name}' was started"))
    }

    fn expect(
        &mut self,
        index: usize,
        expected: &str,
        within: u64,
    ) -> Result<(), Stop> {
        let name = self.programs[index].name.clone();
        let pattern = self.places.pattern(expected, &name);
        let shown = self.places.fill_in(expected, &name);
        let wait = Wait::at_most(within, format!("Waiting for {name}"));
        loop {
            while let Some(line) = self.programs[index].take_line() {
                if let Some(found) = pattern.find(&line) {
                    return Ok(self.take_places(found, expected, &name)?);
                }
            }
            if self.programs[index].has_ended() {
                return Err(failed(&name, &format!("ended without '{shown}'")));
            }
            if self.wait(&wait)? == Next::Over {
                let what = format!("did not print '{shown}' in {within} s");
                return Err(failed(&name, &what));
            }
        }
    }

    /// Keeps where a program said that it is. The others are sent to its wiretap from
    /// now on, if there is to be one.
    fn take_places(
        &mut self,
        found: Vec<(String, String)>,
        expected: &str,
        program: &str,
    ) -> Result<()> {
        for (name, address) in found {
            self.places.find(&name, &address, expected, program);
            if self.wired && address.parse::<SocketAddr>().is_ok() {
                let tap = self.tap(&address, self.scene.udp)?;
                self.places.tap(&name, tap.to_string());
            }
        }
        Ok(())
    }

    /// Silence is long enough when the lecturer says so.
    fn expect_silence(&mut self, index: usize, seconds: u64) -> Result<(), Stop> {
        let name = self.programs[index].name.clone();
        let wait = Wait::all_of(seconds, format!("Nothing from {name} so far"));
        let mut next = Next::Nothing;
        while !matches!(next, Next::Over | Next::Enter) {
            if self.programs[index].has_waiting_lines() {
                return Err(failed(&name, "printed too early"));
            }
            next = self.wait(&wait)?;
        }
        let silent = match next {
            Next::Enter => format!("{:.1}", wait.begin.elapsed().as_secs_f64()),
            _ => seconds.to_string(),
        };
        self.happen(format!("Nothing from {name} for {silent} s"));
        Ok(())
    }

    fn expect_exit(
        &mut self,
        index: usize,
        code: i32,
        within: u64,
    ) -> Result<(), Stop> {
        let name = self.programs[index].name.clone();
        let wait = Wait::at_most(within, format!("Waiting for the end of {name}"));
        while !self.programs[index].has_ended() {
            if self.wait(&wait)? == Next::Over {
                return Err(failed(&name, &format!("did not end in {within} s")));
            }
        }
        let status = self.programs[index].wait(program::ENDING)?;
        match status.code() == Some(code) {
            true => Ok(()),
            false => Err(failed(&name, &format!("ended with {status}, not {code}"))),
        }
    }

    fn kill(&mut self, index: usize) -> Result<(), Stop> {
        let name = self.programs[index].name.clone();
        if self.programs[index].has_ended() {
            return Err(failed(&name, "has ended before it could be killed"));
        }
        self.happen(format!("Killed: {name}"));
        self.programs[index].kill();
        self.wait_for_the_end(index)?;
        self.programs[index].wait(program::REST)?;
        Ok(())
    }

    fn wait_for_the_end(&mut self, index: usize) -> Result<(), Stop> {
        let deadline = Instant::now() + program::ENDING;
        while !self.programs[index].has_ended() && self.next(deadline)? != Next::Over
        {
        }
        Ok(())
    }

    /// Ends the programs that the scene has left running, the last one first: a client
    /// would lose its server otherwise. That is not part of the story.
    fn end_programs(&mut self) -> Result<(), Stop> {
        // What was printed before this moment, and no more of a program without end.
        for _ in 0..QUEUE {
            let Ok(event) = self.events.try_recv() else { break };
            self.handle(event);
        }
        let left: Vec<usize> = (0..self.programs.len())
            .filter(|&index| !self.programs[index].finished)
            .collect();
        for &index in &left {
            let program = &mut self.programs[index];
            if program.has_ended() && !program.interrupted {
                let (name, status) =
                    (program.name.clone(), program.wait(program::ENDING)?);
                return Err(failed(&name, &format!("ended by itself: {status}")));
            }
        }
        for index in left.into_iter().rev() {
            self.programs[index].interrupt();
            self.wait_for_the_end(index)?;
            let program = &mut self.programs[index];
            let (name, status) = (program.name.clone(), program.wait(program::REST)?);
            if !program::is_orderly(status) {
                return Err(failed(&name, &format!("ended with {status}")));
            }
        }
        Ok(())
    }

    /// Waits for what comes next, and shows the time that is left.
    fn wait(&mut self, wait: &Wait) -> Result<Next, Stop> {
        let ticked = self.ticked;
        let next = self.next(wait.begin + wait.time)?;
        if self.ticked > ticked && wait.begin.elapsed() > wait.patience {
            let left = wait.time.saturating_sub(wait.begin.elapsed());
            let left = left.as_secs_f64().ceil();
            let status =
                format!("{}, {}{left} s{}", wait.what, wait.before, wait.after);
            self.screen.status(&self.with_hidden_lines(&status));
        }
        Ok(next)
    }

    /// Handles what comes next: a key before all else, then the deadline, then an event.
    fn next(&mut self, deadline: Instant) -> Result<Next, Stop> {
        match self.guide.key() {
            Some(Key::Enter) => return Ok(Next::Enter),
            Some(Key::Help) => self.screen.plain(HELP),
            Some(key) => return Err(Stop::Key(key)),
            None => {}
        }
        let now = Instant::now();
        if now >= self.ticked + TICK {
            self.ticked = now;
            self.programs.iter_mut().try_for_each(Program::look)?;
        }
        let left = deadline.saturating_duration_since(now);
        if left.is_zero() {
            return Ok(Next::Over);
        }
        match self.events.recv_timeout(left.min(TICK)) {
            Ok(event) => Ok(self.handle(event)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Ok(Next::Nothing)
            }
        }
    }

    fn handle(&mut self, event: Event) -> Next {
        match event {
            Event::Line(index, text) => {
                self.programs[index].keep(text.clone());
                let name = self.programs[index].name.clone();
                self.show(Some(index), What::Printed(index, name), text);
            }
            Event::Crossing(text) => self.show(None, What::Crossed, text),
            Event::Closed(index) => self.programs[index].close(),
        }
        Next::Event
    }

    fn show(&mut self, program: Option<usize>, what: What, text: String) {
        let Some(fold) = &mut self.fold else { return };
        let line = Line { after: self.begin.elapsed(), what, text: text.clone() };
        if let Some(line) = fold.add(program, &text, line) {
            self.screen.line(&line);
        }
    }

    /// Something that no program says: it is coloured, and timed like a line of output.
    fn happen(&mut self, text: String) {
        self.tell_hidden_lines();
        let line = Line { after: self.begin.elapsed(), what: What::Happened, text };
        self.screen.line(&line);
    }

    fn tell_hidden_lines(&mut self) {
        let hidden = self.fold.as_mut().map_or(Vec::new(), Fold::finish);
        for (count, line) in hidden {
            if count > 0 {
                let name = match &line.what {
                    What::Printed(_, name) => format!(" of {name}"),
                    _ => String::new(),
                };
                self.screen.more(count, &name);
            }
            self.screen.line(&line);
        }
    }

    fn with_hidden_lines(&self, text: &str) -> String {
        match self.fold.as_ref().map_or(0, Fold::hidden) {
            0 => text.to_string(),
            hidden => format!("{hidden} more lines | {text}"),
        }
    }

    fn find_broker(&mut self, url: &str) -> Result<()> {
        let mut url = url.to_string();
        if self.wired {
            let target = authority(&url).to_string();
            url = url.replace(&target, &self.tap(&target, false)?.to_string());
        }
        self.places.tell("broker_address", authority(&url));
        self.places.tell("broker", &url);
        Ok(())
    }

    /// Puts a wiretap before a server; returns where it listens.
    fn tap(&mut self, target: &str, udp: bool) -> Result<SocketAddr> {
        let options = Options { udp, ..Options::default() };
        let events = self.sender.clone();
        // It must not wait: lines are lost when a thousand wait already.
        let show =
            move |line| drop(events.try_send(Event::Crossing(format!("{line:#}"))));
        let tap =
            Wiretap::start((Ipv4Addr::LOCALHOST, 0).into(), target, options, show)?;
        let address = tap.address();
        self.screen.plain(&format!(
            "Wiretap listening on {address}, forwarding to {target}"
        ));
        self.taps.push(tap);
        Ok(address)
    }

    /// A failure, with the end of what each program had printed.
    fn report(&self, error: &Error) -> Error {
        let mut report = format!("{error:#}");
        for program in self.programs.iter().filter(|program| !program.last.is_empty())
        {
            report += &format!("\nThe last lines of {}:", program.name);
            for line in &program.last {
                report += &format!("\n    {line}");
            }
        }
        anyhow!(report)
    }
}

fn failed(name: &str, what: &str) -> Stop {
    Stop::Failed(anyhow!("{name} {what}"))
}

/// HOST:PORT of a broker's URL: user and password before it, a path after it.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let place = rest.split('/').next().unwrap_or_default();
    place.rsplit('@').next().unwrap_or_default()
}
