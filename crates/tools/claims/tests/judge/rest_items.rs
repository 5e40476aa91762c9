//! Fixtures for rest-items.

use crate::{Fixtures, patch, python};

pub const FIXTURES: Fixtures = Fixtures {
    example: "rest-items",
    patches: &[
        // The id of an item that was deleted is given again.
        patch(
            "rest-server",
            ["*last += 1;", "*last = 1 + items.keys().last().map_or(0, |id| *id);"],
            &["a new item is told where it is and no id comes twice"],
        ),
        // Bytes are counted, not characters.
        patch(
            "rest-server",
            ["|name| name.chars().count()", "|name| name.len()"],
            &["a name may be any text of 1 to 100 characters"],
        ),
        patch(
            "rest-server",
            ["(2, 1..=100, Some(0.0..))", "(2.., 1..=100, Some(0.0..))"],
            &["a wrong type in the path or in the body is 422"],
        ),
        patch(
            "rest-server",
            [
                "kind.trim().eq_ignore_ascii_case(\"application/json\")",
                "kind.trim() == \"application/json\"",
            ],
            &["json is known by its essence and other types are 415"],
        ),
        patch(
            "rest-server",
            ["tokio::spawn(timeout(CLIENT_TIMEOUT, rest));", "drop(rest);"],
            &["a client that sends 100 mib reads its 413 and fills no memory"],
        ),
        patch(
            "rest-server",
            ["hosts.eq([true])", "hosts.count() == 1"],
            &["a request names exactly one host as a url would"],
        ),
        patch(
            "rest-server",
            ["connection.set_timeout(Some(CLIENT_TIMEOUT));", ""],
            &["a client that never reads harms nobody and is closed"],
        ),
        patch(
            "rest-server",
            ["items.len() < 10_000", "items.len() < 20_000"],
            &["there is room for so many items and no more"],
        ),
        patch(
            "rest-client",
            [
                "ensure!(json.is_ok() || answer.status() == 204, \"the answer is not JSON\");",
                "",
            ],
            &["the client shows what is not json and refuses what is not http"],
        ),
        patch(
            "rest-client",
            [
                "println!(\"{}\", printable(line.as_bytes()));",
                "println!(\"{:.200}\", printable(line.as_bytes()));",
            ],
            &["the client shows a long answer whole"],
        ),
    ],
    in_python: &[
        python("rest-server", "rest_server.py", &[]),
        python("rest-client", "rest_client.py", &[]),
    ],
};

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
