//! A REST client: one command for each verb, and HTTP and TCP to be seen apart.
//!
//! Contract: connects to --server; sends one request (HTTP: RFC 9110, RFC 9112);
//!           prints the status line of the answer and its JSON; ends then.
//! Slide:    Example: FastAPI (Python), "Access in browser"
//! Run:      1$ cargo run -p rest-items
//!           2$ cargo run -p rest-items --bin rest-client -- create Lamp 19.90
//! See:      `HTTP/1.1 201 Created`, then the item with its new id.

use std::{io, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use http_body_util::{BodyExt, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::http::uri::Authority;
use hyper::{Request, Response, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Number, Value, json};
use tokio::{net::TcpStream, time::timeout};

const HINT: &str = "is the server running? cargo run -p rest-items";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_MESSAGE: usize = 1024 * 1024;

/// Reads and changes the items of a REST server (RFC 9110).
///
/// Connecting and the answer may take 5 seconds each. Exit status 1 when there is no
/// answer or one whose status is an error, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The server; a name is looked up, and each of its addresses tried
    #[arg(long, global = true, value_name = "URL", value_parser = host_port)]
    #[arg(default_value = "http://127.0.0.1:8000")]
    server: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists all items: GET /items
    List,
    /// Shows an item: GET /items/ID
    Get { id: u64 },
    /// Creates an item, a new one each time: POST /items
    Create {
        name: String,
        #[arg(allow_negative_numbers = true)]
        price: Number,
    },
    /// Replaces an item, which twice is the same as once: PUT /items/ID
    Replace {
        id: u64,
        name: String,
        #[arg(allow_negative_numbers = true)]
        price: Number,
    },
    /// Deletes an item: DELETE /items/ID
    Delete { id: u64 },
}

/// Takes HOST:PORT out of a URL; HTTP's own port is 80.
fn host_port(url: &str) -> Result<String> {
    let server = url.strip_prefix("http://").context("it takes http://HOST:PORT")?;
    let server: Authority = server.strip_suffix('/').unwrap_or(server).parse()?;
    let host = server.host();
    match server.port_u16() {
        Some(port) if server == *format!("{host}:{port}") => Ok(server.to_string()),
        None if server == *host => Ok(format!("{host}:80")),
        _ => bail!("it takes http://HOST:PORT"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let Arguments { server, command } = Arguments::parse();
    let connection = timeout(CONNECT_TIMEOUT, TcpStream::connect(&server)).await;
    let connection = connection.map_err(io::Error::from).flatten();
    let connection =
        connection.with_context(|| format!("cannot connect to {server} ({HINT})"))?;
    let request = request(&server, command)?;
    let answer = timeout(REPLY_TIMEOUT, exchange(connection, request)).await;
    let answer = answer.context("no end of it within 5 s").flatten();
    let answer = answer.with_context(|| format!("no answer from {server}"))?;
    println!("{:?} {}", answer.version(), answer.status());
    show(answer.body());
    Ok(ExitCode::from(u8::from(!answer.status().is_success())))
}

/// Says what the command means in HTTP: a verb, a resource, and perhaps an item.
fn request(server: &str, command: Command) -> Result<Request<String>> {
    let (method, path, item) = match command {
        Command::List => ("GET", "/items".to_string(), None),
        Command::Get { id } => ("GET", format!("/items/{id}"), None),
        Command::Create { name, price } => {
            ("POST", "/items".to_string(), Some((name, price)))
        }
        Command::Replace { id, name, price } => {
            ("PUT", format!("/items/{id}"), Some((name, price)))
        }
        Command::Delete { id } => ("DELETE", format!("/items/{id}"), None),
    };
    let request = Request::builder().method(method).uri(path).header(HOST, server);
    Ok(match item {
        Some((name, price)) => request
            .header(CONTENT_TYPE, "application/json")
            .body(json!({"name": name, "price": price}).to_string())?,
        None => request.body(String::new())?,
    })
}

/// Sends the request over TCP and receives the whole answer.
async fn exchange(
    connection: TcpStream,
    request: Request<String>,
) -> Result<Response<Bytes>> {
    let (mut http, connection) = http1::handshake(TokioIo::new(connection)).await?;
    // Writes and reads the bytes of HTTP in a task of its own.
    tokio::spawn(connection);
    let (head, body) = http.send_request(request).await?.into_parts();
    let body = Limited::new(body, MAX_MESSAGE).collect().await;
    let body = body.map_err(anyhow::Error::from_boxed)?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

/// Prints JSON with a line for each value; what is no JSON, as it is.
fn show(body: &[u8]) {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let text = json.map(|json| format!("{json:#}").into_bytes());
    let text = text.unwrap_or_else(|| body.to_vec());
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        println!("{}", printable(line));
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
