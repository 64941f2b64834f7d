//! Manifests of the declarative language, as a stranger might write them.

use std::sync::Arc;

use highwater_core::{Environment, Timestamp};
use highwater_declarative::{Files, Manifest, Source, json};

/// The same moment and the same chance each time, so that what broke breaks again.
#[derive(Debug)]
pub(crate) struct Frozen;

impl Environment for Frozen {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1_710_504_000_123)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(0xa5);
    }
}

/// Any text as a manifest: it is loaded or refused in one line, and what is loaded can be looked at.
pub fn manifest(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let manifest = match Manifest::parse(text, &Files::new()) {
        Ok(manifest) => manifest,
        Err(error) => {
            let told = error.to_string();
            assert!(!told.is_empty() && !told.contains('\n'), "{told:?}");
            return;
        }
    };
    for (name, error) in manifest.problems() {
        assert!(!error.to_string().contains('\n'), "{name}: {error}");
    }
    let _ = manifest.stream_names();
    let config = json!({"api_key": "k", "start_date": "2024-03-01", "list": ["a", "b"]});
    if let Ok(source) = Source::new(&manifest, config, Arc::new(Frozen)) {
        let _ = source.streams();
        let _ = source.base_urls();
    }
}
