//! A scene: what a crate's `demo.toml` says.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use brokers::Kind;
use serde::Deserialize;

/// One example on the stage: programs that run at the same time, and what they print.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// The crate, or the path of a scene that belongs to none.
    #[serde(skip)]
    pub name: String,
    /// Where it lies, as the project's folder sees it.
    #[serde(skip)]
    pub folder: String,
    pub title: String,
    /// The slides that show it.
    pub slide: String,
    /// Where the server listens on the slide; `{address}` in the steps stands for it.
    /// When it is taken the server gets any free port, and the clients are told
    /// which. `{other}` stands for where a second server printed that it listens, and
    /// `{wire}` for where the last wiretap did.
    pub address: Option<SocketAddr>,
    /// Whether the server speaks UDP: then so does a wiretap in front of it.
    #[serde(default)]
    pub udp: bool,
    /// The broker that its programs need; `{broker}` in the steps stands for its URL,
    /// and `{broker_address}` for its HOST:PORT.
    pub broker: Option<Kind>,
    /// What the class should notice. The steps assert it.
    pub notice: String,
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

impl Scene {
    /// Whether something is typed into this program.
    pub fn types_into(&self, program: &str) -> bool {
        self.steps.iter().any(|step| step.program == program && step.typed.is_some())
    }

    /// The crates whose programs its commands run.
    pub fn packages(&self) -> Vec<&str> {
        let commands = self.steps.iter().filter_map(|step| step.run.as_deref());
        let packages =
            commands.filter_map(|run| run.strip_prefix("cargo run -q -p "));
        packages.filter_map(|rest| rest.split(' ').next()).collect()
    }

    /// Whether it brings wiretaps of its own.
    pub fn has_wiretap(&self) -> bool {
        self.packages().contains(&"wiretap")
    }
}

/// Starts a program or goes on with one, and says what it must do before the next
/// step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The name in front of the program's lines.
    pub program: String,
    /// The command that starts it; without one the program runs already.
    pub run: Option<String>,
    /// A line to type into it, before all that follows. The input of a program into
    /// which nothing is typed in the whole scene has ended when it starts.
    #[serde(rename = "type")]
    pub typed: Option<String>,
    /// It gets Ctrl-C, before all that follows.
    #[serde(default)]
    pub interrupt: bool,
    /// Lines that it must print, in this order; `<n>` and `<port>` match any number,
    /// and how far a line is indented makes no difference. Other lines may stand
    /// between them.
    #[serde(default)]
    pub expect: Vec<String>,
    /// Seconds that it has for each line, and for its end.
    #[serde(default = "patience")]
    pub within: u64,
    /// Seconds for which it must then print nothing more.
    pub quiet: Option<u64>,
    /// It must end by itself with this exit status.
    pub exit: Option<i32>,
    /// Then it is killed, as a power cut would end it.
    #[serde(default)]
    pub kill: bool,
}

fn patience() -> u64 {
    20
}

/// Finds the scenes by name, or all of them in the order of the lecture.
pub fn find(names: &[String]) -> Result<Vec<Scene>> {
    let folders = folders_with_a_scene()?;
    let crates: Vec<String> = folders.iter().map(|folder| name_of(folder)).collect();
    let mut scenes = Vec::new();
    for name in if names.is_empty() { &crates } else { names } {
        if name.ends_with(".toml") {
            scenes.push(load(name, Path::new(name))?);
        } else if let Some(place) = crates.iter().position(|known| known == name) {
            for path in scenes_of(&folders[place])? {
                scenes.push(load(name, &path)?);
            }
        } else {
            bail!("there is no scene '{name}'; there are: {}", crates.join(", "));
        }
    }
    Ok(scenes)
}

/// The scenes of a crate: `demo.toml`, then `demo-2-....toml` and so on.
fn scenes_of(folder: &str) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(root().join(folder))?;
    let paths = files.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    let is_scene = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name == "demo.toml" || name.starts_with("demo-") && name.ends_with(".toml")
    };
    let mut paths: Vec<_> = paths.into_iter().filter(is_scene).collect();
    // By their names alone `demo-2` would come before `demo`.
    paths.sort_by_key(|path| path.file_stem().map(ToOwned::to_owned));
    Ok(paths)
}

fn load(name: &str, path: &Path) -> Result<Scene> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the scene {}", path.display()))?;
    let scene: Scene = toml::from_str(&text)
        .with_context(|| format!("cannot understand the scene {}", path.display()))?;
    let folder = path.parent().unwrap_or(path);
    let folder = folder.strip_prefix(root()).unwrap_or(folder).display().to_string();
    Ok(Scene { name: name.to_string(), folder, ..scene })
}

/// The folder of the workspace: the commands run there.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
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
fn name_of(folder: &str) -> String {
    folder.rsplit('/').next().unwrap_or_default().to_string()
}

/// Whether a line is the expected one, with numbers in place of `<n>` and `<port>`.
pub fn matches(expected: &str, line: &str) -> bool {
    let expected = expected.trim_start().replace("<port>", "<n>");
    let mut literals = expected.split("<n>");
    let first = literals.next().unwrap_or_default();
    let Some(mut rest) = line.trim_start().strip_prefix(first) else {
        return false;
    };
    for literal in literals {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        match after.strip_prefix(literal) {
            Some(next) if after.len() < rest.len() => rest = next,
            _ => return false,
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_placeholder_matches_a_number_and_nothing_else() {
        assert!(matches("by 127.0.0.1:<port>", "by 127.0.0.1:54321"));
        assert!(matches("p50 <n> ms, p99 <n> ms", "p50 0.31 ms, p99 12 ms"));
        assert!(matches("as it is", "as it is"));
        assert!(matches("  <n> s  it", "     0.123 s  it"));
        assert!(!matches("p50 <n> ms", "p50  ms"));
        assert!(!matches("p50 <n> ms", "p50 fast ms"));
        assert!(!matches("p50 <n> ms", "p50 1 ms and more"));
        assert!(!matches("as it is", "as it is not"));
    }
}
