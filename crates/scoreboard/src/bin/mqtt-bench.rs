//! Measures publishing by MQTT: mqtt-publisher beside the Paho C library that it is
//! made of, driven directly, and beside mosquitto_pub.

use std::fs::{self, File};
use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use lab::brokers::{Broker, Kind};

use scoreboard::programs;
use scoreboard::stats::{median, ratios, spread};

const TOPIC: &str = "myhome/livingroom/temperature";

/// Measures how many messages a second mqtt-publisher publishes at QoS 0, 1 and 2.
///
/// Beside it the Paho C library driven by a C program, if there is a C compiler, and
/// mosquitto_pub, if it is installed. Each starts, connects, publishes, and ends when
/// all is sent (QoS 0) or acknowledged (QoS 1 and 2), to a private Mosquitto. What they
/// print goes to /dev/null.
#[derive(Parser)]
struct Arguments {
    /// Rounds, in which the programs take turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Messages to publish each time
    #[arg(long, default_value_t = 10_000)]
    count: u32,
}

/// A program to measure: its name, where it is, and its arguments but for the QoS.
struct Publisher {
    name: &'static str,
    path: PathBuf,
    arguments: Vec<String>,
    qos: &'static str,
    /// What it reads, if it does.
    input: Option<PathBuf>,
}

fn main() -> Result<()> {
    let Arguments { rounds, count } = Arguments::parse();
    let folder = programs::target()?.join("scoreboard");
    fs::create_dir_all(&folder)?;
    let rust = programs::example("mqtt-temperature", "mqtt-publisher")?;
    let c = c_publisher(&folder)?;
    let broker = Broker::start(Kind::Mosquitto)?;
    let publishers = publishers(&broker.url(), count, &folder, rust, c)?;
    for qos in ["0", "1", "2"] {
        let mut rates: Vec<_> = publishers.iter().map(|_| Vec::new()).collect();
        for round in 1..=rounds {
            eprintln!("QoS {qos}, round {round} of {rounds}");
            for (publisher, rates) in publishers.iter().zip(&mut rates) {
                let seconds = measure(publisher, qos)
                    .with_context(|| format!("{} at QoS {qos}", publisher.name))?;
                rates.push(f64::from(count) / seconds);
            }
        }
        report(qos, &publishers, &rates);
    }
    Ok(())
}

/// All that can be measured here; mqtt-publisher is the first.
fn publishers(
    url: &str,
    count: u32,
    folder: &Path,
    rust: PathBuf,
    c: Option<PathBuf>,
) -> Result<Vec<Publisher>> {
    let words = |text: String| text.split(' ').map(str::to_string).collect();
    let rust = Publisher {
        name: "mqtt-publisher",
        path: rust,
        arguments: words(format!("--broker {url} --interval 0 --count {count}")),
        qos: "--qos",
        input: None,
    };
    let mut publishers = vec![rust];
    match c {
        Some(path) => publishers.push(Publisher {
            name: "Paho C library",
            path,
            arguments: words(format!("{url} {TOPIC} {count}")),
            qos: "",
            input: None,
        }),
        None => println!("No C compiler: the Paho C library is not measured alone."),
    }
    let port = url.rsplit(':').next().context("no port")?;
    let lines = folder.join("temperatures");
    fs::write(&lines, "22.51\n".repeat(count as usize))?;
    let mosquitto = Publisher {
        name: "mosquitto_pub",
        path: "mosquitto_pub".into(),
        arguments: words(format!("-p {port} -t {TOPIC} -l")),
        qos: "-q",
        input: Some(lines),
    };
    match Command::new(&mosquitto.path).arg("--help").output() {
        Err(error) if error.kind() == NotFound => {
            println!("No mosquitto_pub here: it is not measured.");
        }
        _ => publishers.push(mosquitto),
    }
    Ok(publishers)
}

/// Links the C program to the library that mqtt-publisher was built with.
fn c_publisher(folder: &Path) -> Result<Option<PathBuf>> {
    let built = programs::target()?.join("release/build");
    let out = fs::read_dir(&built)?
        .map_while(Result::ok)
        .map(|entry| entry.path().join("out"))
        .find(|out| out.join("include/MQTTAsync.h").exists())
        .with_context(|| format!("no Paho C library in {}", built.display()))?;
    let libraries =
        ["lib", "lib64"].map(|lib| out.join(lib).join("libpaho-mqtt3a.a"));
    let library = libraries.iter().find(|path| path.exists());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("paho-publisher.c");
    let program = folder.join("paho-publisher");
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-o"]).arg(&program).arg(source);
    compiler.arg("-I").arg(out.join("include"));
    compiler.arg(library.context("no libpaho-mqtt3a.a")?).arg("-lpthread");
    match compiler.status() {
        Ok(status) => {
            ensure!(status.success(), "cannot compile paho-publisher.c: {status}");
            Ok(Some(program))
        }
        Err(error) if error.kind() == NotFound => Ok(None),
        Err(error) => Err(error).context("cannot run cc"),
    }
}

/// Runs the program from its start to its end; returns the seconds.
fn measure(publisher: &Publisher, qos: &str) -> Result<f64> {
    let mut command = Command::new(&publisher.path);
    match publisher.qos {
        // Among the others, before the last.
        "" => {
            let (last, first) = publisher.arguments.split_last().context("none")?;
            command.args(first).args([qos, last]);
        }
        option => drop(command.args(&publisher.arguments).args([option, qos])),
    }
    let input = publisher.input.as_ref().map(File::open).transpose()?;
    command.stdin(input.map_or(Stdio::null(), Stdio::from)).stdout(Stdio::null());
    let begin = Instant::now();
    let status = command.status().context("cannot start it")?;
    ensure!(status.success(), "it failed: {status}");
    Ok(begin.elapsed().as_secs_f64())
}

fn report(qos: &str, publishers: &[Publisher], rates: &[Vec<f64>]) {
    println!("QoS {qos}: messages a second, median (least .. most)");
    let ours = rates.first().map_or(&[][..], Vec::as_slice);
    for (publisher, rates) in publishers.iter().zip(rates) {
        let (middle, range) = (median(rates), spread(rates));
        let (Some(middle), Some((least, most))) = (middle, range) else { return };
        let ratio = median(&ratios(ours, rates)).unwrap_or_default();
        let name = publisher.name;
        print!("  {name:<16}{middle:>8.0} ({least:.0} .. {most:.0})");
        println!("   mqtt-publisher by it: {ratio:.2}");
    }
}
