//! What was changed, cut, swapped, moved or put back in the vault: noticed, or said not to be.

mod support;

use std::sync::Arc;

use highwater_core::backend::{Backend, BackendRead, BackendReader, BackendWrite, Table};
use highwater_core::{Error, ErrorKind, Inline, MemoryBackend, Result, Store, StoreOptions};
use highwater_engine::{CredentialStore, Credentials, Secret};
use highwater_vault::{GivenKeys, Vault};
use serde_json::Value;
use support::{block_on, every_kind, given};

const HEAD: &str = "vault/head";

/// What an attacker writes in place of a byte, beside each of its bits turned.
const BYTES: [u8; 4] = [0, b'"', b'\\', 0xff];

fn row(connection: &str) -> String {
    format!("vault/credentials/{connection}")
}

/// The place of a document in the backend: see docs/store-format.md.
fn place(document: &str) -> Vec<u8> {
    [b"d", document.as_bytes()].concat()
}

/// A store whose bytes can be changed behind its back.
struct Shelf {
    backend: MemoryBackend,
    keys: Arc<GivenKeys>,
}

impl Shelf {
    fn new(keys: &Arc<GivenKeys>) -> Self {
        Shelf { backend: MemoryBackend::default(), keys: Arc::clone(keys) }
    }

    async fn vault(&self) -> Result<Vault> {
        let store: Arc<dyn Store> = Arc::new(Inline::open(self.backend.clone(), StoreOptions::new()).unwrap());
        Vault::open(store, Arc::clone(&self.keys) as _).await
    }

    /// What a program that starts now gets.
    async fn load(&self, connection: &str) -> Result<Option<Credentials>> {
        self.vault().await?.load(connection).await
    }

    fn bytes(&self, document: &str) -> Vec<u8> {
        let mut reader = self.backend.clone();
        let mut snapshot = reader.snapshot().unwrap();
        snapshot.get(Table::State, &place(document)).unwrap().unwrap()
    }

    fn put(&self, document: &str, bytes: &[u8]) {
        let mut backend = self.backend.clone();
        let mut write = backend.begin().unwrap();
        write.put(Table::State, &place(document), bytes).unwrap();
        write.commit().unwrap();
    }
}

/// Every text that differs from `bytes` by one byte: changed, left out, repeated; and every beginning of it.
fn changed(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        let turned = (0..8).map(|bit| byte ^ (1 << bit));
        for other in turned.chain(BYTES).filter(|other| other != byte) {
            let mut text = bytes.to_vec();
            text[at] = other;
            all.push(text);
        }
        all.push([&bytes[..at], &bytes[at + 1..]].concat());
        all.push([&bytes[..at], &[*byte], &bytes[at..]].concat());
        all.push(bytes[..at].to_vec());
    }
    all
}

/// A typed error that says what to do, and nothing secret.
fn check(error: &Error, kinds: &[ErrorKind], what: &str) {
    let told = format!("{error} {error:?}");
    assert!(kinds.contains(&error.kind()), "{what}: {told}");
    let ways_out = ["sign in again", "restore a backup", "update this program", "give the location of the right one"];
    assert!(ways_out.iter().any(|way| told.contains(way)), "{what}: {told}");
    assert!(!told.contains("4711"), "{what}: {told}");
}

#[test]
fn every_changed_byte_of_a_row_is_a_typed_error_of_its_connection() {
    block_on(async {
        for (connection, credentials) in every_kind() {
            let shelf = Shelf::new(&given());
            let vault = shelf.vault().await.unwrap();
            vault.save(connection, &credentials).await.unwrap();
            vault.save("other", &Credentials::token(Secret::new("other-4711"))).await.unwrap();
            let sound = shelf.bytes(&row(connection));
            let meaning: Value = serde_json::from_slice(&sound).unwrap();
            for text in changed(&sound) {
                shelf.put(&row(connection), &text);
                let what = format!("{connection}: {}", String::from_utf8_lossy(&text));
                match vault.load(connection).await {
                    // A space, or a letter written as an escape.
                    Ok(found) => {
                        assert_eq!(found.as_ref(), Some(&credentials), "{what}");
                        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), meaning, "{what}");
                    }
                    Err(error) => {
                        check(&error, &[ErrorKind::Corrupt], &what);
                        assert_eq!(error.context("connection"), Some(connection), "{what}");
                    }
                }
            }
            assert!(vault.load("other").await.unwrap().is_some(), "the others stay as they are");
            // A rotation names it and keeps the others; a sign-in mends it.
            let error = vault.rotate().await.unwrap_err();
            assert_eq!((error.kind(), error.context("connection")), (ErrorKind::Corrupt, Some(connection)), "{error}");
            vault.save(connection, &credentials).await.unwrap();
            vault.rotate().await.unwrap();
            assert_eq!(vault.load(connection).await.unwrap(), Some(credentials));
            assert!(vault.load("other").await.unwrap().is_some());
        }
    });
}

#[test]
fn every_changed_byte_of_the_vaults_own_document_is_a_typed_error() {
    block_on(async {
        let credentials = Credentials::token(Secret::new("token-4711"));
        for rotating in [false, true] {
            let shelf = Shelf::new(&given());
            let vault = shelf.vault().await.unwrap();
            vault.save("c", &credentials).await.unwrap();
            if rotating {
                // Two data keys: the rotation stops at a row that does not open.
                shelf.put(&row("broken"), b"{}");
                vault.rotate().await.unwrap_err();
                assert!(vault.is_rotating());
            }
            let sound = shelf.bytes(HEAD);
            let meaning: Value = serde_json::from_slice(&sound).unwrap();
            for text in changed(&sound) {
                shelf.put(HEAD, &text);
                let what = String::from_utf8_lossy(&text).into_owned();
                match shelf.load("c").await {
                    Ok(found) => {
                        assert_eq!(found.as_ref(), Some(&credentials), "{what}");
                        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), meaning, "{what}");
                    }
                    Err(error) => {
                        check(&error, &[ErrorKind::Corrupt, ErrorKind::WrongKey, ErrorKind::Incompatible], &what);
                    }
                }
                assert_eq!(vault.load("c").await.unwrap().as_ref(), Some(&credentials), "open already: {what}");
            }
            shelf.put(HEAD, &sound);
            assert_eq!(shelf.load("c").await.unwrap(), Some(credentials.clone()));
        }
    });
}

