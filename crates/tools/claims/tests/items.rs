//! The items of a program are found twice: here for the rules of the examples, and by
//! slides/source.mjs for the deck. Both must find the same in slides/items.sample.txt.
#![allow(dead_code)] // Only `items` is used of what is shared.

mod source;

use source::{items, read, root};

#[test]
fn items_are_found_as_their_twin_in_javascript_finds_them() {
    let sample = read(&root().join("slides/items.sample.txt")).replace("\r\n", "\n");
    let (_, sample) = sample.split_once("=== the file\n").unwrap();
    let (text, expected) = sample.split_once("=== its items\n").unwrap();
    let found = items(text).into_iter().map(|item| {
        let lines = item.lines.join("\n");
        format!("--- {}\n{lines}\n", item.name)
    });
    assert_eq!(found.collect::<String>(), expected);
}
