//! Splits the properties to request into parts that the API accepts.

use highwater_core::Result;
use highwater_interpolation::{Map, Value, python_text};

use super::PageReader;
use crate::document::is_truthy;
use crate::dpath::dpath_get;
use crate::model::{PropertyChunking, PropertyList, QueryProperties, path_of};
use crate::run::context::Run;
use crate::run::record::Record;
use crate::run::slice::Slice;
use crate::run::transform::apply_all;

/// Lists of property names, a request each.
pub(crate) type Chunks = Vec<Vec<String>>;

impl QueryProperties {
    /// The properties of each request; those that `schema` lacks are left out where the manifest asks for it.
    pub(crate) async fn chunks(&self, run: &Run<'_>, schema: Option<&Value>) -> Result<Chunks> {
        let selected = self.selected(run, schema)?;
        let names: Vec<String> = match &self.list {
            PropertyList::Fixed(names) => names.clone(),
            PropertyList::Endpoint { retriever, path } => {
                let path = path_of(path, &run.scope())?;
                let mut names = Vec::new();
                let mut pages = PageReader::plain(run, retriever, Slice::whole());
                while let Some(page) = Box::pin(pages.next()).await? {
                    for record in page.records {
                        if let Some(name) = dpath_get(&record.read()?, &path) {
                            names.push(python_text(name));
                        }
                    }
                }
                names
            }
        };
        let limit =
            self.chunking.as_ref().and_then(|chunking| chunking.limit.map(|limit| (limit, chunking.characters)));
        let Some((limit, characters)) = limit else {
            // The reference puts the fixed ones first without a limit, last with an unlimited chunking.
            if self.chunking.is_some() {
                return Ok(vec![names.iter().chain(&self.always).cloned().collect()]);
            }
            let names = names.iter().filter(|name| selected.as_ref().is_none_or(|known| known.contains_key(name)));
            return Ok(vec![self.always.iter().chain(names).cloned().collect()]);
        };
        let mut chunks = Vec::new();
        let mut chunk = self.always.clone();
        let mut size = 0;
        for name in names {
            if selected.as_ref().is_some_and(|known| !known.contains_key(&name)) {
                continue;
            }
            let cost = if characters { name.chars().count() + 3 } else { 1 };
            if size + cost > limit {
                chunks.push(std::mem::replace(&mut chunk, self.always.clone()));
                size = 0;
            }
            chunk.push(name);
            size += cost;
        }
        chunks.push(chunk);
        Ok(chunks)
    }

    /// The properties of the schema, under the names that the API has for them.
    fn selected(&self, run: &Run<'_>, schema: Option<&Value>) -> Result<Option<Map>> {
        let Some(changes) = &self.selector else { return Ok(None) };
        let properties = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
        let mut properties = properties.cloned().unwrap_or_default();
        apply_all(&mut properties, changes, &run.scope())?;
        Ok(Some(properties))
    }
}

impl PropertyChunking {
    /// What tells which record a part belongs to.
    pub(crate) fn merge_key(&self, record: &Record) -> Option<String> {
        let key = |name: &String| record.member(name).filter(is_truthy).map(|value| python_text(&value));
        self.merge_keys.iter().map(key).collect::<Option<Vec<_>>>().map(|keys| keys.join(","))
    }
}
