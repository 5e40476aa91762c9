//! Fixtures for rest-items.

use crate::Fixtures;

pub const FIXTURES: Fixtures =
    Fixtures { example: "rest-items", patches: &[], in_python: &[] };

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
