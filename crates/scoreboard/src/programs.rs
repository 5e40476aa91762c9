//! The programs that are measured, made here: release builds of the examples, and the
//! C server that shows what the machine can do.

use std::env;
use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Where cargo puts what it builds: this program is in target/release, or in
/// target/debug.
pub fn target() -> Result<PathBuf> {
    let here = env::current_exe()?;
    Ok(here.ancestors().nth(2).context("no target folder")?.to_path_buf())
}

/// Builds an example as a student would, and says where the program is.
pub fn example(package: &str, binary: &str) -> Result<PathBuf> {
    let target = target()?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["build", "--release", "--quiet", "-p", package, "--bin", binary]);
    cargo.arg("--manifest-path").arg(workspace).arg("--target-dir").arg(&target);
    let status = cargo.status().context("cannot run cargo")?;
    ensure!(status.success(), "cannot build {binary}: {status}");
    Ok(target.join("release").join(binary))
}

/// Compiles the C server, or says that there is no compiler.
pub fn c_server(folder: &Path) -> Result<Option<PathBuf>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("epoll-echo.c");
    let program = folder.join("epoll-echo");
    let mut compiler = Command::new("cc");
    match compiler.arg("-O2").arg("-o").arg(&program).arg(source).status() {
        Ok(status) => {
            ensure!(status.success(), "cannot compile epoll-echo.c: {status}");
            Ok(Some(program))
        }
        Err(error) if error.kind() == NotFound => Ok(None),
        Err(error) => Err(error).context("cannot run cc"),
    }
}
