//! What idle clients cost: many connections, and then one message on each.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::Plan;
use crate::load::{Load, Then};
use crate::table::{Group, Row};
use scoreboard::server::{Program, Server};

const MESSAGE: usize = 64;
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a server may take to accept who is connected already.
const SETTLE: Duration = Duration::from_secs(3);

#[derive(Default)]
struct Figures {
    connect: Vec<f64>,
    accepted: Vec<f64>,
    before: Vec<f64>,
    idle: Vec<f64>,
    each: Vec<f64>,
    echo: Vec<f64>,
}

pub fn measure(program: &Program, clients: usize, plan: &Plan) -> Result<Group> {
    let mut figures = Figures::default();
    let name = &program.name;
    for round in 0..plan.rounds {
        eprintln!(
            "{clients} idle clients of {name}, round {} of {}",
            round + 1,
            plan.rounds
        );
        once(program, clients, plan, &mut figures)
            .with_context(|| format!("no {clients} clients of {name}"))?;
    }
    let title = format!("{name}: {clients} idle, then an echo each");
    Ok(Group { title, rows: rows(figures) })
}

fn once(
    program: &Program,
    clients: usize,
    plan: &Plan,
    figures: &mut Figures,
) -> Result<()> {
    let server = Server::start(program, plan.processors.map(|two| two.server))?;
    // The connection that found it ready has to be gone.
    sleep(Duration::from_millis(100));
    let (files, before) = (server.open_files()?, server.resident()?);
    let start = Instant::now();
    let message = vec![b'x'; MESSAGE];
    let mut load = Load::connect(server.address, clients, message, PATIENCE)?;
    figures.connect.push(start.elapsed().as_secs_f64());
    let accepted = accepted(&server, files, clients)?;
    let idle = server.resident()?;
    figures.accepted.push(accepted as f64);
    figures.before.push(before);
    figures.idle.push(idle);
    figures.each.push((idle - before) / accepted as f64);
    let start = Instant::now();
    load.send_all()?;
    let echoes = load.run(PATIENCE, Then::Rest)?.len();
    ensure!(echoes == clients, "only {echoes} of {clients} echoes came back");
    figures.echo.push(start.elapsed().as_secs_f64());
    // Before the load leaves, or it would report thousands of lost connections.
    drop(server);
    Ok(())
}

/// Waits until the server has accepted all clients; how many it did. A client can be
/// connected before that: the kernel answers it, and keeps it in the backlog.
fn accepted(server: &Server, files: usize, clients: usize) -> Result<usize> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let accepted = server.open_files()?.saturating_sub(files);
        if accepted >= clients || Instant::now() > deadline {
            ensure!(accepted > 0, "the server accepted no one");
            // What the last of them needs is allocated just after that.
            sleep(Duration::from_millis(100));
            return Ok(accepted);
        }
        sleep(Duration::from_millis(10));
    }
}

fn rows(figures: Figures) -> Vec<Row> {
    vec![
        Row::new("time to connect all", "s", figures.connect),
        Row::new("accepted while idle", "", figures.accepted),
        Row::new("resident before", "KiB", figures.before),
        Row::new("resident with all idle", "KiB", figures.idle),
        Row::new("resident a connection", "KiB", figures.each),
        Row::new("one echo on all", "s", figures.echo),
    ]
}
