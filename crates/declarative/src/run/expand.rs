//! Expands a list within a record into records.

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value};

use super::context::Run;
use super::pages::PageReader;
use super::slice::Slice;
use crate::document::is_truthy;
use crate::dpath::{dpath_delete, dpath_get, dpath_new, dpath_values};
use crate::model::{Expander, path_of};

impl Expander {
    pub(crate) async fn expand(&self, run: &Run<'_>, record: Value) -> Result<Vec<Value>> {
        let scope = run.scope();
        let path = path_of(&self.path, &scope)?;
        if path.is_empty() || !record.is_object() {
            return Ok(vec![record]);
        }
        let base = self.merge_parent.then(|| {
            let mut base = record.clone();
            dpath_delete(&mut base, &path, &mut |value| value.is_array());
            base
        });
        let indicator = path_of(&self.truncation_path, &scope)?;
        let truncated = !indicator.is_empty() && dpath_get(&record, &indicator).is_some_and(is_truthy);
        if let (true, Some(retriever)) = (truncated, &self.retriever) {
            let partition = Map::from_iter([("parent_record".to_owned(), record.clone())]);
            let slice = Slice::new(partition, Map::new(), Map::new());
            let mut pages = PageReader::plain(run, retriever, slice);
            let mut fetched = Vec::new();
            while let Some(page) = Box::pin(pages.next()).await? {
                for item in page.records {
                    match item.to_value() {
                        Ok(item) => fetched.push(self.child(run, &record, item, base.as_ref())?),
                        Err(error) => run.notes.lost(error.to_string()),
                    }
                }
            }
            if !fetched.is_empty() {
                return Ok(fetched);
            }
        }
        let mut lists = Vec::new();
        dpath_values(&record, &path, &mut lists);
        let mut children = Vec::new();
        for list in lists {
            match list {
                Value::Array(items) => {
                    for item in items {
                        children.push(self.child(run, &record, item.clone(), base.as_ref())?);
                    }
                }
                Value::Null => {}
                _ => run.notes.unsound(format!("a record's `{}` is not a list and was not expanded", path.join("."))),
            }
        }
        if children.is_empty() && self.emit_parent {
            children.push(record);
        }
        Ok(children)
    }

    fn child(&self, run: &Run<'_>, parent: &Value, item: Value, base: Option<&Value>) -> Result<Value> {
        let carries = self.keep_original || self.merge_parent || !self.parent_fields.is_empty();
        let mut child = match item {
            Value::Object(child) => child,
            other if carries => Map::from_iter([("value".to_owned(), other)]),
            other => return Ok(other),
        };
        if let Some(Value::Object(base)) = base {
            let mut merged = base.clone();
            merged.extend(child);
            child = merged;
        }
        for (from, to) in &self.parent_fields {
            let from = path_of(from, &run.scope())?;
            let to = path_of(to, &run.scope())?;
            if to.is_empty() {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    "`record_path` is empty: say where the parent's field goes",
                ));
            }
            dpath_new(&mut child, &to, dpath_get(parent, &from).cloned().unwrap_or(Value::Null));
        }
        if self.keep_original {
            child.insert("original_record".to_owned(), parent.clone());
        }
        Ok(Value::Object(child))
    }
}
