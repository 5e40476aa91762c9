//! What holds for any stream, and however it is cut: every byte belongs to one message,
//! what is kept is bounded, and nothing panics.
//!
//! The streams were recorded from programs that know nothing of these dissectors, by the
//! dissectors' tests: KEEP_STREAMS=FOLDER cargo test -p wiretap --test dissectors

use std::fs;
use std::path::Path;

use clap::ValueEnum;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngSeed};
use wiretap::dissect::{Direction, Dissector, Message, Protocol, SHOWN};

type Stream = Vec<(Direction, Vec<u8>)>;

const DIRECTIONS: [Direction; 2] = [Direction::ToServer, Direction::ToClient];
/// A name and details are for one line: a thousand characters, and that they were cut.
const LONGEST_TEXT: usize = 4 * 1024;

/// The same cases each time; PROPTEST_CASES=100000 tries more of them.
fn config() -> Config {
    let cases = Config::default().cases;
    Config {
        cases,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..Config::default()
    }
}

fn streams() -> Vec<(String, Stream)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/streams");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    let streams = files.iter().map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_string();
        (name, fs::read_to_string(path).unwrap().lines().map(piece).collect())
    });
    streams.collect()
}

/// A line such as `> 474554 61*200`.
fn piece(line: &str) -> (Direction, Vec<u8>) {
    let (sign, runs) = line.split_once(' ').unwrap();
    let runs = runs.split(' ').flat_map(|run| {
        let (digits, times) = run.split_once('*').unwrap_or((run, "1"));
        let bytes = (0..digits.len()).step_by(2);
        let bytes =
            bytes.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap());
        bytes.collect::<Vec<_>>().repeat(times.parse().unwrap())
    });
    (DIRECTIONS[usize::from(sign == "<")], runs.collect())
}

fn stream() -> impl Strategy<Value = Stream> {
    select(streams()).prop_map(|(_, stream)| stream)
}

fn protocol() -> impl Strategy<Value = Option<Protocol>> {
    let known = Protocol::value_variants().iter().map(|&protocol| Some(protocol));
    select([None].into_iter().chain(known).collect::<Vec<_>>())
}

/// Sizes of pieces, used over and over.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), vec(1..8_usize, 1..20), vec(1..300_usize, 1..20)]
}

fn cut(stream: &Stream, sizes: &[usize]) -> Stream {
    let mut sizes = sizes.iter().cycle();
    let mut pieces = Vec::new();
    for (direction, bytes) in stream {
        let mut bytes = &bytes[..];
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(*sizes.next().unwrap()));
            pieces.push((*direction, now.to_vec()));
            bytes = rest;
        }
    }
    pieces
}

/// One thing that goes wrong in one piece.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, Index, u8),
    Insert(Index, Index, Vec<u8>),
    Remove(Index, Index, usize),
    /// Some of it comes twice.
    Repeat(Index, Index, usize),
    Drop(Index),
    Turn(Index),
    Swap(Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    // Bytes that lengths are made of are the most likely to hurt.
    let byte =
        || prop_oneof![any::<u8>(), select(vec![0, 0x7e, 0x7f, 0x80, 0xfe, 0xff])];
    prop_oneof![
        4 => (at(), at(), byte()).prop_map(|(a, b, c)| Mutation::Set(a, b, c)),
        2 => (at(), at(), vec(byte(), 1..20)).prop_map(|(a, b, c)| Mutation::Insert(a, b, c)),
        2 => (at(), at(), 1..20_usize).prop_map(|(a, b, c)| Mutation::Remove(a, b, c)),
        1 => (at(), at(), 1..200_usize).prop_map(|(a, b, c)| Mutation::Repeat(a, b, c)),
        1 => at().prop_map(Mutation::Drop),
        1 => at().prop_map(Mutation::Turn),
        1 => (at(), at()).prop_map(|(a, b)| Mutation::Swap(a, b)),
    ]
}

fn mutate(stream: &mut Stream, mutation: &Mutation) {
    let pieces = stream.len();
    let within = |bytes: &[u8], at: &Index, length: usize| {
        let start = at.index(bytes.len() + 1);
        start..bytes.len().min(start + length)
    };
    match mutation {
        _ if pieces == 0 => {}
        Mutation::Set(piece, at, value) => {
            let bytes = &mut stream[piece.index(pieces)].1;
            let range = within(bytes, at, 1);
            bytes[range].fill(*value);
        }
        Mutation::Insert(piece, at, new) => {
            let bytes = &mut stream[piece.index(pieces)].1;
            let range = within(bytes, at, 0);
            bytes.splice(range, new.iter().copied());
        }
        Mutation::Remove(piece, at, length) => {
            let bytes = &mut stream[piece.index(pieces)].1;
            let range = within(bytes, at, *length);
            bytes.drain(range);
        }
        Mutation::Repeat(piece, at, length) => {
            let bytes = &mut stream[piece.index(pieces)].1;
            let range = within(bytes, at, *length);
            let again = bytes[range.clone()].to_vec();
            bytes.splice(range.start..range.start, again);
        }
        Mutation::Drop(piece) => drop(stream.remove(piece.index(pieces))),
        Mutation::Turn(piece) => {
            let direction = &mut stream[piece.index(pieces)].0;
            *direction = DIRECTIONS[1 - *direction as usize];
        }
        Mutation::Swap(one, other) => {
            stream.swap(one.index(pieces), other.index(pieces))
        }
    }
}

