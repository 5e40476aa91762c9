//! Fixtures for tcp-messages.

use crate::{Fixtures, patch, python};

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
        // Its keys are sorted the other way round.
        patch(
            "lines-server",
            [
                "store.keys().fold(\"keys\".to_string(), |all, key| all + \" \" + key)",
                "store.keys().rev().fold(\"keys\".to_string(), |all, key| all + \" \" + key)",
            ],
            &["every line gets one reply and the replies come in order"],
        ),
        // Characters are counted, not bytes.
        patch(
            "lines-server",
            ["contains(&key.len())", "contains(&key.chars().count())"],
            &["the store takes a hundred keys of 32 bytes and no more"],
        ),
        patch(
            "frames-server",
            ["MAX_FRAME: usize = 32 * 1024", "MAX_FRAME: usize = 32 * 1024 - 1"],
            &["a frame of 32768 bytes is answered"],
        ),
        patch(
            "frames-server",
            [
                "timeout(PATIENCE, frames.send(reply.to_string().as_bytes())).await??;",
                "frames.send(reply.to_string().as_bytes()).await?;",
            ],
            &["a client that sends and never reads harms nobody and is let go"],
        ),
        patch(
            "frames-server",
            [
                "while let Ok(Ok(1..)) = timeout(PATIENCE, client.read(&mut rest)).await {}",
                "",
            ],
            &[
                "a client that goes on sending after a length over the limit gets the error",
                "a length over the limit is refused at once and ends the connection",
            ],
        ),
        patch(
            "frames-server",
            ["(1..=32).contains", "(0..=32).contains"],
            &[
                "the store behind frames takes a hundred keys and a list of them fits a frame",
            ],
        ),
        patch(
            "frames-client",
            [
                "usize::from(receive(&mut frames)",
                "0 * usize::from(receive(&mut frames)",
            ],
            &["a reply that says error is printed and exits with 1"],
        ),
        patch(
            "frames-client",
            [
                "TIMEOUT: Duration = Duration::from_secs(5)",
                "TIMEOUT: Duration = Duration::from_secs(50)",
            ],
            &["a silent server does not hold a client for long"],
        ),
        patch(
            "lines-client",
            [
                "ensure!(line.ends_with(b\"\\n\"), \"no line end after {} bytes\", line.len());",
                "",
            ],
            &["a missing a half and an endless reply are errors"],
        ),
        patch(
            "lines-client",
            [
                "ensure!(!request.contains('\\n'), \"a request with a line end would be two\");",
                "",
            ],
            &[
                "the lines client refuses a request with a line end and frames may have one",
            ],
        ),
    ],
    in_python: &[
        python("lines-server", "lines_server.py", &[]),
        python("frames-server", "frames_server.py", &[]),
        python("lines-client", "lines_client.py", &[]),
    ],
};

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
