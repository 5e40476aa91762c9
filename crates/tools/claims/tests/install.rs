//! crates/tools/brokers/install.sh, with a package manager of the test's own: nothing of
//! this machine is touched.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

const SCRIPT: &str = include_str!("../../brokers/install.sh");
/// What the script and its helpers run that is no package manager.
const TOOLS: [&str; 17] = [
    "sh", "awk", "cat", "chmod", "dirname", "find", "grep", "id", "mkdir", "mktemp",
    "rm", "sed", "sleep", "sort", "touch", "tr", "true",
];

/// A repository that has nothing but the script, and a folder of programs as its PATH.
struct House {
    folder: TempDir,
}

impl House {
    fn new() -> House {
        let house = House { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(house.path("crates/tools/brokers")).unwrap();
        fs::create_dir(house.path("bin")).unwrap();
        let policy = house.path("policy-rc.d");
        let script = SCRIPT.replace("\r\n", "\n");
        let script =
            script.replace("/usr/sbin/policy-rc.d", policy.to_str().unwrap());
        assert!(script.contains(policy.to_str().unwrap()));
        fs::write(house.path("crates/tools/brokers/install.sh"), script).unwrap();
        for tool in TOOLS {
            let mut places =
                ["/usr/bin", "/bin"].iter().map(|at| Path::new(at).join(tool));
            let place = places.find(|place| place.exists()).unwrap();
            symlink(place, house.path("bin").join(tool)).unwrap();
        }
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program of the house's PATH, as a script. It replaces one of the same name.
    fn has(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The script, about to be run in a process group of its own.
    fn install(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg(self.path("crates/tools/brokers/install.sh")).args(arguments);
        command.env_clear().env("PATH", self.path("bin")).process_group(0);
        command.stdin(Stdio::null());
        command
    }

    /// Starts to install as root, and waits until the package manager is at it. Nothing
    /// there ends but by a signal.
    fn install_until_killed(&self, signal: Signal) -> Option<i32> {
        self.has(
            "apt-get",
            "case $* in *install*) echo at it; exec sleep 60 ;; esac",
        );
        let mut command = self.install(&["--as-root", "mosquitto"]);
        let mut running = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(running.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "at it\n");
        let policy = Command::new(self.path("policy-rc.d")).status().unwrap();
        assert_eq!(policy.code(), Some(101), "no server may start meanwhile");
        // As a terminal does: to all of them.
        killpg(Pid::from_raw(running.id() as i32), signal).unwrap();
        let status = running.wait().unwrap();
        status.code().or(status.signal().map(|signal| -signal))
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat())
        .into_owned()
}

#[test]
fn whatever_signal_ends_an_installation_servers_may_start_again() {
    let signals =
        [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)];
    for (signal, code) in signals {
        let house = House::new();
        assert_eq!(house.install_until_killed(signal), Some(code), "{signal}");
        assert!(!house.path("policy-rc.d").exists(), "{signal}");
    }
    // Nothing can be removed after SIGKILL, but what is left forbids nothing any more.
    let house = House::new();
    assert_eq!(house.install_until_killed(Signal::SIGKILL), Some(-9));
    let policy = Command::new(house.path("policy-rc.d")).status().unwrap();
    assert_eq!(policy.code(), Some(0));
}

#[test]
fn a_policy_that_was_there_before_stays() {
    let house = House::new();
    fs::write(house.path("policy-rc.d"), "#!/bin/sh\nexit 101\n").unwrap();
    house.has("apt-get", "");
    let output = house.install(&["--as-root", "mosquitto"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(house.path("policy-rc.d").exists());
}

#[test]
fn without_root_what_can_be_unpacked_is_and_the_rest_is_named() {
    let house = House::new();
    house.has("id", "echo 1000");
    let apt = "case $* in
        *\" install -s \"*) echo 'Inst a-server (1.0)' ;;
        *download*) touch a-server.deb ;;
    esac";
    house.has("apt-get", apt);
    let unpack =
        "mkdir -p \"$3/usr/sbin\"; echo 'echo it runs' >\"$3/usr/sbin/a-server\"
        chmod 755 \"$3/usr/sbin/a-server\"";
    house.has("dpkg-deb", unpack);
    let wanted = ["a-server", "chromium"];
    let output = house.install(&wanted).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let rest = "Still missing: chromium. Ask an administrator for: \
        apt-get install --no-install-recommends chromium\n";
    assert!(said.ends_with(rest), "{said}");
    let program = house.path("target/tools/bin/a-server");
    let mut run = Command::new(program);
    assert_eq!(
        text(&run.env("PATH", house.path("bin")).output().unwrap()),
        "it runs\n"
    );
    // At the end of `make test`: what is missing, and the tests that need it.
    fs::create_dir_all(house.path("crates/tcp-echo/tests")).unwrap();
    fs::create_dir_all(house.path("crates/tools/claims/tests")).unwrap();
    let test = "Command::new(\"chromium\")";
    fs::write(house.path("crates/tools/claims/tests/browser.rs"), test).unwrap();
    let output =
        house.install(&["--report", "a-server", "chromium"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report = "Missing: chromium. These tests need it: \
        crates/tools/claims/tests/browser.rs \n";
    assert_eq!(text(&output), report);
}

/// As it once was: the second program became another name of the first.
#[test]
fn a_program_that_no_package_has_is_not_taken_for_the_one_before_it() {
    let house = House::new();
    house.has("id", "echo 1000");
    house.has("apt-get", "case $* in *download*) touch a.deb ;; esac");
    let unpack = "mkdir -p \"$3/usr/bin\"; touch \"$3/usr/bin/a-server\"";
    house.has("dpkg-deb", unpack);
    let output = house.install(&["a-server", "another"]).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("The packages have no another\n"), "{said}");
    assert!(house.path("target/tools/bin/a-server").exists());
    assert!(!house.path("target/tools/bin/another").exists());
}

#[test]
fn a_library_is_missing_until_the_compiler_finds_its_header() {
    let house = House::new();
    house.has("apt-get", "");
    house.has("cc", "false");
    let output = house.install(&["--report", "libzmq"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let tests = "crates/tools/scoreboard/tests/measuring.rs";
    assert!(Path::new("../../..").join(tests).exists());
    let report = format!("Missing: libzmq. These tests need it: {tests}\n");
    assert_eq!(text(&output), report);
    house.has("cc", "grep -q 'include <zmq.h>'");
    let output = house.install(&["--report", "libzmq"]).output().unwrap();
    assert_eq!((output.status.code(), &*text(&output)), (Some(0), ""));
}
