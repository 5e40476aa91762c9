//! HTTP/1.1 (RFC 9112): requests and responses, then WebSocket after an upgrade to it.
//!
//! Header is all that is no body: the head, and what chunks are framed with.

use std::collections::VecDeque;
use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Request, Response, Status};

use super::websocket::WebSocket;
use super::{Direction, Parser, Piece, Step, TO_THE_END, printable};

const MOST_HEADERS: usize = 256;
/// How many requests may go unanswered before the responses cannot be told any more.
const MOST_UNANSWERED: usize = 1000;
/// What is no HTTP is told in so many bytes, without waiting for the line's end.
const BEGINNING: usize = 16;
/// The longest line before a chunk: its size, and extensions that nobody uses.
const LONGEST_SIZE: usize = 4 * 1024;

#[derive(Default)]
pub struct Http {
    /// What the responses to come are responses to.
    unanswered: VecDeque<Asked>,
    too_many: bool,
    next: [Next; 2],
    after: Option<After>,
}

/// What the reading of a response depends on.
#[derive(Clone, Copy, PartialEq)]
enum Asked {
    Plain,
    Head,
    Upgrade,
    Tunnel,
}

#[derive(Clone, Copy, PartialEq, Default)]
enum Next {
    #[default]
    Head,
    ChunkSize,
    ChunkEnd,
    Trailer,
}

/// What the connection goes on as.
enum After {
    WebSocket(WebSocket),
    Unknown,
}

/// How a head says where its body ends.
enum Body {
    Sized(u64),
    Chunked,
    ToTheEnd,
}

impl Parser for Http {
    fn step(&mut self, direction: Direction, head: &[u8]) -> Step {
        let next = self.next[direction as usize];
        match (next, &mut self.after) {
            (Next::Head, Some(After::WebSocket(frames))) => {
                frames.step(direction, head)
            }
            (Next::Head, Some(After::Unknown)) => Step::Raw,
            (Next::Head, None) => self.head(direction, head),
            (Next::ChunkSize, _) => self.chunk_size(direction, head),
            (Next::ChunkEnd, _) => self.chunk_end(direction, head),
            (Next::Trailer, _) => self.trailer(direction, head),
        }
    }

    /// After an upgrade was asked for, the client says no more before the answer.
    fn waits(&self, direction: Direction) -> bool {
        let last = self.unanswered.back();
        let asked = matches!(last, Some(Asked::Upgrade | Asked::Tunnel));
        direction == Direction::ToServer
            && self.next[direction as usize] == Next::Head
            && asked
    }
}

impl Http {
    fn head(&mut self, direction: Direction, head: &[u8]) -> Step {
        // A line's end may be the head's, and looking at each byte would take for ever.
        if !head.ends_with(b"\n") && head.len() > BEGINNING {
            return Step::More(head.len() + 1);
        }
        // Empty lines may come before a request, but not for ever.
        if head.len() > BEGINNING && head.trim_ascii().is_empty() {
            return Step::Raw;
        }
        let mut headers = [MaybeUninit::uninit(); MOST_HEADERS];
        let piece = match direction {
            Direction::ToServer => {
                let mut request = Request::new(&mut []);
                match request.parse_with_uninit_headers(head, &mut headers) {
                    Ok(Status::Complete(_)) => self.request(&request),
                    Ok(Status::Partial) => return Step::More(head.len() + 1),
                    Err(_) => None,
                }
            }
            Direction::ToClient => {
                let mut response = Response::new(&mut []);
                let config = ParserConfig::default();
                match config.parse_response_with_uninit_headers(
                    &mut response,
                    head,
                    &mut headers,
                ) {
                    Ok(Status::Complete(_)) => self.response(&response),
                    Ok(Status::Partial) => return Step::More(head.len() + 1),
                    Err(_) => None,
                }
            }
        };
        piece.map_or(Step::Raw, Step::Piece)
    }

    fn request(&mut self, request: &Request) -> Option<Piece> {
        let method = request.method?;
        let version = request.version?;
        let body = match body(request.headers)? {
            Body::ToTheEnd => Body::Sized(0),
            body => body,
        };
        let path = printable(request.path?.as_bytes());
        let mut details = format!("{path} HTTP/1.{version}");
        let asked = match method {
            "HEAD" => Asked::Head,
            "CONNECT" => Asked::Tunnel,
            _ if has(request.headers, "connection", "upgrade") => Asked::Upgrade,
            _ => Asked::Plain,
        };
        if let (Asked::Upgrade, Some(to)) = (asked, value(request.headers, "upgrade"))
        {
            details += &format!(", upgrade to {}", printable(to));
        }
        match self.unanswered.len() < MOST_UNANSWERED {
            true => self.unanswered.push_back(asked),
            false => self.too_many = true,
        }
        Some(self.message(Direction::ToServer, method.to_string(), details, body))
    }

