//! The named values that a template sees.

use crate::value::Value;

/// The variable with what `stream_slice` can be asked for besides its members: no template can name it.
pub(crate) const SLICE_PARTS: &str = "stream_slice.";

/// The name under which a slice's own part stands, if `variable` is a slice.
pub(super) fn part_of_slice<'a>(variables: &Variables<'a>, variable: &str, name: &str) -> Option<&'a Value> {
    match variable {
        "stream_slice" | "stream_partition" | "stream_interval" => variables.get(SLICE_PARTS)?.get(name),
        _ => None,
    }
}

/// The named values of one evaluation, borrowed: a whole response costs nothing to pass.
///
/// `stream_interval` and `stream_partition` are other names of `stream_slice`.
///
/// ```
/// use highwater_declarative::interpolation::Variables;
/// let config = highwater_declarative::json!({"page_size": 50});
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
