//! Measures the ZeroMQ examples beside twins on pyzmq, which is libzmq: the same
//! messages, the same lines.
//!
//! Needs python3 with venv, and the internet once: pyzmq is installed by pip into a
//! private environment below the target folder. Run it in a release build:
//! `cargo run --release -p scoreboard --bin zeromq-bench`.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use socket2::{Domain, Socket, Type};

use lab::python;
use scoreboard::programs;
use scoreboard::server::NULL;
use scoreboard::stats::{median, ratios, spread};

const PYZMQ: &str = "pyzmq==27.3.0";
/// With the process id, the number and what stands between, a task has about as many
/// bytes as a request.
const REQUEST: usize = 64;
const TASK: usize = 50;
/// The longest that one measurement may take.
const PATIENCE: Duration = Duration::from_secs(120);
const ROLES: [&str; 4] = ["replier", "requester", "pusher", "puller"];

/// Measures REQ/REP and PUSH/PULL of the examples beside pyzmq, over TCP on 127.0.0.1.
///
/// Builds the ones and installs the other first. The programs' lines go to /dev/null,
/// but the requester's to a file. Exit status 1 when something could not be measured.
#[derive(Parser)]
struct Arguments {
    /// Rounds, in which the two take turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Requests a round
    #[arg(long, default_value_t = 20_000)]
    requests: u64,
    /// Tasks a round
    #[arg(long, default_value_t = 300_000)]
    tasks: u64,
}

enum Contestant {
    Examples([PathBuf; 4]),
    Twins { python: PathBuf, script: PathBuf },
}

/// A figure of both, once a round.
struct Figure {
    name: &'static str,
    examples: Vec<f64>,
    twins: Vec<f64>,
}

impl Figure {
    fn new(name: &'static str) -> Figure {
        Figure { name, examples: Vec::new(), twins: Vec::new() }
    }
}

fn main() -> Result<()> {
    let Arguments { rounds, requests, tasks } = Arguments::parse();
    let folder = programs::target()?.join("zeromq-bench");
    let contestants = [examples()?, twins(&folder)?];
    let mut trip = Figure::new("REQ/REP, 64 bytes: round trip p50, us");
    let mut rate = Figure::new("PUSH/PULL, 64 bytes: tasks a second");
    for round in 0..rounds {
        eprintln!("Round {} of {rounds}", round + 1);
        for turn in 0..2 {
            // Each round begins with the other one.
            let which = (turn + round) % 2;
            let contestant = &contestants[which];
            let time = contestant.round_trip(&folder, requests)?;
            let tasks = contestant.tasks_a_second(tasks)?;
            for (figure, value) in [(&mut trip, time), (&mut rate, tasks)] {
                [&mut figure.examples, &mut figure.twins][which].push(value);
            }
        }
    }
    report(&trip, "0.6 at most");
    report(&rate, "1 at least");
    Ok(())
}

fn examples() -> Result<Contestant> {
    let build =
        |role| programs::example("zeromq-patterns", &format!("zeromq-{role}"));
    let [replier, requester, pusher, puller] = ROLES.map(build);
    Ok(Contestant::Examples([replier?, requester?, pusher?, puller?]))
}

fn twins(folder: &Path) -> Result<Contestant> {
    let python = python::environment(folder, &[PYZMQ])?;
    let script = folder.join("twins.py");
    fs::write(&script, include_str!("zeromq-bench.py"))?;
    Ok(Contestant::Twins { python, script })
}

impl Contestant {
    /// The median round trip in microseconds, by the requester's own account.
    fn round_trip(&self, folder: &Path, requests: u64) -> Result<f64> {
        let (endpoint, _reserved) = reserve()?;
        let text = "x".repeat(REQUEST);
        let story = folder.join("requester");
        let null = File::create(NULL)?;
        let _replier = self.start("replier", &endpoint, requests, &text, null)?;
        let file = File::create(&story)?;
        self.start("requester", &endpoint, requests, &text, file)?.end()?;
        let lines = fs::read_to_string(story)?;
        ensure!(
            lines.lines().filter(|line| line.ends_with(&text)).count() as u64
                == requests
        );
        let time =
            lines.rsplit_once("p50 ").and_then(|(_, rest)| rest.split(' ').next());
        Ok(time.context("no p50")?.parse::<f64>()? * 1000.0)
    }

    /// Without the time that the programs take to start, which one task alone tells.
    fn tasks_a_second(&self, tasks: u64) -> Result<f64> {
        let start = self.seconds(1)?;
        let all = self.seconds(tasks)?;
        Ok((tasks - 1) as f64 / (all - start))
    }

    fn seconds(&self, tasks: u64) -> Result<f64> {
        let (endpoint, _reserved) = reserve()?;
        let (text, null) = ("x".repeat(TASK), File::create(NULL)?);
        let start = Instant::now();
        let pusher =
            self.start("pusher", &endpoint, tasks, &text, null.try_clone()?)?;
        self.start("puller", &endpoint, tasks, &text, null)?.end()?;
        let seconds = start.elapsed().as_secs_f64();
        pusher.end()?;
        Ok(seconds)
    }

    fn start(
        &self,
        role: &str,
        endpoint: &str,
        count: u64,
        text: &str,
        story: File,
    ) -> Result<Running> {
        let count = count.to_string();
        let mut command = match self {
            Contestant::Twins { python, script } => {
                let mut command = Command::new(python);
                command.arg(script).args([role, endpoint, &count, text]);
                command
            }
            Contestant::Examples(paths) => {
                let index = ROLES.iter().position(|name| *name == role);
                let mut command = Command::new(&paths[index.context("no role")?]);
                command.arg(endpoint);
                match role {
                    "replier" => &mut command,
                    "puller" => command.args(["--count", &count]),
                    _ => command.args([text, "--count", &count]),
                };
                command
            }
        };
        let child = command.stdin(Stdio::null()).stdout(story).spawn();
        Ok(Running(child.with_context(|| format!("cannot start the {role}"))?))
    }
}

/// A program, killed if it is still running when this value goes.
struct Running(Child);

impl Running {
    fn end(mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait()? {
                ensure!(status.success(), "a program ended with {status}");
                return Ok(());
            }
            sleep(Duration::from_millis(1));
        }
        bail!("a program does not end")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A free port, which no other program can be given as long as the socket lives: it is
/// bound to it too, and never listens.
fn reserve() -> Result<(String, Socket)> {
    let reserved = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    reserved.set_reuse_address(true)?;
    reserved.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let address = reserved.local_addr()?.as_socket().context("no address")?;
    Ok((format!("tcp://{address}"), reserved))
}

fn report(figure: &Figure, wanted: &str) {
    let Figure { name, examples, twins } = figure;
    println!("\n{name} (median of {} rounds, spread)", examples.len());
    let row = |name: &str, values: &[f64], digits: usize| {
        let middle = median(values).unwrap_or_default();
        let (least, most) = spread(values).unwrap_or_default();
        println!(
            "  {name:20} {middle:>10.digits$} ({least:.digits$} to {most:.digits$})"
        );
    };
    row("the examples", examples, 0);
    row(PYZMQ, twins, 0);
    row(&format!("ratio ({wanted})"), &ratios(examples, twins), 2);
}
