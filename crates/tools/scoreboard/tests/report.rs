//! What a run says: figures, tables, charts and page.

use scoreboard::chart::{Chart, TEXT, draw};
use scoreboard::report::{Machine, Part, Report, Row, Side, What};
use scoreboard::table::{compare, markdown, number, text};
use scoreboard::{page, run};
use std::time::Duration;

/// The same figure for all that is measured, but a microsecond of each processor.
fn row(part: Part, transport: &str, side: Side, figures: &[f64]) -> Row {
    let round = |figure: &f64| {
        use What::{ClientKib, CpuUs, LoadCpuUs, P50Us, P99Us, PerSecond, WireBytes};
        let all = [P50Us, P99Us, PerSecond, WireBytes, ClientKib];
        let all = all.into_iter().map(|what| (what, *figure));
        Some(all.chain([(CpuUs, 1.0), (LoadCpuUs, 1.0)]).collect())
    };
    let (transport, program) = (transport.to_string(), format!("{side:?}"));
    let (failed, rounds) = (None, figures.iter().map(round).collect());
    Row { part, transport, side, program, clients: 1, bytes: 64, failed, rounds }
}

fn report(rows: Vec<Row>) -> Report {
    Report { rows, ..Report::default() }
}

/// All parts and sides of one transport, and one that failed.
fn full() -> Report {
    let mut rows = Vec::new();
    for part in [Part::Reading, Part::Clients, Part::Sizes, Part::Idle] {
        rows.push(row(part, "TCP, async", Side::Example, &[1.3e4, 2e4]));
        rows.push(row(part, "TCP, async", Side::Python, &[1e3, 2e3]));
        rows.push(row(part, "TCP, async", Side::Limit, &[1.6e4, 1.8e4]));
    }
    rows[2].failed = Some("no C compiler".into());
    report(rows)
}

#[test]
fn a_ratio_is_a_difference_only_on_one_side_of_1_in_all_rounds() {
    let rates = |rates| row(Part::Reading, "TCP", Side::Example, rates);
    let base = rates(&[100.0, 50.0, 200.0]);
    let ratio = |these| rates(these).ratio(&base, What::PerSecond);
    assert_eq!(ratio(&[150.0, 60.0, 500.0]).median(), Some(1.5));
    assert!(ratio(&[150.0, 60.0, 500.0]).is_difference());
    assert!(ratio(&[90.0, 40.0, 100.0]).is_difference());
    assert!(!ratio(&[150.0, 40.0, 500.0]).is_difference());
    assert!(!ratio(&[]).is_difference());
}

#[test]
fn a_ratio_is_taken_within_a_round_also_when_another_one_failed() {
    let mut base = row(Part::Reading, "TCP", Side::Python, &[100.0, 1.0, 100.0]);
    base.rounds[1] = None;
    let ours = row(Part::Reading, "TCP", Side::Example, &[200.0, 7.0, 400.0]);
    assert_eq!(ours.ratio(&base, What::PerSecond).spread(), Some((2.0, 4.0)));
}

#[test]
fn what_limits_a_row_follows_from_the_processor_time_of_both_sides() {
    let limited_by = |own: f64, broker: f64, load: f64| {
        let mut row = row(Part::Reading, "TCP", Side::Example, &[1e6]);
        let times = [(What::CpuUs, own), (What::BrokerCpuUs, broker)];
        let times = times.into_iter().chain([(What::LoadCpuUs, load)]);
        row.rounds[0].as_mut().unwrap().extend(times);
        row.limited_by().unwrap()
    };
    assert_eq!(limited_by(0.9, 0.0, 0.9), "server");
    assert_eq!(limited_by(0.4, 0.5, 0.4), "server");
    assert_eq!(limited_by(0.5, 0.0, 0.9), "load");
    assert_eq!(limited_by(0.5, 0.0, 0.5), "waiting");
}

