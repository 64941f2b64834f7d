//! The file stores on disks that are full, file systems that go away, and in processes that may do no more.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "support/host.rs"]
mod host;
#[path = "support/processes.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use highwater::maintenance::{Compaction, Maintenance, MaintenanceReport};
use highwater::{ErrorKind, Store, StoreOptions};
use highwater_store_sqlite::SqliteStore;
use host::{STORES, live, notes, run, save};
use support::{block_on, open};

/// Not a test of its own: what the children of the others do.
#[test]
fn child() {
    let Some(role) = support::role() else { return };
    let role: Vec<&str> = role.iter().map(String::as_str).collect();
    block_on(async {
        match *role.as_slice() {
            ["filled", kind, folder] => filled(kind, Path::new(folder)).await,
            ["limited", kind, folder] => limited(kind, Path::new(folder)).await,
            ["gone", kind, folder] => gone(kind, Path::new(folder)).await,
            ["descriptors", kind, folder] => descriptors(kind, Path::new(folder)).await,
            _ => panic!("no such role: {role:?}"),
        }
    });
}

/// `support::command(role)`, begun by a shell that first does `before`.
fn after(before: &str, role: &[&str], folder: &Path) -> Command {
    let call = support::command(role);
    let mut shell = Command::new("sh");
    shell.arg("-ec").arg(format!("{before}; exec \"$0\" \"$@\"")).arg(call.get_program()).args(call.get_args());
    shell.env("HIGHWATER_TEST_ROLE", role.join("|")).env("DIR", folder);
    shell
}

/// The same in a mount namespace of its own, where `$DIR` is a small file system in memory.
fn in_small_file_system(size: &str, role: &[&str], folder: &Path) -> Option<Command> {
    let begin = |command: &Command| {
        let mut inner = Command::new("unshare");
        inner.args(["--map-root-user", "--mount"]).arg(command.get_program()).args(command.get_args());
        inner.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        inner
    };
    let mount = format!("mount -t tmpfs -o size={size} none \"$DIR\"");
    let mut probe = Command::new("sh");
    probe.args(["-ec", &mount]).env("DIR", folder);
    if run(begin(&probe)).is_err() {
        println!("skipped: no file system can be mounted here");
        return None;
    }
    Some(begin(&after(&mount, role, folder)))
}

/// Fills the disk while the store is closed: opening and reading work, writing says why it does not.
async fn filled(kind: &str, folder: &Path) {
    let (path, ballast) = (folder.join("store"), folder.join("ballast"));
    let store = open(kind, &path).unwrap();
    save(&*store, 0..100, 100).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let mut full = fs::File::create(&ballast).unwrap();
    while std::io::Write::write_all(&mut full, &[1; 512]).is_ok() {}
    drop(full);
    if kind == "sqlite" {
        let reading = SqliteStore::builder(&path).options(StoreOptions::new().read_only()).open().unwrap();
        assert_eq!(live(&reading).await, 100, "for reading only");
        reading.close().await.unwrap();
    }
    match open(kind, &path) {
        Ok(store) => {
            let read = live(&*store).await;
            let error = save(&*store, 100..140, 4000).await.unwrap_err();
            println!("outcome opened, {read} read, then {:?}: {error}", error.kind());
            assert_eq!((read, error.kind()), (100, ErrorKind::Full), "{kind}: {error}");
            let _ = store.close().await;
        }
        Err(error) => {
            println!("outcome not opened: {:?}: {error}", error.kind());
            assert_eq!(error.kind(), ErrorKind::Full, "{kind}: {error}");
            assert_ne!(kind, "sqlite", "reading needs no room: {error}");
        }
    }
    fs::remove_file(&ballast).unwrap();
    let store = open(kind, &path).unwrap();
    save(&*store, 100..110, 100).await.unwrap();
    assert_eq!(live(&*store).await, 110);
}

#[test]
fn a_disk_that_filled_while_the_store_was_closed_can_be_read() {
    for kind in STORES {
        let folder = tempfile::tempdir().unwrap();
        let role = ["filled", kind, folder.path().to_str().unwrap()];
        if let Some(command) = in_small_file_system(if kind == "sled" { "40m" } else { "4m" }, &role, folder.path()) {
            let said = run(command).unwrap();
            println!("{kind}: {}", said.lines().filter(|line| line.contains("outcome")).collect::<Vec<_>>().join(" "));
        }
    }
}

