//! What the slide promises: a protocol of one's own on TCP, with many messages on one
//! connection. It judges a program by its behaviour alone.

mod program;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use program::{Ended, PATIENCE, Program, assert_shown};

const README: &str = include_str!("../README.md");

fn start_lines_server(address: &str) -> (Program, SocketAddr) {
    let mut server = Program::start(env!("CARGO_BIN_EXE_lines-server"), &[address]);
    let address = server.address("Lines server listening on ");
    (server, address)
}

fn start_frames_server(address: &str) -> (Program, SocketAddr) {
    let mut server = Program::start(env!("CARGO_BIN_EXE_frames-server"), &[address]);
    let address = server.address("Frames server listening on ");
    (server, address)
}

fn run_lines_client(server: SocketAddr, requests: &[&str]) -> Ended {
    let address = server.to_string();
    let arguments = [&[&address as &str], requests].concat();
    Program::run(env!("CARGO_BIN_EXE_lines-client"), &arguments)
}

fn run_frames_client(server: SocketAddr, requests: &[&str]) -> Ended {
    let address = server.to_string();
    let arguments = [&[&address as &str], requests].concat();
    Program::run(env!("CARGO_BIN_EXE_frames-client"), &arguments)
}

/// A connection of the test's own, to send what the client program would not.
fn connect(server: SocketAddr) -> TcpStream {
    let connection = TcpStream::connect_timeout(&server, PATIENCE).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.set_write_timeout(Some(PATIENCE)).unwrap();
    connection
}

/// Sends bytes and the end of the stream; returns all that comes back.
fn talk(server: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut connection = connect(server);
    connection.write_all(bytes).unwrap();
    connection.shutdown(Shutdown::Write).unwrap();
    let mut replies = Vec::new();
    connection.read_to_end(&mut replies).unwrap();
    replies
}

/// The next connection; a program that never connects fails the test in time.
fn accept(listener: &TcpListener) -> TcpStream {
    let (sender, accepted) = mpsc::channel();
    let listener = listener.try_clone().unwrap();
    thread::spawn(move || sender.send(listener.accept().unwrap().0));
    accepted.recv_timeout(PATIENCE).expect("expected a connection, and none came")
}

fn lines(server: SocketAddr, requests: &str) -> String {
    String::from_utf8(talk(server, requests.as_bytes())).unwrap()
}

fn frame(json: &str) -> Vec<u8> {
    [&(json.len() as u32).to_be_bytes(), json.as_bytes()].concat()
}

