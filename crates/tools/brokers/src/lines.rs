//! What a program prints, line by line.

use std::io::{self, BufRead, BufReader, Read};
use std::thread;

/// What is kept of a line that does not end.
const LONGEST_LINE: u64 = 16 << 10;

/// Reads both streams to their ends, in threads. Each line is told as it comes, and None
/// once both have ended.
pub fn read(
    output: Option<impl Read + Send + 'static>,
    errors: Option<impl Read + Send + 'static>,
    tell: impl FnMut(Option<String>) + Clone + Send + 'static,
) {
    let (mut tell_errors, mut tell) = (tell.clone(), tell);
    let errors = thread::spawn(move || {
        let _ =
            errors.map(|stream| each_line(stream, |line| tell_errors(Some(line))));
    });
    thread::spawn(move || {
        let _ = output.map(|stream| each_line(stream, |line| tell(Some(line))));
        let _ = errors.join();
        tell(None);
    });
}

/// What a line has beyond the longest is thrown away.
fn each_line(stream: impl Read, mut tell: impl FnMut(String)) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? > 0 {
        if !line.ends_with(b"\n") {
            reader.skip_until(b'\n')?;
        }
        tell(String::from_utf8_lossy(&line).trim_end().to_string());
        line.clear();
    }
    Ok(())
}
