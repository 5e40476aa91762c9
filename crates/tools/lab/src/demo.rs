//! The guided tour: plays scenes, shows what their programs print, and checks it.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::{self, Command};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anstream::println;
use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, anyhow, ensure};
use wiretap::{Options, Wiretap};

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

/// Plays the named scenes, or all, one after the other; with `wired` it shows what
/// crosses between a server, or a broker, and the others. A scene that cannot be had,
/// because its broker or its crate cannot, is left out, and said at the end.
pub fn play(names: &[String], wired: bool) -> Result<()> {
    let mut scenes = scene::find(names)?;
    let all = scenes.len();
    let mut left_out = build(&mut scenes)?;
    if wired {
        // A client is two connections of a wiretap, and many systems allow a program
        // only 1,024 open files.
        rlimit::increase_nofile_limit(16_384)?;
    }
    let watched = io::stdin().is_terminal();
    let mut tour = Tour::new(watched, wired, &scenes)?;
    for (index, scene) in scenes.iter().enumerate() {
        let number = format!("{} of {}", index + 1, scenes.len());
        println!("\n{BOLD}== {number}: {} =={BOLD:#}", scene.title);
        println!("{DIM}Slide: {} | Code: {}{DIM:#}\n", scene.slide, scene.folder);
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

/// Builds each crate just as the commands of the scenes will want it, so that nothing
/// is compiled on stage. Takes out the scenes that need one that cannot be built, and
/// returns what to say of them.
fn build(scenes: &mut Vec<Scene>) -> Result<Vec<String>> {
    let mut built = BTreeMap::new();
    for name in scenes.iter().flat_map(Scene::packages) {
        if !built.contains_key(name) {
            let mut cargo = Command::new("cargo");
            cargo.args(["build", "-p", name]).current_dir(scene::root());
            let status = cargo.status().context("cannot start cargo")?;
            built.insert(name.to_string(), status.success());
        }
    }
    let is_out =
        |scene: &mut Scene| scene.packages().iter().any(|name| !built[*name]);
    let out = scenes.extract_if(.., is_out);
    Ok(out.map(|scene| format!("{}: it cannot be built", scene.title)).collect())
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
    /// Who listens there, once that is known.
    server: Option<Server>,
    /// What `{other}` and `{wire}` stand for.
    other: Option<SocketAddr>,
    wire: Option<SocketAddr>,
    /// Whether to show what crosses.
    wired: bool,
    taps: Vec<Wiretap>,
    /// How many lines of theirs came since the current step began.
    crossed: usize,
    brokers: Brokers,
    /// What `{broker}` stands for.
    broker: Option<String>,
    begin: Instant,
    /// How long the longest name of a program in the scene is.
    width: usize,
    /// How often Enter was pressed.
    enters: usize,
}

/// Who listens where the others are sent, and really where.
struct Server {
    /// The program, and those that listen there after it has ended.
    names: Vec<String>,
    /// What it is to print when it listens.
    ready: String,
    address: SocketAddr,
}

impl Tour {
    fn new(watched: bool, wired: bool, scenes: &[Scene]) -> Result<Tour> {
        let (sender, events) = mpsc::channel();
        stage::listen_to_the_audience(&sender, watched)?;
        Ok(Tour {
            sender,
            events,
            programs: Vec::new(),
            first: 0,
            address: None,
            server: None,
            other: None,
            wire: None,
            wired,
            taps: Vec::new(),
            crossed: 0,
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
            let mut url = self.brokers.url(kind)?;
            if self.wired && !scene.has_wiretap() {
                let target = authority(&url).to_string();
                url = url.replace(&target, &self.tap(&target, false)?.to_string());
            }
            self.broker = Some(url);
        }
        Ok(())
    }

    /// Puts a wiretap before a server; returns where it listens.
    fn tap(&mut self, target: &str, udp: bool) -> Result<SocketAddr> {
        let options = Options { udp, ..Options::default() };
        let events = self.sender.clone();
        // Nobody listens any more when the demo is over.
        let show = move |line| drop(events.send(Event::Wire(format!("{line:#}"))));
        let tap =
            Wiretap::start((Ipv4Addr::LOCALHOST, 0).into(), target, options, show)?;
        let address = tap.address();
        println!(
            "{DIM}Wiretap listening on {address}, forwarding to {target}{DIM:#}"
        );
        self.taps.push(tap);
        Ok(address)
    }

    fn play(&mut self, scene: &Scene) -> Result<()> {
        self.first = self.programs.len();
        self.begin = Instant::now();
        let names = scene.steps.iter().map(|step| step.program.len());
        self.width = names.max().unwrap_or(0);
        self.address = scene.address.map(free_or_any_port);
        (self.server, self.other, self.wire) = (None, None, None);
        for step in &scene.steps {
            self.step(step, scene)?;
            self.count_hidden_lines();
        }
        self.end_programs()?;
        self.taps.clear();
        while self.go_on(Instant::now()) {}
        self.count_hidden_lines();
        Ok(())
    }

    fn step(&mut self, step: &Step, scene: &Scene) -> Result<()> {
        let index = match &step.run {
            Some(command) => {
                if let Some(server) = &mut self.server
                    && step.expect.contains(&server.ready)
                {
                    server.names.push(step.program.clone());
                }
                let has_input = scene.types_into(&step.program);
                self.start(&step.program, command, has_input)?
            }
            None => self.find(&step.program)?,
        };
        if let Some(line) = &step.typed {
            println!("{BOLD}Typed into {}: {line}{BOLD:#}", step.program);
            self.programs[index].type_line(line)?;
        }
        if step.interrupt {
            println!("{BOLD}Ctrl-C: {}{BOLD:#}", step.program);
            self.programs[index].interrupt();
        }
        for line in &step.expect {
            self.expect(index, line, step.within)?;
            if line.contains("{address}") && self.server.is_none() {
                self.find_server(&step.program, line, scene)?;
            }
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

    /// The first program that prints the address listens there. The others are sent to
    /// its wiretap from now on, if there is to be one.
    fn find_server(&mut self, name: &str, ready: &str, scene: &Scene) -> Result<()> {
        let address = self.address.context("the scene has no address")?;
        let (names, ready) = (vec![name.to_string()], ready.to_string());
        self.server = Some(Server { names, ready, address });
        if self.wired && !scene.has_wiretap() {
            self.address = Some(self.tap(&address.to_string(), scene.udp)?);
        }
        Ok(())
    }

    fn start(&mut self, name: &str, command: &str, has_input: bool) -> Result<usize> {
        let command = self.fill_in(command, name);
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
                if self.fits(index, expected, &line) {
                    return Ok(());
                }
            }
            let expected = self.fill_in(expected, &self.programs[index].name);
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
            Ok(Event::Wire(line)) => self.show_crossing(&line),
            Ok(Event::Closed(index)) => self.programs[index].close(),
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

    fn show_crossing(&mut self, line: &str) {
        self.crossed += 1;
        if self.crossed <= LINES_SHOWN {
            let seconds = self.begin.elapsed().as_secs_f64();
            println!(
                "{DIM}{seconds:5.1} s {:width$} | {line}{DIM:#}",
                "",
                width = self.width
            );
        }
    }

    fn count_hidden_lines(&mut self) {
        if self.crossed > LINES_SHOWN {
            println!(
                "{DIM}        and {} more that crossed{DIM:#}",
                self.crossed - LINES_SHOWN
            );
        }
        self.crossed = 0;
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

    /// Puts address and broker into a command or an expected line of a program.
    fn fill_in(&self, text: &str, name: &str) -> String {
        let is_own = |server: &&Server| server.names.iter().any(|own| own == name);
        let own = self.server.as_ref().filter(is_own);
        let address = own.map(|server| server.address).or(self.address);
        let mut text = text.to_string();
        let places =
            [("{address}", address), ("{other}", self.other), ("{wire}", self.wire)];
        for (word, address) in places {
            if let Some(address) = address {
                text = text.replace(word, &address.to_string());
            }
        }
        if let Some(broker) = &self.broker {
            text = text.replace("{broker}", broker);
            text = text.replace("{broker_address}", authority(broker));
        }
        text
    }

    /// Whether a line is the expected one. A server on any free port tells which it
    /// is, and so does each wiretap.
    fn fits(&mut self, index: usize, expected: &str, line: &str) -> bool {
        let told = |word| {
            let (before, _) = expected.split_once(word)?;
            let rest = line.strip_prefix(before)?;
            rest.split([' ', ',']).next()?.parse().ok()
        };
        if self.address.is_some_and(|address| address.port() == 0) {
            self.address = told("{address}").or(self.address);
        }
        self.other = self.other.or_else(|| told("{other}"));
        if expected.starts_with("Wiretap listening on ") {
            self.wire = told("{wire}").or(self.wire);
        }
        scene::matches(&self.fill_in(expected, &self.programs[index].name), line)
    }

    fn failure(&self, index: usize, what: &str) -> anyhow::Error {
        let program = &self.programs[index];
        let printed = program.lines.join("\n");
        anyhow!("{} {what}\nall that it printed:\n{printed}", program.name)
    }
}

/// HOST:PORT of a broker's URL: user and password before it, a path after it.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let place = rest.split('/').next().unwrap_or_default();
    place.rsplit('@').next().unwrap_or_default()
}

/// The slide's address if its port is free, else any port of the same address.
fn free_or_any_port(mut address: SocketAddr) -> SocketAddr {
    if TcpListener::bind(address).is_err() || UdpSocket::bind(address).is_err() {
        address.set_port(0);
    }
    address
}
