//! The load: how it counts, and what it does not let pass.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use scoreboard::load::{Load, connect};
use scoreboard::protocol::Fixed;
use socket2::{Domain, SockAddr, Socket, Type};

const MESSAGE: &str = "hello";
const MOMENT: Duration = Duration::from_millis(100);

/// A server of so many clients, each on a thread of its own.
fn server(
    clients: usize,
    serve: impl Fn(TcpStream) + Clone + Send + 'static,
) -> (SockAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let threads = (0..clients).map(|_| {
            let (client, serve) = (listener.accept().unwrap().0, serve.clone());
            thread::spawn(move || serve(client))
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    (address.into(), thread)
}

fn echo(mut client: TcpStream) {
    let mut buffer = [0; MESSAGE.len()];
    while client.read_exact(&mut buffer).is_ok() && client.write_all(&buffer).is_ok()
    {
    }
}

fn load(address: &SockAddr, clients: usize, is_anew: bool) -> Load {
    let mut load = Load::new().unwrap();
    for _ in 0..clients {
        let protocol = Box::new(Fixed::echo(MESSAGE));
        load.add_client((address, Type::STREAM), protocol, is_anew).unwrap();
    }
    load.settle().unwrap();
    load
}

#[test]
fn a_refused_connection_is_an_error() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // Bound, so that nobody else listens there, and not listening either.
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    assert!(connect(&socket.local_addr().unwrap(), Type::STREAM).is_err());
}

#[test]
fn a_server_that_never_answers_is_an_error() {
    let (address, _) = server(2, |mut client| drop(client.read_to_end(&mut vec![])));
    let mut load = load(&address, 1, false);
    load.patience = MOMENT;
    assert!(load.at_rate(1000, MOMENT).is_err());
    let mut load = self::load(&address, 1, false);
    load.patience = MOMENT;
    assert!(load.at_full_speed(Duration::from_secs(10)).is_err());
}

#[test]
fn a_server_that_leaves_or_answers_something_else_is_an_error() {
    let (leaves, _) = server(1, |mut client| drop(client.read(&mut [0; 16])));
    let error = load(&leaves, 1, false).at_full_speed(MOMENT).unwrap_err();
    assert_eq!(error.to_string(), "the program closed a connection, or ended");
    let (differs, _) = server(1, |mut client| {
        let _ = client.read(&mut [0; 16]);
        let _ = client.write_all(b"hullo");
    });
    assert!(load(&differs, 1, false).at_full_speed(MOMENT).is_err());
}

#[test]
fn all_clients_are_answered_and_nothing_is_left_under_way() {
    let (address, server) = server(3, echo);
    let mut load = load(&address, 3, false);
    let (delays, elapsed) = load.at_full_speed(MOMENT).unwrap();
    assert!(delays.len() > 3 && elapsed >= MOMENT);
    load.drain().unwrap();
    drop(load);
    server.join().unwrap();
}

#[test]
fn a_client_that_comes_anew_is_another_one_each_time() {
    let (address, server) = server(11, echo);
    let delays = load(&address, 1, true).at_rate(100, MOMENT).unwrap();
    assert_eq!(delays.len(), 10);
    server.join().unwrap();
}

#[test]
fn a_message_that_had_to_wait_for_another_counts_from_when_it_was_due() {
    let pauses = |mut client: TcpStream| {
        let mut first = [0; MESSAGE.len()];
        client.read_exact(&mut first).unwrap();
        sleep(MOMENT);
        client.write_all(&first).unwrap();
        echo(client);
    };
    let (address, _) = server(1, pauses);
    let delays = load(&address, 1, false).at_rate(200, MOMENT).unwrap();
    // As many are sent as are due. One was slow; of those that waited behind it, half
    // did for half its time.
    assert_eq!(delays.len(), 20);
    assert!(delays.value_at_quantile(0.5) >= 40_000, "{delays:?}");
}

/// A message that only some have got is no message.
#[test]
fn a_message_has_arrived_when_all_listeners_have_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SockAddr = listener.local_addr().unwrap().into();
    let mut load = Load::new().unwrap();
    let mut join = |is_publisher| {
        let (client, protocol) = (
            connect(&address, Type::STREAM).unwrap(),
            Box::new(Fixed::echo(MESSAGE)),
        );
        match is_publisher {
            true => load.add_publisher(client, protocol, 2, false),
            false => load.add_subscriber(client, protocol),
        }
        .unwrap();
        listener.accept().unwrap().0
    };
    let (mut publisher, mut one, mut other) = (join(true), join(false), join(false));
    thread::spawn(move || {
        let mut two = [0; 2 * MESSAGE.len()];
        publisher.read_exact(&mut two).unwrap();
        one.write_all(&two).unwrap();
        sleep(MOMENT);
        other.write_all(&two).unwrap();
        let mut message = [0; MESSAGE.len()];
        publisher.read_exact(&mut message).unwrap();
        // Nobody has sent the second one.
        one.write_all(&message.repeat(2)).unwrap();
        let _ = publisher.read_to_end(&mut Vec::new());
    });
    let delays = load.at_rate(1000, Duration::from_micros(1500)).unwrap();
    assert_eq!(delays.len(), 2);
    assert!(delays.min() >= 90_000, "{delays:?}");
    let error = load.at_rate(1, MOMENT).unwrap_err().to_string();
    assert_eq!(error, "a message came that was not sent");
}
