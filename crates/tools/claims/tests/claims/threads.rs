//! Blocking I/O: threads and what they cost.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, mpsc};
use std::{env, fs, process, thread};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::procfs::{self, Task, memory, wait_for_rest, wait_until};
use crate::program::{PATIENCE, Program};
use crate::{start_python, start_server};

const CLIENTS: usize = 1000;

/// What a server needs for CLIENTS clients.
struct Costs {
    threads: u64,
    /// More than without a client, in KiB.
    memory: u64,
    /// To echo a byte for each client, all of which send at the same time.
    switches: u64,
}

/// Claim 38: threads cost memory and context switches.
#[test]
fn threads_cost_memory_and_context_switches() {
    allow_open_files();
    let server = start_server("threaded-tcp-echo", "threaded-tcp-server");
    let threaded = costs(server, "Threaded TCP server listening on ");
    let server = start_server("async-tcp-echo", "async-tcp-server");
    let tasks = costs(server, "Async TCP server listening on ");
    for (name, costs) in [("a thread", &threaded), ("a task", &tasks)] {
        let Costs { threads, memory, switches } = costs;
        print!("{CLIENTS} clients with {name} each: {threads} threads, ");
        println!("{memory} KiB, {switches} context switches for an echo each");
    }
    assert_eq!(threaded.threads, CLIENTS as u64 + 1);
    assert_eq!(tasks.threads, 1);
    assert!(threaded.memory > 2 * tasks.memory);
    // A thread must wake up for its client; one thread finds many clients ready.
    assert!(threaded.switches >= CLIENTS as u64);
    assert!(tasks.switches < CLIENTS as u64 / 10);
}

/// Each connection is an open file, and many systems allow a program only 1,024.
fn allow_open_files() {
    let needed = CLIENTS as u64 + 200;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(hard >= needed, "{hard} open files allowed, {needed} needed: ulimit -Hn");
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(needed), hard).unwrap();
}

fn costs(mut server: Program, ready: &str) -> Costs {
    let address = server.address(ready);
    let alone = memory(server.child.id());
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| served_client(address)).collect();
    wait_for_rest(server.child.id());
    let (threads, all) =
        (procfs::status(server.child.id(), "Threads:"), memory(server.child.id()));

    // The server stands still until every client has sent: however fast or slow this
    // machine is, all of them want something at the same time.
    server.signal("STOP");
    let stopped =
        || Task::all(server.child.id()).iter().all(|task| task.state == 'T');
    wait_until("the server to be stopped", stopped);
    let before = switches(&Task::all(server.child.id()));
    clients.iter_mut().for_each(|client| client.write_all(b"x").unwrap());
    server.signal("CONT");
    clients.iter_mut().for_each(|client| client.read_exact(&mut [0]).unwrap());
    let after = switches(&wait_for_rest(server.child.id()));
    Costs { threads, memory: all - alone, switches: after - before }
}

/// A client that has been served once, so that its thread or task exists.
fn served_client(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    client
}

fn switches(tasks: &[Task]) -> u64 {
    tasks.iter().map(|task| task.switches).sum()
}

/// A program of this folder's `snippets`.
fn snippet(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/claims/snippets");
    Path::new(folder).join(name).with_extension("rs")
}

/// Runs the compiler; `emit` is `metadata` for checks alone, `link` for a program.
fn compile(name: &str, emit: &str, folder: &TempDir) -> Output {
    let rustc = env::var_os("RUSTC").unwrap_or("rustc".into());
    let mut compiler = Command::new(rustc);
    compiler.args(["--edition", "2024", "--crate-type", "bin", "--emit", emit]);
    compiler.arg("--out-dir").arg(folder.path()).arg(snippet(name));
    compiler.output().expect("rustc starts")
}

/// Compiles a snippet and starts it.
fn start_snippet(name: &str, folder: &TempDir) -> Program {
    let compiled = compile(name, "link", folder);
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    let path = folder.path().join(name);
    Program::start(path.to_str().expect("a path in UTF-8"), &[])
}

