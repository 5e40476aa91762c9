//! Datagrams that lie about their sender: anybody can write any address into one.
//!
//! A server that answers whatever arrives would answer itself for ever when a
//! datagram claims to come from the server's own address; and to port 0 nothing can
//! be sent.
#![cfg(target_os = "linux")]

#[path = "examples/mod.rs"]
mod examples;
mod procfs;
#[path = "../../../tcp-echo/tests/program/mod.rs"]
mod program;

use std::env;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use procfs::wait_for_rest;
use program::{PATIENCE, Program};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// The trap is real: this is why the servers have a check.
#[test]
fn a_server_that_answers_everybody_answers_itself() {
    with_raw_socket("a_server_that_answers_everybody_answers_itself", |raw| {
        let server = UdpSocket::bind((LOCALHOST, 0)).unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        let SocketAddr::V4(address) = server.local_addr().unwrap() else { panic!() };
        send_forged(raw, address, address, b"round and round");
        for _ in 0..100 {
            let mut buffer = [0; 64];
            let (length, peer) = server.recv_from(&mut buffer).unwrap();
            assert_eq!(
                (&buffer[..length], peer),
                (&b"round and round"[..], address.into())
            );
            server.send_to(&buffer[..length], peer).unwrap();
        }
    });
}

/// One that claims to come from the server itself, or from port 0, which is none.
#[test]
fn a_forged_sender_neither_stops_nor_spins_udp_server() {
    with_raw_socket("a_forged_sender_neither_stops_nor_spins_udp_server", |raw| {
        ignores_forged(raw, "udp-echo", "udp", "UDP server listening on ");
    });
}

#[test]
fn a_forged_sender_neither_stops_nor_spins_async_udp_server() {
    with_raw_socket(
        "a_forged_sender_neither_stops_nor_spins_async_udp_server",
        |raw| {
            let ready = "Async UDP server listening on ";
            ignores_forged(raw, "async-udp-echo", "async-udp", ready);
        },
    );
}

fn ignores_forged(raw: &Socket, package: &str, prefix: &str, ready: &str) {
    let path = |role| examples::program(package, &format!("{prefix}-{role}"));
    let (server, client) = (path("server"), path("client"));
    let mut server = Program::start(server.to_str().unwrap(), &["127.0.0.1:0"]);
    let SocketAddr::V4(address) = server.address(ready) else {
        panic!("IPv4, please")
    };
    let nowhere = SocketAddrV4::new(LOCALHOST, 0);
    // Two of each, and not in order.
    for sender in [address, nowhere, nowhere, address] {
        send_forged(raw, sender, address, b"forged");
    }
    // A server that answered itself would never come to rest.
    wait_for_rest(server.child.id());
    let arguments = [&address.to_string(), "genuine"];
    let ended = Program::run(client.to_str().unwrap(), &arguments);
    let echo = format!("Received echo: genuine from {address}");
    assert_eq!(ended.output, [echo], "{}", ended.errors);
    server.wait_for("Received genuine from ");

    server.signal("TERM");
    let ended = server.end();
    let ignored = |peer| format!("Ignored a datagram that claims to be from {peer}");
    let expected = [address, nowhere, nowhere, address].map(ignored);
    assert_eq!(ended.errors.lines().collect::<Vec<_>>(), expected);
    let received = ended.output.iter().filter(|line| line.starts_with("Received "));
    assert_eq!(received.count(), 1, "{:?}", ended.output);
}

/// Sends a datagram with headers made here, and so with any sender in them.
fn send_forged(raw: &Socket, from: SocketAddrV4, to: SocketAddrV4, data: &[u8]) {
    let udp_length = 8 + data.len() as u16;
    // RFC 791: version 4 and five words of header; no service; the whole length.
    let mut packet = vec![0x45, 0];
    packet.extend((20 + udp_length).to_be_bytes());
    // Identification, no fragment; time to live; UDP; the checksum, left to Linux.
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    // RFC 768: two ports, the length, and 0 for "no checksum".
    packet.extend(from.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend(udp_length.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(data);
    assert_eq!(raw.send_to(&packet, &to.into()).unwrap(), packet.len());
}

/// Runs the check with a socket that sends whole IP packets. Only root may have one:
/// for anybody else the test of that name runs once more, in a network of its own,
/// where its user is root.
fn with_raw_socket(test: &str, check: impl FnOnce(&Socket)) {
    match Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))) {
        Ok(raw) => {
            raw.set_header_included_v4(true).unwrap();
            check(&raw);
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            assert!(env::var_os("OWN_NETWORK").is_none(), "not even there: {error}");
            run_in_own_network(test);
        }
        Err(error) => panic!("no raw socket: {error}"),
    }
}

/// In a new network nothing is switched on, not even its 127.0.0.1.
const IN_OWN_NETWORK: &str = r#"
    exec unshare --user --map-root-user --net sh -c '
        ip link set lo up && OWN_NETWORK=yes exec "$0" --exact "$1"' "$0" "$1"
"#;

fn run_in_own_network(test: &str) {
    let tests = env::current_exe().unwrap();
    let ended = Program::run(
        "sh",
        &["-c", IN_OWN_NETWORK, tests.to_str().expect("a path in UTF-8"), test],
    );
    let output = ended.output.join("\n");
    // A test that is not found fails nothing: that one has passed must be there.
    assert!(
        ended.code == Some(0) && output.contains("1 passed"),
        "{output}\n{}\nThis test forges datagrams, as only root can. \
         Run `sudo make test`, or allow user namespaces; they need the commands \
         unshare and ip: apt-get install util-linux iproute2",
        ended.errors
    );
}
