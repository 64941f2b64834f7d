//! Records of the state machine: few contents, many spellings.

use std::fmt::Write as _;

/// What a record holds; every member may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) n: Option<u8>,
    pub(crate) open: Option<bool>,
    pub(crate) deep: [Option<u8>; 2],
}

impl Content {
    /// The content as JSON, in one of several spellings.
    pub(crate) fn text(&self, spelling: u8) -> String {
        let mut members = Vec::new();
        if let Some(n) = self.n {
            let number = match spelling % 4 {
                0 => format!("{n}"),
                1 => format!("{n}.0"),
                2 => format!("{n}.0e-0"),
                _ => format!("{n}e0"),
            };
            members.push(format!("\"n\":{number}"));
        }
        if let Some(open) = self.open {
            let key = if spelling % 3 == 1 { "\\u006fpen" } else { "open" };
            members.push(format!("\"{key}\":{open}"));
        }
        if self.deep != [None, None] {
            let mut inner: Vec<String> = Vec::new();
            for (key, value) in ["a", "b"].iter().zip(self.deep) {
                inner.extend(value.map(|value| format!("\"{key}\":{value}")));
            }
            members.push(format!("\"deep\":{{{}}}", inner.join(", ")));
        }
        if spelling % 2 == 1 {
            members.reverse();
        }
        let mut text = String::new();
        let _ = write!(text, "{{{}}}", members.join(if spelling % 5 == 2 { " ,\n" } else { "," }));
        text
    }

    /// The content of a text that a store gave.
    pub(crate) fn read(text: &str) -> Self {
        let value: serde_json::Value = serde_json::from_str(text).expect("a stored record is JSON");
        let small = |value: &serde_json::Value| value.as_f64().map(|number| number as u8);
        Content {
            n: small(&value["n"]),
            open: value["open"].as_bool(),
            deep: [small(&value["deep"]["a"]), small(&value["deep"]["b"])],
        }
    }

    /// This content with a patch merged in.
    pub(crate) fn merged(&self, patch: &Content) -> Self {
        Content {
            n: patch.n.or(self.n),
            open: patch.open.or(self.open),
            deep: [patch.deep[0].or(self.deep[0]), patch.deep[1].or(self.deep[1])],
        }
    }
}
