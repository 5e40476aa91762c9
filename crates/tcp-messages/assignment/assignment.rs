//! The graded assignment: version 2 of the line protocol, with `delete` and `watch`. No
//! program of this project passes it.

#[path = "../tests/program/mod.rs"]
mod program;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use program::{PATIENCE, Program};

fn start() -> (Program, SocketAddr) {
    let path = env!("CARGO_BIN_EXE_lines-server");
    let mut server = Program::start(path, &["127.0.0.1:0"]);
    let address = server.address("Lines server listening on ");
    (server, address)
}

/// A connection that asks, and reads one line at a time.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(server: SocketAddr) -> Client {
        let connection = TcpStream::connect_timeout(&server, PATIENCE).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection.set_write_timeout(Some(PATIENCE)).unwrap();
        Client(BufReader::new(connection))
    }

    fn send(&mut self, request: &str) {
        self.0.get_mut().write_all(format!("{request}\n").as_bytes()).unwrap();
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        let length = self.0.read_line(&mut line);
        length.unwrap_or_else(|error| panic!("expected a line: {error}"));
        assert!(line.ends_with('\n'), "expected a whole line, and got {line:?}");
        line.trim_end().to_string()
    }

    #[track_caller]
    fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    #[track_caller]
    fn ask(&mut self, request: &str) -> String {
        self.send(request);
        self.line()
    }

    #[track_caller]
    fn does(&mut self, request: &str) {
        assert_eq!(self.ask(request), "ok", "the reply to '{request}'");
    }
}

/// Hint: What does `get` say of a key that never was there?
#[test]
fn a_deleted_key_is_gone_and_deleting_it_again_is_an_error() {
    let (_server, address) = start();
    let mut client = Client::connect(address);
    client.does("set a 1");
    client.does("set b 2");
    client.does("delete a");
    assert!(client.ask("get a").starts_with("error "));
    assert!(client.ask("delete a").starts_with("error "));
    assert!(client.ask("delete").starts_with("error "));
    assert_eq!(client.ask("list"), "keys b");
    // A full store has room again.
    for number in 1..100 {
        client.does(&format!("set key{number} x"));
    }
    assert!(client.ask("set one-too-many x").starts_with("error "));
    client.does("delete key1");
    client.does("set one-too-many x");
}

/// Hint: Where is it decided which of two changes came first?
#[test]
fn all_watchers_hear_of_every_change_in_the_same_order() {
    let (_server, address) = start();
    let mut watchers: Vec<_> = (0..20).map(|_| Client::connect(address)).collect();
    watchers.iter_mut().for_each(|watcher| watcher.does("watch a"));
    let mut writers = [Client::connect(address), Client::connect(address)];
    for number in 0..50 {
        for (name, writer) in writers.iter_mut().enumerate() {
            writer.send(&format!("set a {number} of {name}"));
        }
    }
    for writer in &mut writers {
        (0..50).for_each(|_| writer.expect("ok"));
    }
    writers[0].does("delete a");
    let mut heard = watchers
        .iter_mut()
        .map(|watcher| (0..101).map(|_| watcher.line()).collect::<Vec<_>>());
    let first = heard.next().unwrap();
    assert!(first[..100].iter().all(|line| line.starts_with("changed a ")));
    for writer in 0..2 {
        let mine = format!(" of {writer}");
        let order: Vec<_> =
            first.iter().filter(|line| line.ends_with(&mine)).collect();
        let sent = (0..50).map(|number| format!("changed a {number}{mine}"));
        assert!(order.into_iter().eq(&sent.collect::<Vec<_>>()), "writer {writer}");
    }
    assert_eq!(first[100], "deleted a");
    heard.for_each(|other| assert_eq!(other, first));
}

/// Hint: Who wants to know, and of what?
#[test]
fn a_watcher_hears_of_its_own_keys_once_and_of_no_others() {
    let (_server, address) = start();
    let (mut watcher, mut writer) =
        (Client::connect(address), Client::connect(address));
    watcher.does("watch a");
    watcher.does("watch a");
    watcher.does("watch c");
    for request in ["set b 1", "set a 2", "delete b", "set aa 3", "set c 4"] {
        writer.does(request);
    }
    watcher.expect("changed a 2");
    watcher.expect("changed c 4");
    assert_eq!(watcher.ask("get a"), "value 2", "nothing else had come before");
}

