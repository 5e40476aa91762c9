//! Runs the demo without a terminal, as CI does: nothing waits, and all is checked.
#![cfg(target_os = "linux")] // It looks for processes in /proc.

#[path = "../../claims/tests/procfs/mod.rs"]
mod procfs;
#[path = "../../../tcp-echo/tests/program/mod.rs"]
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use program::{Ended, Program};
use regex_lite::Regex;
use tempfile::TempDir;

const LAB: &str = env!("CARGO_BIN_EXE_lab");

/// Writes a scene with these steps into a folder that the value keeps alive.
fn scene(steps: &str) -> (TempDir, String) {
    scene_with("", steps)
}

fn scene_with(head: &str, steps: &str) -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("demo.toml");
    let text = "title = 'Test'\nslide = 'None'\nnotice = 'It was noticed.'\n";
    fs::write(&path, format!("{text}{head}{steps}")).unwrap();
    (folder, path.to_str().unwrap().to_string())
}

fn play(steps: &str) -> Ended {
    let (_folder, path) = scene(steps);
    Program::run(LAB, &["demo", &path])
}

/// Asserts that the scene failed, saying this and what the program had printed.
fn assert_failed(ended: &Ended, said: &str) {
    let output = ended.output.join("\n");
    assert_eq!(ended.code, Some(1), "{output}\n{}", ended.errors);
    assert!(output.contains(&format!("FAILED: {said}")), "{output}");
    assert!(output.contains("The last lines of a:\n    hello"), "{output}");
    assert!(ended.errors.contains(said), "{}", ended.errors);
    assert!(!output.contains("It was noticed."));
}

/// Plays real scenes.
fn play_scenes(arguments: &[&str]) -> Ended {
    // Scenes of one broker have the same topics and queues: one after the other.
    static BROKERS: Mutex<()> = Mutex::new(());
    let needs_broker = arguments
        .iter()
        .any(|name| name.starts_with("mqtt-") || name.starts_with("rabbitmq-"));
    let playing = needs_broker.then(|| BROKERS.lock());
    let mut demo = Program::start(LAB, &[&["demo"], arguments].concat());
    demo.patience = Duration::from_secs(60);
    let ended = demo.end();
    drop(playing);
    ended
}

fn assert_plays(name: &str) {
    let demo = play_scenes(&[name]);
    let output = demo.output.join("\n");
    assert_eq!(demo.code, Some(0), "{output}\n{}", demo.errors);
    let scenes = output.matches("Notice: ").count();
    let played = format!("Played {scenes} of {scenes} scenes.");
    assert!(scenes > 0 && output.ends_with(&played), "{output}");
    assert!(!output.contains('\u{1b}'), "no colours without a terminal: {output}");
    assert!(!output.contains("Enter: "), "nobody is asked for a key: {output}");
}

#[test]
fn the_scenes_of_tcp_echo_play() {
    assert_plays("tcp-echo");
}

#[test]
fn the_scenes_of_udp_echo_play() {
    assert_plays("udp-echo");
}

#[test]
fn the_scenes_of_threaded_tcp_echo_play() {
    assert_plays("threaded-tcp-echo");
}

#[test]
fn the_scenes_of_async_tcp_echo_play() {
    assert_plays("async-tcp-echo");
}

#[test]
fn the_scenes_of_async_udp_echo_play() {
    assert_plays("async-udp-echo");
}

#[test]
fn the_scenes_of_rest_items_play() {
    assert_plays("rest-items");
}

#[test]
fn the_scenes_of_ws_chat_play() {
    assert_plays("ws-chat");
}

/// What a recording says, by who says it: two programs that print at the same time may
/// come in either order. Ports and times are left out.
fn said(recording: &str) -> BTreeMap<String, Vec<String>> {
    let text =
        |line: &str| Regex::new("<[^>]*>").unwrap().replace_all(line, "").to_string();
    let lines =
        recording.lines().filter(|line| line.starts_with("<text y=")).map(text);
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        let line = Regex::new(r":\d+").unwrap().replace_all(&line, ":<port>");
        let line = Regex::new(r"^ *\d+\.\d s ").unwrap().replace(&line, "");
        match line.split_once(" | ") {
            Some((name, line)) => {
                said.entry(name.trim().into()).or_default().push(line.into())
            }
            // Where it wraps depends on the port.
            None => said
                .entry(String::new())
                .or_default()
                .extend(line.split_whitespace().map(str::to_string)),
        }
    }
    said
}

