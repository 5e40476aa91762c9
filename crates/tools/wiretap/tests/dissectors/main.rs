//! The dissectors of wiretap against streams that independent programs make, and against
//! what tshark says of the same bytes.
#![cfg(unix)] // Python's environment is made with a path of Unix's.

#[path = "../../../../tcp-echo/tests/program/mod.rs"]
mod program;
mod recorder;
mod tshark;

use std::env;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use brokers::python;
use program::Program;
use recorder::{KEEP, Recorder};
use tshark::Seen;
use wiretap::dissect::{Direction, Message, Protocol};

const PACKAGES: [&str; 3] = ["websockets==17.4", "pika==1.4.4", "pyzmq==27.3.0"];

/// Starts a Python program.
fn start_python(script: &str, arguments: &[&str]) -> Program {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dissectors");
    let python = python::environment(&folder, &PACKAGES).unwrap();
    Program::start(
        python.to_str().unwrap(),
        &[&["-u", "-c", script], arguments].concat(),
    )
}

/// Runs a client to its good end; returns what it printed.
fn finish(program: Program) -> Vec<String> {
    let ended = program.end();
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    ended.output
}

fn run(program: &str, arguments: &[&str]) -> Vec<String> {
    finish(Program::start(program, arguments))
}

/// Where the broker of this variable listens.
fn broker(variable: &str) -> SocketAddr {
    let url = env::var(variable).unwrap_or_else(|_| {
        panic!(
            "set {variable} to a broker's URL, for instance: \
             cargo lab brokers -- cargo test -p wiretap --test dissectors"
        )
    });
    let host = url.rsplit(['/', '@']).find(|part| part.contains(':')).unwrap_or(&url);
    host.to_socket_addrs().unwrap().next().unwrap()
}

fn size(message: &Message) -> u64 {
    message.end - message.start
}

fn payload(message: &Message) -> u64 {
    size(message) - message.header
}

/// tshark puts a message that came in parts where its end is, as the dissector does; so
/// the messages of each direction are in the same order.
fn pairs<'a>(
    messages: &'a [Message],
    seen: &'a [Seen],
) -> impl Iterator<Item = (&'a Message, &'a Seen)> {
    let shown = |direction: Direction| {
        let ours = messages.iter().filter(move |m| m.direction == direction);
        let theirs = seen.iter().filter(move |m| m.direction == direction);
        assert_eq!(ours.clone().count(), theirs.clone().count(), "{messages:#?}");
        ours.zip(theirs)
    };
    shown(Direction::ToServer).chain(shown(Direction::ToClient))
}

/// A message, or its answer, that takes several reads, unless the streams are kept.
fn long() -> usize {
    if env::var_os(KEEP).is_some() { 300 } else { 70_000 }
}

