//! What a request may cost.

use std::time::Duration;

/// Limits of requests and connections. The defaults suit a server that programs of one machine or one network use.
///
/// ```
/// use highwater_server::Limits;
/// let limits = Limits::default().body_bytes(256 << 10).requests_per_minute(600);
/// assert_eq!(limits.body_bytes, 256 << 10);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The largest body of a request, in bytes. Defaults to 4 MiB. Routes that pass a body on have a limit of their own.
    pub body_bytes: usize,
    /// The longest path and query of a request, in bytes. Defaults to 16 KiB.
    pub url_bytes: usize,
    /// The largest headers of a request together, in bytes. Defaults to 32 KiB.
    pub header_bytes: usize,
    /// How long the headers of a request may take to arrive. Defaults to 10 seconds. Only [`Server::serve`](crate::Server::serve)
    /// can apply it; in a host's own server the host does.
    pub head_time: Duration,
    /// How long the body of a request may take to arrive. Defaults to 30 seconds.
    pub body_time: Duration,
    /// How long an answer may take to begin. Defaults to one minute. Routes that wait on purpose have a limit of their own.
    pub answer_time: Duration,
    /// How long a client may take to read the next bytes of an answer. Defaults to 30 seconds. Only
    /// [`Server::serve`](crate::Server::serve) can apply it.
    pub stall_time: Duration,
    /// How long requests may take to end after the server was asked to stop. Defaults to 10 seconds.
    pub stop_time: Duration,
    /// The most connections at a time; further ones wait. Defaults to 4,096. Only [`Server::serve`](crate::Server::serve) can apply
    /// it.
    pub connections: usize,
    /// The most requests of one key in a minute. Defaults to 60,000.
    pub requests_per_minute: u32,
    /// The most memory for answers of `GET /records` that are kept, in bytes. Readers that ask for the same page get the same bytes
    /// while its model has not changed. Defaults to 8 MiB; 0 keeps none.
    pub cache_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: 4 << 20,
            url_bytes: 16 << 10,
            header_bytes: 32 << 10,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            answer_time: Duration::from_secs(60),
            stall_time: Duration::from_secs(30),
            stop_time: Duration::from_secs(10),
            connections: 4096,
            requests_per_minute: 60_000,
            cache_bytes: 8 << 20,
        }
    }
}

impl Limits {
    /// Sets the largest body of a request, in bytes.
    #[must_use]
    pub fn body_bytes(mut self, bytes: usize) -> Self {
        self.body_bytes = bytes;
        self
    }

    /// Sets the longest path and query, in bytes.
    #[must_use]
    pub fn url_bytes(mut self, bytes: usize) -> Self {
        self.url_bytes = bytes;
        self
    }

    /// Sets the largest headers, in bytes.
    #[must_use]
    pub fn header_bytes(mut self, bytes: usize) -> Self {
        self.header_bytes = bytes;
        self
    }

    /// Sets how long the headers of a request may take.
    #[must_use]
    pub fn head_time(mut self, time: Duration) -> Self {
        self.head_time = time;
        self
    }

    /// Sets how long the body of a request may take.
    #[must_use]
    pub fn body_time(mut self, time: Duration) -> Self {
        self.body_time = time;
        self
    }

    /// Sets how long an answer may take to begin.
    #[must_use]
    pub fn answer_time(mut self, time: Duration) -> Self {
        self.answer_time = time;
        self
    }

    /// Sets how long a client may take to read the next bytes.
    #[must_use]
    pub fn stall_time(mut self, time: Duration) -> Self {
        self.stall_time = time;
        self
    }

    /// Sets how long requests may take to end after the server was asked to stop.
    #[must_use]
    pub fn stop_time(mut self, time: Duration) -> Self {
        self.stop_time = time;
        self
    }

    /// Sets the most connections at a time; 0 is taken as 1.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// Sets the most requests of one key in a minute; 0 is taken as 1.
    #[must_use]
    pub fn requests_per_minute(mut self, requests: u32) -> Self {
        self.requests_per_minute = requests.max(1);
        self
    }
    /// Sets the most memory for answers that are kept, in bytes; 0 keeps none.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }
}
