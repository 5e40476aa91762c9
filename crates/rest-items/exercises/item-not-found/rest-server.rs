//! A REST API over JSON: items in memory, read and changed by HTTP's own methods.
//!
//! Contract: binds ADDR:PORT; expects HTTP/1.1 or 1.0 (RFC 9110, RFC 9112); answers
//!           in JSON; ends on Ctrl-C. An error is {"error": "..."}.
//!
//! | path        | GET, HEAD   | POST       | PUT         | DELETE     |
//! | ----------- | ----------- | ---------- | ----------- | ---------- |
//! | `/`         | a greeting  |            |             |            |
//! | `/items`    | all items   | a new item |             |            |
//! | `/items/ID` | one item    |            | replaces it | removes it |
//!
//! Slide:    Example: FastAPI (Python), main.py
//! Run:      1$ cargo run -p rest-items
//!           2$ cargo run -p rest-items --bin rest-client -- get 1
//! See:      `127.0.0.1:<port> GET /items/1: 200`; a browser shows the JSON of
//!           http://127.0.0.1:8000/items/1

use std::{collections::BTreeMap, net::SocketAddr, sync::LazyLock, sync::Mutex};

use anyhow::{Context, Result};
use clap::Parser;
use http_body_util::BodyExt;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, LOCATION};
use hyper::{Request, Response, Version, body::*, http::uri::Authority};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, from_slice, json};
use tokio::{net::TcpListener, time::Duration, time::sleep, time::timeout};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { address } = Arguments::parse();
    // A client is an open file, and many systems allow a program only 1,024.
    rlimit::increase_nofile_limit(16_384)?;
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
    println!("REST server on http://{}", listener.local_addr()?);
    accept_clients(listener).await
}

/// The API. The text of a 405 is the list of methods that the resource has.
fn route(method: &str, path: &str, item: Answer<Value>) -> Answer {
    let (items, last) = &mut *ITEMS.lock().unwrap();
    match (method, path, path.strip_prefix("/items/").map(str::parse)) {
        ("GET" | "HEAD", "/", _) => Ok((200, json!({"message": "Hello, API!"}))),
        ("GET" | "HEAD", "/items", _) => Ok((200, items.iter().map(shown).collect())),
        ("GET" | "HEAD", _, Some(Ok(id))) => found(200, items.get(&id)),
        ("POST", "/items", _) => create(items, last, item?),
        ("PUT", _, Some(Ok(id))) => replace(items.get_mut(&id), item?),
        ("DELETE", _, Some(Ok(id))) => found(204, items.remove(&id).as_ref()),
        (_, "/", _) => Err((405, "GET, HEAD".into())),
        (_, "/items", _) => Err((405, "GET, HEAD, POST".into())),
        (_, _, Some(Ok(_))) => Err((405, "DELETE, GET, HEAD, PUT".into())),
        (_, _, Some(Err(_))) => Err((422, "An id is a number".into())),
        _ => Err((404, "Not found".into())),
    }
}

/// The client chooses the id, so the item may be missing.
fn found(status: u16, item: Option<&Value>) -> Answer {
    // Exercise: `Ok` with the status and a clone of the item, or `Err` with 404 and the
    // words `Item not found`.
    todo!("`item` is Some or None")
}

/// No id is given twice, not even the id of an item that was deleted.
fn create(items: &mut BTreeMap<u64, Value>, last: &mut u64, item: Value) -> Answer {
    // What clients can make a server keep needs a bound.
    ensure(items.len() < 10_000, 507, "There is no room for more items")?;
    *last += 1;
    let item = items.entry(*last).or_insert(item);
    Ok((201, shown((last, item))))
}

fn replace(old: Option<&mut Value>, new: Value) -> Answer {
    found(200, old.map(|old| old.clone_from(&new)).and(Some(&new)))
}

/// Answers one request, whatever it holds, and tells its story.
async fn serve(req: Request<Incoming>, peer: SocketAddr) -> Result<Response<String>> {
    let (head, body) = req.into_parts();
    let (method, path) = (head.method.as_str(), head.uri.path());
    let item = timeout(CLIENT_TIMEOUT, receive(&head.headers, body)).await?;
    let host = check_host(head.version, &head.headers);
    let answer = host.and_then(|()| route(method, path, item));
    let (status, json) = answer.unwrap_or_else(|(n, why)| (n, json!({"error": why})));
    println!("{peer} {method:.200} {:.200}: {status}", printable(path.as_bytes()));
    let reply = Response::builder().header(CONTENT_TYPE, "application/json");
    let reply = match status {
        201 => reply.header(LOCATION, format!("/items/{}", json["id"])),
        405 => reply.header(ALLOW, json["error"].as_str().unwrap_or_default()),
        413 => reply.header(CONNECTION, "close"),
        _ => reply,
    };
    Ok(reply.status(status).body(json.to_string())?)
}

