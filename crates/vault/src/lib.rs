//! Keeps the credentials of connections in the store itself, encrypted.
//!
//! A [`Vault`] is a [`CredentialStore`](highwater_engine::CredentialStore): pass it to the engine, and the tokens from a
//! sign-in or a refresh survive restarts. Each connection's credentials are one row, sealed with XChaCha20-Poly1305 under a
//! data key of this store and bound to the vault and the connection, so that a row that is moved to another connection or
//! another store fails to open. The data key is stored too, wrapped with a *master key* that stays outside the store, in a
//! [`SecretStore`]: a [`KeyFile`], an [`EnvironmentKeys`] variable, the system's keychain (feature `keychain`), or the
//! host's own.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use std::sync::Arc;
//! use highwater_core::{MemoryStore, Store};
//! use highwater_engine::{CredentialStore, Credentials, Secret};
//! use highwater_vault::{KeyFile, Vault};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("app.key");
//! let store: Arc<dyn Store> = Arc::new(MemoryStore::new()?);
//! let vault = Vault::open(store, Arc::new(KeyFile::new(path))).await?;
//! vault.save("github-main", &Credentials::token(Secret::new("ghp_..."))).await?;
//! assert_eq!(vault.load("github-main").await?, Some(Credentials::token(Secret::new("ghp_..."))));
//! # Ok::<(), highwater_core::Error>(()) }).unwrap();
//! ```
//!
//! An attacker who can read the store's file but not the master key learns only which connections have credentials, how long
//! these are and when they change. Removed or replaced credentials stay in the file as ciphertext until it is compacted: see
//! `docs/vault.md`.
#![deny(missing_docs, clippy::missing_errors_doc)]

mod head;
mod keys;
mod mutants;
mod row;
mod state;
mod vault;

#[cfg(feature = "keychain")]
pub use keys::Keychain;
pub use keys::{ChangeSecrets, EnvironmentKeys, GivenKeys, KeyFile, SecretStore};
pub use vault::{Rotation, Vault, VaultHealth};
