//! A client of the line protocol: sends several requests, then reads their replies.
//!
//! Contract: connects to HOST:PORT; sends each REQUEST as a line; expects a line in
//!           reply to each, in the same order; then ends. TCP is RFC 9293.
//! Slide:    Sockets vs. REST APIs (raw sockets: custom protocol)
//! Run:      1$ cargo run -p tcp-messages
//!           2$ cargo run -p tcp-messages --bin lines-client
//! See:      `Received: value Hello, world`.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::{net::TcpStream, net::ToSocketAddrs, time::Duration};

use anyhow::{Context, Error, Result, ensure};
use clap::Parser;

fn main() -> Result<()> {
    let Arguments { server, requests } = Arguments::parse();
    let connection = connect(&server).map_err(|e| cannot_connect(&server, e))?;
    let mut reader = BufReader::new(&connection);
    let mut errors = 0;
    for requests in requests.chunks(AT_ONCE) {
        for request in requests {
            send(&connection, request).context("cannot send")?;
        }
        for _ in requests {
            let reply = receive(&mut reader).context("no reply")?;
            errors += usize::from(reply.starts_with("error "));
        }
    }
    ensure!(errors == 0, "{errors} of {} replies say error", requests.len());
    Ok(())
}

fn send(mut connection: &TcpStream, request: &str) -> Result<()> {
    ensure!(!request.contains('\n'), "a request with a line end would be two");
    connection.write_all(format!("{request}\n").as_bytes())?;
    println!("Sent: {request}");
    Ok(())
}

fn receive(reader: &mut impl BufRead) -> Result<String> {
    let mut line = Vec::new();
    // Blocks until a line is whole, after one read or many. `reader` keeps the rest.
    let result = reader.take(MAX_LINE).read_until(b'\n', &mut line);
    result.map_err(|error| match error.kind() {
        // Unix has one kind for it, Windows the other.
        ErrorKind::WouldBlock | ErrorKind::TimedOut => ErrorKind::TimedOut.into(),
        _ => error,
    })?;
    ensure!(!line.is_empty(), "the server has ended the stream");
    ensure!(line.ends_with(b"\n"), "no line end after {} bytes", line.len());
    let reply = printable(line.trim_ascii_end());
    println!("Received: {reply}");
    Ok(reply)
}

// Set-up.

/// Sends requests to a lines server and prints the replies (RFC 9293).
///
/// Sends up to 10 requests before it reads their replies. Gives up when connecting to
/// an address takes 5 seconds, or when nothing arrives for 5. Looking a name up takes
/// as long as the system lets it. Exit status: 1 when a reply is missing or says
/// `error`, 2 for a wrong argument.
#[derive(Parser)]
struct Arguments {
    /// The server; a name is looked up, and each of its addresses tried
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:65435")]
    server: String,
    /// `set KEY VALUE`, `get KEY`, `list` or `quit`, each one argument
    #[arg(value_name = "REQUEST", default_values = REQUESTS)]
    requests: Vec<String>,
}

const REQUESTS: [&str; 3] = ["set greeting Hello, world", "get greeting", "list"];
/// If both sides only sent and neither read, both would block. The replies to this
/// many requests fit into the buffers of the kernel.
const AT_ONCE: usize = 10;
const MAX_LINE: u64 = 4096; // Bytes of a reply, with the line end.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to the first of the server's addresses that accepts.
fn connect(server: &str) -> io::Result<TcpStream> {
    let mut result = Err(io::Error::new(ErrorKind::NotFound, "no address"));
    for address in server.to_socket_addrs()? {
        // Blocks until the handshake is done.
        result = TcpStream::connect_timeout(&address, TIMEOUT);
        if let Ok(connection) = &result {
            connection.set_read_timeout(Some(TIMEOUT))?;
            connection.set_write_timeout(Some(TIMEOUT))?;
            // Without this the second request waits until the first is acknowledged.
            connection.set_nodelay(true)?;
            println!("Connected to {address}");
            break;
        }
    }
    result
}

const HINT: &str = " (is the server running? cargo run -p tcp-messages)";

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
