//! The named values that a template sees.

use crate::value::Value;

/// The named values of one evaluation. They are borrowed, so that a whole response costs nothing to pass.
///
/// `stream_interval` and `stream_partition` are other names of `stream_slice`.
///
/// ```
/// use highwater_interpolation::Variables;
/// let config = highwater_interpolation::json!({"page_size": 50});
/// let variables = Variables::new().with("config", &config);
/// assert_eq!(variables.get("config"), Some(&config));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Variables<'a> {
    entries: Vec<(&'a str, &'a Value)>,
    attributes: Vec<(&'a str, &'a Value)>,
}

impl<'a> Variables<'a> {
    /// Creates a set without variables.
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
        put(&mut self.entries, name, value);
    }

    /// Adds or replaces the attributes of the variable `name`: members of the mapping `value` that a template reaches as
    /// `name.member` and `name['member']`, but that are not among the members of the variable itself. A slice has its
    /// `partition` and `cursor_slice` in this way.
    #[must_use]
    pub fn with_attributes(mut self, name: &'a str, value: &'a Value) -> Self {
        put(&mut self.attributes, name, value);
        self
    }

    /// Returns the value under `name`.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        found(&self.entries, name)
    }

    /// Returns the attribute `member` of the variable `name`.
    pub(crate) fn attribute(&self, name: &str, member: &str) -> Option<&'a Value> {
        found(&self.attributes, name)?.get(member)
    }
}

fn put<'a>(entries: &mut Vec<(&'a str, &'a Value)>, name: &'a str, value: &'a Value) {
    match entries.iter_mut().find(|(existing, _)| *existing == name) {
        Some(entry) => entry.1 = value,
        None => entries.push((name, value)),
    }
}

/// The entry under `name`, or under the name that it is another name of.
fn found<'a>(entries: &[(&'a str, &'a Value)], name: &str) -> Option<&'a Value> {
    let find = |wanted: &str| entries.iter().find(|(existing, _)| *existing == wanted).map(|(_, value)| *value);
    find(name).or_else(|| match name {
        "stream_interval" | "stream_partition" => find("stream_slice"),
        _ => None,
    })
}
