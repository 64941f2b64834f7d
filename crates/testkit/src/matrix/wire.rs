//! A socket that sends the bytes of a fault: codings, charsets and broken connections, as the default transport sees them.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use flate2::Compression;
use flate2::write::GzEncoder;
use highwater_core::{Error, ErrorKind, Result};
use highwater_engine::transport::UreqTransport;
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse};

use super::faults::Wire;

/// The header that marks a response with the fault. It does not leave this module.
pub(super) const MARK: &str = "x-trial-fault";

/// The header by which the transport passes the requested URL to the socket.
const ASKED: &str = "x-trial-url";

type Answer = Arc<dyn Fn(HttpRequest) -> HttpResponse + Send + Sync>;

/// The default transport, with every request sent to a socket of this process.
pub(super) struct Wired {
    transport: UreqTransport,
    address: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Wired {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wired").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Wired {
    /// Listens on the loopback interface until it is dropped.
    pub(super) fn new(fault: Wire, answer: Answer) -> Result<Self> {
        let unable =
            |source| Error::new(ErrorKind::Unavailable, "cannot listen on the loopback interface").because(source);
        let listener = TcpListener::bind("127.0.0.1:0").map_err(unable)?;
        let address = listener.local_addr().map_err(unable)?.to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let answer = Arc::clone(&answer);
                // A connection that the client keeps open waits for its next request beside the others.
                std::thread::spawn(move || {
                    let _ = stream.and_then(|stream| serve(&stream, fault, &answer));
                });
            }
        });
        Ok(Wired { transport: UreqTransport::new(), address, stop, thread: Some(thread) })
    }
}

impl Drop for Wired {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let _ = TcpStream::connect(&self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[async_trait]
impl Transport for Wired {
    async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse> {
        request.headers.push((ASKED.to_owned(), std::mem::take(&mut request.url)));
        request.url = format!("http://{}/", self.address);
        self.transport.send(request).await
    }
}

fn serve(stream: &TcpStream, fault: Wire, answer: &Answer) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader)? {
        let response = answer(request);
        let (bytes, keep) = written(response, fault);
        let mut out = stream;
        out.write_all(&bytes)?;
        if !keep {
            return stream.shutdown(std::net::Shutdown::Both);
        }
    }
    Ok(())
}

fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<HttpRequest>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let method = line.split(' ').next().unwrap_or_default().to_owned();
    let mut request = HttpRequest::new(method, "");
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let value = value.trim();
        match name.to_lowercase().as_str() {
            ASKED => value.clone_into(&mut request.url),
            "content-length" => length = value.parse().unwrap_or(0),
            _ => request.headers.push((name.to_owned(), value.to_owned())),
        }
    }
    if length > 0 {
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        request.body = Some(body.into());
    }
    Ok(Some(request))
}

/// Returns the bytes of a response, and whether the connection stays open after them.
fn written(mut response: HttpResponse, fault: Wire) -> (Vec<u8>, bool) {
    let marked = response.header(MARK).is_some();
    response.headers.retain(|(name, _)| name != MARK);
    let mut body = response.body.to_vec();
    let mut keep = true;
    let mut length = None;
    if marked {
        let coding = |headers: &mut Vec<(String, String)>, value: &str| {
            headers.push(("Content-Encoding".to_owned(), value.to_owned()));
        };
        let headers = &mut response.headers;
        match fault {
            Wire::Gzip(spelling) => {
                body = gzip(&body);
                coding(headers, spelling);
            }
            Wire::GzipTwice => {
                body = gzip(&gzip(&body));
                coding(headers, "gzip, gzip");
            }
            Wire::NoGzip => coding(headers, "gzip"),
            Wire::GzipEmpty(status) => {
                body.clear();
                coding(headers, "gzip");
                response.status = if status == 0 { response.status } else { status };
            }
            Wire::UnknownCoding => coding(headers, "trial-coding"),
            Wire::Mark => body.splice(0..0, [0xEF, 0xBB, 0xBF]).for_each(drop),
            Wire::Utf16 => {
                let text = String::from_utf8_lossy(&body).into_owned();
                body = [0xFE, 0xFF].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect();
                declare(headers, "utf-16");
            }
            Wire::Latin1 => {
                let text = String::from_utf8_lossy(&body).into_owned();
                body = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
                declare(headers, "iso-8859-1");
            }
            Wire::CutBody => {
                length = Some(body.len());
                body.truncate(body.len() / 2);
                keep = false;
            }
            Wire::LongHeader => headers.push(("X-Trial-Long".to_owned(), "x".repeat(70 * 1024))),
        }
    }
    let mut head = format!("HTTP/1.1 {} Trial\r\n", response.status);
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !matches!(response.status, 204 | 304) {
        head.push_str(&format!("Content-Length: {}\r\n", length.unwrap_or(body.len())));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&body);
    (bytes, keep)
}

/// Sets the charset in the content type.
fn declare(headers: &mut Vec<(String, String)>, charset: &str) {
    let known = headers.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    match known {
        Some((_, value)) => {
            let kind = value.split(';').next().unwrap_or_default().trim().to_owned();
            *value = format!("{kind}; charset={charset}");
        }
        None => headers.push(("Content-Type".to_owned(), format!("application/json; charset={charset}"))),
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing into memory cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}
