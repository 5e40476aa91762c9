//! The judge is judged: right programs pass, and wrong ones fail what they break and
//! nothing else. It takes minutes, so `make mutants` runs it, and `make test` does not.
#![cfg(unix)]

mod examples;
#[allow(dead_code)] // The rest is for the rules.
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use source::{name, read, root};

/// A program with one thing changed, and the promises that it then breaks.
struct Patch {
    example: &'static str,
    program: &'static str,
    /// What is in its source, and what stands there instead.
    change: [&'static str; 2],
    breaks: &'static [&'static str],
}

const fn patch(
    [example, program]: [&'static str; 2],
    change: [&'static str; 2],
    breaks: &'static [&'static str],
) -> Patch {
    Patch { example, program, change, breaks }
}

const TCP_SERVER: [&str; 2] = ["tcp-echo", "tcp-server"];
const TCP_CLIENT: [&str; 2] = ["tcp-echo", "tcp-client"];
const UDP_SERVER: [&str; 2] = ["udp-echo", "udp-server"];
const UDP_CLIENT: [&str; 2] = ["udp-echo", "udp-client"];
const LINES_SERVER: [&str; 2] = ["tcp-messages", "lines-server"];

const KEEPALIVE: &str = "an accepted connection has a keepalive timer";
const CONTROL: &str =
    "control characters are replaced where they are printed and text is not";

const PATCHES: [Patch; 19] = [
    patch(
        TCP_SERVER,
        ["socket.set_tcp_keepalive(&silence)?;", "let _ = silence;"],
        &[KEEPALIVE],
    ),
    patch(
        TCP_SERVER,
        ["socket.set_reuse_address(true)?;", "{}"],
        &[
            "the server restarts at once on its port while a client holds a connection",
        ],
    ),
    patch(
        TCP_SERVER,
        ["char::is_control", "|c: char| c.is_ascii_control()"],
        &[CONTROL],
    ),
    patch(
        TCP_SERVER,
        ["thread::sleep(PAUSE);", "return Err(error);"],
        &["after a client that resets or vanishes the next one is served"],
    ),
    patch(
        TCP_SERVER,
        ["[0; 1024]", "[0; 512]"],
        &["five sends come back complete though reads do not match sends"],
    ),
    patch(
        TCP_CLIENT,
        [
            "reply.read_to_end(&mut echo)",
            "{ echo.resize(300_000, 0); reply.read(&mut echo) }.map(|n| echo.truncate(n))",
        ],
        &["the client reads on when a reply comes in pieces"],
    ),
    patch(
        TCP_CLIENT,
        ["connection.take(message.len() as u64 + 1)", "connection.take(u64::MAX)"],
        &["the client reports a wrong a short and an endless reply"],
    ),
    patch(
        UDP_SERVER,
        ["vec![0; MAX_DATAGRAM]", "vec![0; 1024]"],
        &[
            "a client sends the largest datagram and prints its beginning",
            "the largest datagram and bytes that are not utf 8 come back whole",
        ],
    ),
    patch(
        UDP_SERVER,
        ["[0, port].contains", "[0, 0 * port].contains"],
        &["a datagram from the servers own port is not answered"],
    ),
    patch(
        UDP_SERVER,
        ["shown(datagram)", "printable(datagram)"],
        &["an empty datagram does not stop the server"],
    ),
    patch(
        UDP_SERVER,
        ["char::is_control", "|c: char| c.is_ascii_control()"],
        &[CONTROL],
    ),
    patch(
        UDP_CLIENT,
        ["1..=3", "1..=1"],
        &[
            "a lost datagram is sent again",
            "without an answer the client tries three times and gives up",
        ],
    ),
    patch(
        UDP_CLIENT,
        ["if peer != server", "if peer.port() == 0"],
        &["the client ignores strangers and refuses a wrong echo"],
    ),
    patch(
        LINES_SERVER,
        ["MAX_LINE: u64 = 4096", "MAX_LINE: u64 = 4095"],
        &["a line of 4096 bytes is kept and a longer one ends the connection"],
    ),
    patch(
        LINES_SERVER,
        ["SockRef::from(&client).set_tcp_keepalive(&silence)?;", "let _ = silence;"],
        &[KEEPALIVE],
    ),
    patch(
        LINES_SERVER,
        ["store.len() < MAX_KEYS ||", "store.len() <= MAX_KEYS ||"],
        &["the store takes a hundred keys of 32 bytes and no more"],
    ),
    patch(
        LINES_SERVER,
        ["client.set_write_timeout(Some(Duration::from_secs(4)))?;", ""],
        &["a client that sends and never reads harms nobody and is let go"],
    ),
    patch(
        LINES_SERVER,
        ["let _ = io::copy(&mut reader, &mut io::sink());", ""],
        &[
            "a line without an end takes no memory",
            "what follows a line that is too long does not destroy the error",
        ],
    ),
    patch(
        LINES_SERVER,
        ["< 1000 + 2", "< 100 + 2"],
        &[
            "the next client after a thousand waits for one to leave",
            "three hundred clients at once are all served",
        ],
    ),
];

/// The promises that fail with these programs in the places of ours, and how many do not.
fn judge(example: &str, programs: &[(&str, String)]) -> (BTreeSet<String>, usize) {
    let mut judge = Command::new(examples::program("lab", "lab"));
    judge.args(["judge", example, "--json"]).stderr(Stdio::inherit());
    for (name, command) in programs {
        judge.args(["--program", &format!("{name}={command}")]);
    }
    let judged = judge.output().unwrap();
    let verdict: Value = serde_json::from_slice(&judged.stdout).unwrap();
    assert!(verdict["problem"].is_null(), "{example}: {}", verdict["problem"]);
    let stages = verdict["stages"].as_array().unwrap().iter();
    let promises = stages.flat_map(|stage| stage["promises"].as_array().unwrap());
    let (passed, failed): (Vec<_>, Vec<_>) =
        promises.partition(|promise| promise["passed"] == true);
    let sentence = |it: &Value| it["sentence"].as_str().unwrap().to_string();
    (failed.into_iter().map(sentence).collect(), passed.len())
}

/// A copy of an example outside the workspace, to be changed; it is built where the last
/// one was, so that its dependencies are built once.
fn copy(example: &str) -> PathBuf {
    let copy = root().join("target/mutants").join(example);
    fs::create_dir_all(copy.join("src/bin")).unwrap();
    let original = root().join("crates").join(example);
    let manifest = read(&original.join("Cargo.toml")) + "\n[workspace]\n";
    fs::write(copy.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root().join("Cargo.lock"), copy.join("Cargo.lock")).unwrap();
    for file in fs::read_dir(original.join("src/bin")).unwrap() {
        let path = file.unwrap().path();
        let to = copy.join("src/bin").join(path.file_name().unwrap());
        fs::copy(&path, to).unwrap();
    }
    copy
}

/// Builds the program with its change; returns where it is.
fn build(patch: &Patch, number: usize) -> PathBuf {
    let folder = copy(patch.example);
    let source = folder.join(format!("src/bin/{}.rs", patch.program));
    let text = read(&source);
    let [old, new] = patch.change;
    assert_eq!(text.matches(old).count(), 1, "{}: '{old}'", patch.program);
    fs::write(&source, text.replace(old, new)).unwrap();
    let target = root().join("target/mutants/target");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "-q", "--bin", patch.program]).current_dir(&folder);
    cargo.env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", "-Awarnings");
    assert!(cargo.status().unwrap().success(), "{}: '{new}'", patch.program);
    let built = target.join(format!("{number}-{}", patch.program));
    fs::copy(target.join("debug").join(patch.program), &built).unwrap();
    built
}

