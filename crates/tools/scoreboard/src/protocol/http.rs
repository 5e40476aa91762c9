//! A reading put into an item of the REST API (HTTP/1.1, RFC 9112).

use anyhow::{Context, Result, ensure};
use httparse::{EMPTY_HEADER, Header, Response, Status};

use super::{Protocol, Taken, message};

pub struct Http(pub Vec<u8>);

impl Protocol for Http {
    fn write(&mut self, out: &mut Vec<u8>) {
        let head = "PUT /items/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\
                    Content-Type: application/json\r\nContent-Length: ";
        out.extend(format!("{head}{}\r\n\r\n", self.0.len()).as_bytes());
        out.extend(&self.0);
    }

    fn read(&mut self, input: &[u8], _: &mut Vec<u8>) -> Result<Taken> {
        let mut headers = [EMPTY_HEADER; 16];
        let mut response = Response::new(&mut headers);
        let Status::Complete(head) = response.parse(input)? else { return Ok(None) };
        ensure!(response.code == Some(200), "not 200: {:?}", response.code);
        let is_length = |it: &&Header| it.name.eq_ignore_ascii_case("content-length");
        let length = response.headers.iter().find(is_length);
        let length = length.context("no Content-Length")?.value;
        let end = head + str::from_utf8(length)?.parse::<usize>()?;
        let Some(body) = input.get(head..end) else { return Ok(None) };
        ensure!(body == self.0, "answered {}", String::from_utf8_lossy(body));
        message(end)
    }
}
