//! What a store's payloads need to be read again, and whether a codec has it.
//!
//! Rows of the state: `k` a check that only the right codec decodes, `k` and a name for each key or dictionary that payloads may
//! need, `k?` in a store of an earlier format, which did not write down dictionaries; `x` while payloads are moved from
//! one codec to another. A codec that writes with anything else is let in only where the host says so.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::backend::{BackendRead, BackendWrite, Table};
use crate::codec::{PayloadCodec, PayloadContext};
use crate::error::{Error, ErrorKind, Result};
use crate::log::keys;
use crate::log::shared::Shared;
use crate::log::state::{FORMAT, Identity};
use crate::maintenance::CodecHealth;
use crate::mutants::mutant;
use crate::options::StoreOptions;
use crate::stream::StreamKey;

/// A payload like any other, so that a wrong key shows when the store is opened.
const CHECK: &[u8] = br#"{"highwater":"codec"}"#;

/// The name under which a store of an earlier format says that more may be needed than it knows.
const UNTOLD: &str = "?";

/// What a store knows about its payloads.
struct Known {
    check: Option<Vec<u8>>,
    needs: BTreeSet<String>,
    /// Whether payloads may need more than that.
    untold: bool,
    unfinished: bool,
}

/// Rows that are to be written, so that the store knows what its payloads will need.
#[derive(Debug, Default)]
pub(crate) struct NewNeeds {
    check: Option<Vec<u8>>,
    names: Vec<String>,
    unfinished: bool,
}

impl NewNeeds {
    pub(crate) fn store<W: BackendWrite>(&self, write: &mut W) -> Result<()> {
        if let Some(check) = &self.check {
            write.put(Table::State, keys::CODEC_CHECK, check)?;
        }
        for name in &self.names {
            write.put(Table::State, &keys::codec_need(name), &[])?;
        }
        if self.unfinished {
            write.put(Table::State, keys::RECODING, &[])?;
        }
        Ok(())
    }
}

