//! A slice: a part of a stream that is read separately. It is a partition, a window of time, or both.

use highwater_interpolation::{Map, Value};

use crate::model::Scope;

#[derive(Clone, Debug, Default)]
pub(crate) struct Slice {
    pub partition: Map,
    pub cursor: Map,
    pub extra: Map,
    /// As templates see it.
    view: Value,
    /// What templates may ask it for besides: `partition`, `cursor_slice` and `extra_fields`.
    parts: Value,
}

impl Slice {
    pub(crate) fn new(partition: Map, cursor: Map, extra: Map) -> Self {
        let mut view = partition.clone();
        view.extend(cursor.clone());
        let parts = [("extra_fields", &extra), ("partition", &partition), ("cursor_slice", &cursor)];
        let parts = parts.map(|(name, part)| (name.to_owned(), Value::Object(part.clone())));
        let parts = Value::Object(Map::from_iter(parts));
        Slice { partition, cursor, extra, view: Value::Object(view), parts }
    }

    pub(crate) fn whole() -> Self {
        Slice::new(Map::new(), Map::new(), Map::new())
    }

    /// The variables of a slice.
    pub(crate) fn seen<'s>(&'s self, scope: &Scope<'s>) -> Scope<'s> {
        scope.with("stream_slice", &self.view).with_attributes("stream_slice", &self.parts)
    }

    /// A value of the partition or the window.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.partition.get(name).or_else(|| self.cursor.get(name))
    }

    /// The same partition with a window.
    pub(crate) fn within(&self, cursor: Map) -> Self {
        Slice::new(self.partition.clone(), cursor, self.extra.clone())
    }

    pub(crate) fn with_extra(&self, name: &str, value: Value) -> Self {
        let mut extra = self.extra.clone();
        extra.insert(name.to_owned(), value);
        Slice::new(self.partition.clone(), self.cursor.clone(), extra)
    }

    /// Tells partitions apart.
    pub(crate) fn partition_key(&self) -> String {
        super::json::sorted_text(&Value::Object(self.partition.clone()))
    }

    /// As a checkpoint keeps it.
    pub(crate) fn to_json(&self) -> Value {
        let mut json = Map::new();
        json.insert("partition".into(), Value::Object(self.partition.clone()));
        json.insert("cursor".into(), Value::Object(self.cursor.clone()));
        json.insert("extra".into(), Value::Object(self.extra.clone()));
        Value::Object(json)
    }

    pub(crate) fn from_json(json: &Value) -> Option<Self> {
        let part = |name: &str| json.get(name).and_then(Value::as_object).cloned();
        Some(Slice::new(part("partition")?, part("cursor")?, part("extra")?))
    }
}
