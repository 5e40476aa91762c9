//! Async I/O: one thread, an event loop, tasks.

use std::cell::RefCell;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, timeout};

use crate::program::PATIENCE;

/// What happened, in order, written down by all tasks of one thread. It is neither
/// `Send` nor `Sync`: the compiler knows that a second thread never sees it.
type Story = Rc<RefCell<Vec<&'static str>>>;

fn tell(story: &Story, event: &'static str) {
    story.borrow_mut().push(event);
}

/// Claim 42: the same event loop serves TCP and UDP.
#[tokio::test(flavor = "current_thread")]
async fn one_event_loop_serves_tcp_and_udp() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let stream_address = listener.local_addr().unwrap();
    let datagram_address = datagrams.local_addr().unwrap();
    let mut servers = JoinSet::new();
    servers.spawn(echo_a_stream(listener));
    servers.spawn(echo_a_datagram(datagrams));

    let clients = async {
        // The stream is open, and silent, while a datagram comes and goes.
        let mut stream = TcpStream::connect(stream_address).await.unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut echo = [0; 8];
        socket.send_to(b"datagram", datagram_address).await.unwrap();
        socket.recv_from(&mut echo).await.unwrap();
        assert_eq!(&echo, b"datagram");
        stream.write_all(b"stream").await.unwrap();
        stream.read_exact(&mut echo[..6]).await.unwrap();
        assert_eq!(&echo[..6], b"stream");
        servers.join_all().await
    };
    let threads = timeout(PATIENCE, clients).await.expect("in time");
    // Both servers ran where this test runs: on one thread.
    assert_eq!(threads, [thread::current().id(); 2]);
}

/// Echoes once; returns the thread that did it.
async fn echo_a_stream(listener: TcpListener) -> ThreadId {
    let (mut connection, _) = listener.accept().await.unwrap();
    let mut buffer = [0; 64];
    let length = connection.read(&mut buffer).await.unwrap();
    connection.write_all(&buffer[..length]).await.unwrap();
    thread::current().id()
}

async fn echo_a_datagram(socket: UdpSocket) -> ThreadId {
    let mut buffer = [0; 64];
    let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
    socket.send_to(&buffer[..length], peer).await.unwrap();
    thread::current().id()
}

/// Two tasks on one thread: the first pauses between its two events.
async fn two_tasks(pause: impl AsyncFnOnce() + 'static) -> Vec<&'static str> {
    let story = Story::default();
    let (first, second) = (story.clone(), story.clone());
    let tasks = LocalSet::new();
    tasks.spawn_local(async move {
        tell(&first, "the first task pauses");
        pause().await;
        tell(&first, "the first task goes on");
    });
    tasks.spawn_local(async move {
        tell(&second, "the second task runs");
    });
    tasks.await;
    story.take()
}

/// Claim 43: awaiting pauses one task, not the thread.
#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn awaiting_pauses_one_task_and_not_the_thread() {
    let story = two_tasks(async || sleep(Duration::from_millis(100)).await).await;
    let expected =
        ["the first task pauses", "the second task runs", "the first task goes on"];
    assert_eq!(story, expected);
}

/// Claim 43: a blocking sleep in a task stalls all.
#[tokio::test(flavor = "current_thread")]
async fn a_blocking_sleep_in_a_task_stalls_all_tasks() {
    let story = two_tasks(async || thread::sleep(Duration::from_millis(100))).await;
    let expected =
        ["the first task pauses", "the first task goes on", "the second task runs"];
    assert_eq!(story, expected);
}

/// Claim 44: concurrency, not parallelism: waits overlap.
///
/// The clock is tokio's own. It stands still while a task runs and jumps to the next
/// end of a wait when all tasks wait, so that the result is exact.
#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_hundred_waits_of_100_ms_take_100_ms() {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        tasks.spawn(sleep(Duration::from_millis(100)));
    }
    tasks.join_all().await;
    assert_eq!(start.elapsed().as_millis(), 100);
}

/// Claim 44: computing does not overlap: one thread does one task after the other.
#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn waits_overlap_and_computing_does_not() {
    let waits = three_tasks(async || sleep(Duration::from_millis(100)).await).await;
    assert_eq!(waits, ["begin", "begin", "begin", "end", "end", "end"]);
    let computing = three_tasks(async || {
        black_box((0..100_000).fold(1_u32, |x, n| x.rotate_left(1) ^ n));
    });
    assert_eq!(computing.await, ["begin", "end", "begin", "end", "begin", "end"]);
}

/// Three tasks on one thread that do the same.
async fn three_tasks(action: impl AsyncFn() + Copy + 'static) -> Vec<&'static str> {
    let story = Story::default();
    let tasks = LocalSet::new();
    for _ in 0..3 {
        let story = story.clone();
        tasks.spawn_local(async move {
            tell(&story, "begin");
            action().await;
            tell(&story, "end");
        });
    }
    tasks.await;
    story.take()
}
