//! Fixtures for async-udp-echo.

use crate::{Fixtures, patch, python};

pub const FIXTURES: Fixtures = Fixtures {
    example: "async-udp-echo",
    patches: &[
        patch(
            "async-udp-server",
            [
                "const MAX_DATAGRAM: usize = 65_535;",
                "const MAX_DATAGRAM: usize = 65_506;",
            ],
            &[
                "a client sends the largest datagram and prints its beginning",
                "the largest datagram and bytes that are not utf 8 come back whole",
            ],
        ),
        patch(
            "async-udp-server",
            ["[0, port].contains(&peer.port())", "peer.port() == 0"],
            &["a datagram from the servers own port is not answered"],
        ),
        // A datagram of nothing ends the server, as on the slide.
        patch(
            "async-udp-server",
            [
                "Ok((n, peer)) => answer",
                "Ok((0, _)) => return Ok(()),\n            Ok((n, peer)) => answer",
            ],
            &["an empty datagram does not stop the server"],
        ),
        // A thread besides the event loop.
        patch(
            "async-udp-server",
            [
                "let mut buffer = vec![0; MAX_DATAGRAM];",
                "std::thread::spawn(std::thread::park); let mut buffer = vec![0; MAX_DATAGRAM];",
            ],
            &["one thread serves all clients"],
        ),
        patch(
            "async-udp-client",
            [
                "Err(_elapsed) => eprintln!",
                "Err(_elapsed) if attempt == 3 => bail!(\"no reply in 3 tries{SILENCE}\"),\n            Err(_elapsed) => eprintln!",
            ],
            &["without an answer the client tries three times and gives up"],
        ),
        patch(
            "async-udp-client",
            ["ensure!(echo == message, ", "ensure!(true || echo == message, "],
            &["the client ignores strangers and refuses a wrong echo"],
        ),
        patch(
            "async-udp-client",
            ["if refused.contains(&why.kind()) { HINT } else { \"\" }", "\"\""],
            &["a closed port is noticed at once"],
        ),
    ],
    in_python: &[python("async-udp-server", "async_udp_server.py", &[])],
};

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
