//! The guided tour: plays scenes, shows what their programs print, and checks it.

use std::io::{self, IsTerminal};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{self, Command};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anstream::println;
use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, anyhow, ensure};

use crate::backstage::Brokers;
use crate::scene::{self, Scene, Step};
use crate::stage::{self, Event, Program};

/// Lines shown of a program in one step: the rest is only counted.
const LINES_SHOWN: usize = 10;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const COLOURS: [AnsiColor; 5] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Magenta,
    AnsiColor::Green,
    AnsiColor::Blue,
];

/// Plays the named scenes, or all, one after the other. A scene that cannot be had,
/// because its broker or its crate cannot, is left out, and said at the end.
pub fn play(names: &[String]) -> Result<()> {
    let mut scenes = scene::find(names)?;
    let all = scenes.len();
    let mut left_out = build(&mut scenes)?;
    let watched = io::stdin().is_terminal();
    let mut tour = Tour::new(watched, &scenes)?;
    for (index, scene) in scenes.iter().enumerate() {
        let number = format!("{} of {}", index + 1, scenes.len());
        println!("\n{BOLD}== {number}: {} =={BOLD:#}", scene.title);
        println!(
            "{DIM}Slide: {} | Code: crates/{}{DIM:#}\n",
            scene.slide, scene.name
        );
        if let Err(error) = tour.find_broker(scene) {
            println!("Left out: {error:#}");
            left_out.push(format!("{}: {error:#}", scene.title));
            continue;
        }
        tour.play(scene)
            .with_context(|| format!("the scene {} failed", scene.name))?;
        println!("\n{BOLD}Notice:{BOLD:#} {}", scene.notice);
        if let (true, Some(next)) = (watched, scenes.get(index + 1)) {
            println!("\n{DIM}Enter: {}. q and Enter: end.{DIM:#}", next.title);
            tour.wait_for_enter();
        }
    }
    println!("\nPlayed {} of {all} scenes.", all - left_out.len());
    ensure!(left_out.is_empty(), "left out:\n    {}", left_out.join("\n    "));
    Ok(())
}

/// Builds each crate just as the commands of its scenes will want it, so that nothing
/// is compiled on stage. Takes out the scenes of a crate that cannot be built, and
/// returns what to say of them.
fn build(scenes: &mut Vec<Scene>) -> Result<Vec<String>> {
    let names = scenes.iter().filter(|scene| scene.is_of_a_crate);
    let mut names: Vec<String> = names.map(|scene| scene.name.clone()).collect();
    names.dedup();
    let mut unbuilt = Vec::new();
    for name in names {
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "-p", &name]).current_dir(scene::root());
        if !cargo.status().context("cannot start cargo")?.success() {
            unbuilt.push(name);
        }
    }
    let out = scenes.extract_if(.., |scene| unbuilt.contains(&scene.name));
    Ok(out
        .map(|scene| format!("{}: cannot build {}", scene.title, scene.name))
        .collect())
}

struct Tour {
    sender: Sender<Event>,
    events: Receiver<Event>,
    /// Everything that was ever started, so that an event's index stays true.
    programs: Vec<Program>,
    /// Where the programs of the current scene begin.
    first: usize,
    /// What `{address}` stands for.
    address: Option<SocketAddr>,
    brokers: Brokers,
    /// What `{broker}` stands for.
    broker: Option<String>,
    begin: Instant,
    /// How long the longest name of a program in the scene is.
    width: usize,
    /// How often Enter was pressed.
    enters: usize,
}

impl Tour {
    fn new(watched: bool, scenes: &[Scene]) -> Result<Tour> {
        let (sender, events) = mpsc::channel();
        stage::listen_to_the_audience(&sender, watched)?;
        Ok(Tour {
            sender,
            events,
            programs: Vec::new(),
            first: 0,
            address: None,
            brokers: Brokers::start(scenes),
            broker: None,
            begin: Instant::now(),
            width: 0,
            enters: 0,
        })
    }

