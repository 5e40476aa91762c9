//! One page with everything: charts, tables, and what holds in a fault.

use pulldown_cmark::{Options, Parser, html::push_html};

use crate::chart::{Chart, THEME};
use crate::report::Report;
use crate::rows::TRANSPORTS;
use crate::table::{self, Lines, markdown};

const CLAIMS: &str = include_str!("../../claims/claims.md");
/// The style of the page; the colours come from the deck's theme.
const STYLE: &str = "
body { max-width: 1184px; margin: 32px auto; padding: 0 24px; background: #fff;
  color: var(--ink); font: 18px/1.4 'Source Sans 3', 'Segoe UI', sans-serif; }
h1, h2 { border-left: 8px solid var(--accent); padding-left: 14px; line-height: 1.15; }
table { border-collapse: collapse; width: 100%; margin: 16px 0 40px; }
th, td { padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); text-align: left; }
th { border-bottom: 3px solid var(--accent); }
p, figcaption { color: var(--muted); }
svg { width: 100%; height: auto; }
";

pub fn html(report: &Report, charts: &[Chart]) -> String {
    let root = THEME.split_once(":root {").and_then(|(_, rest)| rest.split_once('}'));
    let (root, _) = root.unwrap_or_default();
    let mut text = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <title>The scoreboard</title><style>:root {{{root}}}{STYLE}</style>\n"
    );
    let faults = format!("\n## What survives a fault\n\n{}", markdown(&faults()));
    let tables = table::text(report) + &faults;
    let (head, tables) = tables.split_at(tables.find("\n## ").unwrap_or_default());
    push_html(&mut text, Parser::new(head));
    for Chart { svg, says, .. } in charts {
        let says = says.replace('&', "&amp;").replace('<', "&lt;");
        text += &format!("<figure>{svg}<figcaption>{says}</figcaption></figure>\n");
    }
    push_html(&mut text, Parser::new_ext(tables, Options::ENABLE_TABLES));
    text + "</html>\n"
}

/// What survives a fault: what claims.md says, and the tests that judge it.
pub fn faults() -> Lines {
    let titles = ["", "what holds when something fails", "judged by"];
    let mut lines = vec![titles.map(String::from).to_vec()];
    for transport in TRANSPORTS.iter() {
        for claim in &transport.faults {
            let start = format!("| {claim} | ");
            let found = CLAIMS.lines().find_map(|line| line.strip_prefix(&start));
            let cells: Vec<&str> = found.unwrap_or_default().split(" | ").collect();
            let [says, _, should_say, tests] = cells[..] else { continue };
            let holds = if should_say.trim().is_empty() { says } else { should_say };
            let tests = tests.trim_end_matches([' ', '|']).to_string();
            lines.push(vec![transport.name.clone(), holds.trim().into(), tests]);
        }
    }
    lines
}
