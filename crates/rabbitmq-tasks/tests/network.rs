//! What a real network does to a task queue: brokers that are lost, silent, full or none
//! at all, connections that are cut in the middle, bytes that are not text.
// Some tests need what only Linux or Unix has.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

mod broker;
mod program;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use amqprs::channel::QueueDeclareArguments;
use broker::{ACK, Amqp, From, PRODUCER, Proxy, Queue, WORKER, contains, place};
use program::{Ended, PATIENCE, Program};

/// The one error of a program that has not got anywhere.
fn assert_fails(ended: &Ended, error: &str) {
    assert_eq!((ended.code, &*ended.output.concat()), (Some(1), ""));
    assert!(ended.errors.contains(error), "no '{error}' in: {}", ended.errors);
    let told = ended.errors.lines().filter(|line| line.starts_with("Error: "));
    assert_eq!(told.count(), 1, "{}", ended.errors);
}

/// Claim 89: `Sent` means confirmed. Here the broker has the task, and its confirm does
/// not get through.
/// Hint: When does a producer know that the broker has the task, and what if it
/// cannot know?
/// Wiretap: --as amqp
#[test]
fn a_task_whose_confirm_is_lost_is_not_called_sent_and_not_sent_again() {
    let queue = Queue::new("unconfirmed");
    let proxy = Proxy::start(|_, from, bytes| {
        from == From::Program || !contains(bytes, &ACK)
    });
    let producer = queue.start_behind(&proxy, PRODUCER, &["once"]).end();
    assert_fails(&producer, "0 tasks are confirmed");
    queue.amqp.wait_for_depth(&queue.name, 1);
}

/// Hint: Count the confirms; one confirm may stand for many tasks.
/// Wiretap: --as amqp --cut-after 200messages
#[test]
fn a_producer_that_loses_its_connection_says_how_many_tasks_are_confirmed() {
    let queue = Queue::new("cut");
    // The connection is cut at its third packet with confirms.
    let packets = Arc::new(AtomicUsize::new(0));
    let proxy = Proxy::start(move |_, from, bytes| {
        let confirms = from == From::Broker && contains(bytes, &ACK);
        !confirms || packets.fetch_add(1, Ordering::Relaxed) < 2
    });
    let producer =
        queue.start_behind(&proxy, PRODUCER, &["--count", "2000", "task"]).end();
    assert_eq!(producer.code, Some(1), "{}", producer.errors);
    let sent: BTreeSet<&str> =
        producer.output.iter().filter_map(|l| l.strip_prefix("Sent: ")).collect();
    let confirmed = format!("{} tasks are confirmed", sent.len());
    assert!(producer.errors.contains(&confirmed), "{}", producer.errors);
    assert_eq!(sent.len(), producer.output.len(), "each once");
    assert!((1..2000).contains(&sent.len()), "{} are confirmed", sent.len());
    let kept = std::iter::from_fn(|| queue.amqp.get(&queue.name));
    let kept: Vec<String> = kept.collect();
    let different: BTreeSet<&str> = kept.iter().map(String::as_str).collect();
    assert_eq!(different.len(), kept.len(), "each is sent once");
    assert!(sent.is_subset(&different), "confirmed, and not in the queue");
}

/// A broker that runs out of memory or disk stops reading from its producers. Here the
/// path to it is held up.
/// Hint: A broker may be slow; waiting is not the same as failing.
/// Wiretap: --as amqp --freeze 20s
#[test]
fn a_producer_that_gets_no_confirm_says_so_waits_and_sends_each_task_once() {
    let queue = Queue::new("alarm");
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let of_proxy = gate.clone();
    let proxy = Proxy::start(move |_, from, bytes| {
        if from == From::Program && contains(bytes, b"task") {
            drop(of_proxy.lock());
        }
        true
    });
    let arguments = ["--count", "3", "task"];
    let mut producer = queue.start_behind(&proxy, PRODUCER, &arguments);
    let waiting = "still waiting (a memory or disk alarm at the broker?)";
    producer.wait_for_error(waiting);
    drop(held);
    let producer = producer.end();
    assert_eq!(producer.code, Some(0), "{}", producer.errors);
    assert_eq!(producer.output, ["Sent: task 1", "Sent: task 2", "Sent: task 3"]);
    let kept: Vec<String> =
        std::iter::from_fn(|| queue.amqp.get(&queue.name)).collect();
    assert_eq!(kept, ["task 1", "task 2", "task 3"]);
}