    /// Waits for the broker that the scene needs.
    fn find_broker(&mut self, scene: &Scene) -> Result<()> {
        self.broker = None;
        if let Some(kind) = scene.broker {
            if self.brokers.is_starting(kind) {
                println!("{DIM}Waiting for {} to start{DIM:#}\n", kind.name());
            }
            while self.brokers.is_starting(kind) {
                self.go_on(Instant::now() + Duration::from_millis(50));
            }
            self.broker = Some(self.brokers.url(kind)?);
        }
        Ok(())
    }

    fn play(&mut self, scene: &Scene) -> Result<()> {
        self.first = self.programs.len();
        self.begin = Instant::now();
        let names = scene.steps.iter().map(|step| step.program.len());
        self.width = names.max().unwrap_or(0);
        self.address = scene.address.map(free_or_any_port);
        for step in &scene.steps {
            self.step(step, scene.types_into(&step.program))?;
            self.count_hidden_lines();
        }
        self.end_programs()?;
        self.count_hidden_lines();
        Ok(())
    }

    fn step(&mut self, step: &Step, has_input: bool) -> Result<()> {
        let index = match &step.run {
            Some(command) => self.start(&step.program, command, has_input)?,
            None => self.find(&step.program)?,
        };
        if let Some(line) = &step.typed {
            println!("{BOLD}Typed into {}: {line}{BOLD:#}", step.program);
            self.programs[index].type_line(line)?;
        }
        for line in &step.expect {
            self.expect(index, line, step.within)?;
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

    fn start(&mut self, name: &str, command: &str, has_input: bool) -> Result<usize> {
        let command = self.fill_in(command);
        println!("{BOLD}$ {command}{BOLD:#}");
        let index = self.programs.len();
        let program = Program::start(name, &command, has_input, index, &self.sender)?;
        self.programs.push(program);
        Ok(index)
    }

    fn find(&self, name: &str) -> Result<usize> {
        let here = &self.programs[self.first..];
        let place = here.iter().position(|program| program.name == name);
        Ok(self.first
            + place.with_context(|| format!("no program '{name}' was started"))?)
    }

    fn expect(&mut self, index: usize, expected: &str, within: u64) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(within);
        loop {
            while let Some(line) = self.programs[index].next_line() {
                if self.fits(expected, &line) {
                    return Ok(());
                }
            }
            let expected = self.fill_in(expected);
            if self.programs[index].has_ended() {
                return Err(
                    self.failure(index, &format!("ended without '{expected}'"))
                );
            }
            if !self.go_on(deadline) {
                let after = format!("did not print '{expected}' in {within} s");
                return Err(self.failure(index, &after));
            }
        }
    }

    fn expect_silence(&mut self, index: usize, seconds: u64) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while self.go_on(deadline) {}
        match self.programs[index].next_line() {
            Some(_) => Err(self.failure(index, "printed too early")),
            None => {
                let name = &self.programs[index].name;
                println!("{DIM}        nothing from {name} for {seconds} s{DIM:#}");
                Ok(())
            }
        }
    }

