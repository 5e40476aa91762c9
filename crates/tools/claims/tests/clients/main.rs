//! What holds for the clients of all echo examples, and takes a special environment.
#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]

#[path = "../examples/mod.rs"]
mod examples;
#[path = "../../../../tcp-echo/tests/program/mod.rs"]
mod program;

use std::env;
use std::process::Command;

use program::Program;

/// The examples: the crate, the beginning of its programs' names, and the ready line.
const EXAMPLES: [[&str; 3]; 5] = [
    ["tcp-echo", "tcp", "TCP server listening on "],
    ["udp-echo", "udp", "UDP server listening on "],
    ["threaded-tcp-echo", "threaded-tcp", "Threaded TCP server listening on "],
    ["async-tcp-echo", "async-tcp", "Async TCP server listening on "],
    ["async-udp-echo", "async-udp", "Async UDP server listening on "],
];

fn path(package: &str, prefix: &str, role: &str) -> String {
    let path = examples::program(package, &format!("{prefix}-{role}"));
    path.to_str().expect("a path in UTF-8").to_string()
}

/// `localhost` has two addresses. That one of them is of no use must not matter.
#[test]
fn every_address_is_tried_even_where_ipv6_sockets_cannot_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("no_ipv6.so");
    let mut compiler = Command::new(env::var_os("RUSTC").unwrap_or("rustc".into()));
    compiler.args(["--edition", "2024", "--crate-type", "cdylib", "-o"]);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/no_ipv6.rs");
    assert!(compiler.arg(&library).arg(source).status().unwrap().success());
    let library = library.display();
    for [package, prefix, ready] in EXAMPLES {
        let server = path(package, prefix, "server");
        let mut server = Program::start(&server, &["127.0.0.1:0"]);
        let port = server.address(ready).port();
        let client = path(package, prefix, "client");
        let run = |host: &str| {
            let command = format!("LD_PRELOAD={library} exec {client} {host}:{port}");
            Program::run("/bin/sh", &["-c", &command])
        };
        // It is as it should be: IPv6 alone fails, and not as a closed port would.
        let alone = run("[::1]");
        assert_eq!(alone.code, Some(1), "{client}");
        let hints = alone.errors.contains("is the server running");
        assert!(!hints, "{client}: {}", alone.errors);
        let both = run("localhost");
        assert_eq!(both.code, Some(0), "{client}: {}", both.errors);
    }
}

/// The system's own time limits are longer than any of ours: so it is left out of them,
/// and the manual says so.
#[test]
fn every_manual_says_that_looking_a_name_up_is_not_bounded() {
    for [package, prefix, _] in EXAMPLES {
        let client = path(package, prefix, "client");
        let manual = Program::run(&client, &["--help"]).output.join(" ");
        let said = "Looking a name up takes as long as the system lets it";
        assert!(manual.contains(said), "{client}: {manual}");
    }
}
