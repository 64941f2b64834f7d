//! Opening stores, and finding streams in them.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use highwater::codecs::{Codec, Compression, Dictionary, EncryptionKey, KeyRing};
use highwater::maintenance::{CodecHealth, Maintenance, MaintenanceReport};
use highwater::store::PayloadCodec;
use highwater::stores::{RedbStore, SledStore, SqliteStore};
use highwater::{Engine, Error, ErrorKind, Result, Store, StreamKey};

use crate::args::{CodecOptions, StoreKind, StoreOptions, StreamOptions};
use crate::output::Output;

/// The purpose of opening a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Reading,
    Writing,
    Recoding { plain: bool },
}

pub(crate) fn open(options: &StoreOptions) -> Result<Arc<dyn Store>> {
    open_for(For::Writing, options)
}

fn open_for(what: For, options: &StoreOptions) -> Result<Arc<dyn Store>> {
    let plain = what == For::Recoding { plain: true };
    let mut settings = highwater::StoreOptions::new().codec(codec(&options.codec, plain)?);
    settings.read_only = what == For::Reading;
    settings.recoding = matches!(what, For::Recoding { .. });
    let store: Result<Arc<dyn Store>> = match options.store {
        StoreKind::Sqlite => {
            SqliteStore::builder(&options.db).options(settings).open().map(|store| Arc::new(store) as _)
        }
        StoreKind::Redb => RedbStore::builder(&options.db).options(settings).open().map(|store| Arc::new(store) as _),
        StoreKind::Sled => SledStore::builder(&options.db).options(settings).open().map(|store| Arc::new(store) as _),
    };
    store.map_err(|error| with_hint(error, &options.db, &options.codec))
}

pub(crate) fn open_sqlite(db: &Path, options: &CodecOptions) -> Result<SqliteStore> {
    let settings = highwater::StoreOptions::new().codec(codec(options, false)?);
    SqliteStore::builder(db).options(settings).open().map_err(|error| with_hint(error, db, options))
}

/// Opens an existing store for writing.
pub(crate) fn open_existing(options: &StoreOptions) -> Result<Arc<dyn Store>> {
    must_be_there(options)?;
    open_for(For::Writing, options)
}

/// Opens an existing store for a command that only reads: it changes nothing, and needs no write permission.
pub(crate) fn open_reading(options: &StoreOptions) -> Result<Arc<dyn Store>> {
    if !options.db.exists() {
        return Err(nothing_there(&options.db));
    }
    open_for(For::Reading, options)
}

/// Opens an existing store to rewrite its payloads.
pub(crate) fn open_recoding(options: &StoreOptions, plain: bool) -> Result<Arc<dyn Store>> {
    must_be_there(options)?;
    open_for(For::Recoding { plain }, options)
}

fn must_be_there(options: &StoreOptions) -> Result<()> {
    if !options.db.exists() {
        return Err(nothing_there(&options.db));
    }
    if options.store == StoreKind::Sqlite { check_sqlite(&options.db) } else { Ok(()) }
}

pub(crate) fn nothing_there(db: &Path) -> Error {
    let message =
        "the store does not exist: `highwater connect` or `highwater sync` creates it, or name another with --db";
    Error::new(ErrorKind::NotFound, message).with("db", db.display())
}

fn nothing_in_it(db: &Path) -> Error {
    let message = "the database contains no store: `highwater connect` or `highwater sync` creates it there, or name another with --db";
    Error::new(ErrorKind::NotFound, message).with("db", db.display())
}

/// The keys and dictionaries that the payloads need.
pub(crate) async fn codec_health(store: &dyn Store) -> Result<CodecHealth> {
    match store.maintain(Maintenance::CheckCodec).await? {
        MaintenanceReport::Codec(health) => Ok(health),
        _ => Ok(CodecHealth::default()),
    }
}

/// Warns about payloads that were being moved from one codec to another when a process ended.
pub(crate) async fn tell_unfinished(store: &dyn Store, output: &Output) -> Result<()> {
    let health = codec_health(store).await?;
    if health.unfinished {
        output.object("codec", &health);
        let needs = health.needs.join(", ");
        output.note(format!(
            "Payloads are being moved from one key or dictionary to another, and need {needs} until that is done: finish it with `highwater recode`."
        ));
    }
    Ok(())
}

