//! The system's keychain, as far as it can be shown without one: with the mock of `keyring-core`.
#![cfg(feature = "keychain")]

mod support;

use std::sync::Arc;

use highwater_core::{ErrorKind, MemoryStore, Store};
use highwater_engine::{CredentialStore, Credentials, Secret};
use highwater_vault::{Keychain, SecretStore, Vault};
use keyring_core::{Entry, mock};
use support::block_on;

/// One test: the keychain is chosen for the whole process.
#[test]
fn keys_lie_in_one_entry_of_the_keychain_that_the_application_chose() {
    block_on(async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new().unwrap());
        let keychain = Arc::new(Keychain::new("app", "vault"));
        let open = || Vault::open(Arc::clone(&store), Arc::clone(&keychain) as _);
        let error = open().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("set_default_store"), "{error}");

        keyring_core::set_default_store(mock::Store::new().unwrap());
        let vault = open().await.unwrap();
        vault.save("c", &Credentials::token(Secret::new("x"))).await.unwrap();
        vault.rotate().await.unwrap();
        assert_eq!(keychain.load().await.unwrap().len(), 2);
        vault.forget_former_keys().await.unwrap();
        assert_eq!(keychain.load().await.unwrap().len(), 1);
        assert_eq!(open().await.unwrap().load("c").await.unwrap(), Some(Credentials::token(Secret::new("x"))));

        let entry = Entry::new("app", "vault").unwrap();
        let key = entry.get_password().unwrap();
        for (failure, kind) in [
            (keyring_core::Error::NoStorageAccess("locked".into()), ErrorKind::PermissionDenied),
            (keyring_core::Error::PlatformFailure("no bus".into()), ErrorKind::Io),
            (keyring_core::Error::BadEncoding(key.clone().into_bytes()), ErrorKind::Invalid),
            (keyring_core::Error::BadDataFormat(key.clone().into_bytes(), key.clone().into()), ErrorKind::Invalid),
            (keyring_core::Error::Ambiguous(vec![Entry::new("app", "vault").unwrap()]), ErrorKind::Invalid),
            (keyring_core::Error::TooLong("password".into(), 1280), ErrorKind::Invalid),
            (keyring_core::Error::NotSupportedByStore(key.clone()), ErrorKind::Unsupported),
            (keyring_core::Error::BadStoreFormat(key.clone()), ErrorKind::Internal),
        ] {
            entry.as_any().downcast_ref::<mock::Cred>().unwrap().set_error(failure);
            let error = open().await.unwrap_err();
            assert_eq!((error.kind(), error.context("service")), (kind, Some("app")), "{error}");
            assert!(!format!("{error} {error:?}").contains(&key));
        }
        // A locked keychain is not an empty one: the vault is the same afterwards.
        assert_eq!(entry.get_password().unwrap(), key);
        // What another program keeps under this name is neither used nor replaced, with a vault and without.
        let empty: Arc<dyn Store> = Arc::new(MemoryStore::new().unwrap());
        for text in ["hunter2", "{\"token\":\"hunter2\"}", &"hunter2".repeat(100)] {
            entry.set_password(text).unwrap();
            for store in [&store, &empty] {
                let error = Vault::open(Arc::clone(store), Arc::clone(&keychain) as _).await.unwrap_err();
                assert_eq!((error.kind(), entry.get_password().unwrap()), (ErrorKind::Invalid, text.to_owned()));
                assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
            }
        }
        entry.set_password(&format!("\u{feff}{key}\r\n")).unwrap();
        assert!(open().await.unwrap().load("c").await.unwrap().is_some(), "pasted by somebody");
        entry.delete_credential().unwrap();
        assert_eq!(open().await.unwrap_err().kind(), ErrorKind::WrongKey);
    });
}
