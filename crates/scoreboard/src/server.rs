//! A server under measurement: its process, and what the kernel knows about it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Socket, Type};

use crate::processor::{cpu_seconds, pin};

pub const NULL: &str = "/dev/null";
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// A program to measure, and where its standard output goes.
pub struct Program {
    pub name: String,
    pub path: PathBuf,
    pub arguments: &'static [&'static str],
    pub story: PathBuf,
}

impl Program {
    pub fn new(
        path: &Path,
        arguments: &'static [&'static str],
        story: &Path,
    ) -> Program {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let place = if story == Path::new(NULL) { "/dev/null" } else { "a file" };
        let name = format!("{file}, lines to {place}");
        Program { name, path: path.into(), arguments, story: story.into() }
    }

    /// One that prints nothing unless asked to.
    pub fn silent(path: &Path) -> Program {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{file}, silent");
        Program { name, path: path.into(), arguments: &[], story: NULL.into() }
    }
}

pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// Bound to the server's port too, and never listening: no other program can be
    /// given that port before the server has it.
    _reserved: Socket,
}

/// Ends the server, however its measurement went.
impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts the program and waits until it accepts a connection. Its first line
    /// cannot be waited for, since it may go to /dev/null.
    pub fn start(program: &Program, processor: Option<usize>) -> Result<Server> {
        let reserved = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        reserved.set_reuse_address(true)?;
        reserved.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let address = reserved.local_addr()?.as_socket().context("no address")?;
        let story = &program.story;
        let story = File::create(story)
            .with_context(|| format!("cannot write {}", story.display()))?;
        let mut command = Command::new(&program.path);
        command.arg(address.to_string()).args(program.arguments);
        command.stdin(Stdio::null()).stdout(story);
        let child = command.spawn().context("cannot start it")?;
        let mut server = Server { child, address, _reserved: reserved };
        if let Some(processor) = processor {
            pin(server.child.id(), processor)?;
        }
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended at once: {status}");
            }
            ensure!(Instant::now() < deadline, "it does not listen");
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The processor time of all its threads so far, in seconds.
    pub fn cpu(&self) -> Result<f64> {
        cpu_seconds(self.child.id())
    }

    /// The memory that it really occupies, in KiB.
    pub fn resident(&self) -> Result<f64> {
        let status = fs::read_to_string(self.proc("status"))?;
        let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = value.and_then(|value| value.split_whitespace().next());
        Ok(number.context("no VmRSS")?.parse()?)
    }

    /// How many files and connections it has open.
    pub fn open_files(&self) -> Result<usize> {
        Ok(fs::read_dir(self.proc("fd"))?.count())
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_at_once_is_an_error() {
        let program = Program::new(Path::new("false"), &[], Path::new(NULL));
        let error = Server::start(&program, None).err().unwrap().to_string();
        assert!(error.starts_with("it ended at once"), "{error}");
    }

    #[test]
    fn a_program_that_is_missing_is_an_error() {
        let program = Program::new(Path::new("/no/such"), &[], Path::new(NULL));
        assert!(Server::start(&program, None).is_err());
    }
}
