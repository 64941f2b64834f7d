//! What the tests of the file stores on a real machine have in common.
#![allow(dead_code)] // each test program uses its part

use std::process::{Command, Stdio};

use highwater::{Store, StoreExt, StreamKey, WriteBatch};

use crate::support::problems;

pub(crate) const STORES: [&str; 3] = ["sqlite", "redb", "sled"];

pub(crate) fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

pub(crate) async fn save(store: &dyn Store, range: std::ops::Range<usize>, bytes: usize) -> highwater::Result<()> {
    let mut batch = WriteBatch::new();
    for n in range {
        batch.on(&notes()).upsert(format!(r#"{{"id":"{n}","text":"{}"}}"#, format!("{n} ").repeat(bytes / 4)));
    }
    store.commit(batch).await.map(drop)
}

pub(crate) async fn live(store: &dyn Store) -> usize {
    let page = store.records(&notes()).limit(100_000).page().await.unwrap();
    assert_eq!(problems(store, &notes()).await.unwrap(), Vec::<String>::new());
    page.changes.len()
}

/// What a child said; its last words where it failed.
pub(crate) fn run(mut command: Command) -> Result<String, String> {
    let output = command.stderr(Stdio::piped()).stdout(Stdio::piped()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(text) } else { Err(format!("{}\n{text}", output.status)) }
}
