//! Builds what the scenes run before the first one, so that nothing is compiled on
//! stage.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use anyhow::{Context, Result};
use brokers::Process;

use crate::scene::{self, Scene};
use crate::screen::Screen;

/// Lines of the compiler's that are shown when a crate cannot be built.
const LINES_SHOWN: usize = 12;

/// Builds each crate just as the commands of the scenes will want it: several together
/// would get other features, and so would an example together with the programs. Takes
/// out the scenes that need one that cannot be built, and returns what to say of them.
pub fn build(scenes: &mut Vec<Scene>, screen: &mut Screen) -> Result<Vec<String>> {
    let mut builds: Vec<String> = Vec::new();
    for build in scenes.iter().flat_map(Scene::builds) {
        if !builds.contains(&build) {
            builds.push(build);
        }
    }
    let mut built = BTreeMap::new();
    for (index, build) in builds.iter().enumerate() {
        // The last word is the name, of the crate or of its example.
        let name = build.rsplit(' ').next().unwrap_or_default();
        screen.status(&format!("Building {} of {}: {name}", index + 1, builds.len()));
        let errors = build_one(build)?;
        if let Some(errors) = &errors {
            screen.plain(&format!("{name} cannot be built:"));
            errors.iter().for_each(|line| screen.plain(&format!("    {line}")));
        }
        built.insert(build.as_str(), errors.is_none());
    }
    screen.status("");
    let is_out =
        |scene: &mut Scene| scene.builds().iter().any(|build| !built[build.as_str()]);
    let out = scenes.extract_if(.., is_out);
    Ok(out.map(|scene| format!("{}: it cannot be built", scene.title)).collect())
}

/// Builds in silence; returns the end of what cargo says if that fails.
pub fn build_one(build: &str) -> Result<Option<Vec<String>>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "-q"]).args(build.split(' ')).current_dir(scene::root());
    cargo.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut cargo = Process::start(&mut cargo).context("cannot start cargo")?;
    let (sender, lines) = mpsc::sync_channel(100);
    cargo.read_lines(move |line| drop(sender.send(line)));
    let mut last = Vec::new();
    for line in lines.into_iter().map_while(|line| line) {
        last.push(line);
        if last.len() > LINES_SHOWN {
            last.remove(0);
        }
    }
    loop {
        if let Some(status) = cargo.wait(std::time::Duration::from_secs(1))? {
            return Ok((!status.success()).then_some(last));
        }
    }
}
