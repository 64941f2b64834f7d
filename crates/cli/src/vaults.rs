//! The vault: stored credentials, and where their key is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use highwater::engine::{CredentialStore, EngineBuilder};
use highwater::vault::{EnvironmentKeys, KeyFile, SecretStore, Vault};
use highwater::{Engine, Error, ErrorKind, Result, Store};

use crate::args::StoreOptions;

/// Where the key of the stored credentials is.
#[derive(Clone, Debug, Args)]
pub(crate) struct VaultOptions {
    /// The file with the key of stored credentials. Defaults to the store's file with `.key` behind its name; the first
    /// `highwater connect` makes it.
    #[arg(long, value_name = "FILE", env = "HIGHWATER_VAULT_KEY_FILE", conflicts_with = "vault_key_env")]
    pub(crate) vault_key: Option<PathBuf>,
    /// The environment variable that holds this key in place of the file: 32 random bytes, in Base64 or as 64 hexadecimal
    /// digits.
    #[arg(long, value_name = "NAME")]
    pub(crate) vault_key_env: Option<String>,
}

/// Where the key is, for a store.
pub(crate) fn keys(options: &StoreOptions) -> Arc<dyn SecretStore> {
    if let Some(name) = &options.vault.vault_key_env {
        return Arc::new(EnvironmentKeys::new(name));
    }
    let beside = || beside(&options.db);
    Arc::new(KeyFile::new(options.vault.vault_key.clone().unwrap_or_else(beside)))
}

fn beside(db: &Path) -> PathBuf {
    let mut name = OsString::from(db);
    name.push(".key");
    name.into()
}

/// Refuses a key that cannot be used before anybody signs in for it.
pub(crate) async fn check_key(options: &StoreOptions) -> Result<()> {
    let found = keys(options).load().await?;
    match &options.vault.vault_key_env {
        Some(name) if found.is_empty() => {
            let message =
                "the environment variable with the vault's key is not set: `openssl rand -base64 32` makes a key";
            Err(Error::new(ErrorKind::Invalid, message).with("variable", name))
        }
        _ => Ok(()),
    }
}

/// Opens the vault of a store, and makes it if there is none.
pub(crate) async fn open(store: &Arc<dyn Store>, options: &StoreOptions) -> Result<Vault> {
    Vault::open(Arc::clone(store), keys(options)).await
}

/// Opens the vault of a store, if it has one.
pub(crate) async fn find(store: &Arc<dyn Store>, options: &StoreOptions) -> Result<Option<Vault>> {
    match Vault::exists(&**store).await? {
        true => open(store, options).await.map(Some),
        false => Ok(None),
    }
}

/// An engine with the ready-made templates and actions, the provider that a file describes, and the credentials that the
/// store has.
pub(crate) async fn engine(store: &Arc<dyn Store>, options: &StoreOptions, file: Option<&Path>) -> Result<Engine> {
    let builder = builder(store, file)?;
    match find(store, options).await? {
        Some(vault) => builder.credential_store(Arc::new(vault)).build(),
        None => builder.build(),
    }
}

/// An engine without credentials, to be built.
pub(crate) fn builder(store: &Arc<dyn Store>, file: Option<&Path>) -> Result<EngineBuilder> {
    let builder = Engine::builder(Arc::clone(store))
        .templates(highwater::templates::all())
        .actions(highwater::templates::actions());
    Ok(match file {
        Some(file) => builder.provider(highwater::provider_file::read(file)?),
        None => builder,
    })
}

/// Whether the store has credentials of a connection.
pub(crate) async fn has_credentials(store: &Arc<dyn Store>, options: &StoreOptions, connection: &str) -> Result<bool> {
    match find(store, options).await? {
        Some(vault) => Ok(vault.load(connection).await?.is_some_and(|credentials| credentials.can_sign_in())),
        None => Ok(false),
    }
}
