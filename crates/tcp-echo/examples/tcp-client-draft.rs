//! The slide's TCP client, translated directly: tcp_client.py. Compare it with
//! src/bin/tcp-client.rs.
//!
//! Run: 1$ cargo run -p tcp-echo
//!      2$ cargo run -p tcp-echo --example tcp-client-draft

use std::io::{Read, Write};
use std::net::TcpStream;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:65432".to_string());
    let message = std::env::args().nth(2).unwrap_or("Hello, world".to_string());
    let mut connection = TcpStream::connect(address)?;
    println!("Connected to {}", connection.peer_addr()?);
    connection.write_all(message.as_bytes())?;
    let mut buffer = [0; 1024];
    let length = connection.read(&mut buffer)?;
    println!("Received echo: {}", std::str::from_utf8(&buffer[..length]).unwrap());
    Ok(())
}

// It looks right, and it runs. What on a real network breaks it?
//
// Answer: an echo in two pieces is cut off; a silent server is waited for forever.
