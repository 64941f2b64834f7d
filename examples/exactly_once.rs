//! The host's own table in the same SQLite file: records and acknowledgement in one transaction.
//!
//! `cargo run --example exactly_once`
#![allow(clippy::disallowed_macros)] // an example prints

use highwater::consumer::PollOptions;
use highwater::stores::rusqlite::{self, Connection, params};
use highwater::{Result, SqliteStore, Store, StreamKey, WriteBatch};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let db = folder.path().join("app.db");
    let payments = StreamKey::new("acme", "Payment");
    let store = SqliteStore::open(&db)?;
    let own = Connection::open(&db).expect("the host's own connection");
    own.execute_batch("CREATE TABLE total (cents INTEGER NOT NULL); INSERT INTO total VALUES (0)").expect("the table");

    let mut batch = WriteBatch::new();
    for number in 1..=100 {
        batch.on(&payments).upsert(format!(r#"{{"id":{number},"cents":{}}}"#, number * 10));
    }
    store.commit(batch).await?;

    // Each batch adds to the total and moves the consumer's position, both or neither: a crash between
    // them cannot happen, and no payment counts twice.
    let options = PollOptions::default().limit(7);
    let mut batches = 0;
    while let Some(count) = store
        .consume_in_tx(&payments, "ledger", options.clone(), |connection, page| {
            let mut add = connection.prepare_cached("UPDATE total SET cents = cents + ?1")?;
            for change in &page.changes {
                let payment: serde_json::Value = change.record.to()?;
                add.execute(params![payment["cents"].as_i64()])?;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(page.changes.len())
        })
        .await?
    {
        batches += 1;
        println!("batch {batches}: {count} payments");
    }
    let total: i64 = own.query_row("SELECT cents FROM total", [], |row: &rusqlite::Row<'_>| row.get(0)).expect("a sum");
    assert_eq!(total, 50_500);
    println!("total: {total} cents from {batches} batches");
    store.close().await
}
