//! The slide's asyncio TCP server, translated directly: asyncio_server.py. Compare it
//! with src/bin/async-tcp-server.rs.
//!
//! Run: 1$ cargo run -p async-tcp-echo --example async-tcp-server-draft
//!      2$ cargo run -p async-tcp-echo --bin async-tcp-client

use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpListener};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:65432".to_string());
    let listener = TcpListener::bind(address).await?;
    println!("Async TCP server listening on {}", listener.local_addr()?);
    loop {
        let (mut connection, peer) = listener.accept().await?;
        println!("Connected by {peer}");
        tokio::spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok(length @ 1..) = connection.read(&mut buffer).await {
                let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
                println!("Received from {peer}: {text}");
                connection.write_all(&buffer[..length]).await.unwrap();
            }
            println!("Closing connection with {peer}");
        });
    }
}

// It looks right, and it runs. What on a real network breaks it?
//
// Answer: a character split over two reads, or one file too many, ends it.
