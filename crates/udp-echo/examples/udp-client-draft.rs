//! The slide's UDP client, translated directly: udp_client.py. Compare it with
//! src/bin/udp-client.rs.
//!
//! Run: 1$ cargo run -p udp-echo
//!      2$ cargo run -p udp-echo --example udp-client-draft

use std::net::UdpSocket;

fn main() -> std::io::Result<()> {
    let server = std::env::args().nth(1).unwrap_or("127.0.0.1:65432".to_string());
    let message = std::env::args().nth(2).unwrap_or("Hello, UDP!".to_string());
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.send_to(message.as_bytes(), server)?;
    let mut buffer = [0; 1024];
    let (length, peer) = socket.recv_from(&mut buffer)?;
    let text = std::str::from_utf8(&buffer[..length]).unwrap();
    println!("Received echo: {text} from {peer}");
    Ok(())
}

// It looks right, and it runs. What on a real network breaks it?
//
// Answer: after one lost datagram it waits forever, and it takes anybody's reply.
