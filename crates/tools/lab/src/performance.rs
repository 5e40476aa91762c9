//! One scene, played: what it says is done, and what it expects is checked.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow};
use wiretap::{Options, Wiretap};

use crate::audience::Key;
use crate::places::Places;
use crate::program::{self, Event, Program};
use crate::scene::{Scene, Step, plain};
use crate::screen::Screen;
use crate::stage::Stage;
use crate::tour::{Guide, HELP, PROMPT, Pace};

/// How often the remaining time is shown anew, and the programs are looked at.
const TICK: Duration = Duration::from_millis(50);
/// A wait that is shorter is not worth a word.
const SHORT: Duration = Duration::from_millis(1500);
/// As long as nobody presses a key.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);

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

fn failed<T>(name: &str, what: &str) -> Result<T, Stop> {
    Err(Stop::Failed(anyhow!("{name} {what}")))
}

/// What came while something was waited for.
#[derive(PartialEq, Eq)]
enum Next {
    Something,
    Enter,
    /// The time is over.
    Over,
}

/// A wait, and what the last line says of it meanwhile.
struct Wait {
    begin: Instant,
    time: Duration,
    says: Box<dyn Fn(u64) -> String>,
    /// How long it goes on before it is worth a word.
    quietly: Duration,
}

impl Wait {
    fn new(time: Duration, says: impl Fn(u64) -> String + 'static) -> Wait {
        let (begin, quietly) = (Instant::now(), Duration::ZERO);
        Wait { begin, time, says: Box::new(says), quietly }
    }

    /// For what a program has to do within some seconds.
    fn at_most(seconds: u64, what: String) -> Wait {
        let time = Duration::from_secs(seconds);
        let says = move |left| format!("Waiting for {what}, at most {left} s more");
        Wait { quietly: SHORT, ..Wait::new(time, says) }
    }

    fn status(&self) -> Option<String> {
        let passed = self.begin.elapsed();
        let left = self.time.saturating_sub(passed).as_secs_f64().ceil();
        (passed >= self.quietly).then(|| (self.says)(left as u64))
    }
}

pub struct Performance<'a> {
    scene: &'a Scene,
    guide: &'a Guide,
    stage: Stage<'a>,
    places: Places,
    /// Whether to show what crosses between the programs.
    wired: bool,
    taps: Vec<Wiretap>,
    /// When the programs were last looked at.
    looked: Instant,
}

