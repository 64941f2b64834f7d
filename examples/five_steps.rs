//! The five steps of a host, with a store of its own beside Highwater's: a plain file of cursors.
//!
//! `cargo run --example five_steps`
#![allow(clippy::disallowed_macros)] // an example prints

use std::collections::BTreeMap;
use std::path::Path;

use highwater::{Cursor, Result, SqliteStore, Store, StoreExt, StreamKey, WriteBatch};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (db, cursor_file) = (folder.path().join("app.db"), folder.path().join("cursor"));
    let contacts = StreamKey::new("acme", "Contact");
    let mut replica = BTreeMap::new();

    for day in 0..3 {
        // The host may end and start anew at any time: everything is in the two files.
        let store = SqliteStore::open(&db)?;
        let mut wakeups = store.subscribe();
        sync_page(&store, &contacts, day).await?;
        wakeups.changed().await?; // 1. get notified

        let mut cursor = load_cursor(&cursor_file)?; // 2. load the cursor
        loop {
            let page = store.records(&contacts).since(cursor).limit(2).page().await?; // 3. fetch what was modified
            for change in &page.changes {
                println!("day {day}: {:?} {}", change.net, change.record.id);
                match &change.record.payload {
                    _ if change.net.removes() => drop(replica.remove(&*change.record.id)),
                    Some(payload) => {
                        replica.insert(change.record.id.to_string(), payload.to_string()); // 4. store the records
                    }
                    None => {} // its payload was pruned: what is held of it stays
                }
            }
            cursor = page.next_cursor;
            std::fs::write(&cursor_file, cursor.to_string()).expect("the cursor is written"); // 5. store the cursor
            if page.caught_up {
                break;
            }
        }
        store.close().await?;
    }
    assert_eq!(replica.keys().collect::<Vec<_>>(), ["ada", "grace"]);
    println!("the replica: {replica:#?}");
    Ok(())
}

/// What a run of a template leaves behind.
async fn sync_page(store: &SqliteStore, contacts: &StreamKey, day: u32) -> Result<()> {
    let mut batch = WriteBatch::new();
    let stream = batch.on(contacts);
    match day {
        0 => stream
            .upsert(r#"{"id":"ada","city":"London"}"#)
            .upsert(r#"{"id":"alan","city":"Manchester"}"#)
            .upsert(r#"{"id":"grace","city":"New York"}"#),
        1 => stream.upsert(r#"{"id":"ada","city":"London"}"#).upsert(r#"{"id":"grace","city":"Arlington"}"#),
        _ => stream.delete("alan"),
    };
    store.commit(batch).await.map(drop)
}

fn load_cursor(file: &Path) -> Result<Cursor> {
    match std::fs::read_to_string(file) {
        Ok(text) => text.parse(),
        Err(_) => Ok(Cursor::START),
    }
}
