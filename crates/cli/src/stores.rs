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

/// What a store is opened for.
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

/// Opens a store that must be there, for writing.
pub(crate) fn open_existing(options: &StoreOptions) -> Result<Arc<dyn Store>> {
    must_be_there(options)?;
    open_for(For::Writing, options)
}

/// Opens a store that must be there, for a command that reads: it changes nothing, and needs no permission to write.
pub(crate) fn open_reading(options: &StoreOptions) -> Result<Arc<dyn Store>> {
    if !options.db.exists() {
        return Err(nothing_there(&options.db));
    }
    open_for(For::Reading, options)
}

/// Opens a store that must be there, to write its payloads in another way.
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

fn nothing_there(db: &Path) -> Error {
    let message = "there is no store: sync something into it first, or name another with --db";
    Error::new(ErrorKind::NotFound, message).with("db", db.display())
}

fn nothing_in_it(db: &Path) -> Error {
    let message = "the database has no store in it: sync something into it first, or name another with --db";
    Error::new(ErrorKind::NotFound, message).with("db", db.display())
}

/// Which keys and dictionaries the payloads need.
pub(crate) async fn codec_health(store: &dyn Store) -> Result<CodecHealth> {
    match store.maintain(Maintenance::CheckCodec).await? {
        MaintenanceReport::Codec(health) => Ok(health),
        _ => Ok(CodecHealth::default()),
    }
}

/// Tells of payloads that were being moved from one codec to another when a process ended.
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

/// Opening a store makes its tables: only a sync does so in a database of others.
pub(crate) fn check_sqlite(db: &Path) -> Result<()> {
    match SqliteStore::builder(db).options(highwater::StoreOptions::new().read_only()).open() {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(nothing_in_it(db)),
        // What else is wrong with the file, the opening says better.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Reads what any host compressed, and what was encrypted or needs a dictionary if these are at hand. The first key and
/// the first dictionary are for writing, unless everything is to be written plainly.
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

/// Says which option of the command is the way out.
fn with_hint(error: Error, db: &Path, options: &CodecOptions) -> Error {
    let hint = match (error.kind(), error.context("needs"), error.context("brings")) {
        (ErrorKind::NotFound, ..) => return nothing_in_it(db),
        (ErrorKind::WrongKey, _, Some(_)) => {
            "leave --key-env and --dictionary out, or change the store over with `highwater recode`"
        }
        (ErrorKind::WrongKey, Some(needs), _) if options.key_env.is_empty() && needs.contains("key ") => {
            "name the environment variable that holds each key with --key-env [NUMBER=]NAME"
        }
        (ErrorKind::WrongKey, Some(_), _) => {
            "give what is needed with --key-env [NUMBER=]NAME and --dictionary FILE, each as often as there are any"
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

/// An engine with the ready templates.
pub(crate) fn engine(store: &Arc<dyn Store>) -> Result<Engine> {
    Engine::builder(Arc::clone(store)).templates(highwater::templates::all()).build()
}
