//! The slide's REST API, translated directly: main.py. Compare it with
//! src/bin/rest-server.rs.
//!
//! Run: 1$ cargo run -p rest-items --example rest-server-draft
//!      2$ cargo run -p rest-items --bin rest-client -- get 1

use std::error::Error;

use hyper::body::Incoming;
use hyper::{Request, Response, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8000".to_string());
    let listener = TcpListener::bind(address).await?;
    println!("REST server on http://{}", listener.local_addr()?);
    loop {
        let (connection, _) = listener.accept().await?;
        let connection = TokioIo::new(connection);
        tokio::spawn(
            http1::Builder::new().serve_connection(connection, service_fn(answer)),
        );
    }
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<String>, hyper::Error> {
    let body: Value = match request.uri().path() {
        "/" => json!({"message": "Hello, API!"}),
        "/items/1" => json!({"name": "Laptop", "price": 1200}),
        "/items/2" => json!({"name": "Mouse", "price": 50}),
        _ => json!({"error": "Item not found"}),
    };
    Ok(Response::new(body.to_string()))
}

// It looks right, and it runs. What on a real network breaks it?
//
// Answer: every status is 200, and an unfinished request keeps its connection.
