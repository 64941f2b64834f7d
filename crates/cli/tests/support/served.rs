//! A running `highwater serve`, and a client of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::highwater;

/// A process of `highwater serve`, which ends with it.
pub(crate) struct Served {
    child: Child,
    /// What it printed when it listened.
    pub(crate) line: Value,
    pub(crate) url: String,
    /// Address and port.
    pub(crate) address: String,
    /// The key of requests: the one that it printed, unless a test sets another.
    pub(crate) key: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of an error.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    /// Starts it on `app.db` in a folder, on any free port, and waits until it listens.
    pub(crate) fn start(folder: &Path, further: &[&str]) -> Self {
        let arguments = [&["serve", "--json", "--listen", "127.0.0.1:0", "--db", "app.db"], further].concat();
        Served::run(highwater(folder, &arguments))
    }

    /// The same with the demo API.
    pub(crate) fn demo(folder: &Path) -> Self {
        Served::start(folder, &["--demo"])
    }

    /// Starts a command, and waits until it says where it listens.
    pub(crate) fn run(mut command: Command) -> Self {
        command.stderr(Stdio::inherit());
        Served::run_told(command)
    }

    /// The same with a command whose standard error leads elsewhere.
    pub(crate) fn run_told(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |name: &str| line[name].as_str().unwrap_or_else(|| panic!("{line}")).to_owned();
        let (url, key) = (text("url"), text("api_key"));
        let address = url.split_once("://").unwrap().1.to_owned();
        Served { child, line, url, address, key }
    }

    /// Sends a request of the demo's connection, and leaves its answer to be read. `further` are whole lines of headers.
    pub(crate) fn open(&self, path: &str, further: &str) -> TcpStream {
        self.send("GET", path, &format!("Connection-Id: demo\r\nProvider-Config-Key: demo-crm\r\n{further}"), "")
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n{headers}",
            self.address, self.key
        );
        let length = match body {
            "" => String::new(),
            body => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()),
        };
        stream.write_all(format!("{head}{length}\r\n{body}").as_bytes()).unwrap();
        stream
    }

    /// The JSON that a path answers with, if all of it arrives.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        let mut answer = Vec::new();
        self.open(path, "").read_to_end(&mut answer).ok()?;
        serde_json::from_str(&parse(&answer)?.body).ok()
    }

    /// Sends a request of the demo's connection, and returns its answer.
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut answer = Vec::new();
        let headers = "Connection-Id: demo\r\nProvider-Config-Key: demo-crm\r\n";
        self.send(method, path, headers, body).read_to_end(&mut answer).unwrap();
        parse(&answer).unwrap_or_else(|| panic!("no whole answer: {}", String::from_utf8_lossy(&answer)))
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until the process has ended by itself.
    pub(crate) fn ended(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Kills the process, as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// An answer, if all of it arrived.
pub(crate) fn parse(answer: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, mut rest) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let head = head.to_ascii_lowercase();
    if !head.contains("transfer-encoding: chunked") {
        return Some(Answer { status, head, body: rest.to_owned() });
    }
    let mut body = String::new();
    loop {
        let (size, behind) = rest.split_once("\r\n")?;
        match usize::from_str_radix(size, 16).ok()? {
            0 => return Some(Answer { status, head, body }),
            size => {
                body.push_str(behind.get(..size)?);
                rest = behind.get(size + 2..)?;
            }
        }
    }
}
