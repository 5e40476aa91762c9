//! Runs the classroom tool as a lecturer would, on the real scenes and on broken
//! ones.

#[path = "../../claims/tests/procfs/mod.rs"]
mod procfs;
#[path = "../../../tcp-echo/tests/program/mod.rs"]
mod program;

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::TcpListener;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use program::{Ended, Program};
use tempfile::TempDir;

const LAB: &str = env!("CARGO_BIN_EXE_lab");
/// A real scene takes ten seconds, and building its programs may take longer.
const SCENE: Duration = Duration::from_secs(60);

/// Writes a scene with these steps into a folder that the value keeps alive.
fn scene(steps: &str) -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("demo.toml");
    let head = "title = 'Test'\nslide = 'None'\nnotice = 'It was noticed.'\n";
    fs::write(&path, format!("{head}{steps}")).unwrap();
    (folder, path.to_str().unwrap().to_string())
}

fn play(steps: &str) -> Ended {
    let (_folder, path) = scene(steps);
    Program::run(LAB, &["demo", &path])
}

/// Asserts that the demo failed, saying this and all that the program had printed.
fn assert_failed(ended: &Ended, said: &str) {
    assert_eq!(ended.code, Some(1), "{}", ended.errors);
    assert!(ended.errors.contains(said), "{}", ended.errors);
    assert!(
        ended.errors.contains("all that it printed:\n    hello"),
        "{}",
        ended.errors
    );
    assert!(!ended.output.join("\n").contains("It was noticed."));
}

/// Plays real scenes while somebody else has the slide's port, whichever it is. Where
/// there is a broker it has the port.
fn play_elsewhere(arguments: &[&str]) -> Ended {
    // Whether this process or another program took a port makes no difference.
    static TAKEN: OnceLock<[io::Result<TcpListener>; 6]> = OnceLock::new();
    TAKEN.get_or_init(|| {
        [65432, 8000, 8765, 5555, 5556, 5557]
            .map(|port| TcpListener::bind(("127.0.0.1", port)))
    });
    // Scenes of one broker have the same topics and queues: one after the other.
    static BROKERS: Mutex<()> = Mutex::new(());
    let needs_broker = arguments
        .iter()
        .any(|name| name.starts_with("mqtt-") || name.starts_with("rabbitmq-"));
    let playing = needs_broker.then(|| BROKERS.lock());
    let mut demo = Program::start(LAB, &[&["demo"], arguments].concat());
    demo.patience = SCENE;
    let ended = demo.end();
    drop(playing);
    ended
}

fn assert_plays(name: &str) {
    let demo = play_elsewhere(&[name]);
    let output = demo.output.join("\n");
    assert_eq!(demo.code, Some(0), "{output}\n{}", demo.errors);
    let listens = !output.contains("--broker ");
    assert_eq!(output.contains("127.0.0.1:0\n"), listens, "{output}");
    let scenes = output.matches("Notice: ").count();
    let played = format!("Played {scenes} of {scenes} scenes.");
    assert!(scenes > 0 && output.ends_with(&played), "{output}");
    assert!(!output.contains('\u{1b}'), "no colours without a terminal: {output}");
}

#[test]
fn the_scene_of_tcp_echo_plays_while_the_slides_port_is_taken() {
    assert_plays("tcp-echo");
}

#[test]
fn the_scene_of_udp_echo_plays_while_the_slides_port_is_taken() {
    assert_plays("udp-echo");
}

#[test]
fn the_scene_of_threaded_tcp_echo_plays_while_the_slides_port_is_taken() {
    assert_plays("threaded-tcp-echo");
}

#[test]
fn the_scene_of_async_tcp_echo_plays_while_the_slides_port_is_taken() {
    assert_plays("async-tcp-echo");
}

#[test]
fn the_scene_of_async_udp_echo_plays_while_the_slides_port_is_taken() {
    assert_plays("async-udp-echo");
}

#[test]
fn the_scene_of_rest_items_plays_while_the_slides_port_is_taken() {
    assert_plays("rest-items");
}

#[test]
fn the_scene_of_ws_chat_plays_while_the_slides_port_is_taken() {
    assert_plays("ws-chat");
}

