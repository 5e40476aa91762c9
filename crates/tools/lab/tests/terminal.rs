//! Runs the demo at a terminal, as a lecturer does: keys, waits, and what the class sees.
#![cfg(target_os = "linux")] // It makes terminals of its own, and looks into /proc.

#[path = "../../claims/tests/procfs/mod.rs"]
mod procfs;
mod tty;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::termios::{LocalModes, tcgetattr, tcsetwinsize};
use tempfile::TempDir;
use tty::{Terminal, number};
use vt100::Color;

/// How long the end may take, and a good deal more for a machine that is busy.
const AT_ONCE: Duration = Duration::from_secs(3);

impl Terminal {
    fn start(
        columns: u16,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Terminal {
        Terminal::of_size(30, columns, arguments, variables)
    }

    fn of_size(
        rows: u16,
        columns: u16,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Terminal {
        Terminal::run(rows, columns, &[&["demo"], arguments].concat(), variables)
    }
}

/// Writes a scene of this title into a folder that the value keeps alive.
fn scene(title: &str, steps: &str) -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("demo.toml");
    let head =
        format!("title = '{title}'\nslide = 'None'\nnotice = 'It was noticed.'\n");
    fs::write(&path, head + steps).unwrap();
    (folder, path.to_str().unwrap().to_string())
}

const HELLO: &str = "[[step]]\nsay = 'It says hello.'\nquestion = 'To whom?'\n\
    answer = 'To nobody.'\nprogram = 'a'\nrun = 'echo hello'\nexit = 0\n";

#[test]
fn a_step_waits_for_enter_with_its_command_and_its_question_shown() {
    let bye =
        "[[step]]\nsay = 'It says goodbye.'\nprogram = 'a'\nrun = 'echo goodbye'\n";
    let (_folder, path) =
        scene("Test", &format!("{HELLO}{bye}expect = ['goodbye']\nexit = 0"));
    let mut terminal = Terminal::start(100, &[&path], &[]);
    terminal.wait_for("Enter: go on");
    for shown in [
        "1 of 1: Test",
        "On stage: a",
        "1/2 It says hello.",
        "$ echo hello",
        "Question: To whom?",
    ] {
        terminal.wait_for(shown);
    }
    thread::sleep(Duration::from_millis(300));
    assert!(!terminal.text().contains("a | hello"), "nobody has pressed Enter");
    terminal.press("\r");
    terminal.wait_for("Answer: To nobody.");
    terminal.wait_for("a | hello");
    terminal.wait_for("$ echo goodbye");
    assert!(!terminal.text().contains("a | goodbye"), "Enter is for one step");
    terminal.press("\r");
    terminal.wait_for("Notice: It was noticed.");
    terminal.wait_for("Enter: the end");
    terminal.press("\r");
    terminal.wait_for("Played 1 of 1 scenes.");
    assert_eq!(terminal.end().code(), Some(0));
    assert!(!terminal.text().contains("Enter:"), "the last line is not left behind");
}

#[test]
fn the_keys_skip_repeat_go_back_explain_and_quit() {
    let (_a, first) = scene("First", HELLO);
    let (_b, second) = scene("Second", HELLO);
    let (_c, third) = scene("Third", HELLO);
    let arguments = [first.as_str(), &second, &third];
    let mut terminal = Terminal::of_size(200, 100, &arguments, &[]);
    let shows = |terminal: &Terminal, title: &str, times: usize| {
        terminal.wait_until(title, || {
            terminal.count(&format!(": {title}\n")) == times
                && terminal.text().trim_end().ends_with("? help")
        });
    };
    shows(&terminal, "First", 1);
    terminal.press("s");
    shows(&terminal, "Second", 1);
    terminal.press("r");
    shows(&terminal, "Second", 2);
    terminal.press("b");
    shows(&terminal, "First", 2);
    // There is none before the first one.
    terminal.press("b");
    shows(&terminal, "First", 3);
    // An arrow is not the letters that it is made of.
    terminal.press("\x1b[B");
    terminal.press("?");
    terminal.wait_for("Ctrl-C: end everything at once.");
    terminal.press("\r");
    terminal.wait_for("Enter: Second");
    terminal.press("r");
    shows(&terminal, "First", 4);
    terminal.press("q");
    terminal.wait_for("Played 1 of 3 scenes.");
    assert_eq!(terminal.end().code(), Some(0));
}

#[test]
fn quitting_after_a_failure_still_tells_of_it() {
    let (_a, bad) =
        scene("Bad", "[[step]]\nprogram = 'a'\nrun = 'echo hello'\nexit = 7");
    let (_b, good) = scene("Good", HELLO);
    let mut terminal = Terminal::start(100, &[&bad, &good], &[]);
    terminal.wait_for("FAILED: a ended with exit status: 0, not 7");
    terminal.wait_for("Enter: Good");
    terminal.press("q");
    assert_eq!(terminal.end().code(), Some(1));
    terminal.wait_for("demo.toml failed: a ended with exit status: 0, not 7");
}

#[test]
fn a_long_wait_shows_the_time_that_is_left_and_enter_ends_a_silence() {
    let silent = "[[step]]\nprogram = 'a'\nrun = 'sleep 1000'\nquiet = 500\n";
    let slow = "[[step]]\nprogram = 'b'\nrun = 'cat'\ntype = 'x'\nexpect = ['y']\nwithin = 400";
    let (_folder, path) = scene("Test", &format!("{silent}{slow}"));
    let mut terminal = Terminal::start(100, &[&path], &[]);
    terminal.wait_for("Nothing from a so far, 499 s to go. Enter: long enough");
    terminal.press("\r");
    terminal.wait_for("Waiting for b, at most 398 s more");
    let text = terminal.text();
    let line = text.lines().find(|line| line.contains(" s Nothing from a for "));
    assert!(line.is_some(), "{text}");
    terminal.press("q");
    assert_eq!(terminal.end().code(), Some(0));
}

#[test]
fn an_impatient_enter_does_not_answer_the_next_question() {
    let slow = "[[step]]\nprogram = 'a'\nrun = 'sleep 1'\nexit = 0\n";
    let (_folder, path) = scene("Test", &format!("{slow}{HELLO}"));
    let mut terminal = Terminal::start(100, &[&path], &[]);
    terminal.wait_for("$ sleep 1");
    terminal.press("\r\r\r");
    terminal.wait_for("Question: To whom?");
    thread::sleep(Duration::from_millis(300));
    assert!(!terminal.text().contains("a | hello"), "{}", terminal.text());
}

#[test]
fn alone_it_plays_with_pauses_and_a_key_still_counts() {
    let (_folder, path) = scene("Test", HELLO);
    let begin = Instant::now();
    let mut terminal = Terminal::start(100, &["--auto", &path], &[]);
    terminal.wait_for("Question: To whom?");
    assert!(!terminal.text().contains("a | hello"), "1.5 s for the question");
    assert_eq!(terminal.end().code(), Some(0));
    assert!(begin.elapsed() > Duration::from_millis(1500));
    let mut terminal = Terminal::start(100, &["--pace", "600", &path], &[]);
    terminal.wait_for("Question: To whom?");
    terminal.press("\r");
    terminal.wait_for("a | hello");
    terminal.press("q");
    assert_eq!(terminal.end().code(), Some(0));
}

const WORDS: &str = "Meanwhile the kernel has connected the second client already, but nobody \
    reads what it sends: the only thread in the server waits for the first one to say more";

/// Every word of the text is whole on some line.
fn assert_wraps(columns: u16) {
    let steps = format!(
        "[[step]]\nsay = '{WORDS}'\nquestion = '{WORDS}'\nanswer = '{WORDS}'\n\
         program = 'a'\nrun = \"echo '{WORDS}'\"\nexit = 0"
    );
    let (_folder, path) = scene("Test", &steps);
    let terminal =
        Terminal::of_size(60, columns, &["--auto", "--pace", "0", &path], &[]);
    terminal.wait_for("Played 1 of 1 scenes.");
    let lines = terminal.lines();
    assert!(lines.iter().all(|line| line.chars().count() <= columns.into()));
    let text = lines.join("\n");
    for word in WORDS.split(' ') {
        let whole =
            text.split_whitespace().filter(|shown| shown.trim_matches('\'') == word);
        let expected = 5 * WORDS.split(' ').filter(|it| *it == word).count();
        assert_eq!(whole.count(), expected, "'{word}' at {columns} columns:\n{text}");
    }
    // Under the text, not under the time and the name.
    let first = lines.iter().position(|line| line.contains(" s a | Mean")).unwrap();
    let indent = lines[first].find("Mean").unwrap();
    if columns < 180 {
        assert_eq!(
            lines[first + 1].trim_start().len(),
            lines[first + 1].len() - indent
        );
    }
}

#[test]
fn words_stay_whole_at_60_100_and_200_columns() {
    [60, 100, 200].into_iter().for_each(assert_wraps);
}

#[test]
fn a_terminal_that_shrinks_is_wrapped_to_its_new_width() {
    let second = HELLO.replace("It says hello.", WORDS);
    let (_folder, path) = scene("Test", &format!("{HELLO}{second}"));
    let mut terminal = Terminal::start(200, &[&path], &[]);
    terminal.wait_for("Enter: go on");
    let mut size = rustix::termios::tcgetwinsize(&terminal.master).unwrap();
    size.ws_col = 40;
    tcsetwinsize(&terminal.master, size).unwrap();
    terminal
        .shown
        .lock()
        .unwrap()
        .parser
        .screen_mut()
        .set_size(number(30), number(40));
    terminal.press("\r");
    terminal.wait_for("2/2 Meanwhile the kernel has connected\n");
    terminal.wait_for("Enter: go on");
    // Narrower than any text fits: it goes on all the same.
    size.ws_col = 5;
    tcsetwinsize(&terminal.master, size).unwrap();
    terminal.press("\r\r");
    terminal.wait_until("the end", || terminal.bytes().contains("It was"));
    terminal.press("q");
    assert_eq!(terminal.end().code(), Some(0));
}

/// Tells its number and that of a program that ignores Ctrl-C.
const STUBBORN: &str = "[[step]]\nprogram = 'a'\n\
    run = \"sh -c 'sleep 1000 & echo $$; echo $!; wait'\"\nexpect = ['<n>', '<n>']\n";

fn pids(terminal: &Terminal) -> Vec<u32> {
    let lines = terminal.lines();
    let pids =
        lines.iter().filter_map(|line| line.split(" a | ").nth(1)?.parse().ok());
    pids.collect()
}

/// Ctrl-C while it shows this.
fn assert_ctrl_c_ends(what: &str, steps: &str, at: &str) {
    let (_folder, path) = scene("Test", &format!("{STUBBORN}{steps}"));
    let mut terminal = Terminal::start(100, &[&path], &[]);
    terminal.wait_for(at);
    let pids = pids(&terminal);
    assert_eq!(pids.len(), 2, "{what}: {}", terminal.text());
    let begin = Instant::now();
    terminal.press("\x03");
    assert_eq!(terminal.end().code(), Some(130), "{what}");
    assert!(begin.elapsed() < AT_ONCE, "{what}: {:?}", begin.elapsed());
    pids.into_iter().for_each(procfs::assert_gone);
    let modes = tcgetattr(&terminal.master).unwrap().local_modes;
    assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "{what}");
}

