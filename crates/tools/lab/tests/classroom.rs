//! Opens the chat to a network that the test makes itself: the lecturer's machine, and a
//! host for each student, joined by a bridge. The machine's own network is never touched.
#![cfg(target_os = "linux")] // Others have no network namespaces.

#[path = "../../../tcp-echo/tests/program/mod.rs"]
mod program;
mod tty;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::{env, fs};

use program::{PATIENCE, Program};
use rqrr::PreparedImage;
use tty::Terminal;
use vt100::{Cell, Color};

const LAB: &str = env!("CARGO_BIN_EXE_lab");
const ADDRESS: &str = "10.77.0.1:8765";

/// Runs the check in a network of its own, which ends with it, and where this process is
/// root: the test of this name runs once more there.
fn in_own_network(test: &str, check: impl FnOnce()) {
    if env::var_os("OWN_NETWORK").is_some() {
        return check();
    }
    let script = r#"exec unshare --user --map-root-user --net sh -c '
        ip link set lo up && OWN_NETWORK=yes exec "$0" --exact "$1"' "$0" "$1""#;
    let tests = env::current_exe().unwrap();
    let mut ended =
        Program::start("sh", &["-c", script, tests.to_str().unwrap(), test]);
    ended.patience = 4 * PATIENCE;
    let ended = ended.end();
    let output = ended.output.join("\n");
    // A test that is not found fails nothing: that one has passed must be there.
    assert!(
        ended.code == Some(0) && output.contains("1 passed"),
        "{output}\n{}\nThis test needs user namespaces, and the commands unshare, nsenter \
         and ip: apt-get install util-linux iproute2",
        ended.errors
    );
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.expect("ip is needed").success(), "ip {arguments}");
}

/// The network of the room, which the lecturer's machine has joined.
fn make_room() {
    // Else the bridge takes the lowest address of its cables, and another one when that
    // cable is pulled.
    ip("link add room address 02:00:00:00:00:01 type bridge");
    ip("addr add 10.77.0.1/24 dev room");
    ip("link set room up");
}

/// A student's host: a network namespace with a cable to the room.
struct Host {
    number: usize,
    /// Keeps the namespace.
    keeper: Program,
}

impl Host {
    fn join(number: usize) -> Host {
        let script = "echo in; exec sleep 60";
        let mut keeper = Program::start("unshare", &["--net", "sh", "-c", script]);
        keeper.wait_for("in");
        let host = Host { number, keeper };
        ip(&format!("link add s{number} type veth peer name h{number}"));
        ip(&format!("link set s{number} master room up"));
        ip(&format!("link set h{number} netns {}", host.keeper.child.id()));
        let address = format!("10.77.0.{}/24", 10 + number);
        for arguments in ["addr add ADDRESS dev h", "link set h"] {
            let command = arguments.replace("ADDRESS", &address);
            let up = if command.starts_with("link") { " up" } else { "" };
            let command = format!("ip {command}{number}{up}");
            let words: Vec<&str> = command.split(' ').collect();
            assert_eq!(host.start(&words).end().code, Some(0), "{command}");
        }
        host
    }

    /// Starts a command on this host.
    fn start(&self, words: &[&str]) -> Program {
        let id = self.keeper.child.id().to_string();
        let arguments = ["--target", &id, "--net", "--"];
        Program::start_with_input("nsenter", &[&arguments[..], words].concat())
    }

    fn chat(&self) -> Program {
        let client = env::current_exe().unwrap();
        let client = client.ancestors().nth(2).unwrap().join("ws-client");
        let url = format!("ws://{ADDRESS}");
        let mut client = self.start(&[client.to_str().unwrap(), &url]);
        client.wait_for("Connected to server");
        client
    }

    fn pull_cable(&self) {
        ip(&format!("link del s{}", self.number));
    }
}

/// Builds the client that students run; the server is built by the command itself.
fn build_client() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "-p", "ws-chat", "--bin", "ws-client"]);
    assert!(cargo.status().unwrap().success());
}

