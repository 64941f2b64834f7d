//! The file stores on a real machine: odd paths, files of other programs, links, second openers, files that are moved, clocks
//! that leap while a store is open.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "support/host.rs"]
mod host;
#[path = "support/processes.rs"]
mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use highwater::maintenance::Maintenance;
use highwater::{ErrorKind, Store, StoreExt, StoreOptions};
use highwater_conformance::TestEnvironment;
use highwater_store_redb::RedbStore;
use highwater_store_sled::SledStore;
use highwater_store_sqlite::SqliteStore;
use host::{STORES, live, notes, run, save};
use support::{block_on, open};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Not a test of its own: what the children of the others do.
#[test]
fn child() {
    let Some(role) = support::role() else { return };
    let role: Vec<&str> = role.iter().map(String::as_str).collect();
    block_on(async {
        match *role.as_slice() {
            ["relative", kind, folder] => relative(kind, Path::new(folder)).await,
            ["second", kind, path] => match open(kind, Path::new(path)) {
                Ok(store) => {
                    save(&*store, 100..101, 10).await.unwrap();
                    println!("outcome shared {}", live(&*store).await);
                }
                Err(error) => println!("outcome {:?} {error}", error.kind()),
            },
            _ => panic!("no such role: {role:?}"),
        }
    });
}

/// In a process of its own, which changes its working directory while the store is open.
async fn relative(kind: &str, folder: &Path) {
    let away = folder.join("away");
    fs::create_dir(&away).unwrap();
    std::env::set_current_dir(folder).unwrap();
    let store = open(kind, Path::new("file:store?mode=memory")).unwrap();
    std::env::set_current_dir(&away).unwrap();
    save(&*store, 0..50, 1000).await.unwrap();
    assert_eq!(live(&*store).await, 50);
    store.maintain(Maintenance::Compact).await.unwrap();
    save(&*store, 50..100, 1000).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    assert_eq!(fs::read_dir(&away).unwrap().count(), 0, "{kind}: files in the wrong directory");
    let store = open(kind, &folder.join("file:store?mode=memory")).unwrap();
    assert_eq!(live(&*store).await, 100);
}

#[test]
fn a_relative_path_is_that_of_the_opening() {
    for kind in STORES {
        let folder = tempfile::tempdir().unwrap();
        run(support::command(&["relative", kind, folder.path().to_str().unwrap()])).unwrap();
    }
}

#[test]
fn any_bytes_make_a_name() {
    for kind in STORES {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            &b"a b"[..],
            b"\xff\xfe",
            b"caf\xe9.db",
            "größe ☃".as_bytes(),
            b"new\nline",
            b"file:x?mode=ro",
            b"%41",
            b"-x",
        ] {
            let path = folder.path().join(OsStr::from_bytes(name));
            block_on(async {
                let store = open(kind, &path).unwrap_or_else(|error| panic!("{kind} {}: {error}", path.display()));
                save(&*store, 0..10, 10).await.unwrap();
                store.close().await.unwrap();
                drop(store);
                assert!(path.exists(), "{kind} {}", path.display());
                assert_eq!(live(&*open(kind, &path).unwrap()).await, 10);
            });
        }
    }
}

/// What is wrong with a path decides the kind; never "permissions", never a fault of ours.
#[test]
fn a_path_that_cannot_be_says_why() {
    for kind in STORES {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "no store ".repeat(5000)).unwrap();
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("folder/letter"), "mine").unwrap();
        std::os::unix::fs::symlink("loop", at("loop")).unwrap();
        assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        let mut cases: Vec<(PathBuf, &[ErrorKind])> = vec![
            (PathBuf::new(), &[ErrorKind::Invalid]),
            (at(&"n".repeat(300)), &[ErrorKind::Invalid]),
            (at("nul\0byte"), &[ErrorKind::Invalid]),
            (at("file"), &[ErrorKind::Incompatible]),
            (at("folder"), &[ErrorKind::Incompatible]),
            (at("file/store"), &[ErrorKind::Incompatible, ErrorKind::NotFound]),
            (at("pipe"), &[ErrorKind::Incompatible]),
            (PathBuf::from("/dev/null"), &[ErrorKind::Incompatible]),
            (PathBuf::from("/dev/full"), &[ErrorKind::Incompatible]),
            (at("loop"), &[ErrorKind::Io]),
        ];
        if kind != "sled" {
            cases.push((at("missing/store"), &[ErrorKind::NotFound]));
        }
        for (path, kinds) in cases {
            let error = match open(kind, &path) {
                Ok(_) => panic!("{kind} opened {}", path.display()),
                Err(error) => error,
            };
            println!("{kind} {:.60}: {:?}: {}", path.display().to_string(), error.kind(), error.message());
            assert!(kinds.contains(&error.kind()), "{kind} {}: {:?}: {error}", path.display(), error.kind());
            assert_eq!(error.context("path"), Some(&*path.display().to_string()), "{kind}: {error}");
        }
        assert_eq!(fs::read_dir(at("folder")).unwrap().count(), 1, "{kind} left files in another's directory");
        assert!(fs::read(at("file")).unwrap().starts_with(b"no store"), "{kind}");
    }
}

