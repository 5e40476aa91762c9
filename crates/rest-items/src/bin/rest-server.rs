//! A REST API over JSON: items in memory, read and changed by HTTP's own verbs.
//!
//! Contract: binds ADDR:PORT; expects HTTP/1.1 or 1.0 (RFC 9110, RFC 9112); answers
//!           in JSON; ends on Ctrl-C or SIGTERM, when what is in flight is answered.
//! Slide:    Example: FastAPI (Python), main.py
//! Run:      1$ cargo run -p rest-items
//!           2$ cargo run -p rest-items --bin rest-client -- get 1
//! See:      `127.0.0.1:<port> GET /items/1: 200`; a browser shows the JSON of
//!           http://127.0.0.1:8000/items/1

use std::sync::{LazyLock, Mutex, PoisonError};
use std::{io, net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, LOCATION};
use hyper::{Request, Response, Version, server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, rt::TokioTimer, server::graceful::GracefulShutdown};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value, from_slice, from_str, json};
use tokio::{net::TcpListener, select, signal, time::sleep, time::timeout};

/// What makes `accept` fail, no more open files say, needs time to pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection may be silent, and headers or a body may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long what is in flight may take once the server was asked to end.
const END_TIMEOUT: Duration = Duration::from_millis(800);
const MAX_HEADERS: usize = 16 * 1024;
const MAX_MESSAGE: u64 = 1024 * 1024;
const MAX_ITEMS: usize = 10_000;

/// Serves items in memory as a REST API (HTTP: RFC 9110, JSON: RFC 8259).
///
/// Prints each request and the status of its answer. Ends on Ctrl-C or SIGTERM with
/// exit status 0; 1 when it cannot listen, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: an IP address of this machine and a port, 0 for any free port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:8000")]
    address: SocketAddr,
}

type Reply = hyper::http::Result<Response<String>>;
/// A status, with the JSON of an answer or with the words of an error.
type Answer<T = (u16, String)> = Result<T, (u16, String)>;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Item {
    name: String,
    /// The digits as they came: 19.90 stays 19.90, and 1200 is not 1200.0.
    price: Number,
}

/// The in-memory "database". An item's place is its id, and what is deleted leaves
/// its place empty: no id is ever given twice.
static ITEMS: LazyLock<Mutex<Vec<Option<Item>>>> = LazyLock::new(|| {
    let items = r#"[null, {"name": "Laptop", "price": 1200},
        {"name": "Mouse", "price": 50}]"#;
    from_str(items).unwrap_or_default()
});

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { address } = Arguments::parse();
    let listener = TcpListener::bind(address).await;
    let listener = listener
        .with_context(|| format!("cannot listen on {address} (try another port)"))?;
    let connections = GracefulShutdown::new();
    // Whichever ends first ends the accepting. In this order, since signals must be
    // caught before the server says it is ready.
    select! {
        biased;
        result = signal::ctrl_c() => result?,
        result = terminated() => result?,
        result = accept_all(listener, &connections) => result?,
    }
    // Idle connections close at once, busy ones after their answer, if it comes soon.
    let _ = timeout(END_TIMEOUT, connections.shutdown()).await;
    Ok(())
}