/// Hint: What does the broker do with a task that was not acknowledged?
/// Wiretap: --as amqp --cut-after 30messages
#[test]
fn a_worker_that_loses_its_connection_says_so_and_gets_the_task_again() {
    let queue = Queue::new("reconnect");
    // The delivery itself does not get through: the broker has to repeat it. Nor does
    // the next connection.
    let proxy = Proxy::start(|connection, from, bytes| match connection {
        0 => from == From::Program || !contains(bytes, b"task"),
        1 => false,
        _ => true,
    });
    let mut worker = queue.start_behind(&proxy, WORKER, &["--work", "0"]);
    worker.wait_for("Waiting for tasks in ");
    queue.produce(&["a task"]);
    worker.wait_for_error("Lost the broker: connecting again");
    worker.wait_for_error("cannot connect to ");
    worker.wait_for("Waiting for tasks in ");
    worker.wait_for("Received again: a task");
    worker.wait_for("Done: a task");
}

/// Hint: What would a hundred workers do to a broker that has just restarted?
#[test]
fn the_pauses_between_tries_to_connect_again_grow() {
    let tries = Arc::new(Mutex::new(Vec::new()));
    let of_proxy = tries.clone();
    let proxy = Proxy::start(move |connection, from, bytes| {
        if from == From::Program && bytes.starts_with(b"AMQP") {
            of_proxy.lock().unwrap().push(Instant::now());
        }
        connection == 0 && (from == From::Program || !contains(bytes, b"task"))
    });
    let queue = Queue::new("pauses");
    let mut worker = queue.start_behind(&proxy, WORKER, &[]);
    worker.wait_for("Waiting for tasks in ");
    queue.produce(&["a task"]);
    (0..3).for_each(|_| drop(worker.wait_for_error("cannot connect to ")));
    let tries = tries.lock().unwrap();
    assert!(tries[2] - tries[1] >= Duration::from_millis(450), "{tries:?}");
    assert!(tries[3] - tries[2] >= Duration::from_millis(900), "{tries:?}");
}

/// The work is done, and its acknowledgement lost: at least once, not exactly once.
/// Hint: Acknowledged after the work means at least once, and not exactly once.
/// Wiretap: --as amqp --swallow basic.ack
#[test]
fn a_task_is_done_twice_when_its_acknowledgement_is_lost() {
    let queue = Queue::new("twice");
    queue.produce(&["task"]);
    let proxy = Proxy::start(|connection, from, bytes| {
        connection > 0 || from == From::Broker || !contains(bytes, &ACK)
    });
    let mut worker = queue.start_behind(&proxy, WORKER, &["--work", "0"]);
    worker.wait_for("Done: task");
    worker.wait_for("Received again: task");
    worker.wait_for("Done: task");
}

/// Hint: Who has the task when the connection is gone?
/// Wiretap: --as amqp
#[test]
fn a_task_is_not_called_done_when_the_connection_went_during_the_work() {
    let queue = Queue::new("late");
    queue.produce(&["task"]);
    // Cut as soon as the worker has had the time to begin.
    let proxy = Proxy::start(|connection, from, bytes| {
        if connection == 0 && from == From::Broker && contains(bytes, b"task") {
            let broken = bytes.clone();
            bytes.clear();
            bytes.extend(broken);
            // After the delivery comes a byte that no frame begins with.
            bytes.push(0xff);
            bytes.extend([0; 16]);
        }
        true
    });
    let mut worker = queue.start_behind(&proxy, WORKER, &["--work", "0.5"]);
    worker.wait_for("Received: task");
    worker.wait_for_error("Lost the broker");
    let lines = worker.output_up_to("Received again: task");
    assert!(!lines.contains(&"Done: task".to_string()), "{lines:?}");
    worker.wait_for("Done: task");
}

