//! What went wrong with credentials elsewhere, tried here: see docs/field-reports.md.
#![cfg(unix)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use highwater_core::{ErrorKind, MemoryStore, Store};
use highwater_engine::{CredentialStore, Credentials, Secret};
use highwater_vault::{KeyFile, SecretStore, Vault};
use proptest::prelude::*;
use support::{block_on, given};

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new().unwrap())
}

fn token() -> Credentials {
    Credentials::token(Secret::new("x"))
}

async fn open(store: &Arc<dyn Store>, path: &Path) -> highwater_core::Result<Vault> {
    Vault::open(Arc::clone(store), Arc::new(KeyFile::new(path))).await
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn rotations_at_the_same_moment_lose_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.key");
    let store = memory();
    for round in 0..40 {
        let vaults: Vec<Vault> = (0..3).map(|_| block_on(open(&store, &path)).unwrap()).collect();
        block_on(vaults[0].save("c", &token())).unwrap();
        std::thread::scope(|scope| {
            for (number, vault) in vaults.iter().enumerate() {
                scope.spawn(move || {
                    let outcome = block_on(async {
                        vault.rotate().await?;
                        if number == 0 { vault.forget_former_keys().await } else { Ok(()) }
                    });
                    // Another one was first; it says so.
                    let conflict = outcome.as_ref().err().map(highwater_core::Error::kind);
                    assert!(matches!(conflict, None | Some(ErrorKind::Conflict)), "round {round}: {outcome:?}");
                });
            }
        });
        // A program that starts now finds its key.
        let again = block_on(open(&store, &path)).unwrap_or_else(|error| panic!("round {round}: {error}"));
        block_on(async {
            assert_eq!(again.load("c").await.unwrap(), Some(token()));
            again.rotate().await.unwrap();
            again.forget_former_keys().await.unwrap();
            assert_eq!(KeyFile::new(&path).load().await.unwrap().len(), 1);
        });
    }
}

#[test]
fn keys_are_bounded_before_their_place_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.key");
    block_on(async {
        let store = memory();
        let vault = open(&store, &path).await.unwrap();
        vault.save("c", &token()).await.unwrap();
        let error = loop {
            if let Err(error) = vault.rotate().await {
                break error;
            }
        };
        assert_eq!((error.kind(), error.context("keys")), (ErrorKind::Invalid, Some("20")), "{error}");
        assert!(error.to_string().contains("forget_former_keys"), "{error}");
        // As one entry of a keychain: Windows takes 2,560 bytes, in UTF-16.
        assert!(fs::read_to_string(&path).unwrap().len() < 1280);
        assert!(!vault.is_rotating());
        let again = open(&store, &path).await.unwrap();
        again.forget_former_keys().await.unwrap();
        again.rotate().await.unwrap();
        assert_eq!(again.load("c").await.unwrap(), Some(token()));
    });
}

#[test]
fn a_key_file_that_an_editor_saved_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.key");
    block_on(async {
        let store = memory();
        open(&store, &path).await.unwrap().save("c", &token()).await.unwrap();
        let key = fs::read_to_string(&path).unwrap().trim().to_owned();
        for text in [
            format!("\u{feff}{key}\r\n"),
            key.clone(),
            format!("{key}\n\n\n"),
            format!("  {key} \t\r\n"),
            format!("\u{feff}\r\n{key}\r\n"),
        ] {
            write(&path, text.as_bytes());
            let vault = open(&store, &path).await.unwrap();
            assert_eq!(vault.load("c").await.unwrap(), Some(token()), "{text:?}");
        }
        // UTF-16, as a shell on Windows writes it; half a key; a key twice as long.
        let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(key.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        for bytes in [wide, key.as_bytes()[..20].to_vec(), format!("{key}{key}").into_bytes(), b"{}".to_vec()] {
            write(&path, &bytes);
            let error = open(&store, &path).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            assert!(!format!("{error} {error:?}").contains(&key[..16]), "{error:?}");
            assert_eq!(fs::read(&path).unwrap(), bytes, "it is left as it is");
        }
        // An empty file is no key: none is made for a vault that is there.
        write(&path, b"\n");
        assert_eq!(open(&store, &path).await.unwrap_err().kind(), ErrorKind::WrongKey);
        assert_eq!(fs::read(&path).unwrap(), b"\n");
    });
}

