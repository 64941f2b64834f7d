//! Templates of the declarative language, as a stranger might write them.

use std::sync::{Arc, LazyLock};

use highwater_interpolation::{Interpolator, Value, Variables, json};

use crate::declarative::Frozen;

static INTERPOLATOR: LazyLock<Interpolator> = LazyLock::new(|| Interpolator::new(Arc::new(Frozen)));

/// A template, a zero, and its variables as JSON: it gives a value or an error, in bounded time.
pub fn template(data: &[u8]) {
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
