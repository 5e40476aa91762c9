//! Starts the real server and the real client and compares what they print and answer
//! with what the lecture promises. It judges a program by its behaviour alone; its own
//! requests are typed by hand, byte by byte, on a TCP connection.

mod program;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use program::{Ended, PATIENCE, Program, assert_shown};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use socket2::{Domain, SockRef, Socket, Type};

const README: &str = include_str!("../README.md");
const SERVER: &str = env!("CARGO_BIN_EXE_rest-server");
const CLIENT: &str = env!("CARGO_BIN_EXE_rest-client");
const READY: &str = "REST server on http://";

fn start_server() -> (Program, SocketAddr) {
    let mut server = Program::start(SERVER, &["127.0.0.1:0"]);
    let address = server.address(READY);
    (server, address)
}

fn run_client(server: SocketAddr, arguments: &[&str]) -> Ended {
    let url = format!("http://{server}");
    Program::run(CLIENT, &[&["--server", &url], arguments].concat())
}

/// A connection of the test's own, on which HTTP is typed by hand.
struct Wire(BufReader<TcpStream>);

#[derive(Debug)]
struct Answer {
    status: u16,
    /// The status line and the headers, in small letters.
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let name = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(&name))
    }

    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Asserts that it is an error with this status, in JSON.
    fn assert_error(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
        let json = self.json();
        let error = json["error"].as_str().unwrap_or_default();
        assert!(json.as_object().unwrap().len() == 1 && error.len() > 3, "{json}");
    }
}

impl Wire {
    fn to(server: SocketAddr) -> Wire {
        let connection = TcpStream::connect(server).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection.set_write_timeout(Some(PATIENCE)).unwrap();
        Wire(BufReader::new(connection))
    }

    fn send(&mut self, text: &str) {
        self.0.get_ref().write_all(text.as_bytes()).unwrap();
    }