/// The bytes that a wiretap's summary tells of, both directions together.
fn bytes_of(wiretap: &str, output: &[String]) -> u64 {
    let start = format!("{wiretap} | client ");
    let lines = output.iter().filter_map(|line| line.split_once(&start));
    let bytes = lines.map(|(_, summary)| {
        let bytes =
            summary.split(' ').nth(4).expect("-- server: 5 messages, 1 bytes:");
        bytes.parse::<u64>().unwrap_or_else(|_| panic!("{summary}"))
    });
    bytes.sum()
}

/// With and without `--wire`: these scenes have wiretaps of their own.
#[test]
fn the_scenes_of_the_wiretap_play_and_polling_costs_more_than_a_push() {
    for arguments in [&["wiretap"][..], &["--wire", "wiretap"]] {
        let demo = play_elsewhere(arguments);
        let output = demo.output.join("\n");
        assert_eq!(demo.code, Some(0), "{output}\n{}", demo.errors);
        assert!(output.ends_with("Played 3 of 3 scenes."), "{output}");
        // Five requests and their responses, of which one brought news.
        let polled = bytes_of("polls     ", &demo.output);
        let frame = " bytes (2 header)  text frame FIN: [";
        let frame = demo.output.iter().find_map(|line| line.split_once(frame));
        let pushed = frame.expect("a push").0.rsplit(' ').next().unwrap();
        let pushed: u64 = pushed.parse().unwrap();
        // The README's numbers; a port may have a digit less.
        assert!((850..950).contains(&polled) && (19..=20).contains(&pushed));
        let lines = |start: &str| {
            demo.output.iter().filter(|line| line.contains(start)).count()
        };
        let deliveries = [0, 1, 2].map(|qos| lines(&format!("| Topic: qos/{qos} ")));
        assert_eq!(deliveries, [0, 2, 1]);
    }
}

/// Plays an example's scenes with wiretaps; returns what they show to have crossed.
fn crossings(name: &str) -> Vec<String> {
    let demo = play_elsewhere(&["--wire", name]);
    let output = demo.output.join("\n");
    assert_eq!(demo.code, Some(0), "{output}\n{}", demo.errors);
    let arrows = ["client -> server  ", "client <- server  "];
    let crossing = |line: &String| {
        let (_, line) = line.split_once("  | ")?;
        arrows.iter().any(|arrow| line.contains(arrow)).then(|| line.to_string())
    };
    demo.output.iter().filter_map(crossing).collect()
}

/// Where in what crossed a line ends so.
fn place(crossings: &[String], end: &str) -> usize {
    let place = crossings.iter().position(|line| line.ends_with(end));
    place.unwrap_or_else(|| panic!("no '{end}' in {crossings:#?}"))
}

#[test]
fn the_wiretap_shows_that_tcp_took_what_the_second_client_sent_to_wait() {
    let crossings = crossings("tcp-echo");
    let hello = "     12 bytes  text: Hello, world";
    let second = place(&crossings, &format!("#2  client -> server{hello}"));
    let first = place(&crossings, &format!("#1  client <- server{hello}"));
    let answer = place(&crossings, &format!("#2  client <- server{hello}"));
    assert!(second < first && first < answer, "{crossings:#?}");
}

#[test]
fn the_wiretap_shows_the_datagrams_of_a_scene_and_the_empty_one() {
    let crossings = crossings("udp-echo");
    place(&crossings, "client -> server     11 bytes  datagram 1: Hello, UDP!");
    place(&crossings, "client <- server     11 bytes  datagram 1: Hello, UDP!");
    place(&crossings, "#2  client <- server      0 bytes  datagram 1");
}

#[test]
fn the_wiretap_shows_the_upgrade_of_a_chat_and_its_frames() {
    let crossings = crossings("ws-chat");
    let upgrade =
        place(&crossings, "  101 Switching Protocols, upgrade to websocket");
    let text = "     21 bytes (6 header)  text frame FIN, masked: Hello, everyone";
    let said = place(&crossings, &format!("client -> server{text}"));
    let heard = place(&crossings, "]: Hello, everyone");
    assert!(crossings[heard].contains(" bytes (2 header)  text frame FIN: ["));
    assert!(upgrade < said && said < heard, "{crossings:#?}");
}

