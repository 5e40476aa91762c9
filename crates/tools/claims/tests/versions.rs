//! What the workspace depends on: one version of each crate, and none that needs a newer
//! Rust than the examples say.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// What every manifest says, `rust-version = "1.89"`.
const RUST: [u64; 2] = [1, 89];
/// Crates of which there may be several versions, each with the reason.
const ADMITTED: [&str; 1] = [
    // Of rqrr, which reads lab's QR code in a test: its g2p is built with syn 2.
    "syn",
];

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."))
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn no_dependency_needs_a_newer_rust_than_the_examples_say() {
    let metadata = cargo(&["metadata", "--format-version", "1", "--locked"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 50, "{} packages", packages.len());
    for package in packages {
        let Some(needed) = package["rust_version"].as_str() else { continue };
        let numbers = needed.split('.').map(|number| number.parse().unwrap());
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.truncate(RUST.len());
        let name = &package["name"];
        assert!(numbers[..] <= RUST[..], "{name} needs Rust {needed}");
    }
}

#[test]
fn each_dependency_has_one_version() {
    let tree = ["tree", "--workspace", "--locked", "--target", "all", "--depth", "0"];
    // Each line begins with a name and a version.
    let tree = cargo(&[&tree[..], &["--duplicates", "--prefix", "none"]].concat());
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in tree.lines() {
        let mut words = line.split(' ');
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            versions.entry(name).or_default().push(version);
        }
    }
    // One version that is built twice, for a build script and for a program, is listed too.
    versions.values_mut().for_each(|versions| versions.dedup());
    versions.retain(|name, versions| versions.len() > 1 && !ADMITTED.contains(name));
    assert!(versions.is_empty(), "several versions: {versions:?}");
}
