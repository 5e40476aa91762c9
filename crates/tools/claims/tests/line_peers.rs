//! Programs that know nothing of this project talk to the servers of `tcp-messages`:
//! netcat, as a person at a terminal does, and Python's `socket.makefile()`.

#[path = "examples/mod.rs"]
mod examples;
#[path = "../../../tcp-echo/tests/program/mod.rs"]
mod program;

use std::net::SocketAddr;

use program::Program;

fn start(binary: &str, ready: &str) -> (Program, SocketAddr) {
    let path = examples::program("tcp-messages", binary);
    let mut server = Program::start(path.to_str().unwrap(), &["127.0.0.1:0"]);
    let address = server.address(ready);
    (server, address)
}

fn start_lines_server() -> (Program, SocketAddr) {
    start("lines-server", "Lines server listening on ")
}

/// Runs a Python program of these lines to its end; returns what it printed.
fn python(script: &str, server: SocketAddr) -> Vec<String> {
    let begin = "import json, socket, struct, sys
connection = socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=10)
";
    let script = format!("{begin}{script}");
    let ended = Program::run("python3", &["-c", &script, &server.port().to_string()]);
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    ended.output
}

#[test]
fn a_person_talks_to_the_line_server_with_netcat() {
    let (mut server, address) = start_lines_server();
    let port = address.port().to_string();
    let mut netcat = Program::start_with_input("nc", &["127.0.0.1", &port]);
    netcat.type_in("set name Olá\n");
    netcat.wait_for("ok");
    netcat.type_in("get na");
    netcat.type_in("me\nlist\n");
    assert_eq!(netcat.wait_for("value "), "Olá");
    assert_eq!(netcat.wait_for("keys "), "name");
    netcat.type_in("quit\n");
    netcat.wait_for("bye");
    // The server has ended its stream. Ctrl-D ends netcat, where that is not enough.
    netcat.child.stdin = None;
    assert_eq!(netcat.end().code, Some(0));
    server.wait_for("Closing connection with ");
}

/// As in `nc 127.0.0.1 65435 < requests.txt`. The `quit` at the end of the file matters:
/// not every netcat closes its sending side at the end of its input.
#[test]
fn netcat_sends_a_whole_file_and_gets_all_replies() {
    let (_server, address) = start_lines_server();
    let port = address.port().to_string();
    let mut netcat = Program::start_with_input("nc", &["127.0.0.1", &port]);
    netcat.type_in("set a 1\r\nget a\r\n".repeat(1000));
    netcat.type_in("quit\r\n");
    netcat.wait_for("bye");
    netcat.child.stdin = None;
    let ended = netcat.end();
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let (bye, replies) = ended.output.split_last().unwrap();
    assert_eq!(replies, ["ok", "value 1"].repeat(1000));
    assert_eq!(bye, "bye");
}

#[test]
fn pythons_makefile_reads_and_writes_the_lines() {
    let (_server, address) = start_lines_server();
    let script = "
stream = connection.makefile('rw', encoding='utf-8', newline='\\n')
for request in ['set name Olá', 'get name', 'get nothing', 'list', 'quit']:
    print(request, file=stream, flush=True)
    print(stream.readline(), end='')
print(repr(stream.readline()))
";
    let lines = python(script, address);
    assert_eq!(lines[..2], ["ok", "value Olá"]);
    assert!(lines[2].starts_with("error "), "{lines:?}");
    assert_eq!(lines[3..], ["keys name", "bye", "''"]);
}

#[test]
fn pythons_makefile_sends_all_its_lines_before_it_reads() {
    let (_server, address) = start_lines_server();
    let script = "
stream = connection.makefile('rw', encoding='utf-8', newline='\\n')
stream.writelines(f'set key{number} {number}\\n' for number in range(100))
stream.write('get key42\\n')
stream.flush()
connection.shutdown(socket.SHUT_WR)
replies = stream.read().splitlines()
print(len(replies), set(replies[:100]), replies[100])
";
    assert_eq!(python(script, address), ["101 {'ok'} value 42"]);
}

#[test]
fn pythons_struct_and_json_make_frames() {
    let (_server, address) = start("frames-server", "Frames server listening on ");
    let script = "
stream = connection.makefile('rwb')
for request in [dict(do='set', key='a', value='one\\ntwo'), dict(do='get', key='a')]:
    message = json.dumps(request).encode()
    stream.write(struct.pack('>I', len(message)) + message)
    stream.flush()
    length, = struct.unpack('>I', stream.read(4))
    print(json.loads(stream.read(length)))
";
    let lines = python(script, address);
    assert_eq!(lines, ["{'ok': True}", r"{'value': 'one\ntwo'}"]);
}