/// Receives an item. A body comes in pieces.
async fn receive(headers: &HeaderMap, mut body: Incoming) -> Answer<Value> {
    let mut text = Vec::new();
    while body.size_hint().lower() + text.len() as u64 <= 1 << 20 {
        let Some(frame) = body.frame().await else { return parse(headers, &text) };
        let frame = frame.map_err(|error| (400, error.to_string()))?;
        text.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
    // Closing while the client sends would reset the connection before it reads the
    // answer: the rest is read and thrown away.
    let rest = async move { while let Some(Ok(_)) = body.frame().await {} };
    tokio::spawn(timeout(CLIENT_TIMEOUT, rest));
    Err((413, "The body is larger than 1 MiB".into()))
}

/// Checks that a body is an item: 400 for what is not JSON, 422 for other JSON.
fn parse(headers: &HeaderMap, body: &[u8]) -> Answer<Value> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    let is_json = kind.trim().eq_ignore_ascii_case("application/json");
    ensure(is_json, 415, "An item is application/json")?;
    let item: Value = from_slice(body).map_err(|error| (400, error.to_string()))?;
    let name = item["name"].as_str().map_or(0, |name| name.chars().count());
    match (item.as_object().map_or(0, Map::len), name, item["price"].as_f64()) {
        (2, 1..=100, Some(0.0..)) => Ok(item),
        _ => Err((422, "name: 1 to 100 characters, price: a number from 0".into())),
    }
}

// Set-up.

/// Serves items in memory as a REST API (HTTP: RFC 9110, JSON: RFC 8259).
///
/// Prints each request and the status of its answer. Runs until Ctrl-C. Closes a
/// connection when no request comes for 8 seconds, when a request takes longer than
/// that to arrive, and when a client takes nothing of its answer for as long. Exit
/// status: 1 when it cannot listen, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: an IP address of this machine and a port, 0 for any free port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:8000")]
    address: SocketAddr,
}

const CLIENT_TIMEOUT: Duration = Duration::from_secs(8);

/// A status, with the JSON of an answer or with the words of an error.
type Answer<T = (u16, Value)> = Result<T, (u16, String)>;

/// The in-memory "database", as on the slide, and the id that was given last.
static ITEMS: LazyLock<Mutex<(BTreeMap<u64, Value>, u64)>> = LazyLock::new(|| {
    let laptop = json!({"name": "Laptop", "price": 1200});
    Mutex::new(([(1, laptop), (2, json!({"name": "Mouse", "price": 50}))].into(), 2))
});

fn shown((id, item): (&u64, &Value)) -> Value {
    json!({"id": id, "name": item["name"], "price": item["price"]})
}

fn ensure(is_right: bool, status: u16, why: &str) -> Answer<()> {
    if is_right { Ok(()) } else { Err((status, why.into())) }
}

/// HTTP/1.1 demands exactly one `Host`: HOST or HOST:PORT (RFC 9112, section 3.2).
fn check_host(version: Version, headers: &HeaderMap) -> Answer<()> {
    let hosts = headers.get_all(HOST).iter();
    let hosts = hosts.map(|host| Authority::try_from(host.as_bytes()).is_ok());
    ensure(version == Version::HTTP_10 || hosts.eq([true]), 400, "It takes one Host")
}

/// Starts a task for each client. Whatever happens in it, the others never notice.
async fn accept_clients(tcp: TcpListener) -> Result<()> {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(CLIENT_TIMEOUT);
    http.half_close(true).max_buf_size(16 * 1024);
    loop {
        let new = tcp.accept().await.inspect_err(|e| eprintln!("Cannot accept: {e}"));
        let Ok((connection, peer)) = new else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let _ = connection.set_nodelay(true);
        let mut connection = tokio_io_timeout::TimeoutWriter::new(connection);
        connection.set_timeout(Some(CLIENT_TIMEOUT));
        let connection = TokioIo::new(Box::pin(connection));
        let service = hyper::service::service_fn(move |request| serve(request, peer));
        tokio::spawn(http.serve_connection(connection, service));
    }
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
