//! A line server in a hurry: it reads once and takes that for a message. Compare it
//! with src/bin/lines-server.rs.
//!
//! Run: 1$ cargo run -p tcp-messages --example lines-server-draft
//!      2$ cargo run -p tcp-messages --bin lines-client -- 127.0.0.1:65435 'set a 1'

use std::{collections::HashMap, io::Read, io::Write, net::TcpListener};

fn main() {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:65435".to_string());
    let listener = TcpListener::bind(address).unwrap();
    println!("Lines server listening on {}", listener.local_addr().unwrap());
    let (mut connection, peer) = listener.accept().unwrap();
    println!("Connected by {peer}");
    let (mut store, mut buffer) = (HashMap::new(), [0; 4096]);
    while let length @ 1.. = connection.read(&mut buffer).unwrap() {
        let line = std::str::from_utf8(&buffer[..length]).unwrap().trim_end();
        println!("Received from {peer}: {line}");
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        if words[0] == "set" {
            store.insert(words[1].to_string(), words[2].to_string());
            writeln!(connection, "ok").unwrap();
        } else {
            writeln!(connection, "value {}", store[words[1]]).unwrap();
        }
    }
}

// It looks right, and it runs. What on a real network breaks it?
//
// Answer: two requests in one read are taken for one, and so is half a request.
