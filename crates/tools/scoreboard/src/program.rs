//! A program under measurement: its process, and how it is started and ended.

use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind::NotFound;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, thread::sleep, time::Duration, time::Instant};

use anyhow::{Context, Result, bail, ensure};
use brokers::Process;
use socket2::{SockAddr, Socket, Type};

use crate::kernel::{self, Processors};
use crate::load::connect;

/// FastAPI takes a second or two to start.
const START_TIMEOUT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(5);

/// What to start: its name in the table, and how its command begins.
#[derive(Clone, Debug)]
pub struct Program {
    pub name: String,
    pub command: Vec<OsString>,
}

impl Program {
    pub fn new(name: &str, command: &[PathBuf]) -> Program {
        let command = command.iter().map(OsString::from).collect();
        Program { name: name.to_string(), command }
    }

    /// Starts it on the server's processor. What it prints goes to /dev/null, or is
    /// read line by line; what it complains of goes into a file.
    pub fn start(
        &self,
        arguments: &[String],
        read_lines: bool,
        processors: Option<Processors>,
    ) -> Result<Running> {
        let complaints = tempfile::tempfile()?;
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).args(arguments);
        command.stdin(Stdio::null()).stderr(complaints.try_clone()?);
        command.stdout(if read_lines { Stdio::piped() } else { Stdio::null() });
        let mut start = || Ok(Process::start(&mut command)?);
        let started = match processors {
            Some(processors) => processors.beside(start),
            None => start(),
        };
        let process =
            started.with_context(|| format!("cannot start {}", self.name))?;
        Ok(Running { process, complaints })
    }
}

/// A running program, ended with all its children when this value is dropped.
pub struct Running {
    process: Process,
    complaints: File,
}

impl Running {
    pub fn cpu_seconds(&self) -> Result<f64> {
        kernel::cpu_seconds(self.process.id())
    }

    pub fn resident_kib(&self) -> Result<f64> {
        kernel::resident_kib(self.process.id())
    }

    /// The pipe of its standard output, once.
    pub fn lines(&mut self) -> Result<OwnedFd> {
        Ok(self.process.take_output().context("its lines are not read")?.into())
    }

    /// Waits until it accepts a connection, or answers a datagram.
    pub fn wait_until_ready(&mut self, address: &SockAddr, kind: Type) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while !answers(address, kind) {
            if let Some(status) = self.process.try_wait()? {
                bail!("it ended at once: {status}; {}", self.complaints());
            }
            ensure!(Instant::now() < deadline, "it does not listen");
            sleep(LOOK);
        }
        Ok(())
    }

    /// Waits for its end, which should be one.
    pub fn wait(mut self, patience: Duration) -> Result<()> {
        let status = self.process.wait(patience)?.context("it does not end")?;
        ensure!(status.success(), "it failed: {status}; {}", self.complaints());
        Ok(())
    }

    /// The end of what it printed on standard error.
    pub fn complaints(&self) -> String {
        let length = self.complaints.metadata().map_or(0, |file| file.len());
        let mut end = [0; 1000];
        // The program writes there too: its place in the file must not move.
        let place = length.saturating_sub(end.len() as u64);
        let length = self.complaints.read_at(&mut end, place).unwrap_or_default();
        String::from_utf8_lossy(&end[..length]).trim_end().to_string()
    }
}

fn answers(address: &SockAddr, kind: Type) -> bool {
    match (connect(address, kind), kind) {
        (Ok(socket), Type::DGRAM) => echoes(&socket).is_ok(),
        (connected, _) => connected.is_ok(),
    }
}

fn echoes(socket: &Socket) -> std::io::Result<usize> {
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    socket.send(b"ready?")?;
    std::io::Read::read(&mut &*socket, &mut [0; 16])
}

/// Where cargo puts what it builds: this program is in target/release, or in
/// target/debug.
pub fn target() -> Result<PathBuf> {
    let here = env::current_exe()?;
    let mut folders = here.ancestors();
    let target = folders.find(|folder| folder.join("CACHEDIR.TAG").exists());
    Ok(target.context("no target folder")?.to_path_buf())
}

/// Builds examples, with a profile of cargo's; says where the programs are.
pub fn build_examples(profile: &str, packages: &[&str]) -> Result<PathBuf> {
    let target = target()?;
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["build", "--profile", profile, "--quiet"]);
    cargo.args(packages.iter().flat_map(|package| ["-p", package]));
    cargo.arg("--manifest-path").arg(here("../../../Cargo.toml"));
    let status = cargo.arg("--target-dir").arg(&target).status();
    let status = status.context("cannot run cargo")?;
    ensure!(status.success(), "cannot build the examples: {status}");
    Ok(target.join(if profile == "dev" { "debug" } else { profile }))
}

/// Compiles the server in C, or says that there is no compiler.
pub fn build_c(folder: &Path) -> Result<Option<PathBuf>> {
    let program = folder.join("epoll-echo");
    let mut compiler = Command::new("cc");
    compiler.arg("-O2").arg("-o").arg(&program).arg(here("epoll-echo.c"));
    match compiler.status() {
        Ok(status) => {
            ensure!(status.success(), "cannot compile epoll-echo.c: {status}");
            Ok(Some(program))
        }
        Err(error) if error.kind() == NotFound => Ok(None),
        Err(error) => Err(error).context("cannot run cc"),
    }
}

/// A file of this crate.
pub fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(command: &[&str]) -> Running {
        let command: Vec<PathBuf> = command.iter().map(PathBuf::from).collect();
        let program = Program::new("test", &command);
        program.start(&[], false, None).unwrap()
    }

    #[test]
    fn a_server_that_ends_at_once_is_an_error() {
        let address: std::net::SocketAddr = ([127, 0, 0, 1], 9).into();
        let mut running = start(&["false"]);
        let error = running.wait_until_ready(&address.into(), Type::STREAM);
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("it ended at once"), "{error}");
    }

    #[test]
    fn a_program_that_fails_or_does_not_end_is_an_error() {
        let patience = Duration::from_millis(200);
        assert!(start(&["true"]).wait(Duration::from_secs(10)).is_ok());
        assert!(start(&["false"]).wait(Duration::from_secs(10)).is_err());
        assert!(start(&["sleep", "60"]).wait(patience).is_err());
    }

    #[test]
    fn what_a_program_complains_of_is_told() {
        let mut running = start(&["sh", "-c", "echo no luck >&2; exit 3"]);
        let address: std::net::SocketAddr = ([127, 0, 0, 1], 9).into();
        let error = running.wait_until_ready(&address.into(), Type::STREAM);
        let error = error.unwrap_err().to_string();
        assert!(error.ends_with("exit status: 3; no luck"), "{error}");
    }

    #[test]
    fn a_program_that_is_missing_is_an_error() {
        let program = Program::new("test", &["/no/such".into()]);
        assert!(program.start(&[], false, None).is_err());
    }
}
