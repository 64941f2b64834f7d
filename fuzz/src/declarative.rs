//! Manifests and templates of the declarative language, as a stranger might write them.

use std::sync::{Arc, LazyLock};

use highwater_core::{Environment, Timestamp};
use highwater_interpolation::{Interpolator, Variables};
use highwater_declarative::{Files, Manifest, Source, Value, json};

/// The same moment and the same chance each time, so that what broke breaks again.
#[derive(Debug)]
struct Frozen;

impl Environment for Frozen {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1_710_504_000_123)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(0xa5);
    }
}

static INTERPOLATOR: LazyLock<Interpolator> = LazyLock::new(|| Interpolator::new(Arc::new(Frozen)));

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

/// A template, a zero, and its variables as JSON: it gives a value or an error, in bounded time.
pub fn interpolation(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (template, context) = text.split_once('\0').unwrap_or((text, "{}"));
    let context: Value = serde_json::from_str(context).unwrap_or_else(|_| json!({"a": [1, "x", null]}));
    let variables = Variables::new()
        .with("config", &context)
        .with("record", &context)
        .with("response", &context)
        .with("parameters", &context)
        .with("stream_slice", &context);
    let checked = INTERPOLATOR.check(template);
    let value = INTERPOLATOR.evaluate(template, &variables);
    if checked.is_err() {
        assert!(value.is_err(), "a template that does not parse gave a value");
    }
    let again = INTERPOLATOR.evaluate(template, &variables);
    assert_eq!(value.ok(), again.ok(), "the same template gave two values");
    let _ = INTERPOLATOR.condition(template, &variables);
    let _ = INTERPOLATOR.evaluate_text(template, &variables);
    let _ = INTERPOLATOR.variables_of(template);
}