/// The file system goes away while the store is open: a stick that is pulled, a share that is let go.
async fn gone(kind: &str, folder: &Path) {
    let store = open(kind, &folder.join("store")).unwrap();
    save(&*store, 0..100, 100).await.unwrap();
    assert!(Command::new("umount").arg("--lazy").arg(folder).status().unwrap().success());
    let error = save(&*store, 100..101, 100).await.unwrap_err();
    println!("outcome {:?}: {error}", error.kind());
    assert_eq!(error.kind(), ErrorKind::Poisoned, "{kind}: {error}");
    assert!(store.head(&notes()).await.is_err(), "{kind}");
    let _ = store.close().await;
}

#[test]
fn a_file_system_that_goes_away_takes_no_commits() {
    for kind in STORES {
        let folder = tempfile::tempdir().unwrap();
        let role = ["gone", kind, folder.path().to_str().unwrap()];
        if let Some(command) = in_small_file_system("40m", &role, folder.path()) {
            let said = run(command).unwrap();
            println!("{kind}: {}", said.lines().filter(|line| line.contains("outcome")).collect::<Vec<_>>().join(" "));
        }
    }
}

/// The process may open no more files.
async fn descriptors(kind: &str, folder: &Path) {
    let store = open(kind, &folder.join("store")).unwrap();
    save(&*store, 0..10, 10).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let mut held: Vec<fs::File> = std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect();
    let mut wrong = Vec::new();
    // From no room at all to room for some of the files that a store has.
    for left in 0..12 {
        match open(kind, &folder.join("store")) {
            Ok(_) => break,
            Err(error)
                if error.kind() == ErrorKind::Io && format!("{error} {error:?}").contains("oo many open files") => {}
            Err(error) => wrong.push(format!("{left} left: {:?}: {error}", error.kind())),
        }
        held.pop();
    }
    held.clear();
    assert!(wrong.is_empty(), "{kind}: {wrong:#?}");
    assert_eq!(live(&*open(kind, &folder.join("store")).unwrap()).await, 10);
}

#[test]
fn a_process_without_file_descriptors_is_told_so() {
    for kind in STORES {
        let folder = tempfile::tempdir().unwrap();
        let role = ["descriptors", kind, folder.path().to_str().unwrap()];
        println!("{}", run(after("ulimit -n 64", &role, folder.path())).unwrap_or_else(|said| panic!("{said}")));
    }
}

/// No file may grow beyond a limit (a file system's largest file, a quota of the process).
async fn limited(kind: &str, folder: &Path) {
    let path = folder.join("store");
    let store = open(kind, &path).unwrap();
    let mut saved = 0;
    let error = loop {
        match save(&*store, saved..saved + 5, 40_000).await {
            Ok(()) => saved += 5,
            Err(error) => break error,
        }
        assert!(saved < 5000, "the limit is never reached");
    };
    println!("outcome {saved} saved, then {:?}: {error}", error.kind());
    assert!(matches!(error.kind(), ErrorKind::Full | ErrorKind::Poisoned), "{kind}: {error}");
    let _ = store.close().await;
}

#[test]
fn a_file_that_may_not_grow_is_full() {
    for kind in ["sqlite", "redb"] {
        let folder = tempfile::tempdir().unwrap();
        let role = ["limited", kind, folder.path().to_str().unwrap()];
        // In units of 512 or 1024 bytes; the signal of it ignored, the write fails.
        let said = run(after("trap '' XFSZ; ulimit -f 6000", &role, folder.path())).unwrap();
        println!("{kind}: {}", said.lines().filter(|line| line.contains("outcome")).collect::<Vec<_>>().join(" "));
        block_on(async {
            let store = open(kind, &folder.path().join("store")).unwrap();
            let saved = live(&*store).await;
            save(&*store, 0..saved + 1, 10).await.unwrap();
        });
    }
}

#[test]
fn compacting_gives_space_back_or_says_why_not() {
    for kind in STORES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        block_on(async {
            let store = open(kind, &path).unwrap();
            for round in 0..20 {
                save(&*store, round * 50..round * 50 + 50, 10_000).await.unwrap();
            }
            let full = size(folder.path());
            store.maintain(Maintenance::Clear(notes())).await.unwrap();
            save(&*store, 0..3, 10).await.unwrap();
            let report = store.maintain(Maintenance::Compact).await.unwrap();
            let left = size(folder.path());
            println!("{kind}: {full} bytes, cleared and compacted ({report:?}): {left}");
            let MaintenanceReport::Compacted(compaction) = report else { panic!("{report:?}") };
            let complete = compaction == Compaction::Complete;
            assert!(complete || kind == "sled" && !cfg!(target_os = "linux"), "{kind}: {compaction:?}");
            assert!(!complete || left * 4 < full, "{kind}: {left} of {full}");
            assert_eq!(live(&*store).await, 3);
        });
    }
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().unwrap().len() }).sum()
}
