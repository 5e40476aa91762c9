//! The clients: some connections, one request under way on each, straight on the
//! kernel's events, since a load that costs more than the server would measure itself.

use std::io::{ErrorKind::WouldBlock, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

const REQUEST: &[u8] = b"GET /items/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
const BODY: &[u8] = br#"{"name":"Laptop","price":1200}"#;
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Load {
    poll: Poll,
    events: Events,
    connections: Vec<(mio::net::TcpStream, usize)>,
    /// The bytes of one answer, the same each time.
    answer: usize,
}

impl Load {
    /// Connects, and checks on each connection that the answer is right.
    pub fn connect(server: SocketAddr, connections: usize) -> Result<Load> {
        let (poll, events) = (Poll::new()?, Events::with_capacity(1024));
        let mut load = Load { poll, events, connections: Vec::new(), answer: 0 };
        for token in 0..connections {
            let stream = TcpStream::connect(server)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            // Closing then leaves nothing behind that waits for a minute.
            SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
            let answer = first_answer(&stream)?;
            ensure!(load.answer == 0 || load.answer == answer, "answers differ");
            load.answer = answer;
            stream.set_nonblocking(true)?;
            let mut stream = mio::net::TcpStream::from_std(stream);
            let registry = load.poll.registry();
            registry.register(&mut stream, Token(token), Interest::READABLE)?;
            load.connections.push((stream, 0));
        }
        for (stream, _) in &mut load.connections {
            send(stream)?;
        }
        Ok(load)
    }

    /// Asks again after each answer until the time is up; returns how many came.
    pub fn run(&mut self, time: Duration) -> Result<u64> {
        let deadline = Instant::now() + time;
        let mut answers = 0;
        let mut buffer = [0; 4096];
        while Instant::now() < deadline {
            self.poll.poll(&mut self.events, Some(Duration::from_millis(100)))?;
            for event in &self.events {
                let (stream, received) = &mut self.connections[event.token().0];
                loop {
                    match stream.read(&mut buffer) {
                        Ok(0) => bail!("the server closed a connection"),
                        Ok(length) => {
                            // The answer may come in pieces.
                            let is_first = *received == 0;
                            let is_fine = buffer.starts_with(b"HTTP/1.1 200 OK\r\n");
                            ensure!(is_fine || !is_first, "not 200");
                            *received += length;
                        }
                        Err(error) if error.kind() == WouldBlock => break,
                        Err(error) => return Err(error).context("cannot receive"),
                    }
                }
                ensure!(*received <= self.answer, "an answer of another length");
                if *received == self.answer {
                    *received = 0;
                    answers += 1;
                    send(stream)?;
                }
            }
        }
        Ok(answers)
    }
}

fn send(stream: &mut mio::net::TcpStream) -> Result<()> {
    // With one request in flight there is always room for it.
    let sent = stream.write(REQUEST).context("cannot send")?;
    ensure!(sent == REQUEST.len(), "only {sent} bytes could be sent");
    Ok(())
}

/// How many bytes an answer has, if it is the right one.
fn first_answer(mut stream: &TcpStream) -> Result<usize> {
    stream.write_all(REQUEST)?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(BODY) {
        let length = stream.read(&mut buffer).context("no right answer came")?;
        ensure!(length > 0, "a wrong answer: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..length]);
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "not 200");
    Ok(answer.len())
}