    fn response(&mut self, response: &Response) -> Option<Piece> {
        let status = response.code?;
        let (headers, reason) = (&response.headers, response.reason?);
        let mut details = printable(reason.as_bytes());
        let last = status >= 200 || status == 101;
        if last && self.too_many && self.unanswered.is_empty() {
            return None;
        }
        let asked = match last {
            true => self.unanswered.pop_front().unwrap_or(Asked::Plain),
            false => Asked::Plain,
        };
        let tunnel = asked == Asked::Tunnel && (200..300).contains(&status);
        if status == 101 && has(headers, "upgrade", "websocket") {
            details += ", upgrade to websocket";
            self.after = Some(After::WebSocket(WebSocket::default()));
        } else if status == 101 || tunnel {
            self.after = Some(After::Unknown);
        }
        let bodiless = status < 200 || status == 204 || status == 304;
        let body = match body(headers)? {
            _ if bodiless || tunnel || asked == Asked::Head => Body::Sized(0),
            body => body,
        };
        Some(self.message(Direction::ToClient, status.to_string(), details, body))
    }

    fn message(
        &mut self,
        direction: Direction,
        name: String,
        mut details: String,
        body: Body,
    ) -> Piece {
        let (payload, goes_on) = match body {
            Body::Sized(length) => (length, false),
            Body::Chunked => (0, true),
            Body::ToTheEnd => (TO_THE_END, false),
        };
        if goes_on {
            details += ", chunked";
            self.next[direction as usize] = Next::ChunkSize;
        }
        Piece { payload, goes_on, ..Piece::new(name, details) }
    }

    fn chunk_size(&mut self, direction: Direction, line: &[u8]) -> Step {
        if !line.ends_with(b"\n") {
            return match line.len() < LONGEST_SIZE {
                true => Step::More(line.len() + 1),
                false => Step::Raw,
            };
        }
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let size = str::from_utf8(size.trim_ascii()).unwrap_or_default();
        // A plus sign would be taken for a part of the number.
        let digits = size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let payload = match u64::from_str_radix(size, 16) {
            Ok(payload) if digits && payload <= i64::MAX as u64 => payload,
            _ => return Step::Raw,
        };
        self.next[direction as usize] = match payload {
            0 => Next::Trailer,
            _ => Next::ChunkEnd,
        };
        Step::Piece(Piece { payload, goes_on: true, ..Piece::default() })
    }

    fn chunk_end(&mut self, direction: Direction, end: &[u8]) -> Step {
        match end {
            b"\r" => Step::More(2),
            b"\n" | b"\r\n" => {
                self.next[direction as usize] = Next::ChunkSize;
                Step::Piece(Piece { goes_on: true, ..Piece::default() })
            }
            _ => Step::Raw,
        }
    }

    fn trailer(&mut self, direction: Direction, line: &[u8]) -> Step {
        if !line.ends_with(b"\n") {
            return Step::More(line.len() + 1);
        }
        let goes_on = !matches!(line, b"\n" | b"\r\n");
        if !goes_on {
            self.next[direction as usize] = Next::Head;
        }
        Step::Piece(Piece { goes_on, ..Piece::default() })
    }
}

/// None when the head contradicts itself, or its body cannot be found.
fn body(headers: &[Header]) -> Option<Body> {
    if let Some(coding) = value(headers, "transfer-encoding") {
        let last = coding.rsplit(|byte| *byte == b',').next()?;
        return match last.trim_ascii().eq_ignore_ascii_case(b"chunked") {
            true => Some(Body::Chunked),
            false => Some(Body::ToTheEnd),
        };
    }
    let mut body = Body::ToTheEnd;
    for length in values(headers, "content-length") {
        for length in length.split(|byte| *byte == b',') {
            let length = str::from_utf8(length.trim_ascii()).ok()?;
            let digits = length.bytes().all(|byte| byte.is_ascii_digit());
            let length = length.parse::<u64>().ok()?;
            match body {
                _ if !digits || length > i64::MAX as u64 => return None,
                Body::Sized(other) if other != length => return None,
                _ => body = Body::Sized(length),
            }
        }
    }
    Some(body)
}

fn values<'a>(headers: &'a [Header], name: &str) -> impl Iterator<Item = &'a [u8]> {
    let named =
        headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.map(|header| header.value)
}

fn value<'a>(headers: &'a [Header], name: &str) -> Option<&'a [u8]> {
    values(headers, name).last()
}