/// Opening a store creates its tables: only a sync does so in another program's database.
pub(crate) fn check_sqlite(db: &Path) -> Result<()> {
    match SqliteStore::builder(db).options(highwater::StoreOptions::new().read_only()).open() {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(nothing_in_it(db)),
        // Opening the file gives a better message for all other faults.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Reads compressed payloads of any host, and those that need a key or a dictionary if these are given. The first key and
/// the first dictionary are used for writing, except with `--plain`.
fn codec(options: &CodecOptions, plain: bool) -> Result<Arc<dyn PayloadCodec>> {
    let mut codec = Codec::builder();
    let mut keys: Option<KeyRing> = None;
    let mut numbers = Vec::new();
    for named in &options.key_env {
        let (number, name) = match named.split_once('=') {
            Some((number, name)) => (number.parse().map_err(|_| not_a_number(named))?, name),
            None => (options.key_number, named.as_str()),
        };
        if numbers.contains(&number) {
            let message = "two keys have the same number: write --key-env 2=NAME for one of them";
            return Err(Error::new(ErrorKind::Invalid, message).with("number", number).with("variable", name));
        }
        numbers.push(number);
        let key = key_of(name)?;
        keys = Some(match keys {
            None if plain => KeyRing::decrypt_only(number, key),
            None => KeyRing::new(number, key),
            Some(keys) => keys.also_decrypt(number, key),
        });
    }
    if let Some(keys) = keys {
        codec = codec.encrypt(keys);
    }
    if !options.dictionary.is_empty() {
        let mut compression = Compression::new();
        for (place, path) in options.dictionary.iter().enumerate() {
            let bytes = fs::read(path).map_err(|source| {
                Error::new(ErrorKind::Invalid, "the dictionary cannot be read")
                    .with("file", path.display())
                    .because(source)
            })?;
            let dictionary = Dictionary::from_bytes(bytes).map_err(|error| error.with("file", path.display()))?;
            compression = match place {
                0 if !plain => compression.dictionary(dictionary),
                _ => compression.also_decompress(dictionary),
            };
        }
        codec = codec.compress(compression);
    }
    Ok(codec.build())
}

fn not_a_number(named: &str) -> Error {
    let message = "a key's number is 0 to 255: write --key-env 2=NAME";
    Error::new(ErrorKind::Invalid, message).with("given", named.split('=').next().unwrap_or_default())
}

fn key_of(name: &str) -> Result<EncryptionKey> {
    let wrong = |message| Error::new(ErrorKind::Invalid, message).with("variable", name);
    let text = env::var(name).map_err(|_| wrong("the environment variable that --key-env names is not set"))?;
    let key: Option<[u8; 32]> = hex::FromHex::from_hex(text.trim()).ok();
    EncryptionKey::from_bytes(&key.ok_or_else(|| wrong("a key is written as 64 hexadecimal digits"))?)
}

/// Adds the option of the command that solves the problem.
fn with_hint(error: Error, db: &Path, options: &CodecOptions) -> Error {
    let hint = match (error.kind(), error.context("needs"), error.context("brings")) {
        (ErrorKind::NotFound, ..) => return nothing_in_it(db),
        (ErrorKind::WrongKey, _, Some(_)) => {
            "leave --key-env and --dictionary out, or convert the store with `highwater recode`"
        }
        (ErrorKind::WrongKey, Some(needs), _) if options.key_env.is_empty() && needs.contains("key ") => {
            "name the environment variable that holds each key with --key-env [NUMBER=]NAME"
        }
        (ErrorKind::WrongKey, Some(_), _) => {
            "pass each needed key with --key-env [NUMBER=]NAME and each dictionary with --dictionary FILE"
        }
        (ErrorKind::WrongKey, ..) if options.key_env.is_empty() => {
            "name the environment variable that holds the key with --key-env"
        }
        _ => return error,
    };
    Error::new(ErrorKind::WrongKey, format!("{}; here: {hint}", error.message()))
        .with("db", db.display())
        .because(error)
}

/// The only stream that has the model.
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

/// The streams of a model, ignoring case; only those with an exact match, if there are any.
pub(crate) fn of_model(mut streams: Vec<StreamKey>, model: &str, variant: Option<&str>) -> Vec<StreamKey> {
    streams.retain(|stream| {
        stream.model().eq_ignore_ascii_case(model) && variant.is_none_or(|variant| stream.variant() == variant)
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

/// An engine that knows every template, and no credentials.
pub(crate) fn engine(store: &Arc<dyn Store>, options: &StoreOptions) -> Result<Engine> {
    options.catalogue.builder(store)?.build()
}
