//! The members of an object.

use std::hash::{Hash, Hasher};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::Value;
use super::iterators::{IntoIter, Iter, IterMut, Keys, Values, ValuesMut};

/// The members of a JSON object, in the order in which they were inserted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Map(IndexMap<String, Value>);

impl Map {
    /// Creates an object without members.
    pub fn new() -> Self {
        Map::default()
    }

    /// Returns how many members there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether there is a member `name`.
    pub fn contains_key(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns the member `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns the member `name`, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.0.get_mut(name)
    }

    /// Sets a member and returns its former value. A new member comes last; an existing one keeps its position.
    pub fn insert(&mut self, name: String, value: Value) -> Option<Value> {
        self.0.insert(name, value)
    }

    /// Removes a member and returns it. The others keep their order, so this takes time for each of them.
    pub fn shift_remove(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name)
    }

    /// Keeps the members for which `keep` returns true, and removes the others.
    pub fn retain(&mut self, keep: impl FnMut(&String, &mut Value) -> bool) {
        self.0.retain(keep);
    }

    /// Returns the names and values, in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.0.iter())
    }

    /// Returns the names and values, in order; the values can be changed.
    pub fn iter_mut(&mut self) -> IterMut<'_> {
        IterMut(self.0.iter_mut())
    }

    /// Returns the names, in order.
    pub fn keys(&self) -> Keys<'_> {
        Keys(self.0.keys())
    }

    /// Returns the values, in order.
    pub fn values(&self) -> Values<'_> {
        Values(self.0.values())
    }

    /// Returns the values, in order, to be changed.
    pub fn values_mut(&mut self) -> ValuesMut<'_> {
        ValuesMut(self.0.values_mut())
    }

    /// Returns the member `name`, to be changed; where there is none, `default` makes it, and it comes last.
    pub fn get_or_insert_with(&mut self, name: impl Into<String>, default: impl FnOnce() -> Value) -> &mut Value {
        self.0.entry(name.into()).or_insert_with(default)
    }

    /// Sorts the members by name.
    pub fn sort_keys(&mut self) {
        self.0.sort_keys();
    }
}

/// The order makes no difference, as for equality.
impl Hash for Map {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut members: Vec<_> = self.0.iter().collect();
        members.sort_unstable_by_key(|(name, _)| *name);
        members.hash(state);
    }
}

impl FromIterator<(String, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(members: I) -> Self {
        Map(members.into_iter().collect())
    }
}

impl Extend<(String, Value)> for Map {
    fn extend<I: IntoIterator<Item = (String, Value)>>(&mut self, members: I) {
        self.0.extend(members);
    }
}

impl IntoIterator for Map {
    type Item = (String, Value);
    type IntoIter = IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        IntoIter(self.0.into_iter())
    }
}

impl<'m> IntoIterator for &'m Map {
    type Item = (&'m String, &'m Value);
    type IntoIter = Iter<'m>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'m> IntoIterator for &'m mut Map {
    type Item = (&'m String, &'m mut Value);
    type IntoIter = IterMut<'m>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}
