//! A scene: what an example's `demo.toml` says. The README of this crate documents it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use brokers::Kind;
use serde::Deserialize;
use toml::Spanned;

use crate::places;

/// A text that knows where in its file it stands.
type Text = Spanned<String>;

/// One example on the stage: programs that run at the same time, and what they print.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// The crate, with the scene's number if it has several; or the path of a file.
    #[serde(skip)]
    pub name: String,
    /// Where it lies, as the project's folder sees it.
    #[serde(skip)]
    pub folder: String,
    pub title: String,
    /// The slides of the lecture that it belongs to.
    pub slide: String,
    /// The broker that its programs need; `{broker}` stands for its URL, and
    /// `{broker_address}` for its HOST:PORT.
    pub broker: Option<Kind>,
    /// Whether its server speaks UDP: then so does a wiretap in front of it.
    #[serde(default)]
    pub udp: bool,
    /// What the class should take home. The steps assert it.
    pub notice: String,
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

/// Tells the class something, starts a program or goes on with one, and says what it
/// must do before the next step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// A sentence to the class. With it, or a question, the step waits for Enter.
    pub say: Option<Text>,
    /// A question to the class; a step from this one on has the answer.
    pub question: Option<Text>,
    /// The answer, told when the step is over.
    pub answer: Option<Text>,
    /// The name in front of the program's lines.
    pub program: Option<Text>,
    /// The command that starts it; without one the program runs already.
    pub run: Option<Text>,
    /// A line to type into it, before all that follows. The input of a program into
    /// which nothing is typed in the whole scene has ended when it starts.
    #[serde(rename = "type")]
    pub typed: Option<Text>,
    /// It gets Ctrl-C, before all that follows.
    #[serde(default)]
    pub interrupt: bool,
    /// Lines that it must print, in this order. Other lines may stand between them.
    #[serde(default)]
    pub expect: Vec<Text>,
    /// Then no other lines may stand between them, nor before the first.
    #[serde(default)]
    pub only: bool,
    /// Seconds that it has for each line, and for its end.
    #[serde(default = "patience")]
    pub within: u64,
    /// Seconds for which it must then print nothing more.
    pub quiet: Option<u64>,
    /// It must end by itself with this exit status.
    pub exit: Option<i32>,
    /// It must end by itself with any other exit status than 0.
    #[serde(default)]
    pub fails: bool,
    /// Then it is killed, as a power cut would end it.
    #[serde(default)]
    pub kill: bool,
}

/// A text that need not know any more where it stands.
pub fn plain(text: &Option<Text>) -> Option<&str> {
    text.as_ref().map(|text| text.get_ref().as_str())
}

fn patience() -> u64 {
    20
}

impl Step {
    pub fn program(&self) -> &str {
        plain(&self.program).unwrap_or_default()
    }

    /// Whether the lecturer has something to say before it.
    pub fn waits(&self) -> bool {
        self.say.is_some() || self.question.is_some()
    }

    /// A fault of the step as a whole, in the line of one of its texts.
    fn fault(&self, what: &str) -> Fault {
        let texts = [&self.answer, &self.run, &self.typed, &self.say];
        let text = texts.into_iter().flatten().chain(&self.expect).next();
        Fault { place: text.map_or(0, |text| text.span().start), what: what.into() }
    }

    fn acts(&self) -> bool {
        let texts =
            self.run.is_some() || self.typed.is_some() || !self.expect.is_empty();
        let waits = self.quiet.is_some() || self.exit.is_some() || self.fails;
        texts || waits || self.interrupt || self.kill
    }
}

impl Scene {
    /// Whether something is typed into this program.
    pub fn types_into(&self, program: &str) -> bool {
        self.steps
            .iter()
            .any(|step| step.program() == program && step.typed.is_some())
    }

    /// The names of its programs, in the order of their entrance.
    pub fn actors(&self) -> Vec<&str> {
        let mut actors = Vec::new();
        for step in self.steps.iter().filter(|step| step.run.is_some()) {
            if !actors.contains(&step.program()) {
                actors.push(step.program());
            }
        }
        actors
    }

