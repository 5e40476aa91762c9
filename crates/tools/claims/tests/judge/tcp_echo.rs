//! Fixtures for tcp-echo.

use crate::{Fixtures, patch, python};

const KEEPALIVE: &str = "an accepted connection has a keepalive timer";
const CONTROL: &str =
    "control characters are replaced where they are printed and text is not";

pub const FIXTURES: Fixtures = Fixtures {
    example: "tcp-echo",
    patches: &[
        patch(
            "tcp-server",
            ["socket.set_tcp_keepalive(&silence)?;", "let _ = silence;"],
            &[KEEPALIVE],
        ),
        patch(
            "tcp-server",
            ["socket.set_reuse_address(true)?;", "{}"],
            &[
                "the server restarts at once on its port while a client holds a connection",
            ],
        ),
        patch(
            "tcp-server",
            ["char::is_control", "|c: char| c.is_ascii_control()"],
            &[CONTROL],
        ),
        patch(
            "tcp-server",
            ["thread::sleep(PAUSE);", "return Err(error);"],
            &["after a client that resets or vanishes the next one is served"],
        ),
        patch(
            "tcp-server",
            ["[0; 1024]", "[0; 512]"],
            &["five sends come back complete though reads do not match sends"],
        ),
        // It takes the first read for the whole of a short message.
        patch(
            "tcp-client",
            [
                "reply.read_to_end(&mut echo)",
                "(if message.len() > 99 { reply.read_to_end(&mut echo) } else { echo.resize(99, 0); reply.read(&mut echo) }).map(|n| echo.truncate(n))",
            ],
            &["the client reads on when a reply comes in pieces"],
        ),
        patch(
            "tcp-client",
            [
                "connection.take(message.len() as u64 + 1)",
                "connection.take(u64::MAX)",
            ],
            &["the client reports a wrong a short and an endless reply"],
        ),
    ],
    in_python: &[
        python("tcp-server", "tcp_server.py", &[]),
        python("tcp-client", "tcp_client.py", &[]),
    ],
};

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