#[test]
fn ctrl_c_ends_everything_in_every_phase_and_gives_the_terminal_back() {
    let step = "[[step]]\nprogram = 'b'\n";
    for (what, steps, at) in [
        (
            "before a step",
            format!("{step}say = 'Hello.'\nrun = 'true'"),
            "Enter: go on",
        ),
        (
            "waiting for a line",
            format!("{step}run = 'cat'\ntype = 'x'\nexpect = ['y']"),
            "b | x",
        ),
        ("in silence", format!("{step}run = 'sleep 1000'\nquiet = 500"), "s to go"),
        (
            "waiting for an end",
            format!("{step}run = 'sleep 1000'\nexit = 0"),
            "at most",
        ),
        ("in a flood", format!("{step}run = 'yes'\nexpect = ['n']"), "b | y"),
    ] {
        assert_ctrl_c_ends(what, &steps, at);
    }
    // Between two scenes nothing runs any more, and the end is the same.
    let (_folder, path) =
        scene("Test", "[[step]]\nprogram = 'a'\nrun = 'true'\nexit = 0");
    let mut terminal = Terminal::start(100, &[&path], &[]);
    terminal.wait_for("Enter: the end");
    terminal.press("\x03");
    assert_eq!(terminal.end().code(), Some(130));
}

