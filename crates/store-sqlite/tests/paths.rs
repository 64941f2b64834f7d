//! Paths as people and tools write them: long ones, odd ones, links, and what is no file.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::fs;
use std::path::{Path, PathBuf};

use highwater_core::{ErrorKind, Store, StreamKey, WriteBatch};
use highwater_store_sqlite::SqliteStore;
use highwater_store_sqlite::rusqlite::Connection;

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

fn one(id: &str) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.on(&notes()).upsert(format!(r#"{{"id":"{id}"}}"#));
    batch
}

/// Opens, commits, closes, opens again: what lies there at the end.
async fn used(path: &Path) -> u64 {
    let store = SqliteStore::open(path).unwrap();
    store.commit(one("a")).await.unwrap();
    store.close().await.unwrap();
    let store = SqliteStore::open(path).unwrap();
    store.commit(one("b")).await.unwrap();
    store.head(&notes()).await.unwrap().live
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_path_is_a_path_and_no_uri() {
    let folder = tempfile::tempdir().unwrap();
    for name in
        ["file:x.db", "file:u.db?mode=memory", "file:ro.db?mode=ro&immutable=1", "a%20b.db", "a?b#c.db", "-x.db"]
    {
        let path = folder.path().join(name);
        assert_eq!(used(&path).await, 2, "{name}");
        assert!(path.is_file(), "{name}: {:?}", names(folder.path()));
    }
}

const RELATIVE: &str = "HIGHWATER_TEST_RELATIVE";

/// In a process of its own, which changes its working directory.
#[tokio::test]
async fn child_with_relative_paths() {
    let Ok(folder) = std::env::var(RELATIVE) else { return };
    let folder = PathBuf::from(folder);
    let away = folder.join("away");
    fs::create_dir(&away).unwrap();
    for name in ["file:x.db", "file:y.db?mode=memory&cache=shared", "plain.db", "./dot.db"] {
        std::env::set_current_dir(&folder).unwrap();
        let store = SqliteStore::open(name).unwrap();
        std::env::set_current_dir(&away).unwrap();
        store.commit(one("a")).await.unwrap();
        assert_eq!(store.head(&notes()).await.unwrap().live, 1);
        store.create_view(&notes(), "shown", Vec::new()).await.unwrap();
        store.close().await.unwrap();
        assert!(folder.join(name).is_file(), "{name}: {:?}", names(&folder));
        assert_eq!(names(&away), Vec::<String>::new(), "{name}");
        let live = SqliteStore::open(folder.join(name)).unwrap().head(&notes()).await.unwrap().live;
        assert_eq!(live, 1, "{name}");
    }
}

#[test]
fn a_relative_path_is_that_of_the_opening() {
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_with_relative_paths", "--nocapture"])
        .env(RELATIVE, folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_long_path_is_refused_by_its_length() {
    let folder = tempfile::tempdir().unwrap();
    // Folders of forty letters, until the whole is longer than SQLite takes.
    let mut deep = folder.path().to_owned();
    while deep.as_os_str().len() < 600 {
        deep = deep.join("d".repeat(40));
    }
    fs::create_dir_all(&deep).unwrap();
    let long = deep.join("app.db");
    let mut wrong = Vec::new();
    for (path, length) in [
        (long.clone(), long.as_os_str().len()),
        (folder.path().join(format!("{}.db", "n".repeat(249))), 252),
        (folder.path().join(format!("{}.db", "n".repeat(297))), 300),
    ] {
        let error = SqliteStore::open(&path).unwrap_err();
        println!("{length} bytes: {:?}: {}", error.kind(), error.message());
        if error.kind() != ErrorKind::Invalid || error.context("bytes") != Some(&*length.to_string()) {
            wrong.push(length);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(names(folder.path()).iter().filter(|name| name.starts_with('n')).count(), 0, "nothing was left behind");
}

#[tokio::test]
async fn names_and_paths_up_to_the_limit_work() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(used(&folder.path().join("n".repeat(247))).await, 2);
    let mut deep = folder.path().to_owned();
    while deep.as_os_str().len() + 41 + 2 <= 500 {
        deep = deep.join("d".repeat(40));
    }
    fs::create_dir_all(&deep).unwrap();
    let rest = 504 - deep.as_os_str().len() - 1;
    let path = deep.join("f".repeat(rest));
    assert_eq!(path.as_os_str().len(), 504);
    assert_eq!(used(&path).await, 2);
    let error = SqliteStore::open(deep.join("f".repeat(rest + 1))).unwrap_err();
    assert_eq!((error.kind(), error.context("bytes")), (ErrorKind::Invalid, Some("505")), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn any_bytes_make_a_name() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    for name in
        [&b"a b.db"[..], b"\xff\xfe.db", b"caf\xe9.db", "größe ☃.db".as_bytes(), b"new\nline.db", b"'quote\".db"]
    {
        let path = folder.path().join(std::ffi::OsStr::from_bytes(name));
        assert_eq!(used(&path).await, 2, "{}", path.display());
        assert!(path.is_file(), "{}", path.display());
    }
    let error = SqliteStore::open(folder.path().join("a\0b.db")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_no_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success());
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let device = PathBuf::from("/dev/null");
    let mut wrong = Vec::new();
    for path in
        [Some(pipe).filter(|_| made), Some(socket), Some(device), Some(folder.path().to_owned())].into_iter().flatten()
    {
        match SqliteStore::open(&path) {
            Ok(_) => wrong.push(format!("{}: opened", path.display())),
            Err(error) if error.kind() == ErrorKind::Incompatible => println!("{}: {error}", path.display()),
            Err(error) => wrong.push(format!("{}: {:?}: {error}", path.display(), error.kind())),
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_leads_to_the_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let (path, link) = (inner.join("app.db"), folder.path().join("link.db"));
    std::os::unix::fs::symlink("inner/app.db", &link).unwrap();
    // A link to nothing yet: the file is made where it leads.
    let one_store = SqliteStore::open(&link).unwrap();
    one_store.commit(one("a")).await.unwrap();
    assert!(path.is_file());
    assert_eq!(names(folder.path()), ["inner", "link.db"], "the WAL lies beside the file, not beside the link");
    if one_store.capabilities().multi_process {
        let two = SqliteStore::open(&path).unwrap();
        two.commit(one("b")).await.unwrap();
        one_store.commit(one("c")).await.unwrap();
        assert_eq!(two.head(&notes()).await.unwrap().live, 3);
    }
    let loops = folder.path().join("loop.db");
    std::os::unix::fs::symlink("loop.db", &loops).unwrap();
    let error = SqliteStore::open(&loops).unwrap_err();
    println!("a link to itself: {:?}: {error}", error.kind());
    assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
}

#[tokio::test]
async fn files_of_other_programs_are_left_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    // An empty file is a database that was not begun.
    let empty = folder.path().join("empty.db");
    fs::write(&empty, "").unwrap();
    assert_eq!(used(&empty).await, 2);
    for (name, bytes) in [
        ("text", "no database ".repeat(1000).into_bytes()),
        ("zeros", vec![0; 65_536]),
        ("short", b"SQLite format 3\0".to_vec()),
        ("redb", [b"redb\x1a\x0a\xa9\x0d\x0a".to_vec(), vec![0; 60_000]].concat()),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, &bytes).unwrap();
        let error = SqliteStore::open(&path).unwrap_err();
        println!("{name}: {:?}: {error}", error.kind());
        assert_eq!(error.kind(), ErrorKind::Incompatible, "{name}: {error}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{name} was changed");
    }
    let host = Connection::open(folder.path().join("text")).unwrap();
    assert!(host.query_row("SELECT 1 FROM sqlite_schema", [], |_| Ok(())).is_err());
}
