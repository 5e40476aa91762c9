//! The Makefile as the READMEs describe it.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::Command;

/// What make would run. Without the variables of a make that runs this test.
fn dry_run(arguments: &[&str]) -> String {
    let mut make = Command::new("make");
    make.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."));
    for variable in ["MAKEFLAGS", "MAKELEVEL", "WIRE", "ARGS"] {
        make.env_remove(variable);
    }
    let output = make.args(arguments).output().expect("make is needed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "make {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn wire_is_off_unless_it_is_asked_for() {
    for (target, run) in [("demo", "cargo lab demo"), ("demo-x", "cargo lab demo")] {
        for (wire, is_on) in [("WIRE=1", true), ("WIRE=0", false), ("WIRE=", false)] {
            let commands = dry_run(&["-n", target, wire]);
            let command =
                commands.lines().find(|line| line.starts_with(run)).unwrap();
            assert_eq!(command.contains("--wire"), is_on, "{wire}: {command}");
        }
    }
}

#[test]
fn each_target_that_a_readme_names_is_listed_by_make() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let listed = dry_run(&[]);
    for readme in ["README.md", "slides/README.md", "crates/tools/claims/README.md"] {
        let text = fs::read_to_string(root.join(readme)).unwrap();
        let starts = ["`make ", "\nmake "].into_iter();
        let named = starts.flat_map(|start| text.split(start).skip(1));
        let target = |text: &str| {
            let end = text.find(|c: char| c != '-' && !c.is_ascii_lowercase());
            text[..end.unwrap_or(text.len())].to_string()
        };
        for target in named.map(target).filter(|target| !target.starts_with("demo-"))
        {
            let line = format!("make {target} ");
            assert!(listed.contains(&line), "{readme} names `make {target}`");
        }
    }
}