#[test]
fn a_row_opens_for_no_other_connection_and_in_no_other_store() {
    let ids = ["a", "A", "b", "a/b", "a/", "a b", "integration/a", "a\u{301}", "\u{e1}", "credentials", "a\0b"];
    block_on(async {
        let keys = given();
        let (here, there) = (Shelf::new(&keys), Shelf::new(&keys));
        let (vault, elsewhere) = (here.vault().await.unwrap(), there.vault().await.unwrap());
        for id in ids {
            vault.save(id, &Credentials::token(Secret::new(format!("{id}-4711")))).await.unwrap();
        }
        let rows: Vec<Vec<u8>> = ids.iter().map(|id| here.bytes(&row(id))).collect();
        for (at, from) in ids.iter().enumerate() {
            for to in ids.iter().filter(|to| *to != from) {
                here.put(&row(to), &rows[at]);
                let error = vault.load(to).await.unwrap_err();
                check(&error, &[ErrorKind::Corrupt], &format!("{from:?} for {to:?}"));
                assert_eq!(error.context("connection"), Some(*to), "{from:?} for {to:?}");
            }
            for (id, row_of_it) in ids.iter().zip(&rows) {
                here.put(&row(id), row_of_it);
            }
            // The same master key, another data key and another id.
            there.put(&row(from), &rows[at]);
            check(&elsewhere.load(from).await.unwrap_err(), &[ErrorKind::Corrupt], from);
        }
        // The head goes with the rows: then the store as a whole was copied.
        let own = there.bytes(HEAD);
        there.put(HEAD, &here.bytes(HEAD));
        assert!(there.load("a").await.unwrap().is_some());
        elsewhere.save("b", &Credentials::token(Secret::new("b-4711"))).await.unwrap();
        there.put(HEAD, &own);
        for id in ids {
            check(&there.load(id).await.unwrap_err(), &[ErrorKind::Corrupt], id);
        }
    });
}

/// Rollback: who can write to the store can put back what it had. docs/vault.md says so.
#[test]
fn what_was_put_back_is_noticed_from_the_next_rotation_on() {
    block_on(async {
        let token = |text: &str| Credentials::token(Secret::new(text));
        let shelf = Shelf::new(&given());
        let vault = shelf.vault().await.unwrap();
        vault.save("c", &token("first")).await.unwrap();
        let (head, first) = (shelf.bytes(HEAD), shelf.bytes(&row("c")));
        vault.save("c", &token("second")).await.unwrap();
        let second = shelf.bytes(&row("c"));

        // Not to be noticed: it was this connection's row in this vault.
        shelf.put(&row("c"), &first);
        assert_eq!(vault.load("c").await.unwrap(), Some(token("first")));
        vault.remove("c").await.unwrap();
        shelf.put(&row("c"), &second);
        assert_eq!(vault.load("c").await.unwrap(), Some(token("second")));

        vault.rotate().await.unwrap();
        let new = (shelf.bytes(HEAD), shelf.bytes(&row("c")));
        shelf.put(&row("c"), &first);
        let error = vault.load("c").await.unwrap_err();
        check(&error, &[ErrorKind::Corrupt], "a row from before the rotation");
        assert_eq!(error.context("connection"), Some("c"));
        // A former head does not open rows of the new key.
        shelf.put(HEAD, &head);
        shelf.put(&row("c"), &new.1);
        check(&shelf.load("c").await.unwrap_err(), &[ErrorKind::Corrupt], "a head from before the rotation");
        // Both together are the vault as it was: a restored backup. It opens for as long as the former key is kept.
        shelf.put(&row("c"), &first);
        assert_eq!(shelf.load("c").await.unwrap(), Some(token("first")));
        shelf.put(HEAD, &new.0);
        vault.forget_former_keys().await.unwrap();
        shelf.put(HEAD, &head);
        check(&shelf.load("c").await.unwrap_err(), &[ErrorKind::WrongKey], "a backup after the key was forgotten");
    });
}

#[test]
fn a_check_names_what_does_not_open_and_nothing_else() {
    block_on(async {
        let shelf = Shelf::new(&given());
        let vault = shelf.vault().await.unwrap();
        for (connection, credentials) in every_kind() {
            vault.save(connection, &credentials).await.unwrap();
        }
        let count = every_kind().len() as u64;
        let found = vault.check().await.unwrap();
        assert_eq!((found.credentials, found.unreadable.len()), (count, 0));
        // One row takes the place of another, and one is no row at all.
        shelf.put(&row("basic"), &shelf.bytes(&row("token")));
        shelf.put(&row("none"), b"{}");
        let found = shelf.vault().await.unwrap().check().await.unwrap();
        assert_eq!((found.credentials, found.unreadable), (count, vec!["basic".to_owned(), "none".to_owned()]));
        // Another process rotates the keys; this one does not know yet.
        vault.save("basic", &Credentials::token(Secret::new("new-4711"))).await.unwrap();
        vault.save("none", &Credentials::none()).await.unwrap();
        shelf.vault().await.unwrap().rotate().await.unwrap();
        assert_eq!(vault.check().await.unwrap().unreadable, Vec::<String>::new());
    });
}