/// All messages. Asserts that those of a direction cover it, and that they are small.
fn dissect(protocol: Option<Protocol>, stream: &Stream) -> Vec<Message> {
    let mut dissector = Dissector::new(protocol);
    let mut messages = Vec::new();
    let mut pushed = [0; 2];
    for (direction, bytes) in stream {
        pushed[*direction as usize] += bytes.len() as u64;
        let new = dissector.push(*direction, bytes);
        assert!(
            new.iter().all(|m| m.end <= pushed[m.direction as usize]),
            "{new:#?}"
        );
        messages.extend(new);
    }
    for direction in DIRECTIONS {
        messages.extend(dissector.end(direction));
        assert_eq!(dissector.end(direction), [], "it ends once");
    }
    let mut covered = [0; 2];
    for message in &messages {
        let covered = &mut covered[message.direction as usize];
        assert_eq!(message.start, *covered, "{messages:#?}");
        assert!(message.end > message.start, "{message:?}");
        *covered = message.end;
        let payload =
            (message.end - message.start).checked_sub(message.header).unwrap();
        assert_eq!(
            message.payload.len() as u64,
            payload.min(SHOWN as u64),
            "{message:?}"
        );
        assert!(!message.name.is_empty() && message.name.len() < LONGEST_TEXT);
        assert!(message.details.len() < LONGEST_TEXT, "{message:?}");
        let text = message.name.chars().chain(message.details.chars());
        assert!(!text.into_iter().any(char::is_control), "{message:?}");
    }
    assert_eq!(covered, pushed);
    messages
}

/// Each direction's messages, what is text or bytes in one: that is cut as it comes.
fn comparable(messages: &[Message]) -> [Vec<Message>; 2] {
    let is_raw = |m: &Message| m.header == 0 && ["text", "bytes"].contains(&&*m.name);
    let mut all = [Vec::new(), Vec::new()];
    for message in messages {
        let all: &mut Vec<Message> = &mut all[message.direction as usize];
        match all.last_mut() {
            Some(last) if is_raw(last) && is_raw(message) => last.end = message.end,
            _ if is_raw(message) => {
                let (name, payload) = ("bytes".to_string(), Vec::new());
                all.push(Message { name, payload, ..message.clone() });
            }
            _ => all.push(message.clone()),
        }
    }
    all
}

#[test]
fn each_recorded_stream_is_understood_whole_and_in_single_bytes() {
    let streams = streams();
    let names: Vec<&str> = streams.iter().map(|(name, _)| &name[..]).collect();
    for kind in ["amqp", "http", "mqtt-311", "mqtt-5", "websocket", "zmtp"] {
        assert!(names.iter().any(|name| name.starts_with(kind)), "{names:?}");
    }
    for (name, stream) in &streams {
        let messages = dissect(None, stream);
        assert!(messages.len() > 3, "{name}");
        for message in &messages {
            assert!(
                !["text", "bytes"].contains(&&*message.name),
                "{name}: {message:?}"
            );
            assert!(!message.details.contains("cut short"), "{name}: {message:?}");
        }
        assert_eq!(messages, dissect(None, &cut(stream, &[1])), "{name}");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn however_a_stream_is_cut_its_messages_are_the_same(
        stream in stream(),
        sizes in cuts(),
    ) {
        prop_assert_eq!(dissect(None, &stream), dissect(None, &cut(&stream, &sizes)));
    }

    #[test]
    fn whatever_goes_wrong_no_byte_is_lost_or_doubled(
        mut stream in stream(),
        mutations in vec(mutation(), 1..6),
        sizes in cuts(),
        forced in protocol(),
    ) {
        for mutation in &mutations {
            mutate(&mut stream, mutation);
        }
        for protocol in [None, forced] {
            let whole = comparable(&dissect(protocol, &stream));
            let sliced = comparable(&dissect(protocol, &cut(&stream, &sizes)));
            prop_assert_eq!(whole, sliced);
        }
    }

    #[test]
    fn bytes_that_mean_nothing_are_covered_too(
        protocol in protocol(),
        pieces in vec((select(DIRECTIONS.to_vec()), vec(any::<u8>(), 1..300)), 1..10),
        sizes in cuts(),
    ) {
        let whole = comparable(&dissect(protocol, &pieces));
        prop_assert_eq!(whole, comparable(&dissect(protocol, &cut(&pieces, &sizes))));
    }
}
