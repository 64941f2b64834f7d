//! The file format of recorded exchanges.

use std::io::Read;
use std::path::Path;

use highwater_core::{Environment, Error, ErrorKind, Result, Timestamp};
use highwater_interpolation::{Map, Value, datetime};
use indexmap::IndexMap;
use serde::Deserialize;

/// What the reference implementation did with one manifest and config.
#[derive(Clone, Debug, Deserialize)]
pub struct Cassette {
    #[serde(default)]
    pub(super) config: Value,
    pub(super) frozen_clock: String,
    #[serde(rename = "streams")]
    recordings: IndexMap<String, Recording>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Recording {
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    pub requests: Vec<RecordedRequest>,
    #[serde(default)]
    pub records: Vec<Value>,
    #[serde(default)]
    pub state: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RecordedRequest {
    pub method: String,
    pub url: String,
    #[serde(default)]
    pub query: Vec<(String, String)>,
    #[serde(default)]
    pub headers: Map,
    #[serde(default)]
    pub body: Value,
    pub response: RecordedResponse,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RecordedResponse {
    pub status: u16,
    #[serde(default)]
    pub headers: Map,
    #[serde(default)]
    pub body: Value,
}

/// No cassette is larger, unpacked.
const MAX_BYTES: u64 = 1 << 30;

impl Cassette {
    /// Reads a cassette from a file, compressed with gzip or not.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the file cannot be read, [`ErrorKind::Invalid`] if it is not a cassette.
    pub fn read(path: &Path) -> Result<Self> {
        let unreadable = |source: std::io::Error| {
            Error::new(ErrorKind::NotFound, "the cassette cannot be read").with("file", path.display()).because(source)
        };
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let mut text = Vec::new();
        match bytes.starts_with(&[0x1f, 0x8b]) {
            true => {
                let reader = flate2::read::MultiGzDecoder::new(bytes.as_slice());
                reader.take(MAX_BYTES).read_to_end(&mut text).map_err(unreadable)?;
            }
            false => text = bytes,
        }
        Cassette::parse(&text).map_err(|error| error.with("file", path.display()))
    }

    /// Reads a cassette from its JSON text.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the text is not a cassette.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let invalid = |source: serde_json::Error| {
            Error::new(ErrorKind::Invalid, "the cassette is of another shape").because(source)
        };
        let mut cassette: Cassette = serde_json::from_slice(text).map_err(invalid)?;
        cassette.recordings.retain(|_, recording| recording.error.as_ref().is_none_or(Value::is_null));
        Ok(cassette)
    }

    /// The streams that were recorded without an error.
    pub(super) fn streams(&self) -> impl Iterator<Item = (&str, &Recording)> {
        self.recordings.iter().map(|(name, recording)| (name.as_str(), recording))
    }
}

/// A clock that stands still.
#[derive(Debug)]
pub(super) struct FrozenClock(u64);

impl FrozenClock {
    pub(super) fn at(text: &str) -> Result<Self> {
        let instant = datetime::parse_iso(text)?;
        Ok(FrozenClock(u64::try_from(instant.timestamp_micros()).unwrap_or_default()))
    }
}

impl Environment for FrozenClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0 / 1000)
    }

    fn unix_us(&self) -> u64 {
        self.0
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}
