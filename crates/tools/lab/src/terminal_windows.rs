//! What systems do differently at a terminal: single keys, its width, signals.

use std::os::windows::io::AsRawHandle;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::{env, io, mem};

use anyhow::Result;
use brokers::{Process, Signal};
use windows_sys::Win32::System::Console::{
    CONSOLE_SCREEN_BUFFER_INFO, ENABLE_ECHO_INPUT, ENABLE_LINE_INPUT, GetConsoleMode,
    GetConsoleScreenBufferInfo, SetConsoleMode,
};

/// How the console was before; it is left as it was found.
static BEFORE: OnceLock<u32> = OnceLock::new();

/// From now on the console passes on each key at once, and shows none. Ctrl-C goes on
/// being a signal.
pub fn pass_on_each_key() -> Result<()> {
    let mut mode = 0;
    // SAFETY: the handle is open while this process runs, and the place for the mode is
    // ours.
    if unsafe { GetConsoleMode(io::stdin().as_raw_handle(), &mut mode) } == 0 {
        return Err(io::Error::last_os_error().into());
    }
    let _ = BEFORE.set(mode);
    set_mode(mode & !(ENABLE_LINE_INPUT | ENABLE_ECHO_INPUT))?;
    Ok(())
}

/// Leaves the console as it was found.
pub fn give_back() {
    if let Some(mode) = BEFORE.get() {
        let _ = set_mode(*mode);
    }
}

fn set_mode(mode: u32) -> io::Result<()> {
    // SAFETY: the handle is open while this process runs.
    match unsafe { SetConsoleMode(io::stdin().as_raw_handle(), mode) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// How wide it is now, if it says.
pub fn columns() -> Option<usize> {
    // SAFETY: the structure consists of numbers, and is ours; the handle is open.
    let info = unsafe {
        let mut info: CONSOLE_SCREEN_BUFFER_INFO = mem::zeroed();
        match GetConsoleScreenBufferInfo(io::stdout().as_raw_handle(), &mut info) {
            0 => return None,
            _ => info,
        }
    };
    usize::try_from(info.srWindow.Right - info.srWindow.Left + 1).ok()
}

/// Whether a line can be drawn again: every console of today can.
pub fn redraws() -> bool {
    true
}

/// Calls this, in a thread, for Ctrl-C and when the console is closed.
pub fn on_signal(act: impl Fn(Signal) + Send + 'static) -> Result<()> {
    ctrlc::set_handler(move || act(Signal::INT))?;
    Ok(())
}

/// What Ctrl-C does to a program and all that it started. A helper presses it, since that
/// takes the program's console.
pub fn interrupt(process: &Process) {
    let helper = env::current_exe().and_then(|lab| {
        let process = process.id().to_string();
        let mut helper = Command::new(lab);
        helper.args(["interrupt", &process]).stderr(Stdio::null()).status()
    });
    if !helper.is_ok_and(|status| status.success()) {
        process.kill();
    }
}