const WEB_SERVER: &str = r"
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def answer(self, status, body, *headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
    def do_HEAD(self):
        self.answer(200, b'', ('Content-Length', '1000'))
    def do_GET(self):
        if self.path == '/chunked':
            chunks = b'5\r\nHello\r\n3e8\r\n' + b'x' * 1000 + b'\r\n0\r\n\r\n'
            self.answer(200, chunks, ('Transfer-Encoding', 'chunked'))
        elif self.path == '/nothing':
            self.answer(204, b'')
        elif self.path == '/endless':
            self.close_connection = True
            self.answer(200, b'y' * 5000)
        else:
            size = int(self.path[1:])
            self.answer(200, b'z' * size, ('Content-Length', str(size)))
    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        self.answer(201, b'made', ('Content-Length', '4'))
    def log_message(self, *arguments):
        pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print('listening 127.0.0.1:%d' % server.server_port)
server.serve_forever()
";

#[test]
fn http_of_curl_and_python_is_what_tshark_sees() {
    let mut server = start_python(WEB_SERVER, &[]);
    let recorder = Recorder::start(server.address("listening "));
    let url = |path: &str| format!("http://{}/{path}", recorder.address);
    let (sized, chunked, body) =
        (url(&long().to_string()), url("chunked"), "b".repeat(3000));
    let (nothing, posted, endless) = (url("nothing"), url("posted"), url("endless"));
    let requests = [
        vec![&sized[..]],
        vec!["--head", &sized],
        vec![&chunked],
        vec![&nothing],
        vec!["-H", "Expect: 100-continue", "-d", &body, &posted],
        vec![&endless],
    ];
    // One command, so one connection.
    let requests =
        requests.map(|request| [vec!["-s", "-o", "/dev/null"], request].concat());
    run("curl", &requests.join(&"--next"));
    let recorded = recorder.recorded();
    recorded.keep("http");
    let messages = recorded.messages(Protocol::Http);
    let seen = tshark::seen(&recorded, 80, "http");
    for (message, seen) in pairs(&messages, &seen) {
        let name = match message.direction {
            Direction::ToServer => seen.shows("http.request.method"),
            Direction::ToClient => seen.shows("http.response.code"),
        };
        assert_eq!(Some(&message.name[..]), name);
        assert_eq!(payload(message), seen.bytes("http.file_data"), "{message:?}");
        // tshark counts a body sometimes, so it does not contradict either.
        assert!([message.header, size(message)].contains(&seen.size), "{message:?}");
    }
    let statuses = messages.iter().filter(|m| m.direction == Direction::ToClient);
    let statuses: Vec<&str> = statuses.map(|message| &message.name[..]).collect();
    assert_eq!(statuses, ["200", "200", "200", "204", "100", "201", "200"]);
}

const WEBSOCKET_SERVER: &str = r"
import asyncio, sys
from websockets.asyncio.server import serve
async def talk(socket):
    await socket.ping(b'are you there?')
    async for message in socket:
        await socket.send(message)
async def main():
    compression = 'deflate' if sys.argv[1] == 'deflate' else None
    options = dict(compression=compression, max_size=None)
    async with serve(talk, '127.0.0.1', 0, **options) as server:
        print('listening 127.0.0.1:%d' % server.sockets[0].getsockname()[1])
        await server.serve_forever()
asyncio.run(main())
";

const WEBSOCKET_CLIENT: &str = r"
import asyncio, sys
from websockets.asyncio.client import connect
async def fragments():
    for part in ['one ', 'two ', 'three']:
        yield part
async def main():
    async with connect('ws://' + sys.argv[1], max_size=None) as socket:
        long = 'x' * int(sys.argv[2])
        for message in ['Hello', '', b'\x00' * 200, long, fragments()]:
            await socket.send(message)
            await socket.recv()
        await (await socket.ping())
        await socket.close(1001, 'bye')
asyncio.run(main())
";

#[test]
fn websocket_frames_of_python_are_what_tshark_sees() {
    for compression in ["plain", "deflate"] {
        let mut server = start_python(WEBSOCKET_SERVER, &[compression]);
        let recorder = Recorder::start(server.address("listening "));
        let address = recorder.address.to_string();
        finish(start_python(WEBSOCKET_CLIENT, &[&address, &long().to_string()]));
        let recorded = recorder.recorded();
        recorded.keep(&format!("websocket-{compression}"));
        let messages = recorded.messages(Protocol::Http);
        // The handshake is HTTP, which tshark counts by itself.
        let (handshake, frames) = messages.split_at(2);
        assert_eq!([&*handshake[0].name, &*handshake[1].name], ["GET", "101"]);
        let seen = tshark::seen(&recorded, 80, "websocket");
        for (message, seen) in pairs(frames, &seen) {
            assert_same_frame(message, seen, compression == "deflate");
        }
        assert!(frames.iter().any(|frame| frame.details.contains("of a text frame")));
        let compressed =
            frames.iter().any(|frame| frame.details.contains("compressed"));
        assert_eq!(compressed, compression == "deflate");
    }
}

fn assert_same_frame(message: &Message, seen: &Seen, compression: bool) {
    let opcode = seen.number("websocket.opcode").unwrap();
    let names = [(0, "continuation"), (1, "text"), (2, "binary")];
    let names = names.into_iter().chain([(8, "close"), (9, "ping"), (10, "pong")]);
    let (_, name) = names.into_iter().find(|(number, _)| *number == opcode).unwrap();
    assert_eq!(message.name, format!("{name} frame"));
    // tshark shows the code of a close frame as payload.
    let code = seen.shows("websocket.payload.close.status_code");
    assert_eq!(message.header, seen.size + if code.is_some() { 2 } else { 0 });
    assert_eq!(size(message), seen.size + seen.bytes("websocket.payload"));
    let details: Vec<&str> = message.details.split(", ").collect();
    let flags = [("FIN", "websocket.fin"), ("masked", "websocket.mask")];
    for (flag, field) in flags.into_iter().chain([("compressed", "websocket.pmc")]) {
        if field != "websocket.pmc" || compression {
            let set = seen.number(field) == Some(1);
            assert_eq!(details.contains(&flag), set, "{field}: {message:?}");
        }
    }
    if let Some(code) = code {
        assert!(message.details.contains(&format!("code {code}")), "{message:?}");
        assert_eq!(message.payload, b"bye");
    }
    if let (Some(text), false) = (seen.shows("websocket.payload.text"), compression) {
        let length = text.len().min(200);
        assert_eq!(str::from_utf8(&message.payload), Ok(&text[..length]));
    }
}

#[test]
fn mqtt_packets_of_mosquitto_are_what_tshark_sees() {
    let recorder = Recorder::start(broker("MQTT_URL"));
    let port = recorder.address.port().to_string();
    let topic = format!("dissectors/{}", std::process::id());
    let long = "x".repeat(long());
    for (version, qos) in
        [("311", "0"), ("311", "1"), ("311", "2"), ("5", "1"), ("5", "2")]
    {
        let to =
            ["-h", "127.0.0.1", "-p", &port, "-t", &topic, "-V", version, "-q", qos];
        // It is kept by the broker, so that whoever subscribes gets it.
        let publish = ["-r", "-m", &long];
        run("mosquitto_pub", &[&to[..], &publish].concat());
        let published = recorder.recorded();
        let lines = run("mosquitto_sub", &[&to[..], &["-C", "1"]].concat());
        assert!(lines == [&long[..]]);
        let subscribed = recorder.recorded();
        published.keep(&format!("mqtt-{version}-publisher-{qos}"));
        subscribed.keep(&format!("mqtt-{version}-subscriber-{qos}"));
        for recorded in [published, subscribed] {
            let messages = recorded.messages(Protocol::Mqtt);
            let seen = tshark::seen(&recorded, 1883, "mqtt");
            for (message, seen) in pairs(&messages, &seen) {
                assert_same_packet(message, seen);
            }
            let publish = messages.iter().find(|message| message.name == "PUBLISH");
            assert_eq!(publish.map(payload), Some(long.len() as u64));
        }
        let remove = ["-r", "-n"];
        run("mosquitto_pub", &[&to[..], &remove].concat());
        recorder.recorded();
    }
}

fn assert_same_packet(message: &Message, seen: &Seen) {
    let names = [
        ("CONNECT", "connect command"),
        ("CONNACK", "connect ack"),
        ("PUBLISH", "publish message"),
        ("PUBACK", "publish ack"),
        ("PUBREC", "publish received"),
        ("PUBREL", "publish release"),
        ("PUBCOMP", "publish complete"),
        ("SUBSCRIBE", "subscribe request"),
        ("SUBACK", "subscribe ack"),
        ("DISCONNECT", "disconnect req"),
    ];
    let kind = seen.label("mqtt.msgtype").unwrap();
    // "0001 .... = Message Type: Connect Command (1)" has the name behind.
    let (name, _) = names.iter().find(|(_, name)| kind.ends_with(name)).unwrap();
    assert_eq!(message.name, *name);
    assert_eq!(size(message), seen.size, "{message:?}");
    assert_eq!(payload(message), seen.bytes("mqtt.msg"), "{message:?}");
    if *name == "PUBLISH" {
        let qos = seen.number("mqtt.qos").unwrap();
        assert!(message.details.starts_with(&format!("QoS {qos}")), "{message:?}");
        for (flag, field) in [("DUP", "mqtt.dupflag"), ("RETAIN", "mqtt.retain")] {
            let set = seen.number(field) == Some(1);
            assert_eq!(message.details.contains(flag), set, "{field}: {message:?}");
        }
    }
    for (word, field) in [("packet", "mqtt.msgid"), ("topic", "mqtt.topic")] {
        if let Some(value) = seen.shows(field) {
            let value = format!("{word} {value}");
            assert!(message.details.contains(&value), "{value}: {message:?}");
        }
    }
}

const PIKA: &str = r"
import pika, sys, os
host, port = sys.argv[1].split(':')
connection = pika.BlockingConnection(pika.ConnectionParameters(host, int(port)))
channel = connection.channel()
queue = 'dissectors-%d' % os.getpid()
channel.queue_declare(queue, exclusive=True)
channel.exchange_declare(queue, 'topic', auto_delete=True)
channel.queue_bind(queue, queue, 'logs.#')
channel.confirm_delivery()
channel.basic_qos(prefetch_count=1)
persistent = pika.BasicProperties(delivery_mode=2, content_type='text/plain')
# The last one is longer than the largest frame.
bodies = [b'Hello', b'', b'x' * 5 * int(sys.argv[2])]
for body in bodies:
    channel.basic_publish(queue, 'logs.info', body, persistent, mandatory=True)
for method, properties, body in channel.consume(queue):
    channel.basic_ack(method.delivery_tag)
    if method.delivery_tag == len(bodies):
        break
channel.cancel()
connection.close()
";

#[test]
fn amqp_frames_of_pika_and_rabbitmq_are_what_tshark_sees() {
    let recorder = Recorder::start(broker("AMQP_URL"));
    let address = recorder.address.to_string();
    finish(start_python(PIKA, &[&address, &long().to_string()]));
    let recorded = recorder.recorded();
    recorded.keep("amqp");
    let messages = recorded.messages(Protocol::Amqp);
    let seen = tshark::seen(&recorded, 5672, "amqp");
    // tshark says nothing of the first eight bytes.
    assert_eq!((&*messages[0].name, size(&messages[0])), ("protocol header", 8));
    for (message, seen) in pairs(&messages[1..], &seen) {
        assert_same_amqp_frame(message, seen);
    }
    let body: u64 = messages.iter().map(payload).sum();
    assert_eq!(body, 2 * (5 + 5 * long() as u64));
}

fn assert_same_amqp_frame(message: &Message, seen: &Seen) {
    let method =
        seen.label("amqp.method.class").zip(seen.label("amqp.method.method"));
    let name = match (method, seen.number("amqp.type")) {
        (Some((class, method)), Some(1)) => format!("{class}.{method}"),
        (_, Some(2)) => "content header".to_string(),
        (_, Some(3)) => "body".to_string(),
        // One comes if the machine is so busy that the connection is silent for long.
        (_, Some(8)) => "heartbeat".to_string(),
        (_, kind) => panic!("tshark sees a frame of type {kind:?} in {message:?}"),
    };
    assert_eq!(message.name, name);
    assert_eq!(size(message), seen.size, "{message:?}");
    assert_eq!(payload(message), seen.bytes("amqp.payload"), "{message:?}");
    let channel = format!("channel {}", seen.shows("amqp.channel").unwrap());
    assert!(
        name == "heartbeat" || message.details.starts_with(&channel),
        "{message:?}"
    );
    for argument in ["queue", "exchange", "routing_key", "delivery_tag"] {
        let field = format!("amqp.method.arguments.{argument}");
        if let Some(value) = seen.shows(&field) {
            let quote = if argument == "delivery_tag" { "" } else { "'" };
            let value =
                format!("{} {quote}{value}{quote}", argument.replace('_', "-"));
            assert!(message.details.contains(&value), "{value}: {message:?}");
        }
    }
    if let Some(size) = seen.shows("amqp.header.body-size") {
        let expected =
            format!("{size} bytes of body, content type text/plain, persistent");
        assert!(message.details.ends_with(&expected), "{message:?}");
    }
}

const REPLIER: &str = r"
import zmq, time
socket = zmq.Context().socket(zmq.REP)
socket.bind('tcp://127.0.0.1:*')
print('listening', socket.last_endpoint.decode()[6:])
while True:
    frames = socket.recv_multipart()
    # The requester's heartbeats get their time.
    time.sleep(0.3)
    socket.send_multipart(frames)
";

const REQUESTER: &str = r"
import zmq, sys
socket = zmq.Context().socket(zmq.REQ)
socket.heartbeat_ivl = 50
# A busy machine may answer late.
socket.heartbeat_timeout = 60000
socket.rcvtimeo = 60000
socket.connect('tcp://' + sys.argv[1])
for frames in [[b'Hello'], [b'one', b'', b'x' * int(sys.argv[2])]]:
    socket.send_multipart(frames)
    assert socket.recv_multipart() == frames
    # A requester puts an empty frame before all others.
    for frame in [b''] + frames:
        print(len(frame))
";

const PUBLISHER: &str = r"
import zmq, sys
socket = zmq.Context().socket(zmq.XPUB)
socket.bind('tcp://127.0.0.1:*')
print('listening', socket.last_endpoint.decode()[6:])
socket.rcvtimeo = 60000
assert socket.recv() == b'\x01temperature'
for number in range(10):
    socket.send_multipart([b'temperature', b'%d' % number])
socket.recv()
";

const SUBSCRIBER: &str = r"
import zmq, sys
socket = zmq.Context().socket(zmq.SUB)
socket.rcvtimeo = 60000
socket.subscribe('temperature')
socket.connect('tcp://' + sys.argv[1])
for number in range(10):
    for frame in socket.recv_multipart():
        print(len(frame))
socket.unsubscribe('temperature')
";

/// tshark knows no ZMTP, so what pyzmq counts is compared.
#[test]
fn zmtp_frames_of_libzmq_are_what_pyzmq_counts() {
    for (kept, server, client, name) in [
        ("zmtp-requests", REPLIER, REQUESTER, "PING"),
        ("zmtp-publications", PUBLISHER, SUBSCRIBER, "SUBSCRIBE"),
    ] {
        let mut server = start_python(server, &[]);
        let recorder = Recorder::start(server.address("listening "));
        let address = recorder.address.to_string();
        let counted = finish(start_python(client, &[&address, &long().to_string()]));
        let recorded = recorder.recorded();
        recorded.keep(kept);
        let messages = recorded.messages(Protocol::Zmtp);
        for direction in [Direction::ToServer, Direction::ToClient] {
            let of_it: Vec<&Message> =
                messages.iter().filter(|m| m.direction == direction).collect();
            assert_eq!(of_it[0].name, "greeting");
            assert_eq!(of_it[0].details, "ZMTP 3.1, mechanism NULL");
            assert_eq!(of_it[1].name, "READY");
            let frames =
                of_it.iter().filter(|message| message.name == "message frame");
            let sizes: Vec<_> =
                frames.map(|frame| payload(frame).to_string()).collect();
            if direction == Direction::ToClient || name == "PING" {
                assert_eq!(sizes, counted);
            }
        }
        assert!(messages.iter().any(|message| message.name == name), "{messages:#?}");
        assert!(
            !messages.iter().any(|message| message.name == "bytes"),
            "{messages:#?}"
        );
    }
}