/// Hint: The broker tells a consumer that its queue is gone.
/// Wiretap: --as amqp
#[test]
fn a_queue_deleted_under_a_worker_is_made_again() {
    let queue = Queue::new("deleted");
    let mut worker = queue.start_worker("0");
    queue.delete();
    worker.wait_for_error("Lost the broker");
    worker.wait_for("Waiting for tasks in ");
    queue.produce(&["task"]);
    worker.wait_for("Done: task");
}

/// A broker that falls silent is noticed by its missing heartbeats: AMQP calls it lost
/// after two. Both programs ask for one every ten seconds.
/// Hint: How is a broker noticed that falls silent without a goodbye?
/// Wiretap: --as amqp
#[test]
fn both_programs_ask_for_heartbeats_every_ten_seconds() {
    for program in [WORKER, PRODUCER] {
        let queue = Queue::new("heartbeat");
        let asked = Arc::new(Mutex::new(None));
        let of_proxy = asked.clone();
        let proxy = Proxy::start(move |_, from, bytes| {
            // The class and the method; two numbers of 2 and 4 bytes; the heartbeat.
            let tune_ok = |it: &[u8]| it[..4] == [0, 10, 0, 31];
            if let (From::Program, Some(at)) =
                (from, bytes.windows(12).position(tune_ok))
            {
                *of_proxy.lock().unwrap() = Some([bytes[at + 10], bytes[at + 11]]);
            }
            true
        });
        let mut running = queue.start_behind(&proxy, program, &[]);
        running.wait_for(if program == WORKER { "Waiting" } else { "Sent" });
        assert_eq!(*asked.lock().unwrap(), Some([0, 10]));
    }
}

/// Hint: What becomes of a task that was not acknowledged, and does a worker count as
/// failed when it is stopped?
/// Wiretap: --as amqp
#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_worker_at_once_and_its_task_is_delivered_again_however_often() {
    let queue = Queue::new("interrupted");
    queue.produce(&["healthy"]);
    for _ in 0..5 {
        let mut worker = queue.start_worker("60");
        worker.wait_for("Received");
        worker.signal("INT");
        let start = Instant::now();
        let worker = worker.end();
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        assert_eq!((worker.code, worker.errors.as_str()), (Some(0), ""));
        assert_eq!(worker.output.last().unwrap(), "Stopped");
        queue.amqp.wait_for_depth(&queue.name, 1);
    }
    let mut last = queue.start_worker("0");
    last.wait_for("Received again: healthy");
    last.wait_for("Done: healthy");
    assert_eq!(queue.amqp.depth(&queue.failed()), 0);
}

/// Hint: Say only what is true of this worker.
#[cfg(unix)]
#[test]
fn a_worker_that_is_stopped_without_a_task_speaks_of_none() {
    let queue = Queue::new("idle");
    let worker = queue.start_worker("0");
    worker.signal("INT");
    let worker = worker.end();
    assert_eq!((worker.code, worker.errors.as_str()), (Some(0), ""));
    assert_eq!(worker.output.len(), 2, "{:?}", worker.output);
    assert_eq!(worker.output[1], "Stopped");
}

/// Hint: Is Ctrl-C listened to during a pause, too?
#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_worker_that_is_connecting_again() {
    let queue = Queue::new("stopped");
    let proxy = Proxy::start(|connection, from, bytes| {
        connection == 0 && (from == From::Program || !contains(bytes, b"task"))
    });
    let mut worker = queue.start_behind(&proxy, WORKER, &[]);
    worker.wait_for("Waiting for tasks in ");
    queue.produce(&["a task"]);
    worker.wait_for_error("cannot connect to ");
    worker.signal("INT");
    assert_eq!(worker.end().code, Some(0));
}