/// Each store's file given to each other store, and an empty file.
#[test]
fn a_file_of_another_store_is_refused_and_unharmed() {
    for from in STORES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        block_on(async {
            let store = open(from, &path).unwrap();
            save(&*store, 0..20, 100).await.unwrap();
            store.close().await.unwrap();
        });
        for to in STORES.iter().filter(|to| **to != from) {
            let error = match open(to, &path) {
                Ok(_) => panic!("{to} opened a store of {from}"),
                Err(error) => error,
            };
            println!("{from} given to {to}: {error}");
            assert_eq!(error.kind(), ErrorKind::Incompatible, "{from} given to {to}: {error}");
        }
        block_on(async { assert_eq!(live(&*open(from, &path).unwrap()).await, 20, "{from}") });
    }
    for kind in ["sqlite", "redb"] {
        let file = tempfile::NamedTempFile::new().unwrap();
        block_on(async {
            let store = open(kind, file.path()).unwrap();
            save(&*store, 0..20, 100).await.unwrap();
            assert_eq!(live(&*store).await, 20, "{kind}");
        });
    }
}

#[test]
fn a_link_leads_to_the_one_store() {
    for kind in STORES {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        let (path, link) = (folder.path().join("inner/store"), folder.path().join("link"));
        block_on(async {
            let store = open(kind, &path).unwrap();
            save(&*store, 0..5, 10).await.unwrap();
            store.close().await.unwrap();
            drop(store);
            std::os::unix::fs::symlink("inner/store", &link).unwrap();
            let store = open(kind, &link).unwrap();
            save(&*store, 5..10, 10).await.unwrap();
            // The link is not the file: the store goes on without it.
            fs::remove_file(&link).unwrap();
            let outcome = save(&*store, 10..11, 10).await;
            println!("{kind}: after the link was removed: {:?}", outcome.as_ref().map_err(highwater::Error::kind));
            store.close().await.unwrap();
            drop(store);
            assert_eq!(live(&*open(kind, &path).unwrap()).await, if outcome.is_ok() { 11 } else { 10 }, "{kind}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{kind}: files beside the link");
        });
    }
}

#[test]
fn a_second_opener_in_another_process_shares_or_is_refused() {
    for kind in STORES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        block_on(async {
            let store = open(kind, &path).unwrap();
            save(&*store, 0..10, 10).await.unwrap();
            let said = run(support::command(&["second", kind, path.to_str().unwrap()])).unwrap();
            let outcome = said.lines().find_map(|line| line.split_once("outcome ")).unwrap().1;
            println!("{kind}: {outcome}");
            if store.capabilities().multi_process {
                assert_eq!(outcome, "shared 11", "{kind}");
                save(&*store, 10..11, 10).await.unwrap();
                assert_eq!(live(&*store).await, 12, "{kind}");
            } else {
                assert!(outcome.starts_with("Locked") || outcome.starts_with("Busy"), "{kind}: {outcome}");
                assert_eq!(live(&*store).await, 10, "{kind}");
            }
            // As of old: opened twice in one process.
            match open(kind, &path) {
                Ok(second) => {
                    save(&*second, 20..21, 10).await.unwrap();
                    drop(second);
                    save(&*store, 21..22, 10).await.unwrap();
                    assert_eq!(live(&*store).await, 14, "{kind}");
                }
                Err(error) => assert!(matches!(error.kind(), ErrorKind::Locked | ErrorKind::Busy), "{kind}: {error}"),
            }
        });
    }
}

