//! What the lecture claims and no example can show by itself. The comment above each
//! test has the claim and its number in the list of claims.
#![cfg(target_os = "linux")] // Many of them look into /proc.

mod choosing;
mod event_loop;
#[path = "../examples/mod.rs"]
mod examples;
#[path = "../procfs/mod.rs"]
mod procfs;
#[path = "../../../../tcp-echo/tests/program/mod.rs"]
mod program;
mod sockets;
mod threads;
mod wire;

use program::Program;

/// Starts an example on a free port of this machine.
fn start_server(package: &str, binary: &str) -> Program {
    let path = examples::program(package, binary);
    Program::start(path.to_str().expect("a path in UTF-8"), &["127.0.0.1:0"])
}

/// Starts CPython, a peer that shares no code with the programs here.
fn start_python(arguments: &[&str]) -> Program {
    let found = std::process::Command::new("python3").arg("--version").output();
    assert!(
        found.is_ok_and(|output| output.status.success()),
        "this test needs python3: sudo apt-get install python3"
    );
    Program::start("python3", &[&["-u"], arguments].concat())
}