    /// What its commands run, as cargo's arguments: a crate, or an example of a crate.
    pub fn builds(&self) -> Vec<String> {
        let commands = self.steps.iter().filter_map(|step| plain(&step.run));
        let cargo = commands.filter_map(|run| run.strip_prefix("cargo run -q "));
        let words = cargo.map(|rest| rest.split(' ').collect::<Vec<_>>());
        let builds = words.map(|words| match words.get(2) {
            Some(&"--example") => words[..words.len().min(4)].join(" "),
            _ => words[..words.len().min(2)].join(" "),
        });
        builds.collect()
    }

    /// Whether it shows what crosses the network by wiretaps of its own.
    pub fn has_wiretap(&self) -> bool {
        self.builds().iter().any(|build| build == "-p wiretap")
    }

    /// Whether it shows where a draft breaks.
    pub fn is_of_a_draft(&self) -> bool {
        self.name.ends_with("-draft")
    }

    /// Whether this name means it: its own, its crate's or its file's.
    pub fn is_called(&self, name: &str) -> bool {
        let first = !self.name.contains('/') && name == format!("{}/1", self.name);
        first || self.name == name || self.name.split('/').next() == Some(name)
    }

    fn parse(text: &str) -> Result<Scene, Fault> {
        let scene: Scene = toml::from_str(text).map_err(|error| Fault {
            place: error.span().map_or(0, |span| span.start),
            what: error.message().to_string(),
        })?;
        scene.check()?;
        Ok(scene)
    }

    /// Finds what cannot be played before anything is played.
    fn check(&self) -> Result<(), Fault> {
        Names::check(self)?;
        let mut started = Vec::new();
        let mut asked: Option<&Text> = None;
        for step in &self.steps {
            let name = step.program();
            if step.run.is_some() {
                started.push(name);
            }
            match &step.program {
                Some(program) if !started.contains(&name) => {
                    let what = format!("no step before this one starts '{name}'");
                    return Err(Fault::at(program, what));
                }
                None if step.acts() => {
                    return Err(
                        step.fault("the step does something, and names no program")
                    );
                }
                _ => {}
            }
            asked = step.question.as_ref().or(asked);
            if step.answer.is_some() && asked.take().is_none() {
                return Err(step.fault("an answer without a question"));
            }
        }
        match asked {
            Some(text) => Err(Fault::at(text, "a question without an answer".into())),
            None => Ok(()),
        }
    }
}

/// What is wrong with a scene, and how many bytes into the file.
struct Fault {
    place: usize,
    what: String,
}

impl Fault {
    fn at(text: &Text, what: String) -> Fault {
        Fault { place: text.span().start, what }
    }
}

/// The named places of a scene: each is found once and used at least once after that.
struct Names<'a> {
    known: Vec<String>,
    /// Those that nothing has used yet, and where they are found.
    unused: Vec<(String, &'a Text)>,
}

impl<'a> Names<'a> {
    fn check(scene: &'a Scene) -> Result<(), Fault> {
        let broker = ["broker", "broker_address"].map(str::to_string);
        let known = scene.broker.map_or(Vec::new(), |_| broker.to_vec());
        let mut names = Names { known, unused: Vec::new() };
        for step in &scene.steps {
            let before = [&step.say, &step.question, &step.run, &step.typed];
            before.into_iter().flatten().try_for_each(|text| names.uses(text))?;
            step.expect.iter().for_each(|text| names.finds(text));
            step.answer.iter().try_for_each(|text| names.uses(text))?;
        }
        names.unused.first().map_or(Ok(()), |(name, text)| {
            let what = "is found here and used nowhere";
            Err(Fault::at(text, format!("{{{name}}} {what}{}", names.hint(name))))
        })
    }

    fn uses(&mut self, text: &Text) -> Result<(), Fault> {
        for name in places::names(text.get_ref()) {
            if !self.known.contains(&name) {
                let what = format!("nothing has found {{{name}}} before this line");
                return Err(Fault::at(text, what + &self.hint(&name)));
            }
            self.unused.retain(|(unused, _)| *unused != name);
        }
        Ok(())
    }

