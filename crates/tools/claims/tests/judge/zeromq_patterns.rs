//! Fixtures for zeromq-patterns.

use crate::Fixtures;

pub const FIXTURES: Fixtures =
    Fixtures { example: "zeromq-patterns", patches: &[], in_python: &[] };

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
