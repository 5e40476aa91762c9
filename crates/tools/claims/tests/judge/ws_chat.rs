//! Fixtures for ws-chat.

use crate::Fixtures;

pub const FIXTURES: Fixtures =
    Fixtures { example: "ws-chat", patches: &[], in_python: &[] };

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
