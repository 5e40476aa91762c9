//! What the tool promises on every system. What it does without a terminal, and at one,
//! is tested on Linux.

#[path = "../../../tcp-echo/tests/program/mod.rs"]
mod program;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use std::{env, fs, process};

use program::{PATIENCE, Program};

const LAB: &str = env!("CARGO_BIN_EXE_lab");

#[test]
fn the_tool_alone_says_what_it_can_do() {
    let alone = Program::run(LAB, &[]);
    assert_eq!((alone.code, alone.errors.as_str()), (Some(0), ""));
    let output = alone.output.join("\n");
    for command in ["demo", "judge", "brokers"] {
        assert!(output.contains(&format!("  {command} ")), "{output}");
    }
}

/// Its programs run by way of cargo, and are asked to end by Ctrl-C.
#[test]
fn a_scene_plays() {
    let mut demo = Program::start(LAB, &["demo", "tcp-echo/1"]);
    demo.patience = Duration::from_secs(120); // It may have to be built.
    let ended = demo.end();
    let output = ended.output.join("\n");
    assert_eq!(ended.code, Some(0), "{output}\n{}", ended.errors);
    assert!(output.contains("Played 1 of 1 scenes."), "{output}");
}

/// The server runs by way of cargo, so it is no child of the tool's own.
#[test]
fn what_a_killed_demo_has_started_ends_too() {
    let scene = "title = 'Test'\nslide = 'None'\nnotice = 'None'\n\
        [[step]]\nprogram = 'server'\nrun = 'cargo run -q -p tcp-echo -- 127.0.0.1:0'\n\
        expect = ['TCP server listening on {server}']\n\
        [[step]]\nprogram = 'server'\nsay = 'It waits at {server}'\nexpect = ['never']\nwithin = 100\n";
    let path = env::temp_dir().join(format!("lab-killed-{}.toml", process::id()));
    fs::write(&path, scene).unwrap();
    let mut demo = Program::start(LAB, &["demo", path.to_str().unwrap()]);
    demo.patience = Duration::from_secs(120); // It may have to be built.
    let address = demo.wait_for("1/1 It waits at ");
    let mut connection = TcpStream::connect(&address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.write_all(b"?").unwrap();
    connection.read_exact(&mut [0]).expect("the server runs");
    demo.kill();
    // A server that ran on would keep the connection, and the time would be up.
    let rest = connection.read(&mut [0]).map_err(|error| error.kind());
    let ended = [Ok(0), Err(std::io::ErrorKind::ConnectionReset)];
    assert!(ended.contains(&rest), "the server still runs: {rest:?}");
    fs::remove_file(path).unwrap();
}

/// On other systems judge.rs does this with scripts of the shell.
#[cfg(windows)]
#[test]
fn a_program_is_judged() {
    let judge = |program: &str| {
        let judged = ["judge", "tcp-echo", "--stage", "lecture", "--server", program];
        let mut judge = Program::start(LAB, &judged);
        judge.patience = Duration::from_secs(120);
        let ended = judge.end();
        (ended.code, format!("{}\n{}", ended.output.join("\n"), ended.errors))
    };
    let (code, report) = judge("cargo run -q -p tcp-echo --");
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("10 of 10 passed"), "{report}");
    let (code, report) = judge("cargo run -q -p tcp-echo --bin tcp-client --");
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("Nothing could be judged: it ended"), "{report}");
    let (code, report) = judge(r"no\such.exe");
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains(r"there is no program 'no\such.exe'"), "{report}");
}

#[cfg(windows)]
#[test]
fn who_wants_a_broker_is_told_to_start_it() {
    let brokers = Program::run(LAB, &["brokers"]);
    assert_eq!(brokers.code, Some(1));
    let said =
        "cannot be started on Windows by this tool: start it yourself, and set";
    assert!(brokers.errors.contains(said), "{}", brokers.errors);
}