/// What a tool does to a store that is open.
#[test]
fn a_store_that_was_moved_takes_no_commits() {
    type Act = fn(&Path, &Path);
    let acts: [(&str, Act); 4] = [
        ("removed", |path, _| {
            let _ = fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
        }),
        ("renamed", |path, _| fs::rename(path, path.with_extension("old")).unwrap()),
        ("replaced", |path, other| {
            fs::rename(path, path.with_extension("old")).unwrap();
            fs::rename(other, path).unwrap();
        }),
        ("its folder renamed", |path, _| {
            let folder = path.parent().unwrap();
            fs::rename(folder, folder.with_extension("old")).unwrap();
        }),
    ];
    for kind in STORES {
        for (what, act) in acts {
            let folder = tempfile::tempdir().unwrap();
            let inner = folder.path().join("inner");
            fs::create_dir(&inner).unwrap();
            let (path, other) = (inner.join("store"), folder.path().join("other"));
            block_on(async {
                let store = open(kind, &other).unwrap();
                save(&*store, 0..3, 10).await.unwrap();
                store.close().await.unwrap();
                drop(store);
                let store = open(kind, &path).unwrap();
                save(&*store, 0..10, 10).await.unwrap();
                act(&path, &other);
                let errors = [
                    save(&*store, 10..11, 10).await.map(drop),
                    save(&*store, 11..12, 10).await.map(drop),
                    store.records(&notes()).page().await.map(drop),
                    store.head(&notes()).await.map(drop),
                ];
                for outcome in errors {
                    let error = outcome.expect_err(&format!("{kind}, {what}"));
                    assert_eq!(error.kind(), ErrorKind::Poisoned, "{kind}, {what}: {error}");
                    assert!(error.message().contains("while it was open"), "{kind}, {what}: {error}");
                }
                // Closing does not hang, and what is at the path stays as it is.
                let _ = store.close().await;
                drop(store);
                if what == "replaced" {
                    assert_eq!(live(&*open(kind, &path).unwrap()).await, 3, "{kind}");
                }
                let old = match what {
                    "renamed" => path.with_extension("old"),
                    "its folder renamed" => folder.path().join("inner.old/store"),
                    _ => return,
                };
                let wal = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
                if what == "renamed" && wal(&path).exists() {
                    fs::rename(wal(&path), wal(&old)).unwrap();
                }
                let found = live(&*open(kind, &old).unwrap()).await;
                println!("{kind}, {what}: {found} in what was moved");
                assert!(found >= 10, "{kind}, {what}: acknowledged and lost");
            });
        }
    }
}

/// A laptop that sleeps with the store open, whose clock is wrong when it wakes, and right later.
#[test]
fn a_clock_that_leaps_while_the_store_is_open_harms_no_order() {
    for kind in STORES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let environment = Arc::new(TestEnvironment::new(7));
        let options = || {
            let environment: Arc<TestEnvironment> = Arc::clone(&environment);
            StoreOptions::new().environment(environment)
        };
        let open = || -> Arc<dyn Store> {
            match kind {
                "sqlite" => Arc::new(SqliteStore::builder(&path).options(options()).open().unwrap()),
                "redb" => Arc::new(RedbStore::builder(&path).options(options()).open().unwrap()),
                _ => Arc::new(SledStore::builder(&path).options(options()).open().unwrap()),
            }
        };
        block_on(async {
            let mut store = open();
            let mut cursor = highwater::Cursor::START;
            for (round, days) in [0, 30, -400, 370, 200, -1, 100].into_iter().enumerate() {
                environment.step_ms(days * DAY_MS);
                save(&*store, round..round + 1, 10)
                    .await
                    .unwrap_or_else(|error| panic!("{kind}, {days} days: {error}"));
                let page = store.records(&notes()).since(cursor).page().await.unwrap();
                assert_eq!(page.changes.len(), 1, "{kind}, {days} days");
                assert!(page.next_cursor.position() > cursor.position(), "{kind}, {days} days");
                cursor = page.next_cursor;
                if round == 3 {
                    store.close().await.unwrap();
                    drop(store);
                    store = open();
                }
            }
            assert_eq!(live(&*store).await, 7);
        });
    }
}