/// Hint: Two threads write to one connection: what keeps their lines apart?
#[test]
fn a_change_never_comes_in_the_middle_of_a_reply() {
    let (_server, address) = start();
    let (mut watcher, mut writer) =
        (Client::connect(address), Client::connect(address));
    let long = "v".repeat(4000);
    writer.does(&format!("set long {long}"));
    watcher.does("watch a");
    for number in 0..200 {
        writer.send(&format!("set a {number}"));
        watcher.send("get long");
    }
    let (mut replies, mut changes) = (0, 0);
    while (replies, changes) != (200, 200) {
        let line = watcher.line();
        if line == format!("changed a {changes}") {
            changes += 1;
        } else {
            assert_eq!(
                line,
                format!("value {long}"),
                "after {replies} and {changes}"
            );
            replies += 1;
        }
    }
}

/// Hint: A change may come at any time, also to a client that says nothing for long.
#[test]
fn a_change_is_told_at_once_and_unasked() {
    let (_server, address) = start();
    let (mut watcher, mut writer) =
        (Client::connect(address), Client::connect(address));
    watcher.does("watch a");
    for number in 0..10 {
        let asked = Instant::now();
        writer.does(&format!("set a {number}"));
        watcher.expect(&format!("changed a {number}"));
        // A server that looks for changes now and then is not fast enough.
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    }
}

/// Hint: The client that makes the change may be a watcher itself.
#[test]
fn a_client_that_watches_its_own_key_gets_its_reply_and_the_change() {
    let (_server, address) = start();
    let mut client = Client::connect(address);
    client.does("watch a");
    for number in 0..100 {
        client.send(&format!("set a {number}"));
        let mut lines = [client.line(), client.line()];
        lines.sort();
        assert_eq!(lines, [format!("changed a {number}"), "ok".to_string()]);
    }
}

/// Hint: What becomes of a watch when its client is gone?
#[test]
fn watchers_that_leave_harm_nobody() {
    let (_server, address) = start();
    let mut writer = Client::connect(address);
    for round in 0..20 {
        let mut watchers: Vec<_> =
            (0..10).map(|_| Client::connect(address)).collect();
        watchers.iter_mut().for_each(|watcher| watcher.does("watch a"));
        let mut stays = watchers.pop().unwrap();
        drop(watchers);
        writer.does(&format!("set a {round}"));
        stays.expect(&format!("changed a {round}"));
    }
}

/// Hint: A lock that is held while the server writes to a client is held for as long as
/// that client likes.
/// Wiretap: --freeze-after 100
#[test]
fn a_watcher_that_does_not_read_holds_nobody_up() {
    let (_server, address) = start();
    let mut deaf = Client::connect(address);
    deaf.does("watch a");
    let mut watcher = Client::connect(address);
    watcher.does("watch a");
    let mut writer = Client::connect(address);
    let value = "v".repeat(4000);
    // 20 MB: more than the buffers between the server and a client hold.
    for number in 0..5000 {
        let asked = Instant::now();
        writer.does(&format!("set a {number} {value}"));
        watcher.expect(&format!("changed a {number} {value}"));
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(2), "change {number} took {took:?}");
    }
}

/// Hint: How much does the server keep for a client that does not read?
#[cfg(target_os = "linux")]
#[test]
fn a_watcher_that_does_not_read_makes_the_server_keep_little() {
    let (server, address) = start();
    let mut deaf: Vec<_> = (0..10).map(|_| Client::connect(address)).collect();
    deaf.iter_mut().for_each(|client| client.does("watch a"));
    let mut writer = Client::connect(address);
    let value = "v".repeat(4000);
    let memory = || {
        let status = format!("/proc/{}/status", server.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap()
    };
    let before = memory();
    (0..5000).for_each(|number| writer.does(&format!("set a {number} {value}")));
    let more = memory().saturating_sub(before);
    // Ten clients times 20 MB would be 200 MB.
    assert!(more < 32 * 1024, "the server has grown by {more} kB");
}