#[test]
fn a_link_to_the_key_file_stays_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real").join("app.key"), folder.path().join("app.key"));
    block_on(async {
        let store = memory();
        open(&store, &real).await.unwrap().save("c", &token()).await.unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let vault = open(&store, &link).await.unwrap();
        vault.rotate().await.unwrap();
        vault.forget_former_keys().await.unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        for path in [&real, &link] {
            assert_eq!(open(&store, path).await.unwrap().load("c").await.unwrap(), Some(token()));
        }
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
    });
}

#[test]
fn a_key_file_that_cannot_be_written_stays_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.key");
    block_on(async {
        let store = memory();
        let vault = open(&store, &path).await.unwrap();
        vault.save("c", &token()).await.unwrap();
        let before = fs::read(&path).unwrap();
        // Whatever is in the way of the new list: here a folder of its name.
        let in_the_way = folder.path().join("app.key.new");
        fs::create_dir(&in_the_way).unwrap();
        let error = vault.rotate().await.unwrap_err();
        assert_eq!(error.context("file"), path.to_str(), "{error}");
        assert_eq!((fs::read(&path).unwrap(), vault.is_rotating()), (before, false));
        assert_eq!(open(&store, &path).await.unwrap().load("c").await.unwrap(), Some(token()));
        fs::remove_dir(&in_the_way).unwrap();
        // What a crash left there, half written and for all to read, is replaced.
        fs::write(&in_the_way, "half a k").unwrap();
        fs::set_permissions(&in_the_way, fs::Permissions::from_mode(0o644)).unwrap();
        vault.rotate().await.unwrap();
        assert!(!in_the_way.exists());
        assert_eq!(open(&store, &path).await.unwrap().load("c").await.unwrap(), Some(token()));
    });
}

#[test]
fn a_key_of_an_older_backup_is_told_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.key");
    block_on(async {
        let store = memory();
        let vault = open(&store, &path).await.unwrap();
        vault.save("c", &token()).await.unwrap();
        let older = fs::read(&path).unwrap();
        vault.rotate().await.unwrap();
        vault.forget_former_keys().await.unwrap();
        let current = fs::read(&path).unwrap();
        write(&path, &older);
        let error = open(&store, &path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongKey, "{error}");
        assert_eq!(fs::read(&path).unwrap(), older, "it is not replaced by a new one");
        // Somebody who has the vault open still writes what the right key opens.
        vault.save("d", &token()).await.unwrap();
        write(&path, &current);
        let again = open(&store, &path).await.unwrap();
        assert_eq!(again.load("d").await.unwrap(), Some(token()));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// No byte is trimmed, normalised or cut, whatever is in it and however long it is.
    #[test]
    fn credentials_come_back_as_they_were(
        password in "\\PC*|[\\x00-\\x20\"\\\\]{0,40}|(a\u{301}|\u{e1}|\u{1f511}|\r\n|\n)*", user in "\\PC{0,20}", id in "[^/]{1,40}", times in 0..4_u32
    ) {
        block_on(async {
            let (store, keys) = (memory(), given());
            let vault = Vault::open(Arc::clone(&store), Arc::clone(&keys) as _).await.unwrap();
            let long = password.repeat(10_usize.pow(times));
            let credentials = Credentials::basic(user, Secret::new(long)).secret("key", Secret::new(password));
            vault.save(&id, &credentials).await.unwrap();
            let again = Vault::open(store, keys as _).await.unwrap();
            assert_eq!(again.load(&id).await.unwrap(), Some(credentials));
        });
    }
}
