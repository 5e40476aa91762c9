//! Runs an example's test files with other programs in the places of ours.

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use brokers::Process;

use super::limits::Marked;
use super::submission::Submission;
use crate::scene::root;

/// The most that all tests of one file may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// Most tests wait rather than compute, so more of them than processors run at a time.
const AT_A_TIME: &str = "8";
/// Lines of a failure that are shown.
const LINES_SHOWN: usize = 12;

pub enum Outcome {
    Passed,
    /// What was expected, and what happened.
    Failed(String),
}

pub struct Trial {
    /// The test programs, by the names of their files.
    tests: BTreeMap<String, PathBuf>,
    folder: PathBuf,
    variables: Vec<(String, String)>,
}

impl Trial {
    /// Builds the tests, and the programs of ours that are the other side.
    pub fn prepare(
        example: &str,
        files: &[&str],
        folder: &Path,
        programs: &[Submission],
    ) -> Result<Trial> {
        let mut variables = vec![("RUST_BACKTRACE".to_string(), "0".to_string())];
        for program in programs {
            let command = shell_words::join(program.limited()?);
            variables.push((program.variable(), command));
        }
        Ok(Trial {
            tests: build(example, files)?,
            folder: folder.to_path_buf(),
            variables,
        })
    }

    pub fn set(&mut self, variable: &str, value: &str) {
        self.variables.push((variable.to_string(), value.to_string()));
    }

    /// Runs one test file; returns what became of each of its tests.
    pub fn run(
        &self,
        stage: &str,
        marked: &Marked,
    ) -> Result<HashMap<String, Outcome>> {
        let path = self
            .tests
            .get(stage)
            .with_context(|| format!("no test file {stage}.rs"))?;
        let mut command = Command::new(path);
        command.args(["--test-threads", AT_A_TIME]).current_dir(&self.folder);
        command.envs(self.variables.iter().cloned()).envs([marked.variable()]);
        command.stdin(Stdio::null());
        let mut tests =
            Process::start(command.stdout(Stdio::piped()).stderr(Stdio::null()))?;
        let (sender, lines) = mpsc::sync_channel(1024);
        tests.read_lines(move |line| drop(sender.send(line)));
        let deadline = Instant::now() + PATIENCE;
        let mut printed = Vec::new();
        while let Ok(Some(line)) =
            lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            printed.push(line);
        }
        drop(tests);
        marked.sweep();
        let mut outcomes = outcomes(&printed);
        // Time ran out: these have no outcome, and are no promise that is kept.
        if printed.iter().all(|line| !line.starts_with("test result: ")) {
            for name in self.names(stage)? {
                let unfinished =
                    || Outcome::Failed("It did not come to an end.".to_string());
                outcomes.entry(name).or_insert_with(unfinished);
            }
        }
        Ok(outcomes)
    }

    /// The tests of a file, without those that this system leaves out.
    fn names(&self, stage: &str) -> Result<Vec<String>> {
        let listed = Command::new(&self.tests[stage]).arg("--list").output()?;
        let listed = String::from_utf8_lossy(&listed.stdout);
        let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
        Ok(names.map(|name| own_name(name).to_string()).collect())
    }
}

/// The name of a test without that of its module.
fn own_name(name: &str) -> &str {
    name.rsplit("::").next().unwrap_or(name)
}

/// What libtest printed: a line for each test, then a section for each that failed.
fn outcomes(printed: &[String]) -> HashMap<String, Outcome> {
    let mut outcomes = HashMap::new();
    let mut section: Option<String> = None;
    for line in printed {
        if let Some(name) = line
            .strip_prefix("---- ")
            .and_then(|rest| rest.strip_suffix(" stdout ----"))
        {
            section = Some(own_name(name).to_string());
        } else if line == "failures:" {
            section = None;
        } else if let Some(Outcome::Failed(message)) =
            section.as_ref().and_then(|name| outcomes.get_mut(name))
        {
            add(message, line);
        } else if let Some((name, how)) =
            line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "))
        {
            let outcome = match how {
                "ok" => Outcome::Passed,
                _ => Outcome::Failed(String::new()),
            };
            outcomes.insert(own_name(name).to_string(), outcome);
        }
    }
    outcomes
}

/// A line of a failed test's section, but for those that only a maintainer needs.
fn add(message: &mut String, line: &str) {
    let noise = ["thread '", "note: run with"];
    let is_noise =
        line.is_empty() || noise.iter().any(|start| line.starts_with(start));
    if !is_noise && message.lines().count() < LINES_SHOWN {
        *message += &format!("{line}\n");
    }
}

/// Builds the example's test files; cargo says where they are.
fn build(example: &str, files: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let built = Command::new(cargo)
        .current_dir(root())
        .args([
            "test",
            "--no-run",
            "--quiet",
            "--message-format=json-render-diagnostics",
        ])
        .args(["-p", example])
        .args(files.iter().flat_map(|file| ["--test", file]))
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(built.status.success(), "cannot build the tests of {example}");
    let mut tests = BTreeMap::new();
    for line in String::from_utf8_lossy(&built.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        let name = message["target"]["name"].as_str();
        if let (Some(name), Some(path)) = (name, message["executable"].as_str()) {
            tests.insert(name.to_string(), path.into());
        }
    }
    Ok(tests)
}
