//! How fast a busy server is: some connections, one message under way on each.

use std::process;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::Plan;
use crate::load::{Load, Then};
use crate::table::{Group, Row};
use scoreboard::processor::cpu_seconds;
use scoreboard::server::{Program, Server};
use scoreboard::stats::percentile;

const CONNECTIONS: usize = 100;
const MESSAGE: usize = 64;
const PATIENCE: Duration = Duration::from_secs(10);
/// What a server does at first, growing its buffers say, is not what is measured.
const WARM_UP: Duration = Duration::from_millis(300);

/// A program, and whom to compare it to: the positions of two others.
pub struct Contestant {
    pub program: Program,
    pub bases: [Option<usize>; 2],
}

impl Contestant {
    pub fn new(program: Program, bases: [Option<usize>; 2]) -> Contestant {
        Contestant { program, bases }
    }
}

#[derive(Default, Clone)]
struct Figures {
    echoes: Vec<f64>,
    cpu: Vec<f64>,
    busy: Vec<f64>,
    load_busy: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

/// Measures all contestants in each round: what else the machine does in a round
/// slows them all, and a ratio within the round is still fair.
pub fn measure(contestants: &[Contestant], plan: &Plan) -> Result<Vec<Group>> {
    let mut figures = vec![Figures::default(); contestants.len()];
    for round in 0..plan.rounds {
        eprintln!("Echoes, round {} of {}", round + 1, plan.rounds);
        for turn in 0..contestants.len() {
            // Each round begins with another contestant, so that none is always next
            // to the same neighbour.
            let which = (turn + round) % contestants.len();
            let program = &contestants[which].program;
            once(program, plan, &mut figures[which])
                .with_context(|| format!("no echoes from {}", program.name))?;
        }
    }
    let groups = (0..contestants.len()).map(|i| group(contestants, &figures, i));
    Ok(groups.collect())
}

fn once(program: &Program, plan: &Plan, figures: &mut Figures) -> Result<()> {
    let server = Server::start(program, plan.processors.map(|two| two.server))?;
    let message = vec![b'x'; MESSAGE];
    let mut load = Load::connect(server.address, CONNECTIONS, message, PATIENCE)?;
    load.send_all()?;
    load.run(WARM_UP, Then::SendAgain)?;
    let (start, cpu) = (Instant::now(), server.cpu()?);
    let load_cpu = cpu_seconds(process::id())?;
    let times = load.run(plan.window, Then::SendAgain)?;
    let (elapsed, cpu) = (start.elapsed().as_secs_f64(), server.cpu()? - cpu);
    let load_cpu = cpu_seconds(process::id())? - load_cpu;
    // Before the load leaves, or it would report a hundred lost connections.
    drop(server);
    figures.add(&times, elapsed, cpu, load_cpu)
}

impl Figures {
    fn add(
        &mut self,
        times: &[f64],
        elapsed: f64,
        cpu: f64,
        load_cpu: f64,
    ) -> Result<()> {
        ensure!(!times.is_empty(), "not one in {elapsed:.1} s");
        let echoes = times.len() as f64;
        self.echoes.push(echoes / elapsed);
        self.cpu.push(cpu / echoes * 1e6);
        self.busy.push(cpu / elapsed * 100.0);
        self.load_busy.push(load_cpu / elapsed * 100.0);
        self.p50.extend(percentile(times, 50).map(|seconds| seconds * 1e6));
        self.p99.extend(percentile(times, 99).map(|seconds| seconds * 1e6));
        Ok(())
    }
}

fn group(contestants: &[Contestant], figures: &[Figures], which: usize) -> Group {
    let name = &contestants[which].program.name;
    let title = format!("{name}: {CONNECTIONS} connections, {MESSAGE} bytes");
    let mut rows = rows(&figures[which]);
    for base in contestants[which].bases {
        let base = base.map(|base| self::rows(&figures[base]));
        for (i, row) in rows.iter_mut().enumerate() {
            row.compare(base.as_ref().map(|base| &*base[i].values));
        }
    }
    Group { title, rows }
}

fn rows(figures: &Figures) -> Vec<Row> {
    let Figures { echoes, cpu, busy, load_busy, p50, p99 } = figures.clone();
    vec![
        Row::new("echoes", "1/s", echoes),
        Row::new("server CPU an echo", "µs", cpu),
        Row::new("server busy", "%", busy),
        Row::new("load busy", "%", load_busy),
        Row::new("round trip p50", "µs", p50),
        Row::new("round trip p99", "µs", p99),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_without_echoes_fails() {
        assert!(Figures::default().add(&[], 2.0, 0.1, 0.1).is_err());
    }

    #[test]
    fn a_round_gives_rate_and_cost() {
        let mut figures = Figures::default();
        figures.add(&[0.001, 0.003, 0.002, 0.002], 2.0, 1.0, 2.0).unwrap();
        assert_eq!((figures.echoes[0], figures.cpu[0]), (2.0, 250_000.0));
        assert_eq!((figures.busy[0], figures.p99[0]), (50.0, 3000.0));
    }
}
