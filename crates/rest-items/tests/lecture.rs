//! What the slides promise of REST and JSON. The tests judge a program by its behaviour
//! alone, so by what it prints and answers.

mod program;
mod wire;

use std::io::{Read, Write};
use std::net::TcpStream;

use program::{PATIENCE, Program, assert_shown};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wire::*;

const README: &str = include_str!("../README.md");

/// Hint: Compare what is printed with the README, line by line and word by word.
#[test]
fn server_and_client_print_what_the_readme_shows() {
    let (mut server, address) = start_server();
    for arguments in ["get 1", "create Lamp 19.5", "replace 3 Lamp 25", "get 4"] {
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
/// Hint: HTTP is lines of text; compare yours with RFC 9112, and end the connection
/// when it is asked for.
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
/// Hint: What does the server remember about a client between two requests?
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
/// Hint: What is the state after the request has come once, and after it has come
/// twice?
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
    assert!(once.contains(r#"{"id":2,"name":"Lamp","price":19.5}"#), "{once}");
    assert_eq!(list("PUT", "/items/2", LAMP, 200), once);
    let once = list("DELETE", "/items/2", "", 204);
    assert_eq!(once, r#"[{"id":1,"name":"Laptop","price":1200}]"#);
    assert_eq!(list("DELETE", "/items/2", "", 404), once);
    assert_eq!(list("GET", "/items/1", "", 200), once);
    let once = list("POST", "/items", LAMP, 201);
    assert_ne!(list("POST", "/items", LAMP, 201), once);
}

/// Hint: Where does the next id come from once the last item has been deleted?
#[test]
fn a_new_item_is_told_where_it_is_and_no_id_comes_twice() {
    let (_server, address) = start_server();
    let mut wire = Wire::to(address);
    let created = wire.ask("POST", "/items", LAMP);
    assert_eq!(created.header("location"), Some("/items/3"));
    assert_eq!(created.body, r#"{"id":3,"name":"Lamp","price":19.5}"#);
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
/// Hint: This one is about JSON alone and asks nothing of your program.
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
/// Hint: This one is about JSON alone and asks nothing of your program.
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
/// Hint: Does your parser keep to RFC 8259, or does it forgive?
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
/// Hint: What belongs to the path, and what comes after the question mark?
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
/// Hint: Who reads the status of an answer and never its body?
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
/// Hint: Which types does the contract want, and which of these values have them?
#[test]
fn a_wrong_type_in_the_path_or_in_the_body_is_422() {
    let (_server, address) = start_server();
    for id in ["abc", "-1", "1.0", "1e0", "%31", "18446744073709551616"] {
        for (method, body) in [("GET", ""), ("PUT", LAMP), ("DELETE", "")] {
            ask(address, method, &format!("/items/{id}"), body).assert_error(422);
        }
    }
    let long = format!(r#"{{"name":"{}","price":5}}"#, "é".repeat(101));
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
        // What a JSON library uses for itself is not a number to others.
        r#"{"name":"Lamp","price":{"$serde_json::private::Number":"5"}}"#,
        r#"{"name":"Lamp","price":{"$serde_json::private::RawValue":"5"}}"#,
        r#"{"name":"Lamp","price":5,"colour":"red"}"#,
        r#"{"id":1,"name":"Lamp","price":5}"#,
        &long,
    ];
    for text in wrong {
        ask(address, "POST", "/items", text).assert_error(422);
        ask(address, "PUT", "/items/1", text).assert_error(422);
    }
    assert_eq!(ask(address, "GET", "/items", "").body, BOTH);
}

/// Hint: JSON has one kind of number; how many has your language?
#[test]
fn a_price_is_a_number_and_comes_back_as_one() {
    let (_server, address) = start_server();
    for price in ["0", "1200", "19.5", "0.1", "2.5e-3"] {
        let item = format!(r#"{{"name":"Lamp","price":{price}}}"#);
        let created = ask(address, "POST", "/items", &item);
        assert_eq!(created.status, 201, "{price}: {created:?}");
        let sent: Value = serde_json::from_str(price).unwrap();
        let location = created.header("location").unwrap();
        assert_eq!(ask(address, "GET", location, "").json()["price"], sent);
        let client = run_client(address, &["replace", "1", "Lamp", price]);
        assert_eq!(client.output[0], "HTTP/1.1 200 OK");
    }
    // Beyond what a double can hold; either is an error of the client's.
    let huge = r#"{"name":"Lamp","price":1e999}"#;
    assert!(matches!(ask(address, "POST", "/items", huge).status, 400 | 422));
}

/// Hint: Is the length counted in characters or in bytes, and what is printed of a
/// name?
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
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }
}

/// Claim 58: the "database" is memory.
/// Hint: Where are the items kept, and which socket option lets the port be bound
/// again at once?
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
/// crates/tools/claims/tests/web.rs.
/// Hint: How does the server find the end of one request and the beginning of the
/// next?
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
        "7\r\n{\"name\"\r\n15;x=y\r\n:\"Lamp\",\"price\":19.5}\r\n0\r\nX: y\r\n";
    wire.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}\r\n"));
    assert_eq!(wire.receive().body, r#"{"id":3,"name":"Lamp","price":19.5}"#);
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

/// Hint: HEAD has the headers of GET, the length included, and nothing after them.
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

/// Hint: Which methods does this resource have, and which header tells the client?
#[test]
fn other_methods_are_405_and_are_told_which_are_not() {
    let (_server, address) = start_server();
    let mut wire = Wire::to(address);
    let resources = [
        ("/", "get, head"),
        ("/items", "get, head, post"),
        ("/items/1", "delete, get, head, put"),
    ];
    for (path, allowed) in resources {
        for method in [
            "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW",
            "get",
        ] {
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

/// Hint: Which method, path and body does each command stand for?
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
    let lamp = ["create", "Lamp", "19.5"];
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
    assert!(error.contains("price"), "{error}");
}
