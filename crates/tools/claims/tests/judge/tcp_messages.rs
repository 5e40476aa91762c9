//! Fixtures for tcp-messages.

use crate::{Fixtures, patch};

const KEEPALIVE: &str = "an accepted connection has a keepalive timer";

pub const FIXTURES: Fixtures = Fixtures {
    example: "tcp-messages",
    patches: &[
        patch(
            "lines-server",
            ["MAX_LINE: u64 = 4096", "MAX_LINE: u64 = 4095"],
            &["a line of 4096 bytes is kept and a longer one ends the connection"],
        ),
        patch(
            "lines-server",
            [
                "SockRef::from(&client).set_tcp_keepalive(&silence)?;",
                "let _ = silence;",
            ],
            &[KEEPALIVE],
        ),
        patch(
            "lines-server",
            ["store.len() < MAX_KEYS ||", "store.len() <= MAX_KEYS ||"],
            &["the store takes a hundred keys of 32 bytes and no more"],
        ),
        patch(
            "lines-server",
            ["client.set_write_timeout(Some(Duration::from_secs(4)))?;", ""],
            &["a client that sends and never reads harms nobody and is let go"],
        ),
        patch(
            "lines-server",
            ["let _ = io::copy(&mut reader, &mut io::sink());", ""],
            &[
                "a line without an end takes no memory",
                "what follows a line that is too long does not destroy the error",
            ],
        ),
        patch(
            "lines-server",
            ["< 1000 + 2", "< 100 + 2"],
            &[
                "the next client after a thousand waits for one to leave",
                "three hundred clients at once are all served",
            ],
        ),
    ],
    in_python: &[],
};

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
