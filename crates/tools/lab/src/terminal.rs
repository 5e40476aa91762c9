//! What systems do differently at a terminal: single keys, its width, signals.

use std::sync::OnceLock;
use std::{io, thread};

use anyhow::Result;
use brokers::{Process, Signal};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize,
    tcsetattr,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How the terminal was before; it is left as it was found.
static BEFORE: OnceLock<Termios> = OnceLock::new();

/// From now on the terminal passes on each key at once, and shows none.
pub fn pass_on_each_key() -> Result<()> {
    let mut modes = tcgetattr(io::stdin())?;
    let _ = BEFORE.set(modes.clone());
    modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(io::stdin(), OptionalActions::Now, &modes)?;
    Ok(())
}

/// Leaves the terminal as it was found.
pub fn give_back() {
    if let Some(modes) = BEFORE.get() {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
    }
}

/// How wide it is now, if it says.
pub fn columns() -> Option<usize> {
    tcgetwinsize(io::stdout()).ok().map(|size| size.ws_col.into())
}

/// Whether a line can be drawn again.
pub fn redraws() -> bool {
    std::env::var("TERM").is_ok_and(|term| term != "dumb")
}

/// Calls this, in a thread, for each Ctrl-C (SIGINT), SIGTERM and SIGHUP, none of which
/// then ends this process by itself.
pub fn on_signal(act: impl Fn(Signal) + Send + 'static) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::spawn(move || {
        signals.forever().filter_map(Signal::from_named_raw).for_each(act);
    });
    Ok(())
}

/// What Ctrl-C does to a program and all that it started.
pub fn interrupt(process: &Process) {
    process.signal(Signal::INT);
}