/// `rabbitmq-worker | head -1`: what goes wrong is said, whoever's panic it is.
/// Hint: Printing can fail; where can one still say so?
#[cfg(unix)]
#[test]
fn a_worker_whose_output_nobody_reads_any_more_does_not_end_in_silence() {
    let queue = Queue::new("head");
    let command = std::env::var("RABBITMQ_WORKER").unwrap_or(WORKER.to_string());
    let words = shell_words::split(&command).unwrap();
    let mut worker = Command::new(&words[0]);
    worker.args(&words[1..]).args(["--queue", &queue.name, "--work", "0"]);
    worker.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut worker = worker.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(worker.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("Waiting for tasks in "), "{line}");
    queue.produce(&["task"]);
    let mut errors = String::new();
    worker.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert!(!worker.wait().unwrap().success());
    assert!(!errors.is_empty(), "it ended without a word");
}

/// Hint: Bytes need not be text; what would the terminal do with them?
/// Wiretap: --as amqp --hex
#[test]
fn any_bytes_are_a_task_and_none_of_them_steers_the_terminal() {
    let queue = Queue::new("bytes");
    let mut worker = queue.start_worker("0");
    let publish = |bytes: &[u8]| queue.amqp.publish("", &queue.name, bytes);
    // The last character does what ESC [ does, and is not of ASCII.
    publish(b"\xff\xfe\x1b[2J \xc3\xa7\r\n\xc2\x9b");
    let shown = "\u{fffd}\u{fffd}\u{fffd}[2J ç\u{fffd}\u{fffd}\u{fffd}";
    assert_eq!(worker.wait_for("Done: "), shown);
    publish(&vec![b'x'; 300_000]);
    assert_eq!(worker.wait_for("Done: "), "x".repeat(200));
    publish(b"");
    assert_eq!(worker.wait_for("Done:"), "");
}

/// Hint: Does the program make all tasks before it sends the first?
#[cfg(target_os = "linux")]
#[test]
fn a_count_of_four_thousand_million_takes_no_memory() {
    let queue = Queue::new("memory");
    let arguments = ["--queue", &queue.name, "--count", "4000000000", "task"];
    let mut producer = Program::start(PRODUCER, &arguments);
    producer.wait_for("Sent: task 1000");
    let status = format!("/proc/{}/status", producer.child.id());
    let status = std::fs::read_to_string(status).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u32 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 32 * 1024, "{kilobytes} kB");
}

/// Hint: The broker closes the channel, and says why.
/// Wiretap: --as amqp
#[test]
fn a_queue_that_the_broker_refuses_ends_both_programs_with_its_own_reason() {
    let queue = Queue::new("other");
    let other = QueueDeclareArguments::durable_client_named(&queue.name);
    let declared = queue.amqp.channel().queue_declare(other);
    queue.amqp.runtime.block_on(declared).unwrap();
    let locked = Queue::new("locked");
    let mut exclusive = QueueDeclareArguments::durable_client_named(&locked.name);
    let exclusive = exclusive.exclusive(true).finish();
    let declared = locked.amqp.channel().queue_declare(exclusive);
    locked.amqp.runtime.block_on(declared).unwrap();
    for program in [WORKER, PRODUCER] {
        for (name, reason) in [
            (&*queue.name, "PRECONDITION_FAILED - inequivalent arg"),
            (&*locked.name, "RESOURCE_LOCKED - "),
            ("amq.tasks", "ACCESS_REFUSED - "),
        ] {
            assert_fails(&Program::run(program, &["--queue", name]), reason);
        }
    }
}

/// Hint: The error should name the address, the reason, and what to try.
#[test]
fn without_a_broker_both_programs_end_at_once_and_say_what_to_do() {
    // Bound and never listening again: the port is taken, and closed.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let held = TcpStream::connect(address).unwrap();
    let _held = (listener.accept().unwrap(), held);
    drop(listener);
    for program in [WORKER, PRODUCER] {
        let url = format!("amqp://{address}");
        let ended = Program::run(program, &["--broker", &url]);
        let hint = "(is a broker running, and the login right? make brokers)";
        assert_fails(&ended, &format!("Error: cannot connect to {address} {hint}: "));
        assert_eq!(ended.errors.lines().count(), 1, "{}", ended.errors);
    }
}

