//! The scoreboard: measures the examples on this machine and prints one table.
//!
//! What answers are the programs on the slides, in release builds; the load is the
//! scoreboard's own. Every figure is measured, in several rounds.

mod echoes;
mod idle;
mod load;
mod machine;
mod table;

use std::path::{Path, PathBuf};
use std::{fs, process, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use echoes::Contestant;
use scoreboard::processor::{Processors, pin, two_processors};
use scoreboard::programs;
use scoreboard::server::{NULL, Program};

const ASYNC_CLIENTS: usize = 10_000;
/// As many as the threaded server admits.
const THREADED_CLIENTS: usize = 1_000;

/// Measures the socket examples on this machine and prints one table.
///
/// Builds them first. Server and load run on a processor each. Takes about two
/// minutes after the build. Exit status 1 when something could not be measured.
#[derive(Parser)]
struct Arguments {
    /// Fewer and shorter rounds: a first look, half a minute long
    #[arg(long)]
    quick: bool,
}

/// How to measure.
pub struct Plan {
    pub rounds: usize,
    pub window: Duration,
    pub processors: Option<Processors>,
}

fn main() -> Result<()> {
    let Arguments { quick } = Arguments::parse();
    let processors = two_processors()?;
    let (rounds, window) = if quick { (2, 500) } else { (5, 2000) };
    let window = Duration::from_millis(window);
    let plan = Plan { rounds, window, processors };
    let machine = machine::describe();
    // Each connection is an open file here too; the servers inherit the higher limit.
    let needed = ASYNC_CLIENTS as u64 + 64;
    let allowed = rlimit::increase_nofile_limit(needed)?;
    ensure!(allowed >= needed, "{needed} open files needed, {allowed} allowed");
    let programs = Programs::build()?;
    if let Some(two) = processors {
        // After building, which is faster on all of them.
        pin(process::id(), two.load)?;
    }
    let mut groups = echoes::measure(&programs.contestants(), &plan)?;
    for (program, clients) in programs.for_idle_clients() {
        groups.push(idle::measure(&program, clients, &plan)?);
    }
    // What the servers printed in the last round; nothing is lost if it stays.
    let _ = fs::remove_file(&programs.story);
    print_head(&machine, &plan);
    table::print(&groups, ["of C", "of C*"]);
    println!(
        "Neither server nor load near 100 % busy: other programs took the time."
    );
    println!("of C: median of the ratios to epoll-echo in C, which prints nothing.");
    println!("of C*: the same to epoll-echo when it prints the same line a message.");
    Ok(())
}

fn print_head(machine: &str, plan: &Plan) {
    println!("{machine}");
    let Plan { rounds, window, processors } = plan;
    let place = match processors {
        Some(two) => format!("on processor {}, load on {}", two.server, two.load),
        None => "and load share the only processor".to_string(),
    };
    println!(
        "{rounds} rounds, echoes counted for {window:?} in each; server {place}"
    );
}

/// The programs to measure, and a file that takes their story.
struct Programs {
    on_tasks: PathBuf,
    on_threads: PathBuf,
    in_c: Option<PathBuf>,
    story: PathBuf,
}

impl Programs {
    fn build() -> Result<Programs> {
        eprintln!("Building release programs");
        // Not in the system's temporary folder: an interrupted run leaves megabytes.
        let folder = programs::target()?.join("scoreboard");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let in_c = programs::c_server(&folder)?;
        if in_c.is_none() {
            eprintln!("There is no C compiler (cc): nothing to compare with");
        }
        let on_tasks = programs::example("async-tcp-echo", "async-tcp-server")?;
        let on_threads =
            programs::example("threaded-tcp-echo", "threaded-tcp-server")?;
        Ok(Programs { on_tasks, on_threads, in_c, story: folder.join("story") })
    }

    /// Those in C come first: the others are compared to them by their position.
    fn contestants(&self) -> Vec<Contestant> {
        let (null, file) = (Path::new(NULL), &*self.story);
        let mut list = Vec::new();
        let mut bases = [None; 3];
        if let Some(c) = &self.in_c {
            bases = [Some(0), Some(1), Some(2)];
            list.push(Contestant::new(Program::silent(c), [None, None]));
            let story = &["--story"];
            list.push(Contestant::new(
                Program::new(c, story, null),
                [bases[0], None],
            ));
            list.push(Contestant::new(
                Program::new(c, story, file),
                [bases[0], None],
            ));
        }
        for path in [&self.on_tasks, &self.on_threads] {
            let [silent, in_null, in_file] = bases;
            let to_null = Program::new(path, &[], null);
            list.push(Contestant::new(to_null, [silent, in_null]));
            let to_file = Program::new(path, &[], file);
            list.push(Contestant::new(to_file, [silent, in_file]));
        }
        list
    }

    fn for_idle_clients(&self) -> [(Program, usize); 2] {
        let to_file = |path| Program::new(path, &[], &self.story);
        [
            (to_file(&self.on_tasks), ASYNC_CLIENTS),
            (to_file(&self.on_threads), THREADED_CLIENTS),
        ]
    }
}
