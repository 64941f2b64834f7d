//! Where the master key lies.
#![cfg(unix)]
#![allow(clippy::disallowed_macros)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use highwater_core::{ErrorKind, MemoryStore, Store};
use highwater_engine::{CredentialStore, Credentials, Secret};
use highwater_vault::{EnvironmentKeys, KeyFile, SecretStore, Vault};
use support::block_on;

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new().unwrap())
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_key_file_is_made_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys").join("app.key");
    let keys = Arc::new(KeyFile::new(&path));
    block_on(async {
        let store = memory();
        let vault = Vault::open(Arc::clone(&store), Arc::clone(&keys) as _).await.unwrap();
        vault.save("c", &Credentials::token(Secret::new("x"))).await.unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        vault.rotate().await.unwrap();
        assert_eq!((keys.load().await.unwrap().len(), mode(&path)), (2, 0o600));
        vault.forget_former_keys().await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
        let again = Vault::open(store, keys as _).await.unwrap();
        assert_eq!(again.load("c").await.unwrap(), Some(Credentials::token(Secret::new("x"))));
    });
}

#[test]
fn two_that_make_a_vault_at_the_same_moment_have_the_same_one() {
    for _ in 0..60 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.key");
        let store = memory();
        let opened = std::thread::scope(|scope| {
            let open = || block_on(Vault::open(Arc::clone(&store), Arc::new(KeyFile::new(&path))));
            let threads = [scope.spawn(open), scope.spawn(open), scope.spawn(open)];
            threads.map(|thread| thread.join().unwrap().unwrap())
        });
        block_on(async {
            opened[0].save("c", &Credentials::token(Secret::new("x"))).await.unwrap();
            for vault in &opened {
                assert_eq!(vault.load("c").await.unwrap(), Some(Credentials::token(Secret::new("x"))));
            }
            assert_eq!(KeyFile::new(&path).load().await.unwrap().len(), 1);
        });
    }
}

#[test]
fn a_key_file_that_others_can_read_and_what_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let open = |path: &std::path::Path| Vault::open(memory(), Arc::new(KeyFile::new(path)));
        let path = folder.path().join("app.key");
        open(&path).await.unwrap();
        let key = fs::read_to_string(&path).unwrap();
        for bits in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
            let error = open(&path).await.unwrap_err();
            assert_eq!((error.kind(), error.context("file")), (ErrorKind::PermissionDenied, path.to_str()), "{error}");
            assert!(error.to_string().contains("chmod 600") && !format!("{error:?}").contains(key.trim()));
        }
        assert_eq!(open(folder.path()).await.unwrap_err().kind(), ErrorKind::Invalid, "a folder");
        let other = folder.path().join("movie.mkv");
        fs::write(&other, vec![b'x'; 5000]).unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(open(&other).await.unwrap_err().kind(), ErrorKind::Invalid, "a large file");
        assert_eq!(fs::metadata(&other).unwrap().len(), 5000);
        let letter = folder.path().join("letter.txt");
        fs::write(&letter, "dear Anna").unwrap();
        fs::set_permissions(&letter, fs::Permissions::from_mode(0o600)).unwrap();
        let error = open(&letter).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Invalid && !format!("{error} {error:?}").contains("Anna"), "{error}");
        assert_eq!(fs::read_to_string(&letter).unwrap(), "dear Anna");
    });
}

/// What a process does that is given its key in a variable: the variable is set for a child.
#[test]
fn child_with_a_variable() {
    let Ok(wanted) = std::env::var("HIGHWATER_VAULT_TEST") else { return };
    let path = std::env::var("HIGHWATER_VAULT_STORE").unwrap();
    block_on(async {
        let store = Arc::new(highwater_store_sqlite::SqliteStore::open(path).unwrap());
        let vault = match Vault::open(store, Arc::new(EnvironmentKeys::new("HIGHWATER_VAULT_KEY"))).await {
            Ok(vault) => vault,
            Err(error) => return println!("outcome {}", error.kind()),
        };
        match &*wanted {
            "save" => vault.save("c", &Credentials::token(Secret::new("x"))).await.unwrap(),
            "rotate" => match vault.rotate().await {
                Ok(rotation) => println!("rotated {} left {}", rotation.rows, rotation.former_keys),
                Err(error) => return println!("outcome {}", error.kind()),
            },
            _ => assert_eq!(vault.load("c").await.unwrap(), Some(Credentials::token(Secret::new("x")))),
        }
        println!("outcome done");
    });
}

#[test]
fn keys_of_a_variable_are_only_read_and_rotate_by_adding_one() {
    let folder = tempfile::tempdir().unwrap();
    let run = |what: &str, keys: Option<&str>| {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "child_with_a_variable", "--nocapture"]);
        child.env("HIGHWATER_VAULT_TEST", what).env("HIGHWATER_VAULT_STORE", folder.path().join("app.db"));
        child.env_remove("HIGHWATER_VAULT_KEY").envs(keys.map(|keys| ("HIGHWATER_VAULT_KEY", keys)));
        let output = String::from_utf8(child.output().unwrap().stdout).unwrap();
        let told = |begin: &str| output.lines().find_map(|line| line.strip_prefix(begin)).map(str::to_owned);
        (told("outcome ").unwrap(), told("rotated "))
    };
    let (old, new) = ("00".repeat(32), "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".to_owned());
    assert_eq!(run("save", None).0, "unsupported", "no key is made where it cannot be kept");
    assert_eq!(run("save", Some(&old)).0, "done");
    assert_eq!(run("load", Some(&old)).0, "done");
    assert_eq!(run("rotate", Some(&old)).0, "unsupported", "there is no newer key");
    assert_eq!(run("load", Some(&new)).0, "wrong_key");
    let both = format!("{new}, {old}");
    assert_eq!(run("rotate", Some(&both)), ("done".to_owned(), Some("1 left 1".to_owned())));
    assert_eq!(run("load", Some(&new)).0, "done");
    assert_eq!(run("load", Some(&old)).0, "wrong_key");
}
