//! Reads the members of a mapping, and says what is wrong with them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use highwater_core::Result;
use serde_json::Value as Json;

use crate::at;
use crate::tree::{Member, Node, Value};

/// The longest text: a description needs no longer ones.
const MAX_TEXT: usize = 4096;

/// The members of a mapping. Each reader names a key that is known; [`end`](Fields::end) refuses the others.
pub(crate) struct Fields<'n> {
    /// What the mapping is, for messages: "the provider", "`auth`".
    what: String,
    line: usize,
    members: &'n [Member],
    known: RefCell<BTreeSet<&'static str>>,
}

impl<'n> Fields<'n> {
    pub(crate) fn of(node: &'n Node, what: impl Into<String>) -> Result<Self> {
        let what = what.into();
        let Value::Mapping(members) = &node.value else {
            return Err(at(node.line, format!("{what} is {}: give a mapping of keys to values", node.value.kind())));
        };
        Ok(Fields { what, line: node.line, members, known: RefCell::default() })
    }

    pub(crate) fn line(&self) -> usize {
        self.line
    }

    pub(crate) fn find(&self, key: &'static str) -> Option<&'n Node> {
        self.known.borrow_mut().insert(key);
        self.members.iter().find(|member| member.key == key).map(|member| &member.node)
    }

    fn need(&self, key: &'static str) -> Result<&'n Node> {
        self.find(key).ok_or_else(|| at(self.line, format!("{} lacks `{key}`: add it", self.what)))
    }

    pub(crate) fn text(&self, key: &'static str) -> Result<String> {
        text(self.need(key)?, key)
    }

    pub(crate) fn text_or(&self, key: &'static str, otherwise: &str) -> Result<String> {
        self.find(key).map_or(Ok(otherwise.to_owned()), |node| text(node, key))
    }

    pub(crate) fn optional(&self, key: &'static str) -> Result<Option<String>> {
        self.find(key).map(|node| text(node, key)).transpose()
    }

    /// A text and its line.
    pub(crate) fn placed(&self, key: &'static str) -> Result<Option<(usize, String)>> {
        self.find(key).map(|node| Ok((node.line, text(node, key)?))).transpose()
    }

    pub(crate) fn number<N: std::str::FromStr>(&self, key: &'static str) -> Result<Option<N>> {
        let Some((line, text)) = self.placed(key)? else { return Ok(None) };
        let number = text.parse().map_err(|_| at(line, format!("`{key}` is not a whole number: {text:?}")))?;
        Ok(Some(number))
    }

    pub(crate) fn seconds(&self, key: &'static str) -> Result<Option<Duration>> {
        let Some((line, text)) = self.placed(key)? else { return Ok(None) };
        let seconds = text.parse().ok().filter(|seconds| *seconds > 0.0 && *seconds <= 86_400.0);
        let seconds = seconds
            .ok_or_else(|| at(line, format!("`{key}` is not a number of seconds between 0 and 86400: {text:?}")))?;
        Ok(Some(Duration::from_secs_f64(seconds)))
    }

    /// One of several words.
    pub(crate) fn word<T: Copy>(&self, key: &'static str, words: &[(&'static str, T)]) -> Result<Option<T>> {
        let Some((line, text)) = self.placed(key)? else { return Ok(None) };
        if let Some((_, found)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(Some(*found));
        }
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let hint = match nearest(&text, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use one of {}", words.join(", ")),
        };
        Err(at(line, format!("unknown `{key}` {text:?}: {hint}")))
    }

