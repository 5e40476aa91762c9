//! `lab judge`: an example's tests, with somebody else's program in the place of ours.

#[cfg_attr(windows, path = "limits_windows.rs")]
mod limits;
mod promises;
mod submission;
mod trial;

use std::path::Path;
use std::{env, fs};

use anstream::println;
use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, bail, ensure};
use brokers::{Broker, Kind};
use serde::Serialize;

use limits::Marked;
pub use limits::{Limited, run_limited};
use promises::Promise;
use submission::Submission;
use trial::{Outcome, Trial};

use crate::scene::root;
use crate::{audience, terminal};

const PASSED: Style = AnsiColor::Green.on_default();
const FAILED: Style = AnsiColor::Red.on_default().bold();

/// Which of an example's test files.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// What the slide promises
    Lecture,
    /// What a real network does to it
    Network,
    /// A graded assignment on top of it, where the example has one
    Assignment,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Stage::Lecture => "lecture",
            Stage::Network => "network",
            Stage::Assignment => "assignment",
        }
    }

    /// The test file, from the example's folder.
    fn file(self) -> String {
        let folder = if self == Stage::Assignment { "assignment" } else { "tests" };
        format!("{folder}/{}.rs", self.name())
    }
}

#[derive(clap::Args)]
pub struct Arguments {
    /// The example whose contract the program keeps, such as tcp-echo
    example: String,
    /// The command that starts the program judged as the example's ...-server
    #[arg(long, value_name = "COMMAND")]
    server: Option<String>,
    /// The command that starts the program judged as the example's ...-client
    #[arg(long, value_name = "COMMAND")]
    client: Option<String>,
    /// The same for any of the example's programs; may be repeated
    #[arg(long, value_name = "NAME=COMMAND")]
    program: Vec<String>,
    /// Judge by this one only; without it, by the first two
    #[arg(long)]
    stage: Option<Stage>,
    /// Print one line of JSON instead of a report
    #[arg(long)]
    json: bool,
}

/// What one run of the judge found out.
#[derive(Serialize)]
struct Verdict {
    example: String,
    /// The commands judged, by the names of the programs that they stand for.
    programs: Vec<Submission>,
    passed: bool,
    /// Why nothing could be judged, where that is so.
    problem: Option<String>,
    /// What is worth knowing and decides nothing.
    remarks: Vec<String>,
    stages: Vec<StageVerdict>,
}

#[derive(Serialize)]
struct StageVerdict {
    stage: Stage,
    passed: usize,
    failed: usize,
    promises: Vec<Judged>,
}

#[derive(Serialize)]
struct Judged {
    #[serde(flatten)]
    promise: Promise,
    passed: bool,
    /// What was expected, and what happened; empty when it passed.
    message: String,
}

/// Judges, prints the verdict, and says whether everything passed.
pub fn judge(arguments: &Arguments) -> Result<bool> {
    let folder = root().join("crates").join(&arguments.example);
    let is_example = folder.join("tests/lecture.rs").exists();
    ensure!(is_example, "no example has the name '{}'", arguments.example);
    let usual = [Stage::Lecture, Stage::Network];
    let wanted = arguments.stage.as_ref().map_or(&usual[..], std::slice::from_ref);
    for stage in wanted {
        let is_there = folder.join(stage.file()).exists();
        ensure!(is_there, "{} has no {}", arguments.example, stage.file());
    }
    let mut verdict = Verdict {
        example: arguments.example.clone(),
        programs: submissions(arguments, &folder)?,
        passed: false,
        problem: None,
        remarks: Vec::new(),
        stages: Vec::new(),
    };
    ensure!(
        !verdict.programs.is_empty(),
        "nothing to judge: give --server COMMAND, --client COMMAND or --program NAME=COMMAND"
    );
    let marked = Marked::new();
    terminal::on_signal(|signal| {
        // What is ended here is no verdict on anybody.
        audience::begin_to_leave();
        Marked::new().sweep();
        audience::leave(128 + signal.as_raw())
    })?;
    for submission in &verdict.programs {
        match submission.try_out(&marked) {
            Ok(None) => {}
            Ok(Some(remark)) => verdict.remarks.push(remark),
            Err(problem) => verdict.problem = Some(format!("{problem:#}")),
        }
    }
    if verdict.problem.is_none() {
        let stages = stages(wanted, &folder, &verdict, &marked);
        audience::stay_if_leaving();
        verdict.stages = stages?;
        verdict.passed = verdict.stages.iter().all(|stage| stage.failed == 0);
    }
    match arguments.json {
        true => println!("{}", serde_json::to_string(&verdict)?),
        false => report(&verdict),
    }
    Ok(verdict.passed)
}

