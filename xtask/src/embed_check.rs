//! `cargo xtask embed-check`: whether a host that has SQLite already can take ours beside it.
//!
//! One binary can link one SQLite (`links = "sqlite3"`). For each library that hosts use, cargo resolves a
//! package that depends on it and on `highwater-store-sqlite`; nothing is compiled. With
//! `--versions` the store is built and tested with each given rusqlite.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;

/// What hosts have: a name, and its line in a manifest.
const PEERS: &[(&str, &str)] = &[
    ("(alone)", ""),
    ("rusqlite 0.39", "rusqlite = { version = \"0.39\", features = [\"bundled\"] }"),
    ("sqlx 0.8", "sqlx = { version = \"0.8\", features = [\"sqlite\", \"runtime-tokio\"] }"),
    ("sqlx 0.9", "sqlx = { version = \"0.9\", features = [\"sqlite\", \"runtime-tokio\"] }"),
    ("diesel 2", "diesel = { version = \"2\", features = [\"sqlite\"] }"),
    ("sea-orm 1", "sea-orm = { version = \"1\", features = [\"sqlx-sqlite\", \"runtime-tokio-rustls\"] }"),
    ("tauri-plugin-sql 2", "tauri-plugin-sql = { version = \"2\", features = [\"sqlite\"] }"),
    ("powersync", "powersync = \"*\""),
];

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    match arguments {
        [] => resolve_all(),
        [flag, versions @ ..] if flag == "--versions" && !versions.is_empty() => {
            versions.iter().try_for_each(|version| test_with(version))
        }
        _ => Err("usage: cargo xtask embed-check [--versions RUSQLITE_VERSION...]".to_owned()),
    }
}

fn resolve_all() -> Result<(), String> {
    println!("{:20} {:10} {:16} {:14} result", "host uses", "rusqlite", "libsqlite3-sys", "SQLite");
    let mut failed = Vec::new();
    for (peer, dependency) in PEERS {
        match resolve(dependency) {
            Ok(found) => println!("{peer:20} {:10} {:16} {:14} ok", found.rusqlite, found.sys, found.sqlite),
            Err(reason) => {
                println!("{peer:20} {:10} {:16} {:14} FAILS", "-", "-", "-");
                failed.push(format!("{peer}: {reason}"));
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

struct Found {
    rusqlite: String,
    sys: String,
    /// As bundled; a host that links the system's has that.
    sqlite: String,
}

fn resolve(dependency: &str) -> Result<Found, String> {
    let folder = scratch("embed-check")?;
    let store = root().join("crates/store-sqlite");
    let manifest = format!(
        "[package]\nname = \"host\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{dependency}\nhighwater-store-sqlite = {{ path = {store:?} }}\n"
    );
    write(&folder.join("Cargo.toml"), &manifest)?;
    fs::create_dir(folder.join("src")).map_err(|error| format!("{}: {error}", folder.display()))?;
    write(&folder.join("src/lib.rs"), "")?;
    process::capture(cargo_in(&folder, &["generate-lockfile", "--quiet"]))?;
    let lock = fs::read_to_string(folder.join("Cargo.lock")).map_err(|error| format!("Cargo.lock: {error}"))?;
    let one = |name: &str| match versions_of(&lock, name).into_iter().collect::<Vec<_>>().as_slice() {
        [version] => Ok(version.clone()),
        found => Err(format!("{} versions of {name}: {found:?}", found.len())),
    };
    let (rusqlite, sys) = (one("rusqlite")?, one("libsqlite3-sys")?);
    let sqlite = bundled_sqlite(&folder).unwrap_or_else(|| "?".to_owned());
    Ok(Found { rusqlite, sys, sqlite })
}

/// The versions of a package in a lock file.
fn versions_of(lock: &str, name: &str) -> BTreeSet<String> {
    let wanted = format!("name = \"{name}\"");
    let mut lines = lock.lines();
    let mut found = BTreeSet::new();
    while let Some(line) = lines.next() {
        if line == wanted {
            found.extend(
                lines.next().and_then(|line| line.strip_prefix("version = ")).map(|v| v.trim_matches('"').to_owned()),
            );
        }
    }
    found
}

/// The version in the header that the resolved libsqlite3-sys carries.
fn bundled_sqlite(folder: &Path) -> Option<String> {
    let metadata = process::capture(cargo_in(folder, &["metadata", "--format-version", "1", "--quiet"])).ok()?;
    let place = metadata.split('"').find(|text| text.contains("/libsqlite3-sys-") && text.ends_with("/Cargo.toml"))?;
    let header = Path::new(place).parent()?.join("sqlite3/sqlite3.h");
    let header = fs::read_to_string(header).ok()?;
    let line = header.lines().find(|line| line.starts_with("#define SQLITE_VERSION "))?;
    line.split('"').nth(1).map(str::to_owned)
}

/// Builds and tests the store with one version of rusqlite, in a copy of the sources.
fn test_with(version: &str) -> Result<(), String> {
    let folder = scratch("embed-check-versions")?;
    let entries = fs::read_dir(root()).map_err(|error| format!("{}: {error}", root().display()))?;
    for entry in entries.flatten().filter(|entry| entry.file_name() != "target" && entry.file_name() != ".git") {
        process::run(Command::new("cp").arg("-r").arg(entry.path()).arg(&folder))?;
    }
    process::run(&mut cargo_in(&folder, &["update", "--quiet", "-p", "rusqlite", "--precise", version]))?;
    let test = ["test", "--quiet", "-p", "highwater-store-sqlite", "--tests"];
    process::run(cargo_in(&folder, &test).env("CARGO_TARGET_DIR", root().join("target/embed-check-versions-build")))?;
    println!("rusqlite {version}: builds, and its tests pass");
    Ok(())
}

fn root() -> PathBuf {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    root.canonicalize().unwrap_or_else(|_| root.to_owned())
}

/// An empty folder under `target`.
fn scratch(name: &str) -> Result<PathBuf, String> {
    let folder = root().join("target").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn cargo_in(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = process::cargo(arguments);
    command.current_dir(folder);
    command
}
