//! What the vault keeps, and whom it opens for.

mod support;

use std::sync::Arc;

use base64::Engine as _;

use highwater_core::{ErrorKind, Json, MemoryStore, Store, WriteBatch};
use highwater_engine::{CredentialStore, Credentials, Secret};
use highwater_vault::{GivenKeys, SecretStore, Vault};
use proptest::prelude::*;
use support::{KINDS, block_on, every_kind, given, open_file, texts};

async fn vault(store: &Arc<dyn Store>, keys: &Arc<GivenKeys>) -> Vault {
    Vault::open(Arc::clone(store), Arc::clone(keys) as Arc<dyn SecretStore>).await.unwrap()
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new().unwrap())
}

async fn put(store: &dyn Store, key: &str, json: &str) {
    let mut batch = WriteBatch::new();
    batch.put_document(key, &serde_json::from_str::<serde_json::Value>(json).unwrap()).unwrap();
    store.commit(batch).await.unwrap();
}

async fn text(store: &dyn Store, key: &str) -> String {
    store.document(key).await.unwrap().as_ref().map(Json::as_str).unwrap().to_owned()
}

#[test]
fn credentials_of_every_kind_survive_a_restart_and_are_in_no_file() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let keys = given();
        block_on(async {
            let store = open_file(kind, folder.path());
            let vault = vault(&store, &keys).await;
            for (connection, credentials) in every_kind() {
                vault.save(connection, &credentials).await.unwrap();
            }
            store.close().await.unwrap();
        });
        block_on(async {
            let store = open_file(kind, folder.path());
            let vault = vault(&store, &keys).await;
            for (connection, credentials) in every_kind() {
                assert_eq!(vault.load(connection).await.unwrap(), Some(credentials), "{kind} {connection}");
            }
            assert_eq!(vault.connections().await.unwrap().len(), every_kind().len());
            vault.rotate().await.unwrap();
            for (connection, credentials) in every_kind() {
                assert_eq!(vault.load(connection).await.unwrap(), Some(credentials), "{kind} {connection}");
            }
            vault.remove("token").await.unwrap();
            assert_eq!(vault.load("token").await.unwrap(), None);
            // What is in the documents is no text that was only written otherwise.
            for document in store.documents("vault/", "", 100).await.unwrap() {
                for sealed in document.value.as_str().split('"').filter(|part| part.len() > 40) {
                    let bytes = base64::engine::general_purpose::STANDARD.decode(sealed).unwrap();
                    assert!(!String::from_utf8_lossy(&bytes).contains("4711"), "{kind}: {}", document.key);
                }
            }
            // Open, and with everything that is beside the file.
            let bytes = highwater_conformance::bytes_below(folder.path());
            let mut looked_for = texts();
            looked_for.extend(keys.secrets().iter().map(|secret| secret.expose().to_owned()));
            for secret in looked_for {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{kind}: {secret} is in a file");
            }
            store.close().await.unwrap();
        });
    }
}

#[test]
fn a_vault_opens_with_its_own_key_alone_and_says_where_it_looked() {
    block_on(async {
        let (store, keys) = (memory(), given());
        vault(&store, &keys).await.save("c", &Credentials::token(Secret::new("hidden"))).await.unwrap();
        for (secrets, kind) in [
            (given(), ErrorKind::WrongKey),
            (
                Arc::new(GivenKeys::new([Secret::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")])),
                ErrorKind::WrongKey,
            ),
            (Arc::new(GivenKeys::new([Secret::new("a password")])), ErrorKind::Invalid),
        ] {
            let before = secrets.secrets();
            let error = Vault::open(Arc::clone(&store), Arc::clone(&secrets) as _).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.context("key_from")),
                (kind, Some("the keys that the program supplied")),
                "{error}"
            );
            assert_eq!(secrets.secrets(), before, "no key is made for a vault that is there");
            assert!(!format!("{error} {error:?}").contains("a password"));
        }
        // The right one among others, in either form.
        let key = keys.secrets().remove(0);
        let hexadecimal = base64_to_hex(key.expose());
        for right in [key, Secret::new(hexadecimal)] {
            let other = given();
            Vault::open(memory(), Arc::clone(&other) as _).await.unwrap();
            let both = Arc::new(GivenKeys::new(other.secrets().into_iter().chain([right])));
            let vault = vault(&store, &both).await;
            assert_eq!(vault.load("c").await.unwrap(), Some(Credentials::token(Secret::new("hidden"))));
        }
    });
}

fn base64_to_hex(text: &str) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_row_opens_for_its_own_connection_and_vault_alone() {
    block_on(async {
        let (store, keys) = (memory(), given());
        let one = vault(&store, &keys).await;
        one.save("mine", &Credentials::token(Secret::new("mine"))).await.unwrap();
        one.save("yours", &Credentials::token(Secret::new("yours"))).await.unwrap();
        let row = text(&*store, "vault/credentials/mine").await;
        put(&*store, "vault/credentials/yours", &row).await;
        let error = one.load("yours").await.unwrap_err();
        assert_eq!((error.kind(), error.context("connection")), (ErrorKind::Corrupt, Some("yours")), "{error}");

        // Another store with the same master key.
        let other = memory();
        let two = vault(&other, &keys).await;
        put(&*other, "vault/credentials/mine", &row).await;
        assert_eq!(two.load("mine").await.unwrap_err().kind(), ErrorKind::Corrupt);
        // A sign-in mends it.
        two.save("mine", &Credentials::token(Secret::new("new"))).await.unwrap();
        assert_eq!(two.load("mine").await.unwrap(), Some(Credentials::token(Secret::new("new"))));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever character of a row or of the vault's document is changed: a typed error, or the same credentials, where the
    /// change means nothing (a space, an escape).
    #[test]
    fn a_changed_byte_is_a_typed_error(of_head: bool, at: prop::sample::Index, to in " -~") {
        block_on(async {
            let (store, keys) = (memory(), given());
            let credentials = Credentials::basic("anna", Secret::new("a long enough password"));
            vault(&store, &keys).await.save("c", &credentials).await.unwrap();
            let key = if of_head { "vault/head" } else { "vault/credentials/c" };
            let mut changed = text(&*store, key).await;
            let at = at.index(changed.len());
            changed.replace_range(at..=at, &to);
            if serde_json::from_str::<serde_json::Value>(&changed).is_err() {
                return;
            }
            put(&*store, key, &changed).await;
            let outcome = match Vault::open(Arc::clone(&store), Arc::clone(&keys) as _).await {
                Ok(vault) => vault.load("c").await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(found) => assert_eq!(found, Some(credentials)),
                Err(error) => {
                    let kinds = [ErrorKind::Corrupt, ErrorKind::WrongKey, ErrorKind::Incompatible];
                    assert!(kinds.contains(&error.kind()), "{error}");
                    assert!(!format!("{error} {error:?}").contains("password"), "{error}");
                }
            }
        });
    }
}