    fn finds(&mut self, text: &'a Text) {
        for name in places::names(text.get_ref()) {
            if self.known.contains(&name) {
                self.unused.retain(|(unused, _)| *unused != name);
            } else {
                self.known.push(name.clone());
                self.unused.push((name, text));
            }
        }
    }

    fn hint(&self, name: &str) -> String {
        let others =
            self.known.iter().map(String::as_str).filter(|other| *other != name);
        let hint = places::similar(name, others);
        hint.map_or(String::new(), |hint| format!(": did you mean {{{hint}}}?"))
    }
}

/// Finds the scenes by name, or all of them in the order of the lecture.
pub fn find(names: &[String]) -> Result<Vec<Scene>> {
    let all = folders_with_a_scene()?;
    if names.is_empty() {
        let scenes = all.iter().map(|folder| scenes_of(folder));
        return Ok(scenes
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect());
    }
    let mut scenes = Vec::new();
    for name in names {
        if name.ends_with(".toml") {
            scenes.push(load(name.clone(), Path::new(name))?);
            continue;
        }
        let crate_name = name.split('/').next().unwrap_or_default();
        let folder = all.iter().find(|folder| name_of(folder) == crate_name);
        let Some(folder) = folder else { return Err(unknown(name, &all)) };
        let (from, known) = (scenes.len(), scenes_of(folder)?);
        let count = known.len();
        scenes.extend(known.into_iter().filter(|scene| scene.is_called(name)));
        ensure!(
            scenes.len() > from,
            "{crate_name} has {count} scenes; --list {crate_name} shows their names"
        );
    }
    Ok(scenes)
}

fn unknown(name: &str, folders: &[String]) -> Error {
    let known: Vec<&str> = folders.iter().map(|folder| name_of(folder)).collect();
    let hint = places::similar(name, known.iter().copied());
    let hint = hint.map_or(String::new(), |hint| format!("; did you mean '{hint}'?"));
    anyhow!("there is no scene '{name}'{hint} There are: {}", known.join(", "))
}

/// The scenes of a crate: `demo.toml`, then `demo-2-....toml` and so on, then those of
/// its drafts, `demo-draft-....toml`.
fn scenes_of(folder: &str) -> Result<Vec<Scene>> {
    let files = fs::read_dir(root().join(folder))?;
    let paths = files.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    let is_scene = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name == "demo.toml" || name.starts_with("demo-") && name.ends_with(".toml")
    };
    let mut paths: Vec<_> = paths.into_iter().filter(is_scene).collect();
    // By their names alone `demo-2` would come before `demo`.
    paths.sort_by_key(|path| path.file_stem().map(ToOwned::to_owned));
    let draft = |path: &Path| {
        let stem = path.file_stem()?.to_str()?;
        stem.strip_prefix("demo-draft-").map(ToOwned::to_owned)
    };
    let numbered = paths.iter().filter(|path| draft(path).is_none()).count();
    let name = |(index, path): (usize, &PathBuf)| match (draft(path), numbered) {
        (Some(draft), _) => format!("{}/{draft}-draft", name_of(folder)),
        (None, 1) => name_of(folder).to_string(),
        (None, _) => format!("{}/{}", name_of(folder), index + 1),
    };
    paths.iter().enumerate().map(|it| load(name(it), it.1)).collect()
}

fn load(name: String, path: &Path) -> Result<Scene> {
    let shown = path.strip_prefix(root()).unwrap_or(path).display().to_string();
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the scene {shown}"))?;
    let scene = Scene::parse(&text).map_err(|fault| {
        let line = text[..fault.place].lines().count().max(1);
        // A place at the beginning of a line is after the end of the one before.
        let line = line + usize::from(text[..fault.place].ends_with('\n'));
        anyhow!("{shown}:{line}: {}", fault.what)
    })?;
    let folder = Path::new(&shown).parent().unwrap_or(path).display().to_string();
    Ok(Scene { name, folder, ..scene })
}

/// The folder of the workspace: the commands run there.
pub fn root() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    tools
        .and_then(|tools| tools.ancestors().nth(2))
        .unwrap_or(Path::new("."))
        .to_path_buf()
}

