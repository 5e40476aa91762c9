//! A program under measurement: where it is, how it is started, and how it is ended.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::{fd::OwnedFd, unix::fs::FileExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, thread::sleep, time::Duration, time::Instant};

use anyhow::{Context, Result, bail, ensure};
use brokers::{Process, python};
use socket2::{SockAddr, Type};

use crate::kernel::{Processors, on_server_processor};
use crate::load::connect;
use crate::report::Side;
use crate::rows::{Limit, TRANSPORTS, Transport};

/// What the twins in Python need, in a virtual environment of their own.
const PACKAGES: [&str; 6] = [
    "fastapi==0.165.0",
    "uvicorn[standard]==0.54.0",
    "websockets==17.4",
    "paho-mqtt==2.2.0",
    "pika==1.4.4",
    "pyzmq==27.3.0",
];
/// FastAPI takes a second or two to start.
const START_TIMEOUT: Duration = Duration::from_secs(20);
const POLL_EVERY: Duration = Duration::from_millis(5);

/// What to start: its name in the table, and how its command begins.
#[derive(Clone, Debug)]
pub struct Program {
    pub name: String,
    pub command: Vec<PathBuf>,
}

impl Program {
    /// Starts it on the server's processor. Its standard output goes to /dev/null or to
    /// a pipe; its standard error goes into a file.
    pub fn start(
        &self,
        arguments: &[String],
        read_lines: bool,
        processors: Processors,
    ) -> Result<Running> {
        let complaints = tempfile::tempfile()?;
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).args(arguments);
        command.stdin(Stdio::null()).stderr(complaints.try_clone()?);
        command.stdout(if read_lines { Stdio::piped() } else { Stdio::null() });
        let process =
            on_server_processor(processors, || Ok(Process::start(&mut command)?))
                .with_context(|| format!("cannot start {}", self.name))?;
        Ok(Running { process, complaints })
    }
}

/// A running program, ended with all its children when this value is dropped.
pub struct Running {
    process: Process,
    complaints: File,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The pipe of its standard output, once.
    pub fn lines(&mut self) -> Result<OwnedFd> {
        Ok(self.process.take_output().context("its lines are not read")?.into())
    }

    /// Waits until it accepts a connection, or answers a datagram.
    pub fn wait_until_ready(&mut self, address: &SockAddr, kind: Type) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while answers(address, kind).is_err() {
            if let Some(status) = self.process.try_wait()? {
                bail!("it ended at once: {status}; {}", self.complaints());
            }
            ensure!(Instant::now() < deadline, "it does not listen");
            sleep(POLL_EVERY);
        }
        Ok(())
    }

    /// Waits for its end, which should be a success.
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

fn answers(address: &SockAddr, kind: Type) -> Result<()> {
    let socket = connect(address, kind)?;
    if kind == Type::DGRAM {
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        socket.send(b"ready?")?;
        (&socket).read_exact(&mut [0; 6])?;
    }
    Ok(())
}

/// Where the programs are, or why one is missing.
pub struct Programs {
    built: PathBuf,
    pub python: Result<PathBuf, String>,
    compiled: HashMap<&'static str, Result<PathBuf, String>>,
}

impl Programs {
    /// Builds the examples and the limits, and installs what the twins need.
    pub fn prepare(profile: &str, folder: &Path) -> Result<Programs> {
        let (built, mut compiled) = (build(profile)?, HashMap::new());
        for transport in TRANSPORTS.iter() {
            if let Limit::C(file) = &transport.limit {
                let library = transport.library.as_deref();
                let compile = || compile(file, library, folder, &built);
                compiled.entry(&**file).or_insert_with(compile);
            }
        }
        let python = python::environment(folder, &PACKAGES);
        let python = python.map_err(|why| format!("no Python: {why:#}"));
        Ok(Programs { built, python, compiled })
    }

    /// The program on one side of a transport.
    pub fn find(&self, transport: &Transport, side: Side) -> Result<Program, String> {
        let (name, mut command) = match (side, &transport.limit) {
            (Side::Example, _) => {
                (&transport.example[1], vec![self.built.join(&transport.example[1])])
            }
            (Side::Python, _) => {
                let script = here("python").join(&transport.twin);
                (&transport.twin, vec![self.python.clone()?, script])
            }
            (_, Limit::C(file)) => (file, vec![self.compiled[&**file].clone()?]),
            (_, Limit::Rust(binary)) => (binary, vec![self.built.join(binary)]),
            (_, Limit::None(why)) => return Err(why.clone()),
        };
        if side == Side::Limit {
            command.extend(transport.role.iter().map(PathBuf::from));
        }
        Ok(Program { name: name.clone(), command })
    }
}

/// Cargo's target folder: this program is in its subfolder `release` or `debug`.
pub fn target() -> Result<PathBuf> {
    let here = env::current_exe()?;
    let mut folders = here.ancestors();
    let target = folders.find(|folder| folder.join("CACHEDIR.TAG").exists());
    Ok(target.context("no target folder")?.to_path_buf())
}

/// Builds the examples and this crate's limits; says where they are.
fn build(profile: &str) -> Result<PathBuf> {
    let target = target()?;
    let mut packages: Vec<&str> =
        TRANSPORTS.iter().map(|it| &*it.example[0]).collect();
    packages.dedup();
    // Tests build them one by one, as other tests do: together, features would differ.
    let together = if profile == "dev" { 1 } else { packages.len() };
    let limits = (profile != "dev").then_some(&["scoreboard"][..]); // Tests have them.
    for packages in packages.chunks(together).chain(limits) {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.args(["build", "--profile", profile, "--quiet", "--bins"]);
        cargo.args(packages.iter().flat_map(|package| ["-p", package]));
        cargo.arg("--target-dir").arg(&target).current_dir(ROOT);
        let status = cargo.status().context("cannot run cargo")?;
        ensure!(status.success(), "cannot build {packages:?}: {status}");
    }
    Ok(target.join(if profile == "dev" { "debug" } else { profile }))
}

/// Compiles a program in C, or says why that cannot be done here.
pub fn compile(
    file: &str,
    library: Option<&str>,
    folder: &Path,
    built: &Path,
) -> Result<PathBuf, String> {
    let program = folder.join(file).with_extension("");
    let mut compiler = Command::new("cc");
    compiler.arg("-O2").arg("-o").arg(&program).arg(here("limits").join(file));
    if let Some(paho) = paho(built) {
        compiler.arg("-I").arg(paho.join("include"));
        compiler.arg("-L").arg(paho.join("lib"));
    }
    compiler.args(library.map(|name| format!("-l{name}"))).arg("-lpthread");
    let output = compiler.output().map_err(|why| format!("no C compiler: {why}"))?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    let first = complaints.lines().find(|line| line.contains("error"));
    match output.status.success() {
        true => Ok(program),
        false => Err(format!("cc fails: {}", first.unwrap_or(complaints.trim()))),
    }
}

/// The Paho C library, as the build of `mqtt-temperature` has made it.
fn paho(built: &Path) -> Option<PathBuf> {
    let folders = fs::read_dir(built.join("build")).ok()?;
    let outs = folders.flatten().map(|folder| folder.path().join("out"));
    let mut outs = outs.filter(|out| out.to_string_lossy().contains("paho-mqtt-sys"));
    outs.find(|out| out.join("lib/libpaho-mqtt3a.a").exists())
}

/// The project's folder.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");

/// A file of this crate.
pub fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}
