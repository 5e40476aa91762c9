//! Runs `lab` at a terminal of its own, as a lecturer does.
#![allow(dead_code)] // No test uses all of it.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{io, thread};

use nix::pty::{Winsize, openpty};
use rustix::io::{FdFlags, fcntl_setfd};
use vt100::{Color, Parser};

const LAB: &str = env!("CARGO_BIN_EXE_lab");
const PATIENCE: Duration = Duration::from_secs(10);

/// A command of lab's at a terminal of its own.
pub struct Terminal {
    pub lab: Child,
    pub master: File,
    pub shown: Arc<Mutex<Shown>>,
}

/// What the terminal shows, and all that came.
pub struct Shown {
    pub parser: Parser,
    pub bytes: Vec<u8>,
}

impl Terminal {
    pub fn run(
        rows: u16,
        columns: u16,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Terminal {
        let size =
            Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).unwrap();
        // Else it would keep its own terminal open, and outlive a test that is killed.
        fcntl_setfd(&pair.master, FdFlags::CLOEXEC).unwrap();
        let slave = File::from(pair.slave);
        let mut command = Command::new(LAB);
        command.args(arguments);
        // CI counts as a terminal with colours, whatever TERM says.
        for name in ["NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR", "CI"] {
            command.env_remove(name);
        }
        for name in ["LC_ALL", "LC_CTYPE", "LANG"] {
            command.env_remove(name);
        }
        command.env("TERM", "xterm-256color").envs(variables.iter().copied());
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap());
        command.stderr(slave);
        // Its own session, whose terminal this is: then Ctrl-C is a signal.
        // SAFETY: between fork and exec only two system calls are made.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                rustix::process::ioctl_tiocsctty(io::stdin())?;
                Ok(())
            });
        }
        let lab = command.spawn().unwrap();
        let parser = Parser::new(number(rows), number(columns), 1000);
        let shown = Arc::new(Mutex::new(Shown { parser, bytes: Vec::new() }));
        let master = File::from(pair.master);
        let (mut reader, keep) = (master.try_clone().unwrap(), shown.clone());
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut bytes) {
                let mut shown = keep.lock().unwrap();
                shown.parser.process(&bytes[..length]);
                shown.bytes.extend(&bytes[..length]);
            }
        });
        Terminal { lab, master, shown }
    }

    pub fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// The lines that the terminal shows now.
    pub fn lines(&self) -> Vec<String> {
        let shown = self.shown.lock().unwrap();
        shown.parser.screen().contents().lines().map(str::to_string).collect()
    }

    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// All that came, with its escape sequences.
    pub fn bytes(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap().bytes).to_string()
    }

    pub fn wait_for(&self, text: &str) {
        self.wait_until(&format!("'{text}'"), || self.text().contains(text));
    }

    pub fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "no {what} in:\n{}", self.text());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// How often the terminal shows this now.
    pub fn count(&self, text: &str) -> usize {
        self.text().matches(text).count()
    }

    pub fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.lab.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.text());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The colour of a text, where it stands after another.
    pub fn colour_of(&self, before: &str, text: &str) -> Color {
        let (both, lines) = (format!("{before}{text}"), self.lines());
        let found = lines.iter().enumerate();
        let mut found =
            found.filter_map(|(row, line)| Some((row, line.find(&both)?)));
        let (row, column) = found.next().unwrap_or_else(|| panic!("no {both}"));
        let (row, column) = (row as u16, (column + before.len()) as u16);
        let shown = self.shown.lock().unwrap();
        shown.parser.screen().cell(row, column).unwrap().fgcolor()
    }
}

pub fn number(number: u16) -> NonZero<u16> {
    NonZero::new(number).unwrap()
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.lab.kill();
        let _ = self.lab.wait();
    }
}
