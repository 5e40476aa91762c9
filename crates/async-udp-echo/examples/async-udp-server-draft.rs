//! The slide's asyncio UDP server, translated directly: asyncio_udp_server.py.
//! Compare it with src/bin/async-udp-server.rs.
//!
//! Run: 1$ cargo run -p async-udp-echo --example async-udp-server-draft
//!      2$ cargo run -p async-udp-echo --bin async-udp-client

use tokio::net::UdpSocket;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:65432".to_string());
    let socket = UdpSocket::bind(address).await?;
    println!("Async UDP server listening on {}", socket.local_addr()?);
    let mut buffer = [0; 1024];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await?;
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        println!("Received {text} from {peer}");
        socket.send_to(&buffer[..length], peer).await?;
    }
}

// It looks right, and it runs. What on a real network breaks it?
//
// Answer: a byte that is not UTF-8 ends it; of a long datagram, 1024 bytes return.