impl Known {
    fn load<R: BackendRead + ?Sized>(read: &mut R) -> Result<Self> {
        let mut known = Known { check: None, needs: BTreeSet::new(), untold: false, unfinished: false };
        read.range(Table::State, keys::CODEC_CHECK, &keys::behind(keys::CODEC_CHECK), &mut |key, value| {
            let name = std::str::from_utf8(key.get(1..).unwrap_or_default())
                .map_err(|_| Error::corrupt("the name of a key or dictionary is not UTF-8: restore a backup"))?;
            match name {
                "" => known.check = Some(value.to_vec()),
                UNTOLD => known.untold = true,
                name => drop(known.needs.insert(name.to_owned())),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        known.unfinished = read.get(Table::State, keys::RECODING)?.is_some();
        Ok(known)
    }

    fn all(&self) -> String {
        self.needs.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// Refuses a codec that does not have what the payloads need: what it wrote could not be read by those who have, or
    /// would be stored unencrypted.
    fn admit(&self, codec: Option<&dyn PayloadCodec>) -> Result<()> {
        let missing: Vec<&str> = self
            .needs
            .iter()
            .map(String::as_str)
            .filter(|need| codec.is_none_or(|codec| !codec.has(need)) && !mutant!("missing-key-unnoticed"))
            .collect();
        let named = |error: Error| if missing.is_empty() { error } else { error.with("needs", missing.join(", ")) };
        match (&self.check, codec) {
            _ if self.unfinished && !missing.is_empty() => Err(named(Error::new(
                ErrorKind::WrongKey,
                "the store's payloads are being moved from one key or dictionary to another: open it with a codec that has all of them, and recode it to the end",
            ))),
            (Some(_), None) => Err(named(Error::new(
                ErrorKind::WrongKey,
                "the store's payloads are encrypted: open it with a codec that has the key",
            ))),
            (Some(check), Some(codec)) => {
                let mut payload = Vec::new();
                let context = PayloadContext { stream: &check_stream(), id: "check" };
                codec.decode(&context, check, &mut payload).map_err(named)?;
                if payload != CHECK {
                    return Err(Error::corrupt("the store's codec check is damaged: restore a backup"));
                }
                self.has_all(&missing)
            }
            (None, _) => self.has_all(&missing),
        }
    }

    fn has_all(&self, missing: &[&str]) -> Result<()> {
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::WrongKey,
            "payloads of the store need a key or a dictionary that the codec lacks: open it with a codec that has it",
        )
        .with("needs", missing.join(", ")))
    }
}

/// Refuses to open a store with a codec that does not fit, and says what is to be written down of one that does.
///
/// # Errors
///
/// `WrongKey` where the codec lacks what payloads need, or has a key or dictionary that the store was not told of.
pub(crate) fn admit<R: BackendRead + ?Sized>(
    read: &mut R,
    identity: Option<&Identity>,
    options: &StoreOptions,
) -> Result<Option<NewNeeds>> {
    let codec = options.codec.as_deref();
    let mut known = Known::load(read)?;
    known.admit(codec)?;
    let migrates = identity.is_some_and(|identity| identity.format < FORMAT);
    let Some(codec) = codec else {
        let untold = NewNeeds { names: vec![UNTOLD.to_owned()], ..NewNeeds::default() };
        return Ok(migrates.then_some(untold));
    };
    let mut new = NewNeeds::default();
    if migrates {
        known.untold = true;
        new.names.push(UNTOLD.to_owned());
        let found = known.check.as_deref().and_then(|check| codec.need_of(check));
        known.needs.extend(found.clone());
        new.names.extend(found);
    }
    let seals = check_of(codec)?;
    let unknown: Vec<String> = codec.needs().into_iter().filter(|need| !known.needs.contains(need)).collect();
    let first_key = seals.is_some() && known.check.is_none();
    if unknown.is_empty() && !first_key {
        return Ok((!new.names.is_empty()).then_some(new));
    }
    let plain = known.check.is_none() && known.needs.is_empty();
    if identity.is_none() || options.recoding {
        new.unfinished = identity.is_some();
    } else if options.read_only && !plain {
        // What is written with is not asked for.
        return Ok(None);
    } else if (first_key || !known.untold) && !mutant!("key-on-plain-store") {
        let message = if plain {
            "the store's payloads need no key and no dictionary, and the codec brings one: open the store without it, or for recoding (StoreOptions::recoding)"
        } else {
            "the codec writes with a key or a dictionary that is new to the store: open the store with those it has, or for recoding (StoreOptions::recoding)"
        };
        let mut error = Error::new(ErrorKind::WrongKey, message);
        for (name, needs) in [("brings", unknown.join(", ")), ("has", known.all())] {
            error = if needs.is_empty() { error } else { error.with(name, needs) };
        }
        return Err(error);
    } else {
        // As earlier versions let it in: what they wrote down is not all that there may be.
        new.unfinished = !plain;
    }
    new.check = seals.filter(|_| known.check.is_none());
    new.names.extend(unknown);
    Ok(Some(new))
}

/// Refuses a write through a handle whose codec the store has left behind since: what it wrote could not be read with what the
/// store says is needed.
pub(crate) fn check_current<R: BackendRead + ?Sized>(read: &mut R, shared: &Shared) -> Result<()> {
    let left = match &shared.codec {
        None => read.get(Table::State, keys::CODEC_CHECK)?.is_some(),
        Some(_) => {
            let mut left = false;
            for key in &shared.needs {
                left |= read.get(Table::State, key)?.is_none();
            }
            left
        }
    };
    if !left || mutant!("codec-left-behind") {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::WrongKey,
        "another handle has changed the keys or dictionaries of the store since it was opened here: close it and open it with those it has now",
    ))
}

/// Whether this codec's needs are still those that the store was told of, and whether payloads are being moved.
pub(crate) fn health<R: BackendRead + ?Sized>(read: &mut R) -> Result<CodecHealth> {
    let known = Known::load(read)?;
    Ok(CodecHealth { needs: known.needs.into_iter().collect(), unfinished: known.unfinished })
}

/// Notes that payloads are about to be moved to the codec.
pub(crate) fn begin<W: BackendWrite>(write: &mut W) -> Result<()> {
    write.put(Table::State, keys::RECODING, &[])
}

/// Notes that every payload is one of the codec's.
pub(crate) fn finish<W: BackendWrite>(write: &mut W, codec: Option<&dyn PayloadCodec>) -> Result<()> {
    let known = Known::load(write)?;
    let untold = known.untold.then(|| UNTOLD.to_owned());
    for name in known.needs.into_iter().chain(untold) {
        write.remove(Table::State, &keys::codec_need(&name))?;
    }
    write.remove(Table::State, keys::CODEC_CHECK)?;
    write.remove(Table::State, keys::RECODING)?;
    let Some(codec) = codec else { return Ok(()) };
    NewNeeds { check: check_of(codec)?, names: codec.needs(), unfinished: false }.store(write)
}

/// The check, if it is not plain: a codec that leaves it so, as compression alone does, needs none.
fn check_of(codec: &dyn PayloadCodec) -> Result<Option<Vec<u8>>> {
    let mut stored = Vec::new();
    codec.encode(&PayloadContext { stream: &check_stream(), id: "check" }, CHECK, &mut stored)?;
    Ok(Some(stored).filter(|stored| stored.first().is_some_and(|first| *first != b'{')))
}

fn check_stream() -> StreamKey {
    StreamKey::new("highwater", "codec")
}
