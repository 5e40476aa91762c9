//! Measures `rest-server` beside the same routes in axum, and the slide's FastAPI.
//!
//! Needs python3 with venv, and the internet once: FastAPI is installed by pip into a
//! private environment below the target folder. Run it in a release build:
//! `cargo run --release -p scoreboard --bin rest-bench`.

mod axum_items;
mod load;

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{self, Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};
use socket2::{Domain, Socket, Type};

use lab::python;
use load::Load;
use scoreboard::processor::{Processors, cpu_seconds, pin, two_processors};
use scoreboard::programs;
use scoreboard::stats::{median, ratios, spread};

const CONNECTIONS: usize = 50;
const START_TIMEOUT: Duration = Duration::from_secs(20);
const WARM_UP: Duration = Duration::from_millis(500);

/// Measures the REST server beside axum and FastAPI on this machine.
///
/// Builds and installs them first. Server and load run on a processor each. Takes
/// about a minute after that. Exit status 1 when something could not be measured.
#[derive(Parser)]
struct Arguments {
    /// How often each is measured, in turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds to count answers in each round
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// Is the server in axum that is measured
    #[command(hide = true)]
    Axum {
        address: SocketAddr,
        #[arg(long)]
        story: bool,
    },
}

/// A server to measure; `{address}` and `{port}` in its command are filled in.
struct Contestant {
    name: &'static str,
    command: Vec<String>,
    rate: Vec<f64>,
    /// Microseconds of processor time a request: what else the machine does shows less.
    cpu: Vec<f64>,
    busy: Vec<f64>,
    load_busy: Vec<f64>,
}

fn main() -> Result<()> {
    let Arguments { rounds, seconds, role } = Arguments::parse();
    if let Some(Role::Axum { address, story }) = role {
        return axum_items::serve(address, story);
    }
    let folder = programs::target()?.join("rest-bench");
    let mut contestants = contestants(&folder)?;
    let processors = two_processors()?;
    if let Some(two) = processors {
        pin(process::id(), two.load)?;
    }
    for round in 0..rounds {
        eprintln!("Round {} of {rounds}", round + 1);
        for turn in 0..contestants.len() {
            // Each round begins with another one.
            let which = (turn + round) % contestants.len();
            let contestant = &mut contestants[which];
            measure(contestant, &folder, Duration::from_secs(seconds), processors)
                .with_context(|| format!("cannot measure {}", contestant.name))?;
        }
    }
    print(&contestants, rounds, seconds, processors);
    Ok(())
}

fn contestants(folder: &Path) -> Result<Vec<Contestant>> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("main.py"), include_str!("main.py"))?;
    let server = programs::example("rest-items", "rest-server")?;
    let (server, here) = (server.display(), env::current_exe()?);
    let here = here.display();
    // What the slide says.
    let python = python::environment(folder, &["fastapi", "uvicorn[standard]"])?;
    let uvicorn = format!(
        "{} -m uvicorn main:app --app-dir {} --port {{port}}",
        python.display(),
        folder.display()
    );
    let list = [
        ("axum, silent", format!("{here} axum {{address}}")),
        ("axum, the same story", format!("{here} axum {{address}} --story")),
        ("rest-server", format!("{server} {{address}}")),
        ("FastAPI, uvicorn", uvicorn.clone()),
        ("FastAPI, silent", format!("{uvicorn} --no-access-log")),
    ];
    let contestant = |(name, command): (_, String)| Contestant {
        name,
        command: command.split(' ').map(String::from).collect(),
        rate: Vec::new(),
        cpu: Vec::new(),
        busy: Vec::new(),
        load_busy: Vec::new(),
    };
    Ok(list.into_iter().map(contestant).collect())
}

fn measure(
    contestant: &mut Contestant,
    folder: &Path,
    window: Duration,
    processors: Option<Processors>,
) -> Result<()> {
    let server = Server::start(contestant, folder, processors)?;
    let mut load = Load::connect(server.address, CONNECTIONS)?;
    load.run(WARM_UP)?;
    let cpu = || {
        Ok::<_, anyhow::Error>([
            cpu_seconds(server.child.id())?,
            cpu_seconds(process::id())?,
        ])
    };
    let (start, before) = (Instant::now(), cpu()?);
    let answers = load.run(window)?;
    let (elapsed, after) = (start.elapsed().as_secs_f64(), cpu()?);
    contestant.rate.push(answers as f64 / elapsed);
    contestant.cpu.push((after[0] - before[0]) / answers as f64 * 1e6);
    contestant.busy.push((after[0] - before[0]) / elapsed * 100.0);
    contestant.load_busy.push((after[1] - before[1]) / elapsed * 100.0);
    Ok(())
}

struct Server {
    child: Child,
    address: SocketAddr,
    /// Bound to the server's port too, and never listening: no other program can be
    /// given that port before the server has it.
    _reserved: Socket,
}

/// Ends the server, however its measurement went.
impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts it with its story in a file, and waits until it accepts a connection.
    fn start(
        contestant: &Contestant,
        folder: &Path,
        processors: Option<Processors>,
    ) -> Result<Server> {
        let reserved = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        reserved.set_reuse_address(true)?;
        reserved.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let address = reserved.local_addr()?.as_socket().context("no address")?;
        let words = contestant.command.iter().map(|word| {
            let word = word.replace("{address}", &address.to_string());
            word.replace("{port}", &address.port().to_string())
        });
        let words: Vec<String> = words.collect();
        let mut command = Command::new(&words[0]);
        let story = File::create(folder.join("story"))?;
        command.args(&words[1..]).stdin(Stdio::null());
        let child = command.stderr(story.try_clone()?).stdout(story).spawn()?;
        let mut server = Server { child, address, _reserved: reserved };
        if let Some(two) = processors {
            pin(server.child.id(), two.server)?;
        }
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("it ended at once: {status}; see {}", folder.display());
            }
            ensure!(Instant::now() < deadline, "it does not listen");
            sleep(Duration::from_millis(10));
        }
        Ok(server)
    }
}

fn print(
    contestants: &[Contestant],
    rounds: usize,
    seconds: u64,
    processors: Option<Processors>,
) {
    let place = match processors {
        Some(two) => {
            format!("server on processor {}, load on {}", two.server, two.load)
        }
        None => "server and load share the only processor".to_string(),
    };
    println!(
        "GET /items/1, {CONNECTIONS} connections, {rounds} rounds of {seconds} s"
    );
    println!("{place}; what the servers print goes to a file\n");
    println!(
        "{:<21}{:>11}{:>18}{:>8}{:>7}{:>7}  rest-server is",
        "", "requests/s", "min .. max", "CPU us", "busy %", "load %"
    );
    let ours = contestants.iter().find(|contestant| contestant.name == "rest-server");
    for contestant in contestants {
        let Contestant { name, rate, cpu, busy, load_busy, .. } = contestant;
        let middle = |values: &[f64]| median(values).unwrap_or_default();
        let (least, most) = spread(rate).unwrap_or_default();
        let ratios = ours.map(|ours| ratios(&ours.rate, rate)).unwrap_or_default();
        let (least_ratio, most_ratio) = spread(&ratios).unwrap_or_default();
        let range = format!("{least:.0} .. {most:.0}");
        print!("{name:<21}{:>11.0}{range:>18}{:>8.2}", middle(rate), middle(cpu));
        print!("{:>7.0}{:>7.0}", middle(busy), middle(load_busy));
        let (ratio, span) =
            (middle(&ratios), format!("{least_ratio:.2} .. {most_ratio:.2}"));
        println!("  {ratio:.2} times as fast ({span})");
    }
}
