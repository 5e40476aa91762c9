//! `lab classroom`: the chat of `ws-chat` for the phones and laptops of a classroom. The
//! only command that opens more than loopback, so it says so and asks first.

use std::collections::BTreeSet;
use std::io::{IsTerminal, stdin, stdout};
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use qrcode::{QrCode, render::unicode::Dense1x2};

use crate::audience::{self, Key};
use crate::program::{self, Event, Program};
use crate::screen::{Line, Screen, What};
use crate::{terminal, warm};

const TICK: Duration = Duration::from_millis(50);
/// So many clients `ws-server` takes.
const FULL: usize = 1000;
const NO_NETWORK: &str = "this machine has no address but its own 127.0.0.1, so no \
    phone can reach it: join the Wi-Fi of the room, or the hotspot of a phone, and try \
    again";

#[derive(clap::Args)]
pub struct Arguments {
    /// The address of this machine to listen on; by default the only one it has, or the
    /// one that you choose
    #[arg(long, value_name = "ADDR")]
    address: Option<IpAddr>,
    /// The port to listen on
    #[arg(long, default_value_t = 8765)]
    port: u16,
    /// Opens the chat without asking; needed where there is no terminal to ask at
    #[arg(long)]
    yes: bool,
}

/// Lets the network into the chat until Ctrl-C, and shows who comes and goes.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut screen = Screen::new();
    let can_ask = stdin().is_terminal() && stdout().is_terminal();
    let ask = |screen: &mut Screen, prompt: &str| {
        screen.plain(prompt);
        let mut line = String::new();
        ensure!(can_ask && stdin().read_line(&mut line)? > 0, "nobody has answered");
        Ok(line.trim().to_string())
    };
    let address = match arguments.address {
        Some(address) => address,
        None => {
            let all =
                if_addrs::get_if_addrs().context("cannot find the addresses")?;
            let all = all.into_iter().map(|it| (it.ip(), it.name)).collect();
            choose(&reachable(all), can_ask, |prompt| ask(&mut screen, prompt))?
        }
    };
    ensure!(
        !address.is_unspecified(),
        "phones cannot connect to {address}: name one"
    );
    if !address.is_loopback() {
        screen.plain(&format!(
            "Everybody in the network of {address} will reach the chat, on port {} of \
             this machine, and nothing else here, until you press Ctrl-C. Nothing is \
             encrypted and there are no passwords: anybody in that network can read \
             along, and write under any name.",
            arguments.port
        ));
        ensure!(
            arguments.yes || can_ask,
            "opening the chat needs your consent: at a terminal, or by --yes"
        );
        if !arguments.yes {
            ask(&mut screen, "Enter: open the chat | Ctrl-C: do not")?;
        }
    }
    screen.status("Building ws-chat");
    if let Some(errors) = warm::build_one("-p ws-chat")? {
        bail!("ws-chat cannot be built:\n{}", errors.join("\n"));
    }
    let (sender, signals) = mpsc::channel();
    terminal::on_signal(move |_| sender.send(()).unwrap_or_default())?;
    let keys = if can_ask { audience::keys()? } else { mpsc::channel().1 };
    let ended = Room::open(&mut screen, (address, arguments.port).into())
        .and_then(|room| room.watch(&signals, &keys));
    terminal::give_back();
    ended
}

/// Where others may reach this machine: its addresses of IPv4, or where it has none of
/// IPv6. A link-local one works only for neighbours that know its interface.
fn reachable(all: Vec<(IpAddr, String)>) -> Vec<(IpAddr, String)> {
    let is_far = |(ip, _): &(IpAddr, String)| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    let far = all.into_iter().filter(is_far);
    let (old, new): (Vec<_>, _) = far.partition(|(ip, _)| ip.is_ipv4());
    if old.is_empty() { new } else { old }
}

