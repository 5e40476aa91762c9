//! The slide's UDP echo server, translated directly: udp_server.py. Compare it with
//! src/bin/udp-server.rs.
//!
//! Run: 1$ cargo run -p udp-echo --example udp-server-draft
//!      2$ cargo run -p udp-echo --bin udp-client

use std::net::UdpSocket;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:65432".to_string());
    let socket = UdpSocket::bind(address)?;
    println!("UDP server listening on {}", socket.local_addr()?);
    let mut buffer = [0; 1024];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer)?;
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        println!("Received {text} from {peer}");
        if length == 0 {
            return Ok(());
        }
        socket.send_to(&buffer[..length], peer)?;
    }
}

// It looks right, and it runs. What on a real network breaks it?
//
// Answer: an empty datagram ends it; of a long one, only 1024 bytes come back.
