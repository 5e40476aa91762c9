//! A program that is judged: the command, and a first look at whether it runs at all.

use std::env;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use brokers::{Process, signal_of};
use serde::Serialize;

use super::limits::Marked;

/// How long a program may take to say that it is ready: the tests wait no longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A start that takes longer is worth a remark.
const SLOW: Duration = Duration::from_secs(2);
/// Lines before the ready line, at most.
const MOST_LINES: usize = 1_000;

/// What a server prints first, before its address; where it listens by default; and
/// whether one can connect to it.
const READY: [(&str, &str, &str, bool); 9] = [
    ("tcp-server", "TCP server listening on ", ":65432", true),
    ("udp-server", "UDP server listening on ", ":65432", false),
    ("threaded-tcp-server", "Threaded TCP server listening on ", ":65432", true),
    ("async-tcp-server", "Async TCP server listening on ", ":65432", true),
    ("async-udp-server", "Async UDP server listening on ", ":65432", false),
    ("lines-server", "Lines server listening on ", ":65435", true),
    ("frames-server", "Frames server listening on ", ":65436", true),
    ("rest-server", "REST server on http://", ":8000", true),
    ("ws-server", "WebSocket server on ws://", ":8765", true),
];

#[derive(Serialize)]
pub struct Submission {
    /// The example's program in whose place it runs.
    pub name: String,
    pub command: String,
    #[serde(skip)]
    words: Vec<String>,
}

impl Submission {
    pub fn new(name: &str, command: &str) -> Result<Submission> {
        // On Windows it stands in paths, and escapes nothing.
        let escaped = match cfg!(windows) {
            true => command.replace('\\', r"\\"),
            false => command.to_string(),
        };
        let words = shell_words::split(&escaped)
            .with_context(|| format!("cannot understand the command: {command}"))?;
        ensure!(!words.is_empty(), "the command for {name} is empty");
        Ok(Submission { name: name.to_string(), command: command.to_string(), words })
    }

    /// The variable in which the tests look for it.
    pub fn variable(&self) -> String {
        self.name.replace('-', "_").to_uppercase()
    }

    /// The command within limits, in the folder in which the judge was started.
    pub fn limited(&self) -> Result<Vec<String>> {
        let judge = env::current_exe()?.display().to_string();
        let folder = env::current_dir()?.display().to_string();
        let mut words =
            vec![judge, "limited".to_string(), "--folder".to_string(), folder];
        words.push("--".to_string());
        words.extend(self.words.iter().cloned());
        Ok(words)
    }

    /// Starts it once. An error says in a sentence why no test can judge it; a remark, if
    /// any, what is worth knowing all the same.
    pub fn try_out(&self, marked: &Marked) -> Result<Option<String>> {
        self.is_startable(marked)?;
        match READY.iter().find(|(name, ..)| *name == self.name) {
            Some((_, ready, port, tcp)) => self.try_server(ready, port, *tcp, marked),
            // What the others print first depends on their peers: the tests judge it.
            None => Ok(None),
        }
    }

    /// Whether the system would start it. What is asked for is that the error comes from
    /// the judge, in words, and not out of each test.
    fn is_startable(&self, marked: &Marked) -> Result<()> {
        let program = &self.words[0];
        let mut command = Command::new(program);
        command.envs([marked.variable()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match Process::start(&mut command) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!(
                    "there is no program '{program}', the first word of the command"
                )
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                bail!(
                    "'{program}' may not be executed: is it a program? chmod +x helps, or its interpreter before it"
                )
            }
            Err(error) => {
                Err(error).with_context(|| format!("cannot start '{program}'"))
            }
        }
    }

    fn try_server(
        &self,
        ready: &str,
        default_port: &str,
        tcp: bool,
        marked: &Marked,
    ) -> Result<Option<String>> {
        let begin = Instant::now();
        let (_process, address) = self.wait_until_ready(ready, marked)?;
        let took = begin.elapsed();
        let parsed: Result<SocketAddr, _> = address.parse();
        let Ok(parsed) = parsed else {
            bail!(
                "its ready line ends with '{address}', and not with an address and a port"
            );
        };
        ensure!(
            parsed.ip() == Ipv4Addr::LOCALHOST
                && !address.ends_with(default_port)
                && parsed.port() != 0,
            "it was told to listen on 127.0.0.1:0, any free port, and says {address}: \
             does it use its first argument, and print where it really listens?"
        );
        if tcp && let Err(error) = TcpStream::connect_timeout(&parsed, PATIENCE) {
            bail!(
                "it says that it listens on {address}, but nobody answers there: {error}"
            );
        }
        Ok((took > SLOW).then(|| {
            let seconds = took.as_secs_f64();
            format!(
                "{} needs {seconds:.1} s to start, and each test starts it anew.",
                self.name
            )
        }))
    }

    fn wait_until_ready(
        &self,
        ready: &str,
        marked: &Marked,
    ) -> Result<(Process, String)> {
        let words = self.limited()?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("127.0.0.1:0").stdin(Stdio::null());
        command.envs([marked.variable()]);
        let mut process =
            Process::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
        // A program that prints without end waits until somebody takes what it printed.
        let (sender, lines) = mpsc::sync_channel(16);
        process.read_lines(move |line| drop(sender.send(line)));
        let deadline = Instant::now() + PATIENCE;
        let mut printed: Vec<String> = Vec::new();
        let wanted = format!("'{ready}ADDRESS'");
        while printed.len() < MOST_LINES {
            let left = deadline.saturating_duration_since(Instant::now());
            match lines.recv_timeout(left) {
                Ok(Some(line)) => match line.strip_prefix(ready) {
                    Some(address) => return Ok((process, address.to_string())),
                    None => printed.push(line),
                },
                Ok(None) | Err(RecvTimeoutError::Disconnected) => {
                    let status = process.wait(PATIENCE)?;
                    let how = match status
                        .map(|status| (status.code(), signal_of(status)))
                    {
                        Some((Some(code), _)) => format!("with exit status {code}"),
                        Some((_, Some(signal))) => {
                            format!("by signal {}", signal.as_raw())
                        }
                        _ => "its output, and runs on".to_string(),
                    };
                    bail!(
                        "it ended {how} before it printed {wanted}{}",
                        shown(&printed)
                    );
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("it did not print {wanted} within 10 s{}", shown(&printed))
                }
            }
        }
        bail!(
            "it printed {MOST_LINES} lines, and none was {wanted}{}",
            shown(&printed)
        )
    }
}

/// The first lines that a program printed, as the end of a sentence.
fn shown(lines: &[String]) -> String {
    let first: Vec<String> =
        lines.iter().take(5).map(|line| format!("\n    {line:.200}")).collect();
    match first.is_empty() {
        true => "; it printed nothing".to_string(),
        false => format!("; it printed:{}", first.concat()),
    }
}
