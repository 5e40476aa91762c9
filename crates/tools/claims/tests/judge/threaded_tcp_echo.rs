//! Fixtures for threaded-tcp-echo.

use crate::Fixtures;

pub const FIXTURES: Fixtures =
    Fixtures { example: "threaded-tcp-echo", patches: &[], in_python: &[] };

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
