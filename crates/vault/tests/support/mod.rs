//! What the tests of the vault share.
#![allow(dead_code)]

use std::path::Path;
use std::sync::Arc;

use highwater_core::Store;
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::{Credentials, Secret};
use highwater_store_redb::RedbStore;
use highwater_store_sled::SledStore;
use highwater_store_sqlite::SqliteStore;
use highwater_vault::GivenKeys;

pub(crate) const KINDS: &[&str] = &["sqlite", "redb", "sled"];

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(future)
}

pub(crate) fn open_file(kind: &str, folder: &Path) -> Arc<dyn Store> {
    match kind {
        "sqlite" => Arc::new(SqliteStore::open(folder.join("app.db")).unwrap()),
        "redb" => Arc::new(RedbStore::open(folder.join("app.redb")).unwrap()),
        _ => Arc::new(SledStore::open(folder.join("app.sled")).unwrap()),
    }
}

/// A place for keys that has none yet.
pub(crate) fn given() -> Arc<GivenKeys> {
    Arc::new(GivenKeys::default())
}

/// Credentials of every kind, by the connection that has them.
pub(crate) fn every_kind() -> Vec<(&'static str, Credentials)> {
    let secret = |text: &str| Secret::new(text);
    let user = OAuthTokens::new("client-id")
        .access(secret("ACCESS-token-4711"), None)
        .refresh(secret("REFRESH-token-4711"))
        .client_secret(secret("CLIENT-secret-4711"))
        .scope("repo");
    vec![
        ("none", Credentials::none().secret("signing", secret("SETTING-secret-4711"))),
        ("token", Credentials::token(secret("TOKEN-ghp-4711"))),
        ("basic", Credentials::basic("anna", secret("BASIC-password-4711"))),
        ("user/with ☂ in its id", Credentials::oauth2(user)),
        ("application", Credentials::oauth2(OAuthTokens::client_credentials("client-id", secret("APP-secret-4711")))),
    ]
}

/// The secrets in them.
pub(crate) fn texts() -> Vec<String> {
    ["ACCESS-token", "REFRESH-token", "CLIENT-secret", "SETTING-secret", "TOKEN-ghp", "BASIC-password", "APP-secret"]
        .map(|begin| format!("{begin}-4711"))
        .to_vec()
}