#[test]
fn every_program_of_the_workspace_keeps_every_promise() {
    for folder in source::examples() {
        if !folder.join("tests/lecture.rs").exists() {
            continue;
        }
        let mut programs = Vec::new();
        for file in fs::read_dir(folder.join("src/bin")).unwrap() {
            let path = file.unwrap().path();
            let built = examples::program(name(&folder), name(&path));
            programs.push((name(&path).to_string(), built.display().to_string()));
        }
        let programs: Vec<(&str, String)> =
            programs.iter().map(|(name, path)| (&**name, path.clone())).collect();
        let (failed, passed) = judge(name(&folder), &programs);
        assert_eq!(failed, BTreeSet::new(), "{}", folder.display());
        println!("{:20} {passed} kept", name(&folder));
    }
}

#[test]
fn a_wrong_program_breaks_what_it_should_and_nothing_else() {
    let mut wrong = Vec::new();
    for (number, patch) in PATCHES.iter().enumerate() {
        let built = build(patch, number).display().to_string();
        let (failed, _) = judge(patch.example, &[(patch.program, built)]);
        let expected = patch.breaks.iter().map(ToString::to_string).collect();
        let [old, new] = patch.change;
        println!("{}: '{old}' -> '{new}': {failed:?}", patch.program);
        if failed != expected {
            wrong.push(format!("{}: '{new}' breaks {failed:?}", patch.program));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Written from the READMEs alone.
#[test]
fn programs_in_another_language_keep_every_promise() {
    for (example, program) in [TCP_SERVER, UDP_SERVER].map(|[a, b]| (a, b)) {
        let file = format!("tests/judged/{}.py", program.replace('-', "_"));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let command = format!("python3 {}", path.display());
        let (failed, passed) = judge(example, &[(program, command)]);
        assert_eq!(failed, BTreeSet::new(), "{program}");
        println!("{program}.py: {passed} kept");
    }
}
