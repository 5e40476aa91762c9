//! Fixtures for async-udp-echo.

use crate::Fixtures;

pub const FIXTURES: Fixtures =
    Fixtures { example: "async-udp-echo", patches: &[], in_python: &[] };

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
