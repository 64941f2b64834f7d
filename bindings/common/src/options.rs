//! What an engine is opened with.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use highwater::engine::EngineBuilder;
use highwater::store::Environment;
use highwater::vault::{EnvironmentKeys, GivenKeys, KeyFile, SecretStore, Vault};
use highwater::{Error, ErrorKind, MemoryStore, Result, Secret, SqliteStore, Store, StoreOptions, provider_file};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The options of [`Engine::open`](crate::Engine::open), a JSON object:
///
/// | member | value | default |
/// |---|---|---|
/// | `path` | the store's file, or its folder for sled | required, but for the store `memory` |
/// | `store` | `sqlite`, `redb`, `sled` or `memory`; redb and sled where they are compiled in | `sqlite` |
/// | `providers` | descriptions of APIs, as in `docs/providers.md` | none beside the ready ones |
/// | `vault` | where the key of stored credentials is: `{"key_file": PATH}`, `{"key_variable": NAME}` or `{"key": TEXT}` (32 bytes in Base64) | credentials last until the engine is closed |
/// | `max_runs`, `max_runs_per_provider` | how many runs there are at a time | 16, 8 |
/// | `lease_ms` | after how long without a heartbeat a run counts as dead | 30000 |
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineOptions {
    path: Option<String>,
    store: Option<StoreKind>,
    #[serde(default)]
    providers: Vec<Box<RawValue>>,
    vault: Option<VaultOptions>,
    max_runs: Option<usize>,
    max_runs_per_provider: Option<usize>,
    lease_ms: Option<u64>,
    #[cfg(feature = "testing")]
    testing: Option<crate::testing::TestingOptions>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoreKind {
    #[default]
    Sqlite,
    Redb,
    Sled,
    Memory,
}

/// Where the vault's key is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VaultOptions {
    key_file: Option<String>,
    key_variable: Option<String>,
    key: Option<String>,
}

impl std::fmt::Debug for VaultOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VaultOptions")
            .field("key_file", &self.key_file)
            .field("key_variable", &self.key_variable)
            .finish_non_exhaustive()
    }
}

impl EngineOptions {
    /// The clocks and the randomness of the store and of the engine, if they are not the system's.
    fn environment(&self) -> Option<Arc<dyn Environment>> {
        #[cfg(feature = "testing")]
        return self.testing.as_ref().map(crate::testing::TestingOptions::environment);
        #[cfg(not(feature = "testing"))]
        None
    }

    pub(crate) fn open_store(&self) -> Result<Arc<dyn Store>> {
        let mut options = StoreOptions::new();
        if let Some(environment) = self.environment() {
            options = options.environment(environment);
        }
        let kind = self.store.unwrap_or_default();
        let path = match (&self.path, kind) {
            (None, StoreKind::Memory) => return Ok(Arc::new(MemoryStore::with_options(options)?)),
            (Some(_), StoreKind::Memory) => {
                let message = "a store in memory has no path: leave the path out, or choose another store";
                return Err(Error::new(ErrorKind::Invalid, message).with("member", "path"));
            }
            (None, _) => {
                let message = "a store needs a path: give the path of its file";
                return Err(Error::new(ErrorKind::Invalid, message).with("member", "path"));
            }
            (Some(path), _) => Path::new(path),
        };
        if path.as_os_str().is_empty() || path.as_os_str().as_encoded_bytes().contains(&0) {
            let message = "this is not a path: give the path of a file";
            return Err(Error::new(ErrorKind::Invalid, message).with("member", "path"));
        }
        Ok(match kind {
            StoreKind::Sqlite | StoreKind::Memory => Arc::new(SqliteStore::builder(path).options(options).open()?),
            #[cfg(feature = "redb")]
            StoreKind::Redb => Arc::new(highwater::RedbStore::builder(path).options(options).open()?),
            #[cfg(feature = "sled")]
            StoreKind::Sled => Arc::new(highwater::SledStore::builder(path).options(options).open()?),
            #[allow(unreachable_patterns)] // reachable without the features
            StoreKind::Redb | StoreKind::Sled => {
                let message =
                    "this build has no such store: choose sqlite, or build the binding with the store's feature";
                return Err(Error::new(ErrorKind::Unsupported, message).with("member", "store"));
            }
        })
    }

    pub(crate) async fn open_vault(&self, store: &Arc<dyn Store>) -> Result<Option<Arc<Vault>>> {
        let Some(vault) = &self.vault else { return Ok(None) };
        let keys: Arc<dyn SecretStore> = match (&vault.key_file, &vault.key_variable, &vault.key) {
            (Some(path), None, None) => Arc::new(KeyFile::new(path)),
            (None, Some(name), None) => Arc::new(EnvironmentKeys::new(name)),
            (None, None, Some(key)) => Arc::new(GivenKeys::new([Secret::new(key.as_str())])),
            _ => {
                let message = "the vault needs one place for its key: give key_file, key_variable or key";
                return Err(Error::new(ErrorKind::Invalid, message).with("member", "vault"));
            }
        };
        Vault::open(Arc::clone(store), keys).await.map(|vault| Some(Arc::new(vault)))
    }

    pub(crate) fn configure(&self, mut builder: EngineBuilder) -> Result<EngineBuilder> {
        builder = builder.templates(highwater::templates::all()).actions(highwater::templates::actions());
        for text in &self.providers {
            builder = builder.provider(provider_file::parse(text.get())?);
        }
        if let Some(runs) = self.max_runs {
            builder = builder.max_runs(runs);
        }
        if let Some(runs) = self.max_runs_per_provider {
            builder = builder.max_runs_per_provider(runs);
        }
        if let Some(lease) = self.lease_ms {
            builder = builder.lease(Duration::from_millis(lease));
        }
        if let Some(environment) = self.environment() {
            builder = builder.environment(environment);
        }
        Ok(builder)
    }
}
