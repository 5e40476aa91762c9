//! Finds the example programs: they are in other packages than the tests here.

use std::path::PathBuf;
use std::process::Command;

/// Builds a program of the workspace unless it is fresh, and returns its path.
/// Tests that ask at the same time wait for each other: cargo locks its folder.
pub fn program(package: &str, binary: &str) -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."))
        .args(["build", "--quiet", "--message-format=json-render-diagnostics"])
        .args(["-p", package, "--bin", binary])
        .output()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", env!("CARGO")));
    let errors = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "cannot build {binary}:\n{errors}");
    // Cargo itself says where the program is, wherever its target directory may be.
    let messages = String::from_utf8(built.stdout).expect("cargo prints JSON");
    let path = messages
        .split("\"executable\":\"")
        .filter_map(|rest| rest.split('"').next())
        .find(|path| path.ends_with(&format!("/{binary}")));
    path.unwrap_or_else(|| panic!("cargo names no {binary}:\n{messages}")).into()
}