#[test]
fn the_recording_in_pictures_is_what_the_scene_shows() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("scene.svg");
    let demo = play_scenes(&["--record", path.to_str().unwrap(), "rabbitmq-tasks"]);
    assert_eq!(demo.code, Some(0), "{}\n{}", demo.output.join("\n"), demo.errors);
    assert!(
        !demo.output.join("").contains('\u{1b}'),
        "colours are for the recording"
    );
    let new = fs::read_to_string(&path).unwrap();
    let committed =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../pictures/rabbitmq-tasks.svg");
    let committed = fs::read_to_string(committed).unwrap();
    let [old, new] = [&committed, &new].map(|recording| said(recording));
    assert!(
        new["Ana"].iter().any(|line| line.starts_with("Received again: ")),
        "{new:?}"
    );
    assert_eq!(old, new, "record it again: make pictures");
    // What a page of a repository takes: small, and moving without a script.
    assert!(committed.len() < 150_000 && !committed.contains("<script"));
    for needed in
        ["prefers-color-scheme:dark", "prefers-reduced-motion:reduce", "@keyframes"]
    {
        assert!(committed.contains(needed), "{needed}");
    }
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
        let demo = play_scenes(arguments);
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
    let demo = play_scenes(&["--wire", name]);
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
    let crossings = crossings("tcp-echo/1");
    let hello = "     12 bytes  text: Hello, world";
    let second = place(&crossings, &format!("#2  client -> server{hello}"));
    let left = place(&crossings, "#1  client -> server  end of the stream");
    let answer = place(&crossings, &format!("#2  client <- server{hello}"));
    assert!(second < left && left < answer, "{crossings:#?}");
}

#[test]
fn the_wiretap_shows_the_datagrams_of_a_scene_and_the_empty_one() {
    let crossings = crossings("udp-echo/1");
    place(&crossings, "client -> server     11 bytes  datagram 1: Hello, UDP!");
    place(&crossings, "client <- server     11 bytes  datagram 1: Hello, UDP!");
    place(&crossings, "#2  client <- server      0 bytes  datagram 1");
}

#[test]
fn the_wiretap_shows_the_upgrade_of_a_chat_and_its_frames() {
    let crossings = crossings("ws-chat/1");
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
    assert!(demo.output.iter().any(|line| line.ends_with(" s Ctrl-C: a")));
}