#[test]
fn the_wiretap_stands_before_the_broker_of_a_scene() {
    let crossings = crossings("mqtt-temperature");
    place(&crossings, "client <- server      4 bytes (4 header)  CONNACK accepted");
    place(&crossings, "  SUBSCRIBE packet 1, topic myhome/+/temperature QoS 0");
    let retained =
        "PUBLISH QoS 1, RETAIN, packet 1, topic myhome/livingroom/temperature";
    place(
        &crossings,
        &format!(
            "client -> server     48 bytes (42 header)  {retained}/status: online"
        ),
    );
}

/// The scene's first replier is killed.
#[test]
fn the_wiretap_stays_before_the_server_that_follows_a_killed_one() {
    let crossings = crossings("zeromq-patterns");
    let hello = "     14 bytes (2 header)  message frame last: Hello, world";
    let replies = format!("client <- server{hello}");
    let replies = crossings.iter().filter(|line| line.ends_with(&replies));
    assert_eq!(replies.count(), 2, "{crossings:#?}");
}

#[test]
fn a_program_that_gets_ctrl_c_on_stage_may_still_speak() {
    let script =
        "trap \"echo bye; exit 3\" INT; echo hello; while sleep 1; do :; done";
    let start = format!("[[step]]\nprogram = 'a'\nrun = '''sh -c '{script}''''\n");
    let stop = "[[step]]\nprogram = 'a'\ninterrupt = true\n";
    let end = "expect = ['bye']\nexit = 3";
    let demo = play(&format!("{start}expect = ['hello']\n{stop}{end}"));
    assert_eq!(demo.code, Some(0), "{}", demo.errors);
    assert!(demo.output.contains(&"Ctrl-C: a".to_string()));
}

#[test]
fn the_others_are_told_where_the_last_wiretap_listens_and_a_second_server() {
    let said = |what: &str, expected: &str| {
        format!(
            "[[step]]\nprogram = 'a'\nrun = 'echo {what}'\nexpect = ['{expected}']\nexit = 0\n"
        )
    };
    let ready = "Wiretap listening on {wire}, forwarding to there";
    let steps = [
        said("Server on 127.0.0.1:1", "Server on {other}"),
        said("Wiretap listening on 127.0.0.1:2, forwarding to there", ready),
        said("at {wire}", "at 127.0.0.1:2"),
        said("Wiretap listening on 127.0.0.1:3, forwarding to there", ready),
        said(
            "at {wire}, {other}, {broker_address}",
            "at 127.0.0.1:3, 127.0.0.1:1, b.example:4",
        ),
    ];
    let (_folder, path) = scene(&format!("broker = 'mqtt'\n{}", steps.concat()));
    let named = "MQTT_URL=mqtt://name:word@b.example:4";
    let demo = Program::run("env", &[named, LAB, "demo", &path]);
    assert_eq!(demo.code, Some(0), "{}", demo.errors);
}

#[test]
fn the_scenes_of_mqtt_temperature_play_with_a_broker() {
    assert_plays("mqtt-temperature");
}

#[test]
fn the_scenes_of_rabbitmq_tasks_play_with_a_broker() {
    assert_plays("rabbitmq-tasks");
}

#[test]
fn the_scenes_of_rabbitmq_routing_play_with_a_broker() {
    assert_plays("rabbitmq-routing");
}

#[test]
fn the_three_scenes_of_zeromq_patterns_play_while_the_slides_ports_are_taken() {
    assert_plays("zeromq-patterns");
}

#[test]
fn what_is_typed_reaches_the_program_and_its_input_stays_open() {
    let start = "[[step]]\nprogram = 'a'\nrun = 'cat'\n";
    let typed = "type = 'one'\nexpect = ['one']\nquiet = 1\n";
    let more = "[[step]]\nprogram = 'a'\ntype = 'two'\nexpect = ['two']\n";
    let demo = play(&format!("{start}{typed}{more}"));
    assert_eq!(demo.code, Some(0), "{}", demo.errors);
    assert!(demo.output.contains(&"Typed into a: one".to_string()));
    // Another program's input has ended.
    let demo = play(&format!("{start}exit = 0"));
    assert_eq!(demo.code, Some(0), "{}", demo.errors);
}

