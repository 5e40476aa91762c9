//! A scene as an SVG that moves by itself, without a script: a terminal that scrolls. Where
//! nothing moves it shows the end.

use std::fmt::Write;
use std::time::Instant;

use anstream::adapter::strip_str;

/// How many columns the text is wrapped to, and how many lines are seen at once.
pub const COLUMNS: usize = 86;
const ROWS: usize = 22;
/// The height of a line, and where the text begins.
const LINE: usize = 20;
const LEFT: usize = 22;
const TOP: usize = 54;
/// What was written within so many seconds appears at once.
const AT_ONCE: f64 = 0.005;
/// The seconds in which a letter is read, the longest wait, and the last one.
const LETTER: f64 = 0.016;
const LONGEST: f64 = 1.2;
const LAST: f64 = 6.0;

/// Draws lines that were written at these moments, coloured as for a terminal.
pub fn svg(title: &str, lines: &[(Instant, String)]) -> String {
    let (mut texts, mut scroll, mut cover) =
        (String::new(), String::new(), String::new());
    let moments = moments(lines);
    let end = moments.last().map_or(0.0, |(at, _)| *at) + LAST;
    for (at, count) in &moments {
        let percent = at / end * 100.0;
        let _ = write!(scroll, "{percent:.2}%{{{}}}", up(*count));
        let _ = write!(cover, "{percent:.2}%{{{}}}", down(*count));
    }
    let mut colours = Vec::new();
    for (row, (_, line)) in lines.iter().enumerate() {
        let spans = spans(line, &mut colours);
        let _ = writeln!(texts, "<text y=\"{}\">{spans}</text>", row * LINE + 15);
    }
    let paint = |shade: fn(u8) -> u8| -> String {
        let rule = |n: &u8| {
            let [r, g, b] = rgb(*n).map(shade);
            format!(".c{n}{{fill:#{r:02x}{g:02x}{b:02x}}}")
        };
        colours.iter().map(rule).collect()
    };
    let (light, dark) = (paint(|c| c / 10 * 8), paint(|c| c + (255 - c) / 5 * 2));
    let (last_up, last_down) = (up(lines.len()), down(lines.len()));
    let (height, room) = (TOP + ROWS * LINE + 16, ROWS * LINE);
    let title = escape(title);
    let middle = height - 1;
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="830" height="{height}" viewBox="0 0 830 {height}" role="img">
<title>{title}</title>
<style>
text{{font:15px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#1c2733;white-space:pre}}
.b,.title{{font-weight:700}}
.back,#cover{{fill:#fff}}.frame{{fill:none;stroke:#b6bec7}}
{light}
@media(prefers-color-scheme:dark){{
text{{fill:#e6e9ed}}.back,#cover{{fill:#14191f}}.frame{{stroke:#4b5560}}
{dark}
}}
#lines{{{last_up};animation:scroll {end:.1}s step-end infinite}}
#cover{{{last_down};animation:cover {end:.1}s step-end infinite}}
@media(prefers-reduced-motion:reduce){{#lines,#cover{{animation:none}}}}
@keyframes scroll{{{scroll}100%{{{last_up}}}}}
@keyframes cover{{{cover}100%{{{last_down}}}}}
</style>
<rect class="back" width="830" height="{height}" rx="8"/>
<text class="title" x="{LEFT}" y="30">{title}</text>
<path class="frame" d="M0 44H830"/>
<svg x="{LEFT}" y="{TOP}" width="806" height="{room}">
<g id="lines" xml:space="preserve">
{texts}<rect id="cover" width="806" height="{}"/>
</g>
</svg>
<rect class="frame" x=".5" y=".5" width="829" height="{middle}" rx="8"/>
</svg>
"##,
        (lines.len() + ROWS) * LINE
    )
}

fn up(count: usize) -> String {
    format!("transform:translateY(-{}px)", count.saturating_sub(ROWS) * LINE)
}

fn down(count: usize) -> String {
    format!("transform:translateY({}px)", count * LINE)
}

/// When so many lines are seen. A wait of the run is cut short, but there is time to read
/// what came before it.
fn moments(lines: &[(Instant, String)]) -> Vec<(f64, usize)> {
    let (mut at, mut letters, mut moments) = (0.0, 0, Vec::new());
    for (row, (when, line)) in lines.iter().enumerate() {
        let next = lines.get(row + 1).map_or(f64::MAX, |(next, _)| {
            next.saturating_duration_since(*when).as_secs_f64()
        });
        letters += strip_str(line).to_string().chars().count();
        if next >= AT_ONCE {
            moments.push((at, row + 1));
            at += next.min(LONGEST).max(letters as f64 * LETTER);
            letters = 0;
        }
    }
    moments
}

/// A line for a terminal as spans of SVG. Only our own colours are in it.
fn spans(line: &str, colours: &mut Vec<u8>) -> String {
    let (mut spans, mut class) = (String::new(), String::new());
    for part in format!("m{line}").split("\u{1b}[") {
        let (code, text) = part.split_once('m').unwrap_or(("", part));
        match code.strip_prefix("38;5;") {
            Some(number) => {
                let _ = write!(class, " c{number}");
                let number = number.parse().unwrap_or_default();
                if !colours.contains(&number) {
                    colours.push(number);
                }
            }
            None if code == "1" => class += "b",
            None => class.clear(),
        }
        let text = escape(text);
        match (text.is_empty(), class.trim()) {
            (true, _) => {}
            (false, "") => spans += &text,
            (false, class) => {
                let _ = write!(spans, "<tspan class=\"{class}\">{text}</tspan>");
            }
        }
    }
    spans
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A colour of the cube of 6 x 6 x 6 that terminals have from number 16 on.
fn rgb(number: u8) -> [u8; 3] {
    let index = usize::from(number.saturating_sub(16));
    [index / 36 % 6, index / 6 % 6, index % 6]
        .map(|step| [0, 95, 135, 175, 215, 255][step])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wait_is_cut_short_and_there_is_time_to_read() {
        let begin = Instant::now();
        let lines = [(0, "a"), (1, "b"), (60_000, "c"), (60_100, "word ")];
        let lines = lines
            .map(|(ms, text)| (begin + Duration::from_millis(ms), text.repeat(50)));
        let moments: Vec<_> =
            moments(&lines).iter().map(|(at, n)| (format!("{at:.1}"), *n)).collect();
        // A hundred letters take 1.6 s to read, and fifty 0.8 s.
        let expected = [("0.0", 2), ("1.6", 3), ("2.4", 4)];
        assert_eq!(moments, expected.map(|(at, n)| (at.to_string(), n)));
    }

    #[test]
    fn colours_are_classes_and_signs_of_xml_are_text() {
        let mut colours = Vec::new();
        let line = "1 \u{1b}[1m\u{1b}[38;5;160mKilled\u{1b}[0m <&>";
        let drawn = "1 <tspan class=\"b c160\">Killed</tspan> &lt;&amp;&gt;";
        assert_eq!(
            (spans(line, &mut colours).as_str(), &colours[..]),
            (drawn, &[160][..])
        );
        assert_eq!(rgb(160), [215, 0, 0]);
    }
}
