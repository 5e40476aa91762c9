//! A client of the frames: sends several requests, then reads their replies.
//!
//! Contract: connects to HOST:PORT; sends each REQUEST as a frame: 4 bytes of length,
//!           big-endian, then JSON; expects a frame in reply to each, in the same
//!           order; then ends. JSON is RFC 8259, TCP is RFC 9293.
//! Slide:    Sockets vs. REST APIs (raw sockets: custom protocol)
//! Run:      1$ cargo run -p tcp-messages --bin frames-server
//!           2$ cargo run -p tcp-messages --bin frames-client
//! See:      `Received: {"value":"Hello, world"}`.

use std::{io, io::ErrorKind, iter::zip, time::Duration};

use anyhow::{Context, Error, Result, ensure};
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, net::lookup_host, time::timeout};
use tokio_util::codec::{Framed, LengthDelimitedCodec, length_delimited::Builder};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { server, requests } = Arguments::parse();
    let mut frames = open(&server).await.map_err(|e| cannot_connect(&server, e))?;
    let mut errors = 0;
    for requests in requests.chunks(AT_ONCE) {
        for request in requests {
            send(&mut frames, request).await.context("cannot send")?;
        }
        for _ in requests {
            errors += usize::from(receive(&mut frames).await.context("no reply")?);
        }
    }
    ensure!(errors == 0, "{errors} of {} replies say error", requests.len());
    Ok(())
}

async fn send(frames: &mut Frames, request: &str) -> Result<()> {
    // `set colour blue` becomes {"do":"set","key":"colour","value":"blue"}.
    let json = serde_json::Value::from_iter(zip(MEMBERS, request.splitn(3, ' ')));
    timeout(TIMEOUT, frames.send(json.to_string().as_bytes())).await??;
    println!("Sent: {json}");
    Ok(())
}

/// Prints one reply, and returns whether it is an error.
async fn receive(frames: &mut Frames) -> Result<bool> {
    // Waits until a frame is whole, after one read or many.
    let frame = timeout(TIMEOUT, frames.next()).await?;
    let frame = frame.context("the server has ended the stream")??;
    let reply = printable(&frame);
    println!("Received: {reply}");
    Ok(reply.starts_with(r#"{"error":"#))
}

// Set-up.

/// Sends requests to a frames server and prints the replies (RFC 9293).
///
/// Sends up to 10 requests before it reads their replies. Gives up when connecting to
/// an address takes 5 seconds, or when nothing arrives for 5. Looking a name up takes
/// as long as the system lets it. Exit status: 1 when a reply is missing or says
/// `error`, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The server; a name is looked up, and each of its addresses tried
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:65436")]
    server: String,
    /// `set KEY VALUE`, `get KEY` or `list`, each one argument; it is sent as JSON
    #[arg(value_name = "REQUEST", default_values = REQUESTS)]
    requests: Vec<String>,
}

const MEMBERS: [&str; 3] = ["do", "key", "value"];
const REQUESTS: [&str; 3] = ["set greeting Hello, world", "get greeting", "list"];
/// If both sides only sent and neither read, both would block. The replies to this
/// many requests fit into the buffers of the kernel.
const AT_ONCE: usize = 10;
const MAX_FRAME: usize = 32 * 1024; // Bytes of a request or a reply.
const TIMEOUT: Duration = Duration::from_secs(5);

type Frames = Framed<TcpStream, LengthDelimitedCodec>;

async fn open(server: &str) -> io::Result<Frames> {
    let frames = Builder::new().max_frame_length(MAX_FRAME).to_owned();
    Ok(frames.new_framed(connect(server).await?))
}

/// Connects to the first of the server's addresses that accepts.
async fn connect(server: &str) -> io::Result<TcpStream> {
    let mut result = Err(io::Error::new(ErrorKind::NotFound, "no address"));
    for address in lookup_host(server).await? {
        let connecting = timeout(TIMEOUT, TcpStream::connect(address)).await;
        result = connecting.map_err(io::Error::from).flatten();
        if let Ok(connection) = &result {
            // Without this the second request waits until the first is acknowledged.
            connection.set_nodelay(true)?;
            println!("Connected to {address}");
            break;
        }
    }
    result
}

const HINT: &str =
    " (is the server running? cargo run -p tcp-messages --bin frames-server)";

fn cannot_connect(server: &str, why: io::Error) -> Error {
    let hint = match why.kind() {
        ErrorKind::ConnectionRefused => HINT,
        ErrorKind::InvalidInput => " (it must be HOST:PORT)",
        _ => "",
    };
    Error::new(why).context(format!("cannot connect to {server}{hint}"))
}

/// A peer's bytes as text that cannot steer the terminal.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
