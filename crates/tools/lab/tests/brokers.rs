//! Runs `lab brokers` as make and a student would.
#![cfg(target_os = "linux")] // It looks for processes in /proc.

#[path = "../../claims/tests/procfs/mod.rs"]
mod procfs;
#[path = "../../../tcp-echo/tests/program/mod.rs"]
mod program;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use brokers::{Broker, Kind};
use program::{Ended, Program};

const LAB: &str = env!("CARGO_BIN_EXE_lab");
/// RabbitMQ takes 3 to 6 seconds alone on a machine, and here several start at once.
const START: Duration = Duration::from_secs(60);
/// Prints the brokers' URLs, and lives on.
const TELL: &str = "echo $MQTT_URL; echo $AMQP_URL; exec sleep 1000";

/// `lab brokers` with that, and the addresses of its brokers.
struct Session {
    lab: Program,
    addresses: [SocketAddr; 2],
}

impl Session {
    fn start() -> Session {
        // make test has set them for the tests of the examples.
        let unset = ["-u", "MQTT_URL", "-u", "AMQP_URL"];
        let command = [LAB, "brokers", "--", "sh", "-c", TELL];
        let mut lab = Program::start("env", &[&unset[..], &command].concat());
        lab.patience = START;
        let mqtt = lab.address("mqtt://");
        let amqp = lab.address("amqp://");
        Session { lab, addresses: [mqtt, amqp] }
    }

    /// All processes that it has started: the brokers, what they need, the command.
    fn processes(&self) -> Vec<u32> {
        procfs::descendants(self.lab.child.id())
    }

    fn folders(&self) -> Vec<PathBuf> {
        let here = self.processes().into_iter().map(|process| {
            fs::read_link(format!("/proc/{process}/cwd")).unwrap_or_default()
        });
        let mut folders: Vec<PathBuf> =
            here.filter(|path| path.parent() == Some(&env::temp_dir())).collect();
        folders.sort();
        folders.dedup();
        folders
    }
}

/// Mosquitto acknowledges a connection, RabbitMQ names its properties first.
fn assert_both_answer(addresses: [SocketAddr; 2]) {
    use std::io::{Read, Write};
    let connect = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02me";
    let questions: [(&[u8], u8); 2] = [(connect, 0x20), (b"AMQP\x00\x00\x09\x01", 1)];
    for (address, (question, first)) in addresses.into_iter().zip(questions) {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(program::PATIENCE)).unwrap();
        client.write_all(question).unwrap();
        let mut answer = [0];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [first], "{address}");
    }
}

fn assert_nothing_left(processes: &[u32], folders: &[PathBuf]) {
    assert!(processes.len() >= 5, "the brokers, epmd, the guard: {processes:?}");
    assert_eq!(folders.len(), 2, "{folders:?}");
    for &process in processes {
        procfs::assert_gone(process);
    }
    for folder in folders {
        procfs::wait_until("a folder is gone", || !folder.exists());
    }
}

#[test]
fn two_pairs_of_brokers_run_side_by_side_and_end_with_their_commands() {
    let [one, mut other] = [Session::start(), Session::start()];
    assert_both_answer(one.addresses);
    assert_both_answer(other.addresses);
    let (processes, folders) = (one.processes(), one.folders());
    one.lab.signal("TERM");
    assert_eq!(
        one.lab.end().code,
        Some(128 + 15),
        "what the signal did to the command"
    );
    assert_nothing_left(&processes, &folders);
    assert!(other.lab.is_running());
    assert_both_answer(other.addresses);
}

#[test]
fn nothing_is_left_of_them_when_they_are_killed_with_no_chance_to_clean_up() {
    let session = Session::start();
    let (processes, folders) = (session.processes(), session.folders());
    session.lab.signal("KILL");
    assert_nothing_left(&processes, &folders);
}

#[test]
fn only_this_machine_reaches_them_and_root_does_not_run_them() {
    let session = Session::start();
    let processes = session.processes();
    let listening = procfs::listening(&processes);
    assert!(listening.len() >= 4, "mqtt, amqp, epmd, distribution: {listening:?}");
    for address in &listening {
        assert!(address.ip().is_loopback(), "{listening:?}");
    }
    for address in session.addresses {
        assert!(listening.contains(&address), "{address} in {listening:?}");
    }
    for process in processes {
        let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap();
        if name.starts_with("beam") || name.starts_with("mosquitto") {
            let owner = procfs::owner(process);
            assert_ne!(owner, 0, "root runs {name}");
        }
    }
}

#[test]
fn the_command_s_exit_status_is_passed_on_and_brokers_named_already_are_used() {
    let names = ["MQTT_URL=mqtt://broker.example", "AMQP_URL=amqp://broker.example"];
    let command = |script| [LAB, "brokers", "--", "sh", "-c", script];
    let script = "echo $MQTT_URL $AMQP_URL; exit 7";
    let ended = Program::run("env", &[&names[..], &command(script)].concat());
    assert_eq!(ended.code, Some(7));
    assert_eq!(ended.output, ["mqtt://broker.example amqp://broker.example"]);
    assert_eq!(ended.errors, "", "nothing had to be started");
    let missing = [&names[..], &[LAB, "brokers", "--", "no-such-program"]].concat();
    let ended = Program::run("env", &missing);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.errors.contains("cannot start no-such-program"),
        "{}",
        ended.errors
    );
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_started() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for kind in [Kind::Mosquitto, Kind::RabbitMq] {
        let Err(error) = Broker::start_on(kind, port) else { panic!("it started") };
        let said = format!("cannot start {} on port {port}: ", kind.name());
        assert_eq!(format!("{error:#}"), said + "the port is in use");
    }
}

