//! Private brokers: real Mosquitto and RabbitMQ servers, reachable from this machine
//! alone, which leave nothing behind.

use std::collections::VecDeque;
use std::fs::Permissions;
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind::AddrInUse;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use anyhow::{Context, Error, Result, bail};
use nix::unistd::{Uid, User, chown};
use tempfile::{Builder, TempDir};

use crate::handshake;
use crate::process::Process;
use crate::{Kind, Signal, lifeline};

/// The longest that a broker may take to start or to end: RabbitMQ takes 3 to 6
/// seconds on a machine that does nothing else.
const PATIENCE: Duration = Duration::from_secs(120);
/// Another program may take a port between the choice and the start.
const TRIES: usize = 3;
/// How often a broker that starts is asked whether it is ready.
const LOOK: Duration = Duration::from_millis(20);
/// Where install.sh unpacks what is missing when nobody is root.
const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../target/tools/bin");
/// Lines of a broker's log that are kept to say why it did not start.
const LINES_KEPT: usize = 20;

impl Kind {
    /// Where it is on this machine; many systems keep servers off a user's PATH. The
    /// wrapper that Debian has for RabbitMQ on the PATH starts the system's own.
    pub fn find(self) -> Result<PathBuf> {
        let mut folders = vec![TOOLS.into(), "/usr/lib/rabbitmq/bin".into()];
        folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        folders.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
        for brew in ["/opt/homebrew/opt", "/usr/local/opt"] {
            folders.extend(
                ["mosquitto", "rabbitmq"].map(|package| {
                    [brew, package, "sbin"].iter().collect::<PathBuf>()
                }),
            );
        }
        let mut paths = folders.iter().map(|folder| folder.join(self.program()));
        paths.find(|path| path.exists()).with_context(|| {
            let program = self.program();
            format!("{program} is not installed: sh crates/tools/brokers/install.sh {program}")
        })
    }
}

/// A broker with a folder of its own. It ends, and its folder with it, when the value
/// is dropped, or when this process ends in any way.
pub struct Broker {
    kind: Kind,
    port: u16,
    /// None while it is stopped.
    server: Option<Server>,
    /// RabbitMQ's name server, which has to be ours: it would leave one behind.
    _epmd: Option<Server>,
    epmd_port: u16,
    user: Option<User>,
    /// The last field, so that it is dropped after those who write into it.
    folder: TempDir,
}

impl Broker {
    /// Starts a broker on any free port; returns when it is ready.
    pub fn start(kind: Kind) -> Result<Broker> {
        let mut tries = 1;
        loop {
            match Broker::start_on(kind, free_port()?) {
                Err(error) if tries < TRIES && is_in_use(&error) => tries += 1,
                started => return started,
            }
        }
    }

    /// Starts a broker on this port of 127.0.0.1; returns when it is ready.
    pub fn start_on(kind: Kind, port: u16) -> Result<Broker> {
        kind.find()?;
        let name = format!("{}-", kind.program());
        let private = Permissions::from_mode(0o700);
        let folder = Builder::new().prefix(&name).permissions(private).tempdir()?;
        lifeline::folder(folder.path())?;
        let user = unprivileged_user(kind, folder.path());
        let epmd_port = free_port()?;
        let mut broker =
            Broker { kind, port, server: None, _epmd: None, epmd_port, user, folder };
        if kind == Kind::RabbitMq {
            broker._epmd = Some(broker.start_epmd()?);
        }
        broker.restart()?;
        Ok(broker)
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The process, while it runs.
    pub fn process(&self) -> Option<u32> {
        self.server.as_ref().map(|server| server.process.id())
    }

    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.kind.scheme(), self.port)
    }

    /// Ends it in order (SIGTERM): it keeps what it has to keep.
    pub fn stop(&mut self) -> Result<()> {
        self.server.take().map_or(Ok(()), |server| server.end(Signal::TERM))
    }

    /// Ends it as a power cut would (SIGKILL).
    pub fn kill(&mut self) -> Result<()> {
        self.server.take().map_or(Ok(()), |server| server.end(Signal::KILL))
    }

    /// Starts it again, on the same port and with what it has kept.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        let server = match self.kind {
            Kind::Mosquitto => self.mosquitto(),
            Kind::RabbitMq => self.rabbitmq(),
        };
        self.server = Some(server.with_context(|| {
            format!("cannot start {} on port {}", self.kind.name(), self.port)
        })?);
        Ok(())
    }

    /// Whether it has ended by itself; then the end of its log.
    pub fn failure(&mut self) -> Option<String> {
        let server = self.server.as_mut()?;
        server.ended().ok().flatten().map(|_| server.log())
    }

    fn mosquitto(&self) -> Result<Server> {
        let path = self.folder.path();
        let own = path.join("socket");
        // Of a broker that was killed.
        let _ = fs::remove_file(&own);
        let user = self.user.as_ref().map_or("root", |user| &user.name);
        let configuration = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nuser {user}\n\
             set_tcp_nodelay true\n\
             persistence true\npersistence_location {}/\n\
             autosave_on_changes true\nautosave_interval 1\nlog_dest stderr\n\
             listener 0 {}\n",
            self.port,
            path.display(),
            own.display()
        );
        let file = path.join("mosquitto.conf");
        fs::write(&file, configuration)?;
        let mut command = Command::new(self.kind.find()?);
        command.arg("-c").arg(file);
        self.run(&mut command, self.port, || handshake::mqtt(self.port, &own))
    }

    /// An empty environment, and files that do not exist: nothing of another RabbitMQ
    /// on this machine is used.
    fn rabbitmq(&self) -> Result<Server> {
        let path = self.folder.path();
        let name = format!("private-{}-{}", self.port, process::id());
        let mut command = Command::new(self.kind.find()?);
        command.env_clear().env("PATH", search_path()).env("HOME", path);
        for (name, file) in [
            ("MNESIA_BASE", "data"),
            ("LOG_BASE", "log"),
            ("PID_FILE", "pid"),
            ("CONF_ENV_FILE", "none"),
            ("CONFIG_FILE", "none"),
            ("ADVANCED_CONFIG_FILE", "none"),
            ("ENABLED_PLUGINS_FILE", "none"),
        ] {
            command.env(format!("RABBITMQ_{name}"), path.join(file));
        }
        command
            .env("RABBITMQ_NODENAME", format!("{name}@localhost"))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", free_port()?.to_string())
            .env("RABBITMQ_LOGS", "-")
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_CRASH_DUMP", "/dev/null")
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1}",
            )
            // The script then becomes the server: one process to signal.
            .env("RUNNING_UNDER_SYSTEMD", "true");
        self.run(&mut command, self.port, || handshake::amqp(self.port, &name))
    }

    fn start_epmd(&self) -> Result<Server> {
        let mut command = Command::new("epmd");
        let port = self.epmd_port.to_string();
        command.env_clear().env("PATH", search_path());
        command.args(["-address", "127.0.0.1", "-port", &port]);
        self.run(&mut command, self.epmd_port, || handshake::tcp(self.epmd_port))
            .context("cannot start epmd, a part of Erlang")
    }

    fn run(
        &self,
        command: &mut Command,
        port: u16,
        is_ready: impl Fn() -> io::Result<()>,
    ) -> Result<Server> {
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        Server::start(command.current_dir(self.folder.path()), port, is_ready)
    }
}

