//! Whatever a peer claims or sends, what a dissector keeps is bounded.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use wiretap::dissect::{Direction, Dissector, Protocol};

/// Counts the bytes in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PUSHED: usize = 1024 * 1024;
const PIECE: usize = 64 * 1024;
/// The longest header twice, while its buffer grows, and what a piece of it becomes.
const ALLOWED: usize = 512 * 1024;

// The only test of its file, since all would count into one number.
#[test]
fn no_peer_makes_a_dissector_keep_more_than_half_a_megabyte() {
    use Protocol::{Amqp, Http, Mqtt, Zmtp};
    let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let upgrade =
        "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let greeting =
        [&b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL"[..], &[0; 48]].concat();
    let cases: [(&str, Protocol, Vec<u8>, &[u8]); 15] = [
        ("a line without end", Http, b"GET /".to_vec(), b"x"),
        ("a head without end", Http, b"GET / HTTP/1.1\r\n".to_vec(), b"a: b\r\n"),
        ("no line, only ends", Http, b"".to_vec(), b"\r\n"),
        ("a chunk's size without end", Http, chunked.into(), b"0"),
        ("extensions without end", Http, chunked.into(), b"1;x=y\r\nx\r\n"),
        (
            "trailers without end",
            Http,
            (chunked.to_string() + "0\r\n").into(),
            b"a: b\r\n",
        ),
        ("requests without answers", Http, b"".to_vec(), b"GET / HTTP/1.1\r\n\r\n"),
        ("upgrades without answers", Http, upgrade.into(), b"x"),
        ("a packet of 256 MB", Mqtt, b"\x82\xff\xff\xff\x7f".to_vec(), b"x"),
        (
            "a publication of 256 MB",
            Mqtt,
            b"\x30\xff\xff\xff\x7f\0\x01t".to_vec(),
            b"x",
        ),
        ("a length without end", Mqtt, b"\x30".to_vec(), b"\xff"),
        ("a method of 4 GB", Amqp, b"\x01\0\0\xff\xff\xff\xff".to_vec(), b"x"),
        ("a body of 4 GB", Amqp, b"\x03\0\0\xff\xff\xff\xff".to_vec(), b"x"),
        (
            "a message of 2^60",
            Zmtp,
            [&greeting, &b"\x02\x10\0\0\0\0\0\0\0"[..]].concat(),
            b"x",
        ),
        (
            "a command of 2^60",
            Zmtp,
            [&greeting, &b"\x06\x10\0\0\0\0\0\0\0"[..]].concat(),
            b"x",
        ),
    ];
    for (name, protocol, beginning, then) in cases {
        let piece = then.repeat(PIECE / then.len());
        for size in [PIECE, 1000] {
            let before = IN_USE.load(Relaxed);
            let mut dissector = Dissector::new(Some(protocol));
            let mut kept = 0;
            drop(dissector.push(Direction::ToServer, &beginning));
            for _ in 0..PUSHED / PIECE {
                for piece in piece.chunks(size) {
                    drop(dissector.push(Direction::ToServer, piece));
                    kept = kept.max(IN_USE.load(Relaxed).saturating_sub(before));
                }
            }
            assert!(kept < ALLOWED, "{name}: {kept} bytes are kept");
        }
    }
}
