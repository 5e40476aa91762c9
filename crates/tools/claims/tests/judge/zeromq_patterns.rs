//! Fixtures for zeromq-patterns.

use crate::{Fixtures, for_lecture, patch};

pub const FIXTURES: Fixtures = Fixtures {
    example: "zeromq-patterns",
    patches: &[
        patch(
            "zeromq-replier",
            [
                "CLIENT_TIMEOUT: Duration = Duration::from_secs(1)",
                "CLIENT_TIMEOUT: Duration = Duration::from_secs(60)",
            ],
            &[
                "a client that does not read its reply holds the others up for a second",
            ],
        ),
        patch(
            "zeromq-replier",
            ["char::is_control", "|c: char| c.is_ascii_control()"],
            &["what is not text cannot steer the terminal and comes back unchanged"],
        ),
        patch(
            "zeromq-requester",
            ["1..=TRIES", "1..=TRIES + 1"],
            &["the requester asks three times at most"],
        ),
        patch(
            "zeromq-requester",
            [
                "const PATIENCE: Duration = Duration::from_secs(5);",
                "const PATIENCE: Duration = Duration::from_secs(15);",
            ],
            &[
                "a request without a reply for five seconds is asked again on a new socket",
            ],
        ),
        patch(
            "zeromq-subscriber",
            [
                "println!(\"Received: {}\", show(&message?))",
                "println!(\"Received: {:.200}\", show(&message?))",
            ],
            &["a subscriber shows a long message whole"],
        ),
        patch(
            "zeromq-subscriber",
            [
                "socket.subscribe(topic).await?;",
                "socket.subscribe(topic.get(..1).unwrap_or(\"\")).await?;",
            ],
            &[
                "a subscriber gets what begins with one of its topics",
                "a subscriber tells the publisher which topic it wants",
                "publisher and subscriber print what the readme shows",
            ],
        ),
        patch(
            "zeromq-pusher",
            [
                "Instant::now() + Duration::from_secs(5)",
                "Instant::now() + Duration::from_secs(60)",
            ],
            &["a pusher whose tasks cannot leave says so after five seconds"],
        ),
        patch(
            "zeromq-puller",
            ["char::is_control", "|c: char| c.is_ascii_control()"],
            &["what a program receives cannot steer the terminal"],
        ),
    ],
    in_python: &[
        for_lecture("zeromq-replier", "zeromq_replier.py"),
        for_lecture("zeromq-requester", "zeromq_requester.py"),
        for_lecture("zeromq-publisher", "zeromq_publisher.py"),
        for_lecture("zeromq-subscriber", "zeromq_subscriber.py"),
        for_lecture("zeromq-pusher", "zeromq_pusher.py"),
        for_lecture("zeromq-puller", "zeromq_puller.py"),
    ],
};

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
