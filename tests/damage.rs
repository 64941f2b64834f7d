//! Disks that are full, file systems that cannot be written, files with flipped bytes.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "support/processes.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use highwater::{ErrorKind, Store, StoreExt, StreamKey, WriteBatch};
use support::{Chance, block_on, open, problems, setting};

const STORES: [&str; 3] = ["sqlite", "redb", "sled"];

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

/// Not a test of its own: what the children of the others do.
#[test]
fn child() {
    let Some(role) = support::role() else { return };
    let role: Vec<&str> = role.iter().map(String::as_str).collect();
    block_on(async {
        match *role.as_slice() {
            ["fill", kind, folder] => fill(kind, Path::new(folder)).await,
            ["begin", kind, folder] => begin(kind, Path::new(folder)).await,
            ["save", kind, path] => {
                let store = open(kind, Path::new(path)).unwrap();
                save(&*store, 0..10, 100).await.unwrap();
                store.close().await.unwrap();
            }
            ["unwritable", kind, path] => unwritable(kind, Path::new(path)).await,
            ["inspect", kind, path] => inspect(kind, Path::new(path)).await,
            _ => panic!("no such role: {role:?}"),
        }
    });
}

fn payload(n: usize, bytes: usize) -> String {
    format!(r#"{{"id":"{n}","text":"{}"}}"#, format!("{n} ").repeat(bytes / 4))
}

async fn save(store: &dyn Store, range: std::ops::Range<usize>, bytes: usize) -> highwater::Result<()> {
    let mut batch = WriteBatch::new();
    for n in range {
        batch.on(&notes()).upsert(payload(n, bytes));
    }
    store.commit(batch).await.map(drop)
}

/// Whether a child's outcome is a success; its last words otherwise.
fn run(mut command: Command) -> Result<String, String> {
    let output = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(text) } else { Err(format!("{}\n{text}", output.status)) }
}

/// A shell in a mount namespace of its own, where `$DIR` is a small file system in memory.
fn in_small_file_system(size: &str, folder: &Path, script: &str) -> Option<Command> {
    let begin = |script: &str| {
        let mut command = Command::new("unshare");
        let mount = format!("mount -t tmpfs -o size={size} none \"$DIR\" && {script}");
        command.args(["--map-root-user", "--mount", "sh", "-ec", &mount]).env("DIR", folder);
        command
    };
    if run(begin("true")).is_err() {
        println!("skipped: no file system can be mounted here");
        return None;
    }
    Some(begin(script))
}

/// `support::command(role)` for a shell script.
fn call(role: &[&str]) -> String {
    let command = support::command(role);
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    format!("HIGHWATER_TEST_ROLE='{}' {}", role.join("|"), words.join(" "))
}

/// A store cannot be made on a full disk, but as soon as there is room.
async fn begin(kind: &str, folder: &Path) {
    let (ballast, path) = (folder.join("ballast"), folder.join("store"));
    let mut full = std::fs::File::create(&ballast).unwrap();
    while std::io::Write::write_all(&mut full, &[1; 1024]).is_ok() {}
    let error = open(kind, &path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{kind}: {error}");
    names_the_place(&error, &path);
    drop(full);
    std::fs::remove_file(ballast).unwrap();
    let store = open(kind, &path).unwrap();
    save(&*store, 0..10, 100).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "{kind}: the store's file alone");
}

