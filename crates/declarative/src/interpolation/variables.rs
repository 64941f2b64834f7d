//! The named values that a template sees.

use serde_json::Value;

/// The named values of one evaluation, borrowed: a whole response costs nothing to pass.
///
/// `stream_interval` and `stream_partition` are other names of `stream_slice`.
///
/// ```
/// use highwater_declarative::interpolation::Variables;
/// let config = serde_json::json!({"page_size": 50});
/// let variables = Variables::new().with("config", &config);
/// assert_eq!(variables.get("config"), Some(&config));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Variables<'a> {
    entries: Vec<(&'a str, &'a Value)>,
}

impl<'a> Variables<'a> {
    /// No variables.
    pub fn new() -> Self {
        Variables::default()
    }

    /// Adds or replaces a variable.
    #[must_use]
    pub fn with(mut self, name: &'a str, value: &'a Value) -> Self {
        self.set(name, value);
        self
    }

    /// Adds or replaces a variable.
    pub fn set(&mut self, name: &'a str, value: &'a Value) {
        match self.entries.iter_mut().find(|(existing, _)| *existing == name) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((name, value)),
        }
    }

    /// The value under `name`.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        let find =
            |wanted: &str| self.entries.iter().find(|(existing, _)| *existing == wanted).map(|(_, value)| *value);
        find(name).or_else(|| match name {
            "stream_interval" | "stream_partition" => find("stream_slice"),
            _ => None,
        })
    }
}
