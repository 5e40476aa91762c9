//! Fixtures for rabbitmq-tasks.

use crate::{Fixtures, for_lecture, patch};

pub const FIXTURES: Fixtures = Fixtures {
    example: "rabbitmq-tasks",
    patches: &[
        patch(
            "rabbitmq-worker",
            ["LONGEST_PAUSE.min(2 * pause)", "LONGEST_PAUSE.min(pause)"],
            &["the pauses between tries to connect again grow"],
        ),
        patch(
            "rabbitmq-worker",
            [".heartbeat(10)", ".heartbeat(60)"],
            &["both programs ask for heartbeats every ten seconds"],
        ),
        patch(
            "rabbitmq-worker",
            ["char::is_control", "|c: char| c.is_ascii_control()"],
            &["any bytes are a task and none of them steers the terminal"],
        ),
        patch(
            "rabbitmq-worker",
            [
                "let again = if delivery.redelivered() { \" again\" } else { \"\" };",
                "let again = \"\";",
            ],
            &[
                "a task of a killed worker is done by another",
                "a worker that loses its connection says so and gets the task again",
                "a task is done twice when its acknowledgement is lost",
                "a task is not called done when the connection went during the work",
                "ctrl c ends a worker at once and its task is delivered again however often",
            ],
        ),
        patch(
            "rabbitmq-producer",
            [".with_persistence(true)", ".with_persistence(false)"],
            &["each task is sent as a persistent message"],
        ),
        patch(
            "rabbitmq-producer",
            [".mandatory(true)", ".mandatory(false)"],
            &["publishing into the void succeeds where the producer reports it"],
        ),
        patch(
            "rabbitmq-producer",
            [
                "Err(_) => eprintln!(\"{WAITING}\"),",
                "Err(_) => return Err(anyhow!(WAITING)),",
            ],
            &[
                "a producer that gets no confirm says so waits and sends each task once",
            ],
        ),
    ],
    in_python: &[
        for_lecture("rabbitmq-worker", "rabbitmq_worker.py"),
        for_lecture("rabbitmq-producer", "rabbitmq_producer.py"),
    ],
};

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