/// Who runs a broker that root starts, and owns its folder from now on: the broker's
/// own user if there is one. None when nobody else can reach the folder, or when root
/// is not who starts it.
fn unprivileged_user(kind: Kind, folder: &Path) -> Option<User> {
    let reachable = folder.ancestors().skip(1).all(|path| {
        path.metadata().is_ok_and(|found| found.permissions().mode() & 1 == 1)
    });
    if !Uid::effective().is_root() || !reachable {
        return None;
    }
    let names = [kind.program().trim_end_matches("-server"), "nobody"];
    let user = names.iter().find_map(|name| User::from_name(name).ok().flatten())?;
    // In a container root may have no other user to turn into.
    chown(folder, Some(user.uid), Some(user.gid)).is_ok().then_some(user)
}

/// The PATH for programs that get no other part of the environment.
fn search_path() -> std::ffi::OsString {
    let here = env::var_os("PATH").unwrap_or_default();
    let folders =
        env::split_paths(&here).chain([TOOLS, "/usr/sbin"].map(PathBuf::from));
    env::join_paths(folders).unwrap_or(here.clone())
}

/// A port that nobody has now. Brokers take no port 0, and RabbitMQ opens its port
/// seconds later: it is none that the system gives to whoever asks for any port.
pub fn free_port() -> io::Result<u16> {
    let mut last = io::Error::other("no free port");
    for _ in 0..1000 {
        // The standard library's only source of random numbers.
        let port = 20_000 + (RandomState::new().hash_one(0) % 10_000) as u16;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn is_in_use(error: &Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == AddrInUse)
}

/// Whether nobody listens at the port.
fn check_free(port: u16) -> Result<()> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Err(error) if error.kind() == AddrInUse => {
            Err(Error::new(io::Error::new(AddrInUse, "the port is in use")))
        }
        // A port that only root may have, say: the broker's log tells.
        _ => Ok(()),
    }
}

/// A running broker, or what one needs, and the end of what it printed.
struct Server {
    process: Process,
    printed: Arc<Mutex<Printed>>,
}

#[derive(Default)]
struct Printed {
    last: VecDeque<String>,
    ended: bool,
}

impl Server {
    /// Returns when clients can come. What a log says is no sign of that: Mosquitto
    /// 2.1 writes that it runs before it listens.
    fn start(
        command: &mut Command,
        port: u16,
        is_ready: impl Fn() -> io::Result<()>,
    ) -> Result<Server> {
        check_free(port)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::start(command)?;
        let printed = Arc::new(Mutex::new(Printed::default()));
        let kept = printed.clone();
        process.read_lines(move |line| keep(&kept, line));
        let mut server = Server { process, printed };
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = is_ready() {
            if let Some(status) = server.ended()? {
                check_free(port)?;
                bail!(
                    "it ended with {status}; the end of its log:\n{}",
                    server.log()
                );
            }
            if Instant::now() > deadline {
                bail!("it was not ready in {PATIENCE:?}: {error}\n{}", server.log());
            }
            thread::sleep(LOOK);
        }
        Ok(server)
    }

    /// Signals it and waits for its end.
    fn end(mut self, signal: Signal) -> Result<()> {
        self.process.signal_alone(signal);
        if self.process.wait(PATIENCE)?.is_none() {
            bail!("a broker does not end:\n{}", self.log());
        }
        Ok(())
    }

    /// How it ended, if it has; then its log is whole.
    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.process.try_wait()?;
        let deadline = Instant::now() + Duration::from_secs(1);
        while status.is_some() && !self.printed().ended && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
        Ok(status)
    }

    fn log(&self) -> String {
        let printed = self.printed();
        let lines: Vec<String> =
            printed.last.iter().map(|line| format!("    {line}")).collect();
        lines.join("\n")
    }

    fn printed(&self) -> MutexGuard<'_, Printed> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(printed: &Mutex<Printed>, line: Option<String>) {
    let mut printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
    printed.ended = line.is_none();
    printed.last.extend(line);
    if printed.last.len() > LINES_KEPT {
        printed.last.pop_front();
    }
}