/// The commands of the arguments, with the programs that they stand for.
fn submissions(arguments: &Arguments, folder: &Path) -> Result<Vec<Submission>> {
    let mut names = Vec::new();
    for file in fs::read_dir(folder.join("src/bin"))? {
        let path = file?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().to_string()));
    }
    names.sort();
    let mut found = Vec::new();
    let mut add = |name: &str, command: &str| {
        let known = names.iter().any(|known| known == name);
        ensure!(known, "'{name}' is none of its programs: {}", names.join(", "));
        found.push(Submission::new(name, command)?);
        Ok(())
    };
    for (end, command) in
        [("-server", &arguments.server), ("-client", &arguments.client)]
    {
        let Some(command) = command else { continue };
        let matching: Vec<_> =
            names.iter().filter(|name| name.ends_with(end)).collect();
        match matching[..] {
            [name] => add(name, command)?,
            _ => bail!(
                "which program is meant? Say --program NAME=COMMAND, with NAME one of {}",
                names.join(", ")
            ),
        }
    }
    for program in &arguments.program {
        let (name, command) =
            program.split_once('=').context("--program takes NAME=COMMAND")?;
        add(name, command)?;
    }
    Ok(found)
}

fn stages(
    wanted: &[Stage],
    folder: &Path,
    verdict: &Verdict,
    marked: &Marked,
) -> Result<Vec<StageVerdict>> {
    let broker = start_broker(&verdict.example)?;
    let names: Vec<&str> = wanted.iter().map(|stage| stage.name()).collect();
    let mut trial =
        Trial::prepare(&verdict.example, &names, folder, &verdict.programs)?;
    if let Some(broker) = &broker {
        trial.set(broker.kind().variable(), &broker.url());
    }
    wanted.iter().map(|stage| judge_stage(&trial, folder, *stage, marked)).collect()
}

fn judge_stage(
    trial: &Trial,
    folder: &Path,
    stage: Stage,
    marked: &Marked,
) -> Result<StageVerdict> {
    let promises = promises::read(&folder.join(stage.file()))?;
    eprintln!("Judging {}: {} promises", stage.name(), promises.len());
    let mut outcomes = trial.run(stage.name(), marked)?;
    let mut judged = Vec::new();
    for promise in promises {
        // A test that is left out on this system has no outcome, and is no promise here.
        let Some(outcome) = outcomes.remove(&promise.name) else { continue };
        let (passed, message) = match outcome {
            Outcome::Passed => (true, String::new()),
            Outcome::Failed(message) => (false, message),
        };
        judged.push(Judged { promise, passed, message });
    }
    ensure!(!judged.is_empty(), "the {} tests did not run", stage.name());
    let passed = judged.iter().filter(|judged| judged.passed).count();
    Ok(StageVerdict {
        stage,
        passed,
        failed: judged.len() - passed,
        promises: judged,
    })
}

/// The broker that the example's tests need, unless the environment names one. It ends
/// with the value.
fn start_broker(example: &str) -> Result<Option<Broker>> {
    let kind = match example {
        _ if example.starts_with("mqtt") => Kind::Mosquitto,
        _ if example.starts_with("rabbitmq") => Kind::RabbitMq,
        _ => return Ok(None),
    };
    if env::var_os(kind.variable()).is_some() {
        return Ok(None);
    }
    eprintln!("Starting {}", kind.name());
    Broker::start(kind).map(Some)
}

fn report(verdict: &Verdict) {
    for submission in &verdict.programs {
        println!("{} is judged as {}.", submission.command, submission.name);
    }
    verdict.remarks.iter().for_each(|remark| println!("{remark}"));
    if let Some(problem) = &verdict.problem {
        println!("{FAILED}Nothing could be judged:{FAILED:#} {problem}");
        return;
    }
    for stage in &verdict.stages {
        println!("\n{}", stage.stage.name());
        stage.promises.iter().for_each(report_promise);
    }
    println!();
    for StageVerdict { stage, passed, failed, .. } in &verdict.stages {
        println!("{:10}  {passed} of {} passed", stage.name(), passed + failed);
    }
    if !verdict.passed {
        println!("To run one of them alone: cargo test -p {} NAME", verdict.example);
    }
}

fn report_promise(judged: &Judged) {
    let sentence = &judged.promise.sentence;
    if judged.passed {
        println!("  {PASSED}passed{PASSED:#}  {sentence}");
        return;
    }
    println!("  {FAILED}failed{FAILED:#}  {sentence}");
    judged.message.lines().for_each(|line| println!("          {line}"));
    if let Some(hint) = &judged.promise.hint {
        println!("          Hint: {hint}");
    }
    if let Some(command) = &judged.promise.wiretap {
        println!("          See it: {command}");
    }
}
