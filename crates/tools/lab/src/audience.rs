//! What comes from the person at the terminal: keys, and the signals that end it all.
//!
//! Both have threads of their own, so that nothing that a program prints delays them.

use std::io::{self, IsTerminal, Read};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;
use std::{process, thread};

use anyhow::Result;
use brokers::lifeline;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How long all that was started may take to end. The guard goes on after that.
const ENDING: Duration = Duration::from_millis(700);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    Enter,
    Skip,
    Replay,
    Back,
    Quit,
    Help,
}

impl Key {
    fn of(byte: u8) -> Option<Key> {
        match byte {
            b'\r' | b'\n' | b' ' => Some(Key::Enter),
            b's' => Some(Key::Skip),
            b'r' => Some(Key::Replay),
            b'b' => Some(Key::Back),
            // Ctrl-D as well: the end of the input.
            b'q' | 4 => Some(Key::Quit),
            b'?' | b'h' => Some(Key::Help),
            _ => None,
        }
    }
}

/// How the terminal was before; it is left as it was found.
static BEFORE: OnceLock<Termios> = OnceLock::new();

/// The keys that are pressed from now on. The terminal passes on each one at once, and
/// shows none; Ctrl-C goes on being a signal.
pub fn keys() -> Result<Receiver<Key>> {
    let (sender, keys) = mpsc::channel();
    let mut modes = tcgetattr(io::stdin())?;
    let _ = BEFORE.set(modes.clone());
    modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(io::stdin(), OptionalActions::Now, &modes)?;
    thread::spawn(move || read_keys(&sender));
    Ok(keys)
}

fn read_keys(sender: &Sender<Key>) {
    let mut bytes = [0; 64];
    loop {
        let length = io::stdin().read(&mut bytes).unwrap_or(0);
        let pressed = match &bytes[..length] {
            [] => &[4][..],
            // An arrow, or another key that is more than a letter.
            [0x1b, ..] => &[],
            bytes => bytes,
        };
        for key in pressed.iter().copied().filter_map(Key::of) {
            // Nobody listens any more when the tour is over.
            let _ = sender.send(key);
        }
        if length == 0 {
            return;
        }
    }
}

/// Leaves the terminal as it was found.
pub fn give_back_the_terminal() {
    if let Some(modes) = BEFORE.get() {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
    }
}

/// From now on Ctrl-C, SIGTERM and SIGHUP (the terminal was closed) end everything that
/// was started, and then this process, whatever its other threads are doing.
pub fn leave_on_signals() -> Result<()> {
    on_signal(|signal| {
        // What a shell says of a program that a signal ended.
        leave(128 + signal)
    })
}

/// Ends everything that was started, and then this process.
pub fn leave(code: i32) -> ! {
    give_back_the_terminal();
    let _ = lifeline::end_all(ENDING);
    if io::stdout().is_terminal() {
        // A terminal that was stopped by Ctrl-S must not hold this up.
        thread::spawn(|| eprintln!());
        thread::sleep(Duration::from_millis(20));
    }
    process::exit(code)
}

/// Calls this, in a thread, for each Ctrl-C (SIGINT), SIGTERM and SIGHUP, none of which
/// then ends this process by itself.
pub fn on_signal(act: impl Fn(i32) + Send + 'static) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::spawn(move || signals.forever().for_each(act));
    Ok(())
}