#[test]
fn the_command_shown_is_the_one_run_and_a_prefixed_line_came_from_it() {
    let demo = play(
        "[[step]]\nprogram = 'a'\nrun = \"sh -c 'echo hello; exit 3'\"\nexit = 3",
    );
    assert_eq!(demo.code, Some(0), "{}", demo.errors);
    assert!(demo.output.contains(&"$ sh -c 'echo hello; exit 3'".to_string()));
    let prefixed = |line: &&String| line.contains(" s a | ");
    let lines: Vec<&String> = demo.output.iter().filter(prefixed).collect();
    assert!(lines.len() == 1 && lines[0].ends_with(" s a | hello"), "{lines:?}");
}

#[test]
fn a_program_that_prints_the_wrong_thing_fails_the_demo() {
    let step = "[[step]]\nprogram = 'a'\nrun = \"sh -c 'echo hello'\"\n";
    let demo = play(&format!("{step}expect = ['goodbye']"));
    assert_failed(&demo, "a ended without 'goodbye'");
}

#[test]
fn a_program_that_hangs_fails_the_demo() {
    let step = "[[step]]\nprogram = 'a'\nrun = \"sh -c 'echo hello; sleep 1000'\"\n";
    let demo = play(&format!("{step}within = 1\nexpect = ['goodbye']"));
    assert_failed(&demo, "a did not print 'goodbye' in 1 s");
    let demo = play(&format!("{step}within = 1\nexpect = ['hello']\nexit = 0"));
    assert_failed(&demo, "a did not end in 1 s");
}

#[test]
fn a_program_that_fails_fails_the_demo() {
    let step = "[[step]]\nprogram = 'a'\nrun = \"sh -c 'echo hello; exit 7'\"\n";
    assert_failed(
        &play(&format!("{step}exit = 0")),
        "a ended with exit status: 7, not 0",
    );
    let waits = "[[step]]\nprogram = 'b'\nrun = 'true'\nquiet = 1";
    assert_failed(
        &play(&format!("{step}{waits}")),
        "a ended by itself: exit status: 7",
    );
}

#[test]
fn a_program_that_speaks_while_it_should_wait_fails_the_demo() {
    let step = "[[step]]\nprogram = 'a'\nrun = \"sh -c 'echo hello; sleep 1000'\"\n";
    assert_failed(&play(&format!("{step}quiet = 1")), "a printed too early");
}

#[test]
fn a_program_that_does_not_end_on_ctrl_c_fails_the_demo_and_is_killed() {
    let script = "trap true INT; echo hello; echo $$; while true; do sleep 1; done";
    let step = format!("[[step]]\nprogram = 'a'\nrun = \"sh -c '{script}'\"\n");
    let demo = play(&format!("{step}expect = ['hello', '<n>']"));
    assert_eq!(demo.code, Some(1), "{}", demo.errors);
    assert!(demo.errors.contains("a does not end"), "{}", demo.errors);
    let pid =
        demo.output.iter().find_map(|line| line.split(" | ").nth(1)?.parse().ok());
    procfs::assert_gone(pid.unwrap());
}

#[test]
fn unknown_scenes_and_broken_ones_are_clear_errors() {
    let unknown = Program::run(LAB, &["demo", "tcp-ecko"]);
    assert_eq!(unknown.code, Some(1));
    let known = "there is no scene 'tcp-ecko'; there are: tcp-echo, udp-echo, ";
    assert!(unknown.errors.contains(known), "{}", unknown.errors);
    let broken = play("[[step]]\nprogram = 'a'\nexpects = 'hello'");
    assert_eq!(broken.code, Some(1));
    assert!(broken.errors.contains("unknown field `expects`"), "{}", broken.errors);
    let missing = play("[[step]]\nprogram = 'a'\nrun = 'no-such-program --help'");
    assert!(missing.errors.contains("cannot start: no-such-program --help"));
    assert_eq!(Program::run(LAB, &["demos"]).code, Some(2));
}

/// A program that ignores Ctrl-C, as what a shell starts in the background does, and
/// tells its number and that of the shell.
const STUBBORN: &str = "[[step]]\nprogram = 'a'\n\
    run = \"sh -c 'sleep 1000 & echo $$; echo $!; wait'\"\nexpect = ['<n>', '<n>']\n";

fn stubborn_pids(demo: &mut Program) -> [u32; 2] {
    demo.wait_for("$ sh -c");
    [(); 2].map(|()| demo.wait_for("  ").rsplit(' ').next().unwrap().parse().unwrap())
}

