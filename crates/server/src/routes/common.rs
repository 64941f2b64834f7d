//! What several groups of routes share: names in bodies, times, and ids that other programs expect.

use std::collections::BTreeSet;

use highwater_core::{ErrorKind, Timestamp};
use highwater_engine::connections::{ConnectionFilter, ConnectionOrder};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::about::schema;
use crate::call::{Call, MAX_NAME};
use crate::error::{ApiError, Place};
use crate::input::{Object, value};

/// The longest name of a sync, an action or a variant, in bytes.
pub(crate) const MAX_SYNC: usize = 255;

/// Reads a text of a body: not empty, without control characters.
pub(crate) fn text(name: &str, given: &str, most: usize) -> Result<String, ApiError> {
    value::read(Place::Body, name, given, value::text(most))
}

/// A sync as bodies name it: `issues`, `issues::variant`, or the parts.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a sync is its name, or an object of name and variant")]
pub(crate) enum SyncName {
    Text(String),
    Parts(Object<SyncParts>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SyncParts {
    name: String,
    variant: String,
}

/// The schema of a sync's name in a body.
pub(crate) fn sync_name_schema() -> Value {
    let parts = schema::closed([("name", schema::name(MAX_SYNC)), ("variant", schema::name(MAX_SYNC))]);
    json!({ "anyOf": [schema::name(MAX_SYNC), parts] })
}

impl SyncName {
    /// Returns the library's name of the sync at a provider.
    pub(crate) fn of(&self, provider: &str) -> Result<String, ApiError> {
        match self {
            SyncName::Text(text) => match text.split_once("::") {
                Some((name, variant)) => sync_name(Place::Body, provider, name, variant),
                None => sync_name(Place::Body, provider, text, BASE),
            },
            SyncName::Parts(parts) => sync_name(Place::Body, provider, &parts.name, &parts.variant),
        }
    }
}

/// The name of the variant that every sync has.
pub(crate) const BASE: &str = "base";

/// Returns the library's name of a sync: `provider/name`, with `::variant` for another than the base one.
pub(crate) fn sync_name(place: Place, provider: &str, name: &str, variant: &str) -> Result<String, ApiError> {
    let name = value::read(place, "syncs", name, value::text(MAX_SYNC))?;
    let variant = value::read(place, "variant", variant, value::text(MAX_SYNC))?;
    let whole = if name.contains('/') { name } else { format!("{provider}/{name}") };
    Ok(if variant.eq_ignore_ascii_case(BASE) { whole } else { format!("{whole}::{variant}") })
}

/// Splits the library's name of a sync into name and variant, as other programs know them.
pub(crate) fn split_name(sync: &str) -> (&str, &str) {
    let (template, variant) = sync.split_once("::").unwrap_or((sync, BASE));
    (template.split_once('/').map_or(template, |(_, name)| name), variant)
}

/// Returns the provider of an integration, or the name itself if a provider has it: connections without an integration are found
/// by their provider.
pub(crate) async fn provider_of(call: &Call, key: &str) -> Result<String, ApiError> {
    match call.engine().integration(key)?.settings().await {
        Ok(settings) => Ok(settings.provider),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        Err(_) if call.engine().providers().any(|known| known.name == key) => Ok(key.to_owned()),
        Err(_) => Err(ApiError::bad(
            "unknown_provider_config",
            "no integration has this key, and no provider this name: check it, or create the integration",
        )),
    }
}

/// Returns the ids of an integration's connections.
pub(crate) async fn connections_of(call: &Call, key: &str) -> Result<BTreeSet<String>, ApiError> {
    let filter = ConnectionFilter::default().integration(key).order(ConnectionOrder::Id).limit(usize::MAX);
    let page = call.engine().connection_states(&filter).await?;
    Ok(page.connections.into_iter().map(|connection| connection.settings.id).collect())
}

/// Reads the key of an integration in a body.
pub(crate) fn integration_key(given: &str) -> Result<String, ApiError> {
    text("provider_config_key", given, MAX_NAME)
}

/// Reads the id of a connection in a body.
pub(crate) fn connection_id(given: &str) -> Result<String, ApiError> {
    text("connection_id", given, MAX_NAME)
}

/// Writes a time in UTC with milliseconds, such as `2026-11-30T12:00:00.000Z`.
pub(crate) fn iso(at: Timestamp) -> String {
    at.to_string()
}

/// A number for programs that expect one as an id: the same for the same text.
pub(crate) fn number(text: &str) -> u64 {
    let hash = blake3::hash(text.as_bytes());
    let [a, b, c, d, e, f, ..] = *hash.as_bytes();
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

/// A UUID for programs that expect one as an id: the same for the same texts (RFC 9562, version 8).
pub(crate) fn uuid(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&part.len().to_be_bytes()).update(part.as_bytes());
    }
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

/// Reads a switch in a query or a header, as the peer's server does.
pub(crate) const SWITCH: &[(&str, bool)] = &[
    ("true", true),
    // As Python writes them.
    ("True", true),
    ("False", false),
    ("1", true),
    ("yes", true),
    ("on", true),
    ("y", true),
    ("enabled", true),
    ("false", false),
    ("0", false),
    ("no", false),
    ("off", false),
    ("n", false),
    ("disabled", false),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_syncs_are_translated_both_ways() {
        for (name, variant, whole) in [
            ("issues", "base", "github/issues"),
            ("issues", "Base", "github/issues"),
            ("issues", "v", "github/issues::v"),
            ("github/issues", "v", "github/issues::v"),
        ] {
            let found = sync_name(Place::Body, "github", name, variant).unwrap();
            assert_eq!(found, whole);
            let (back, of) = split_name(&found);
            assert_eq!((back, of.to_lowercase()), ("issues", variant.to_lowercase()));
        }
        assert!(sync_name(Place::Body, "github", "", "base").is_err());
        assert!(sync_name(Place::Body, "github", "a\nb", "base").is_err());
    }

    #[test]
    fn derived_ids_are_stable_and_differ() {
        assert_eq!(uuid(&["a", "b"]), uuid(&["a", "b"]));
        assert_ne!(uuid(&["ab", ""]), uuid(&["a", "b"]));
        assert_eq!(uuid(&[]).len(), 36);
        assert!(number("a") != number("b") && number("a") < 1 << 48);
    }
}