#[test]
fn keys_count_while_a_program_prints_without_end() {
    let (_folder, path) =
        scene("Test", "[[step]]\nprogram = 'a'\nrun = 'yes'\nexpect = ['n']");
    let mut terminal = Terminal::start(100, &[&path], &[]);
    terminal.wait_for("a | y");
    let begin = Instant::now();
    terminal.press("q");
    assert_eq!(terminal.end().code(), Some(0));
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    assert!(terminal.text().contains("more such lines of a"));
}

/// What happens on stage is as easy to see as the programs are to tell apart.
#[test]
fn programs_events_and_faults_have_colours() {
    let killed = "[[step]]\nprogram = 'a'\nrun = 'cat'\ntype = 'hello'\nexpect = ['hello']\nkill = true\n";
    let faulty = "[[step]]\nprogram = 'b'\nrun = 'echo FAULT: dropped'\nexit = 0\n";
    let (_folder, path) = scene("Test", &format!("{killed}{faulty}"));
    let terminal = Terminal::start(100, &["--auto", "--pace", "0", &path], &[]);
    terminal.wait_for("Played 1 of 1 scenes.");
    let event = terminal.colour_of(" s ", "Killed: a");
    assert_ne!(event, Color::Default);
    assert_eq!(terminal.colour_of("b | ", "FAULT: dropped"), event);
    assert_eq!(terminal.colour_of(" s ", "Typed into a: hello"), event);
    assert_eq!(terminal.colour_of("a | ", "hello"), Color::Default);
    let [a, b] =
        ["a | hello", "b | FAULT"].map(|text| terminal.colour_of(" s ", text));
    assert!(a != b && a != event && b != event, "{a:?} {b:?} {event:?}");
    assert!(a != Color::Default && b != Color::Default);
}