/// Writes until the disk is full, makes room, and goes on; everything acknowledged must be there.
async fn fill(kind: &str, folder: &Path) {
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![1; if kind == "sled" { 12 << 20 } else { 2 << 20 }]).unwrap();
    let path = folder.join("store");
    let mut store = open(kind, &path).unwrap();
    save(&*store, 0..10, 100).await.unwrap();
    let mut saved = 10;
    let error = loop {
        match save(&*store, saved..saved + 5, 20_000).await {
            Ok(()) => saved += 5,
            Err(error) => break error,
        }
        assert!(saved < 2000, "the disk is never full");
    };
    println!("{kind}: {saved} saved, then {:?}: {error}", error.kind());
    assert!(matches!(error.kind(), ErrorKind::Full | ErrorKind::Poisoned), "{kind}: {error}");
    names_the_place(&error, &path);
    std::fs::remove_file(ballast).unwrap();
    // A store that does not know how its last commit ended wants to be opened again.
    if save(&*store, saved..saved + 1, 20).await.is_err() {
        let _ = store.close().await;
        drop(store);
        store = open(kind, &path).unwrap();
        save(&*store, saved..saved + 1, 20).await.unwrap();
    }
    let page = store.records(&notes()).limit(100_000).max_bytes(64 << 20).page().await.unwrap();
    let ids: std::collections::BTreeSet<_> = page.changes.iter().map(|change| change.record.id.to_string()).collect();
    for n in 0..=saved {
        assert!(ids.contains(&n.to_string()), "{kind}: {n} was acknowledged and is lost");
    }
    assert_eq!(problems(&*store, &notes()).await.unwrap(), Vec::<String>::new());
    store.close().await.unwrap();
}

fn a_full_disk_is_told(kind: &str) {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("timeout 120 env {}", call(&["fill", kind, folder.path().to_str().unwrap()]));
    if let Some(command) = in_small_file_system(if kind == "sled" { "40m" } else { "6m" }, folder.path(), &script) {
        println!("{}", run(command).unwrap());
    }
}

#[test]
fn a_store_that_found_no_room_is_made_later() {
    for kind in STORES {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("timeout 120 env {}", call(&["begin", kind, folder.path().to_str().unwrap()]));
        if let Some(command) = in_small_file_system("40m", folder.path(), &script) {
            println!("{}", run(command).unwrap());
        }
    }
}

#[test]
fn a_full_disk_is_told_by_sqlite() {
    a_full_disk_is_told("sqlite");
}

#[test]
fn a_full_disk_is_told_by_redb() {
    a_full_disk_is_told("redb");
}

#[test]
fn a_full_disk_is_told_by_sled() {
    a_full_disk_is_told("sled");
}

/// On a file system that cannot be written: an error that says so, at the latest with the first write.
async fn unwritable(kind: &str, path: &Path) {
    let error = match open(kind, path) {
        Err(error) => error,
        Ok(store) => save(&*store, 50..60, 100).await.unwrap_err(),
    };
    println!("{kind}: {error}");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{kind}: {error}");
    names_the_place(&error, path);
}

#[test]
fn a_file_that_cannot_be_written_is_told() {
    for kind in STORES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let path = path.to_str().unwrap();
        let script = format!(
            "env {}; mount -o remount,ro \"$DIR\"; timeout 60 env {}",
            call(&["save", kind, path]),
            call(&["unwritable", kind, path])
        );
        if let Some(command) = in_small_file_system("40m", folder.path(), &script) {
            println!("{}", run(command).unwrap());
        }
    }
}

/// The file (or directory) alone, in a folder that can be written.
#[test]
fn a_read_only_file_is_told() {
    for kind in STORES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let path = path.to_str().unwrap();
        let script = format!(
            "env {}; mount --bind '{path}' '{path}'; mount -o remount,bind,ro '{path}'; timeout 60 env {}",
            call(&["save", kind, path]),
            call(&["unwritable", kind, path])
        );
        if let Some(command) = in_small_file_system("40m", folder.path(), &script) {
            println!("{}", run(command).unwrap());
        }
    }
}

/// Whoever reads the error knows which store is meant.
fn names_the_place(error: &highwater::Error, path: &Path) {
    assert_eq!(error.context("path"), Some(&*path.display().to_string()), "{error}");
    assert!(!error.to_string().contains('\n'), "one line: {error}");
}