/// A lecturer who has typed this, and has not yet said yes.
fn lecturer() -> Terminal {
    Terminal::run(60, 100, &["classroom"], &[])
}

/// What a phone's camera reads off the terminal.
fn scan(terminal: &Terminal) -> String {
    let shown = terminal.shown.lock().unwrap();
    let screen = shown.parser.screen();
    // A cell is two pixels, one above the other.
    let is_light = |x: usize, y: usize| {
        let cell = screen.cell(y as u16 / 2, x as u16).unwrap();
        let ink = match (cell.contents(), y % 2) {
            ("\u{2588}", _) | ("\u{2580}", 0) | ("\u{2584}", 1) => Cell::fgcolor,
            _ => Cell::bgcolor,
        };
        ink(cell) == Color::Idx(231)
    };
    // Four dots for a pixel.
    let dot = |x: usize, y: usize| if is_light(x / 4, y / 4) { 255 } else { 0 };
    let mut picture = PreparedImage::prepare_from_greyscale(400, 480, dot);
    let codes = picture.detect_grids();
    assert_eq!(codes.len(), 1, "codes in:\n{}", screen.contents());
    codes[0].decode().unwrap().1
}

/// The first line of the answer to a request for a WebSocket from a page of this origin,
/// and the connection.
fn join_from(origin: &str) -> (String, TcpStream) {
    let mut tcp = TcpStream::connect(ADDRESS).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        tcp,
        "GET / HTTP/1.1\r\nHost: {ADDRESS}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .unwrap();
    let mut status = [0; 12];
    tcp.read_exact(&mut status).unwrap();
    (String::from_utf8_lossy(&status).into_owned(), tcp)
}

#[test]
fn a_class_talks_whatever_a_slow_and_a_vanished_phone_do() {
    in_own_network("a_class_talks_whatever_a_slow_and_a_vanished_phone_do", || {
        make_room();
        build_client();
        let mut lecturer = lecturer();
        lecturer.wait_for("Nothing is encrypted and there are no passwords");
        lecturer
            .wait_for("Everybody in the network of 10.77.0.1 will reach the chat");
        lecturer.wait_for("Enter: open the chat");
        assert!(TcpStream::connect(ADDRESS).is_err(), "open before anybody said yes");
        lecturer.press("\n");
        lecturer.wait_for(&format!("Open http://{ADDRESS}"));
        assert_eq!(scan(&lecturer), format!("http://{ADDRESS}"));
        assert!(
            TcpStream::connect("127.0.0.1:8765").is_err(),
            "one address is enough"
        );

        let hosts: Vec<Host> = (1..=4).map(Host::join).collect();
        let mut phones: Vec<Program> = hosts.iter().map(Host::chat).collect();
        for host in 11..=14 {
            lecturer.wait_for(&format!("Client connected: 10.77.0.{host}:"));
        }
        lecturer.wait_for("4 here");
        // Eva's cable is pulled, Leo's phone stops reading.
        let [ana, rui, leo, _eva] = &mut phones[..] else { panic!() };
        hosts[3].pull_cable();
        leo.signal("STOP");
        // More than every buffer on the way to Leo holds.
        let long = "x".repeat(30_000);
        for n in 0..400 {
            ana.type_in(format!("{n} {long}\n"));
            let heard = rui.wait_for("[");
            assert!(heard.contains(&format!("]: {n} x")), "{n}: {heard:.40}");
        }
        rui.type_in("Hello, Ana\n");
        ana.wait_for("[");
        drop(phones);
        lecturer.wait_for("Client disconnected: 10.77.0.12:");
        assert!(!lecturer.text().contains("Hello, Ana"), "what is said is not shown");

        // The page of this very server may join, and no other.
        assert_eq!(join_from(&format!("http://{ADDRESS}")).0, "HTTP/1.1 101");
        assert_eq!(join_from("http://10.77.0.99").0, "HTTP/1.1 403");
        lecturer.wait_for("--allow-origin http://10.77.0.99");
        lecturer.wait_for("Client connected: 10.77.0.1:");
        lecturer.press("\u{3}");
        lecturer.wait_for("The chat has ended. 5 took part, at most 4 at once.");
        assert_eq!(lecturer.end().code(), Some(0));
        assert!(TcpStream::connect(ADDRESS).is_err(), "it listens on");
    });
}