#[test]
fn a_plain_terminal_gets_plain_text() {
    let (_folder, path) = scene("Olá", HELLO);
    let play = |variables: &[(&str, &str)]| {
        let mut terminal = Terminal::start(100, &[&path], variables);
        for shown in ["Enter: go on", "Enter: the end"] {
            terminal.wait_for(shown);
            terminal.press("\r");
        }
        terminal.wait_for("Played 1 of 1 scenes.");
        terminal.bytes()
    };
    let dumb = play(&[("TERM", "dumb")]);
    assert!(!dumb.contains('\x1b') && dumb.contains("Olá"), "{dumb}");
    let plain = play(&[("NO_COLOR", "1")]);
    assert!(!plain.contains("\x1b[1m") && !plain.contains("\x1b[38"), "{plain}");
    let ascii = play(&[("LC_ALL", "C")]);
    assert!(ascii.is_ascii() && ascii.contains("Ol?"), "{ascii}");
    assert!(play(&[]).contains("\x1b[38;5;"), "colours are usual");
}

#[test]
fn what_is_built_is_built_before_the_first_scene_in_one_line() {
    let step = "[[step]]\nprogram = 'a'\nrun = 'cargo run -q -p tcp-echo -- --help'\nexit = 0";
    let (_folder, path) = scene("Test", step);
    let terminal = Terminal::start(100, &[&path], &[]);
    terminal.wait_until("the end", || terminal.bytes().contains("Enter: the end"));
    let bytes = terminal.bytes();
    let built =
        bytes.find("Building 1 of 1: tcp-echo").expect("it says what it builds");
    assert!(built < bytes.find("cargo run").unwrap());
    assert!(!terminal.text().contains("Building"), "the line is taken away");
}