/// Only the lecturer knows which of several networks the students are in.
fn choose(
    all: &[(IpAddr, String)],
    can_ask: bool,
    mut ask: impl FnMut(&str) -> Result<String>,
) -> Result<IpAddr> {
    let lines = (1..).zip(all).map(|(n, (ip, name))| format!("{n}: {ip} ({name})"));
    let list = lines.collect::<Vec<_>>().join(", ");
    match all {
        [] => bail!(NO_NETWORK),
        [(address, _)] => Ok(*address),
        _ if !can_ask => bail!("several addresses: choose one by --address; {list}"),
        _ => loop {
            let answer = ask(&format!("Which network are the students in? {list}"))?;
            let number: usize = answer.parse().unwrap_or(0);
            if let Some((address, _)) = all.get(number.wrapping_sub(1)) {
                return Ok(*address);
            }
        },
    }
}

/// The running chat.
struct Room<'a> {
    screen: &'a mut Screen,
    server: Program,
    events: Receiver<Event>,
    began: Instant,
    url: String,
    here: usize,
    most: usize,
    /// Phones lose their connection and come again, so hosts are counted.
    hosts: BTreeSet<IpAddr>,
}

impl Room<'_> {
    fn open(screen: &mut Screen, address: SocketAddr) -> Result<Room<'_>> {
        let (sender, events) = mpsc::sync_channel(1000);
        let command = format!("cargo run -q -p ws-chat -- {address}");
        let server = Program::start("chat", &command, false, 0, sender)?;
        let (url, hosts) = (String::new(), BTreeSet::new());
        let began = Instant::now();
        Ok(Room { screen, server, events, began, url, here: 0, most: 0, hosts })
    }

    fn watch(mut self, signals: &Receiver<()>, keys: &Receiver<Key>) -> Result<()> {
        while signals.try_recv().is_err() {
            match keys.try_recv() {
                Ok(Key::Quit) => break,
                Ok(_) => self.show_address(),
                Err(_) => {}
            }
            self.handle_next();
            ensure!(!self.server.has_ended(), "{}", self.last_words());
            if !self.url.is_empty() {
                self.screen.status(&format!(
                    "{} | {} here | Enter: the code again | Ctrl-C: end",
                    self.url, self.here
                ));
            }
        }
        let (took_part, most) = (self.hosts.len(), self.most);
        self.server.interrupt();
        let end = Instant::now() + program::ENDING;
        while !self.server.has_ended() && Instant::now() < end {
            self.handle_next();
        }
        self.server.wait(program::REST)?;
        self.screen.plain(&format!(
            "The chat has ended. {took_part} took part, at most {most} at once."
        ));
        Ok(())
    }

    fn last_words(&self) -> String {
        let last: Vec<&str> = self.server.last.iter().map(String::as_str).collect();
        format!("the chat has ended by itself: {}", last.join("\n"))
    }

    fn handle_next(&mut self) {
        match self.events.recv_timeout(TICK) {
            Ok(Event::Line(_, line)) => self.hear(line),
            Ok(Event::Closed(_)) => self.server.close(),
            _ => {}
        }
    }

    /// What is said stays in the chat; whoever comes or goes, and trouble, is shown.
    fn hear(&mut self, text: String) {
        if let Some(address) = text.strip_prefix("WebSocket server on ws://") {
            self.url = format!("http://{address}");
            return self.show_address();
        }
        if text.starts_with("Received from ") {
            return;
        }
        let came = text.strip_prefix("Client connected: ");
        let host = came.and_then(|peer| peer.parse::<SocketAddr>().ok());
        self.hosts.extend(host.map(|peer| peer.ip()));
        let has_come = came.is_some();
        self.here += usize::from(has_come);
        self.here -= usize::from(text.starts_with("Client disconnected: "));
        self.most = self.most.max(self.here);
        self.server.keep(text.clone());
        let what = What::Printed(0, "chat".to_string());
        self.screen.line(&Line { after: self.began.elapsed(), what, text });
        if has_come && self.here == FULL {
            let text = "nobody else gets in until somebody leaves";
            self.screen.say(&format!("The chat is full with {FULL} clients: "), text);
        }
    }

    fn show_address(&mut self) {
        let Ok(code) = QrCode::new(&self.url) else { return };
        let code = code.render::<Dense1x2>().build();
        let lines: Vec<String> = code.lines().map(str::to_string).collect();
        self.screen.picture(&lines, true);
        self.screen.picture(&large(self.url.trim_start_matches("http://")), false);
        self.screen.say("Open ", &self.url);
    }
}

