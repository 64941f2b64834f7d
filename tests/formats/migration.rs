//! The step from an earlier format: once, whole, with a copy where the host wants one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use highwater::{ErrorKind, Store, StoreExt, StoreOptions, WriteBatch};
use highwater_core::backend::{Backend, BackendWrite, Table};
use highwater_core::{MemoryBackend, Threaded};
use highwater_store_sqlite::SqliteStore;
use highwater_store_sqlite::rusqlite::Connection;

use crate::facts;
use crate::kept::{Kept, block_on, chance, copies, environment, note, notes};
use crate::support::{Chance, setting, start};

/// A moment after the kept stores were made.
const NOW_MS: u64 = 1_780_000_100_000;

/// What a child does: opens a copy, which brings it to the current format.
pub(crate) fn act(role: &[String]) {
    let [what, path, number] = role else { panic!("no such role: {role:?}") };
    assert_eq!(what, "open");
    let copy = copies().remove(number.parse().unwrap());
    let options = copy.options(&environment(NOW_MS)).copy_before_migration();
    println!("opening");
    let store = copy.open_at(Path::new(path), options).unwrap();
    println!("open {}", block_on(store.streams()).unwrap().len());
}

fn check(copy: &Kept, path: &Path) {
    let store = copy.open_at(path, copy.options(&environment(NOW_MS))).unwrap();
    facts::compare(&copy.name(), &copy.facts(), &block_on(facts::of(&*store)));
    block_on(store.close()).unwrap();
}

#[test]
fn a_copy_is_kept_where_the_host_wants_one() {
    for copy in copies() {
        let open = |path: &Path| {
            let options = copy.options(&environment(NOW_MS)).copy_before_migration();
            block_on(copy.open_at(path, options).unwrap().close()).unwrap();
        };
        open(&copy.path);
        let before = copy.copy();
        assert!(before.exists(), "{}", copy.name());
        // Of a store that is current already, none.
        let renamed = before.with_extension("kept");
        std::fs::rename(&before, &renamed).unwrap();
        open(&copy.path);
        assert!(!before.exists(), "{}", copy.name());
        check(&copy, &copy.path);
        // The copy is what the store was: opened for writing, it is migrated in its turn.
        let mut of_copy = renamed.as_os_str().to_owned();
        of_copy.push(before.extension().map(|end| format!(".{}", end.display())).unwrap());
        open(&renamed);
        assert!(PathBuf::from(of_copy).exists(), "{}", copy.name());
        check(&copy, &renamed);
    }
}

/// Reading alone migrates nothing: the file stays one of its format, for the program that wrote it.
#[test]
fn an_earlier_format_is_read_as_it_is() {
    for copy in copies() {
        let bytes = || std::fs::read(&copy.path).ok();
        let before = bytes();
        let store = copy.open_at(&copy.path, copy.options(&environment(NOW_MS)).read_only()).unwrap();
        facts::compare(&copy.name(), &copy.facts(), &block_on(facts::of(&*store)));
        block_on(store.close()).unwrap();
        drop(store);
        assert!(before == bytes(), "{}", copy.name());
        // It is still to be migrated.
        let options = copy.options(&environment(NOW_MS)).copy_before_migration();
        block_on(copy.open_at(&copy.path, options).unwrap().close()).unwrap();
        assert!(copy.copy().exists(), "{}", copy.name());
    }
}

#[test]
fn without_the_wish_there_is_no_copy() {
    for copy in copies() {
        drop(copy.open().unwrap());
        let left: Vec<_> = std::fs::read_dir(copy.path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "{}: {left:?}", copy.name());
    }
}

/// A host that goes back to its former version puts the copy in its place, and comes forward again later.
#[test]
fn a_copy_that_is_put_back_is_a_restored_backup() {
    for copy in copies().into_iter().filter(|copy| copy.path.is_file()) {
        let options = |seed| copy.options(&chance(seed, NOW_MS)).copy_before_migration();
        let lost = block_on(async {
            let store = copy.open_at(&copy.path, options(1)).unwrap();
            let mut batch = WriteBatch::new();
            batch.on(&notes()).upsert(note("lost", 1));
            let cursor = store.commit(batch).await.unwrap().streams[0].cursor;
            store.close().await.unwrap();
            cursor
        });
        std::fs::rename(copy.copy(), &copy.path).unwrap();
        check(&copy, &copy.path);
        block_on(async {
            let store = copy.open_at(&copy.path, options(2)).unwrap();
            let mut batch = WriteBatch::new();
            batch.on(&notes()).upsert(note("other", 1));
            store.commit(batch).await.unwrap();
            let error = store.records(&notes()).since(lost).page().await.unwrap_err();
            let known = [ErrorKind::CursorForked, ErrorKind::CursorFuture].contains(&error.kind());
            assert!(known, "{}: {error}", copy.name());
        });
    }
}

#[cfg(unix)]
#[test]
fn a_migration_that_was_killed_goes_on_at_the_next_open() {
    let rounds = setting("HIGHWATER_TEST_KILLS", 12);
    let kinds = copies().len();
    for number in 0..kinds {
        let mut chance = Chance::new("migration");
        for _ in 0..rounds {
            let copy = copies().remove(number);
            let role = ["open", copy.path.to_str().unwrap(), &number.to_string()];
            let mut child = start(&role);
            child.lines.by_ref().find(|line| line.contains("opening")).unwrap();
            // From before its first step to behind its last.
            std::thread::sleep(Duration::from_micros(chance.below(6000)));
            child.child.kill().unwrap();
            child.child.wait().unwrap();
            check(&copy, &copy.path);
            // A copy that lies under its name is whole.
            if copy.copy().exists() {
                check(&copy, &copy.copy());
            }
        }
    }
}

#[test]
fn several_processes_may_open_an_earlier_store_at_once() {
    for (number, copy) in copies().into_iter().enumerate().filter(|(_, copy)| !copy.name().ends_with("sled")) {
        let role = ["open", copy.path.to_str().unwrap(), &number.to_string()];
        let children: Vec<_> = (0..4).map(|_| start(&role)).collect();
        for mut child in children {
            assert!(child.lines.any(|line| line.contains("open 2")), "{}", copy.name());
        }
        check(&copy, &copy.path);
    }
}

#[test]
fn a_later_format_is_refused_by_both_numbers() {
    let told = |error: highwater::Error, found: &str, known: &str| {
        assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
        assert_eq!((error.context("format"), error.context("known")), (Some(found), Some(known)), "{error}");
        assert!(error.to_string().contains("newer version"), "{error}");
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    drop(SqliteStore::open(&path).unwrap());
    Connection::open(&path).unwrap().execute_batch("UPDATE hw_meta SET value = 5").unwrap();
    let before = std::fs::read(&path).unwrap();
    told(SqliteStore::open(&path).unwrap_err(), "5", "4");
    told(SqliteStore::builder(&path).options(StoreOptions::new().read_only()).open().unwrap_err(), "5", "4");
    assert!(std::fs::read(&path).unwrap() == before, "the later program finds it as it left it");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let mut memory = MemoryBackend::default();
    block_on(Threaded::open(memory.clone(), StoreOptions::new()).unwrap().close()).unwrap();
    let mut write = memory.begin().unwrap();
    write.put(Table::State, b"i", &[&[3_u8][..], &[7; 32]].concat()).unwrap();
    write.commit().unwrap();
    told(Threaded::open(memory, StoreOptions::new()).unwrap_err(), "3", "2");
}
