//! Fixtures for ws-chat.

use crate::{Fixtures, for_lecture, patch};

pub const FIXTURES: Fixtures = Fixtures {
    example: "ws-chat",
    patches: &[
        patch(
            "ws-server",
            [
                "timeout(CLIENT_TIMEOUT, me.send",
                "timeout(100 * CLIENT_TIMEOUT, me.send",
            ],
            &["a client that does not read is closed and nobody waits for it"],
        ),
        patch(
            "ws-server",
            ["*from != here &&", "!from.starts_with(&here) &&"],
            &["a page from elsewhere is refused with 403"],
        ),
        patch(
            "ws-server",
            [".max_message_size(MAX)", ""],
            &[
                "a message of 64 kib goes through and a longer one ends its connection",
            ],
        ),
        patch(
            "ws-server",
            [
                "            sleep(Duration::from_millis(100)).await;\n            continue;",
                "            return Ok(());",
            ],
            &["out of open files the server pauses accepting and serves on"],
        ),
        patch(
            "ws-server",
            ["timeout(CLIENT_TIMEOUT, http.with_upgrades())", "http.with_upgrades()"],
            &[
                "a client that never ends its request is closed",
                "the page needs no library and no other host",
            ],
        ),
        patch(
            "ws-server",
            ["Sender::new(1024)", "Sender::new(128)"],
            &["three hundred clients talk at once and each hears all the others"],
        ),
        patch(
            "ws-server",
            ["char::is_control", "|c: char| c.is_ascii_control()"],
            &[
                "what peers send is printed without control characters and passed on unchanged",
            ],
        ),
        patch(
            "ws-client",
            [".trim_end_matches('\\r')", ""],
            &["the end of input closes with the handshake after all was sent"],
        ),
        patch(
            "ws-client",
            [
                "text => println!(\"{}\", printable(&text.into_data())),",
                "text => println!(\"{:.200}\", printable(&text.into_data())),",
            ],
            &["the client shows a long message whole and a binary one too"],
        ),
    ],
    in_python: &[
        for_lecture("ws-server", "ws_server.py"),
        for_lecture("ws-client", "ws_client.py"),
    ],
};

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