/// Claim 39: in Rust a data race does not compile.
#[test]
fn a_data_race_does_not_compile() {
    for (name, reason) in [
        // Two threads borrow a variable to change it.
        ("shared_variable", "error[E0499]"),
        // A thread may outlive the variable that it changes.
        ("borrowed_variable", "error[E0373]"),
        // A type that is not made for threads is shared by threads.
        ("shared_cell", "error[E0277]"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let compiled = compile(name, "metadata", &folder);
        let errors = String::from_utf8_lossy(&compiled.stderr);
        assert!(!compiled.status.success(), "{name} compiles");
        assert!(errors.contains(reason), "{name} lacks {reason}:\n{errors}");
        // Nothing else is wrong with it.
        let count = |text| errors.matches(text).count();
        assert_eq!(count("error["), count(reason), "{name}:\n{errors}");
    }
}

/// Claim 39: the same with a lock does compile, and counts right.
#[test]
fn with_a_mutex_it_compiles_and_counts_right() {
    let folder = tempfile::tempdir().unwrap();
    let ended = start_snippet("mutex", &folder).end();
    assert_eq!(ended.output, ["Counted to 2000"]);
}

/// Claim 39: a deadlock does compile: the threads wait for each other for ever.
#[test]
fn a_deadlock_compiles() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = start_snippet("deadlock", &folder);
    let holds = "Each thread takes one lock and waits for the other";
    program.wait_for(holds);
    // They do not even try again: no thread wakes up or takes processor time.
    let threads = wait_for_rest(program.child.id());
    assert_eq!(threads.len(), 3, "main and the two");
    assert!(program.is_running());
    program.signal("KILL");
    let ended = program.end();
    assert_eq!((ended.code, ended.output), (None, vec![holds.to_string()]));
}

/// Claim 40: Rust's threads use all cores: two of them run at the same time.
#[test]
fn two_threads_of_rust_run_on_two_processors() {
    let (sender, numbers) = mpsc::channel();
    // Held by this test: when it ends, however it ends, the threads do so too.
    let needed = Arc::new(());
    for _ in 0..2 {
        let (sender, needed) = (sender.clone(), Arc::downgrade(&needed));
        thread::spawn(move || {
            sender.send(thread_number()).unwrap();
            while needed.strong_count() > 0 {}
        });
    }
    let threads = [numbers.recv().unwrap(), numbers.recv().unwrap()];
    // On a machine with one processor they can only take turns on it.
    let possible = thread::available_parallelism().unwrap().get().min(2);
    wait_until("both threads to run at the same time", || {
        let tasks = threads.map(|thread| Task::of(process::id(), thread).unwrap());
        let processors: HashSet<u32> =
            tasks.iter().map(|task| task.processor).collect();
        tasks.iter().all(|task| task.state == 'R') && processors.len() >= possible
    });
}

/// The kernel's number of the thread that asks.
fn thread_number() -> u32 {
    let link = fs::read_link("/proc/thread-self").unwrap();
    link.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// Two threads count for half a second, each on its own.
const TWO_BUSY_THREADS: &str = r#"
import sys, sysconfig, threading, time

def count(end):
    while time.monotonic() < end:
        pass

begin, used = time.monotonic(), time.process_time()
threads = [threading.Thread(target=count, args=[begin + 0.5]) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
used, passed = time.process_time() - used, time.monotonic() - begin
has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()
built_without = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
print("Counted:", used / passed, has_lock, built_without)
"#;

/// Claim 40: the GIL: CPython's threads do not use all cores.
///
/// Two threads that ran at the same time would use up to twice as much processor time
/// as passes. One at a time cannot use more than passes, however busy the machine is.
#[test]
fn two_threads_of_cpython_take_turns() {
    let line = start_python(&["-c", TWO_BUSY_THREADS]).wait_for("Counted: ");
    let words: Vec<&str> = line.split(' ').collect();
    let [share, has_lock, built_without] = words[..] else { panic!("got '{line}'") };
    if has_lock == "True" {
        let share: f64 = share.parse().unwrap();
        assert!(share < 1.1, "they used {share} processors");
    } else {
        // CPython without the lock exists from 3.13 on, as a build of its own.
        assert_eq!(built_without, "True", "what else has no lock?");
    }
}
