//! How fast TCP and UDP are, and the lecture's last table: choosing the right tool.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::PATIENCE;

const ROUNDS: usize = 301;
const MESSAGE: [u8; 64] = [b'x'; 64];
/// The tools as the deck calls them, and of each one the transport that was measured.
const TOOLS: [(&str, &str); 6] = [
    ("TCP, UDP", "TCP, async"),
    ("REST", "REST, kept alive"),
    ("WebSocket", "WebSocket"),
    ("MQTT", "MQTT QoS 0"),
    ("RabbitMQ", "RabbitMQ, confirmed"),
    ("ZeroMQ", "ZeroMQ REQ/REP"),
];

/// Claim 14: UDP is faster than TCP as long as each message needs a connection. Over one
/// that is kept, TCP saves the same.
#[test]
fn udp_saves_the_connection_and_so_does_tcp_when_it_keeps_one() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let tcp = listener.local_addr().unwrap();
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let udp = server.local_addr().unwrap();
    // Both threads end with the process of the tests.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || echo(stream));
        }
    });
    thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok((length, client)) = server.recv_from(&mut buffer) {
            server.send_to(&buffer[..length], client).unwrap();
        }
    });
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut kept = TcpStream::connect(tcp).unwrap();
    let (mut new_tcp, mut kept_tcp, mut datagram) = (vec![], vec![], vec![]);
    // In turn, so that whatever else this machine does hits all of them alike.
    for _ in 0..ROUNDS {
        new_tcp.push(time(|| exchange(&mut TcpStream::connect(tcp).unwrap())));
        kept_tcp.push(time(|| exchange(&mut kept)));
        datagram.push(time(|| {
            client.send_to(&MESSAGE, udp).unwrap();
            assert_eq!(client.recv(&mut [0; 1024]).unwrap(), MESSAGE.len());
        }));
    }
    let [new_tcp, kept_tcp, datagram] = [new_tcp, kept_tcp, datagram].map(median);
    println!(
        "A connection each {new_tcp:?}, one kept {kept_tcp:?}, UDP {datagram:?}"
    );
    assert!(datagram < new_tcp, "{datagram:?} {new_tcp:?}");
    assert!(kept_tcp < new_tcp, "{kept_tcp:?} {new_tcp:?}");
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 64];
    while stream.read_exact(&mut buffer).is_ok() {
        stream.write_all(&buffer).unwrap();
    }
}

fn exchange(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&MESSAGE).unwrap();
    stream.read_exact(&mut [0; 64]).unwrap();
}

fn time(action: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    action();
    begin.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn slides(path: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../slides");
    fs::read_to_string(folder.join(path)).unwrap()
}

/// Claims 98 to 103: each tool of the lecture's last table is in the deck's, and the
/// committed run has its bytes on the wire and its delay. What survives a fault is judged
/// by the tests of brokers that are killed and of peers that vanish.
#[test]
fn each_tool_of_the_last_table_has_a_measured_row() {
    let (deck, run) = (slides("deck.md"), slides("scoreboard/scoreboard.json"));
    let run: Value = serde_json::from_str(&run).unwrap();
    for (tool, transport) in TOOLS {
        let mut rows =
            deck.lines().filter(|line| line.starts_with(&format!("| {tool} |")));
        assert!(rows.any(|row| row.split('|').count() > 5), "the deck has no {tool}");
        let mut rows = run["rows"].as_array().unwrap().iter();
        let is_it = |row: &&Value| {
            row["transport"] == transport
                && row["side"] == "example"
                && row["part"] == "reading"
        };
        let row = rows.find(is_it);
        let row = row.unwrap_or_else(|| panic!("{transport} was not measured"));
        let rounds = row["rounds"].as_array().unwrap();
        for figure in ["wire_bytes", "p50_us"] {
            let mut figures =
                rounds.iter().filter_map(|round| round[figure].as_f64());
            assert!(figures.any(|figure| figure > 0.0), "{transport}: {figure}");
        }
    }
}