    fn expect_exit(&mut self, index: usize, code: i32, within: u64) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(within);
        while !self.programs[index].has_ended() {
            if !self.go_on(deadline) {
                return Err(
                    self.failure(index, &format!("did not end in {within} s"))
                );
            }
        }
        let status = self.programs[index].wait()?;
        match status.code() == Some(code) {
            true => Ok(()),
            false => {
                Err(self.failure(index, &format!("ended with {status}, not {code}")))
            }
        }
    }

    fn kill(&mut self, index: usize) -> Result<()> {
        ensure!(
            !self.programs[index].has_ended(),
            "{} has ended",
            self.programs[index].name
        );
        println!("{BOLD}Killed: {}{BOLD:#}", self.programs[index].name);
        self.programs[index].kill();
        let deadline = Instant::now() + stage::ENDING;
        while !self.programs[index].has_ended() && self.go_on(deadline) {}
        self.programs[index].wait().map(drop)
    }

    /// Ends the programs that the scene has left running, the last one first: a client
    /// would lose its server otherwise.
    fn end_programs(&mut self) -> Result<()> {
        let left = self.first..self.programs.len();
        let left = left.filter(|&index| !self.programs[index].is_finished());
        let left: Vec<usize> = left.collect();
        if let Some(&index) =
            left.iter().find(|&&index| self.programs[index].has_ended())
        {
            let status = self.programs[index].wait()?;
            return Err(self.failure(index, &format!("ended by itself: {status}")));
        }
        for index in left.into_iter().rev() {
            self.programs[index].interrupt();
            let deadline = Instant::now() + stage::ENDING;
            while !self.programs[index].has_ended() && self.go_on(deadline) {}
            let status = self.programs[index].wait()?;
            if !stage::is_orderly(status) {
                return Err(self.failure(index, &format!("ended with {status}")));
            }
        }
        Ok(())
    }

    /// Handles the next event; returns false when there was none before the deadline.
    fn go_on(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.events.recv_timeout(left) {
            Ok(Event::Line(index, line)) => self.show(index, line),
            Ok(Event::Closed(index)) => self.programs[index].close_stream(),
            Ok(Event::Typed(line)) if line.trim() != "q" => self.enters += 1,
            Ok(Event::Typed(_) | Event::Interrupted) => self.quit(),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return false;
            }
        }
        true
    }

    fn show(&mut self, index: usize, line: String) {
        let colour =
            COLOURS[index.saturating_sub(self.first) % COLOURS.len()].on_default();
        let seconds = self.begin.elapsed().as_secs_f64();
        let program = &mut self.programs[index];
        program.shown += 1;
        if program.shown <= LINES_SHOWN {
            let name = format!("{:width$}", program.name, width = self.width);
            println!("{DIM}{seconds:5.1} s{DIM:#} {colour}{name} |{colour:#} {line}");
        }
        program.lines.push(line);
    }

    fn count_hidden_lines(&mut self) {
        for program in &mut self.programs[self.first..] {
            if program.shown > LINES_SHOWN {
                let hidden = program.shown - LINES_SHOWN;
                println!(
                    "{DIM}        and {hidden} more lines of {}{DIM:#}",
                    program.name
                );
            }
            program.shown = 0;
        }
    }

    fn wait_for_enter(&mut self) {
        let seen = self.enters;
        while self.enters == seen {
            self.go_on(Instant::now() + Duration::from_secs(3600));
        }
    }

    /// Leaves at the audience's wish: nothing that was started stays behind.
    fn quit(&mut self) -> ! {
        self.programs.iter_mut().for_each(Program::interrupt);
        for program in &mut self.programs {
            // Who does not end when asked to is killed by the drop below.
            let _ = program.wait();
        }
        self.programs.clear();
        self.brokers = Brokers::default();
        println!("\nEnded.");
        process::exit(0)
    }

    /// Puts address and broker into a command or an expected line.
    fn fill_in(&self, text: &str) -> String {
        let mut text = text.to_string();
        if let Some(address) = self.address {
            text = text.replace("{address}", &address.to_string());
        }
        if let Some(broker) = &self.broker {
            text = text.replace("{broker}", broker);
        }
        text
    }

    /// Whether a line is the expected one. A server on any free port tells which it
    /// is.
    fn fits(&mut self, expected: &str, line: &str) -> bool {
        if let (Some(0), Some((before, _))) = (
            self.address.map(|address| address.port()),
            expected.split_once("{address}"),
        ) {
            let rest = line.strip_prefix(before).unwrap_or_default();
            let told =
                rest.split_whitespace().next().and_then(|word| word.parse().ok());
            self.address = told.or(self.address);
        }
        scene::matches(&self.fill_in(expected), line)
    }

    fn failure(&self, index: usize, what: &str) -> anyhow::Error {
        let program = &self.programs[index];
        let printed = program.lines.join("\n");
        anyhow!("{} {what}\nall that it printed:\n{printed}", program.name)
    }
}

/// The slide's address if its port is free, else any port of the same address.
fn free_or_any_port(mut address: SocketAddr) -> SocketAddr {
    if TcpListener::bind(address).is_err() || UdpSocket::bind(address).is_err() {
        address.set_port(0);
    }
    address
}
