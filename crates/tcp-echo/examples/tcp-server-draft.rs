//! The slide's TCP echo server, translated directly: tcp_server.py. Compare it with
//! src/bin/tcp-server.rs.
//!
//! Run: 1$ cargo run -p tcp-echo --example tcp-server-draft
//!      2$ cargo run -p tcp-echo --bin tcp-client

use std::io::{Read, Write};
use std::net::TcpListener;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:65432".to_string());
    let listener = TcpListener::bind(address)?;
    println!("TCP server listening on {}", listener.local_addr()?);
    let (mut connection, peer) = listener.accept()?;
    println!("Connected by {peer}");
    let mut buffer = [0; 1024];
    loop {
        let length = connection.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        println!("Received: {}", std::str::from_utf8(&buffer[..length]).unwrap());
        connection.write_all(&buffer[..length])?;
    }
}

// It looks right, and it runs. What on a real network breaks it?
//
// Answer: one client is all it serves, and a byte that is not UTF-8 ends it.
