//! The guided tour: scene after scene, led by the lecturer.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, ensure};

use crate::audience::{self, Key};
use crate::backstage::Brokers;
use crate::performance::{Performance, Stop};
use crate::scene::{self, Scene};
use crate::screen::Screen;
use crate::{deck, record, terminal, warm};

pub const PROMPT: &str = "Enter: go on | s skip, r again, b back, q quit, ? help";
pub const HELP: &str = "Enter: the next step, or enough of a wait. s: skip this scene. \
    r: play it again. b: back one scene. q: quit. Ctrl-C: end everything at once.";
/// How long a pause is without somebody who presses Enter.
const PACE: Duration = Duration::from_millis(1500);
const LOOK: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub struct Options {
    /// What to play: crates, one scene of a crate (such as mqtt-temperature/2 or
    /// tcp-echo/tcp-server-draft), or files; by default everything but the drafts
    scenes: Vec<String>,
    /// Plays the drafts: the slide's programs, and where a real network breaks them
    #[arg(long)]
    drafts: bool,
    /// Begins at this scene
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// Lists the scenes, and plays none
    #[arg(long)]
    list: bool,
    /// Plays by itself, with pauses instead of Enter
    #[arg(long)]
    auto: bool,
    /// How long these pauses are (1.5 seconds by default); implies --auto
    #[arg(long, value_name = "SECONDS", value_parser = pace)]
    pace: Option<Duration>,
    /// Shows every message that crosses between a server, or a broker, and the others
    ///
    /// The others are sent to a wiretap that passes on what they send.
    #[arg(long)]
    wire: bool,
    /// Writes what the first of these scenes shows to an SVG that moves by itself
    #[arg(long, value_name = "FILE.svg", conflicts_with_all = ["list", "warm"])]
    record: Option<PathBuf>,
    /// Only prepares: builds everything, and tries the brokers
    #[arg(long)]
    warm: bool,
}

fn pace(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "a number of seconds is needed")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Who decides when the next step comes.
#[derive(Clone, Copy)]
pub enum Pace {
    /// The lecturer, by Enter.
    Led,
    /// Time.
    Auto(Duration),
    /// Nobody waits.
    None,
}

/// The lecturer's part: the keys, if there are any, and the pace.
pub struct Guide {
    pub pace: Pace,
    keys: Option<Receiver<Key>>,
}

impl Guide {
    /// Only with a terminal on both sides is there anybody to wait for.
    fn new(options: &Options) -> Guide {
        let watched = stdin().is_terminal() && stdout().is_terminal();
        let keys = if watched { audience::keys().ok() } else { None };
        let is_auto = options.auto || options.pace.is_some();
        let pace = match () {
            () if options.record.is_some() => Pace::None,
            () if is_auto && stdout().is_terminal() => {
                Pace::Auto(options.pace.unwrap_or(PACE))
            }
            () if keys.is_some() => Pace::Led,
            () => Pace::None,
        };
        Guide { pace, keys }
    }

    /// A key that was pressed.
    pub fn key(&self) -> Option<Key> {
        self.keys.as_ref()?.try_recv().ok()
    }

    /// The next key, if one is pressed in time.
    fn key_within(&self, patience: Duration) -> Option<Key> {
        let Some(keys) = &self.keys else {
            thread::sleep(patience);
            return None;
        };
        match keys.recv_timeout(patience) {
            Ok(key) => Some(key),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Key::Quit),
        }
    }
}