#[test]
fn a_full_chat_is_told_of() {
    in_own_network("a_full_chat_is_told_of", || {
        make_room();
        rlimit::increase_nofile_limit(4096).unwrap();
        let mut lecturer = lecturer();
        lecturer.wait_for("Enter: open the chat");
        lecturer.press("\n");
        lecturer.wait_for(&format!("Open http://{ADDRESS}"));
        let join = || join_from(&format!("http://{ADDRESS}"));
        let mut clients: Vec<_> = (0..999).map(|_| join()).collect();
        lecturer.wait_for("999 here");
        assert!(!lecturer.bytes().contains("is full"));
        clients.push(join());
        lecturer.wait_for("The chat is full with 1000 clients: nobody else gets in");
        assert!(clients.iter().all(|(status, _)| status == "HTTP/1.1 101"));
        assert_eq!(join().0, "HTTP/1.1 503");
    });
}

/// Of the wiretap, whose `--listen` anybody may choose, this says nothing.
#[test]
fn no_scene_and_no_other_command_names_more_than_loopback() {
    let crates = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut files = Command::new("find");
    files.args([crates, "-name", "*.rs", "-o", "-name", "demo*.toml"]);
    let files = String::from_utf8(files.output().unwrap().stdout).unwrap();
    let is_meant = |path: &&str| {
        let tools = ["tools/lab/src/", "tools/brokers/src/", "tools/scoreboard/src/"];
        let is_of_tool = tools.iter().any(|tool| path.contains(tool));
        path.ends_with(".toml") || is_of_tool && !path.ends_with("/classroom.rs")
    };
    let files: Vec<&str> = files.lines().filter(is_meant).collect();
    assert!(files.len() > 40, "{files:?}");
    for path in files {
        let text = fs::read_to_string(path).unwrap();
        for open in ["0.0.0.0", "[::]", "UNSPECIFIED"] {
            assert!(!text.contains(open), "{path}: {open}");
        }
    }
}

#[test]
fn it_opens_nothing_without_a_network_a_choice_and_a_yes() {
    in_own_network("it_opens_nothing_without_a_network_a_choice_and_a_yes", || {
        let refuses = |arguments: &[&str], why: &str| {
            let ended = Program::run(LAB, &[&["classroom"], arguments].concat());
            assert_eq!(ended.code, Some(1), "{arguments:?}");
            assert!(ended.errors.contains(why), "{arguments:?}: {}", ended.errors);
            assert!(TcpStream::connect(ADDRESS).is_err());
        };
        refuses(&["--yes"], "no address but its own 127.0.0.1");
        make_room();
        refuses(&[], "needs your consent");
        refuses(&["--address", "0.0.0.0", "--yes"], "name one");
        refuses(
            &["--address", "10.77.0.9", "--yes"],
            "cannot listen on 10.77.0.9:8765",
        );

        let mut server = Program::start(LAB, &["classroom", "--yes"]);
        server.wait_for(&format!("Open http://{ADDRESS}"));
        server.signal("INT");
        assert_eq!(server.end().code, Some(0));

        ip("addr add 10.88.0.1/24 dev room");
        refuses(
            &["--yes"],
            "choose one by --address; 1: 10.77.0.1 (room), 2: 10.88.0.1",
        );
        let mut lecturer = lecturer();
        lecturer.wait_for("Which network are the students in?");
        lecturer.press("2\n");
        lecturer.wait_for("network of 10.88.0.1");
        lecturer.press("\n");
        lecturer.wait_for("Open http://10.88.0.1:8765");
        lecturer.press("q");
        assert_eq!(lecturer.end().code(), Some(0));
    });
}
