//! `highwater keys`

use clap::{Args, Subcommand, ValueEnum};
use highwater::Result;
use highwater::server::{Key, Keys, Scope};
use serde::Serialize;
use serde_json::json;

use crate::args::StoreOptions;
use crate::output::Output;
use crate::{stores, vaults};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct KeysOptions {
    #[command(subcommand)]
    action: Option<KeysAction>,
    #[command(flatten)]
    store: StoreOptions,
}

#[derive(Debug, Subcommand)]
enum KeysAction {
    /// List the keys (the default without a subcommand).
    List(StoreOptions),
    /// Create a key. It is printed once, and only its hash is stored.
    Create {
        /// Whose key it is, for people.
        name: String,
        /// What it may be used for.
        #[arg(long, value_enum, default_value = "read")]
        scope: ScopeName,
        #[command(flatten)]
        store: StoreOptions,
    },
    /// Revoke a key, in every server of the store and at once.
    Revoke {
        /// The key's id: the part of it between the underscores.
        id: String,
        #[command(flatten)]
        store: StoreOptions,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScopeName {
    /// Records, and the state of syncs and connections.
    Read,
    /// Also changes of connections and syncs, actions, requests to providers.
    Write,
    /// Also integrations with their secrets, and credentials.
    Admin,
}

impl From<ScopeName> for Scope {
    fn from(name: ScopeName) -> Self {
        match name {
            ScopeName::Read => Scope::Read,
            ScopeName::Write => Scope::Write,
            ScopeName::Admin => Scope::Admin,
        }
    }
}

pub(crate) async fn run(options: &KeysOptions, output: &Output) -> Result<()> {
    match &options.action {
        None => list(&options.store, output).await,
        Some(KeysAction::List(store)) => list(store, output).await,
        Some(KeysAction::Create { name, scope, store }) => create(name, (*scope).into(), store, output).await,
        Some(KeysAction::Revoke { id, store }) => revoke(id, store, output).await,
    }
}

async fn list(options: &StoreOptions, output: &Output) -> Result<()> {
    let store = stores::open_reading(options)?;
    let keys = Keys::new(&vaults::engine(&store, options).await?).list().await?;
    for key in &keys {
        output.object("key", key);
        output.line(line(key));
    }
    if keys.is_empty() {
        output.note("No keys: `highwater keys create NAME --scope read` makes one.");
    }
    store.close().await
}

fn line(key: &Key) -> String {
    let used = key.last_used_at.map_or_else(|| "never used".to_owned(), |time| format!("last used {time}"));
    format!("{} {}: {}, made {}, {used}", key.id, key.name, key.scope, key.created_at)
}

async fn create(name: &str, scope: Scope, options: &StoreOptions, output: &Output) -> Result<()> {
    #[derive(Serialize)]
    struct Made<'k> {
        #[serde(flatten)]
        key: &'k Key,
        secret: &'k str,
    }
    let store = stores::open(options)?;
    let made = Keys::new(&vaults::engine(&store, options).await?).create(name, scope).await?;
    output.object("key", &Made { key: &made.key, secret: made.secret.expose() });
    output.line(made.secret.expose());
    if !output.json {
        output.note("Keep it: only its hash is stored.");
    }
    store.close().await
}

async fn revoke(id: &str, options: &StoreOptions, output: &Output) -> Result<()> {
    let store = stores::open_existing(options)?;
    Keys::new(&vaults::engine(&store, options).await?).revoke(id).await?;
    output.done("key_revoked", &json!({ "key": id }));
    output.line(format!("Key {id} is revoked"));
    store.close().await
}
