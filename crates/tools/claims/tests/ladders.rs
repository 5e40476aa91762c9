//! The deck's diagrams of WebSocket, MQTT and AMQP are what crosses when the programs
//! run: the wiretap between them draws each (`--mermaid`), and it must be the one in
//! slides/diagrams. With UPDATE_DIAGRAMS=1 those that differ are written anew.
//!
//! Five things are this file's, not the wiretap's: the excerpt, which is so many lines in
//! a row, of one connection, or of messages with certain names (`way_of_a_task`); what a
//! label leaves out, so that a class can read it (`short`); that a worker is killed, which
//! is no message; the order and the names of those who talk; and the comment on top.

#[path = "examples/mod.rs"]
mod examples;
#[path = "../../../tcp-echo/tests/program/mod.rs"]
mod program;

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;
use std::{env, fs};

use brokers::{Broker, Kind};
use program::{PATIENCE, Program};
use wiretap::{Event, Options, Wiretap};

const NOTE: &str = "%% As captured by wiretap --mermaid; made by crates/tools/claims/tests/ladders.rs\n";

/// A wiretap before a server, which draws what crosses.
struct Tap {
    wiretap: Wiretap,
    crossed: Receiver<String>,
    folder: tempfile::TempDir,
}

impl Tap {
    fn start(target: &str) -> Tap {
        let (sender, crossed) = mpsc::channel();
        let tell = move |line: wiretap::Line| {
            if let Event::Message(message, _) = line.event {
                let _ = sender.send(message.name);
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let mermaid = Some(folder.path().join("ladder.mmd"));
        let options = Options { mermaid, ..Options::default() };
        let listen = (Ipv4Addr::LOCALHOST, 0).into();
        let wiretap = Wiretap::start(listen, target, options, tell).unwrap();
        Tap { wiretap, crossed, folder }
    }

    /// Where clients are to connect to: the scheme, and the wiretap's address.
    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.wiretap.address())
    }

    /// Waits until so many messages more have crossed.
    fn wait_for(&self, count: usize) {
        self.wait_for_those(count, |_| true);
    }

    /// The same for messages of a name.
    fn wait_for_those(&self, count: usize, is_wanted: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut left = count;
        while left > 0 {
            let wait = deadline.saturating_duration_since(Instant::now());
            let crossed = self.crossed.recv_timeout(wait);
            let name =
                crossed.unwrap_or_else(|_| panic!("{left} of {count} never crossed"));
            left -= usize::from(is_wanted(&name));
        }
    }

    /// Ends it; returns the lines of its diagram, without the participants.
    fn stop(self) -> Vec<String> {
        self.wiretap.stop().unwrap();
        let text = fs::read_to_string(self.folder.path().join("ladder.mmd")).unwrap();
        let mut lines = text.lines().map(str::to_string);
        assert_eq!(lines.next().as_deref(), Some("sequenceDiagram"));
        lines.filter(|line| !line.trim().starts_with("participant ")).collect()
    }
}

/// Asserts that the diagram in the deck shows those who are named, and `count` lines
/// from the first that has `from` in it on.
fn assert_drawn(
    name: &str,
    names: &[&str],
    lines: &[String],
    (from, count): (&str, usize),
) {
    let first = lines.iter().position(|line| line.contains(from));
    let first = first.unwrap_or_else(|| panic!("no {from} in {lines:#?}"));
    let excerpt: Vec<_> = lines.iter().skip(first).take(count).collect();
    assert_eq!(excerpt.len(), count, "{lines:#?}");
    let mut drawn = format!("{NOTE}sequenceDiagram\n");
    names.iter().for_each(|name| drawn += &format!("    participant {name}\n"));
    excerpt.iter().for_each(|line| drawn += &format!("{}\n", short(line)));

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../slides/diagrams");
    let path = path.join(name);
    let committed = fs::read_to_string(&path).unwrap_or_default();
    if comparable(&committed) == comparable(&drawn) {
        return;
    }
    let is_update = env::var_os("UPDATE_DIAGRAMS").is_some_and(|value| value == "1");
    assert!(
        is_update,
        "{name} shows:\n{committed}\nit is now:\n{drawn}\nUPDATE_DIAGRAMS=1 writes it"
    );
    fs::write(&path, drawn).unwrap();
}

