//! Python for tests and measurements, with packages that touch nothing of the system's.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Makes a virtual environment with these packages, unless it is there already; says
/// where its Python is. pip needs the internet for it. Who asks while it is being made
/// waits.
pub fn environment(folder: &Path, packages: &[&str]) -> Result<PathBuf> {
    let venv = folder.join("venv");
    let python = venv.join("bin/python");
    fs::create_dir_all(folder)?;
    // Held until it is closed, at the end of this function.
    let lock = File::create(folder.join("lock"))?;
    lock.lock().context("cannot lock the environment")?;
    // Written last, so that half an installation is not taken for a whole one.
    let (installed, wanted) = (venv.join("installed"), packages.join("\n"));
    if fs::read_to_string(&installed).ok().as_ref() != Some(&wanted) {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check"];
        run(Command::new(&python).args(pip).args(packages))?;
        fs::write(installed, wanted)?;
    }
    Ok(python)
}

fn run(command: &mut Command) -> Result<()> {
    eprintln!("Running {command:?}");
    let status =
        command.status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}
