//! What crosses the network, and what becomes of it when it is broken on purpose: the
//! wiretap stands between the real programs.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use std::{process, thread};

use brokers::{Broker, Kind};
use nix::libc;
use wiretap::dissect::{Direction, Message};
use wiretap::{Event, Faults, Options, Wiretap};

use crate::program::{PATIENCE, Program};
use crate::{examples, start_server};

/// A wiretap before a server, and what it has told so far.
struct Tap {
    wiretap: Wiretap,
    lines: Receiver<Event>,
    events: Vec<Event>,
}

impl Tap {
    fn start(target: impl ToString, udp: bool, faults: Faults) -> Tap {
        let (sender, lines) = mpsc::channel();
        let tell = move |line: wiretap::Line| drop(sender.send(line.event));
        let options = Options { udp, faults, ..Options::default() };
        let listen = (Ipv4Addr::LOCALHOST, 0).into();
        let wiretap =
            Wiretap::start(listen, &target.to_string(), options, tell).unwrap();
        Tap { wiretap, lines, events: Vec::new() }
    }

    fn address(&self) -> SocketAddr {
        self.wiretap.address()
    }

    /// Waits until it has told of so many messages that pass.
    fn wait_for(&mut self, count: usize, is_wanted: impl Fn(&Message) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while self.messages().filter(|message| is_wanted(message)).count() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(event) => self.events.push(event),
                Err(_) => panic!("no {count} such messages: {:#?}", self.events),
            }
        }
    }

    fn messages(&self) -> impl Iterator<Item = &Message> {
        self.events.iter().filter_map(|event| match event {
            Event::Message(message, _) => Some(message),
            _ => None,
        })
    }

    /// Ends it; returns all that it told, and how often each fault happened.
    fn stop(mut self) -> (Vec<Event>, Vec<(&'static str, u64)>) {
        let summary = self.wiretap.stop().unwrap();
        assert_eq!(summary.lines_left_out, 0);
        self.events.extend(self.lines.iter());
        (self.events, summary.faults.into_iter().collect())
    }
}

fn start(package: &str, binary: &str, arguments: &[&str]) -> Program {
    let path = examples::program(package, binary);
    Program::start(path.to_str().unwrap(), arguments)
}

fn size(message: &Message) -> u64 {
    message.end - message.start
}

fn payload(message: &Message) -> &str {
    str::from_utf8(&message.payload).unwrap()
}

/// Bytes of which no part is like another, so that nothing can change places unseen.
fn block(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let random = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    });
    random.take(length).collect()
}

/// Claim 8: TCP delivers everything in order.
#[test]
fn ten_megabytes_come_whole_and_in_order_however_they_are_cut() {
    let mut server = start_server("async-tcp-echo", "async-tcp-server");
    let target = server.address("Async TCP server listening on ");
    // No divisor of anything, so that the cuts are everywhere.
    let faults = Faults { slice: Some(1021), ..Faults::default() };
    let tap = Tap::start(target, false, faults);
    let mut connection = TcpStream::connect(tap.address()).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let sent = block(10 << 20);
    let mut received = vec![0; sent.len()];
    let mut sending = connection.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| sending.write_all(&sent).unwrap());
        connection.read_exact(&mut received).unwrap();
    });
    assert!(received == sent, "something is lost, changed or elsewhere");
}

/// Claim 8: TCP delivers everything in order, even single bytes. The client compares.
#[test]
fn a_message_sent_as_single_bytes_comes_whole() {
    let mut server = start_server("tcp-echo", "tcp-server");
    let target = server.address("TCP server listening on ");
    let faults = Faults { slice: Some(1), ..Faults::default() };
    let tap = Tap::start(target, false, faults);
    let message: String =
        block(50_000).iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    let address = tap.address().to_string();
    let client = start("tcp-echo", "tcp-client", &[&address, &message]).end();
    assert_eq!(client.code, Some(0), "{}", client.errors);
    assert!(client.output[1].starts_with("Received echo: "), "{:?}", client.output);
}

/// Claim 9: UDP may lose datagrams. What comes while the server does not read is kept
/// by the kernel as long as there is room, and then lost, and nobody is told.
#[test]
fn datagrams_are_lost_when_the_receive_buffer_is_full() {
    const COUNT: u32 = 3000;
    let mut server = start_server("udp-echo", "udp-server");
    let address = server.address("UDP server listening on ");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(address).unwrap();
    server.signal("STOP");
    for number in 0..COUNT {
        let mut datagram = [0; 1000];
        datagram[..4].copy_from_slice(&number.to_be_bytes());
        assert_eq!(socket.send(&datagram).unwrap(), 1000, "sending succeeds");
    }
    server.signal("CONT");
    let received = echoes_before_the_end(&socket);
    assert!(!received.is_empty() && received.len() < COUNT as usize);
    println!("{} of {COUNT} datagrams came back", received.len());
}

