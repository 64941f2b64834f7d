//! Compares a manifest's behaviour with recorded exchanges of the reference implementation.
//!
//! A cassette holds, for each stream of a manifest, the requests that the reference implementation sent with the
//! responses it got, the records it made and its final state. A replay answers each request of ours from that list, in
//! order. An unknown request, one that was not made, a record or a state that differs is a mismatch.
//!
//! Requests compare by method, URL, query (in any order), the recorded headers and the body (JSON as values, forms as
//! fields). The reference asks for a token or checks a session more often than is needed: a recorded request that
//! repeats an authentication we made already may be left out. Of a partitioned state, the seconds that the read took
//! (`lookback_window`) are not compared.

mod cassette;
mod compare;
mod player;

use std::path::Path;
use std::sync::Arc;

use highwater_core::{Error, ErrorKind, Result};
use serde::Serialize;

pub use cassette::Cassette;

use crate::document::Files;
use crate::manifest::Manifest;
use crate::registry::Registry;
use crate::source::Source;
use cassette::{FrozenClock, Recording};
use highwater_interpolation::Value;
use player::{Collector, Player};

/// The comparison of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StreamReplay {
    /// The connector, as its cassette names it.
    pub connector: String,
    /// The name of the stream.
    pub stream: String,
    /// The first difference; `None` where everything was identical.
    pub difference: Option<String>,
}

/// The comparison of the streams of some cassettes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ReplayReport {
    /// Every stream that was recorded without an error.
    pub streams: Vec<StreamReplay>,
}

impl ReplayReport {
    /// Returns how many streams were identical.
    pub fn identical(&self) -> usize {
        self.streams.iter().filter(|stream| stream.difference.is_none()).count()
    }

    /// Returns the streams that differ.
    pub fn different(&self) -> impl Iterator<Item = &StreamReplay> {
        self.streams.iter().filter(|stream| stream.difference.is_some())
    }
}

/// Replays every cassette of `cassettes` (`NAME.json` or `NAME.json.gz`) with the connector of its name in `connectors`.
///
/// A manifest that cannot be read is a difference of its streams.
///
/// # Errors
/// [`ErrorKind::NotFound`] if the folder or a cassette cannot be read, [`ErrorKind::Invalid`] if a cassette is not one.
pub async fn replay_folders(connectors: &Path, cassettes: &Path, registry: &Registry) -> Result<ReplayReport> {
    let unreadable = |source: std::io::Error| {
        Error::new(ErrorKind::NotFound, "the folder of the cassettes cannot be read: check the path")
            .with("folder", cassettes.display())
            .because(source)
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(cassettes).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(stem) = name.strip_suffix(".json.gz").or_else(|| name.strip_suffix(".json")) {
            files.push((stem.to_owned(), path));
        }
    }
    files.sort();
    let mut report = ReplayReport::default();
    for (stem, path) in files {
        let cassette = Cassette::read(&path)?;
        let folder = connectors.join(&stem);
        report.streams.extend(replay_connector(&folder, &stem, &cassette, registry).await);
    }
    Ok(report)
}

/// Replays one cassette with the manifest in `folder`.
async fn replay_connector(folder: &Path, name: &str, cassette: &Cassette, registry: &Registry) -> Vec<StreamReplay> {
    let manifest = read_manifest(folder, registry);
    let mut streams = Vec::new();
    for (stream, recording) in cassette.streams() {
        let difference = match &manifest {
            Ok(manifest) => replay_stream(manifest, cassette, stream, recording).await,
            Err(error) => Some(error.to_string()),
        };
        streams.push(StreamReplay { connector: name.to_owned(), stream: stream.to_owned(), difference });
    }
    streams
}

/// Reads the manifest of a connector's folder, with the files beside it.
///
/// # Errors
/// [`ErrorKind::NotFound`] if there is none or a file cannot be read, and the errors of [`Manifest::parse_with`].
pub fn read_manifest(folder: &Path, registry: &Registry) -> Result<Manifest> {
    let files = Files::of_folder(folder)?;
    let text = ["manifest.yaml", "manifest.yml", "manifest.json"].iter().find_map(|name| files.get(name));
    let text = text.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "the folder has no manifest.yaml").with("folder", folder.display())
    })?;
    Manifest::parse_with(text, &files, registry.clone())
}

/// The first difference of one stream.
async fn replay_stream(
    manifest: &Manifest,
    cassette: &Cassette,
    stream: &str,
    recording: &Recording,
) -> Option<String> {
    let player = Player::new(&recording.requests);
    let mut sink = Collector::default();
    let outcome = async {
        let clock = FrozenClock::at(&cassette.frozen_clock)?;
        let mut source = Source::unchecked(manifest, cassette.config.clone(), Arc::new(clock))?;
        // The reference asks for the list of streams before it reads any of them.
        if source.asks_for_streams() {
            source.discover(&player).await?;
        }
        source.read(stream, &Value::Null, &player, &mut sink).await
    };
    let outcome = outcome.await;
    // What went wrong with a request says more than the error it led to.
    if let Some(difference) = player.difference() {
        return Some(difference);
    }
    let summary = match outcome {
        Ok(summary) => summary,
        Err(error) => return Some(error.to_string()),
    };
    player
        .missed()
        .or_else(|| compare::records(&recording.records, &sink.records))
        .or_else(|| recording.state.as_ref().and_then(|state| compare::states(state, &summary.state)))
}
