//! The command line of the scoreboard.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use scoreboard::report::Report;
use scoreboard::{program, run, slides, table};

/// Measures the examples of the lecture beside Python and beside their limits.
///
/// Prints tables, and writes scoreboard.json, charts and index.html, a page with
/// everything. Takes a quarter of an hour. If something cannot be measured, it says why
/// and goes on. Exit status 1 if nothing could be measured, 2 for an unknown option.
#[derive(Parser)]
struct Arguments {
    /// A first look in a minute: fewer, shorter rounds, and fewer loads
    #[arg(long)]
    quick: bool,
    /// Measure only transports whose name contains this, such as `ZeroMQ`
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    only: String,
    /// Write to this folder [default: target/scoreboard]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Measure nothing: print and draw an earlier run, a scoreboard.json
    #[arg(long, value_name = "RUN", conflicts_with_all = ["quick", "only"])]
    draw: Option<PathBuf>,
    /// Show what has changed since an earlier run, a scoreboard.json
    #[arg(long, value_name = "RUN")]
    compare: Option<PathBuf>,
    /// Show this run on the slides: write slides/scoreboard, and the figures in the deck
    #[arg(long, conflicts_with = "only")]
    slides: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let folder = program::target()?.join("scoreboard");
    let output = arguments.output.as_ref().unwrap_or(&folder);
    fs::create_dir_all(&folder)?;
    fs::create_dir_all(output)?;
    let before = arguments.compare.as_deref().map(Report::read).transpose()?;
    let report = match &arguments.draw {
        Some(run) => Report::read(run)?,
        None => run::measure_all(arguments.quick, &arguments.only, &folder, output)?,
    };
    let mut text = table::text(&report);
    if let Some(before) = before {
        text += &format!("\n{}", table::compare(&report, &before));
    }
    for path in slides::write(&report, output)? {
        text += &format!("\n{}", path.display());
    }
    if arguments.slides {
        slides::show(&report, Path::new(program::ROOT))?;
        text += "\nThe slides show this run";
    }
    text.push('\n');
    io::stdout().write_all(text.as_bytes()).context("cannot print the tables")
}
