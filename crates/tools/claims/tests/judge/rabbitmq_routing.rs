//! Fixtures for rabbitmq-routing.

use crate::Fixtures;

pub const FIXTURES: Fixtures =
    Fixtures { example: "rabbitmq-routing", patches: &[], in_python: &[] };

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
