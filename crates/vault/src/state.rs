//! A vault as it is stored, and as the master key unlocks it.

use std::sync::Arc;

use highwater_codec::EncryptionKey;
use highwater_core::{Environment, Error, ErrorKind, Json, Result, Store, WriteBatch};
use highwater_engine::Secret;

use crate::head::{DataKey, Head};
use crate::keys::{SecretStore, key_of, text_of};
use crate::mutants::mutant;
use crate::row::Sealer;

pub(crate) const HEAD: &str = "vault/head";

/// The vault's document, and the keys that were unlocked from it.
pub(crate) struct State {
    pub(crate) stored: Json,
    pub(crate) head: Head,
    pub(crate) keys: Vec<DataKey>,
    pub(crate) sealer: Sealer,
    /// The master key that fits.
    pub(crate) master: EncryptionKey,
}

/// Reads the vault's document and opens it with the master key that fits; `None` if there is no vault.
pub(crate) async fn unlock(
    store: &dyn Store,
    secrets: &dyn SecretStore,
    environment: &Arc<dyn Environment>,
) -> Result<Option<State>> {
    let mut stored = read_head(store).await?;
    while let Some(head) = stored {
        let error = match unlock_head(&head, secrets, environment).await {
            Err(error) if error.kind() == ErrorKind::WrongKey => error,
            outcome => return outcome.map(Some),
        };
        // A rotation that ended between the two reads may have forgotten the key of the document that was read.
        stored = read_head(store).await?;
        if stored.as_ref() == Some(&head) || mutant!("head-read-once") {
            return Err(error);
        }
    }
    Ok(None)
}

async fn read_head(store: &dyn Store) -> Result<Option<Json>> {
    store.document(HEAD).await.map_err(|error| match error.kind() {
        ErrorKind::Corrupt => changed().because(error),
        _ => error,
    })
}

async fn unlock_head(stored: &Json, secrets: &dyn SecretStore, environment: &Arc<dyn Environment>) -> Result<State> {
    let head: Head = stored.to().map_err(|_| changed())?;
    head.check()?;
    let masters = parse(&secrets.load().await?, secrets)?;
    if masters.is_empty() {
        if mutant!("lost-key-replaced") {
            secrets.save(&[text_of(&EncryptionKey::generate()?)]).await?;
        }
        return Err(no_key(secrets));
    }
    let (keys, index) = head.unwrap(&masters, environment).map_err(|error| match error.kind() {
        ErrorKind::WrongKey if mutant!("wrong-key-untold") => {
            Error::new(ErrorKind::Corrupt, "the vault does not open: restore a backup of the store")
        }
        ErrorKind::WrongKey => {
            Error::new(ErrorKind::WrongKey, "the vault's key does not fit: give the location of the right one")
                .with("key_from", secrets.location())
        }
        _ => error,
    })?;
    let sealer = Sealer::new(&head.id, &keys, environment)?;
    let master = masters.into_iter().nth(index).ok_or_else(|| no_key(secrets))?;
    Ok(State { stored: stored.clone(), head, keys, sealer, master })
}

/// Creates a vault, and a master key if there is none.
pub(crate) async fn create(
    store: &dyn Store,
    secrets: &dyn SecretStore,
    environment: &Arc<dyn Environment>,
) -> Result<()> {
    let new = text_of(&EncryptionKey::generate()?);
    let kept = secrets.update(&|list| if list.is_empty() { vec![new.clone()] } else { list }).await?;
    let master = parse(&kept, secrets)?.into_iter().next().ok_or_else(|| no_key(secrets))?;
    let mut id = [0; 16];
    environment.fill_random(&mut id);
    let keys = [DataKey { number: 1, key: EncryptionKey::generate()? }];
    let head = Head::new(format!("{:032x}", u128::from_be_bytes(id)), &keys, &master, environment)?;
    let mut batch = WriteBatch::new();
    batch.expect_document(HEAD, None).put_document(HEAD, &head)?;
    store.commit(batch).await?;
    // Another process may have replaced the list in the meantime: it will find this vault and need its key.
    let text = text_of(&master);
    secrets.update(&|list| with(list, &text)).await.map(drop)
}

/// Whether a secret is this key, in either form.
pub(crate) fn is(secret: &Secret, key: &EncryptionKey) -> bool {
    key_of(secret).is_ok_and(|known| known.expose() == key.expose())
}

/// Returns the list with a key in it, in front of the others if it was not there.
pub(crate) fn with(mut list: Vec<Secret>, new: &Secret) -> Vec<Secret> {
    if !key_of(new).is_ok_and(|key| list.iter().any(|known| is(known, &key))) {
        list.insert(0, new.clone());
    }
    list
}

/// Returns the list without what is behind a key, which is older.
pub(crate) fn upto(mut list: Vec<Secret>, key: &EncryptionKey) -> Vec<Secret> {
    if let Some(at) = list.iter().position(|known| is(known, key)) {
        list.truncate(at + 1);
    }
    list
}

fn parse(texts: &[Secret], secrets: &dyn SecretStore) -> Result<Vec<EncryptionKey>> {
    let named = |error: Error| error.with("key_from", secrets.location());
    texts.iter().map(|text| key_of(text).map_err(named)).collect()
}

fn no_key(secrets: &dyn SecretStore) -> Error {
    let message = "the vault's key is missing: put it back, or remove the vault's credentials and sign in again";
    Error::new(ErrorKind::WrongKey, message).with("key_from", secrets.location())
}

fn changed() -> Error {
    let message = "the vault's document was changed: restore a backup of the store, or sign in again";
    Error::new(ErrorKind::Corrupt, message)
}
