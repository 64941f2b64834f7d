//! A store, and what every host does with its log.

use std::sync::Arc;
use std::time::Duration;

use highwater::consumer::PollOptions;
use highwater::maintenance::Maintenance;
use highwater::{Cursor, Result, Store, StoreOptions, StreamKey, WriteBatch, blocking};

/// Opens the store that the features name: SQLite, else redb, else memory.
pub(crate) fn open() -> Result<Arc<dyn Store>> {
    let options = options()?;
    #[cfg(feature = "sqlite")]
    return Ok(Arc::new(highwater::SqliteStore::builder("host.db").options(options).open()?));
    #[cfg(all(feature = "redb", not(feature = "sqlite")))]
    return Ok(Arc::new(highwater::RedbStore::builder("host.redb").options(options).open()?));
    #[cfg(not(any(feature = "sqlite", feature = "redb")))]
    Ok(Arc::new(highwater::MemoryStore::with_options(options)?))
}

#[cfg(not(any(feature = "encryption", feature = "zstd")))]
fn options() -> Result<StoreOptions> {
    Ok(StoreOptions::new())
}

#[cfg(any(feature = "encryption", feature = "zstd"))]
fn options() -> Result<StoreOptions> {
    use highwater::codecs::Codec;
    let codec = Codec::builder();
    #[cfg(feature = "encryption")]
    let codec =
        codec.encrypt(highwater::codecs::KeyRing::new(1, highwater::codecs::EncryptionKey::from_bytes(&[7; 32])?));
    #[cfg(feature = "zstd")]
    let codec = codec.compress(highwater::codecs::Compression::new());
    Ok(StoreOptions::new().codec(codec.build()))
}

/// Writes, reads behind a cursor, asks as a named consumer, prunes.
pub(crate) fn follow(store: &blocking::Store) -> Result<()> {
    let notes = StreamKey::new("host", "Note");
    let mut batch = WriteBatch::new();
    batch.on(&notes).upsert(r#"{"id": "a"}"#).delete("b");
    store.commit(batch)?;
    let page = store.records(&notes, |records| records.since(Cursor::START).limit(100))?;
    let found = store.get(&notes, &["a"])?;
    let consumer = store.consumer(&notes, "index").options(PollOptions::default());
    consumer.ack(consumer.poll()?.token)?;
    store.maintain(Maintenance::Compact)?;
    let mut following = store.follow(&notes, |records| records.since(page.next_cursor));
    let more = following.next_within(Duration::ZERO)?;
    std::process::exit(i32::from(found.len() + usize::from(more.is_some()) == 0))
}
