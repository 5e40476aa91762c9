//! Fixtures for threaded-tcp-echo.

use crate::{Fixtures, patch, python};

const WRONG_ECHO: &str = "the client reports a wrong a short and an endless reply";
const FEW_FILES: &str = "out of open files the server pauses accepting and serves on";

pub const FIXTURES: Fixtures = Fixtures {
    example: "threaded-tcp-echo",
    patches: &[
        patch(
            "threaded-tcp-server",
            ["while Arc::strong_count(&place) - 2 >= places", "while places == 0"],
            &[
                "a client that comes when max clients are served waits for one to leave",
            ],
        ),
        // A client that resets keeps its place.
        patch(
            "threaded-tcp-server",
            [
                "let length = connection.read(&mut buffer)?;",
                "let length = connection.read(&mut buffer).inspect_err(|_| std::mem::forget(_place.clone()))?;",
            ],
            &["a client that resets gives its place back"],
        ),
        patch(
            "threaded-tcp-server",
            [
                "tcp.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(60)))?;",
                "",
            ],
            &["an accepted connection has a keepalive timer"],
        ),
        patch(
            "threaded-tcp-server",
            [
                "eprintln!(\"{error:#}\");\n            thread::sleep(PAUSE);",
                "return Err(error);",
            ],
            &[FEW_FILES],
        ),
        patch(
            "threaded-tcp-client",
            [
                "connection.take(message.len() as u64 + 1)",
                "connection.take(message.len() as u64)",
            ],
            &[WRONG_ECHO],
        ),
        patch(
            "threaded-tcp-client",
            ["connection.set_read_timeout(Some(TIMEOUT))?;", ""],
            &["a silent server does not hold the client for long"],
        ),
    ],
    in_python: &[python("threaded-tcp-server", "threaded_tcp_server.py", &[])],
};

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