/// Hint: Anything may listen at that address; how long is it waited for?
/// Wiretap: -
#[test]
fn what_is_not_a_broker_and_what_never_answers_is_a_clear_error() {
    let answers: [&'static [u8]; 5] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"AMQP\x00\x01\x00\x00",
        // A frame as it should be, with a method that does not exist.
        b"\x01\0\0\0\0\0\x04\0\x63\0\x63\xce",
        // A frame that is too short to have a method in it.
        b"\x01\0\0\0\0\0\0\xce",
        b"",
    ];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for (connection, answer) in listener.incoming().zip(answers) {
            let mut connection = connection.unwrap();
            let _ = connection.read(&mut [0; 8]);
            let _ = connection.write_all(answer);
            if answer.is_empty() {
                thread::sleep(PATIENCE); // Silence.
            }
        }
    });
    for answer in answers {
        let program = if answer.is_empty() { PRODUCER } else { WORKER };
        let ended = Program::run(program, &["--broker", &url]);
        assert_eq!(ended.code, Some(1), "{answer:?}: {}", ended.errors);
        let is_told = ended.errors.lines().any(|line| line.starts_with("Error: "));
        assert!(is_told, "{answer:?}: {}", ended.errors);
    }
}

/// Hint: The broker may give its reason, or hang up in silence; say what is known.
/// Wiretap: --as amqp
#[test]
fn a_wrong_login_or_vhost_is_a_clear_error_without_the_password() {
    let place = place();
    let url = format!("amqp://guest:s3cr%40t@{place}");
    let ended = Program::run(WORKER, &["--broker", &url]);
    assert_fails(&ended, "and the login right?");
    assert!(!ended.errors.contains("s3cr"), "{}", ended.errors);
    let url = broker::url();
    let url = format!("{}/no%20such", url.trim_end_matches('/'));
    let ended = Program::run(PRODUCER, &["--broker", &url]);
    assert_fails(&ended, "NOT_ALLOWED - vhost no such not found");
    assert!(!ended.errors.contains("is a broker running"), "{}", ended.errors);
}

/// What arrives at the broker as user and password.
/// Hint: In a URL %40 stands for @.
/// Wiretap: --as amqp --hex
#[test]
fn the_login_in_a_url_is_percent_decoded() {
    let logins = Arc::new(Mutex::new(Vec::new()));
    let of_proxy = logins.clone();
    let proxy = Proxy::start(move |_, from, bytes| {
        if from == From::Program && contains(bytes, b"PLAIN") {
            of_proxy.lock().unwrap().extend_from_slice(bytes);
            return false;
        }
        true
    });
    let proxy = proxy.url.rsplit('@').next().unwrap().replace("amqp://", "");
    let url = format!("amqp://m%65%2F:p%40s%3As@{proxy}");
    for program in [WORKER, PRODUCER] {
        Program::run(program, &["--broker", &url]);
        let sent = std::mem::take(&mut *logins.lock().unwrap());
        let login = b"\0me/\0p@s:s";
        assert!(contains(&sent, login), "{}", String::from_utf8_lossy(&sent));
    }
}

/// Hint: What are the defaults of the parts of a URL, and where does an IPv6 address
/// end?
#[test]
fn the_parts_of_a_url_may_be_left_out() {
    let queue = Queue::new("url");
    let login = "guest:guest";
    let place = place();
    if broker::url() == format!("amqp://{place}") {
        for url in [
            format!("amqp://{place}/"),
            format!("amqp://{place}/%2F"),
            format!("amqp://gu%65st:%67uest@{place}"),
            format!("amqp://{login}@{place}/%2f"),
        ] {
            let ended = queue.produce(&["--broker", &url]);
            assert_eq!(ended.code, Some(0), "{url}: {}", ended.errors);
        }
    }
    // The port: whatever may listen there, it is asked for a vhost that it cannot have.
    for (host, at) in [("127.0.0.1", "127.0.0.1:5672"), ("[::1]", "[::1]:5672")] {
        let url = format!("amqp://nobody:here@{host}/no-such");
        let ended = Program::run(WORKER, &["--broker", &url]);
        assert_fails(&ended, &format!("cannot connect to {at}"));
    }
}