    /// Reads one answer; to a HEAD there is no body, whatever length is told.
    fn receive_to(&mut self, method: &str) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let length = self.0.read_line(&mut head).unwrap();
            assert!(length > 0, "closed after: {head:?}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer =
            Answer { status, head: head.to_lowercase(), body: String::new() };
        let length =
            answer.header("content-length").map_or(0, |n| n.parse().unwrap());
        if method != "HEAD" {
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).unwrap();
            answer.body = String::from_utf8(body).unwrap();
        }
        answer
    }

    fn receive(&mut self) -> Answer {
        self.receive_to("GET")
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> Answer {
        self.send(&request(method, path, body));
        self.receive_to(method)
    }

    /// Whether the server closes, in order or not, without another byte.
    fn is_closed(&mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

/// A request with a body of JSON, unless that is empty.
fn request(method: &str, path: &str, body: &str) -> String {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n");
    let (kind, length) = ("Content-Type: application/json", body.len());
    match body {
        "" => format!("{head}\r\n"),
        _ => format!("{head}{kind}\r\nContent-Length: {length}\r\n\r\n{body}"),
    }
}

fn ask(server: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    Wire::to(server).ask(method, path, body)
}

/// Asserts that the next client is served as if nothing had happened.
fn assert_serves(server: SocketAddr) {
    let answer = ask(server, "GET", "/items/1", "");
    assert_eq!((answer.status, &*answer.body), (200, LAPTOP));
}

const LAPTOP: &str = r#"{"name":"Laptop","price":1200}"#;
const BOTH: &str =
    r#"[{"id":1,"name":"Laptop","price":1200},{"id":2,"name":"Mouse","price":50}]"#;
const LAMP: &str = r#"{"name":"Lamp","price":19.90}"#;

#[test]
fn server_and_client_print_what_the_readme_shows() {
    let (mut server, address) = start_server();
    for arguments in ["get 1", "create Lamp 19.90", "replace 3 Lamp 25", "get 4"] {
        let words: Vec<&str> = arguments.split(' ').collect();
        let client = run_client(address, &words);
        assert_eq!(client.code, Some(i32::from(arguments == "get 4")));
        let command = "cargo run -p rest-items --bin rest-client --";
        assert_shown(README, &format!("{command} {arguments}"), &client.output);
        assert_eq!(client.errors, "");
    }
    server.wait_for("127.0.0.1:");
    server.wait_for("127.0.0.1:");
    server.wait_for("127.0.0.1:");
    let lines = server.output_up_to("127.0.0.1:");
    assert_shown(README, "cargo run -p rest-items", &lines);
}

/// Claim 49: HTTP is text on TCP.
#[test]
fn a_request_typed_by_hand_gets_an_answer_to_be_read() {
    let (_server, address) = start_server();
    let mut typed = TcpStream::connect(address).unwrap();
    typed.set_read_timeout(Some(PATIENCE)).unwrap();
    typed.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    typed.write_all(b"Host: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    typed.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n{\"message\":\"Hello, API!\"}"), "{answer}");
}

/// Claim 50: a request holds all that is needed, so either of two instances can answer.
#[test]
fn each_request_can_go_to_another_instance() {
    let (_first, first) = start_server();
    let (_second, second) = start_server();
    for server in [first, second, first, second] {
        assert_eq!(ask(server, "GET", "/items/1", "").body, LAPTOP);
        assert_eq!(ask(server, "GET", "/items", "").body, BOTH);
    }
}

/// Claim 51: PUT and DELETE are idempotent, POST is not.
#[test]
fn put_and_delete_twice_change_nothing_more_and_post_does() {
    let (_server, address) = start_server();
    let mut wire = Wire::to(address);
    let mut list = |method, path, body, status| {
        let answer = wire.ask(method, path, body);
        assert_eq!(answer.status, status, "{answer:?}");
        wire.ask("GET", "/items", "").body
    };
    let once = list("PUT", "/items/2", LAMP, 200);
    assert!(once.contains(r#"{"id":2,"name":"Lamp","price":19.90}"#), "{once}");
    assert_eq!(list("PUT", "/items/2", LAMP, 200), once);
    let once = list("DELETE", "/items/2", "", 204);
    assert_eq!(once, r#"[{"id":1,"name":"Laptop","price":1200}]"#);
    assert_eq!(list("DELETE", "/items/2", "", 404), once);
    assert_eq!(list("GET", "/items/1", "", 200), once);
    let once = list("POST", "/items", LAMP, 201);
    assert_ne!(list("POST", "/items", LAMP, 201), once);
}

#[test]
fn a_new_item_is_told_where_it_is_and_no_id_comes_twice() {
    let (_server, address) = start_server();
    let mut wire = Wire::to(address);
    let created = wire.ask("POST", "/items", LAMP);
    assert_eq!(created.header("location"), Some("/items/3"));
    assert_eq!(created.body, r#"{"id":3,"name":"Lamp","price":19.90}"#);
    assert_eq!(wire.ask("GET", "/items/3", "").body, LAMP);
    let deleted = wire.ask("DELETE", "/items/3", "");
    assert_eq!((deleted.status, &*deleted.body), (204, ""));
    assert_eq!(deleted.header("content-length"), None);
    wire.ask("GET", "/items/3", "").assert_error(404);
    assert_eq!(wire.ask("POST", "/items", LAMP).json()["id"], 4);
    wire.ask("PUT", "/items/3", LAMP).assert_error(404);
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct User {
    id: u32,
    username: String,
    is_active: bool,
    roles: Vec<String>,
    last_login: Login,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Login {
    date: String,
    ip: std::net::Ipv4Addr,
}

const USER: &str = r#"{
  "id": 123,
  "username": "api_user",
  "isActive": true,
  "roles": ["admin", "editor"],
  "lastLogin": {
    "date": "2025-11-07",
    "ip": "192.0.2.1"
  }
}"#;

/// Claim 52.
#[test]
fn the_slides_user_object_survives_a_round_trip() {
    let user: User = serde_json::from_str(USER).unwrap();
    assert_eq!(user.roles, ["admin", "editor"]);
    assert!(user.is_active && user.last_login.ip.is_documentation());
    let text = serde_json::to_string(&user).unwrap();
    assert_eq!(serde_json::from_str::<User>(&text).unwrap(), user);
    let (ours, slides): (Value, Value) =
        (serde_json::from_str(&text).unwrap(), serde_json::from_str(USER).unwrap());
    assert_eq!(ours, slides);
}

/// Claim 53, a nuance: JSON is light beside XML, and heavy beside bytes.
#[test]
fn json_takes_several_times_the_bytes_of_a_binary_encoding() {
    let (sensor, time, celsius) = (7_u16, 1_762_500_000_u32, 21.5_f32);
    let json =
        json!({"sensor": sensor, "time": time, "celsius": celsius}).to_string();
    let mut binary = Vec::from(sensor.to_be_bytes());
    binary.extend(time.to_be_bytes());
    binary.extend(celsius.to_be_bytes());
    assert_eq!(binary.len(), 10);
    assert!(json.len() > 4 * binary.len(), "{} bytes: {json}", json.len());
    let xml = "<reading><sensor>7</sensor><time>1762500000</time>\
        <celsius>21.5</celsius></reading>";
    assert!(json.len() < xml.len(), "{} and {}", json.len(), xml.len());
}

/// Claim 54, a nuance: JavaScript allows more than JSON.
#[test]
fn what_javascript_allows_and_json_does_not_is_malformed() {
    let (_server, address) = start_server();
    let javascript = [
        r#"{"name":"Lamp","price":5,}"#,
        "{name:\"Lamp\",\"price\":5}",
        "{'name':'Lamp','price':5}",
        r#"{"name":"Lamp","price":5/*euro*/}"#,
        r#"{"name":"Lamp","price":NaN}"#,
        r#"{"name":"Lamp","price":.5}"#,
        r#"{"name":"Lamp","price":0x10}"#,
    ];
    for text in javascript {
        assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
        ask(address, "POST", "/items", text).assert_error(400);
    }
    assert_eq!(ask(address, "GET", "/items", "").body, BOTH);
}

/// Claim 55.
#[test]
fn the_slides_paths_answer_as_on_the_slide() {
    let (_server, address) = start_server();
    let root = ask(address, "GET", "/", "");
    assert_eq!((root.status, &*root.body), (200, r#"{"message":"Hello, API!"}"#));
    assert_serves(address);
    assert_eq!(ask(address, "GET", "/items/2?x=1", "").json()["name"], "Mouse");
    assert_eq!(ask(address, "GET", "/items", "").body, BOTH);
}

/// Claim 56: the slide answers 200 with an error inside.
#[test]
fn a_missing_item_is_404_and_not_200() {
    let (_server, address) = start_server();
    for id in ["3", "0", "18446744073709551615"] {
        for (method, body) in [("GET", ""), ("PUT", LAMP), ("DELETE", "")] {
            ask(address, method, &format!("/items/{id}"), body).assert_error(404);
        }
    }
}

/// Claim 57.
#[test]
fn a_wrong_type_in_the_path_or_in_the_body_is_422() {
    let (_server, address) = start_server();
    for id in ["abc", "-1", "1.0", "1e0", "%31", "18446744073709551616"] {
        for (method, body) in [("GET", ""), ("PUT", LAMP), ("DELETE", "")] {
            ask(address, method, &format!("/items/{id}"), body).assert_error(422);
        }
    }
    let long = format!(r#"{{"name":"{}","price":5}}"#, "é".repeat(101));
    let precise = format!(r#"{{"name":"Lamp","price":0.{}}}"#, "1".repeat(100));
    let wrong = [
        r#"["Lamp",5]"#,
        r#""Lamp""#,
        "null",
        "{}",
        r#"{"name":"Lamp"}"#,
        r#"{"price":5}"#,
        r#"{"name":5,"price":5}"#,
        r#"{"name":"","price":5}"#,
        r#"{"name":"Lamp","price":"5"}"#,
        r#"{"name":"Lamp","price":null}"#,
        r#"{"name":"Lamp","price":true}"#,
        r#"{"name":"Lamp","price":[5]}"#,
        r#"{"name":"Lamp","price":-0.01}"#,
        r#"{"name":"Lamp","price":1e999}"#,
        r#"{"name":"Lamp","price":5,"colour":"red"}"#,
        r#"{"id":1,"name":"Lamp","price":5}"#,
        r#"{"name":"Lamp","name":"Lamp","price":5}"#,
        &long,
        &precise,
    ];
    for text in wrong {
        ask(address, "POST", "/items", text).assert_error(422);
        ask(address, "PUT", "/items/1", text).assert_error(422);
    }
    assert_eq!(ask(address, "GET", "/items", "").body, BOTH);
}

/// The number itself is kept, digit by digit; only an exponent gets its sign written.
#[test]
fn a_price_comes_back_as_it_went() {
    let (_server, address) = start_server();
    let digits = "9".repeat(100);
    let prices = ["0", "1200", "19.90", "1200.0", "0.1", "12345678901234567890123"];
    for price in prices.into_iter().chain([&*digits, "-0", "1e+5", "2.50e-3"]) {
        let item = format!(r#"{{"name":"Lamp","price":{price}}}"#);
        let created = ask(address, "POST", "/items", &item);
        assert_eq!(created.status, 201, "{price}: {created:?}");
        let location = created.header("location").unwrap();
        assert_eq!(ask(address, "GET", location, "").body, item);
        let client = run_client(address, &["replace", "1", "Lamp", price]);
        assert_eq!(client.output[3], format!("  \"price\": {price}"));
    }
    let item = r#"{"name":"Lamp","price":1E5}"#;
    let created = ask(address, "POST", "/items", item);
    assert!(created.body.ends_with(r#""price":1e+5}"#), "{created:?}");
}

#[test]
fn a_name_may_be_any_text_of_1_to_100_characters() {
    let (_server, address) = start_server();
    let (long, emoji) = ("x".repeat(100), "😀".repeat(100));
    for name in ["L", "Lâmpada", "\"'\\\u{1b}[2J\u{202e}\0", &long, &emoji] {
        let item = json!({"name": name, "price": 5}).to_string();
        let created = ask(address, "POST", "/items", &item);
        assert_eq!(created.json()["name"], name);
        let id = created.json()["id"].to_string();
        let client = run_client(address, &["get", &id]);
        assert_eq!(client.code, Some(0));
        let shown = client.output.join("");
        assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
    }
}

/// Claim 58: the "database" is memory.
#[test]
fn a_restart_loses_the_state() {
    let (server, address) = start_server();
    assert_eq!(ask(address, "DELETE", "/items/1", "").status, 204);
    assert_eq!(ask(address, "POST", "/items", LAMP).status, 201);
    drop(server);
    // The same port at once, although old connections have not timed out yet.
    let mut server = Program::start(SERVER, &[&address.to_string()]);
    assert_eq!(server.address(READY), address);
    assert_eq!(ask(address, "GET", "/items", "").body, BOTH);
}

/// Claim 59, one half; the other, a raw echo server that can do none of this, is in
/// the classroom tool's tests.
#[test]
fn keep_alive_chunks_and_pipelining_work_without_a_line_of_ours() {
    let (_server, address) = start_server();
    let mut wire = Wire::to(address);
    for _ in 0..3 {
        assert_eq!(wire.ask("GET", "/items/1", "").body, LAPTOP);
    }
    let head =
        "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    let chunks =
        "7\r\n{\"name\"\r\n16;x=y\r\n:\"Lamp\",\"price\":19.90}\r\n0\r\nX: y\r\n";
    wire.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}\r\n"));
    assert_eq!(wire.receive().body, r#"{"id":3,"name":"Lamp","price":19.90}"#);
    // Four requests at once; the answers come in order.
    let requests = [
        request("GET", "/", ""),
        request("POST", "/items", LAMP),
        request("GET", "/nowhere", ""),
        request("GET", "/items/4", ""),
    ];
    wire.send(&requests.concat());
    let answers = [(); 4].map(|()| wire.receive());
    assert_eq!(answers.each_ref().map(|answer| answer.status), [200, 201, 404, 200]);
    assert_eq!(answers[3].body, LAMP);
    wire.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert_eq!(wire.receive().header("connection"), Some("close"));
    assert!(wire.is_closed());
}

/// As `printf ... | nc` does.
#[test]
fn a_client_that_closes_its_sending_side_gets_all_its_answers() {
    let (_server, address) = start_server();
    for _ in 0..20 {
        let mut wire = Wire::to(address);
        wire.send(&request("GET", "/items/1", "").repeat(300));
        wire.0.get_ref().shutdown(Shutdown::Write).unwrap();
        for _ in 0..300 {
            assert_eq!(wire.receive().body, LAPTOP);
        }
        assert!(wire.is_closed());
    }
}

#[test]
fn http_1_0_gets_its_answer_and_the_end_of_the_connection() {
    let (_server, address) = start_server();
    let mut wire = Wire::to(address);
    wire.send("GET /items/1 HTTP/1.0\r\n\r\n");
    assert_eq!(wire.receive().body, LAPTOP);
    assert!(wire.is_closed());
    let mut wire = Wire::to(address);
    wire.send("GET /items/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(wire.receive().header("connection"), Some("keep-alive"));
    assert_eq!(wire.ask("GET", "/items/1", "").body, LAPTOP);
}

#[test]
fn head_is_get_without_the_body() {
    let (_server, address) = start_server();
    let mut wire = Wire::to(address);
    for path in ["/", "/items", "/items/1", "/items/9", "/items/x", "/nowhere"] {
        let (get, head) = (wire.ask("GET", path, ""), wire.ask("HEAD", path, ""));
        let without_date = |answer: &Answer| {
            let lines =
                answer.head.lines().filter(|line| !line.starts_with("date: "));
            lines.map(String::from).collect::<Vec<_>>()
        };
        assert_eq!(without_date(&head), without_date(&get), "{path}");
        assert_eq!(head.header("content-length"), Some(&*get.body.len().to_string()));
    }
}

#[test]
fn other_methods_are_405_and_options_says_which_are_not() {
    let (_server, address) = start_server();
    let mut wire = Wire::to(address);
    let resources = [
        ("/", "get, head, options"),
        ("/items", "get, head, options, post"),
        ("/items/1", "delete, get, head, options, put"),
    ];
    for (path, allowed) in resources {
        let options = wire.ask("OPTIONS", path, "");
        assert_eq!((options.status, options.header("allow")), (204, Some(allowed)));
        for method in
            ["GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW", "get"]
        {
            let answer = wire.ask(method, path, "");
            let is_allowed = allowed.to_uppercase().split(", ").any(|m| m == method);
            assert_eq!(answer.status != 405, is_allowed, "{method} {path}");
            if !is_allowed {
                answer.assert_error(405);
                assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
            }
        }
    }
    wire.send("OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(wire.receive().status < 500);
}

#[test]
fn an_unknown_path_is_404_and_no_path_leads_to_a_file() {
    let (_server, address) = start_server();
    let paths = [
        "/nowhere",
        "/items/",
        "/items/1/",
        "/items/1/name",
        "//items",
        "/ITEMS",
        "/../../../../etc/passwd",
        "/items/../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/items/..",
        "/etc/passwd",
    ];
    for path in paths {
        let answer = ask(address, "GET", path, "");
        assert!(matches!(answer.status, 404 | 422), "{path}: {answer:?}");
        answer.assert_error(answer.status);
        assert!(!answer.body.contains("root:"), "{answer:?}");
    }
    ask(address, "GET", "/../../../../etc/passwd", "").assert_error(404);
    assert_serves(address);
}

#[test]
fn json_is_known_by_its_essence_and_other_types_are_415() {
    let (_server, address) = start_server();
    let post = |kind: &str| {
        let length = LAMP.len();
        let mut wire = Wire::to(address);
        wire.send(&format!(
            "POST /items HTTP/1.1\r\nHost: test\r\n{kind}Content-Length: {length}\r\n\r\n{LAMP}"
        ));
        wire.receive()
    };
    for kind in
        ["application/json", "Application/JSON;charset=utf-8", "application/json ; x"]
    {
        assert_eq!(post(&format!("Content-Type: {kind}\r\n")).status, 201, "{kind}");
    }
    for kind in
        ["text/plain", "application/jsonx", "text/json, application/json", "\u{e9}"]
    {
        post(&format!("Content-Type: {kind}\r\n")).assert_error(415);
    }
    post("").assert_error(415);
}

#[test]
fn malformed_json_is_400() {
    let (_server, address) = start_server();
    let deep = "[".repeat(100_000);
    for text in [
        "{",
        "{\"name\":\"Lamp\"",
        "Lamp",
        &format!("{LAMP}{LAMP}"),
        "\u{feff}{}",
        &deep,
    ] {
        ask(address, "POST", "/items", text).assert_error(400);
    }
    let mut wire = Wire::to(address);
    let head =
        "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    wire.send(&format!("{head}Content-Length: 0\r\n\r\n"));
    wire.receive().assert_error(400);
    wire.send(&format!("{head}Content-Length: 23\r\n\r\n"));
    wire.0.get_ref().write_all(b"{\"name\":\"\xff\xfe\",\"price\":5}").unwrap();
    wire.receive().assert_error(400);
    assert_serves(address);
}

/// A server that waits for the whole body first would take what the client can send.
#[test]
fn a_body_over_1_mib_is_413_before_it_was_sent() {
    let (_server, address) = start_server();
    let head =
        "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    for expect in ["", "Expect: 100-continue\r\n"] {
        let mut wire = Wire::to(address);
        wire.send(&format!("{head}{expect}Content-Length: 104857600\r\n\r\n"));
        let answer = wire.receive();
        answer.assert_error(413);
        assert_eq!(answer.header("connection"), Some("close"));
    }
    // The greatest that may be: an item and much white space.
    let text = format!("{LAMP}{}", " ".repeat((1 << 20) - LAMP.len()));
    assert_eq!(ask(address, "POST", "/items", &text).status, 201);
    ask(address, "POST", "/items", &format!("{text} ")).assert_error(413);
    let mut wire = Wire::to(address);
    let chunk = format!("100001\r\n{text} \r\n0\r\n\r\n");
    wire.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}"));
    wire.receive().assert_error(413);
}

#[test]
fn a_client_that_sends_100_mib_reads_its_413_and_fills_no_memory() {
    let (server, address) = start_server();
    let head =
        "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    let mebibyte = vec![b' '; 1 << 20];
    for chunked in [false, true] {
        let mut wire = Wire::to(address);
        match chunked {
            true => wire.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n")),
            false => wire.send(&format!("{head}Content-Length: 104857600\r\n\r\n")),
        }
        for _ in 0..100 {
            let mut stream = wire.0.get_ref();
            if chunked {
                stream.write_all(b"100000\r\n").unwrap();
            }
            // It sends all before it reads, as many clients do.
            stream.write_all(&mebibyte).unwrap();
            if chunked {
                stream.write_all(b"\r\n").unwrap();
            }
        }
        wire.receive().assert_error(413);
    }
    assert_serves(address);
    #[cfg(target_os = "linux")]
    assert!(server.status("VmHWM") < 40_000, "{} kB", server.status("VmHWM"));
}

#[test]
fn expect_100_continue_is_answered_before_the_body() {
    let (_server, address) = start_server();
    let mut wire = Wire::to(address);
    let head =
        "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    let length = LAMP.len();
    wire.send(&format!(
        "{head}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    ));
    assert_eq!(wire.receive().status, 100);
    wire.send(LAMP);
    assert_eq!(wire.receive().status, 201);
}

#[test]
fn a_request_takes_exactly_one_host() {
    let (_server, address) = start_server();
    for hosts in ["", "Host: a\r\nHost: b\r\n"] {
        let mut wire = Wire::to(address);
        wire.send(&format!("GET /items/1 HTTP/1.1\r\n{hosts}\r\n"));
        wire.receive().assert_error(400);
        // The connection goes on: the request was read to its end.
        assert_eq!(wire.ask("GET", "/items/1", "").body, LAPTOP);
    }
}

/// Each is answered with the status, or the connection closed, as RFC 9112 allows.
#[test]
fn hostile_requests_get_an_error_and_the_next_client_is_served() {
    let (_server, address) = start_server();
    let post =
        "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    let headers = "X-Long: ".to_string() + &"x".repeat(64 * 1024) + "\r\n";
    let many: String = (0..5000).map(|n| format!("X-{n}: y\r\n")).collect();
    let hostile = [
        ("\0\u{1}\u{2}garbage\r\n\r\n".to_string(), 400),
        ("Hello, world\r\n\r\n".to_string(), 400),
        ("GET / HTTP/9.9\r\nHost: test\r\n\r\n".to_string(), 400),
        ("GET /\r\n\r\n".to_string(), 400),
        ("GET / HTTP/1.1\r\nHost : test\r\n\r\n".to_string(), 400),
        ("GET / HTTP/1.1\r\n Host: test\r\n\r\n".to_string(), 400),
        ("GET / HTTP/1.1\r\nHost: test\r\nX: a\0b\r\n\r\n".to_string(), 400),
        (format!("GET / HTTP/1.1\r\nHost: test\r\n{headers}\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: test\r\n{many}\r\n"), 431),
        (
            format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(64 * 1024)),
            431,
        ),
        (format!("{post}Content-Length: 29\r\nContent-Length: 3\r\n\r\n{LAMP}"), 400),
        (format!("{post}Content-Length: 29, 3\r\n\r\n{LAMP}"), 400),
        (format!("{post}Content-Length: -1\r\n\r\n{LAMP}"), 400),
        (format!("{post}Content-Length: 99999999999999999999\r\n\r\n{LAMP}"), 400),
        (format!("{post}Transfer-Encoding: gzip\r\n\r\n{LAMP}"), 400),
        (format!("{post}Transfer-Encoding: chunked\r\n\r\nxyz\r\n{LAMP}"), 400),
    ];
    for (text, expected) in hostile {
        let start: String = text.chars().take(80).collect();
        let mut wire = Wire::to(address);
        // It may close before all is sent.
        let _ = wire.0.get_ref().write_all(text.as_bytes());
        let mut line = String::new();
        let _ = wire.0.read_line(&mut line);
        let status = line.split(' ').nth(1).unwrap_or_default();
        assert!(
            line.is_empty() || status == expected.to_string(),
            "{start:?}: {line}, not {expected}"
        );
        assert_serves(address);
    }
    assert_eq!(ask(address, "GET", "/items", "").body, BOTH, "nothing was changed");
}

/// Two lengths, or a length and chunks, are how requests are smuggled past a proxy.
#[test]
fn a_request_with_two_lengths_never_becomes_two_requests() {
    let (_server, address) = start_server();
    let post =
        "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    let hidden = request("DELETE", "/items/1", "");
    let two = format!(
        "{post}Content-Length: 0\r\nContent-Length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    let both = format!(
        "{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
    );
    for text in [two, both] {
        let mut wire = Wire::to(address);
        wire.send(&text);
        assert_eq!(wire.receive().status, 400);
        assert!(wire.is_closed(), "the rest was taken for a request");
    }
    let same =
        format!("{post}Content-Length: 29\r\nContent-Length: 29\r\n\r\n{LAMP}");
    let mut wire = Wire::to(address);
    wire.send(&same);
    // RFC 9112 allows either; hyper takes the two for one.
    assert!(matches!(wire.receive().status, 201 | 400));
    assert_serves(address);
}

#[test]
fn headers_that_never_end_on_200_connections_block_nobody_and_are_closed() {
    let (_server, address) = start_server();
    let start = Instant::now();
    let mut slow: Vec<Wire> = (0..200).map(|_| Wire::to(address)).collect();
    for (n, wire) in slow.iter_mut().enumerate() {
        // Some have said nothing at all.
        wire.send(["", "GET / HT", "GET / HTTP/1.1\r\nHost: test\r\nX: "][n % 3]);
    }
    assert_serves(address);
    assert!(start.elapsed() < Duration::from_secs(9), "they had to wait");
    for wire in &mut slow {
        let mut rest = Vec::new();
        // In order or by a reset, but not by the test's own patience.
        let end = wire.0.read_to_end(&mut rest).map_err(|error| error.kind());
        assert!(matches!(end, Ok(_) | Err(ErrorKind::ConnectionReset)), "{end:?}");
        let text = String::from_utf8(rest).unwrap();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
    }
    assert!(start.elapsed() > Duration::from_secs(9), "patience with the slow ones");
    assert_serves(address);
}

#[test]
fn a_body_that_never_ends_is_408_and_a_client_that_leaves_harms_nobody() {
    let (_server, address) = start_server();
    let head =
        "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    let mut slow = Wire::to(address);
    slow.send(&format!("{head}Content-Length: 29\r\n\r\n{{\"name\""));
    let mut leaving = Wire::to(address);
    leaving.send(&format!("{head}Content-Length: 29\r\n\r\n{{\"name\""));
    leaving.0.get_ref().shutdown(Shutdown::Both).unwrap();
    let mut resetting = Wire::to(address);
    resetting.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\n{{\"n"));
    SockRef::from(resetting.0.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(resetting);
    assert_serves(address);
    slow.receive().assert_error(408);
    assert!(slow.is_closed());
    assert_eq!(ask(address, "GET", "/items", "").body, BOTH);
}

/// Who asks and never reads fills the buffers between, and nothing else.
#[test]
fn a_client_that_never_reads_harms_nobody_else() {
    let (server, address) = start_server();
    let never_reading = Wire::to(address);
    let mut stream = never_reading.0.get_ref();
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let requests = request("GET", "/items", "").repeat(1000);
    while stream.write(requests.as_bytes()).is_ok() {}
    assert_serves(address);
    #[cfg(target_os = "linux")]
    assert!(server.status("VmRSS") < 40_000, "{} kB", server.status("VmRSS"));
    drop(server);
}

#[test]
fn there_is_room_for_so_many_items_and_no_more() {
    let (_server, address) = start_server();
    let mut wire = Wire::to(address);
    let requests = request("POST", "/items", LAMP).repeat(100);
    let mut statuses = Vec::new();
    for _ in 0..100 {
        wire.send(&requests);
        statuses.extend((0..100).map(|_| wire.receive().status));
    }
    let created = statuses.iter().filter(|status| **status == 201).count();
    assert_eq!(created, 9998);
    assert_eq!(&statuses[9998..], [507, 507]);
    wire.ask("POST", "/items", LAMP).assert_error(507);
    assert_eq!(wire.ask("PUT", "/items/10000", LAMP).status, 200);
}

#[test]
fn what_a_peer_sent_is_printed_escaped_and_cut() {
    let (mut server, address) = start_server();
    ask(address, "GET", &format!("/{}", "x".repeat(1000)), "").assert_error(404);
    let line = server.wait_for("127.0.0.1:");
    let (_, line) = line.split_once(' ').unwrap();
    let shown = "x".repeat(195);
    assert_eq!(line, format!("GET /{shown}... (1005 bytes): 404"));
    let mut wire = Wire::to(address);
    wire.send("GET /\u{202e}\u{9b} HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut answer = String::new();
    let _ = wire.0.read_line(&mut answer);
    assert_eq!(ask(address, "GET", "/%1b", "").status, 404);
    let line = server.wait_for("127.0.0.1:");
    assert!(!line.contains(['\u{202e}', '\u{9b}']), "{line}");
}

/// The answer to what is in flight, and then the end.
#[cfg(unix)]
#[test]
fn ctrl_c_and_sigterm_end_the_server_when_it_has_answered_what_is_in_flight() {
    for signal in ["INT", "TERM"] {
        let (server, address) = start_server();
        let (mut idle, mut busy) = (Wire::to(address), Wire::to(address));
        assert_eq!(idle.ask("GET", "/items/1", "").status, 200);
        let length = LAMP.len();
        busy.send(&format!(
            "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
             Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        ));
        // The server says that it waits for the body.
        assert_eq!(busy.receive().status, 100);
        server.signal(signal);
        assert!(idle.is_closed());
        assert!(TcpStream::connect(address).is_err(), "it still listens");
        busy.send(LAMP);
        let answer = busy.receive();
        assert_eq!(answer.status, 201);
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(busy.is_closed());
        let server = server.end();
        assert_eq!((server.code, server.errors.as_str()), (Some(0), ""), "{signal}");
    }
}

#[cfg(unix)]
#[test]
fn a_client_that_never_finishes_holds_the_end_up_for_less_than_a_second() {
    let (server, address) = start_server();
    let mut stuck = Wire::to(address);
    let head =
        "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    stuck.send(&format!("{head}Expect: 100-continue\r\nContent-Length: 9\r\n\r\n"));
    assert_eq!(stuck.receive().status, 100);
    let start = Instant::now();
    server.signal("TERM");
    let server = server.end();
    assert_eq!((server.code, server.errors.as_str()), (Some(0), ""));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

/// Without a free file descriptor it serves on, and does not spin.
#[cfg(target_os = "linux")]
#[test]
fn running_out_of_file_descriptors_makes_clients_wait_and_no_more() {
    let limited = format!("ulimit -n 40; exec {SERVER} 127.0.0.1:0");
    let mut server = Program::start("/bin/sh", &["-c", &limited]);
    let address = server.address(READY);
    let mut wires: Vec<Wire> = (0..60).map(|_| Wire::to(address)).collect();
    server.wait_for_error("Cannot accept a client: Too many open files");
    assert_eq!(wires[0].ask("GET", "/items/1", "").body, LAPTOP);
    wires.drain(..40);
    for wire in &mut wires {
        assert_eq!(wire.ask("GET", "/items/1", "").body, LAPTOP);
    }
    server.signal("TERM");
    let complaints = server.end().errors.lines().count();
    assert!(complaints < 300, "it complains without a pause: {complaints} times");
}

#[test]
fn both_programs_work_over_ipv6() {
    let mut server = Program::start(SERVER, &["[::1]:0"]);
    let address = server.address(READY);
    assert_eq!(run_client(address, &["get", "1"]).output[0], "HTTP/1.1 200 OK");
}

#[test]
fn a_name_is_looked_up_and_every_address_tried() {
    let (_server, address) = start_server();
    // On many systems the first address of this name is ::1, where nobody listens.
    let url = format!("http://localhost:{}/", address.port());
    let client = Program::run(CLIENT, &["list", "--server", &url]);
    assert_eq!(client.output[0], "HTTP/1.1 200 OK");
}

#[test]
fn a_closed_port_is_a_clear_error() {
    // Bound but not listening: the port is taken, and closed.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let client = run_client(address, &["list"]);
    assert_eq!(client.code, Some(1));
    let hint = "(is the server running? cargo run -p rest-items)";
    let error = format!("Error: cannot connect to {address} {hint}");
    assert_eq!(client.errors.lines().next(), Some(&*error));
    assert!(client.errors.contains("Connection refused"), "{}", client.errors);
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let (_server, address) = start_server();
    let second = Program::run(SERVER, &[&address.to_string()]);
    assert_eq!(second.code, Some(1));
    let error = format!("Error: cannot listen on {address} (try another port)");
    assert!(second.errors.starts_with(&error), "{}", second.errors);
    assert!(second.errors.contains("in use"), "{}", second.errors);
}

#[test]
fn each_verb_of_the_client_does_what_it_says() {
    let (mut server, address) = start_server();
    let mut assert_sends = |arguments: &[&str], code, asked: &str, first: &str| {
        let client = run_client(address, arguments);
        assert_eq!(client.output[0], first, "{}", client.errors);
        assert_eq!(client.code, Some(code), "{arguments:?}");
        let line = server.wait_for("127.0.0.1:");
        assert_eq!(line.split_once(' ').unwrap().1, asked);
        client.output[1..].join("")
    };
    let listed = assert_sends(&["list"], 0, "GET /items: 200", "HTTP/1.1 200 OK");
    assert_eq!(listed.replace(' ', ""), BOTH);
    let lamp = ["create", "Lamp", "19.90"];
    assert_sends(&lamp, 0, "POST /items: 201", "HTTP/1.1 201 Created");
    let mouse = ["replace", "2", "Small mouse", "40"];
    assert_sends(&mouse, 0, "PUT /items/2: 200", "HTTP/1.1 200 OK");
    let shown =
        assert_sends(&["get", "2"], 0, "GET /items/2: 200", "HTTP/1.1 200 OK");
    assert_eq!(shown, r#"{  "name": "Small mouse",  "price": 40}"#);
    let gone = ["delete", "2"];
    assert_sends(&gone, 0, "DELETE /items/2: 204", "HTTP/1.1 204 No Content");
    assert_sends(&gone, 1, "DELETE /items/2: 404", "HTTP/1.1 404 Not Found");
    let negative = ["create", "Lamp", "-5"];
    let first = "HTTP/1.1 422 Unprocessable Entity";
    let error = assert_sends(&negative, 1, "POST /items: 422", first);
    assert!(error.contains("a price is 0 or more"), "{error}");
}

/// A client that meets this instead of the real server.
fn start_fake_server(
    serve: impl FnOnce(TcpStream) + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, thread::spawn(move || serve(listener.accept().unwrap().0)))
}

fn run_client_against(answer: &'static str) -> Ended {
    let (fake, _thread) = start_fake_server(move |mut connection| {
        let _ = connection.read(&mut [0; 1000]);
        let _ = connection.write_all(answer.as_bytes());
    });
    run_client(fake, &["list"])
}

#[test]
fn the_client_shows_what_is_no_json_escaped_and_refuses_what_is_no_http() {
    let html = "HTTP/1.0 502 Bad Gateway\r\n\r\n<h1>\u{1b}[2J</h1>\n";
    let client = run_client_against(html);
    assert_eq!(client.output, ["HTTP/1.0 502 Bad Gateway", r"<h1>\u{1b}[2J</h1>"]);
    assert_eq!(client.code, Some(1));
    let moved = "HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(run_client_against(moved).code, Some(1));
    for broken in
        ["Hello, world", "", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
    {
        let client = run_client_against(broken);
        assert_eq!((client.code, client.output.len()), (Some(1), 0), "{broken}");
        assert!(client.errors.starts_with("Error: no answer from 127.0.0.1:"));
    }
}

#[test]
fn the_client_waits_for_no_endless_and_for_no_missing_answer() {
    let (endless, _thread) = start_fake_server(|mut connection| {
        let _ = connection.read(&mut [0; 1000]);
        let _ = connection.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        while connection.write_all(&[b'x'; 1000]).is_ok() {}
    });
    let client = run_client(endless, &["list"]);
    assert_eq!(client.code, Some(1));
    assert!(client.errors.contains("length limit exceeded"), "{}", client.errors);
    let (silent, thread) = start_fake_server(|mut connection| {
        let _ = connection.read_to_end(&mut Vec::new());
    });
    let client = run_client(silent, &["list"]);
    assert_eq!(client.code, Some(1));
    assert!(client.errors.contains("no end of it within 5 s"), "{}", client.errors);
    thread.join().unwrap();
}

#[test]
fn wrong_arguments_exit_with_2_and_an_unknown_name_with_1() {
    let wrong =
        ["127.0.0.1:8000", "https://localhost", "ftp://a", "http://", "http://a/b"];
    for server in wrong.into_iter().chain([
        "http://a:x",
        "http://a:65536",
        "http://a?b",
        "http://u@a",
    ]) {
        let ended = Program::run(CLIENT, &["list", "--server", server]);
        assert_eq!(ended.code, Some(2), "{server}: {}", ended.errors);
    }
    let wrong =
        ["", "get", "get x", "create Lamp", "create Lamp cheap", "list 1", "put 1"];
    for arguments in wrong {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        assert_eq!(Program::run(CLIENT, &arguments).code, Some(2), "{arguments:?}");
    }
    assert_eq!(Program::run(SERVER, &["localhost:8000"]).code, Some(2));
    // No name ends in .invalid (RFC 2606).
    let url = "http://no-such-host.invalid:8000";
    let unknown = Program::run(CLIENT, &["--server", url, "list"]);
    assert_eq!(unknown.code, Some(1));
    let error = "cannot connect to no-such-host.invalid:8000";
    assert!(unknown.errors.contains(error), "{}", unknown.errors);
}
