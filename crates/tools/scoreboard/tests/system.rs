//! What is asked of the kernel, and how programs are started and ended.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use scoreboard::kernel::{
    apart, cpu_seconds, first_number, loopback_bytes, own_loopback,
};
use scoreboard::program::{Program, Running, compile};

fn start(program: &str) -> Running {
    let program =
        Program { name: "test".into(), command: vec![PathBuf::from(program)] };
    program.start(&["60".to_string()], false, None).unwrap()
}

#[test]
fn server_and_load_never_share_a_core() {
    let chosen = |siblings: &[&str]| {
        let processors: Vec<usize> = (0..siblings.len()).collect();
        apart(&processors, |n| Some(siblings[n].to_string()))
    };
    assert_eq!(chosen(&["0", "1"]), Some((0, 1)));
    assert_eq!(chosen(&["0-1", "0-1", "2-3", "2-3"]), Some((0, 2)));
    assert_eq!(chosen(&["0,2", "1,3", "0,2", "1,3"]), Some((0, 1)));
    assert_eq!(chosen(&["0-1", "0-1"]), None);
    assert_eq!(chosen(&["0"]), None);
}

#[test]
fn the_kernels_tables_are_read_by_their_labels() {
    let table = "Inter-|   Receive\n  eth0: 9 1\n    lo:  4711    42  0\n";
    assert_eq!(first_number(table, "lo:"), Some(4711.0));
    assert_eq!(first_number("VmRSS:\t  6124 kB\n", "VmRSS:"), Some(6124.0));
    assert_eq!(first_number(table, "wlan0:"), None);
    assert_eq!(first_number("lo: many", "lo:"), None);
}

/// Where that may be done. In any case the bytes are those of IP packets.
#[test]
fn a_loopback_of_our_own_carries_nothing_of_others() {
    let counted = thread::spawn(|| {
        let is_own = own_loopback().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let before = loopback_bytes().unwrap();
        socket.send_to(&[0; 64], socket.local_addr().unwrap()).unwrap();
        socket.recv(&mut [0; 64]).unwrap();
        (is_own, loopback_bytes().unwrap() - before)
    });
    let (is_own, bytes) = counted.join().unwrap();
    assert!(bytes == 64.0 + 8.0 + 20.0 || !is_own && bytes > 92.0, "{bytes}");
}

#[test]
fn a_program_that_computes_takes_processor_time() {
    let before = cpu_seconds(std::process::id()).unwrap();
    let sum = (0..3_000_000u64).map(std::hint::black_box).sum::<u64>();
    assert!(sum > 0 && cpu_seconds(std::process::id()).unwrap() > before);
}

#[test]
fn a_program_that_fails_or_does_not_end_is_an_error() {
    assert!(start("true").wait(Duration::from_secs(10)).is_ok());
    assert!(start("false").wait(Duration::from_secs(10)).is_err());
    assert!(start("sleep").wait(Duration::from_millis(200)).is_err());
}

#[test]
fn a_limit_that_cannot_be_compiled_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let result = compile("no-such.c", None, folder.path(), folder.path());
    assert!(result.unwrap_err().contains("no-such.c"));
}