/// Hint: What are the defaults of the parts of a URL, and where does an IPv6 address
/// end?
#[test]
fn the_host_may_be_an_address_of_ipv6() {
    let queue = Queue::new("ipv6");
    let proxy = Proxy::start_on("[::1]:0", |_, _, _| true);
    let producer = queue.start_behind(&proxy, PRODUCER, &["by IPv6"]).end();
    assert_eq!(producer.code, Some(0), "{}", producer.errors);
    assert_eq!(producer.output, ["Sent: by IPv6"]);
}

/// Hint: Exit status 2 is for arguments that cannot be understood, and 1 for what
/// fails afterwards.
#[test]
fn wrong_arguments_exit_with_2_and_wrong_urls_with_1() {
    let long = format!("amqp://localhost/{}", "x".repeat(256));
    for program in [WORKER, PRODUCER] {
        for wrong in [
            "amqps://me:s3cret@localhost",
            "http://me:s3cret@localhost",
            "amqp:me:s3cret@localhost",
            "amqp://me:s3cret@",
            "amqp://me:s3cret@localhost:65536",
            "amqp://me:s3cret@localhost:amqp",
            "amqp://me:s3cret@localhost/?heartbeat",
            "amqp://me:s3@cret@localhost",
            "amqp://me:s3cret%f@localhost",
            "amqp://",
            "me:s3cret@localhost",
            "",
            &long,
        ] {
            let mut program = Program::start(program, &["--broker", wrong]);
            // No host is this machine, where Windows tries a closed port for seconds.
            program.patience = 3 * PATIENCE;
            let ended = program.end();
            assert_fails(&ended, "Error: ");
            assert!(!ended.errors.contains("cret"), "{wrong}: {}", ended.errors);
            assert!(!ended.errors.contains("panicked"), "{wrong}: {}", ended.errors);
        }
        for wrong in ["", &"x".repeat(249)] {
            let ended = Program::run(program, &["--queue", wrong]);
            assert_fails(&ended, "1 to 248 bytes");
        }
        // No name ends in .invalid (RFC 2606).
        let unknown = Program::run(program, &["--broker", "amqp://no-such.invalid"]);
        assert_fails(&unknown, "cannot connect to no-such.invalid");
        assert!(
            !unknown.errors.contains("is a broker running"),
            "{}",
            unknown.errors
        );
    }
    for wrong in ["soon", "", "1e30", "nan", "-1"] {
        let ended = Program::run(WORKER, &[&format!("--work={wrong}")]);
        assert_eq!(ended.code, Some(2), "{wrong}: {}", ended.errors);
    }
    assert_eq!(Program::run(PRODUCER, &["--count", "0"]).code, Some(2));
}

/// Hint: The length of a name has one byte, and the other queue has a longer name.
#[test]
fn the_longest_name_of_a_queue_leaves_room_for_that_of_the_failed_ones() {
    let mut queue = Queue::new("longest");
    queue.name += &"x".repeat(248 - queue.name.len());
    assert_eq!(queue.produce(&["fail"]).code, Some(0));
    let mut worker = queue.start_worker("0");
    worker.wait_for("Failed: fail");
    Amqp::connect().wait_for_depth(&queue.failed(), 1);
}

/// Longer than any person waits, and no panic of a clock.
/// Hint: Adding a duration to a time can overflow.
#[test]
fn work_may_take_as_long_as_a_number_can_say() {
    let queue = Queue::new("long-work");
    queue.produce(&["task"]);
    let mut worker = queue.start_worker("1e19");
    worker.wait_for("Received: task");
    assert!(worker.is_running());
}
