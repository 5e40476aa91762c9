//! What a real network does to publisher and subscriber: brokers that are lost or none at
//! all, connections that are cut, confirms that do not come, bytes that are not text.
// Some tests need what only Linux or Unix has.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

mod broker;
mod program;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use broker::{
    ACK, CLOSE_OK, Exchange, PUBLISHER, Proxy, SUBSCRIBER, place, start_fake_broker,
    url,
};
use program::{Ended, PATIENCE, Program};

/// The one error of a program that has not got anywhere.
fn assert_fails(ended: &Ended, error: &str) {
    assert_eq!((ended.code, &*ended.output.concat()), (Some(1), ""));
    assert!(ended.errors.contains(error), "no '{error}' in: {}", ended.errors);
    let told = ended.errors.lines().filter(|line| line.starts_with("Error: "));
    assert_eq!(told.count(), 1, "{}", ended.errors);
}

/// Claim 89: without a confirm nobody knows, and the publisher does not claim to.
/// Hint: When does a publisher know that the broker has the message?
/// Wiretap: --as amqp
#[test]
fn without_a_confirm_a_message_is_not_said_to_be_sent() {
    let proxy = Proxy::without(ACK);
    let exchange = Exchange::new("fanout", "confirm").behind(&proxy);
    let mut subscriber = exchange.subscribe(&["#"]);
    let publisher = exchange.publish("k", "did it arrive?");
    assert_eq!((publisher.code, &*publisher.output.concat()), (Some(1), ""));
    let error = "Error: no confirm: the message may have arrived, or not";
    assert_eq!(publisher.errors, error);
    // It had arrived.
    subscriber.wait_for("Received k | did it arrive?");
}

/// Hint: A queue of a connection is gone with it; what has to be done again?
/// Wiretap: --as amqp --cut-after 30messages
#[test]
fn a_subscriber_that_lost_its_connection_binds_again_and_receives() {
    let proxy = Proxy::new();
    let exchange = Exchange::new("topic", "cut").behind(&proxy);
    let direct = Exchange { url: url(), name: exchange.name.clone(), kind: "topic" };
    let mut subscriber = exchange.subscribe(&["a", "b"]);
    for round in 1..=2 {
        proxy.away.store(true, Ordering::SeqCst);
        proxy.cut();
        let lost =
            "Lost the broker: connecting again; what is published meanwhile is lost";
        assert_eq!(subscriber.wait_for_error(lost), "");
        direct.wait_until_nobody_is_bound("a");
        // Each try is told.
        subscriber.wait_for_error("cannot connect to ");
        subscriber.wait_for_error("cannot connect to ");
        proxy.away.store(false, Ordering::SeqCst);
        for key in ["a", "b"] {
            subscriber.wait_for(&format!("Bound {key} to {}", exchange.name));
        }
        direct.publish_to_someone("b", &format!("round {round}"));
        assert_eq!(subscriber.wait_for("Received b | "), format!("round {round}"));
    }
}

/// A client that just hangs up is one that broke down, for the broker and its log.
/// Hint: How does a broker tell a client that leaves from one that broke down?
/// Wiretap: --as amqp
#[test]
fn the_publisher_says_goodbye() {
    let proxy = Proxy::new();
    let exchange = Exchange::new("topic", "goodbye").behind(&proxy);
    exchange.publish_to_nobody("k");
    proxy.wait_for(CLOSE_OK);
}

/// Hint: A goodbye needs a connection; what if there is none at that moment?
/// Wiretap: --as amqp
#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_subscriber_with_0_and_a_goodbye() {
    let proxy = Proxy::new();
    let exchange = Exchange::new("topic", "signal").behind(&proxy);
    for lost in [false, true] {
        let mut subscriber = exchange.subscribe(&["#"]);
        if lost {
            proxy.away.store(true, Ordering::SeqCst);
            proxy.cut();
            subscriber.wait_for_error("cannot connect to ");
        }
        subscriber.signal("INT");
        let start = Instant::now();
        let subscriber = subscriber.end();
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        assert_eq!(subscriber.code, Some(0), "{}", subscriber.errors);
        if !lost {
            proxy.wait_for(CLOSE_OK);
        }
    }
}

/// Hint: The broker closes the channel, and says why.
/// Wiretap: --as amqp
#[test]
fn an_exchange_that_the_broker_refuses_ends_both_programs_with_its_own_reason() {
    let topic = Exchange::new("topic", "other-kind");
    let _subscriber = topic.subscribe(&["#"]);
    for program in [SUBSCRIBER, PUBLISHER] {
        for (exchange, reason) in [
            (&*topic.name, "PRECONDITION_FAILED - inequivalent arg 'type'"),
            ("amq.tests", "ACCESS_REFUSED - "),
            ("", "ACCESS_REFUSED - "),
        ] {
            let broker = url();
            let arguments = ["--broker", &broker, "--exchange", exchange];
            let fanout = [&arguments[..], &["--kind", "fanout"]].concat();
            assert_fails(&Program::run(program, &fanout), reason);
        }
    }
    topic.publish_to_someone("k", "still there");
}

