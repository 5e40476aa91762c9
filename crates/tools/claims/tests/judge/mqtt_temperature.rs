//! Fixtures for mqtt-temperature.

use crate::Fixtures;

pub const FIXTURES: Fixtures =
    Fixtures { example: "mqtt-temperature", patches: &[], in_python: &[] };

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
