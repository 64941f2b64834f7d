//! Prometheus' text format, with a bounded number of lines.

use std::collections::BTreeSet;
use std::fmt::Write;

/// The most label values that a family has of one kind: everything beyond is summed up as `other`.
pub(super) const MOST: usize = 100;
/// The longest label value, in characters.
const LONGEST: usize = 100;
/// What stands for the values beyond.
const OTHER: &str = "other";

/// What a number is: one that only grows, or one that goes up and down.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The numbers of one name.
pub(crate) struct Family {
    name: &'static str,
    text: String,
}

impl Family {
    pub(crate) fn new(name: &'static str, kind: Kind, help: &str) -> Self {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        Family { name, text: format!("# HELP {name} {help}\n# TYPE {name} {kind}\n") }
    }

    /// Adds a number with its labels.
    pub(crate) fn add(&mut self, labels: &[(&str, &str)], number: f64) {
        self.add_part("", labels, number);
    }

    /// Adds a number of a histogram: `_bucket`, `_sum` or `_count`.
    pub(crate) fn add_part(&mut self, part: &str, labels: &[(&str, &str)], number: f64) {
        self.text.push_str(self.name);
        self.text.push_str(part);
        for (place, (name, value)) in labels.iter().enumerate() {
            self.text.push_str(if place == 0 { "{" } else { "," });
            // Writing to a text cannot fail.
            let _ = write!(self.text, "{name}=\"{}\"", escaped(value));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {number}");
    }

    /// Appends the numbers to an answer.
    pub(crate) fn write(self, text: &mut String) {
        text.push_str(&self.text);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The label values that have lines of their own: names come from outside, and there may be many.
#[derive(Default)]
pub(super) struct Known(BTreeSet<String>);

impl Known {
    /// Returns the label value of a name: its beginning, or `other` once there are too many.
    pub(super) fn label(&mut self, name: &str) -> String {
        let name: String = name.chars().take(LONGEST).collect();
        if self.0.contains(&name) {
            return name;
        }
        if self.0.len() == MOST {
            return OTHER.to_owned();
        }
        self.0.insert(name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut family = Family::new("a_total", Kind::Counter, "Things.");
        family.add(&[("name", "a\"b\\c\nd"), ("other", "x")], 1.5);
        let mut text = String::new();
        family.write(&mut text);
        let expected =
            "# HELP a_total Things.\n# TYPE a_total counter\na_total{name=\"a\\\"b\\\\c\\nd\",other=\"x\"} 1.5\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn labels_are_bounded() {
        let mut known = Known::default();
        let labels: BTreeSet<String> = (0..1000).map(|number| known.label(&format!("name {number}"))).collect();
        assert_eq!(labels.len(), MOST + 1);
        assert_eq!(known.label("name 7"), "name 7");
        assert_eq!(known.label(&"x".repeat(5000)), OTHER);
        assert_eq!(Known::default().label(&"ü".repeat(5000)).chars().count(), LONGEST);
    }
}
