//! Measures what the wiretap costs: a stream through it, through a proxy that only
//! copies, and without either; then a message there and back.
//!
//! Run: cargo run --release -p wiretap --example throughput

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use wiretap::dissect::Protocol;
use wiretap::{Options, Wiretap};

const ROUNDS: usize = 7;
const STREAM: usize = 1 << 30;
const MESSAGES: u32 = 10_000;
const BUFFER: usize = 65_536;

fn main() -> Result<()> {
    let server = start_server()?;
    let copying = start_copying_proxy(server)?;
    let tap = |protocol| -> Result<Wiretap> {
        // The lines are made, and written to where nobody is slow.
        let null = File::options().write(true).open("/dev/null")?;
        let sink = move |line| drop(writeln!(&null, "{line}"));
        let options = Options { protocol, ..Options::default() };
        Wiretap::start("127.0.0.1:0".parse()?, &server.to_string(), options, sink)
    };
    let (finding, raw) = (tap(None)?, tap(Some(Protocol::Raw))?);
    let ways = [
        ("no proxy", server),
        ("a proxy that only copies", copying),
        ("wiretap", finding.address()),
        ("wiretap --as raw", raw.address()),
    ];
    let mut rates = ways.map(|_| Vec::new());
    let mut times = ways.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (place, (_, address)) in ways.iter().enumerate() {
            rates[place].push(stream(*address)?);
            times[place].push(ping_pong(*address)?.as_secs_f64());
        }
    }
    println!("Medians of {ROUNDS} rounds: 1 GiB one way, and 4 bytes there and back");
    for (place, (name, _)) in ways.iter().enumerate() {
        let (rate, time) = (median(&mut rates[place]), median(&mut times[place]));
        let of_copying = 100.0 * rate / median(&mut rates[1]);
        let micros = time * 1e6;
        println!("{name:25} {rate:6.0} MB/s {of_copying:4.0} %  {micros:6.1} us");
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Takes in a stream and then says `done`; a message of 4 bytes it sends back.
fn start_server() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            thread::spawn(move || -> io::Result<()> {
                client.set_nodelay(true)?;
                let mut buffer = vec![0; BUFFER];
                loop {
                    match client.read(&mut buffer)? {
                        0 => return client.write_all(b"done"),
                        4 => client.write_all(&buffer[..4])?,
                        _ => {}
                    }
                }
            });
        }
    });
    Ok(address)
}

/// Two threads a connection, each with a loop of read and write.
fn start_copying_proxy(target: SocketAddr) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || -> io::Result<()> {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(target)?;
            for socket in [&client, &server] {
                socket.set_nodelay(true)?;
            }
            let (from, to) = (client.try_clone()?, server.try_clone()?);
            thread::spawn(move || copy(from, to));
            thread::spawn(move || copy(server, client));
        }
        Ok(())
    });
    Ok(address)
}

/// Not `io::copy`, which leaves the copying to Linux, where nobody can look at it.
fn copy(mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer)? {
            0 => return to.shutdown(Shutdown::Write),
            length => to.write_all(&buffer[..length])?,
        }
    }
}

/// Megabytes a second.
fn stream(address: SocketAddr) -> io::Result<f64> {
    let mut socket = TcpStream::connect(address)?;
    // Lines of text, which are looked at more closely than bytes.
    let line = [&[b'x'; 63][..], b"\n"].concat();
    let block = line.repeat(BUFFER / line.len());
    let begin = Instant::now();
    for _ in 0..STREAM / BUFFER {
        socket.write_all(&block)?;
    }
    socket.shutdown(Shutdown::Write)?;
    socket.read_to_end(&mut Vec::new())?;
    Ok(STREAM as f64 / 1e6 / begin.elapsed().as_secs_f64())
}

fn ping_pong(address: SocketAddr) -> io::Result<Duration> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let begin = Instant::now();
    for _ in 0..MESSAGES {
        socket.write_all(b"ping")?;
        socket.read_exact(&mut [0; 4])?;
    }
    Ok(begin.elapsed() / MESSAGES)
}
