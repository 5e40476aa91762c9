//! Fixtures for mqtt-temperature.

use crate::{Fixtures, for_lecture, patch};

pub const FIXTURES: Fixtures = Fixtures {
    example: "mqtt-temperature",
    patches: &[
        patch(
            "mqtt-publisher",
            ["Message::new_retained(", "Message::new("],
            &["a retained message waits for those who subscribe later"],
        ),
        patch(
            "mqtt-publisher",
            ["Ok(client.disconnect(None).await.map(drop)?)", "Ok(())"],
            &["the last will is for a publisher that is killed"],
        ),
        patch(
            "mqtt-publisher",
            ["timeout(5 * SECOND, goodbye)", "timeout(60 * SECOND, goodbye)"],
            &["ctrl c says what is true and keeps nobody waiting"],
        ),
        patch(
            "mqtt-publisher",
            [".clean_session(*qos < 2)", ".clean_session(true)"],
            &["qos 2 loses nothing and doubles nothing whatever packet is lost"],
        ),
        patch(
            "mqtt-subscriber",
            ["char::is_control", "|c: char| c.is_ascii_control()"],
            &[
                "a payload is printed whole whatever its bytes are",
                "neither a topic nor a payload steers the terminal",
            ],
        ),
        patch(
            "mqtt-subscriber",
            [
                "ensure!(!broker.contains('@'), \"a login belongs in --username and --password\");",
                "",
            ],
            &["a login in the url is refused and not shown"],
        ),
    ],
    in_python: &[
        for_lecture("mqtt-subscriber", "mqtt_subscriber.py"),
        for_lecture("mqtt-publisher", "mqtt_publisher.py"),
    ],
};

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
