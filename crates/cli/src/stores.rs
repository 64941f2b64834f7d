//! Opening stores, and finding streams in them.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use highwater::codecs::{Codec, Compression, Dictionary, EncryptionKey, KeyRing};
use highwater::stores::rusqlite::{Connection, OpenFlags};
use highwater::stores::{RedbStore, SledStore, SqliteStore};
use highwater::{Error, ErrorKind, PayloadCodec, Result, Store, StreamKey};

use crate::args::{CodecOptions, StoreKind, StoreOptions, StreamOptions};

pub(crate) fn open(options: &StoreOptions) -> Result<Arc<dyn Store>> {
    let settings = highwater::StoreOptions::new().codec(codec(&options.codec)?);
    let store: Result<Arc<dyn Store>> = match options.store {
        StoreKind::Sqlite => open_sqlite(&options.db, &options.codec).map(|store| Arc::new(store) as _),
        StoreKind::Redb => RedbStore::builder(&options.db).options(settings).open().map(|store| Arc::new(store) as _),
        StoreKind::Sled => SledStore::builder(&options.db).options(settings).open().map(|store| Arc::new(store) as _),
    };
    store.map_err(|error| wants_key(error, &options.db, &options.codec))
}

pub(crate) fn open_sqlite(db: &Path, options: &CodecOptions) -> Result<SqliteStore> {
    let settings = highwater::StoreOptions::new().codec(codec(options)?);
    SqliteStore::builder(db).options(settings).open().map_err(|error| wants_key(error, db, options))
}

/// Opens a store that must be there: a reading command makes no files.
pub(crate) fn open_existing(options: &StoreOptions) -> Result<Arc<dyn Store>> {
    if !options.db.exists() {
        return Err(Error::new(
            ErrorKind::NotFound,
            "there is no store: sync something into it first, or name another with --db",
        )
        .with("db", options.db.display()));
    }
    if options.store == StoreKind::Sqlite {
        check_sqlite(&options.db)?;
    }
    open(options)
}

/// Opening a store makes its tables: a command that reads leaves the databases of others as they are.
pub(crate) fn check_sqlite(db: &Path) -> Result<()> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name IN ('hw_meta', 'hw_state', 'hw_log'))";
    // A relative path that begins with `file:` would be a URI to SQLite.
    let file = std::path::absolute(db).unwrap_or_else(|_| db.to_owned());
    let looked = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .and_then(|connection| connection.query_row(sql, [], |row| row.get(0)));
    match looked {
        Ok(false) => Err(Error::new(
            ErrorKind::NotFound,
            "the database has no store in it: sync something into it first, or name another with --db",
        )
        .with("db", db.display())),
        // What is wrong with the file, the store says better.
        Ok(true) | Err(_) => Ok(()),
    }
}

/// Reads what any host compressed, and what was encrypted or needs a dictionary if these are at hand.
fn codec(options: &CodecOptions) -> Result<Arc<dyn PayloadCodec>> {
    let mut codec = Codec::builder();
    if let Some(name) = &options.key_env {
        codec = codec.encrypt(KeyRing::new(options.key_number, key_of(name)?));
    }
    if !options.dictionary.is_empty() {
        let mut compression = Compression::new();
        for path in &options.dictionary {
            let bytes = fs::read(path).map_err(|source| {
                Error::new(ErrorKind::Invalid, "the dictionary cannot be read")
                    .with("file", path.display())
                    .because(source)
            })?;
            let dictionary = Dictionary::from_bytes(bytes).map_err(|error| error.with("file", path.display()))?;
            compression = compression.also_decompress(dictionary);
        }
        codec = codec.compress(compression);
    }
    Ok(codec.build())
}

fn key_of(name: &str) -> Result<EncryptionKey> {
    let wrong = |message| Error::new(ErrorKind::Invalid, message).with("variable", name);
    let text = env::var(name).map_err(|_| wrong("the environment variable that --key-env names is not set"))?;
    let digits = text.trim().as_bytes();
    let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> =
        Some(digits).filter(|digits| digits.len() == 64).and_then(|digits| digits.chunks(2).map(byte).collect());
    EncryptionKey::from_bytes(&bytes.ok_or_else(|| wrong("a key is written as 64 hexadecimal digits"))?)
}

fn wants_key(error: Error, db: &Path, options: &CodecOptions) -> Error {
    if error.kind() != ErrorKind::WrongKey || options.key_env.is_some() {
        return error;
    }
    Error::new(
        ErrorKind::WrongKey,
        "the store's payloads are encrypted: name the environment variable that holds the key with --key-env",
    )
    .with("db", db.display())
}

/// The one stream that has the model.
pub(crate) async fn find_stream(store: &dyn Store, options: &StreamOptions) -> Result<StreamKey> {
    let heads = store.streams().await?;
    let of_connection = |stream: &StreamKey| options.connection.as_ref().is_none_or(|id| stream.connection() == id);
    let found: Vec<StreamKey> = heads.iter().map(|head| head.stream.clone()).filter(of_connection).collect();
    let found = of_model(found, &options.model, options.variant.as_deref());
    match found.as_slice() {
        [stream] => Ok(stream.clone()),
        [] => {
            let known: Vec<String> = heads.iter().map(|head| head.stream.to_string()).collect();
            Err(Error::new(ErrorKind::NotFound, "the store has no such model; see `highwater status`")
                .with("model", &options.model)
                .with("known", known.join(", ")))
        }
        several => Err(ambiguous(several)),
    }
}

/// The streams of a model, in whatever case it is written; those alone that are written just so, if there are any.
pub(crate) fn of_model(mut streams: Vec<StreamKey>, model: &str, variant: Option<&str>) -> Vec<StreamKey> {
    streams.retain(|stream| {
        stream.model().eq_ignore_ascii_case(model) && variant.is_none_or(|variant| stream.variant_name() == variant)
    });
    narrow(&mut streams, |stream| stream.model() == model);
    streams
}

/// Keeps what `wanted` accepts, if it accepts any.
pub(crate) fn narrow(streams: &mut Vec<StreamKey>, wanted: impl Fn(&StreamKey) -> bool) {
    if streams.iter().any(&wanted) {
        streams.retain(wanted);
    }
}

pub(crate) fn ambiguous(found: &[StreamKey]) -> Error {
    let first = found.first().map_or("", StreamKey::connection);
    let message = if found.iter().all(|stream| stream.connection() == first) {
        "the model has several variants: choose one with --variant"
    } else {
        "several connections have this model: choose one of them"
    };
    let known: Vec<String> = found.iter().map(ToString::to_string).collect();
    Error::new(ErrorKind::Invalid, message).with("found", known.join(", "))
}
