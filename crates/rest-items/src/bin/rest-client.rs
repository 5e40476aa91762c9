//! A REST client: one command for each method, with TCP and HTTP apart.
//!
//! Contract: connects to --server; sends one request (HTTP: RFC 9110, RFC 9112);
//!           expects JSON; prints the status line and the JSON; then ends.
//! Slide:    Example: FastAPI (Python), "Access in browser"
//! Run:      1$ cargo run -p rest-items
//!           2$ cargo run -p rest-items --bin rest-client -- create Lamp 19.5
//! See:      `HTTP/1.1 201 Created`, then the item with its new id.

use std::{io, process::ExitCode, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use http_body_util::{BodyExt, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Response, Uri, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Number, Value, json};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let Arguments { server, command } = Arguments::parse();
    let server = host_port(&server).context("--server takes http://HOST:PORT")?;
    let connection =
        connect(&server).await.map_err(|e| cannot_connect(&server, e))?;
    let answer = timeout(ANSWER_TIMEOUT, ask(connection, request(&server, command)?));
    let answer = answer.await.context("it took more than 5 seconds").flatten();
    let answer = answer.with_context(|| format!("no answer from {server}"))?;
    println!("{:?} {}", answer.version(), answer.status());
    show(&answer)?;
    Ok(ExitCode::from(u8::from(!answer.status().is_success())))
}

/// Sends the request over a TCP connection and receives the whole answer.
async fn ask(tcp: TcpStream, request: Request<String>) -> Result<Response<Bytes>> {
    let (mut http, connection) = http1::handshake(TokioIo::new(tcp)).await?;
    // A task of its own writes and reads the bytes of HTTP.
    tokio::spawn(connection);
    let (head, body) = http.send_request(request).await?.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    let body = body.map_err(anyhow::Error::from_boxed)?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

/// Says what the command means in HTTP: a method, a path, and perhaps an item.
fn request(server: &str, command: Command) -> Result<Request<String>> {
    let (method, path, item) = match command {
        Command::List => ("GET", "/items".to_string(), None),
        Command::Get { id } => ("GET", format!("/items/{id}"), None),
        Command::Create(item) => ("POST", "/items".to_string(), Some(item)),
        Command::Replace { id, item } => ("PUT", format!("/items/{id}"), Some(item)),
        Command::Delete { id } => ("DELETE", format!("/items/{id}"), None),
    };
    let request = Request::builder().method(method).uri(path).header(HOST, server);
    let Some(Item { name, price }) = item else {
        return Ok(request.body(String::new())?);
    };
    let item = json!({"name": name, "price": price}).to_string();
    Ok(request.header(CONTENT_TYPE, "application/json").body(item)?)
}

/// Prints JSON with one line for each value, and anything else as it came.
fn show(answer: &Response<Bytes>) -> Result<()> {
    let json = serde_json::from_slice::<Value>(answer.body());
    let text = match &json {
        Ok(json) => format!("{json:#}"),
        Err(_) => String::from_utf8_lossy(answer.body()).to_string(),
    };
    for line in text.lines() {
        println!("{}", printable(line.as_bytes()));
    }
    // A 204 has no body.
    ensure!(json.is_ok() || answer.status() == 204, "the answer is not JSON");
    Ok(())
}

/// Connects to the first of the server's addresses that accepts.
async fn connect(server: &str) -> io::Result<TcpStream> {
    let mut result = Err(io::Error::new(io::ErrorKind::NotFound, "no address"));
    for address in lookup_host(server).await? {
        let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        result = connecting.map_err(io::Error::from).flatten();
        if result.is_ok() {
            break;
        }
    }
    result
}

// Set-up.

/// Reads and changes the items of a REST server (RFC 9110).
///
/// Gives up when connecting to an address takes 5 seconds, or when the answer does.
/// Looking a name up takes as long as the system lets it. Exit status: 1 when there
/// is no answer, when its status is an error or when it is not JSON, 2 for a wrong
/// argument.
#[derive(Parser)]
struct Arguments {
    /// The server; a name is looked up, and each of its addresses tried
    #[arg(long, global = true, value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:8000")]
    server: Uri,
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
    Create(Item),
    /// Replaces an item, which twice is the same as once: PUT /items/ID
    Replace {
        id: u64,
        #[command(flatten)]
        item: Item,
    },
    /// Deletes an item: DELETE /items/ID
    Delete { id: u64 },
}

#[derive(clap::Args)]
struct Item {
    name: String,
    #[arg(allow_negative_numbers = true)]
    price: Number,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Of what a server sends, the most that is kept.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// The address in http://HOST:PORT. Without a port it is 80, as always in HTTP.
fn host_port(url: &Uri) -> Option<String> {
    let host = url.host().filter(|host| !host.is_empty())?;
    let address = format!("{host}:{}", url.port_u16().unwrap_or(80));
    let plain = [format!("http://{address}"), format!("http://{host}")];
    plain.iter().any(|plain| *url == **plain).then_some(address)
}

const HINT: &str = " (is the server running? cargo run -p rest-items)";

fn cannot_connect(server: &str, why: io::Error) -> anyhow::Error {
    let hint = if why.kind() == io::ErrorKind::ConnectionRefused { HINT } else { "" };
    anyhow::Error::new(why).context(format!("cannot connect to {server}{hint}"))
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
