//! What a public host would run, as far as it can be judged without one: it is well-formed,
//! and each command, file and example that it names exists.

#[allow(dead_code)] // It serves the rules of the examples.
mod source;

use std::collections::BTreeSet;
use std::process::Command;

use source::{examples, name, read, root};
use yaml_rust2::{Yaml, YamlLoader};

fn load(path: &str) -> Yaml {
    let text = read(&root().join(".github").join(path));
    let mut documents = YamlLoader::load_from_str(&text)
        .unwrap_or_else(|error| panic!(".github/{path}: {error}"));
    assert_eq!(documents.len(), 1, ".github/{path}");
    documents.remove(0)
}

/// A list of texts.
fn texts(list: &Yaml) -> Vec<&str> {
    list.as_vec().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// The commands of all jobs of a workflow, in order.
fn commands(workflow: &Yaml) -> Vec<String> {
    let jobs = workflow["jobs"].as_hash().unwrap().values();
    let steps = jobs.flat_map(|job| job["steps"].as_vec().unwrap());
    steps.filter_map(|step| step["run"].as_str()).map(str::to_string).collect()
}

#[test]
fn each_command_of_a_workflow_exists() {
    let mut makes = 0;
    for path in ["workflows/ci.yml", "workflows/deck.yml"] {
        for command in commands(&load(path)) {
            let words: Vec<&str> = command.split_whitespace().collect();
            match words[..] {
                ["bash", script] => {
                    assert!(root().join(script).exists(), "{command}")
                }
                ["make", target] => {
                    let mut make = Command::new("make");
                    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
                    make.current_dir(root()).args(["-n", target]);
                    let output = make.output().expect("make is needed");
                    assert!(output.status.success(), "{path}: {command}");
                    makes += 1;
                }
                ["cargo", "build" | "test", "--locked", ..] => (),
                ["cargo", "lab", "demo", "$EXAMPLES"] => {
                    assert!(
                        read(&root().join(".cargo/config.toml")).contains("lab =")
                    )
                }
                ["rustup", "toolchain", "install", ..]
                | ["rustup", "default", ..] => (),
                ["gh", "release", "create", ..] => {
                    let files = words.iter().filter(|word| word.contains('/'));
                    for file in files {
                        assert!(is_made(file), "{path}: nothing makes {file}");
                    }
                }
                _ => panic!("{path}: an unknown command: {command}"),
            }
        }
    }
    assert!(makes >= 2, "{makes} targets of make");
}

/// Whether the Makefile, or the script behind a target, writes a file of this name.
fn is_made(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap();
    ["Makefile", "crates/tools/lab/offline.sh"]
        .iter()
        .any(|maker| read(&root().join(maker)).contains(name))
}

#[test]
fn all_three_systems_test_every_example_without_a_broker() {
    let ci = load("workflows/ci.yml");
    // In any order: the manifest names most of them twice.
    let without: BTreeSet<String> = examples()
        .iter()
        .filter(|folder| !read(&folder.join("demo.toml")).contains("\nbroker = "))
        .map(|folder| name(folder).to_string())
        .collect();
    let named = ci["env"]["EXAMPLES"].as_str().unwrap().split_whitespace();
    let named = named.map(str::to_string).collect();
    assert_eq!(
        without, named,
        "the examples without a broker, and EXAMPLES in ci.yml"
    );
    let matrix = &ci["jobs"]["systems"]["strategy"]["matrix"];
    let systems = ["ubuntu-latest", "macos-latest", "windows-latest"];
    assert_eq!(texts(&matrix["system"]), systems);
    // The oldest Rust is what the manifests promise.
    let rust = texts(&matrix["rust"]);
    assert_eq!(rust[0], "stable");
    for folder in examples() {
        let promised = format!("rust-version = \"{}\"", rust[1]);
        assert!(read(&folder.join("Cargo.toml")).contains(&promised), "{promised}");
    }
    assert!(ci["on"]["schedule"][0]["cron"].as_str().unwrap().ends_with("1 * *"));
}

#[test]
fn updates_come_grouped_once_a_month() {
    let dependabot = load("dependabot.yml");
    for update in dependabot["updates"].as_vec().unwrap() {
        let folder = root()
            .join(update["directory"].as_str().unwrap().trim_start_matches('/'));
        let manifest = match update["package-ecosystem"].as_str().unwrap() {
            "cargo" => "Cargo.toml",
            "npm" => "package.json",
            _ => ".github/workflows",
        };
        assert!(folder.join(manifest).exists(), "{}", folder.display());
        assert_eq!(update["schedule"]["interval"].as_str(), Some("monthly"));
        assert_eq!(update["groups"].as_hash().unwrap().len(), 1);
    }
}

#[test]
fn a_template_asks_for_what_is_needed_and_says_what_for() {
    for template in ["ISSUE_TEMPLATE/wrong.yml", "ISSUE_TEMPLATE/classroom.yml"] {
        let form = load(template);
        assert!(
            form["name"].as_str().is_some() && form["description"].as_str().is_some()
        );
        let fields = form["body"].as_vec().unwrap();
        let labels =
            fields.iter().filter_map(|field| field["attributes"]["label"].as_str());
        assert_eq!(labels.count(), fields.len(), "{template}");
        assert!(
            fields
                .iter()
                .any(|field| field["validations"]["required"] == Yaml::Boolean(true))
        );
    }
}

/// A name that nothing has any more would leave nothing out, and nobody would notice.
#[test]
fn what_is_left_out_under_wine_exists() {
    let script = read(&root().join("crates/tools/claims/windows.sh"));
    let tests: String = examples()
        .iter()
        .flat_map(|folder| ["lecture", "network"].map(|file| (folder, file)))
        .map(|(folder, file)| read(&folder.join(format!("tests/{file}.rs"))))
        .collect();
    let names = script.split("not_by_wine=\"").nth(1).unwrap();
    let names: Vec<&str> =
        names.split('"').next().unwrap().split_whitespace().collect();
    assert!(!names.is_empty());
    for name in names {
        assert!(tests.contains(&format!("fn {name}()")), "no test is named {name}");
    }
    let scenes = script.split("grep -vxE '").nth(1).unwrap();
    for scene in scenes.split('\'').next().unwrap().split('|') {
        let folder = scene.strip_suffix("/1").unwrap();
        assert!(
            root().join("crates").join(folder).join("demo.toml").exists(),
            "{scene}"
        );
    }
}