/// Hint: Exit status 2 is for arguments that cannot be understood, and 1 for what
/// fails afterwards.
#[test]
fn wrong_arguments_end_with_2() {
    let long = "x".repeat(256);
    let both: &[&[&str]] = &[&["--exchange", &long], &["--kind", "headers"]];
    let subscriber: &[&[&str]] =
        &[&["--kind", "direct"], &["--bind", &long], &["--bind"]];
    let publisher: &[&[&str]] = &[&["--key", &long], &["one", "two"]];
    for (program, more) in [(SUBSCRIBER, subscriber), (PUBLISHER, publisher)] {
        for arguments in both.iter().chain(more) {
            let ended = Program::run(program, arguments);
            assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.errors);
            assert!(ended.errors.starts_with("error: "), "{}", ended.errors);
        }
    }
}

/// Hint: Which part of the URL may an error show?
#[test]
fn a_wrong_url_is_a_clear_error_that_does_not_show_the_password() {
    let long = format!("amqp://u:secret@127.0.0.1/{}", "x".repeat(256));
    for program in [SUBSCRIBER, PUBLISHER] {
        for wrong in [
            "http://u:secret@127.0.0.1:5672",
            "amqps://u:secret@127.0.0.1",
            "amqp://u:secret@127.0.0.1:65536",
            "amqp://u:secret@",
            "amqp://u:secret@:5672",
            "amqp://%f:secret@127.0.0.1",
            "amqp://u:secret@127.0.0.1/?heartbeat",
            "127.0.0.1:5672",
            "amqp://",
            "",
            &long,
        ] {
            let mut program = Program::start(program, &["--broker", wrong]);
            // No host is this machine, where Windows tries a closed port for seconds.
            program.patience = 3 * PATIENCE;
            let ended = program.end();
            assert_fails(&ended, "Error: ");
            assert!(!ended.errors.contains("secret"), "{wrong}: {}", ended.errors);
            assert!(!ended.errors.contains("panicked"), "{wrong}: {}", ended.errors);
        }
    }
}

/// What arrives at the broker as user and password.
/// Hint: In a URL %40 stands for @.
/// Wiretap: --as amqp --hex
#[test]
fn the_login_in_a_url_is_percent_decoded() {
    for program in [SUBSCRIBER, PUBLISHER] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let of_thread = sent.clone();
        thread::spawn(move || {
            let mut program = listener.accept().unwrap().0;
            let mut broker = TcpStream::connect(place()).unwrap();
            let mut buffer = [0; 4096];
            program.read_exact(&mut buffer[..8]).unwrap();
            broker.write_all(&buffer[..8]).unwrap();
            let length = broker.read(&mut buffer).unwrap();
            program.write_all(&buffer[..length]).unwrap();
            let length = program.read(&mut buffer).unwrap();
            of_thread.lock().unwrap().extend_from_slice(&buffer[..length]);
        });
        let url = format!("amqp://m%65%2F:p%40s%3As@{address}");
        assert_eq!(Program::run(program, &["--broker", &url]).code, Some(1));
        let sent = sent.lock().unwrap();
        let login = b"\0me/\0p@s:s";
        let is_sent = sent.windows(login.len()).any(|window| window == login);
        assert!(is_sent, "{}", String::from_utf8_lossy(&sent));
    }
}

/// Whatever may listen there, it is asked for a vhost that it cannot have.
/// Hint: What are the defaults of the parts of a URL, and where does an IPv6 address
/// end?
#[test]
fn the_port_in_a_url_may_be_left_out_and_the_host_may_be_an_address_of_ipv6() {
    for program in [SUBSCRIBER, PUBLISHER] {
        for (host, at) in [("127.0.0.1", "127.0.0.1:5672"), ("[::1]", "[::1]:5672")] {
            let url = format!("amqp://nobody:here@{host}/no-such");
            let ended = Program::run(program, &["--broker", &url]);
            assert_fails(&ended, &format!("cannot connect to {at}"));
        }
    }
}

/// Hint: The length of a short string has one byte in AMQP.
#[test]
fn keys_and_exchanges_may_have_255_bytes() {
    let mut exchange = Exchange::new("topic", "long");
    exchange.name += &"x".repeat(255 - exchange.name.len());
    let key = "k".repeat(255);
    let mut subscriber = exchange.subscribe(&[&key]);
    assert_eq!(exchange.publish(&key, "long").code, Some(0));
    subscriber.wait_for("Received kkk");
}