/// Plays scenes one after the other. One that cannot be had, because its broker or its
/// crate cannot, is left out; one that fails is reported; the end tells of both.
pub fn run(options: &Options) -> Result<ExitCode> {
    let mut scenes = scene::find(&options.scenes)?;
    match options.drafts {
        true => scenes.retain(Scene::is_of_a_draft),
        // Without them the tour is short enough for a lecture.
        false if options.scenes.is_empty() && !options.warm => {
            scenes.retain(|scene| !scene.is_of_a_draft());
        }
        false => {}
    }
    ensure!(!scenes.is_empty(), "there is no draft among these");
    if let Some(name) = &options.from {
        scene::begin_at(&mut scenes, name)?;
    }
    if options.record.is_some() {
        scenes.truncate(1);
    }
    let mut screen = Screen::new();
    if options.list {
        let width = scenes.iter().map(|scene| scene.name.len()).max().unwrap_or(0);
        for scene in &scenes {
            screen.plain(&format!("{:width$} {}", scene.name, scene.title));
        }
        return Ok(ExitCode::SUCCESS);
    }
    audience::leave_on_signals()?;
    let all = scenes.len();
    let left_out = warm::build(&mut scenes, &mut screen)?;
    if options.wire {
        // A client is two connections of a wiretap, and many systems allow a program
        // only 1,024 open files.
        rlimit::increase_nofile_limit(16_384)?;
    }
    let brokers = Brokers::start(&scenes);
    let guide = Guide::new(options);
    let mut tour = Tour {
        scenes,
        screen,
        guide,
        brokers,
        wired: options.wire,
        records: options.record.is_some(),
        results: BTreeMap::new(),
    };
    match options.warm {
        true => tour.try_brokers(),
        false => tour.play(),
    }
    terminal::give_back();
    let title = tour.scenes.first().map(|scene| scene.title.clone());
    let good = tour.results.values().any(Option::is_none);
    if let (Some(path), Some(lines), Some(title), true) =
        (&options.record, tour.screen.record.take(), title, good)
    {
        let written = fs::write(path, record::svg(&title, &lines));
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(tour.finish(all, left_out, options.warm))
}

struct Tour {
    scenes: Vec<Scene>,
    screen: Screen,
    guide: Guide,
    brokers: Brokers,
    /// Whether to show what crosses between the programs.
    wired: bool,
    /// Whether what is shown is recorded.
    records: bool,
    /// What became of each scene that was played, or could not be: nothing, or what is
    /// to be said of it.
    results: BTreeMap<usize, Option<String>>,
}

impl Tour {
    fn play(&mut self) {
        let mut index = 0;
        while index < self.scenes.len() {
            let wish = match self.perform(index) {
                Ok(()) => self.between(index),
                Err(key) => key,
            };
            match wish {
                Key::Enter | Key::Skip | Key::Help => index += 1,
                Key::Replay => {}
                Key::Back => index = index.saturating_sub(1),
                Key::Quit => break,
            }
        }
    }

    /// Plays one scene and keeps what became of it. The key is the lecturer's, who
    /// wants something else.
    fn perform(&mut self, index: usize) -> Result<(), Key> {
        let number = format!("{} of {}", index + 1, self.scenes.len());
        let scene = &self.scenes[index];
        let slide = deck::slide_of(&scene.name);
        self.screen.header(&number, scene, slide.as_ref());
        // A recording has the title, and knows of no deck.
        self.screen.record = self.records.then(Vec::new);
        let broker = match self.find_broker(index)? {
            Ok(broker) => broker,
            Err(error) => {
                let error = format!("{error:#}");
                self.screen
                    .say("Left out: ", error.lines().next().unwrap_or_default());
                self.keep(index, "left out", Some(error));
                return Ok(());
            }
        };
        let scene = &self.scenes[index];
        // A draft's scene has the wiretaps that it needs. In front of a server that has
        // ended another one would still accept.
        let wired = self.wired && !scene.is_of_a_draft();
        let performance =
            Performance::new(scene, &mut self.screen, &self.guide, wired);
        let played = performance.play(broker.as_deref());
        let error_of_broker = self.renew_broker(index, &played);
        match played {
            Ok(()) => {
                self.screen.plain("");
                self.screen.say("Notice: ", &self.scenes[index].notice);
                self.keep(index, "", None);
                Ok(())
            }
            Err(Stop::Failed(error)) => {
                let error = format!("{error:#}{error_of_broker}");
                self.screen.failure(&error);
                self.keep(index, "failed", Some(error));
                Ok(())
            }
            Err(Stop::Key(key)) => Err(key),
        }
    }

    fn keep(&mut self, index: usize, what: &str, error: Option<String>) {
        let scene = &self.scenes[index];
        // The screen has the rest.
        let first =
            |error: String| error.lines().next().unwrap_or_default().to_string();
        let said =
            error.map(|error| format!("{} {what}: {}", scene.name, first(error)));
        self.results.insert(index, said);
    }

    /// After a scene that was not played to its end the next one gets a new broker.
    /// Says what ended the old one, if it has ended by itself.
    fn renew_broker(&mut self, index: usize, played: &Result<(), Stop>) -> String {
        let (Some(kind), Err(_)) = (self.scenes[index].broker, played) else {
            return String::new();
        };
        let end = self.brokers.url(kind).err();
        if !matches!(played, Err(Stop::Key(Key::Quit))) {
            self.brokers.renew(kind);
        }
        end.map_or(String::new(), |end| format!("\n{end:#}"))
    }

    /// The URL of the broker that the scene needs, once it has started.
    fn find_broker(&mut self, index: usize) -> Result<Result<Option<String>>, Key> {
        let Some(kind) = self.scenes[index].broker else { return Ok(Ok(None)) };
        let begin = Instant::now();
        while self.brokers.is_starting(kind) {
            let seconds = begin.elapsed().as_secs();
            self.screen.status(&format!(
                "Waiting for {} to start, {seconds} s",
                kind.name()
            ));
            match self.guide.key_within(LOOK) {
                None | Some(Key::Enter | Key::Help) => {}
                Some(key) => return Err(key),
            }
        }
        self.screen.status("");
        Ok(self.brokers.url(kind).map(Some))
    }

    /// After a scene: what the lecturer wants next.
    fn between(&mut self, index: usize) -> Key {
        let next = self.scenes.get(index + 1);
        match self.guide.pace {
            Pace::None => return Key::Enter,
            Pace::Auto(_) if next.is_none() => return Key::Enter,
            Pace::Auto(pace) => {
                return self.guide.key_within(2 * pace).unwrap_or(Key::Enter);
            }
            Pace::Led => {}
        }
        let next = next.map_or("the end", |scene| scene.title.as_str());
        let prompt = format!("Enter: {next} | r again, b back, q quit, ? help");
        loop {
            self.screen.prompt(&prompt);
            match self.guide.key_within(Duration::from_secs(3600)) {
                Some(Key::Help) => self.screen.plain(HELP),
                Some(key) => {
                    self.screen.status("");
                    return key;
                }
                None => {}
            }
        }
    }

    /// Starts each broker that a scene needs, and says which cannot be had.
    fn try_brokers(&mut self) {
        for index in 0..self.scenes.len() {
            match self.find_broker(index) {
                Err(_) => return,
                Ok(Ok(_)) => self.keep(index, "", None),
                Ok(Err(error)) => {
                    self.keep(index, "lacks its broker", Some(format!("{error:#}")))
                }
            }
        }
    }

    /// Tells what was played and what was not.
    fn finish(&mut self, all: usize, mut bad: Vec<String>, warm: bool) -> ExitCode {
        let good = self.results.values().filter(|result| result.is_none()).count();
        bad.extend(self.results.values().flatten().cloned());
        let what = if warm { "Ready for" } else { "Played" };
        self.screen.plain("");
        self.screen.plain(&format!("{what} {good} of {all} scenes."));
        if bad.is_empty() {
            return ExitCode::SUCCESS;
        }
        eprintln!("Error: not everything went well:");
        bad.iter().for_each(|line| eprintln!("    {line}"));
        ExitCode::FAILURE
    }
}