/// A label without what the slide does not speak of. A frame's FIN, which says that the
/// message has no further frame, would be taken for the FIN of TCP.
fn short(line: &str) -> String {
    line.replace(
        "101 Switching Protocols, upgrade to websocket",
        "101 Switching Protocols",
    )
    .replace("text frame FIN, masked ", "text frame, masked: ")
    .replace("text frame FIN ", "text frame: ")
    .replace(", topic home/room ", ": ")
    .replace("exchange '', ", "")
    .replace(", mandatory", "")
    .replace("delivery-tag", "tag")
    .replace("channel 1, ", "")
}

/// A diagram without what differs from run to run: a client's port `[54321]`, a
/// temperature `21.50` and, where a broker does not wait for one client before it talks
/// to another, which of two connections is first. Each keeps its own order.
fn comparable(diagram: &str) -> Vec<String> {
    let mut lines: Vec<_> = diagram.lines().map(without_chance).collect();
    let is_of_second =
        |line: &String| line.split(": ").next().is_some_and(|way| way.contains("C2"));
    if diagram.contains("C1 as Subscriber") {
        lines.sort_by_key(is_of_second);
    }
    lines
}

/// The port and the temperature are words of their own: `[54321]:` and `21.50`.
fn without_chance(line: &str) -> String {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let words = line.split(' ').map(|word| {
        let port = word.strip_prefix('[').and_then(|word| word.split_once(']'));
        match (port, word.split_once('.')) {
            (Some((port, rest)), _) if is_number(port) => format!("[<port>]{rest}"),
            (_, Some((whole, part)))
                if whole.len() == 2
                    && part.len() == 2
                    && is_number(whole)
                    && is_number(part) =>
            {
                "<temperature>".to_string()
            }
            _ => word.to_string(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn path(package: &str, binary: &str) -> PathBuf {
    examples::program(package, binary)
}

fn start(package: &str, binary: &str, arguments: &[&str]) -> Program {
    Program::start(path(package, binary).to_str().unwrap(), arguments)
}

/// A chat client at which somebody types. It ends at the end of its input.
fn start_chat_client(url: &str) -> Child {
    let mut command = Command::new(path("ws-chat", "ws-client"));
    command.arg(url).stdin(Stdio::piped());
    // What it shows is what crosses.
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn say(client: &mut Child, text: &str) {
    writeln!(client.stdin.as_mut().unwrap(), "{text}").unwrap();
}

#[test]
fn the_diagram_of_websocket_is_an_upgrade_each_and_then_messages_both_ways() {
    let mut server = start("ws-chat", "ws-server", &["127.0.0.1:0"]);
    let address = server.address("WebSocket server on ws://");
    let tap = Tap::start(&address.to_string());
    let mut clients = [(), ()].map(|()| {
        let client = start_chat_client(&tap.url("ws"));
        server.wait_for("Client connected: ");
        tap.wait_for(2);
        client
    });
    for (client, text) in clients.iter_mut().zip(["Hello, everyone", "Hello, you"]) {
        say(client, text);
        tap.wait_for(2);
    }
    let lines = tap.stop();
    let names = ["C1 as Client 1", "S as Server", "C2 as Client 2"];
    // From the second one's request on: the first one's was the same.
    assert_drawn("websocket.mmd", &names, &lines, ("C2->>S: GET ", 6));
    for mut client in clients {
        // Its connection has gone with the wiretap.
        client.wait().unwrap();
    }
}

/// Runs a subscriber and a publisher of one temperature, until so many packets of it
/// have crossed: on the way to the broker, and on the way from there.
fn assert_temperature_is_drawn(qos: &str, packets: usize) {
    let broker = Broker::start(Kind::Mosquitto).unwrap();
    let tap = Tap::start(broker.url().trim_start_matches("mqtt://"));
    let url = tap.url("mqtt");
    let common = ["--broker", &url, "--qos", qos, "--topic", "home/room"];
    let mut subscriber = start("mqtt-temperature", "mqtt-subscriber", &common);
    subscriber.wait_for("Subscribed to ");
    // CONNECT, SUBSCRIBE, and their answers.
    tap.wait_for(4);
    // The second one would come in an hour.
    let arguments = [&common[..], &["--interval", "3600"]].concat();
    let publisher = start("mqtt-temperature", "mqtt-publisher", &arguments);
    // CONNECT, PUBLISH of the status, and their answers.
    tap.wait_for(4 + packets);
    let lines = tap.stop();
    drop(publisher);
    let excerpt = ("packet 2, topic home/room", packets);
    let names = ["C2 as Publisher", "S as Broker", "C1 as Subscriber"];
    assert_drawn(&format!("mqtt-qos-{qos}-both-ways.mmd"), &names, &lines, excerpt);
    // Half of them, those of the publisher's connection.
    let of_publisher = |line: &&String| line.contains("C2");
    let lines: Vec<_> = lines.iter().filter(of_publisher).cloned().collect();
    let (names, excerpt) = (&names[..2], (excerpt.0, packets / 2));
    assert_drawn(&format!("mqtt-qos-{qos}.mmd"), names, &lines, excerpt);
}

#[test]
fn the_diagram_of_qos_1_is_two_packets_on_each_way() {
    assert_temperature_is_drawn("1", 4);
}

#[test]
fn the_diagram_of_qos_2_is_four_packets_on_each_way() {
    assert_temperature_is_drawn("2", 8);
}

/// Of a task's way the messages that are named here, and of a delivery only its number and whether it is another one. Before worker 2 gets
/// the task, worker 1 was killed.
fn way_of_a_task(lines: &[String]) -> Vec<String> {
    let is_shown = |line: &&String| {
        let names = ["basic.publish ", "basic.ack ", "basic.deliver "];
        names.iter().any(|name| line.contains(&format!(": {name}")))
    };
    let shown = lines.iter().filter(is_shown).map(|line| {
        let line = line.replace("channel 1 ", "");
        match line.split_once("consumer 'amq.ctag-...', ") {
            Some((start, rest)) => {
                let end = rest.find(", exchange").or(rest.find(",..."));
                format!("{start}{}", &rest[..end.unwrap_or(rest.len())])
            }
            None => line,
        }
    });
    let mut shown: Vec<_> = shown.collect();
    let killed = shown.iter().position(|line| line.contains("C3"));
    let killed = killed.expect("worker 2 gets the task");
    let death =
        ["Note over C2: killed at work", "destroy C2", "C2-xS: the connection ends"];
    shown.splice(killed..killed, death.map(|line| format!("    {line}")));
    shown
}

#[test]
fn the_diagrams_of_amqp_are_a_task_its_confirm_and_its_two_deliveries() {
    let broker = Broker::start(Kind::RabbitMq).unwrap();
    let tap = Tap::start(broker.url().trim_start_matches("amqp://"));
    let url = tap.url("amqp");
    let common = ["--broker", &url, "--queue", "tasks"];
    let producer = [&common[..], &["resize photo"]].concat();
    let ended = start("rabbitmq-tasks", "rabbitmq-producer", &producer).end();
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    // Would take an hour, and is killed by being dropped.
    let slow = [&common[..], &["--work", "3600"]].concat();
    let mut worker = start("rabbitmq-tasks", "rabbitmq-worker", &slow);
    worker.wait_for("Received: ");
    drop(worker);
    let quick = [&common[..], &["--work", "0.001"]].concat();
    let mut worker = start("rabbitmq-tasks", "rabbitmq-worker", &quick);
    worker.wait_for("Done: ");
    tap.wait_for_those(2, |name| name == "basic.ack");
    let names = ["C1 as Producer", "S as Broker", "C2 as Worker 1", "C3 as Worker 2"];
    let lines = tap.stop();
    // Before it come those that open a connection and a channel, and the queue's.
    assert_drawn("amqp.mmd", &names[..2], &lines, ("confirm.select ", 6));
    assert_drawn("tasks.mmd", &names, &way_of_a_task(&lines), ("basic.publish ", 8));
}