/// Sends each JSON as a frame; returns the JSON of each reply.
fn frames(server: SocketAddr, requests: &[&str]) -> Vec<String> {
    let sent: Vec<u8> = requests.iter().flat_map(|json| frame(json)).collect();
    let replies = talk(server, &sent);
    let (mut rest, mut replies_read) = (&replies[..], Vec::new());
    while let Some((length, after)) = rest.split_first_chunk() {
        let (json, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        replies_read.push(String::from_utf8(json.to_vec()).unwrap());
        rest = after;
    }
    assert_eq!(rest, b"", "the last frame is not whole");
    replies_read
}

/// Hint: Compare what is printed with the README, line by line and word by word.
#[test]
fn lines_server_and_client_print_what_the_readme_shows() {
    let (mut server, address) = start_lines_server("127.0.0.1:0");
    let client = run_lines_client(address, &[]);
    assert_eq!(client.code, Some(0), "{}", client.errors);
    let command = "cargo run -p tcp-messages --bin lines-client";
    assert_shown(README, command, &client.output);
    let lines = server.output_up_to("Closing connection");
    assert_shown(README, "cargo run -p tcp-messages", &lines);
}

/// Hint: Compare what is printed with the README, line by line and word by word.
#[test]
fn frames_server_and_client_print_what_the_readme_shows() {
    let (mut server, address) = start_frames_server("127.0.0.1:0");
    let client = run_frames_client(address, &[]);
    assert_eq!(client.code, Some(0), "{}", client.errors);
    let command = "cargo run -p tcp-messages --bin frames-client";
    assert_shown(README, command, &client.output);
    let lines = server.output_up_to("Closing connection");
    assert_shown(README, "cargo run -p tcp-messages --bin frames-server", &lines);
}

/// Hint: Which line gets no reply here, or more than one?
#[test]
fn every_line_gets_one_reply_and_the_replies_come_in_order() {
    let (_server, address) = start_lines_server("127.0.0.1:0");
    let requests = "list\nget a\nset b two words\nset a 1\nset B 2\nget b\nset a 3\nget a\nlist\n";
    let replies = lines(address, requests);
    let replies: Vec<&str> = replies.lines().collect();
    assert_eq!(replies[0], "keys");
    assert!(replies[1].starts_with("error "), "{replies:?}");
    let rest = ["ok", "ok", "ok", "value two words", "ok", "value 3", "keys B a b"];
    assert_eq!(replies[2..], rest);
}

/// Hint: Where does one frame end and the next begin, and how is the reply written as
/// JSON?
#[test]
fn every_frame_gets_one_reply_and_the_replies_come_in_order() {
    let (_server, address) = start_frames_server("127.0.0.1:0");
    let replies = frames(
        address,
        &[
            r#"{"do":"list"}"#,
            r#"{"do":"get","key":"a"}"#,
            r#" { "value" : "two\nlines", "key" : "b c", "do" : "set" } "#,
            r#"{"do":"set","key":"a","value":"1"}"#,
            r#"{"do":"get","key":"b c"}"#,
            r#"{"do":"list"}"#,
        ],
    );
    assert_eq!(replies[0], r#"{"keys":[]}"#);
    assert!(replies[1].starts_with(r#"{"error":""#), "{replies:?}");
    let rest = [
        r#"{"ok":true}"#,
        r#"{"ok":true}"#,
        r#"{"value":"two\nlines"}"#,
        r#"{"keys":["a","b c"]}"#,
    ];
    assert_eq!(replies[2..], rest);
}

/// What one client keeps, another one finds.
/// Hint: Where does the store live: in the connection, or beside all of them?
#[test]
fn all_clients_share_one_store() {
    let (_server, address) = start_lines_server("127.0.0.1:0");
    assert_eq!(lines(address, "set shared yes\n"), "ok\n");
    assert_eq!(lines(address, "get shared\n"), "value yes\n");
    let (_server, address) = start_frames_server("127.0.0.1:0");
    frames(address, &[r#"{"do":"set","key":"shared","value":"yes"}"#]);
    let replies = frames(address, &[r#"{"do":"get","key":"shared"}"#]);
    assert_eq!(replies, [r#"{"value":"yes"}"#]);
}

/// Hint: Take each of these lines through the grammar, space by space.
#[test]
fn what_is_not_a_request_is_an_error_and_the_connection_goes_on() {
    let (_server, address) = start_lines_server("127.0.0.1:0");
    let wrong =
        "\nhello\nGET a\nget\nget a b\nset\nset a\nset  x\nlist \n list\nquit now\n";
    let replies = lines(address, &format!("{wrong}list\n"));
    let replies: Vec<&str> = replies.lines().collect();
    let (last, errors) = replies.split_last().unwrap();
    assert_eq!(errors.len(), wrong.lines().count());
    assert!(errors.iter().all(|reply| reply.starts_with("error ")), "{errors:?}");
    assert_eq!(*last, "keys", "a wrong request has changed the store");
}

/// Hint: Which of these is JSON, which is an object, and which has all members with
/// the right types?
#[test]
fn json_that_is_not_a_request_is_an_error_and_the_connection_goes_on() {
    let (_server, address) = start_frames_server("127.0.0.1:0");
    let wrong = [
        "",
        "list",
        "{",
        "{}",
        "[]",
        "null",
        r#""list""#,
        r#"{"do":"hello"}"#,
        r#"{"do":7}"#,
        r#"{"do":"get"}"#,
        r#"{"do":"set","key":"a"}"#,
        r#"{"do":"set","key":"a","value":1}"#,
        r#"{"do":"list"}{"do":"list"}"#,
    ];
    let replies = frames(address, &[&wrong[..], &[r#"{"do":"list"}"#]].concat());
    let (last, errors) = replies.split_last().unwrap();
    assert_eq!(errors.len(), wrong.len());
    assert!(
        errors.iter().all(|reply| reply.starts_with(r#"{"error":""#)),
        "{errors:?}"
    );
    assert_eq!(last, r#"{"keys":[]}"#, "a wrong request has changed the store");
}

/// So that a later version can add some.
/// Hint: What does your program do with more members than it needs?
#[test]
fn members_that_a_server_does_not_know_are_ignored() {
    let (_server, address) = start_frames_server("127.0.0.1:0");
    let replies = frames(address, &[r#"{"do":"list","version":2,"more":[{}]}"#]);
    assert_eq!(replies, [r#"{"keys":[]}"#]);
}

/// Hint: Which two line ends does the grammar allow, and in which encoding are the
/// bytes text?
#[test]
fn a_line_may_end_as_on_windows_and_text_need_not_be_english() {
    let (mut server, address) = start_lines_server("127.0.0.1:0");
    let replies = lines(address, "set olá ação 😀\r\nget olá\r\nlist\r\n");
    assert_eq!(replies, "ok\nvalue ação 😀\nkeys olá\n");
    assert!(server.wait_for("Received from ").ends_with(": set olá ação 😀"));
}

/// Spaces after the key belong to the value, which may be empty.
/// Hint: Into how many parts is a line split, and is anything trimmed?
#[test]
fn a_value_comes_back_as_it_was_set() {
    let (_server, address) = start_lines_server("127.0.0.1:0");
    let replies = lines(address, "set a  x  y \nget a\nset a \nget a\n");
    assert_eq!(replies, "ok\nvalue  x  y \nok\nvalue \n");
}

/// Hint: After bye, who ends which direction of the connection, and is anything else
/// still carried out?
#[test]
fn quit_gets_bye_and_the_end_of_the_stream() {
    let (mut server, address) = start_lines_server("127.0.0.1:0");
    let mut connection = connect(address);
    connection.write_all(b"set a 1\nquit\nset a 2\n").unwrap();
    // The client has not closed: the end of the stream is the server's own.
    let mut replies = String::new();
    connection.read_to_string(&mut replies).unwrap();
    assert_eq!(replies, "ok\nbye\n");
    drop(connection);
    server.wait_for("Closing connection with ");
    assert_eq!(lines(address, "get a\n"), "value 1\n", "a request after quit counts");
}

/// A second client is served while the first one stays connected and says nothing.
/// Hint: Which call waits for one client while the other wants something?
#[test]
fn a_client_does_not_wait_for_another_one() {
    let (_server, address) = start_lines_server("127.0.0.1:0");
    let _silent = connect(address);
    assert_eq!(run_lines_client(address, &[]).code, Some(0));
    let (_server, address) = start_frames_server("127.0.0.1:0");
    let _silent = connect(address);
    assert_eq!(run_frames_client(address, &[]).code, Some(0));
}

/// Hint: How many connections does the client open, and for how many requests?
#[test]
fn a_client_sends_all_its_requests_on_one_connection() {
    let (mut server, address) = start_lines_server("127.0.0.1:0");
    let requests: Vec<String> = (0..50).map(|n| format!("set key{n} {n}")).collect();
    let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
    let client = run_lines_client(address, &requests);
    assert_eq!(client.code, Some(0), "{}", client.errors);
    let received = client.output.iter().filter(|line| *line == "Received: ok");
    assert_eq!(received.count(), 50);
    let connected = server.output_up_to("Closing connection");
    let connected = connected.iter().filter(|line| line.starts_with("Connected by "));
    assert_eq!(connected.count(), 1);
}

/// Hint: An error is a reply like any other to print, and not like any other for the
/// exit status.
#[test]
fn a_reply_that_says_error_is_printed_and_exits_with_1() {
    let (_server, address) = start_lines_server("127.0.0.1:0");
    let client = run_lines_client(address, &["get a", "list"]);
    assert_eq!(client.code, Some(1));
    assert!(client.output[3].starts_with("Received: error "), "{:?}", client.output);
    assert_eq!(client.output[4], "Received: keys");
    let (_server, address) = start_frames_server("127.0.0.1:0");
    let client = run_frames_client(address, &["get a", "list"]);
    assert_eq!(client.code, Some(1));
    assert!(client.output[3].starts_with(r#"Received: {"error":"#));
    assert_eq!(client.output[4], r#"Received: {"keys":[]}"#);
}

/// A line end in a request would be two requests, and their replies one too many.
/// Hint: What would the server take a request for that has a line end in it?
#[test]
fn the_lines_client_refuses_a_request_with_a_line_end_and_frames_may_have_one() {
    let (_server, address) = start_lines_server("127.0.0.1:0");
    let client = run_lines_client(address, &["set a 1\nset b 2"]);
    assert_eq!(client.code, Some(1));
    assert_eq!(lines(address, "list\n"), "keys\n", "half of it was sent");
    let (_server, address) = start_frames_server("127.0.0.1:0");
    let client = run_frames_client(address, &["set a 1\n2", "get a"]);
    assert_eq!(
        client.output[4], r#"Received: {"value":"1\n2"}"#,
        "{}",
        client.errors
    );
}

/// Hint: A name can stand for several addresses of both families, and the first one
/// need not answer.
#[test]
fn all_programs_work_over_ipv6_and_a_name_is_looked_up() {
    let (_lines, address) = start_lines_server("[::1]:0");
    assert_eq!(run_lines_client(address, &[]).code, Some(0));
    let (_frames, address) = start_frames_server("[::1]:0");
    assert_eq!(run_frames_client(address, &[]).code, Some(0));
    // On many systems the first address of this name is ::1, where nobody listens.
    let (_lines, address) = start_lines_server("127.0.0.1:0");
    let name = format!("localhost:{}", address.port());
    let client = Program::run(env!("CARGO_BIN_EXE_lines-client"), &[&name]);
    assert_eq!(client.code, Some(0), "{}", client.errors);
    let (_frames, address) = start_frames_server("127.0.0.1:0");
    let name = format!("localhost:{}", address.port());
    let client = Program::run(env!("CARGO_BIN_EXE_frames-client"), &[&name]);
    assert_eq!(client.code, Some(0), "{}", client.errors);
}

/// The client writes requests as the grammar says, before it reads: here a server of
/// the test's own reads all three before it answers the first.
/// Hint: Does the client wait for a reply before it sends the next request, and are
/// the bytes those of the grammar?
#[test]
fn the_clients_send_what_the_protocol_says() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let connection = accept(&listener);
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut requests = BufReader::new(&connection).lines();
        let requests = [(); 3].map(|()| requests.next().unwrap().unwrap());
        (&connection).write_all(b"ok\nvalue x\nkeys a\n").unwrap();
        requests
    });
    let client = run_lines_client(address, &["set a x", "get a", "list"]);
    assert_eq!(server.join().unwrap(), ["set a x", "get a", "list"]);
    assert_eq!(client.code, Some(0), "{}", client.errors);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let wanted = frame(r#"{"do":"set","key":"a","value":"x y"}"#);
    let length = wanted.len();
    let server = thread::spawn(move || {
        let mut connection = accept(&listener);
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = vec![0; length];
        connection.read_exact(&mut request).unwrap();
        connection.write_all(&frame(r#"{"ok":true}"#)).unwrap();
        request
    });
    let client = run_frames_client(address, &["set a x y"]);
    assert_eq!(server.join().unwrap(), wanted);
    assert_eq!(client.code, Some(0), "{}", client.errors);
}
