//! Tests only: what the lecture claims, each claim's test, and the rules of the examples.
