//! Fixtures for udp-echo.

use crate::{Fixtures, patch, python};

const CONTROL: &str =
    "control characters are replaced where they are printed and text is not";

pub const FIXTURES: Fixtures = Fixtures {
    example: "udp-echo",
    patches: &[
        patch(
            "udp-server",
            ["vec![0; MAX_DATAGRAM]", "vec![0; 1024]"],
            &[
                "a client sends the largest datagram and prints its beginning",
                "the largest datagram and bytes that are not utf 8 come back whole",
            ],
        ),
        patch(
            "udp-server",
            ["[0, port].contains", "[0, 0 * port].contains"],
            &["a datagram from the servers own port is not answered"],
        ),
        patch(
            "udp-server",
            ["shown(datagram)", "printable(datagram)"],
            &["an empty datagram does not stop the server"],
        ),
        patch(
            "udp-server",
            ["char::is_control", "|c: char| c.is_ascii_control()"],
            &[CONTROL],
        ),
        patch(
            "udp-client",
            ["1..=3", "1..=1"],
            &[
                "a lost datagram is sent again",
                "without an answer the client tries three times and gives up",
            ],
        ),
        patch(
            "udp-client",
            ["if peer != server", "if peer.port() == 0"],
            &["the client ignores strangers and refuses a wrong echo"],
        ),
        // It waits until strangers have been silent for a second.
        patch(
            "udp-client",
            [
                "if peer != server => hint = ignore(peer)",
                "if peer != server => { hint = ignore(peer); while matches!(socket.peek_from(&mut buffer), Ok((_, peer)) if peer != server) { hint = ignore(socket.recv_from(&mut buffer)?.1); } }",
            ],
            &["strangers who keep sending do not keep the client"],
        ),
    ],
    in_python: &[
        python("udp-server", "udp_server.py", &[]),
        python("udp-client", "udp_client.py", &[]),
    ],
};

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
