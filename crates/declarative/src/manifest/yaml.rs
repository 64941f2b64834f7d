//! YAML and JSON text to a tree, within limits.

use highwater_core::{Error, ErrorKind, Result};
use serde_json::Value;

/// The largest manifests are below one megabyte.
const MAX_BYTES: usize = 16 << 20;
/// Enough for any manifest, too little to exhaust the stack.
const MAX_DEPTH: usize = 96;
const MAX_NODES: usize = 1_000_000;

/// Reads YAML (of which JSON is a part).
pub(crate) fn read_value(text: &str) -> Result<Value> {
    if text.len() > MAX_BYTES {
        return Err(Error::new(ErrorKind::Invalid, "the manifest is larger than 16 MiB").with("bytes", text.len()));
    }
    let mut options = serde_saphyr::Options::default();
    // `y`, `n` and the like are texts: fields have such names.
    options.strict_booleans = true;
    options.duplicate_keys = serde_saphyr::DuplicateKeyPolicy::LastWins;
    if let Some(budget) = &mut options.budget {
        budget.max_depth = MAX_DEPTH;
        budget.flow_nesting_limit = MAX_DEPTH;
        budget.max_nodes = MAX_NODES;
        budget.max_aliases = 10_000;
    }
    let value: Value = serde_saphyr::from_str_with_options(text, options).map_err(|source| {
        let message = source.to_string();
        let line = message.lines().next().unwrap_or_default().trim().to_owned();
        Error::new(ErrorKind::Invalid, format!("the manifest is no valid YAML: {line}"))
    })?;
    Ok(value)
}