async fn accept_all(listener: TcpListener, open: &GracefulShutdown) -> Result<()> {
    println!("REST server on http://{}", listener.local_addr()?);
    let mut http = http1::Builder::new();
    // Without the timer hyper would wait for headers without end.
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST_TIMEOUT);
    // Who has sent all requests may say so, and still wants the answers.
    http.half_close(true).max_buf_size(MAX_HEADERS);
    loop {
        match listener.accept().await {
            Ok((connection, peer)) => {
                // Else a short answer waits until the one before was received.
                let _ = connection.set_nodelay(true);
                let service = service_fn(move |request| serve(request, peer));
                let served = http.serve_connection(TokioIo::new(connection), service);
                // Whatever happens to one connection, the others never notice.
                tokio::spawn(open.watch(served));
            }
            Err(error) => {
                eprintln!("Cannot accept a client: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Waits for SIGTERM, which only Unix has; Ctrl-C is waited for everywhere.
async fn terminated() -> io::Result<()> {
    #[cfg(unix)]
    signal::unix::signal(signal::unix::SignalKind::terminate())?.recv().await;
    #[cfg(not(unix))]
    std::future::pending::<()>().await;
    Ok(())
}

/// Answers one request, whatever it holds, and tells its story.
async fn serve(request: Request<Incoming>, peer: SocketAddr) -> Reply {
    let (head, body) = request.into_parts();
    let (method, path) = (head.method.as_str(), head.uri.path());
    let path: Vec<&str> = path.split('/').skip(1).collect();
    let body = timeout(REQUEST_TIMEOUT, receive(body)).await;
    let body = body.unwrap_or(Err((408, "the body takes too long".into())));
    let hosts = head.headers.get_all(HOST).iter().count();
    let one_host = hosts == 1 || (hosts == 0 && head.version == Version::HTTP_10);
    let body = if one_host { body } else { Err((400, "it takes one Host".into())) };
    let answer = body.and_then(|b| route(method, &path, item(&head.headers, &b)));
    let (status, text) =
        answer.unwrap_or_else(|(n, e)| json(n, &json!({"error": e})));
    let asked = format!("{method} {}", head.uri);
    println!("{peer} {}: {status}", printable(asked.as_bytes()));
    let response = Response::builder().status(status);
    let response = match status {
        201 => response.header(LOCATION, location(&text)),
        204 | 405 => response.header(ALLOW, allowed(&path)),
        408 | 413 => response.header(CONNECTION, "close"),
        _ => response,
    };
    response.header(CONTENT_TYPE, "application/json").body(text)
}

/// Receives a body, which comes in pieces.
async fn receive(mut body: Incoming) -> Answer<Vec<u8>> {
    let mut received = Vec::new();
    while body.size_hint().lower() + received.len() as u64 <= MAX_MESSAGE {
        let Some(frame) = body.frame().await else { return Ok(received) };
        let frame = frame.map_err(|error| (400, error.to_string()))?;
        received.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
    // Closing while the client sends would reset the connection before it reads the
    // answer: the rest is read and thrown away.
    let rest = async move { while let Some(Ok(_)) = body.frame().await {} };
    tokio::spawn(timeout(REQUEST_TIMEOUT, rest));
    Err((413, format!("the body has more than {MAX_MESSAGE} bytes")))
}

/// The API: what each method does to each resource.
fn route(method: &str, path: &[&str], item: Answer<Item>) -> Answer {
    let items = || ITEMS.lock().unwrap_or_else(PoisonError::into_inner);
    match (method, path) {
        ("GET", [""]) => Ok(json(200, &json!({"message": "Hello, API!"}))),
        ("GET", ["items"]) => Ok(json(200, &list(&items()))),
        ("GET", ["items", id]) => Ok(json(200, find(&mut items(), id)?)),
        ("POST", ["items"]) => create(&mut items(), item?),
        ("PUT", ["items", id]) => {
            Ok(json(200, find(&mut items(), id)?.insert(item?)))
        }
        ("DELETE", ["items", id]) => Ok(json(204, &find(&mut items(), id)?.take())),
        _ => other(method, path, item),
    }
}

/// What is the same for all resources: HEAD, OPTIONS, and errors.
fn other(method: &str, path: &[&str], item: Answer<Item>) -> Answer {
    match (method, allowed(path)) {
        (_, "") => Err((404, "nothing is here".into())),
        // hyper leaves out the body.
        ("HEAD", _) => route("GET", path, item),
        ("OPTIONS", _) => Ok(json(204, &())),
        (_, allowed) => Err((405, format!("it takes {allowed}"))),
    }
}

fn allowed(path: &[&str]) -> &'static str {
    match path {
        [""] => "GET, HEAD, OPTIONS",
        ["items"] => "GET, HEAD, OPTIONS, POST",
        ["items", _] => "DELETE, GET, HEAD, OPTIONS, PUT",
        _ => "",
    }
}

fn list(items: &[Option<Item>]) -> Value {
    let items = items.iter().enumerate();
    items.filter_map(|(id, item)| Some(with_id(id, item.as_ref()?))).collect()
}

fn find<'a>(items: &'a mut [Option<Item>], id: &str) -> Answer<&'a mut Option<Item>> {
    let id: usize = id.parse().map_err(|_| (422, "an id is a number".into()))?;
    let found = items.get_mut(id).filter(|item| item.is_some());
    found.ok_or_else(|| (404, format!("there is no item {id}")))
}

fn create(items: &mut Vec<Option<Item>>, item: Item) -> Answer {
    let id = items.len();
    if id > MAX_ITEMS {
        return Err((507, format!("there is room for {MAX_ITEMS} items")));
    }
    let answer = json(201, &with_id(id, &item));
    items.push(Some(item));
    Ok(answer)
}

fn with_id(id: usize, item: &Item) -> Value {
    json!({"id": id, "name": item.name, "price": item.price})
}

fn location(item: &str) -> String {
    let item: Value = from_str(item).unwrap_or_default();
    format!("/items/{}", item["id"])
}

/// HTTP sends no body with 204, whatever it says.
fn json(status: u16, value: &impl Serialize) -> (u16, String) {
    (status, serde_json::to_string(value).unwrap_or_default())
}

/// Checks that a body is an item.
fn item(headers: &HeaderMap, body: &[u8]) -> Answer<Item> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("application/json") {
        return Err((415, "it takes application/json".into()));
    }
    let json: Value = from_slice(body).map_err(|e| (400, e.to_string()))?;
    let item: Item = from_slice(body).map_err(|e| (422, e.to_string()))?;
    let (name, price) = (item.name.chars().count(), item.price.as_f64());
    match (name, price, item.price.as_str().len()) {
        // serde would take a list of the two values for an item, too.
        _ if !json.is_object() => Err((422, "an item is an object".into())),
        (1..=100, Some(0.0..), ..=100) => Ok(item),
        (1..=100, ..) => Err((422, "a price is 0 or more, in 100 digits".into())),
        _ => Err((422, "a name has 1 to 100 characters".into())),
    }
}

/// A peer's bytes as text: what could steer the terminal is escaped, the end cut off.
fn printable(data: &[u8]) -> String {
    let mut out = String::with_capacity(data.len().min(804));
    for chunk in data[..data.len().min(804)].utf8_chunks() {
        for c in chunk.valid().chars().take(201) {
            match c {
                ' '..='~' => out.push(c),
                _ if c.is_control() => out.extend(c.escape_unicode()),
                '\u{61c}' | '\u{200e}' | '\u{200f}' => out.extend(c.escape_unicode()),
                '\u{2028}'..='\u{202e}' => out.extend(c.escape_unicode()),
                '\u{2066}'..='\u{2069}' => out.extend(c.escape_unicode()),
                _ => out.push(c),
            }
        }
        out.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    if let Some((cut, _)) = out.char_indices().nth(200) {
        out.replace_range(cut.., &format!("... ({} bytes)", data.len()));
    }
    out
}
