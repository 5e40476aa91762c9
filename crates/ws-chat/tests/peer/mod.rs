//! A WebSocket of the test's own, which can break every rule.
#![allow(dead_code)] // No test uses all of it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use crate::program::{Ended, PATIENCE, Program};

pub const SERVER: &str = env!("CARGO_BIN_EXE_ws-server");
pub const CLIENT: &str = env!("CARGO_BIN_EXE_ws-client");

pub const MAX_MESSAGE: usize = 64 * 1024;

// The first byte of a frame: the bit that says that it is the last of its message,
// and its kind.
pub const TEXT: u8 = 0x81;

pub const CLOSE: u8 = 0x88;

pub const PING: u8 = 0x89;

pub const PONG: u8 = 0x8A;

pub fn start_server(address: &str) -> (Program, SocketAddr) {
    start_server_with(&[address])
}

pub fn start_server_with(arguments: &[&str]) -> (Program, SocketAddr) {
    let mut server = Program::start(SERVER, arguments);
    let address = server.address("WebSocket server on ws://");
    (server, address)
}

pub fn start_client(server: SocketAddr, more: &[&str]) -> Program {
    let url = format!("ws://{server}");
    Program::start(CLIENT, &[&[&url as &str], more].concat())
}

/// Runs the client with these bytes as its input.
pub fn type_lines(server: SocketAddr, input: impl AsRef<[u8]>) -> Ended {
    let url = format!("ws://{server}");
    let mut client = Program::start_with_input(CLIENT, &[&url]);
    client.type_in(input);
    client.child.stdin = None;
    client.end()
}

/// A connection of the test's own, to send what the client program would not.
pub fn connect(server: SocketAddr) -> TcpStream {
    let connection = TcpStream::connect(server).unwrap();
    connection.set_nodelay(true).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.set_write_timeout(Some(PATIENCE)).unwrap();
    connection
}

pub fn read_to_end(mut connection: &TcpStream) -> String {
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// The request of RFC 6455, section 1.3, and more headers.
pub fn upgrade_request(host: &str, more: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// Sends a request and returns the head of the response.
pub fn ask(mut connection: &TcpStream, request: &str) -> String {
    connection.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A WebSocket of the test's own, which can break every rule.
pub struct Peer {
    pub tcp: TcpStream,
}

impl Peer {
    pub fn join(server: SocketAddr) -> Peer {
        let tcp = connect(server);
        let response = ask(&tcp, &upgrade_request(&server.to_string(), ""));
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        Peer { tcp }
    }

    pub fn port(&self) -> u16 {
        self.tcp.local_addr().unwrap().port()
    }

    pub fn send(&mut self, kind: u8, payload: &[u8]) {
        self.tcp.write_all(&frame(kind, payload)).unwrap();
    }

    pub fn say(&mut self, text: &str) {
        self.send(TEXT, text.as_bytes());
    }

    /// The next frame but for the server's own pings: its first byte, and its payload.
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        loop {
            let mut head = [0; 2];
            self.tcp.read_exact(&mut head).unwrap();
            let mut length = u64::from(head[1]);
            assert!(length < 128, "a server does not mask");
            if length > 125 {
                let mut long = [0; 8];
                let begin = if length == 126 { 6 } else { 0 };
                self.tcp.read_exact(&mut long[begin..]).unwrap();
                length = u64::from_be_bytes(long);
            }
            let mut payload = vec![0; length as usize];
            self.tcp.read_exact(&mut payload).unwrap();
            if head[0] != PING {
                return (head[0], payload);
            }
            self.send(PONG, &payload);
        }
    }

    pub fn text(&mut self) -> String {
        let (kind, payload) = self.frame();
        assert_eq!(kind, TEXT, "{}", String::from_utf8_lossy(&payload));
        String::from_utf8(payload).unwrap()
    }

    /// Reads on until the server closes; returns the code and the reason.
    pub fn closing(&mut self) -> (u16, String) {
        loop {
            let (kind, payload) = self.frame();
            if kind == CLOSE {
                return close_code(&payload);
            }
        }
    }

    /// The server ends the connection, with or without saying why.
    pub fn assert_let_go(&mut self) {
        match self.tcp.read_to_end(&mut Vec::new()) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => {
                panic!("the server did not end the connection: {error}")
            }
            _ => {}
        }
    }

    /// After the closing handshake it is the server that ends the connection.
    pub fn assert_ended(&mut self) {
        assert_eq!(self.tcp.read(&mut [0]).unwrap(), 0);
    }
}

pub fn close_code(payload: &[u8]) -> (u16, String) {
    let code = payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
    (code, String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).to_string())
}

pub fn close_payload(code: u16) -> Vec<u8> {
    [&code.to_be_bytes(), "bye".as_bytes()].concat()
}

/// A masked frame, as a client has to send it.
pub fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xFA, 0x21, 0x3D];
    let mut frame = vec![kind];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length @ ..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(
        payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask),
    );
    frame
}

/// A frame from a client, which has to be masked.
pub fn masked_frame(tcp: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 6];
    tcp.read_exact(&mut head).unwrap();
    assert!((0x80..0x80 + 126).contains(&head[1]), "masked and short: {head:x?}");
    let mut payload = vec![0; (head[1] & 0x7F) as usize];
    tcp.read_exact(&mut payload).unwrap();
    let mask = head[2..].iter().cycle();
    (head[0], payload.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect())
}

/// The next connection; a program that never connects fails the test in time.
pub fn accept(listener: &TcpListener) -> TcpStream {
    let (sender, accepted) = mpsc::channel();
    let listener = listener.try_clone().unwrap();
    thread::spawn(move || sender.send(listener.accept().unwrap().0));
    accepted.recv_timeout(PATIENCE).expect("expected a connection, and none came")
}

/// A client that meets this instead of the real server. It answers the key of the
/// client by the server of the test's own: it asks the real one.
pub fn start_fake_server<T: Send + 'static>(
    serve: impl FnOnce(Peer) -> T + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let mut tcp = accept(&listener);
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = ask(&tcp, "");
        // The real server knows the answer to the client's key.
        let (_server, real) = start_server("127.0.0.1:0");
        let response = ask(&connect(real), &request);
        tcp.write_all(response.as_bytes()).unwrap();
        serve(Peer { tcp })
    });
    (address, thread)
}