impl<'a> Performance<'a> {
    pub fn new(
        scene: &'a Scene,
        screen: &'a mut Screen,
        guide: &'a Guide,
        wired: bool,
    ) -> Performance<'a> {
        let (stage, places) = (Stage::new(screen), Places::default());
        // A scene with wiretaps of its own shows what crosses by them.
        let wired = wired && !scene.has_wiretap();
        let (taps, looked) = (Vec::new(), Instant::now());
        Performance { scene, guide, stage, places, wired, taps, looked }
    }

    /// Plays it to its end. Whatever it started ends with this call.
    pub fn play(mut self, broker: Option<&str>) -> Result<(), Stop> {
        let played = self.play_all(broker);
        self.stage.tell_hidden_lines();
        self.stage.screen.status("");
        played.map_err(|stop| match stop {
            Stop::Failed(error) => Stop::Failed(self.stage.report(&error)),
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
                self.stage.screen.plain("");
                let say = self.fill_in(plain(&step.say), step).unwrap_or_default();
                self.stage.screen.say(&format!("{number}/{count} "), &say);
            }
            let command = self.command(step);
            if let Some(question) = self.fill_in(plain(&step.question), step) {
                self.stage.screen.question(&question);
            }
            if step.waits() {
                self.pause()?;
            }
            self.act(step, command)?;
            self.stage.tell_hidden_lines();
            if let Some(answer) = self.fill_in(plain(&step.answer), step) {
                self.stage.screen.answer(&answer);
            }
        }
        if self.wired {
            // What crosses is shown a moment after it has crossed.
            let end = Instant::now() + SHORT;
            while Instant::now() < end && self.stage.handle_next(SHORT / 5) {}
        }
        self.stage.curtain();
        self.end_programs()
    }

    fn fill_in(&self, text: Option<&str>, step: &Step) -> Option<String> {
        text.map(|text| self.places.fill_in(text, step.program()))
    }

    /// The command of a step, which the class sees.
    fn command(&mut self, step: &Step) -> Option<String> {
        let run = plain(&step.run)?;
        self.places
            .enter(step.program(), step.expect.iter().map(|line| line.as_ref()));
        let command = self.places.fill_in(run, step.program());
        self.stage.screen.command(&command);
        Some(command)
    }

    /// Waits for Enter, or as long as the pace says; the programs go on meanwhile.
    fn pause(&mut self) -> Result<(), Stop> {
        let wait = match self.guide.pace {
            Pace::None => return Ok(()),
            Pace::Auto(pace) => Wait::new(pace, |_| String::new()),
            Pace::Led => {
                self.stage.screen.prompt(PROMPT);
                Wait::new(FOR_EVER, |_| PROMPT.to_string())
            }
        };
        while self.next(&wait)? == Next::Something {}
        self.stage.screen.status("");
        self.stage.tell_hidden_lines();
        Ok(())
    }

    fn act(&mut self, step: &Step, command: Option<String>) -> Result<(), Stop> {
        let name = step.program();
        let place = match command {
            Some(command) => {
                let has_input = self.scene.types_into(name);
                self.stage.start(name, &command, has_input)?
            }
            None if step.program.is_none() => return Ok(()),
            None => self.stage.find(name)?,
        };
        if let Some(line) = self.fill_in(plain(&step.typed), step) {
            self.stage.happen(format!("Typed into {name}: {line}"));
            self.stage.programs[place].type_line(&line)?;
        }
        if step.interrupt {
            self.stage.happen(format!("Ctrl-C: {name}"));
            self.stage.programs[place].interrupted = true;
            self.stage.programs[place].interrupt();
        }
        for line in &step.expect {
            self.expect(place, line.as_ref(), step)?;
        }
        if let Some(seconds) = step.quiet {
            self.expect_silence(place, seconds)?;
        }
        if step.exit.is_some() || step.fails {
            self.expect_exit(place, step)?;
        }
        if step.kill {
            self.kill(place)?;
        }
        Ok(())
    }

    fn expect(
        &mut self,
        place: usize,
        expected: &str,
        step: &Step,
    ) -> Result<(), Stop> {
        let name = self.stage.programs[place].name.clone();
        let pattern = self.places.pattern(expected, &name);
        let shown = self.places.fill_in(expected, &name);
        let within = step.within;
        let wait = Wait::at_most(within, name.clone());
        loop {
            while let Some(line) = self.stage.programs[place].take_line() {
                if let Some(found) = pattern.find(&line) {
                    return Ok(self.take_places(found, expected, &name)?);
                }
                if step.only {
                    return failed(
                        &name,
                        &format!("printed '{line}' and not '{shown}'"),
                    );
                }
            }
            if self.stage.programs[place].has_ended() {
                return failed(&name, &format!("ended without '{shown}'"));
            }
            if self.next(&wait)? == Next::Over {
                return failed(
                    &name,
                    &format!("did not print '{shown}' in {within} s"),
                );
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

    /// The lecturer may say that it was long enough.
    fn expect_silence(&mut self, place: usize, seconds: u64) -> Result<(), Stop> {
        let name = self.stage.programs[place].name.clone();
        let so_far = format!("Nothing from {name} so far");
        let wait = Wait::new(Duration::from_secs(seconds), move |left| {
            format!("{so_far}, {left} s to go. Enter: long enough")
        });
        let silent = loop {
            if self.stage.programs[place].has_waiting_lines() {
                return failed(&name, "printed too early");
            }
            match self.next(&wait)? {
                Next::Something => {}
                Next::Over => break seconds.to_string(),
                Next::Enter => {
                    break format!("{:.1}", wait.begin.elapsed().as_secs_f64());
                }
            }
        };
        self.stage.happen(format!("Nothing from {name} for {silent} s"));
        Ok(())
    }

    fn expect_exit(&mut self, place: usize, step: &Step) -> Result<(), Stop> {
        let within = step.within;
        let name = self.stage.programs[place].name.clone();
        let wait = Wait::at_most(within, format!("the end of {name}"));
        while !self.stage.programs[place].has_ended() {
            if self.next(&wait)? == Next::Over {
                return failed(&name, &format!("did not end in {within} s"));
            }
        }
        let status = self.stage.programs[place].wait(program::ENDING)?;
        match step.exit {
            Some(code) if status.code() != Some(code) => {
                failed(&name, &format!("ended with {status}, not {code}"))
            }
            None if status.success() => failed(&name, "ended well"),
            _ => Ok(()),
        }
    }

    fn kill(&mut self, place: usize) -> Result<(), Stop> {
        let name = self.stage.programs[place].name.clone();
        if self.stage.programs[place].has_ended() {
            return failed(&name, "has ended before it could be killed");
        }
        self.stage.happen(format!("Killed: {name}"));
        self.stage.programs[place].kill();
        self.wait_for_the_end(place)?;
        self.stage.programs[place].wait(program::REST)?;
        Ok(())
    }

    fn wait_for_the_end(&mut self, place: usize) -> Result<(), Stop> {
        let wait = Wait::new(program::ENDING, |_| String::new());
        while !self.stage.programs[place].has_ended()
            && self.next(&wait)? != Next::Over
        {}
        Ok(())
    }

    /// Ends the programs that the scene has left running, the last one first: a client
    /// would lose its server otherwise.
    fn end_programs(&mut self) -> Result<(), Stop> {
        let all = self.stage.programs.iter_mut().enumerate();
        let mut left = Vec::new();
        for (place, program) in all.filter(|(_, program)| !program.finished) {
            if program.has_ended() && !program.interrupted {
                let status = program.wait(program::ENDING)?;
                return failed(&program.name, &format!("ended by itself: {status}"));
            }
            left.push(place);
        }
        for place in left.into_iter().rev() {
            self.stage.programs[place].interrupt();
            self.wait_for_the_end(place)?;
            let program = &mut self.stage.programs[place];
            let status = program.wait(program::REST)?;
            if !program::is_orderly(status) {
                return failed(&program.name, &format!("ended with {status}"));
            }
        }
        Ok(())
    }

    /// Handles what comes next: a key before all else, then the end of the time, then
    /// what happens on stage.
    fn next(&mut self, wait: &Wait) -> Result<Next, Stop> {
        match self.guide.key() {
            Some(Key::Enter) => return Ok(Next::Enter),
            Some(Key::Help) => self.stage.screen.plain(HELP),
            Some(key) => return Err(Stop::Key(key)),
            None => {}
        }
        if self.looked.elapsed() >= TICK {
            self.looked = Instant::now();
            self.stage.programs.iter_mut().try_for_each(Program::look)?;
            if let Some(status) = wait.status() {
                self.stage.status(&status);
            }
        }
        let left = wait.time.saturating_sub(wait.begin.elapsed());
        if left.is_zero() {
            return Ok(Next::Over);
        }
        self.stage.handle_next(left.min(TICK));
        Ok(Next::Something)
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
        let events = self.stage.sender();
        // It must not wait: what crosses while a thousand lines wait is not shown.
        let show = move |line| {
            let _ = events.try_send(Event::Crossing(format!("{line:#}")));
        };
        let here = (Ipv4Addr::LOCALHOST, 0).into();
        let tap = Wiretap::start(here, target, options, show)?;
        let address = tap.address();
        let said = format!("Wiretap listening on {address}, forwarding to {target}");
        self.stage.screen.plain(&said);
        self.taps.push(tap);
        Ok(address)
    }
}

/// HOST:PORT of a broker's URL: user and password before it, a path after it.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let place = rest.split('/').next().unwrap_or_default();
    place.rsplit('@').next().unwrap_or_default()
}