/// The members of the workspace stand in the order of the lecture.
fn folders_with_a_scene() -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Manifest {
        workspace: Workspace,
    }
    #[derive(Deserialize)]
    struct Workspace {
        members: Vec<String>,
    }
    let path = root().join("Cargo.toml");
    let manifest = fs::read_to_string(&path).context("cannot read the workspace")?;
    let mut folders = toml::from_str::<Manifest>(&manifest)?.workspace.members;
    folders.retain(|folder| root().join(folder).join("demo.toml").exists());
    Ok(folders)
}

/// The crate in a folder bears its name.
fn name_of(folder: &str) -> &str {
    folder.rsplit('/').next().unwrap_or_default()
}

/// Leaves out what comes before the scene of this name.
pub fn begin_at(scenes: &mut Vec<Scene>, name: &str) -> Result<()> {
    let Some(first) = scenes.iter().position(|scene| scene.is_called(name)) else {
        let known: Vec<&str> =
            scenes.iter().map(|scene| scene.name.as_str()).collect();
        bail!("no scene '{name}' to begin at; there are: {}", known.join(", "));
    };
    scenes.drain(..first);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "title = 'T'\nslide = 'S'\nnotice = 'N'\n[[step]]\nprogram = 'a'\n";

    /// What is wrong, and in which line after the head.
    fn fault(steps: &str) -> (usize, String) {
        let text = format!("{HEAD}{steps}");
        let fault = Scene::parse(&text).map(|_| "no fault").unwrap_err();
        let place = fault.place.max(HEAD.len());
        (text[HEAD.len()..place].matches('\n').count() + 1, fault.what)
    }

    #[test]
    fn a_name_that_nothing_has_found_is_a_fault_in_its_line() {
        let (line, what) = fault("expect = ['at {server}']\nrun = 'x {sever}'\n");
        assert_eq!(
            (line, what.as_str()),
            (2, "nothing has found {sever} before this line")
        );
        let more = "[[step]]\nprogram = 'b'\nrun = 'x {sever}'\n";
        let (line, what) =
            fault(&format!("run = 'x'\nexpect = ['at {{server}}']\n{more}"));
        assert_eq!(line, 5);
        assert!(what.ends_with("did you mean {server}?"), "{what}");
    }

    #[test]
    fn a_name_that_nothing_uses_is_misspelt() {
        let expect = "expect = [\n'at {server}',\n'{server} again',\n'at {sever}']";
        let (line, what) = fault(&format!("run = 'x'\n{expect}"));
        assert_eq!(line, 5);
        assert!(what.starts_with("{sever} is found here and used nowhere"), "{what}");
        assert!(what.ends_with("did you mean {server}?"), "{what}");
    }

    #[test]
    fn the_broker_is_known_where_the_scene_has_one() {
        let steps = "run = 'x {broker} {broker_address}'\n";
        assert_eq!(fault(steps).0, 1);
        assert!(Scene::parse(&format!("broker = 'mqtt'\n{HEAD}{steps}")).is_ok());
    }

    #[test]
    fn an_unknown_key_is_a_fault_in_its_line() {
        let (line, what) = fault("run = 'x'\nexpects = ['a']\n");
        assert_eq!(line, 2);
        assert!(what.contains("unknown field `expects`, expected one of"), "{what}");
    }

    #[test]
    fn what_cannot_be_played_is_a_fault_before_anything_is_played() {
        assert!(
            fault("expect = ['a']").1.contains("no step before this one starts 'a'")
        );
        let step = "run = 'x'\n[[step]]\n";
        assert!(fault(&format!("{step}run = 'x'")).1.contains("names no program"));
        assert!(fault(&format!("{step}kill = true")).1.contains("names no program"));
        assert!(
            fault(&format!("{step}answer = 'a'")).1.contains("without a question")
        );
        assert!(
            fault(&format!("{step}question = 'a'")).1.contains("without an answer")
        );
        assert!(Scene::parse(&format!("{HEAD}{step}say = 'a'")).is_ok());
    }
}
