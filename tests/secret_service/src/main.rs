//! The vault with its key in a real keychain: a Secret Service on the session's D-Bus. `cargo xtask acceptance keychain`
//! starts one of each for it.

use std::sync::Arc;

use highwater::engine::{CredentialStore, Credentials, Secret};
use highwater::vault::{Keychain, SecretStore, Vault};
use highwater::{ErrorKind, SqliteStore, Store};

fn main() {
    keyring_core::set_default_store(zbus_secret_service_keyring_store::Store::new().expect("no Secret Service"));
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(check());
    println!("the vault's key lies in a Secret Service: kept, rotated, forgotten, and missed when it is gone");
}

async fn check() {
    let folder = tempfile::tempdir().unwrap();
    let keychain = Arc::new(Keychain::new("highwater-check", "vault"));
    let credentials = Credentials::token(Secret::new("TOKEN-secret"));
    for restart in 0..3 {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(folder.path().join("app.db")).unwrap());
        let vault = Vault::open(Arc::clone(&store), Arc::clone(&keychain) as _).await.unwrap();
        if restart == 0 {
            vault.save("c", &credentials).await.unwrap();
        }
        assert_eq!(vault.load("c").await.unwrap(), Some(credentials.clone()));
        vault.rotate().await.unwrap();
        assert_eq!(keychain.load().await.unwrap().len(), 2);
        vault.forget_former_keys().await.unwrap();
        assert_eq!(keychain.load().await.unwrap().len(), 1);
        store.close().await.unwrap();
    }
    keyring_core::Entry::new("highwater-check", "vault").unwrap().delete_credential().unwrap();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(folder.path().join("app.db")).unwrap());
    assert_eq!(Vault::open(store, keychain as _).await.unwrap_err().kind(), ErrorKind::WrongKey);
}
