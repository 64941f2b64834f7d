//! A client that does as little as it can: one connection, one request at a time, the answer's bytes.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::Outcome;

/// A connection to a server.
pub(crate) struct Client {
    stream: TcpStream,
    head: String,
    buffer: Vec<u8>,
    /// The last answer's body.
    pub(crate) body: Vec<u8>,
    /// The last answer's head.
    pub(crate) headers: String,
}

impl Client {
    /// `headers` is sent with each request: lines that end with `\r\n`.
    pub(crate) fn connect(address: &str, headers: &str) -> Outcome<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let head = format!("Host: {address}\r\n{headers}");
        Ok(Client { stream, head, buffer: Vec::new(), body: Vec::new(), headers: String::new() })
    }

    /// Reads a page, whose bytes are `self.body` then.
    pub(crate) fn get(&mut self, path: &str) -> Outcome<()> {
        let request = format!("GET {path} HTTP/1.1\r\n{}\r\n", self.head);
        self.send(request.as_bytes())?;
        if self.headers.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(self.refusal(path)) }
    }

    /// Sends a form.
    pub(crate) fn post(&mut self, path: &str, form: &str) -> Outcome<()> {
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let length = form.len();
        let request = format!("POST {path} HTTP/1.1\r\n{}{kind}\r\nContent-Length: {length}\r\n\r\n{form}", self.head);
        self.send(request.as_bytes())
    }

    fn refusal(&self, path: &str) -> Box<dyn std::error::Error + Send + Sync> {
        format!("{path}: {}\n{}", self.headers, String::from_utf8_lossy(&self.body)).into()
    }

    /// Adds a header to every further request.
    pub(crate) fn add_header(&mut self, line: &str) {
        self.head.push_str(line);
    }

    fn send(&mut self, request: &[u8]) -> Outcome<()> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        self.body.clear();
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            self.fill()?;
        };
        self.headers = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase().replacen("http", "HTTP", 1);
        let length = self.headers.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let mut at = end;
        if let Some(length) = length {
            while self.buffer.len() < at + length {
                self.fill()?;
            }
            self.body.extend_from_slice(&self.buffer[at..]);
            return Ok(());
        }
        // Chunks: a line with the length, the bytes, an empty line.
        loop {
            let line = loop {
                if let Some(line) = find(&self.buffer[at..], b"\r\n") {
                    break line;
                }
                self.fill()?;
            };
            let length = usize::from_str_radix(std::str::from_utf8(&self.buffer[at..at + line])?.trim(), 16)?;
            at += line + 2;
            while self.buffer.len() < at + length + 2 {
                self.fill()?;
            }
            self.body.extend_from_slice(&self.buffer[at..at + length]);
            at += length + 2;
            if length == 0 {
                return Ok(());
            }
        }
    }

    fn fill(&mut self) -> Outcome<()> {
        let known = self.buffer.len();
        self.buffer.resize(known + (256 << 10), 0);
        let read = self.stream.read(&mut self.buffer[known..])?;
        self.buffer.truncate(known + read);
        if read == 0 { Err("the server ended the connection".into()) } else { Ok(()) }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|found| found == wanted)
}

/// Returns a text member at the end of a page: `next_cursor` is absent where it is null.
pub(crate) fn member<'b>(body: &'b [u8], name: &str) -> Option<&'b str> {
    let end = &body[body.len().saturating_sub(300)..];
    let text = std::str::from_utf8(end).unwrap_or_default();
    let (_, rest) = text.rsplit_once(&format!("\"{name}\":\""))?;
    rest.split('"').next()
}
