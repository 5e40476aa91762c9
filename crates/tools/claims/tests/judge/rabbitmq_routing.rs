//! Fixtures for rabbitmq-routing.

use crate::{Fixtures, for_lecture, patch};

pub const FIXTURES: Fixtures = Fixtures {
    example: "rabbitmq-routing",
    patches: &[
        patch(
            "rabbitmq-subscriber",
            ["let _ = channel.basic_ack(done).await;", "let _ = done;"],
            &["the broker pushes 100 messages ahead of their acknowledgements"],
        ),
        patch(
            "rabbitmq-subscriber",
            [
                "println!(\"Received {key} | {}\", printable(&body));",
                "println!(\"Received {key} | {:.200}\", printable(&body));",
            ],
            &["a message is shown whole and none of its bytes steers the terminal"],
        ),
        patch(
            "rabbitmq-subscriber",
            [
                "|text| percent_decode_str(text).decode_utf8_lossy().into_owned()",
                "|text: &str| text.to_string()",
            ],
            &[
                "a wrong password and a missing vhost are clear errors",
                "the login in a url is percent decoded",
            ],
        ),
        patch(
            "rabbitmq-publisher",
            [
                "let _ = timeout(TIMEOUT, session.0.close()).await; // Says goodbye.",
                "",
            ],
            &["the publisher says goodbye"],
        ),
        patch(
            "rabbitmq-publisher",
            [
                "verdict.context(NO_CONFIRM)??;",
                "if let Some(verdict) = verdict { verdict? }",
            ],
            &["without a confirm a message is not said to be sent"],
        ),
    ],
    in_python: &[
        for_lecture("rabbitmq-subscriber", "rabbitmq_subscriber.py"),
        for_lecture("rabbitmq-publisher", "rabbitmq_publisher.py"),
    ],
};

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