/// Whether a header lists a word.
fn has(headers: &[Header], name: &str, word: &str) -> bool {
    let mut words =
        values(headers, name).flat_map(|value| value.split(|b| *b == b','));
    words.any(|listed| listed.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use crate::dissect::testing::shown;
    use crate::dissect::{Direction::*, Protocol};

    const GET: &[u8] = b"GET /items/1 HTTP/1.1\r\nHost: h\r\n\r\n";

    /// What a response is, to this request.
    fn responses(request: &[u8], response: &[u8]) -> Vec<String> {
        shown(None, &[(ToServer, request), (ToClient, response)]).split_off(1)
    }

    #[test]
    fn a_body_has_the_length_that_its_head_says() {
        let post =
            b"POST /items HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabcd";
        let created = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(
            shown(None, &[(ToServer, post), (ToClient, created)]),
            ["> 52+4 POST /items HTTP/1.1 = abcd", "< 43+2 201 Created = ok"]
        );
    }

    /// RFC 9112, 7.1: sizes, extensions, trailers.
    #[test]
    fn chunks_become_one_body_and_what_frames_them_is_header() {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunks = b"7\r\nMozilla\r\nA;x=y\r\n Developer\r\n0\r\nT: 1\r\n\r\n";
        let next = b"HTTP/1.1 204 No Content\r\n\r\n";
        let responses = responses(GET, &[&head[..], chunks, next].concat());
        assert_eq!(
            responses,
            ["< 72+17 200 OK, chunked = Mozilla Developer", "< 27+0 204 No Content"]
        );
    }

    #[test]
    fn a_response_to_head_and_one_of_a_bodiless_status_has_no_body() {
        let head = b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
        let long = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
        assert_eq!(responses(head, long), ["< 41+0 200 OK"]);
        let not_modified = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(responses(GET, not_modified), ["< 48+0 304 Not Modified"]);
        let continued = b"HTTP/1.1 100 Continue\r\n\r\n";
        let both = [&continued[..], long].concat();
        assert_eq!(responses(head, &both), ["< 25+0 100 Continue", "< 41+0 200 OK"]);
    }

    #[test]
    fn pipelined_requests_are_told_apart_and_so_are_their_responses() {
        let requests = [GET, b"HEAD / HTTP/1.1\r\n\r\n", GET].concat();
        let two = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        let responses = [&two[..], b"ok", two, two, b"ok"].concat();
        assert_eq!(
            shown(None, &[(ToServer, &requests), (ToClient, &responses)]),
            [
                "> 34+0 GET /items/1 HTTP/1.1",
                "> 19+0 HEAD / HTTP/1.1",
                "> 34+0 GET /items/1 HTTP/1.1",
                "< 38+2 200 OK = ok",
                "< 38+0 200 OK",
                "< 38+2 200 OK = ok",
            ]
        );
    }

    #[test]
    fn a_response_without_a_length_ends_with_the_stream() {
        let response = b"HTTP/1.0 200 OK\r\n\r\nall that comes";
        assert_eq!(responses(GET, response), ["< 19+14 200 OK = all that comes"]);
        let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nall";
        assert_eq!(responses(GET, sized), ["< 39+3 200 OK, cut short = all"]);
    }

    #[test]
    fn after_a_tunnel_is_made_everything_is_bytes() {
        let connect = b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n";
        let made = b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x01";
        let sent =
            [(ToServer, &connect[..]), (ToClient, made), (ToServer, b"\x16\x03")];
        assert_eq!(
            shown(None, &sent)[1..],
            [
                "< 19+0 200 OK",
                "< 0+3 bytes = \\u{16}\\u{3}\\u{1}",
                "> 0+2 bytes = \\u{16}\\u{3}"
            ]
        );
    }

    #[test]
    fn a_head_that_contradicts_itself_or_never_ends_is_bytes() {
        let two_lengths =
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
        let negative = b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n";
        let not_hex = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+7\r\n";
        for response in [&two_lengths[..], negative] {
            let responses = responses(GET, response);
            assert!(
                responses.iter().all(|line| line.contains(" text ")),
                "{responses:?}"
            );
        }
        assert_eq!(
            responses(GET, not_hex),
            ["< 47+0 200 OK, chunked, cut short", "< 0+4 text = +7\\u{d}\\u{a}"]
        );
        let endless = [b"GET /", &[b'x'; 200_000][..]].concat();
        let shown = shown(Some(Protocol::Http), &[(ToServer, &endless)]);
        assert!(shown[0].starts_with("> 0+200005 text"), "{shown:?}");
    }

    #[test]
    fn what_is_no_http_is_shown_without_waiting_for_a_line() {
        let mut dissector = crate::dissect::Dissector::new(Some(Protocol::Http));
        assert_eq!(dissector.push(ToServer, b"\x16\x03\x01").len(), 1);
        assert_eq!(dissector.push(ToClient, b"220 mail.example").len(), 1);
        let mut dissector = crate::dissect::Dissector::new(Some(Protocol::Http));
        assert_eq!(
            dissector.push(ToServer, b"\r\n\r\nGET / HTTP/1.1\r\n\r\n").len(),
            1
        );
        assert_eq!(dissector.push(ToServer, &b"\r\n".repeat(20)).len(), 20);
    }

    #[test]
    fn responses_that_cannot_be_told_apart_any_more_are_bytes() {
        let response = b"HTTP/1.1 204 No Content\r\n\r\n";
        let sent = [(ToServer, GET.repeat(1001)), (ToClient, response.repeat(1001))];
        let sent = sent.each_ref().map(|(direction, bytes)| (*direction, &bytes[..]));
        let messages = shown(None, &sent);
        let (responses, rest) = messages[1001..].split_at(1000);
        assert!(responses.iter().all(|line| line == "< 27+0 204 No Content"));
        assert!(rest[0].starts_with("< 0+25 text = HTTP/1.1 204"), "{rest:?}");
    }
}
