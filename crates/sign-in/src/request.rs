//! The part of HTTP that a redirect needs: the head of one GET request.

use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest accepted head, in bytes. Codes and tokens in a query have a few thousand at most.
const MAX_BYTES: usize = 16 * 1024;

/// A request's head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// The header `Host`; `None` if it is missing or repeated.
    pub(crate) host: Option<String>,
}

/// Reads the head; `None` if the connection closes before its end, it is too long, or it is not HTTP/1.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut head = Vec::with_capacity(1024);
    let mut chunk = [0; 1024];
    loop {
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        head.extend_from_slice(chunk.get(..read)?);
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            return parse(std::str::from_utf8(head.get(..end)?).ok()?);
        }
        if head.len() > MAX_BYTES {
            return None;
        }
    }
}

fn parse(head: &str) -> Option<Request> {
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target, version) = (first.next()?, first.next()?, first.next()?);
    if first.next().is_some() || !version.starts_with("HTTP/1.") {
        return None;
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut hosts = lines.filter_map(|line| line.split_once(':')).filter(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = hosts.next().map(|(_, value)| value.trim().to_owned()).filter(|_| hosts.next().is_none());
    Some(Request { method: method.to_owned(), path: path.to_owned(), query: query.to_owned(), host })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_and_what_is_none_is_not() {
        let request = parse("GET /callback?code=a&state=b HTTP/1.1\r\nhost: 127.0.0.1:4000\r\nAccept: */*").unwrap();
        assert_eq!((&*request.method, &*request.path, &*request.query), ("GET", "/callback", "code=a&state=b"));
        assert_eq!(request.host.as_deref(), Some("127.0.0.1:4000"));
        assert_eq!(parse("GET / HTTP/1.1\r\nHost: a\r\nHost: b").unwrap().host, None, "a repeated Host counts as none");
        for bad in ["", "GET", "GET /", "GET / HTTP/2", "GET / HTTP/1.1 x", "\u{16}\u{3}\u{1}"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_head_without_an_end_is_given_up() {
        let endless = vec![b'a'; 3 * MAX_BYTES];
        assert_eq!(read(&mut endless.as_slice()).await, None);
        assert_eq!(read(&mut b"GET / HTTP/1.1\r\n".as_slice()).await, None);
    }
}