    pub(crate) fn list(&self, key: &'static str) -> Result<&'n [Node]> {
        match self.find(key) {
            None => Ok(&[]),
            Some(Node { value: Value::List(items), .. }) => Ok(items),
            Some(node) => Err(at(node.line, format!("`{key}` is {}: give a list", node.value.kind()))),
        }
    }

    /// A list of texts with their lines.
    pub(crate) fn texts(&self, key: &'static str) -> Result<Vec<(usize, String)>> {
        self.list(key)?.iter().map(|node| Ok((node.line, text(node, &format!("an entry of {key}"))?))).collect()
    }

    /// A mapping of texts to texts.
    pub(crate) fn pairs(&self, key: &'static str) -> Result<Vec<(usize, String, String)>> {
        let members = match self.find(key) {
            None => return Ok(Vec::new()),
            Some(Node { value: Value::Mapping(members), .. }) => members,
            Some(node) => {
                let kind = node.value.kind();
                return Err(at(node.line, format!("`{key}` is {kind}: give a mapping of names to texts")));
            }
        };
        let pair = |member: &Member| Ok((member.line, member.key.clone(), text(&member.node, &member.key)?));
        members.iter().map(pair).collect()
    }

    /// The members of a mapping of names to anything.
    pub(crate) fn named(&self, key: &'static str) -> Result<&'n [Member]> {
        match self.find(key) {
            None => Ok(&[]),
            Some(Node { value: Value::Mapping(members), .. }) => Ok(members),
            Some(node) => Err(at(node.line, format!("`{key}` is {}: give a mapping", node.value.kind()))),
        }
    }

    /// A mapping of its own.
    pub(crate) fn fields(&self, key: &'static str) -> Result<Option<Fields<'n>>> {
        self.find(key).map(|node| Fields::of(node, format!("`{key}`"))).transpose()
    }

    /// Refuses keys that no reader named.
    pub(crate) fn end(self) -> Result<()> {
        let known = self.known.borrow();
        let Some(unknown) = self.members.iter().find(|member| !known.contains(member.key.as_str())) else {
            return Ok(());
        };
        let hint = match nearest(&unknown.key, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("{} has {}", self.what, known.iter().copied().collect::<Vec<_>>().join(", ")),
        };
        Err(at(unknown.line, format!("unknown key `{}`: {hint}", unknown.key)))
    }
}

fn text(node: &Node, key: &str) -> Result<String> {
    let what = if key.starts_with("an ") { key.to_owned() } else { format!("`{key}`") };
    match &node.value {
        Value::Scalar(text) if text.trim().is_empty() => Err(at(node.line, format!("{what} is empty: give a value"))),
        Value::Scalar(text) if text.len() > MAX_TEXT => {
            Err(at(node.line, format!("{what} is longer than {MAX_TEXT} bytes: shorten it")))
        }
        Value::Scalar(text) if text.chars().any(char::is_control) => {
            Err(at(node.line, format!("{what} has a line break or another control character: write it in one line")))
        }
        Value::Scalar(text) => Ok(text.clone()),
        Value::Empty => Err(at(node.line, format!("{what} is empty: give a value"))),
        other => Err(at(node.line, format!("{what} is {}: give a text", other.kind()))),
    }
}

/// The tree as JSON: plain numbers, `true` and `false` are what they look like.
pub(crate) fn json(node: &Node) -> Json {
    match &node.value {
        Value::Empty => Json::Null,
        Value::Scalar(text) => match serde_json::from_str(text) {
            Ok(found @ (Json::Number(_) | Json::Bool(_))) => found,
            _ => Json::from(text.as_str()),
        },
        Value::List(items) => items.iter().map(json).collect(),
        Value::Mapping(members) => members.iter().map(|member| (member.key.clone(), json(&member.node))).collect(),
    }
}

/// The known word that is closest to `wanted`, if one is close.
pub(crate) fn nearest<'k>(wanted: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let close = |word: &str| distance(wanted, word) <= (wanted.chars().count() / 3).max(1);
    known.filter(|word| close(word)).min_by_key(|word| distance(wanted, word))
}

/// How many characters differ: inserted, left out, replaced, or swapped with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().take(64).collect(), other.chars().collect());
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=other.len()).collect();
    for i in 1..=one.len() {
        for j in 1..=other.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[one.len()][other.len()]
}
