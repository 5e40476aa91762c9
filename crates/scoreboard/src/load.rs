//! The clients: many connections on one thread, straight on the kernel's events,
//! since a load that costs more than the server would measure itself.

use std::io::{ErrorKind::WouldBlock, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use socket2::SockRef;

/// The longest message; the example servers read as much at once.
const MAX_MESSAGE: usize = 1024;

pub struct Load {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    message: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// How much of the echo is here already.
    received: usize,
    sent: Instant,
}

/// What to do when an echo is complete.
#[derive(Clone, Copy, PartialEq)]
pub enum Then {
    SendAgain,
    Rest,
}

impl Load {
    /// Opens all connections at once and waits until the last is there.
    pub fn connect(
        server: SocketAddr,
        connections: usize,
        message: Vec<u8>,
        patience: Duration,
    ) -> Result<Load> {
        ensure!((1..=MAX_MESSAGE).contains(&message.len()), "no such message size");
        let (poll, events) = (Poll::new()?, Events::with_capacity(1024));
        let mut load = Load { poll, events, connections: Vec::new(), message };
        for token in 0..connections {
            load.open(server, Token(token)).context("cannot open a connection")?;
        }
        load.wait_for_connections(patience)?;
        Ok(load)
    }

    fn open(&mut self, server: SocketAddr, token: Token) -> Result<()> {
        let mut stream = TcpStream::connect(server)?;
        // Closing then leaves nothing behind that waits for a minute in the kernel:
        // after a few rounds this machine would have no ports left.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        stream.set_nodelay(true)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, token, interest)?;
        self.connections.push(Connection {
            stream,
            received: 0,
            sent: Instant::now(),
        });
        Ok(())
    }

    fn wait_for_connections(&mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        let mut waiting = self.connections.len();
        while waiting > 0 {
            ensure!(Instant::now() < deadline, "{waiting} connections never came");
            self.poll.poll(&mut self.events, Some(Duration::from_millis(100)))?;
            for event in self.events.iter().filter(|event| event.is_writable()) {
                let stream = &mut self.connections[event.token().0].stream;
                if let Some(error) = stream.take_error()? {
                    return Err(error).context("a connection was refused");
                }
                // Readiness to write is of no interest any more, and would cost time.
                let readable = Interest::READABLE;
                self.poll.registry().reregister(stream, event.token(), readable)?;
                waiting -= 1;
            }
        }
        Ok(())
    }

    /// Puts one message under way on each connection.
    pub fn send_all(&mut self) -> Result<()> {
        for connection in &mut self.connections {
            connection.send(&self.message)?;
        }
        Ok(())
    }

    /// Receives echoes, and returns how many seconds each took. Ends when the time is
    /// up, or when each connection rests after its echo.
    pub fn run(&mut self, time: Duration, then: Then) -> Result<Vec<f64>> {
        let deadline = Instant::now() + time;
        let mut round_trips = Vec::new();
        while Instant::now() < deadline {
            if then == Then::Rest && round_trips.len() == self.connections.len() {
                break;
            }
            self.poll.poll(&mut self.events, Some(Duration::from_millis(100)))?;
            for event in &self.events {
                let connection = &mut self.connections[event.token().0];
                if !connection.receive(&self.message)? {
                    continue;
                }
                round_trips.push(connection.sent.elapsed().as_secs_f64());
                if then == Then::SendAgain {
                    connection.send(&self.message)?;
                }
            }
        }
        Ok(round_trips)
    }
}

impl Connection {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.received = 0;
        self.sent = Instant::now();
        // With one message in flight there is always room for it.
        let sent = self.stream.write(message).context("cannot send")?;
        ensure!(sent == message.len(), "only {sent} bytes could be sent");
        Ok(())
    }

    /// Reads what is there; says whether the echo is complete.
    fn receive(&mut self, message: &[u8]) -> Result<bool> {
        let mut buffer = [0; MAX_MESSAGE];
        while self.received < message.len() {
            let length = match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(length) => length,
                Err(error) if error.kind() == WouldBlock => return Ok(false),
                Err(error) => return Err(error).context("cannot receive"),
            };
            let expected = &message[self.received..];
            ensure!(expected.starts_with(&buffer[..length]), "a wrong echo");
            self.received += length;
            if self.received == message.len() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn connect(server: SocketAddr) -> Result<Load> {
        Load::connect(server, 3, b"hello".to_vec(), Duration::from_secs(5))
    }

    #[test]
    fn a_refused_connection_is_an_error() {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        // Bound, so that nobody else listens there, and not listening either.
        let socket = socket.unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        assert!(connect(address).is_err());
    }

    #[test]
    fn a_server_that_never_answers_gives_no_round_trips() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut load = connect(listener.local_addr().unwrap()).unwrap();
        load.send_all().unwrap();
        let times = load.run(Duration::from_millis(50), Then::SendAgain).unwrap();
        assert!(times.is_empty());
    }

    #[test]
    fn each_connection_rests_after_its_echo() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for _ in 0..3 {
                let (mut connection, _) = listener.accept().unwrap();
                let mut hello = [0; 5];
                connection.read_exact(&mut hello).unwrap();
                connection.write_all(&hello).unwrap();
                // Held open, or the load would see a server that leaves.
                std::mem::forget(connection);
            }
        });
        let mut load = connect(address).unwrap();
        load.send_all().unwrap();
        let times = load.run(Duration::from_secs(5), Then::Rest).unwrap();
        assert_eq!(times.len(), 3);
        server.join().unwrap();
    }
}
