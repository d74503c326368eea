//! A client of HTTP/1.1 (RFC 9112) on one connection that is kept open: one request at a time.

use std::ops::Range;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Result;
use crate::target::Target;

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    target: Target,
    input: Vec<u8>,
    filled: usize,
    output: Vec<u8>,
}

/// An answer, which lies in the connection's buffer.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
}

const ROOM: usize = 16 * 1024;

impl Client {
    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// When nobody listens there.
    pub async fn connect(target: &Target) -> Result<Self> {
        let stream = target.connect().await?;
        let target = target.clone();
        Ok(Self { stream, target, input: vec![0; ROOM], filled: 0, output: Vec::new() })
    }

    /// Sends a GET and waits for the answer.
    ///
    /// # Errors
    ///
    /// When the connection ends or the answer is not HTTP.
    pub async fn get(&mut self, path: &str, token: &str) -> Result<Response<'_>> {
        self.request("GET", path, token, b"").await
    }

    /// Sends a POST of JSON and waits for the answer.
    ///
    /// # Errors
    ///
    /// When the connection ends or the answer is not HTTP.
    pub async fn post(&mut self, path: &str, token: &str, body: &[u8]) -> Result<Response<'_>> {
        self.request("POST", path, token, body).await
    }

    /// Sends a request and takes the answer apart.
    ///
    /// # Errors
    ///
    /// Also when the status is not 2xx.
    pub async fn json(&mut self, method: &str, path: &str, token: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = self.request(method, path, token, body.as_bytes()).await?;
        if !(200..300).contains(&response.status) {
            let text = String::from_utf8_lossy(response.body);
            return Err(format!("{method} {path} answered {}: {text}", response.status).into());
        }
        Ok(serde_json::from_slice(response.body)?)
    }

    async fn request(&mut self, method: &str, path: &str, token: &str, body: &[u8]) -> Result<Response<'_>> {
        use std::io::Write as _;
        self.output.clear();
        let Target { authority, prefix } = &self.target;
        write!(self.output, "{method} {prefix}{path} HTTP/1.1\r\nHost: {authority}\r\n")?;
        if !token.is_empty() {
            write!(self.output, "Authorization: Bearer {token}\r\n")?;
        }
        if method != "GET" {
            write!(self.output, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())?;
        }
        self.output.extend_from_slice(b"\r\n");
        self.output.extend_from_slice(body);
        self.stream.write_all(&self.output).await?;

        self.filled = 0;
        let head = loop {
            self.fill().await?;
            if let Some(end) = find(&self.input[..self.filled], b"\r\n\r\n") {
                break end;
            }
        };
        let Head { status, length } = Head::parse(&self.input[..head])?;
        let start = head + 4;
        let body = match length {
            Some(length) => {
                while self.filled < start + length {
                    self.fill().await?;
                }
                start..start + length
            }
            None => self.chunks(start).await?,
        };
        Ok(Response { status, body: &self.input[body] })
    }

    /// Puts the chunks of a body together, in place.
    async fn chunks(&mut self, start: usize) -> Result<Range<usize>> {
        let (mut from, mut to) = (start, start);
        loop {
            let line = loop {
                match find(&self.input[from..self.filled], b"\r\n") {
                    Some(length) => break from..from + length,
                    None => self.fill().await?,
                }
            };
            let size = std::str::from_utf8(&self.input[line.clone()])?.split(';').next().unwrap_or("");
            let size = usize::from_str_radix(size.trim(), 16)?;
            from = line.end + 2;
            while self.filled < from + size + 2 {
                self.fill().await?;
            }
            if size == 0 {
                return Ok(start..to);
            }
            self.input.copy_within(from..from + size, to);
            to += size;
            from += size + 2;
        }
    }

    async fn fill(&mut self) -> Result<()> {
        if self.filled == self.input.len() {
            self.input.resize(self.filled * 2, 0);
        }
        match self.stream.read(&mut self.input[self.filled..]).await? {
            0 => Err("the server closed a connection in the middle of an answer".into()),
            more => {
                self.filled += more;
                Ok(())
            }
        }
    }
}

struct Head {
    status: u16,
    /// Absent when the body comes in chunks.
    length: Option<usize>,
}

impl Head {
    fn parse(head: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(head)?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or("no status line")?.parse()?;
        let mut length = Some(0);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse()?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                length = None;
            }
        }
        Ok(Self { status, length })
    }
}

/// Where `what` begins.
#[must_use]
pub fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// The number after the first `key`, such as `"seq":`.
#[must_use]
pub fn number_after(text: &[u8], key: &[u8]) -> Option<u64> {
    leading_number(&text[find(text, key)? + key.len()..])
}

/// The number after the last `key`.
#[must_use]
pub fn number_after_last(text: &[u8], key: &[u8]) -> Option<u64> {
    let at = text.windows(key.len()).rposition(|window| window == key)?;
    leading_number(&text[at + key.len()..])
}

fn leading_number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    let mut any = false;
    let number = digits.fold(0, |sum: u64, digit| {
        any = true;
        sum.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
    });
    any.then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_key() {
        let text = br#"[{"seq":7,"x":1},{"seq":42}]"#;
        assert_eq!(number_after(text, b"\"seq\":"), Some(7));
        assert_eq!(number_after_last(text, b"\"seq\":"), Some(42));
        assert_eq!(number_after(text, b"\"y\":"), None);
        assert_eq!(number_after(br#"{"seq":null}"#, b"\"seq\":"), None);
    }

    #[test]
    fn a_head_says_how_long_the_body_is() {
        let head = Head::parse(b"HTTP/1.1 201 Created\r\ncontent-Length: 12\r\nX: y").unwrap();
        assert_eq!((head.status, head.length), (201, Some(12)));
        let head = Head::parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked").unwrap();
        assert_eq!((head.status, head.length), (200, None));
        assert!(Head::parse(b"nonsense").is_err());
    }
}
