//! Whether a broker answers: as much of MQTT and AMQP as a client says first.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The longest that a broker may take to answer once it has accepted a connection.
const PATIENCE: Duration = Duration::from_secs(5);

const MQTT_CONNECT: &[u8] = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04look";
const MQTT_CONNACK: &[u8] = b"\x20\x02\x00\x00";
const MQTT_DISCONNECT: &[u8] = b"\xe0\x00";

const AMQP_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
/// The methods that a client hears: class and number.
const START: [u8; 4] = [0, 10, 0, 10];
const TUNE: [u8; 4] = [0, 10, 0, 30];
const OPEN_OK: [u8; 4] = [0, 10, 0, 41];
const CLOSE_OK: [u8; 4] = [0, 10, 0, 51];
/// The methods that it says: no properties, PLAIN, guest and guest, en_US; channels,
/// the size of a frame, no heartbeat; the virtual host /; goodbye.
const START_OK: &[u8] =
    b"\x00\x0a\x00\x0b\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x0c\x00guest\x00guest\x05en_US";
const TUNE_OK: &[u8] = b"\x00\x0a\x00\x1f\x00\x0a\x00\x00\x20\x00\x00\x00";
const OPEN: &[u8] = b"\x00\x0a\x00\x28\x01/\x00\x00";
const CLOSE: &[u8] = b"\x00\x0a\x00\x32\x00\xc8\x00\x00\x00\x00\x00";

/// Whether an MQTT broker accepts clients at the port, and is the one that has this
/// socket in a folder of its own: another broker's CONNACK would sound just the same.
pub fn mqtt(port: u16, own: &Path) -> io::Result<()> {
    let own = UnixStream::connect(own)?;
    own.set_read_timeout(Some(PATIENCE))?;
    acknowledged(own)?;
    acknowledged(connect(port)?)
}

fn acknowledged(mut broker: impl Read + Write) -> io::Result<()> {
    broker.write_all(MQTT_CONNECT)?;
    let mut answer = [0; 4];
    broker.read_exact(&mut answer)?;
    if answer != MQTT_CONNACK {
        return Err(io::Error::other("it accepts no client"));
    }
    broker.write_all(MQTT_DISCONNECT)
}

/// Whether an AMQP broker accepts clients at the port, and is the node of this name.
pub fn amqp(port: u16, node: &str) -> io::Result<()> {
    let mut broker = connect(port)?;
    broker.write_all(AMQP_HEADER)?;
    let greeting = method(&mut broker, START)?;
    // RabbitMQ's server properties say the name of the cluster, here of the node.
    if !greeting.windows(node.len()).any(|part| part == node.as_bytes()) {
        return Err(io::Error::other("another broker answers"));
    }
    say(&mut broker, START_OK)?;
    method(&mut broker, TUNE)?;
    say(&mut broker, TUNE_OK)?;
    say(&mut broker, OPEN)?;
    method(&mut broker, OPEN_OK)?;
    say(&mut broker, CLOSE)?;
    method(&mut broker, CLOSE_OK).map(drop)
}

/// Whether anybody listens at the port.
pub fn tcp(port: u16) -> io::Result<()> {
    connect(port).map(drop)
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends a method on channel 0.
fn say(broker: &mut TcpStream, method: &[u8]) -> io::Result<()> {
    let mut frame = vec![1, 0, 0];
    frame.extend((method.len() as u32).to_be_bytes());
    frame.extend(method);
    frame.push(0xce);
    broker.write_all(&frame)
}

/// Reads a frame, which has to be this method; returns its arguments.
fn method(broker: &mut TcpStream, expected: [u8; 4]) -> io::Result<Vec<u8>> {
    let mut header = [0; 7];
    broker.read_exact(&mut header)?;
    let [_, _, _, size @ ..] = header;
    // Who answers need not speak AMQP at all.
    let size = u32::from_be_bytes(size).min(1 << 16);
    let mut frame = Vec::new();
    broker.take(u64::from(size) + 1).read_to_end(&mut frame)?;
    if header[0] != 1 || !frame.starts_with(&expected) {
        return Err(io::Error::other("it accepts no client"));
    }
    Ok(frame.split_off(expected.len()))
}