/// Digits that the last row can read; a dot and a colon after them.
const DIGITS: [&str; 5] = [
    "### ##  ### ### # # ### ### ### ### ###     ",
    "# #  #    #   # # # #   #     # # # # #   # ",
    "# #  #  ### ### ### ### ###   # ### ###     ",
    "# #  #  #     #   #   # # #   # # #   #   # ",
    "### ### ### ###   # ### ###   # ### ### #   ",
];

/// An address in letters of five lines; nothing of one that needs other letters.
fn large(address: &str) -> Vec<String> {
    let places = address.chars().map(|c| match c {
        '.' => Some(40..42),
        ':' => Some(42..44),
        _ => {
            c.to_digit(10).map(|digit| digit as usize * 4).map(|from| from..from + 4)
        }
    });
    let Some(places) = places.collect::<Option<Vec<_>>>() else { return Vec::new() };
    let row = |row: &&str| places.iter().map(|place| &row[place.clone()]).collect();
    let rows = DIGITS.iter().map(|it: &&str| -> String { row(it) });
    rows.map(|row| row.replace('#', "\u{2588}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(all: &[&str]) -> Vec<(IpAddr, String)> {
        let all = all.iter().zip(1..);
        all.map(|(ip, n)| (ip.parse().unwrap(), format!("eth{n}"))).collect()
    }

    /// Chooses with these answers; returns the address and how many were needed.
    fn choose_by(all: &[&str], answers: &[&str]) -> Result<(String, usize)> {
        let mut given = answers.iter();
        let chosen = choose(&reachable(addresses(all)), !answers.is_empty(), |_| {
            Ok(given.next().context("one question too many")?.to_string())
        })?;
        Ok((chosen.to_string(), answers.len() - given.len()))
    }

    #[test]
    fn the_only_address_is_taken_and_nobody_is_asked() {
        let all = ["127.0.0.1", "::1", "169.254.7.7", "192.0.2.7", "2001:db8::7"];
        assert_eq!(choose_by(&all, &[]).unwrap(), ("192.0.2.7".to_string(), 0));
        let all = ["127.0.0.1", "::1", "fe80::7", "2001:db8::7"];
        assert_eq!(choose_by(&all, &[]).unwrap(), ("2001:db8::7".to_string(), 0));
    }

    #[test]
    fn among_several_one_is_chosen_by_its_number() {
        let all = ["127.0.0.1", "192.0.2.7", "172.17.0.1"];
        let chosen = choose_by(&all, &["", "0", "3", "two", "2", "1"]).unwrap();
        assert_eq!(chosen, ("172.17.0.1".to_string(), 5));
        let error = choose_by(&all, &[]).unwrap_err().to_string();
        let list = "1: 192.0.2.7 (eth2), 2: 172.17.0.1 (eth3)";
        assert!(error.contains("--address") && error.ends_with(list), "{error}");
    }

    #[test]
    fn without_a_network_it_says_what_to_do() {
        let error = choose_by(&["127.0.0.1", "::1", "fe80::7"], &["1"]).unwrap_err();
        assert_eq!(error.to_string(), NO_NETWORK);
    }

    #[test]
    fn an_address_of_digits_is_drawn_large() {
        let rows = large("41.7:2").join("\n").replace('\u{2588}', "#");
        let drawn = "# # ##    ###   ### \n# #  #      # #   # \n###  #      #   ### \n\
                     \x20 #  #      # # #   \n  # ### #   #   ### ";
        assert_eq!(rows, drawn);
        assert!(large("[2001:db8::7]:80").is_empty());
    }
}
