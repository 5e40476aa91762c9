//! `lab brokers`: private brokers for a person at a terminal, or for a command.

use std::io::{IsTerminal, stdin};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use brokers::{Broker, Kind, Process, Signal, signal_of};

use crate::terminal::on_signal;

const KINDS: [Kind; 2] = [Kind::Mosquitto, Kind::RabbitMq];
/// How often the brokers and the command are asked whether they still run.
const LOOK: Duration = Duration::from_millis(50);
/// How long a command may take to end when its broker has died.
const ENDING: Duration = Duration::from_secs(1);

/// Serves brokers to a command on any free ports and returns its exit status; without
/// a command on the standard ports, until Ctrl-C.
pub fn serve(command: &[String]) -> Result<u8> {
    let (sender, signals) = mpsc::channel();
    on_signal(move |signal| {
        let _ = sender.send(signal);
    })?;
    match command.split_first() {
        None => serve_the_terminal(&signals).map(|()| 0),
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments);
            serve_a_command(command, program, &signals)
        }
    }
}

fn serve_the_terminal(signals: &Receiver<Signal>) -> Result<()> {
    let is_free = |kind: &&Kind| {
        let port = kind.standard_port();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if !free {
            let name = kind.name();
            println!("Port {port} is taken: use the broker there in {name}'s place");
        }
        free
    };
    let missing: Vec<Kind> = KINDS.iter().filter(is_free).copied().collect();
    ensure!(!missing.is_empty(), "nothing to start: both ports are taken");
    let start = |kind: Kind| Broker::start_on(kind, kind.standard_port());
    let Some(mut brokers) = start_all(&missing, start, signals)? else {
        return Ok(());
    };
    for broker in &brokers {
        println!("{}={}", broker.kind().variable(), broker.url());
    }
    println!(
        "Where the examples look by default. Ctrl-C ends what was started here."
    );
    while let Err(RecvTimeoutError::Timeout) = signals.recv_timeout(LOOK) {
        check(&mut brokers)?;
    }
    Ok(())
}

/// A broker that the environment names already is used as it is.
fn serve_a_command(
    mut command: Command,
    program: &str,
    signals: &Receiver<Signal>,
) -> Result<u8> {
    let missing = KINDS.iter().filter(|kind| env::var_os(kind.variable()).is_none());
    let missing: Vec<Kind> = missing.copied().collect();
    let Some(mut brokers) = start_all(&missing, Broker::start, signals)? else {
        return Ok(130);
    };
    for broker in &brokers {
        eprintln!("{}={}", broker.kind().variable(), broker.url());
        command.env(broker.kind().variable(), broker.url());
    }
    let child = match stdin().is_terminal() {
        true => Process::start_at_the_terminal(&mut command),
        false => Process::start(&mut command),
    };
    let mut child = child.with_context(|| format!("cannot start {program}"))?;
    let status = wait(&mut child, &mut brokers, signals)?;
    // What a shell says of a command that a signal ended.
    let by_signal = signal_of(status).map(|signal| 128 + signal.as_raw());
    Ok(status.code().or(by_signal).and_then(|code| code.try_into().ok()).unwrap_or(1))
}

/// Passes signals on. Ctrl-C at a terminal reaches the command anyway. A command whose
/// broker has died could only fail, slowly.
fn wait(
    child: &mut Process,
    brokers: &mut [Broker],
    signals: &Receiver<Signal>,
) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if let Err(error) = check(brokers) {
            child.signal(Signal::TERM);
            child.wait(ENDING)?;
            return Err(error);
        }
        if let Ok(signal) = signals.recv_timeout(LOOK)
            && !(signal == Signal::INT && stdin().is_terminal())
        {
            child.signal(signal);
        }
    }
}

/// Fails when a broker has ended by itself.
fn check(brokers: &mut [Broker]) -> Result<()> {
    for broker in brokers {
        if let Some(log) = broker.failure() {
            bail!("{} has ended; the end of its log:\n{log}", broker.kind().name());
        }
    }
    Ok(())
}

/// Starts brokers side by side, and says how it goes; None when a signal came first.
fn start_all(
    kinds: &[Kind],
    start: impl Fn(Kind) -> Result<Broker> + Copy + Send + 'static,
    signals: &Receiver<Signal>,
) -> Result<Option<Vec<Broker>>> {
    let begin = Instant::now();
    let (sender, started) = mpsc::channel();
    for &kind in kinds {
        eprintln!("Starting {}", kind.name());
        let sender = sender.clone();
        thread::spawn(move || drop(sender.send(start(kind))));
    }
    let mut brokers = Vec::new();
    let mut told = 0;
    while brokers.len() < kinds.len() {
        if let Ok(broker) = started.recv_timeout(LOOK) {
            let broker: Broker = broker?;
            let (name, after) = (broker.kind().name(), begin.elapsed().as_secs_f64());
            eprintln!("{name} is ready after {after:.1} s");
            brokers.push(broker);
        }
        if signals.try_recv().is_ok() {
            return Ok(None);
        }
        if begin.elapsed().as_secs() >= told + 2 {
            told = begin.elapsed().as_secs();
            eprintln!("still starting, {told} s");
        }
    }
    Ok(Some(brokers))
}
