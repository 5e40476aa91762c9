//! Stands between a client and a server, and keeps every byte in the order in which it
//! crossed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::{env, fs, thread};

use wiretap::dissect::{Direction, Dissector, Message, Protocol};

use crate::program::PATIENCE;

/// Names the folder where the streams are kept, short ones then.
pub const KEEP: &str = "KEEP_STREAMS";

/// One connection: what was read at once, and who had sent it.
pub struct Recorded(pub Vec<(Direction, Vec<u8>)>);

pub struct Recorder {
    pub address: SocketAddr,
    ended: Receiver<Recorded>,
}

impl Recorder {
    /// Its thread lives as long as the test's process.
    pub fn start(target: SocketAddr) -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, ended) = mpsc::channel();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, sender) = (client.unwrap(), sender.clone());
                let server = TcpStream::connect(target).unwrap();
                // Nobody listens any more once the test has ended.
                thread::spawn(move || sender.send(record(&client, &server)));
            }
        });
        Recorder { address, ended }
    }

    /// The next connection that ends.
    pub fn recorded(&self) -> Recorded {
        self.ended.recv_timeout(PATIENCE).expect("a connection comes to its end")
    }
}

fn record(client: &TcpStream, server: &TcpStream) -> Recorded {
    let pieces = Arc::new(Mutex::new(Vec::new()));
    thread::scope(|scope| {
        scope.spawn(|| copy(Direction::ToServer, client, server, &pieces));
        copy(Direction::ToClient, server, client, &pieces);
    });
    Recorded(Arc::into_inner(pieces).unwrap().into_inner().unwrap())
}

type Pieces = Mutex<Vec<(Direction, Vec<u8>)>>;

fn copy(
    direction: Direction,
    mut from: &TcpStream,
    mut to: &TcpStream,
    all: &Pieces,
) {
    let mut buffer = vec![0; 16 * 1024];
    // A reset is an end as well.
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        // Kept before it is passed on, so that no answer can come before it.
        all.lock().unwrap().push((direction, buffer[..length].to_vec()));
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

impl Recorded {
    /// Writes it for the tests of wiretap if a person asks for it by this variable: a
    /// line for what was read at once, in hexadecimal, `61*200` being 200 times `a`.
    pub fn keep(&self, name: &str) {
        let Some(folder) = env::var_os(KEEP) else { return };
        let lines = self.0.iter().map(|(direction, bytes)| {
            let runs = bytes.chunk_by(|one, other| one == other);
            let runs = runs.map(|run| match run.len() {
                length @ 8.. => format!(" {:02x}*{length} ", run[0]),
                length => format!("{:02x}", run[0]).repeat(length),
            });
            let sign = [">", "<"][*direction as usize];
            format!("{sign} {}\n", runs.collect::<String>().trim())
        });
        let path = Path::new(&folder).join(name).with_extension("txt");
        fs::write(path, lines.collect::<String>()).unwrap();
    }

    /// What the dissector finds, whole and in single bytes: the same, and every byte of
    /// each direction once.
    pub fn messages(&self, expected: Protocol) -> Vec<Message> {
        let (found, messages) = self.dissect(usize::MAX);
        assert_eq!(found, Some(expected));
        let (_, in_single_bytes) = self.dissect(1);
        assert_eq!(messages, in_single_bytes);
        for direction in [Direction::ToServer, Direction::ToClient] {
            let mut covered = 0;
            for message in
                messages.iter().filter(|message| message.direction == direction)
            {
                assert_eq!(message.start, covered, "{message:?}");
                covered = message.end;
            }
            let sent = self.0.iter().filter(|(of, _)| *of == direction);
            let sent: usize = sent.map(|(_, bytes)| bytes.len()).sum();
            assert_eq!(covered, sent as u64);
        }
        messages
    }

    fn dissect(&self, size: usize) -> (Option<Protocol>, Vec<Message>) {
        let mut dissector = Dissector::new(None);
        let mut messages = Vec::new();
        for (direction, bytes) in &self.0 {
            for bytes in bytes.chunks(size) {
                messages.extend(dissector.push(*direction, bytes));
            }
        }
        for direction in [Direction::ToServer, Direction::ToClient] {
            messages.extend(dissector.end(direction));
        }
        (dissector.protocol(), messages)
    }
}