/// The numbers of the datagrams that come back before one that is sent now, and again
/// until there is room for it.
fn echoes_before_the_end(socket: &UdpSocket) -> Vec<u32> {
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let (mut received, mut buffer) = (Vec::new(), [0; 1000]);
    loop {
        assert!(Instant::now() < deadline, "the server echoes no more");
        match socket.recv(&mut buffer) {
            Ok(3) => return received,
            Ok(_) => {
                received.push(u32::from_be_bytes(*buffer.first_chunk().unwrap()))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                socket.send(b"end").unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Claim 9: UDP may lose datagrams, and who wants an answer must ask again.
#[test]
fn a_lost_datagram_is_sent_again_by_the_client_and_by_nobody_else() {
    let mut server = start_server("udp-echo", "udp-server");
    let target = server.address("UDP server listening on ");
    // What seed 7 makes of it: the first datagram is lost, the second and its echo not.
    let faults =
        Faults { drop: "30%".parse().unwrap(), seed: Some(7), ..Faults::default() };
    let tap = Tap::start(target, true, faults);
    let client = start("udp-echo", "udp-client", &[&tap.address().to_string()]).end();
    assert_eq!(client.code, Some(0), "{}", client.errors);
    assert_eq!(client.errors, "No reply in 1 s to try 1 of 3");
    let (_, faults) = tap.stop();
    assert_eq!(faults, [("dropped", 1)]);
    server.wait_for("Received Hello, UDP! from ");
}

/// Claim 10: UDP may reorder, and duplicate as well.
#[test]
fn datagrams_may_come_in_another_order_and_twice() {
    let mut server = start_server("async-udp-echo", "async-udp-server");
    let target = server.address("Async UDP server listening on ");
    let faults = Faults {
        reorder: "30%".parse().unwrap(),
        duplicate: "20%".parse().unwrap(),
        seed: Some(1),
        ..Faults::default()
    };
    let mut tap = Tap::start(target, true, faults);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(tap.address()).unwrap();
    for number in 0..50u32 {
        socket.send(&number.to_be_bytes()).unwrap();
        // One after the other: the kernel itself changes nothing.
        let is_it = |message: &Message| message.payload == number.to_be_bytes();
        tap.wait_for(1, is_it);
    }
    let received = echoes_before_the_end(&socket);
    assert_eq!(received.iter().collect::<HashSet<_>>().len(), 50, "none is lost");
    assert!(received.len() > 50, "none came twice");
    assert!(!received.is_sorted(), "all came in their order");
    let (_, faults) = tap.stop();
    assert!(faults.iter().any(|&(name, count)| name == "reordered" && count > 0));
    assert!(faults.iter().any(|&(name, count)| name == "duplicated" && count > 0));
}

/// What the kernel says of a connection (TCP_INFO), as numbers of 32 bits.
fn tcp_info(socket: &TcpStream) -> [u32; 64] {
    let mut info = [0u32; 64];
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, which the array has.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &mut length,
        )
    };
    assert!(result == 0 && length >= 160, "only {length} bytes of TCP_INFO");
    info
}

// Places in Linux's struct tcp_info.
const PMTU: usize = 60 / 4;
const ADVMSS: usize = 84 / 4;
const SEGS_OUT: usize = 136 / 4;
const SEGS_IN: usize = 140 / 4;
const DATA_SEGS_OUT: usize = 156 / 4;

/// Claim 11: TCP pays a handshake before the first byte; UDP's first is the datagram.
#[test]
fn three_segments_cross_before_the_first_byte_of_tcp_and_nothing_before_that_of_udp()
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let info = tcp_info(&stream);
    // Out: SYN and ACK; in: SYN-ACK.
    assert_eq!([SEGS_OUT, SEGS_IN, DATA_SEGS_OUT].map(|at| info[at]), [2, 1, 0]);

    // Nobody is there to shake hands with, and the datagram is on its way all the same.
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.send_to(b"first", peer.local_addr().unwrap()).unwrap();
    drop(socket);
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(peer.recv(&mut [0; 5]).unwrap(), 5, "from a socket that is closed");
}

/// Claim 13: the UDP header is small: 8 bytes against at least 20. A packet of IPv4 has
/// 65,535 bytes at most, 20 of which are its own header.
#[test]
fn a_header_of_udp_takes_8_bytes_and_one_of_tcp_at_least_20() {
    let largest = 65_535 - 20;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let own = socket.local_addr().unwrap();
    let datagram = vec![0; largest];
    assert_eq!(socket.send_to(&datagram[8..], own).unwrap(), largest - 8);
    let error = socket.send_to(&datagram[7..], own).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let info = tcp_info(&stream);
    // Of a packet on this way, what is left for data.
    let header = info[PMTU] - 20 - info[ADVMSS];
    assert!((20..=60).contains(&header), "{header} of {}", info[PMTU]);
    println!("TCP: {header} bytes");
}

/// Claims 61, 63 and 64: it starts as an HTTP upgrade; then messages keep their bounds,
/// are masked from the client, and cost 2 bytes down and 6 up.
#[test]
fn after_the_upgrade_a_message_is_one_frame_of_2_bytes_more_down_and_6_up() {
    let mut server = start_server("ws-chat", "ws-server");
    let address = server.address("WebSocket server on ws://");
    // Pieces that change no message's bounds. Of single bytes the library would take the
    // upgrade for an attack.
    let faults = Faults { slice: Some(5), ..Faults::default() };
    let mut tap = Tap::start(address, false, faults);
    let url = format!("ws://{}", tap.address());
    let mut listener = start("ws-chat", "ws-client", &[&url, "--listen"]);
    listener.wait_for("Connected to server");
    let said = ["one", "and two", "3"];
    let client = examples::program("ws-chat", "ws-client");
    let typed =
        format!("printf '{}\n' | {} {url}", said.join("\n"), client.display());
    let talker = Program::run("sh", &["-c", &typed]);
    assert_eq!(talker.code, Some(0), "{}", talker.errors);
    for text in said {
        assert!(listener.wait_for("[").ends_with(&format!("]: {text}")));
    }
    let is_frame = |message: &Message| message.name == "text frame";
    tap.wait_for(6, is_frame);

    // One upgrade a connection, and not a request more, for any number of messages.
    let names = |way| {
        let messages = tap.messages().filter(move |message| message.direction == way);
        messages
            .map(|message| message.name.as_str())
            .filter(|&name| name != "text frame")
    };
    assert_eq!(names(Direction::ToServer).filter(|&name| name == "GET").count(), 2);
    assert_eq!(names(Direction::ToClient).filter(|&name| name == "101").count(), 2);
    let frames = |way| {
        let frames = tap.messages().filter(|message| is_frame(message));
        frames.filter(move |message| message.direction == way)
    };
    let (up, down) = (frames(Direction::ToServer), frames(Direction::ToClient));
    for ((up, down), text) in up.zip(down).zip(said) {
        assert_eq!((payload(up), up.header, &*up.details), (text, 6, "FIN, masked"));
        assert_eq!(size(up), 6 + text.len() as u64);
        assert!(payload(down).ends_with(&format!("]: {text}")), "{down:?}");
        assert_eq!((down.header, &*down.details), (2, "FIN"));
    }
    // What the upgrade alone costs, which HTTP pays for each message.
    assert!(tap.messages().filter(|message| size(message) > 100).count() == 4);
}

/// Claim 91: messages, not a stream: in single bytes they come as they were sent.
#[test]
fn messages_of_zeromq_keep_their_bounds_in_single_bytes() {
    let mut replier =
        start("zeromq-patterns", "zeromq-replier", &["tcp://127.0.0.1:0"]);
    let address = replier.address("Replier listening on tcp://");
    let faults = Faults { slice: Some(1), ..Faults::default() };
    let mut tap = Tap::start(address, false, faults);
    let endpoint = format!("tcp://{}", tap.address());
    let arguments = [&endpoint, "Hello, world", "--count", "3"];
    let requester = start("zeromq-patterns", "zeromq-requester", &arguments).end();
    assert_eq!(requester.code, Some(0), "{}", requester.errors);
    for number in 1..=3 {
        assert_eq!(replier.wait_for("Received request: "), "Hello, world");
        let reply = format!("Received reply {number}: Hello, world");
        assert!(requester.output.contains(&reply), "{:?}", requester.output);
    }
    // Each is a frame of its own, there and back, with a header of 2 bytes.
    let is_message = |message: &Message| message.details == "last";
    tap.wait_for(6, is_message);
    for message in tap.messages().filter(|message| is_message(message)) {
        assert_eq!((payload(message), message.header), ("Hello, world", 2));
    }
}

/// Publishes one temperature while the wiretap swallows what is named; returns how
/// often it is delivered, and its packets, whether they crossed or were lost.
fn deliveries(url: &str, qos: &str, swallow: &str) -> (usize, Vec<String>) {
    let topic =
        format!("test/{}/wire-{qos}/{}", process::id(), swallow.replace(' ', "-"));
    let end = format!("{topic}/end");
    let arguments =
        ["--broker", url, "--qos", "2", "--topic", &topic, "--topic", &end];
    let mut subscriber = start("mqtt-temperature", "mqtt-subscriber", &arguments);
    subscriber.wait_for("Subscribed to ");
    subscriber.wait_for("Subscribed to ");
    let publish = |url: &str, topic: &str| {
        let arguments =
            ["--broker", url, "--topic", topic, "--qos", qos, "--count", "1"];
        let ended = start("mqtt-temperature", "mqtt-publisher", &arguments).end();
        assert_eq!(ended.code, Some(0), "{}", ended.errors);
        assert!(
            ended.errors.is_empty()
                || ended.errors == "Lost connection, reconnecting"
        );
    };
    let place = url.trim_start_matches("mqtt://");
    // Late, so that the publisher is waiting when its connection breaks: what it could
    // not write Paho C 1.3.16 may free twice.
    let (swallow, delay) = (Some(swallow.into()), "50ms".parse().ok());
    let faults = Faults { swallow, delay, ..Faults::default() };
    let tap = Tap::start(place, false, faults);
    publish(&format!("mqtt://{}", tap.address()), &topic);
    // Past the wiretap, of the same QoS: what the broker has sent before comes before.
    publish(url, &end);
    let lines = subscriber.output_up_to(&format!("Topic: {end} | "));
    let delivered = format!("Topic: {topic} | ");
    let delivered = lines.iter().filter(|line| line.starts_with(&delivered)).count();
    let (events, faults) = tap.stop();
    assert_eq!(faults, [("swallowed", 1)], "{events:#?}");
    let messages = events.iter().filter_map(|event| match event {
        Event::Message(message, _) => Some(message),
        _ => None,
    });
    // Packet 1 is that of the status, which is of QoS 1; at QoS 0 a message has no number.
    let (own, number) = (format!("topic {topic}"), qos != "0");
    let packets = messages.filter(|message| {
        message.details.ends_with(&own) || number && message.details == "packet 2"
    });
    let shown = packets.map(|message| match message.details.contains("DUP") {
        true => format!("{} again", message.name),
        false => message.name.clone(),
    });
    (delivered, shown.collect())
}

/// Claim 74: QoS 0: at most once.
#[test]
fn at_qos_0_a_lost_message_is_never_delivered() {
    let broker = Broker::start(Kind::Mosquitto).unwrap();
    let (count, packets) = deliveries(&broker.url(), "0", "PUBLISH QoS 0");
    assert_eq!(packets, ["PUBLISH"]);
    assert_eq!(count, 0);
}

/// Claim 75: QoS 1: at least once, with a duplicate when an acknowledgement is lost.
#[test]
fn at_qos_1_a_message_whose_acknowledgement_is_lost_is_delivered_twice() {
    let broker = Broker::start(Kind::Mosquitto).unwrap();
    let (count, packets) = deliveries(&broker.url(), "1", "PUBACK packet 2");
    assert_eq!(packets, ["PUBLISH", "PUBACK", "PUBLISH", "PUBACK"]);
    assert_eq!(count, 2);
}

/// Claim 76: QoS 2: exactly once, whichever of its four packets is lost (claim 77).
#[test]
fn at_qos_2_a_message_is_delivered_once_whichever_of_its_packets_is_lost() {
    let broker = Broker::start(Kind::Mosquitto).unwrap();
    // Side by side, because a lost connection takes seconds to be replaced.
    let lose = |(swallow, expected)| {
        let url = broker.url();
        (swallow, expected, thread::spawn(move || deliveries(&url, "2", swallow)))
    };
    let runs = [
        ("PUBLISH QoS 2", &["PUBLISH", "PUBLISH again", "PUBREC"][..]),
        ("PUBREC", &["PUBLISH", "PUBREC", "PUBLISH again", "PUBREC"]),
        ("PUBREL", &["PUBLISH", "PUBREC", "PUBREL"]),
        ("PUBCOMP", &["PUBLISH", "PUBREC", "PUBREL", "PUBCOMP"]),
    ];
    for (swallow, expected, run) in runs.map(lose) {
        let (count, packets) = run.join().unwrap();
        let all = [expected, &["PUBREL", "PUBCOMP"]].concat();
        assert_eq!(packets, all, "without {swallow}");
        assert_eq!(count, 1, "without {swallow}");
    }
}