#[test]
fn the_file_has_one_row_per_line_and_is_read_back_as_it_was() {
    let mut failed = row(Part::Idle, "UDP", Side::Limit, &[1.0, 2.0]);
    (failed.rounds[0], failed.failed) = (None, Some("no compiler".into()));
    let ours = row(Part::Reading, "TCP", Side::Example, &[3.0]);
    let machine = Machine { cores: 2, ..Machine::default() };
    let report = Report { machine, ..report(vec![ours, failed]) };
    let json = report.json().unwrap();
    assert_eq!(json.lines().count(), 1 + 2);
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

#[test]
fn a_row_shows_three_columns_and_what_limits_it() {
    let text = text(&full());
    let rates = text.lines().find(|line| line.starts_with("| TCP, async")).unwrap();
    let cells: Vec<&str> = rates.split('|').map(str::trim).collect();
    let expected =
        ["16,500", "21 %", "1,500", "17,000", "11.5", "=", "=", "waiting", ""];
    assert_eq!(cells[2..], expected, "{text}");
    assert!(text.contains("no C compiler"), "{text}");
    let alone = report(vec![row(Part::Reading, "UDP, async", Side::Example, &[7.0])]);
    assert!(
        scoreboard::table::text(&alone).contains(" - "),
        "no ratio without a twin"
    );
    assert!(!scoreboard::table::text(&report(Vec::new())).contains('|'));
}

#[test]
fn two_runs_differ_where_no_rounds_overlap() {
    let run =
        |rates: &[f64]| report(vec![row(Part::Reading, "UDP", Side::Example, rates)]);
    let text = compare(&run(&[200.0, 220.0]), &run(&[100.0, 110.0]));
    assert!(text.trim_end().ends_with("105        210    2.00x"), "{text}");
    let text = compare(&run(&[105.0, 220.0]), &run(&[100.0, 110.0]));
    assert!(text.trim_end().ends_with(" ="), "{text}");
}

#[test]
fn a_table_has_its_names_left_and_its_figures_right() {
    let line = |cells: [&str; 4]| cells.map(String::from).to_vec();
    let lines = [line(["", "a", "b", "c"]), line(["TCP", "1", "22", "333"])];
    let expected = "|     |   a |   b |   c |\n| --- | --: | --: | --: |\n\
                    | TCP |   1 |  22 | 333 |\n";
    assert_eq!(markdown(&lines), expected);
}

#[test]
fn a_number_has_three_digits() {
    let values = [0.0, 0.094, 1.0, 12.34, 99.96, 1234.0, 129_900.0, 1e6];
    let texts = ["0", "0.09", "1.00", "12.3", "100", "1,230", "130,000", "1,000,000"];
    assert_eq!(values.map(number), texts);
}

#[test]
fn what_was_not_measured_is_not_drawn() {
    let files = |report: &Report| -> Vec<&str> {
        draw(report).unwrap().into_iter().map(|chart| chart.file).collect()
    };
    assert!(files(&report(Vec::new())).is_empty());
    let rates = vec![row(Part::Reading, "TCP, async", Side::Example, &[5.0, 7.0])];
    assert_eq!(files(&report(rates)), ["rate.svg", "delay.svg"]);
    let mut all = full();
    all.rows.iter_mut().for_each(|row| row.clients = 1000);
    assert_eq!(files(&all).len(), 5);
}

#[test]
fn every_text_is_legible_and_the_marks_have_colours_of_the_theme() {
    for Chart { svg, says, .. } in draw(&full()).unwrap() {
        let is_text = |line: &&str| line.starts_with("<text");
        let texts: Vec<&str> = svg.lines().filter(is_text).collect();
        assert!(texts.len() > 4 && says.len() > 20, "{says}");
        for text in texts {
            assert!(text.contains(&format!("font-size=\"{TEXT}\"")), "{text}");
        }
        assert!(svg.contains("fill=\"#A8380B\""), "no mark of the example");
    }
}

#[test]
fn a_chart_says_its_result() {
    let says = draw(&full()).unwrap().remove(0).says;
    let expected = "The examples in Rust: from 16,500 messages per second (TCP, async) \
                    to 16,500 (TCP, async). In 1 of 1 rows they are ahead of Python.";
    assert_eq!(says, expected);
}

#[test]
fn the_page_has_charts_tables_and_the_colours_of_the_deck() {
    let report = full();
    let page = page::html(&report, &draw(&report).unwrap());
    for part in
        ["<svg", "<h2>Messages per second</h2>", "--accent: #", "no C compiler"]
    {
        assert!(page.contains(part), "no {part}");
    }
    let asks =
        page.matches("http").count() - page.matches("http://www.w3.org/").count();
    assert_eq!(asks, 0, "it asks nobody");
}

#[test]
fn the_time_that_is_left_follows_from_what_is_done() {
    let seconds = Duration::from_secs;
    let progress =
        |done, elapsed| run::progress(done, seconds(elapsed), seconds(840));
    assert_eq!(progress(0.0, 0), "0 %, 14:00 left");
    assert_eq!(progress(0.5, 60), "50 %, 1:00 left");
    assert_eq!(progress(0.01, 60), "1 %, 13:00 left");
}
