//! Fixtures for async-tcp-echo.

use crate::Fixtures;

pub const FIXTURES: Fixtures =
    Fixtures { example: "async-tcp-echo", patches: &[], in_python: &[] };

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
