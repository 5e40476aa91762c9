//! Ends what this process has started when it ends itself, even if it is killed.
//!
//! A process killed with SIGKILL cannot clean up. So a small shell waits beside it at
//! the end of a pipe, is told what runs, and acts when the pipe is closed: the kernel
//! does that in any case.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What runs is a list of words in `$running`; the folders are the parameters. A
/// process that was killed may write into its folder a moment longer.
const GUARD: &str = r#"
trap '' HUP INT TERM
running=' '
while read -r what which; do
    case $what in
        started) running="$running$which " ;;
        ended)
            case $running in
                *" $which "*) running="${running%% $which *} ${running#* $which }" ;;
            esac ;;
        folder) set -- "$@" "$which" ;;
    esac
done
for target in $running; do kill -s KILL -- "$target"; done
for folder in "$@"; do
    tries=0
    until rm -rf "$folder" || [ $tries = 50 ]; do tries=$((tries + 1)); sleep 0.1; done
done
"#;

static GUARDED: LazyLock<io::Result<Mutex<Child>>> = LazyLock::new(|| {
    let mut shell = Command::new("sh");
    // A process group of its own, so that Ctrl-C does not reach it.
    shell.args(["-c", GUARD]).process_group(0).stdin(Stdio::piped());
    shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Mutex::new)
});

/// From now on this process, or for a negative number this process group, is ended
/// with this one.
pub fn started(target: i32) -> io::Result<()> {
    tell(&format!("started {target}\n"))
}

/// It has ended: its number may soon be another's.
pub fn ended(target: i32) -> io::Result<()> {
    tell(&format!("ended {target}\n"))
}

/// From now on this folder is removed with this process.
pub fn folder(path: &Path) -> io::Result<()> {
    tell(&format!("folder {}\n", path.display()))
}

/// Ends all that runs, for a process that is about to end itself: returns when all has
/// ended, or after so long. Nothing can be started any more.
pub fn end_all(patience: Duration) -> io::Result<()> {
    let mut guard = guard()?;
    drop(guard.stdin.take());
    let deadline = Instant::now() + patience;
    while guard.try_wait()?.is_none() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    drop(guard);
    // What was about to start learns that it is too late, and is killed.
    while SPAWNING.try_lock().is_err() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Held from before a process is spawned until `started` knows it: between the two
/// nobody else would end it.
static SPAWNING: Mutex<()> = Mutex::new(());

pub(crate) fn spawning() -> io::Result<MutexGuard<'static, ()>> {
    let spawning = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
    tell("")?;
    Ok(spawning)
}

fn tell(line: &str) -> io::Result<()> {
    let mut guard = guard()?;
    let pipe = guard.stdin.as_mut();
    let pipe = pipe.ok_or_else(|| io::Error::other("everything is being ended"))?;
    pipe.write_all(line.as_bytes())
}

fn guard() -> io::Result<MutexGuard<'static, Child>> {
    let guard = GUARDED.as_ref().map_err(|error| io::Error::from(error.kind()))?;
    // A thread that panicked while it wrote has written all or nothing.
    Ok(guard.lock().unwrap_or_else(PoisonError::into_inner))
}
