//! Which properties to ask for, in parts that the API accepts.

use highwater_core::Result;

use super::context::Run;
use super::dpath::dpath_get;
use super::pages::PageReader;
use super::select::Record;
use super::slice::Slice;
use crate::interpolation::python_text;
use crate::manifest::is_truthy;
use crate::model::{PropertyChunking, PropertyList, QueryProperties, path_of};

/// Lists of property names, a request each.
pub(crate) type Chunks = Vec<Vec<String>>;

impl QueryProperties {
    pub(crate) async fn chunks(&self, run: &Run<'_>) -> Result<Chunks> {
        let names = match &self.list {
            PropertyList::Fixed(names) => names.clone(),
            PropertyList::Endpoint { retriever, path } => {
                let path = path_of(path, &run.scope())?;
                let mut names = Vec::new();
                let mut pages = PageReader::plain(run, retriever, Slice::whole());
                while let Some(page) = Box::pin(pages.next()).await? {
                    for record in page.records {
                        if let Some(name) = dpath_get(&record.to_value()?, &path) {
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
            let (first, last) = if self.chunking.is_some() { (&names, &self.always) } else { (&self.always, &names) };
            return Ok(vec![first.iter().chain(last).cloned().collect()]);
        };
        let mut chunks = Vec::new();
        let mut chunk = self.always.clone();
        let mut size = 0;
        for name in names {
            let cost = if characters { name.chars().count() + 3 } else { 1 };
            if size + cost > limit && size > 0 {
                chunks.push(std::mem::replace(&mut chunk, self.always.clone()));
                size = 0;
            }
            chunk.push(name);
            size += cost;
        }
        chunks.push(chunk);
        Ok(chunks)
    }
}

impl PropertyChunking {
    /// What tells which record a part belongs to.
    pub(crate) fn merge_key(&self, record: &Record) -> Option<String> {
        let key = |name: &String| record.member(name).filter(is_truthy).map(|value| python_text(&value));
        self.merge_keys.iter().map(key).collect::<Option<Vec<_>>>().map(|keys| keys.join(","))
    }
}