/// A program in Mosquitto's place, and the brokers' answer to it. `$REAL` is Mosquitto,
/// `$PORT` where it is to listen.
fn with_a_mosquitto_that(script: &str, command: &str) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let everybody = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path(), everybody.clone()).unwrap();
    let path = folder.path().join("mosquitto");
    let real = Kind::Mosquitto.find().unwrap().display().to_string();
    let head = "PORT=$(sed -n 's/listener \\(.*\\) 127.*/\\1/p' $2)";
    fs::write(&path, format!("#!/bin/sh\nREAL={real}\n{head}\n{script}\n")).unwrap();
    fs::set_permissions(&path, everybody).unwrap();
    let search = format!("{}:{}", folder.path().display(), env::var("PATH").unwrap());
    let search = format!("PATH={search}");
    let set = ["-u", "MQTT_URL", "AMQP_URL=amqp://broker.example", &search];
    let lab = [LAB, "brokers", "--", "sh", "-c", command];
    Program::run("env", &[&set[..], &lab].concat())
}

/// Mosquitto 2.1 says that it runs before it listens.
#[test]
fn a_broker_is_ready_when_it_answers_whatever_its_log_says_before() {
    let script =
        "echo running mosquitto as user: somebody >&2; sleep 1; exec $REAL $@";
    // Nobody listens for a second: a client that came too early would be refused.
    let client = "exec 3<>/dev/tcp/127.0.0.1/${MQTT_URL##*:} && echo connected";
    let command = format!("exec bash -c '{client}'");
    let ended = with_a_mosquitto_that(script, &command);
    assert_eq!(ended.output, ["connected"], "{}", ended.errors);
}

#[test]
fn a_broker_that_ends_says_why_with_the_end_of_its_log() {
    let script = "echo running mosquitto as user: somebody >&2; echo no luck; exit 3";
    let ended = with_a_mosquitto_that(script, "true");
    assert_eq!(ended.code, Some(1));
    let said = "it ended with exit status: 3; the end of its log:\n    ";
    assert!(ended.errors.contains(said), "{}", ended.errors);
    assert!(ended.errors.contains("    no luck"), "{}", ended.errors);
}

/// Between the choice of a port and the start another broker may take it, and would
/// answer in the private one's place.
#[test]
fn another_broker_at_the_port_is_not_taken_for_the_private_one() {
    let other = "setsid timeout 5 $REAL -p $PORT >/dev/null 2>&1 &";
    let script =
        format!("{other}\necho running mosquitto as user >&2; sleep 1; exit 1");
    let ended = with_a_mosquitto_that(&script, "echo started");
    assert_eq!((ended.code, ended.output), (Some(1), Vec::new()));
    assert!(ended.errors.ends_with("the port is in use"), "{}", ended.errors);
}

/// Runs the one broker that the environment does not name, and kills its process.
fn assert_its_death_is_told(named: &str, unnamed: &str, process: &str, broker: &str) {
    let command = [LAB, "brokers", "--", "sh", "-c", TELL];
    let mut lab =
        Program::start("env", &[&["-u", unnamed, named], &command[..]].concat());
    lab.patience = START;
    lab.wait_for("");
    let processes = procfs::descendants(lab.child.id());
    let is_it = |id: &&u32| {
        fs::read_to_string(format!("/proc/{id}/comm")).unwrap().trim() == process
    };
    let id = processes.iter().find(is_it).expect("the broker").to_string();
    assert!(Command::new("kill").args(["-KILL", &id]).status().unwrap().success());
    let ended = lab.end();
    assert_eq!(ended.code, Some(1), "{}", ended.errors);
    let said = format!("Error: {broker} has ended; the end of its log:");
    assert!(ended.errors.contains(&said), "{}", ended.errors);
    processes.into_iter().for_each(procfs::assert_gone);
}

#[test]
fn mosquitto_s_death_ends_the_command_at_once_and_is_told() {
    assert_its_death_is_told("AMQP_URL=a", "MQTT_URL", "mosquitto", "Mosquitto");
}

#[test]
fn rabbitmq_s_death_ends_the_command_at_once_and_is_told() {
    assert_its_death_is_told("MQTT_URL=m", "AMQP_URL", "beam.smp", "RabbitMQ");
}

/// The student's `make brokers`. Here or elsewhere somebody has RabbitMQ's port.
#[test]
fn the_standard_ports_are_served_until_ctrl_c_and_one_that_is_taken_is_left_alone() {
    let [mqtt, _amqp] =
        [1883, 5672].map(|port| TcpListener::bind(("127.0.0.1", port)));
    let both = Program::run(LAB, &["brokers"]);
    assert_eq!(both.code, Some(1));
    let taken = |port, name| {
        format!("Port {port} is taken: use the broker there in {name}'s place")
    };
    assert_eq!(both.output, [taken(1883, "Mosquitto"), taken(5672, "RabbitMQ")]);
    assert_eq!(both.errors, "Error: nothing to start: both ports are taken");
    if mqtt.is_err() {
        return; // Somebody else has it, and will not give it away.
    }
    drop(mqtt);
    let mut one = Program::start(LAB, &["brokers"]);
    assert_eq!(
        one.wait_for("Port 5672"),
        taken(5672, "RabbitMQ")["Port 5672".len()..]
    );
    assert_eq!(one.wait_for("MQTT_URL="), "mqtt://127.0.0.1:1883");
    one.wait_for("Where the examples look by default");
    let processes = procfs::descendants(one.child.id());
    TcpStream::connect("127.0.0.1:1883").unwrap();
    one.signal("INT");
    assert_eq!(one.end().code, Some(0));
    processes.into_iter().for_each(procfs::assert_gone);
}
