//! One page with everything: charts, tables, and what survives a fault.

use anyhow::Result;

use crate::chart::{Chart, THEME};
use crate::report::Report;
use crate::rows::TRANSPORTS;
use crate::table::{self, Table};

const CLAIMS: &str = include_str!("../../claims/claims.md");
/// What the page needs besides the colours of the deck's theme.
const STYLE: &str = "
body { max-width: 1184px; margin: 32px auto; padding: 0 24px; background: #fff;
  color: var(--ink); font: 18px/1.4 'Source Sans 3', 'Segoe UI', sans-serif; }
h1, h2 { border-left: 8px solid var(--accent); padding-left: 14px; line-height: 1.15; }
table { border-collapse: collapse; width: 100%; margin: 16px 0 40px; }
th, td { padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); text-align: right; }
th { border-bottom: 3px solid var(--accent); }
th:first-child, td:first-child, .words td, .words th { text-align: left; }
p, caption { color: var(--muted); }
svg { width: 100%; height: auto; }
";

pub fn html(report: &Report, charts: &[Chart]) -> Result<String> {
    let root = THEME.split_once(":root {").and_then(|(_, rest)| rest.split_once('}'));
    let (root, _) = root.unwrap_or_default();
    let charts = charts.iter().map(|Chart { svg, says, .. }| {
        format!(
            "<figure role=\"img\" aria-label=\"{0}\">{svg}</figure><p>{0}</p>",
            escape(says)
        )
    });
    let tables = table::all(report).into_iter().chain([faults()]);
    Ok(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <title>The scoreboard</title><style>:root {{{root}}}{STYLE}</style>\n\
         <h1>The scoreboard</h1><p>{}</p>\n{}\n{}\n</html>\n",
        escape(&table::head(report)).replace('\n', "<br>"),
        charts.collect::<Vec<_>>().join("\n"),
        tables.map(|table| self::table(&table)).collect::<Vec<_>>().join("\n"),
    ))
}

fn table(Table { title, lines }: &Table) -> String {
    let line = |cells: &[String], tag: &str| {
        let cells =
            cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let body: String = lines[1..].iter().map(|cells| line(cells, "td")).collect();
    let class = if lines[0].len() <= 3 { " class=\"words\"" } else { "" };
    let title = escape(title);
    format!(
        "<h2>{title}</h2>\n<table{class}>\n{}{body}</table>",
        line(&lines[0], "th")
    )
}

/// What survives a fault: what claims.md says, and the tests that judge it.
pub fn faults() -> Table {
    let mut lines = vec![
        ["", "what holds when something fails", "judged by"]
            .map(String::from)
            .to_vec(),
    ];
    for transport in TRANSPORTS.iter() {
        for claim in &transport.faults {
            let start = format!("| {claim} | ");
            let found = CLAIMS.lines().find_map(|line| line.strip_prefix(&start));
            let cells: Vec<&str> = found.unwrap_or_default().split(" | ").collect();
            let [says, _, should_say, tests] = cells[..] else { continue };
            let holds = if should_say.trim().is_empty() { says } else { should_say };
            let tests = tests.trim_end_matches([' ', '|']).replace('`', "");
            lines.push(vec![transport.name.clone(), holds.trim().into(), tests]);
        }
    }
    Table { title: "What survives a fault", lines }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart;
    use crate::table::tests::full;

    #[test]
    fn the_page_has_charts_tables_and_the_colours_of_the_deck() {
        let report = full();
        let page = html(&report, &chart::draw(&report).unwrap()).unwrap();
        for part in
            ["<svg", "Messages per second</h2>", "--accent: #", "no C compiler"]
        {
            assert!(page.contains(part), "no {part}");
        }
        assert!(
            !page.contains("http://") || page.contains("xmlns"),
            "it asks nobody"
        );
    }

    #[test]
    fn every_fault_is_a_claim_with_a_test() {
        let lines = faults().lines;
        let claims: usize = TRANSPORTS.iter().map(|it| it.faults.len()).sum();
        assert_eq!(lines.len(), 1 + claims);
        assert!(
            lines.iter().all(|line| line.iter().skip(1).all(|cell| cell.len() > 8))
        );
    }
}