#[test]
fn a_place_is_where_the_first_program_that_prints_it_is_and_later_ones_are_told() {
    let said = |what: &str, expected: &str| {
        format!(
            "[[step]]\nprogram = 'a'\nrun = 'echo {what}'\nexpect = ['{expected}']\nexit = 0\n"
        )
    };
    let steps = [
        said("Server on 127.0.0.1:1", "Server on {shop}"),
        said("at {shop}", "at 127.0.0.1:1"),
        said("Proxy on 127.0.0.1:2, for {shop}", "Proxy on {proxy}, for 127.0.0.1:1"),
        said("{proxy}, {shop}, {broker_address}", "127.0.0.1:2, {shop}, b.example:4"),
    ];
    let (_folder, path) = scene_with("broker = 'mqtt'\n", &steps.concat());
    let named = "MQTT_URL=mqtt://name:word@b.example:4";
    let demo = Program::run("env", &[named, LAB, "demo", &path]);
    assert_eq!(demo.code, Some(0), "{}\n{}", demo.output.join("\n"), demo.errors);
    assert!(
        demo.output
            .contains(&"$ echo 127.0.0.1:2, 127.0.0.1:1, b.example:4".to_string())
    );
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
fn the_scenes_of_zeromq_patterns_play() {
    assert_plays("zeromq-patterns");
}

#[test]
fn what_is_typed_reaches_the_program_and_its_input_stays_open() {
    let start = "[[step]]\nprogram = 'a'\nrun = 'cat'\n";
    let typed = "type = 'one'\nexpect = ['one']\nquiet = 1\n";
    let more = "[[step]]\nprogram = 'a'\ntype = 'two'\nexpect = ['two']\n";
    let demo = play(&format!("{start}{typed}{more}"));
    assert_eq!(demo.code, Some(0), "{}", demo.errors);
    assert!(demo.output.iter().any(|line| line.ends_with(" s Typed into a: one")));
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
    assert_eq!(play(&format!("{step}fails = true")).code, Some(0));
    assert_failed(
        &play(&format!("{}fails = true", step.replace("exit 7", "exit 0"))),
        "a ended well",
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
    assert_failed(&demo, "a does not end");
    let pid =
        demo.output.iter().find_map(|line| line.split(" | ").nth(1)?.parse().ok());
    procfs::assert_gone(pid.unwrap());
}

#[test]
fn unknown_scenes_and_broken_ones_are_clear_errors_with_file_and_line() {
    let unknown = Program::run(LAB, &["demo", "tcp-ecko"]);
    assert_eq!(unknown.code, Some(1));
    let known = "there is no scene 'tcp-ecko'; did you mean 'tcp-echo'? There are: tcp-echo, udp-echo, ";
    assert!(unknown.errors.contains(known), "{}", unknown.errors);
    for (step, line, said) in [
        ("run = 'true'\nexpects = 'hello'", 6, "unknown field `expects`"),
        ("run = 'true'\nexpect = 'hello'", 6, "invalid type: string"),
        ("run = 'echo {server}'", 5, "nothing has found {server} before this line"),
        (
            "run = 'true'\nexpect = ['{server}']",
            6,
            "{server} is found here and used nowhere",
        ),
        ("run = 'true", 5, "invalid literal string"),
        ("kill = true", 4, "no step before this one starts 'a'"),
    ] {
        let (_folder, path) = scene(&format!("[[step]]\nprogram = 'a'\n{step}"));
        let broken = Program::run(LAB, &["demo", &path]);
        assert_eq!(broken.code, Some(1));
        let start = format!("Error: {path}:{}: {said}", line + 1);
        assert!(
            broken.errors.starts_with(&start),
            "{} and not {start}",
            broken.errors
        );
    }
    let missing = play("[[step]]\nprogram = 'a'\nrun = 'no-such-program --help'");
    let said = "cannot start: no-such-program --help";
    assert!(missing.errors.contains(said), "{}", missing.errors);
}

#[test]
fn the_tool_alone_says_what_it_can_do_and_a_misspelt_command_is_guessed() {
    let alone = Program::run(LAB, &[]);
    assert_eq!((alone.code, alone.errors.as_str()), (Some(0), ""));
    let output = alone.output.join("\n");
    assert!(output.contains("  demo ") && output.contains("  brokers "), "{output}");
    let misspelt = Program::run(LAB, &["dmeo"]);
    assert_eq!(misspelt.code, Some(2));
    assert!(misspelt.errors.contains("similar subcommand exists: 'demo'"));
}

/// A step whose program prints this.
fn prints(program: &str, what: &str, more: &str) -> String {
    format!("[[step]]\nprogram = '{program}'\nrun = 'echo {what}'\n{more}\n")
}

#[test]
fn a_sentence_a_command_a_question_the_output_and_the_answer_come_in_this_order() {
    let words = "say = 'It says hello.'\nquestion = 'To whom?'\n";
    let answer = "[[step]]\nprogram = 'a'\nanswer = 'To nobody.'\n";
    let demo = play(&(prints("a", "hello", words) + answer + "exit = 0"));
    assert_eq!(demo.code, Some(0), "{}", demo.errors);
    let told = ["1/1 It says hello.", "$ echo hello", "Question: To whom?"];
    let at =
        demo.output.iter().position(|line| line == told[0]).expect("the sentence");
    assert_eq!(demo.output[at..at + 3], told);
    assert!(demo.output[at + 3].ends_with(" s a | hello"), "{:?}", demo.output);
    assert_eq!(demo.output[at + 4], "Answer: To nobody.");
}

#[test]
fn a_failing_scene_is_told_and_the_tour_goes_on() {
    let (_a, bad) = scene(&prints("a", "hello", "expect = ['goodbye']"));
    let (_b, good) = scene(&prints("a", "hello", "exit = 0"));
    let demo = Program::run(LAB, &["demo", &bad, &good, &bad]);
    assert_eq!(demo.code, Some(1));
    let output = demo.output.join("\n");
    assert_eq!(output.matches("FAILED: a ended without 'goodbye'").count(), 2);
    assert!(output.ends_with("Played 1 of 3 scenes."), "{output}");
    let told = format!("    {bad} failed: a ended without 'goodbye'");
    let lines: Vec<&str> = demo.errors.lines().collect();
    assert_eq!(lines, ["Error: not everything went well:", &told, &told]);
}

#[test]
fn the_deadline_holds_although_a_program_prints_without_end() {
    let step =
        "[[step]]\nprogram = 'a'\nrun = 'yes hello'\nexpect = ['b']\nwithin = 2";
    let (_folder, path) = scene(step);
    let mut demo = Program::start(LAB, &["demo", &path]);
    demo.wait_for("$ yes hello");
    let begin = Instant::now();
    std::thread::sleep(Duration::from_millis(1500));
    let memory = procfs::status(demo.child.id(), "VmRSS:");
    let demo = demo.end();
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    assert_failed(&demo, "a did not print 'b' in 2 s");
    assert!(memory < 100 << 10, "{memory} KiB");
    let more =
        demo.output.iter().filter(|line| line.contains(" more such lines of a"));
    assert_eq!(more.count(), 1);
    assert!(demo.output.len() < 40, "{} lines", demo.output.len());
}

#[test]
fn silence_and_a_kill_hold_too_while_another_program_prints_without_end() {
    let flood = "[[step]]\nprogram = 'a'\nrun = 'yes hello'\nexpect = ['hello']\n";
    let quiet = "[[step]]\nprogram = 'b'\nrun = 'cat'\ntype = 'x'\nexpect = ['x']\nquiet = 1\nkill = true\n";
    let demo = play(&format!("{flood}{quiet}"));
    assert_eq!(demo.code, Some(0), "{}\n{}", demo.output.join("\n"), demo.errors);
    let timed = demo.output.iter().filter(|line| {
        line.ends_with(" s Nothing from b for 1 s") || line.ends_with(" s Killed: b")
    });
    assert_eq!(timed.count(), 2);
}

#[test]
fn a_thousand_similar_lines_are_shown_as_the_first_three_the_last_and_a_count() {
    let step = "[[step]]\nprogram = 'a'\nrun = 'seq -f \"Sent %g\" 1000'\nexit = 0";
    let demo = play(step);
    assert_eq!(demo.code, Some(0), "{}", demo.errors);
    let from =
        demo.output.iter().position(|line| line.ends_with("| Sent 1")).unwrap();
    let ends = [
        "| Sent 1",
        "| Sent 2",
        "| Sent 3",
        "... 996 more such lines of a",
        "| Sent 1000",
        "",
    ];
    for (line, end) in demo.output[from..].iter().zip(ends) {
        assert!(line.ends_with(end), "'{line}' does not end with '{end}'");
    }
}

/// A line that is printed while another is waited for is not lost.
#[test]
fn what_a_program_printed_earlier_counts_however_much_it_was() {
    let many = "[[step]]\nprogram = 'a'\nrun = 'seq 5000'\n";
    let wait = "[[step]]\nprogram = 'b'\nrun = 'true'\nexit = 0\n";
    let later = "[[step]]\nprogram = 'a'\nexpect = ['2', '4999']\nexit = 0\n";
    assert_eq!(play(&format!("{many}{wait}{later}")).code, Some(0));
}

#[test]
fn the_end_of_a_scene_is_not_part_of_the_story() {
    let script =
        "trap \"echo bye; exit 0\" INT; echo hello; while sleep 0.1; do :; done";
    let demo = play(&format!(
        "[[step]]\nprogram = 'a'\nrun = '''sh -c '{script}''''\nexpect = ['hello']"
    ));
    assert_eq!(demo.code, Some(0), "{}", demo.errors);
    assert!(!demo.output.iter().any(|line| line.ends_with("| bye")));
}

#[test]
fn what_a_program_prints_cannot_steer_the_terminal() {
    let demo = play(
        "[[step]]\nprogram = 'a'\nrun = 'printf \"\\033[2Jhello\\n\"'\nexit = 0",
    );
    assert_eq!(demo.code, Some(0), "{}", demo.errors);
    let output = demo.output.join("\n");
    assert!(output.contains("| \u{fffd}[2Jhello"), "{output}");
}

#[test]
fn the_scenes_are_listed_and_a_tour_may_begin_anywhere() {
    let list = Program::run(LAB, &["demo", "--list"]);
    assert_eq!(list.code, Some(0), "{}", list.errors);
    assert!(list.output[0].starts_with("tcp-echo "), "{:?}", list.output);
    assert!(list.output.iter().any(|line| line.starts_with("mqtt-temperature/2 ")));
    let from = |name: &str| {
        Program::run(LAB, &["demo", "--list", "--from", name, "udp-echo", "tcp-echo"])
    };
    let names = from("tcp-echo").output;
    assert!(names.iter().all(|line| line.starts_with("tcp-echo")), "{names:?}");
    let unknown = from("ws-chat");
    assert_eq!(unknown.code, Some(1));
    assert!(
        unknown.errors.contains("there are: udp-echo, udp-echo/udp-client-draft"),
        "{}",
        unknown.errors
    );
    assert!(!list.output.iter().any(|line| line.contains("-draft ")));
    let drafts = Program::run(LAB, &["demo", "--list", "--drafts"]).output;
    assert!(drafts.len() >= 11, "{drafts:?}");
    assert!(drafts.iter().all(|line| line.contains("-draft ")), "{drafts:?}");
    let first = Program::run(LAB, &["demo", "--list", "tcp-echo/1"]);
    assert_eq!(first.output.len(), 1, "{:?}", first.output);
    let second = Program::run(LAB, &["demo", "--list", "mqtt-temperature/2"]);
    assert_eq!(second.output.len(), 1, "{:?}", second.output);
    assert_eq!(Program::run(LAB, &["demo", "--pace", "-1"]).code, Some(2));
}

#[test]
fn without_a_terminal_nothing_waits_whatever_the_pace() {
    let (_folder, path) = scene(&prints("a", "hello", "say = 'Hello.'\nexit = 0"));
    let begin = Instant::now();
    let demo = Program::run(LAB, &["demo", "--auto", "--pace", "60", &path]);
    assert_eq!(demo.code, Some(0), "{}", demo.errors);
    assert!(begin.elapsed() < Duration::from_secs(9));
}

#[test]
fn a_reader_who_goes_away_ends_the_demo_and_what_it_started() {
    let (_folder, path) = scene(&format!(
        "{STUBBORN}[[step]]\nprogram = 'b'\nrun = 'seq 99'\nwithin = 60\nexpect = ['none']"
    ));
    let script = format!("{LAB} demo {path} | sed '/ | [0-9]/q'");
    let shell = Program::run("bash", &["-c", &script]);
    let output = shell.output.join("\n");
    let pid = output.rsplit(' ').next().and_then(|word| word.parse().ok());
    procfs::assert_gone(pid.unwrap_or_else(|| panic!("{output}")));
    assert!(!shell.errors.contains("panicked"), "{}", shell.errors);
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
fn a_signal_ends_everything_and_the_exit_status_says_which() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let (_folder, path) = scene(&format!("{STUBBORN}exit = 0"));
        let mut demo = Program::start(LAB, &["demo", &path]);
        let pids = stubborn_pids(&mut demo);
        demo.signal(signal);
        let demo = demo.end();
        assert_eq!(demo.code, Some(code), "{signal}: {}", demo.errors);
        pids.into_iter().for_each(procfs::assert_gone);
    }
}

/// Neither a flood nor a reader who has stopped reading holds up the end.
#[test]
fn ctrl_c_ends_a_demo_that_floods_or_cannot_write() {
    let flood = "[[step]]\nprogram = 'a'\nrun = 'yes hello'\nexpect = ['b']";
    let (_folder, path) = scene(flood);
    let mut demo = Program::start(LAB, &["demo", &path]);
    demo.wait_for("$ yes hello");
    demo.signal("INT");
    assert_eq!(demo.end().code, Some(130));

    let letters = "for i in a b c d e f g h i j k l m n o p q r s t";
    let line = "head -c 8000 /dev/zero | tr \"\\0\" $i; echo";
    let script = format!("sh -c '{letters}; do {line}; done; sleep 1000'");
    let step = "[[step]]\nprogram = 'a'\nexpect = ['none']\n";
    let (_folder, path) = scene(&format!("{step}run = '''{script}'''"));
    let mut blocked = Command::new(LAB);
    // Nobody reads this pipe.
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut blocked = blocked.args(["demo", &path]).stdout(writer).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let kill = ["-TERM".to_string(), blocked.id().to_string()];
    assert!(Command::new("kill").args(kill).status().unwrap().success());
    procfs::assert_gone(blocked.id());
    assert_eq!(blocked.wait().unwrap().code(), Some(143));
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
    assert!(demo.output.iter().any(|line| line.ends_with(" s Killed: a")));
    assert_eq!(play(&format!("{programs}{typed}")).code, Some(1), "a is dead");
}

/// With a broker whose URL is known already nothing has to be started.
#[test]
fn a_scene_is_told_its_broker_or_left_out_when_there_is_none() {
    let broker = "broker = 'amqp'\n";
    let step = "[[step]]\nprogram = 'a'\nrun = 'echo {broker}'\nexpect = ['{broker}']\nexit = 0";
    let (_folder, path) = scene_with(broker, step);
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
    let told = format!("    {path} left out: ");
    assert!(demo.errors.contains(&told), "{}", demo.errors);
    assert!(demo.errors.contains("/proc/nowhere"), "{}", demo.errors);
    assert!(demo.output.contains(&"Played 1 of 2 scenes.".to_string()));
}

const README: &str = include_str!("../README.md");

#[test]
fn the_complete_scene_of_the_readme_plays() {
    let readme = README.replace("\r\n", "\n");
    let scene =
        readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("readme.toml");
    fs::write(&path, scene.expect("a scene")).unwrap();
    let demo = play_scenes(&[path.to_str().unwrap()]);
    let output = demo.output.join("\n");
    assert_eq!(demo.code, Some(0), "{output}\n{}", demo.errors);
    for shown in
        ["1/2 A server starts", "Question: Will", "Answer: No.", "Notice: A message"]
    {
        assert!(output.contains(&format!("\n{shown}")), "no '{shown}' in {output}");
    }
}

/// An unknown key is answered with those that are known.
#[test]
fn the_readme_has_every_key_of_a_scene_and_of_a_step() {
    for (head, step) in [("actors = 1\n", ""), ("", "actors = 1\n")] {
        let (_folder, path) =
            scene_with(head, &format!("[[step]]\nprogram = 'a'\n{step}"));
        let errors = Program::run(LAB, &["demo", &path]).errors;
        let (_, known) = errors.split_once("expected one of ").expect("the keys");
        let known: Vec<&str> = known.split(", ").collect();
        assert!(known.len() >= 6, "{known:?}");
        for key in known {
            let row = format!("\n| {key} | ");
            assert!(README.contains(&row), "the README has no row for {key}");
        }
    }
}

#[test]
fn other_lines_may_stand_between_expected_ones_unless_the_scene_says_only() {
    let step =
        "[[step]]\nprogram = 'a'\nrun = 'seq 3'\nexpect = ['1', '3']\nexit = 0\n";
    assert_eq!(play(step).code, Some(0));
    let demo = play(&format!("{step}only = true"));
    assert_eq!(demo.code, Some(1));
    assert!(demo.errors.contains("a printed '2' and not '3'"), "{}", demo.errors);
}

/// What a scene has left in a queue, or retained, must not reach the next one.
#[test]
fn a_scene_that_failed_leaves_nothing_in_the_broker_of_the_next() {
    let steps = |wait: &str| {
        let run = "cargo run -q -p mqtt-temperature";
        let publish = format!(
            "{run} --bin mqtt-publisher -- --broker {{broker}} --retain --count 1"
        );
        let subscribe = format!("{run} -- --broker {{broker}}");
        let step = |name: &str, run: &str, more: &str| {
            format!("[[step]]\nprogram = '{name}'\nrun = '{run}'\n{more}\n")
        };
        match wait {
            "" => step(
                "subscriber",
                &subscribe,
                "expect = [\"Subscribed to 'myhome/livingroom/temperature'\"]\nonly = true\nquiet = 1",
            ),
            wait => step(
                "publisher",
                &publish,
                &format!("expect = ['Publishing: <n>', '{wait}']"),
            ),
        }
    };
    let (_a, left) = scene_with("broker = 'mqtt'\n", &steps("never printed"));
    let (_b, next) = scene_with("broker = 'mqtt'\n", &steps(""));
    let mut demo =
        Program::start("env", &["-u", "MQTT_URL", LAB, "demo", &left, &next]);
    demo.patience = Duration::from_secs(60);
    let demo = demo.end();
    let output = demo.output.join("\n");
    assert!(output.ends_with("Played 1 of 2 scenes."), "{output}\n{}", demo.errors);
}

#[test]
fn a_line_without_an_end_and_somebody_who_keeps_the_pipe_hold_nothing_up() {
    let zero = "[[step]]\nprogram = 'zero'\nrun = 'cat /dev/zero'\n";
    let holder =
        "[[step]]\nprogram = 'a'\nrun = \"sh -c 'setsid sleep 7 & echo hello'\"\n";
    let demo = play(&format!(
        "{zero}{holder}expect = ['hello']\nexit = 0\nwithin = 3\n\
         [[step]]\nprogram = 'zero'\nexpect = ['b']\nwithin = 1"
    ));
    assert_failed(&demo, "zero did not print 'b' in 1 s");
}

/// In the way of cargo there is a program that does not end, and so in Mosquitto's.
#[test]
fn ctrl_c_ends_a_build_and_the_start_of_a_broker() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    for name in ["cargo", "mosquitto"] {
        let path = folder.path().join(name);
        fs::write(&path, "#!/bin/sh\necho $$ > $0.pid\nexec sleep 1000\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let everybody = fs::Permissions::from_mode(0o777);
    fs::set_permissions(folder.path(), everybody).unwrap();
    let path = format!(
        "PATH={}:{}",
        folder.path().display(),
        std::env::var("PATH").unwrap()
    );
    let build = "[[step]]\nprogram = 'a'\nrun = 'cargo run -q -p tcp-echo'\nexit = 0";
    let broker = "[[step]]\nprogram = 'a'\nrun = 'true'\nexit = 0";
    for (head, step, name) in
        [("", build, "cargo"), ("broker = 'mqtt'\n", broker, "mosquitto")]
    {
        let (_folder, scene) = scene_with(head, step);
        let demo =
            Program::start("env", &["-u", "MQTT_URL", &path, LAB, "demo", &scene]);
        let file = folder.path().join(format!("{name}.pid"));
        let pid =
            || fs::read_to_string(&file).unwrap_or_default().trim().parse().ok();
        procfs::wait_until("its start", || pid().is_some());
        demo.signal("INT");
        let demo = demo.end();
        assert_eq!(demo.code, Some(130), "{name}: {}", demo.errors);
        procfs::assert_gone(pid().unwrap());
    }
}