#[test]
fn ctrl_c_leaves_no_process_behind() {
    for signal in ["INT", "TERM", "HUP"] {
        let (_folder, path) = scene(&format!("{STUBBORN}exit = 0"));
        let mut demo = Program::start(LAB, &["demo", &path]);
        let pids = stubborn_pids(&mut demo);
        demo.signal(signal);
        let demo = demo.end();
        assert_eq!(demo.code, Some(0), "{signal}: {}", demo.errors);
        pids.into_iter().for_each(procfs::assert_gone);
    }
}

#[test]
fn not_even_a_killed_demo_leaves_a_process_behind() {
    let (_folder, path) = scene(&format!("{STUBBORN}exit = 0"));
    let mut demo = Program::start(LAB, &["demo", &path]);
    let pids = stubborn_pids(&mut demo);
    demo.signal("KILL");
    pids.into_iter().for_each(procfs::assert_gone);
}

#[test]
fn a_program_killed_on_stage_has_ended_and_the_others_go_on() {
    let programs = "[[step]]\nprogram = 'a'\nrun = 'cat'\nkill = true\n\
        [[step]]\nprogram = 'b'\nrun = 'cat'\ntype = 'hello'\nexpect = ['hello']\n";
    let typed = "[[step]]\nprogram = 'a'\ntype = 'one'\nexpect = ['one']\n";
    let demo = play(&format!("{}{}", programs, typed.replace("'a'", "'b'")));
    assert_eq!(demo.code, Some(0), "{}", demo.errors);
    assert!(demo.output.contains(&"Killed: a".to_string()));
    assert_eq!(play(&format!("{programs}{typed}")).code, Some(1), "a is dead");
}

/// With a broker whose URL is known already nothing has to be started.
#[test]
fn a_scene_is_told_its_broker_or_left_out_when_there_is_none() {
    let broker = "broker = 'amqp'\n";
    let step =
        "[[step]]\nprogram = 'a'\nrun = 'echo {broker}'\nexpect = ['{broker}']";
    let (_folder, path) = scene(&format!("{broker}{step}"));
    let named = "AMQP_URL=amqp://broker.example";
    let demo = Program::run("env", &[named, LAB, "demo", &path]);
    assert_eq!(demo.code, Some(0), "{}", demo.errors);
    assert!(demo.output.contains(&"$ echo amqp://broker.example".to_string()));
    // Nobody can write there, so no broker can start.
    let nowhere = ["-u", "AMQP_URL", "TMPDIR=/proc/nowhere"];
    let (_other, other) = scene("[[step]]\nprogram = 'a'\nrun = 'true'\nexit = 0");
    let demo =
        Program::run("env", &[&nowhere[..], &[LAB, "demo", &path, &other]].concat());
    assert_eq!(demo.code, Some(1));
    assert!(
        demo.errors.starts_with("Error: left out:\n    Test: "),
        "{}",
        demo.errors
    );
    assert!(demo.errors.contains("/proc/nowhere"), "{}", demo.errors);
    assert!(demo.output.contains(&"Played 1 of 2 scenes.".to_string()));
}

#[test]
fn enter_goes_on_to_the_next_scene_and_q_ends_leaving_no_process_behind() {
    let (_first_folder, first) =
        scene("[[step]]\nprogram = 'a'\nrun = 'true'\nexit = 0");
    let (_second_folder, second) = scene(&format!("{STUBBORN}exit = 0"));
    let terminal = nix::pty::openpty(None, None).unwrap();
    let input = nix::unistd::ttyname(&terminal.slave).unwrap();
    let mut keyboard = File::from(terminal.master);
    let demo = format!("exec {LAB} demo {first} {second} < {}", input.display());

    let mut tour = Program::start("/bin/sh", &["-c", &demo]);
    tour.wait_for("Enter: ");
    keyboard.write_all(b"\n").unwrap();
    let pids = stubborn_pids(&mut tour);
    keyboard.write_all(b"q\n").unwrap();
    tour.wait_for("Ended.");
    assert_eq!(tour.end().code, Some(0));
    pids.into_iter().for_each(procfs::assert_gone);

    let mut tour = Program::start("/bin/sh", &["-c", &demo]);
    tour.wait_for("Enter: ");
    keyboard.write_all(b"q\n").unwrap();
    let tour = tour.end();
    assert_eq!(tour.code, Some(0));
    assert!(!tour.output.join("\n").contains("$ sh -c"), "it went on");
}
