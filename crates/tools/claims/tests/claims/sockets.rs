//! Sockets: the foundation; TCP vs. UDP.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use socket2::{Domain, SockRef, Socket, Type};

use crate::program::PATIENCE;
use crate::{start_python, start_server};

fn local() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Two ends of one connection.
fn connected_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(local()).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_read_timeout(Some(PATIENCE)).unwrap();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    (near, far)
}

/// Claim 2: a socket is a file descriptor.
#[test]
fn a_socket_is_a_file_descriptor() {
    let (near, mut far) = connected_pair();
    let number = near.as_raw_fd();
    let link = fs::read_link(format!("/proc/self/fd/{number}")).unwrap();
    let link = link.to_str().unwrap();
    let inode = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
    let inode = inode.unwrap_or_else(|| panic!("descriptor {number} is {link}"));
    // The kernel's table of TCP sockets has the same number.
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let listed = |line: &str| line.split_whitespace().nth(9) == Some(inode);
    assert!(table.lines().any(listed), "no socket {inode} in:\n{table}");

    // So what reads and writes files can read and write sockets.
    let mut file = File::from(OwnedFd::from(near));
    assert_eq!(file.as_raw_fd(), number);
    file.write_all(b"as to a file").unwrap();
    let mut received = [0; 12];
    far.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"as to a file");
    far.write_all(b"and back").unwrap();
    drop(far);
    let mut answer = String::new();
    file.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "and back");
}

/// Claim 5: two main types, stream and datagram.
#[test]
fn a_tcp_socket_is_a_stream_and_a_udp_socket_is_for_datagrams() {
    let listener = TcpListener::bind(local()).unwrap();
    let (stream, _peer) = connected_pair();
    let datagrams = UdpSocket::bind(local()).unwrap();
    assert_eq!(SockRef::from(&listener).r#type().unwrap(), Type::STREAM);
    assert_eq!(SockRef::from(&stream).r#type().unwrap(), Type::STREAM);
    assert_eq!(SockRef::from(&datagrams).r#type().unwrap(), Type::DGRAM);
}

/// Claim 15: HTTP runs on TCP (typed by hand).
#[test]
fn http_typed_into_a_tcp_socket_gets_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello.txt"), "Hello, web").unwrap();
    let path = folder.path().to_str().unwrap();
    let module =
        ["-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", path];
    let mut server = start_python(&module);
    let rest = server.wait_for("Serving HTTP on 127.0.0.1 port ");
    let port = rest.split(' ').next().unwrap().parse().unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));

    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.write_all(b"GET /hello.txt HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an empty line");
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert_eq!(body, "Hello, web");
}

/// A DNS question (RFC 1035, 4.1): the address (type A, class IN) of example.com.
const QUESTION: &[u8] = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\
    \x07example\x03com\0\0\x01\0\x01";
/// Its answer: the question again, then the name (as a pointer to it), type, class,
/// an hour to live, and four bytes of address.
const ANSWER: &[u8] = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\
    \x07example\x03com\0\0\x01\0\x01\
    \xc0\x0c\0\x01\0\x01\0\0\x0e\x10\0\x04\xc0\0\x02\x01";
/// What RFC 1035, 4.2.1 allows in a datagram.
const MOST_IN_A_DATAGRAM: usize = 512;

/// Claim 15: DNS fits one datagram.
#[test]
fn a_dns_question_and_its_answer_are_one_datagram_each() {
    let mut server = start_server("udp-echo", "udp-server");
    let address = server.address("UDP server listening on ");
    let socket = UdpSocket::bind(local()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for message in [QUESTION, ANSWER] {
        assert_eq!(socket.send_to(message, address).unwrap(), message.len());
        let mut buffer = [0; MOST_IN_A_DATAGRAM];
        let (length, _) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], message);
    }
}

/// An address of this machine that others can reach, if it has one. Connecting a
/// datagram socket sends nothing: it only asks for the route, and so for the address
/// that it would send from. The destination is one for documentation (RFC 5737).
fn address_seen_by_others() -> Option<IpAddr> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    let nobody = SocketAddr::from((Ipv4Addr::new(203, 0, 113, 1), 9));
    socket.connect(&nobody.into()).ok()?;
    let own = socket.local_addr().unwrap().as_socket().unwrap().ip();
    (!own.is_loopback()).then_some(own)
}

/// Claim 19: 127.0.0.1 is reachable from this machine alone.
#[test]
fn a_server_on_127_0_0_1_is_not_reachable_through_another_address() {
    let mut server = start_server("tcp-echo", "tcp-server");
    let address = server.address("TCP server listening on ");
    // 127.0.0.2 is this machine as well, and yet another door.
    let second = Some(IpAddr::from([127, 0, 0, 2]));
    for other in second.into_iter().chain(address_seen_by_others()) {
        let refused = connect_from_localhost((other, address.port()).into());
        let kind = refused.map_err(|error| error.kind());
        assert_eq!(kind, Err(ErrorKind::ConnectionRefused), "through {other}");
    }
    connect_from_localhost(address).expect("the server is there");
    server.wait_for("Connected by ");
}

/// Connects from 127.0.0.1: a socket that is free to choose could come to have the
/// address that it connects to, and would then reach itself.
fn connect_from_localhost(address: SocketAddr) -> std::io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&local().into())?;
    socket.connect_timeout(&address.into(), PATIENCE)
}