/// Hint: The broker may give its reason, or hang up in silence; say what is known.
/// Wiretap: --as amqp
#[test]
fn a_wrong_password_and_a_missing_vhost_are_clear_errors() {
    let wrong = format!("amqp://guest:secret@{}", place());
    let no_vhost = format!("{}/no%20such", url().trim_end_matches('/'));
    for program in [SUBSCRIBER, PUBLISHER] {
        let ended = Program::run(program, &["--broker", &no_vhost]);
        assert_fails(&ended, "NOT_ALLOWED - vhost no such not found");
        assert!(!ended.errors.contains("running"), "{}", ended.errors);
    }
    // RabbitMQ hangs up after three seconds, and says nothing.
    let ended = Program::run(SUBSCRIBER, &["--broker", &wrong]);
    assert_fails(&ended, "and the login right?");
    assert!(!ended.errors.contains("secret"), "{}", ended.errors);
}

/// Hint: The error should name the address, the reason, and what to try.
#[test]
fn without_a_broker_both_programs_end_at_once_and_say_what_to_do() {
    // Bound and never listening again: the port is taken, and closed.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let held = TcpStream::connect(address).unwrap();
    let _held = (listener.accept().unwrap(), held);
    drop(listener);
    for program in [SUBSCRIBER, PUBLISHER] {
        let url = format!("amqp://{address}");
        let ended = Program::run(program, &["--broker", &url]);
        let hint = "(is a broker running, and the login right? make brokers)";
        assert_fails(&ended, &format!("Error: cannot connect to {address} {hint}: "));
        assert_eq!(ended.errors.lines().count(), 1, "{}", ended.errors);
    }
}

/// Claim 82: what the programs say first is that they speak AMQP 0-9-1.
/// Hint: Anything may listen at that address; how long is it waited for?
/// Wiretap: -
#[test]
fn what_is_not_a_broker_is_a_clear_error_and_holds_nobody() {
    fn hello(mut client: &TcpStream) {
        let mut hello = [0; 8];
        client.read_exact(&mut hello).unwrap();
        assert_eq!(&hello, b"AMQP\x00\x00\x09\x01");
    }
    let fakes: [fn(TcpStream); 6] = [
        |client| {
            hello(&client);
            thread::sleep(PATIENCE); // Silence.
        },
        |client| hello(&client),
        |mut client| {
            hello(&client);
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        },
        |mut client| {
            hello(&client);
            let _ = client.write_all(b"AMQP\x00\x01\x00\x00"); // Another version.
        },
        |mut client| {
            hello(&client);
            // A frame too short to have a method in it.
            let _ = client.write_all(b"\x01\x00\x00\x00\x00\x00\x00\xce");
            thread::sleep(PATIENCE);
        },
        |mut client| {
            // It promises 4 GiB and sends without end.
            let _ = client.write_all(b"\x01\x00\x00\xff\xff\xff\xff");
            while client.write_all(&[0xce; 4096]).is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
        },
    ];
    let programs = fakes.map(|fake| {
        let url = format!("amqp://{}", start_fake_broker(fake));
        [SUBSCRIBER, PUBLISHER].map(|path| Program::start(path, &["--broker", &url]))
    });
    for (number, program) in programs.into_iter().flatten().enumerate() {
        let ended = program.end();
        assert_eq!(ended.code, Some(1), "{number}: {}", ended.errors);
        let is_told = ended.errors.lines().any(|line| line.starts_with("Error: "));
        assert!(is_told, "{number}: {}", ended.errors);
    }
}

/// Hint: Bytes need not be text; what would the terminal do with them?
/// Wiretap: --as amqp --hex
#[test]
fn a_message_is_shown_whole_and_none_of_its_bytes_steers_the_terminal() {
    let exchange = Exchange::new("topic", "bytes");
    let mut subscriber = exchange.subscribe(&["#"]);
    exchange
        .publish_bytes("k", &[b"\xff\xfe\0", "Olá \u{1b}[2J\u{9b}".as_bytes(), b""]);
    exchange.publish_bytes("\u{1b}]", &[&[b'x'; 1 << 20]]);
    let received = subscriber.wait_for("Received k | ");
    assert_eq!(received, "\u{fffd}\u{fffd}\u{fffd}");
    assert_eq!(subscriber.wait_for("Received k | "), "Olá \u{fffd}[2J\u{fffd}");
    assert_eq!(subscriber.wait_for("Received k |"), "");
    let long = subscriber.wait_for("Received \u{fffd}] | ");
    assert_eq!(long.len(), 1 << 20);
}
