//! The vault: stored credentials, and where their key is kept.

mod keychain;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use highwater::engine::CredentialStore;
use highwater::vault::{EnvironmentKeys, KeyFile, SecretStore, Vault, VaultHealth};
use highwater::{Engine, Error, ErrorKind, Result, Store};

use crate::args::{STORE, StoreOptions};
use crate::output::Output;

/// Where the key of the stored credentials is kept.
#[derive(Clone, Debug, Args)]
pub(crate) struct VaultOptions {
    /// Where the key of stored credentials is kept: `file:PATH`, `env:NAME` (a variable with 32 random bytes in Base64) or
    /// `keychain`. Defaults to the store's file with `.key` behind its name.
    #[arg(help_heading = STORE, long, value_name = "PLACE", env = "HIGHWATER_VAULT_KEY", hide_env_values = true)]
    pub(crate) vault_key: Option<String>,
}

/// A place for the key.
enum Place {
    File(PathBuf),
    Variable(String),
    /// An entry of the system's keychain, by its name.
    Keychain(String),
}

fn place(options: &StoreOptions) -> Result<Place> {
    let Some(text) = &options.vault.vault_key else { return Ok(Place::File(beside(&options.db))) };
    let (kind, name) = text.split_once(':').map_or((text.as_str(), None), |(kind, name)| (kind, Some(name)));
    match (kind, name.filter(|name| !name.is_empty())) {
        ("file", Some(path)) => Ok(Place::File(path.into())),
        ("env", Some(name)) => Ok(Place::Variable(name.to_owned())),
        ("keychain", Some(entry)) => Ok(Place::Keychain(entry.to_owned())),
        ("keychain", None) => entry(&options.db).map(Place::Keychain),
        // Somebody may have given the key itself: the text stays out of the message.
        _ => Err(Error::new(
            ErrorKind::Invalid,
            "this is not a place for the vault's key: write --vault-key file:PATH, env:NAME or keychain, never the key itself",
        )),
    }
}

/// The default name of a store's entry in the keychain: the path of the store, whatever folder the command runs in.
fn entry(db: &Path) -> Result<String> {
    let path = std::path::absolute(db).map_err(|source| {
        Error::new(ErrorKind::Invalid, "the store's path cannot be used").with("db", db.display()).because(source)
    })?;
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    let path = folder.zip(path.file_name()).map_or_else(|| path.clone(), |(folder, name)| folder.join(name));
    Ok(path.display().to_string())
}

fn beside(db: &Path) -> PathBuf {
    let mut name = OsString::from(db);
    name.push(".key");
    name.into()
}

/// Where the key is kept, for a store.
fn keys(options: &StoreOptions) -> Result<Arc<dyn SecretStore>> {
    Ok(match place(options)? {
        Place::File(path) => Arc::new(KeyFile::new(path)),
        Place::Variable(name) => Arc::new(EnvironmentKeys::new(name)),
        Place::Keychain(entry) => keychain::keys(&entry)?,
    })
}

/// Refuses a key that cannot be used before anybody signs in for it.
pub(crate) async fn check_key(options: &StoreOptions) -> Result<()> {
    let found = keys(options)?.load().await?;
    match place(options)? {
        Place::Variable(name) if found.is_empty() => {
            let message =
                "the environment variable with the vault's key is not set: `openssl rand -base64 32` makes a key";
            Err(Error::new(ErrorKind::Invalid, message).with("variable", name))
        }
        _ => Ok(()),
    }
}

/// Opens the vault of a store, and makes it if there is none.
pub(crate) async fn open(store: &Arc<dyn Store>, options: &StoreOptions) -> Result<Vault> {
    let keys = keys(options)?;
    Vault::open(Arc::clone(store), Arc::clone(&keys)).await.map_err(|error| match error.kind() {
        ErrorKind::WrongKey => {
            let message = "the key of the stored credentials is not here: say where it is, with --vault-key file:PATH, env:NAME or keychain";
            Error::new(ErrorKind::WrongKey, message).with("looked_at", keys.location())
        }
        _ => error,
    })
}

/// Opens the vault of a store, if it has one.
async fn find(store: &Arc<dyn Store>, options: &StoreOptions) -> Result<Option<Vault>> {
    match Vault::exists(&**store).await? {
        true => open(store, options).await.map(Some),
        false => Ok(None),
    }
}

/// Checks the credentials that a store has; `None` if it has no vault, or if the vault's key is not here.
pub(crate) async fn check(
    store: &Arc<dyn Store>,
    options: &StoreOptions,
    output: &Output,
) -> Result<Option<VaultHealth>> {
    match find(store, options).await {
        Ok(Some(vault)) => vault.check().await.map(Some),
        Ok(None) => Ok(None),
        Err(error) if error.kind() == ErrorKind::WrongKey => {
            output.note(format!("The credentials were not checked: {error}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// An engine that knows every template, action and provider, with the credentials that the store has.
pub(crate) async fn engine(store: &Arc<dyn Store>, options: &StoreOptions) -> Result<Engine> {
    let builder = options.catalogue.builder(store)?;
    match find(store, options).await? {
        Some(vault) => builder.credential_store(Arc::new(vault)).build(),
        None => builder.build(),
    }
}

/// Whether the store has credentials of a connection.
pub(crate) async fn has_credentials(store: &Arc<dyn Store>, options: &StoreOptions, connection: &str) -> Result<bool> {
    match find(store, options).await? {
        Some(vault) => Ok(vault.load(connection).await?.is_some_and(|credentials| credentials.can_sign_in())),
        None => Ok(false),
    }
}
