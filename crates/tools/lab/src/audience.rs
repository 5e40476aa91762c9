//! What comes from the person at the terminal: keys, and the signals that end it all.
//!
//! Both have threads of their own, so that nothing that a program prints delays them.

use std::io::{self, IsTerminal, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;
use std::{process, thread};

use anyhow::Result;
use brokers::lifeline;

use crate::terminal;

/// How long all that was started may take to end. The guard goes on after that.
const ENDING: Duration = Duration::from_millis(700);

/// Ctrl-D, the end of the input.
const END: u8 = 4;

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
            b'q' | END => Some(Key::Quit),
            b'?' | b'h' => Some(Key::Help),
            _ => None,
        }
    }
}

/// The keys that are pressed from now on. The terminal passes on each one at once, and
/// shows none; Ctrl-C goes on being a signal.
pub fn keys() -> Result<Receiver<Key>> {
    let (sender, keys) = mpsc::channel();
    terminal::pass_on_each_key()?;
    thread::spawn(move || read_keys(&sender));
    Ok(keys)
}

fn read_keys(sender: &Sender<Key>) {
    let mut bytes = [0; 64];
    loop {
        let length = io::stdin().read(&mut bytes).unwrap_or(0);
        let pressed = if length == 0 { &[END] } else { &bytes[..length] };
        // Nobody listens any more when the tour is over.
        letters(pressed).filter_map(Key::of).for_each(|key| {
            let _ = sender.send(key);
        });
        if length == 0 {
            return;
        }
    }
}

/// What was typed without the keys that are more than a letter: an arrow is `ESC [ B`,
/// F1 `ESC O P`.
fn letters(typed: &[u8]) -> impl Iterator<Item = u8> {
    let (mut letters, mut rest) = (Vec::new(), typed);
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (0x1b, [b'[' | b'O', sequence @ ..]) => {
                let end =
                    sequence.iter().position(|byte| (0x40..0x7f).contains(byte));
                rest = end.map_or(&[][..], |end| &sequence[end + 1..]);
            }
            // Alt and a letter.
            (0x1b, _) => rest = after.get(1..).unwrap_or_default(),
            (letter, _) => letters.push(*letter),
        }
    }
    letters.into_iter()
}

/// From now on Ctrl-C, SIGTERM and SIGHUP (the terminal was closed) end everything that
/// was started, and then this process, whatever its other threads are doing.
pub fn leave_on_signals() -> Result<()> {
    terminal::on_signal(|signal| {
        // What a shell says of a program that a signal ended.
        leave(128 + signal.as_raw())
    })
}

/// Whether everything is being ended: then nothing that goes wrong is news.
static LEAVING: AtomicBool = AtomicBool::new(false);

pub fn begin_to_leave() {
    LEAVING.store(true, Ordering::SeqCst);
}

/// Waits for the end, if everything is being ended.
pub fn stay_if_leaving() {
    while LEAVING.load(Ordering::SeqCst) {
        thread::park();
    }
}

/// Ends everything that was started, and then this process.
pub fn leave(code: i32) -> ! {
    begin_to_leave();
    terminal::give_back();
    let _ = lifeline::end_all(ENDING);
    if io::stdout().is_terminal() {
        // A terminal that was stopped by Ctrl-S must not hold this up.
        thread::spawn(|| eprintln!());
        thread::sleep(Duration::from_millis(20));
    }
    process::exit(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_and_function_keys_are_no_letters() {
        let keys = |typed: &[u8]| -> Vec<u8> { letters(typed).collect() };
        assert_eq!(keys(b"s\x1b[Br\x1bOPb\x1b[15~q\x1bsx"), b"srbqx");
        assert_eq!(keys(b"\x1b"), b"");
        assert_eq!(keys(b"\x1b[1;5"), b"");
    }
}
