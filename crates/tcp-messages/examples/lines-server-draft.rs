//! The draft of `lines-server`: `set KEY VALUE` and `get KEY`, one client.

use std::{collections::HashMap, env::args, io::Read, io::Write, net::TcpListener};

fn main() {
    let address = args().nth(1).unwrap_or("127.0.0.1:65435".to_string());
    let listener = TcpListener::bind(address).unwrap();
    println!("Lines server listening on {}", listener.local_addr().unwrap());
    let (mut client, peer) = listener.accept().unwrap();
    println!("Connected by {peer}");
    let (mut store, mut buffer) = (HashMap::new(), [0; 4096]);
    while let length @ 1.. = client.read(&mut buffer).unwrap() {
        let line = str::from_utf8(&buffer[..length]).unwrap().trim_end();
        println!("Received from {peer}: {line}");
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        if words[0] == "set" {
            store.insert(words[1].to_string(), words[2].to_string());
            writeln!(client, "ok").unwrap();
        } else {
            writeln!(client, "value {}", store[words[1]]).unwrap();
        }
    }
}

// Answer: one `read` is not one line. Two requests that arrive together become one value
// with a line end in it, and get one reply. Half a request is answered as if it were
// whole, or ends the program, as does `list`.
