//! The file stores on a real machine: disks that filled while a store was closed, odd paths, files of other programs, files that are
//! moved, clocks that leap while a store is open.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "support/processes.rs"]
mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use highwater::{ErrorKind, Maintenance, MaintenanceReport, Store, StoreExt, StoreOptions, StreamKey, WriteBatch};
use highwater_conformance::TestEnvironment;
use highwater_store_redb::RedbStore;
use highwater_store_sled::SledStore;
use highwater_store_sqlite::SqliteStore;
use support::{block_on, open, problems};

const STORES: [&str; 3] = ["sqlite", "redb", "sled"];
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

async fn save(store: &dyn Store, range: std::ops::Range<usize>, bytes: usize) -> highwater::Result<()> {
    let mut batch = WriteBatch::new();
    for n in range {
        batch.on(&notes()).upsert(format!(r#"{{"id":"{n}","text":"{}"}}"#, format!("{n} ").repeat(bytes / 4)));
    }
    store.commit(batch).await.map(drop)
}

async fn live(store: &dyn Store) -> usize {
    let page = store.records(&notes()).limit(100_000).page().await.unwrap();
    assert_eq!(problems(store, &notes()).await.unwrap(), Vec::<String>::new());
    page.changes.len()
}

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

/// What a child said; its last words where it failed.
fn run(mut command: Command) -> Result<String, String> {
    let output = command.stderr(Stdio::piped()).stdout(Stdio::piped()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(text) } else { Err(format!("{}\n{text}", output.status)) }
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
            let complete = compaction == highwater::Compaction::Complete;
            assert_eq!(complete, kind != "sled", "{kind}: {compaction:?}");
            assert!(!complete || left * 4 < full, "{kind}: {left} of {full}");
            assert_eq!(live(&*store).await, 3);
        });
    }
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().unwrap().len() }).sum()
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
                assert!(page.next_cursor.ulid() > cursor.ulid(), "{kind}, {days} days");
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