/// Reads everything there is; whatever is wrong must be an error, or be found by `verify`.
async fn inspect(kind: &str, path: &Path) {
    let store = match open(kind, path) {
        Ok(store) => store,
        Err(error) => {
            names_the_place(&error, path);
            return println!("outcome open {:?}", error.kind());
        }
    };
    let verified = problems(&*store, &notes()).await;
    let page = store.records(&notes()).limit(100_000).page().await;
    let found = store.get(&notes(), &["5", "499"]).await;
    let head = store.head(&notes()).await;
    let saved = save(&*store, 900..910, 50).await;
    let errors =
        [verified.as_ref().err(), page.as_ref().err(), found.as_ref().err(), head.as_ref().err(), saved.as_ref().err()];
    errors.iter().flatten().for_each(|error| names_the_place(error, path));
    let intact = page.as_ref().is_ok_and(|page| {
        page.changes.len() == 500
            && page.changes.iter().enumerate().all(|(n, change)| {
                change.record.payload.as_ref().is_some_and(|found| found.as_bytes() == payload(n, 100).as_bytes())
            })
    });
    let noticed = errors.iter().any(Option::is_some) || verified.as_ref().is_ok_and(|problems| !problems.is_empty());
    let kinds: Vec<_> = errors.iter().flatten().map(|error| format!("{:?}", error.kind())).collect();
    let _ = store.close().await;
    let outcome = match () {
        () if noticed => "noticed",
        () if intact => "intact",
        // sled takes a damaged end of its log for a torn write: an earlier state, whole in itself.
        () if kind == "sled" && page.as_ref().is_ok_and(|page| page.changes.is_empty()) => "earlier",
        () => "WRONG",
    };
    println!("outcome {outcome} {}", kinds.join(","));
    if outcome == "WRONG" {
        println!("{} changes, head {head:?}", page.map_or(0, |page| page.changes.len()));
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Flips bytes at random places and lets a child look at what is left.
fn damage_is_noticed(kind: &str) {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    std::fs::create_dir(&whole).unwrap();
    block_on(async {
        let store = open(kind, &whole.join("store")).unwrap();
        save(&*store, 0..500, 100).await.unwrap();
        store.close().await.unwrap();
    });
    let mut chance = Chance::new(kind);
    let mut outcomes = std::collections::BTreeMap::<String, usize>::new();
    for round in 0..setting("HIGHWATER_TEST_FLIPS", 24) {
        let copy = folder.path().join(format!("copy{round}"));
        let copied = Command::new("cp").arg("-r").arg(&whole).arg(&copy).status().unwrap();
        assert!(copied.success());
        for _ in 0..=round % 8 {
            let files: Vec<PathBuf> =
                files(&copy).into_iter().filter(|file| std::fs::metadata(file).unwrap().len() > 0).collect();
            let file = &files[usize::try_from(chance.below(files.len() as u64)).unwrap()];
            let mut bytes = std::fs::read(file).unwrap();
            // Where the file's header is, anywhere, and at the beginnings of pages, where their structure and counts are.
            let (begin, end) = match round % 3 {
                0 => (0, 512.min(bytes.len())),
                1 => (0, bytes.len()),
                _ => {
                    let used: Vec<usize> = (0..bytes.len())
                        .step_by(4096)
                        .filter(|&page| bytes[page..].iter().take(256).any(|&b| b != 0))
                        .collect();
                    let page = used[usize::try_from(chance.below(used.len() as u64)).unwrap()];
                    (page, bytes.len().min(page + 256))
                }
            };
            let place = begin + usize::try_from(chance.below((end - begin) as u64)).unwrap();
            bytes[place] ^= 1 << chance.below(8);
            std::fs::write(file, bytes).unwrap();
        }
        let path = copy.join("store");
        let begin = Instant::now();
        let mut command = support::command(&["inspect", kind, path.to_str().unwrap()]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if begin.elapsed() > Duration::from_secs(60) {
                child.kill().unwrap();
                panic!("{kind} round {round}: hangs");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let outcome = text.lines().find_map(|line| line.split_once("outcome ")).map(|(_, outcome)| outcome.to_owned());
        let (Some(outcome), true) = (outcome, status.success()) else {
            panic!("{kind} round {round}: {status}\n{text}\n{}", String::from_utf8_lossy(&output.stderr));
        };
        assert!(!outcome.contains("WRONG"), "{kind} round {round}: {text}");
        *outcomes.entry(outcome).or_default() += 1;
    }
    println!("{kind}: {outcomes:?}");
}

#[test]
fn damage_to_sqlite_is_noticed() {
    damage_is_noticed("sqlite");
}

#[test]
fn damage_to_redb_is_noticed() {
    damage_is_noticed("redb");
}

#[test]
fn damage_to_sled_is_noticed() {
    damage_is_noticed("sled");
}
