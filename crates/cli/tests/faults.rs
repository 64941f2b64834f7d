//! What goes wrong is told in one line that says what to do, and what was saved stays.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use highwater::stores::rusqlite::Connection;
use support::{GitHub, Mood, failure, highwater, one_line, record_count, run, sync, text, until};

#[test]
fn wrong_words() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let error = failure(here, &["sync", "github", "isues", "--config", "owner=o"]);
    assert!(error.contains("no such template") && error.contains("github issues"), "{error}");
    let error = failure(here, &["sync", "github", "issues", "--config", "owner=o"]);
    assert!(error.contains("--config repo=") && error.contains("repository"), "{error}");
    let error = failure(here, &["sync", "github", "issues", "--config", "owner=o,repo=r,color=red"]);
    assert!(error.contains("such a setting") && error.contains("color") && error.contains("owner"), "{error}");
    let error = failure(here, &["records", "Issue", "--db", "nowhere.db"]);
    assert!(error.contains("the store does not exist") && error.contains("nowhere.db"), "{error}");
    assert!(!here.join("nowhere.db").exists(), "a reading command makes no files");
    assert_eq!(run(here, &["sync"]).status.code(), Some(2), "wrong usage");
}

#[test]
fn a_token_that_is_refused_or_missing() {
    let folder = tempfile::tempdir().unwrap();
    let server = GitHub::start(3, Mood::Well);
    let error = one_line(sync(folder.path(), &server, &["--token-env", "NO_SUCH_VARIABLE"]), 1);
    assert!(error.contains("NO_SUCH_VARIABLE"), "{error}");
    let arguments = support::sync_arguments(&server);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(["--token-env", "THE_TOKEN"]).collect();
    let refused = highwater(folder.path(), &arguments).env("THE_TOKEN", "s3cr3t-and-wrong").output().unwrap();
    assert!(!String::from_utf8_lossy(&refused.stderr).contains("s3cr3t"), "a token is never shown");
    let error = one_line(refused, 1);
    assert!(error.contains("refused the token") && error.contains("401"), "{error}");
    let fine = highwater(folder.path(), &arguments).env("THE_TOKEN", "good").output().unwrap();
    assert!(fine.status.success(), "{}", String::from_utf8_lossy(&fine.stderr));
    let bytes = std::fs::read(folder.path().join("app.db")).unwrap();
    assert!(!bytes.windows(6).any(|part| part == b"s3cr3t"), "a token is never stored");
}

#[test]
fn a_repository_that_vanished() {
    let folder = tempfile::tempdir().unwrap();
    let server = GitHub::start(3, Mood::Well);
    let here = folder.path();
    let error = failure(
        here,
        &["sync", "github", "issues", "--config", "owner=o,repo=gone", "--db", "app.db", "--base-url", &server.url],
    );
    assert!(error.contains("404") && error.contains("no such resource"), "{error}");
}

#[test]
fn failures_in_the_middle_of_paging_keep_what_came_before() {
    for (mood, told) in [(Mood::StatusFrom(3, 500), "500"), (Mood::GarbageFrom(3), "not a JSON array")] {
        let folder = tempfile::tempdir().unwrap();
        let server = GitHub::start(35, mood);
        let error = one_line(sync(folder.path(), &server, &[]), 1);
        assert!(error.contains(told), "{mood:?}: {error}");
        let saved = record_count(folder.path());
        assert!((10..35).contains(&saved), "{mood:?}: {saved} records before the fault stay");
        server.set_mood(Mood::Well);
        assert!(sync(folder.path(), &server, &[]).status.success());
        assert_eq!(record_count(folder.path()), 35, "{mood:?}: the next sync goes on");
        let told = text(folder.path(), &["doctor", "--db", "app.db"]);
        assert!(told.contains("all well") && told.contains("clock: in step with the log"), "{told}");
    }
}

#[test]
fn set_aside_records_are_told_by_every_command_and_stop_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let server = GitHub::start(35, Mood::NamelessOn(2));
    let synced = sync(here, &server, &[]);
    let told = String::from_utf8_lossy(&synced.stdout).into_owned();
    assert!(synced.status.success() && told.contains("35 added") && told.contains("1 set aside"), "{told}");
    assert!(told.contains("set aside: Issue without a known id: the record has no id"), "{told}");
    assert!(text(here, &["status", "--db", "app.db"]).contains("1 Issue record set aside"));
    let runs = text(here, &["runs", "--db", "app.db"]);
    assert!(runs.contains("35 added") && runs.contains("1 set aside"), "{runs}");
    let id = runs.split(' ').next().unwrap();
    let shown = text(here, &["runs", "show", id, "--db", "app.db"]);
    assert!(shown.contains("Issue: 35 added") && shown.contains("1 set aside\n"), "{shown}");
    assert!(shown.contains("set aside: Issue without a known id") && shown.contains("warning"), "{shown}");
    assert!(text(here, &["logs", "--db", "app.db", "--level", "warning"]).contains("set aside"));
    let json = text(here, &["runs", "show", id, "--db", "app.db", "--json"]);
    let report: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((&report["models"]["Issue"]["set_aside"], &report["set_aside"][0]["id"]), (&1.into(), &().into()));
    // A refresh that still meets one deletes nothing, whatever is missing.
    server.set_issues(34);
    server.set_mood(Mood::NamelessOn(server.requests() + 1));
    let error = one_line(sync(here, &server, &["--full"]), 1);
    assert!(error.contains("set aside records"), "{error}");
    assert_eq!(record_count(here), 35);
    // Once it comes well, or no longer, everything is well.
    server.set_mood(Mood::Well);
    assert!(sync(here, &server, &["--full"]).status.success());
    let told = text(here, &["status", "--db", "app.db"]);
    assert!(told.contains("34 records, 1 deleted") && !told.contains("set aside"), "{told}");
}

#[test]
fn ctrl_c_in_the_middle_of_a_sync() {
    let folder = tempfile::tempdir().unwrap();
    let server = GitHub::start(35, Mood::SilentFrom(3));
    let arguments = support::sync_arguments(&server);
    let mut child = highwater(folder.path(), &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    server.wait_for_requests(3);
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let error = one_line(child.wait_with_output().unwrap(), 130);
    assert!(error.contains("the run was cancelled"), "{error}");
    let saved = record_count(folder.path());
    assert!((10..35).contains(&saved), "{saved}");
    server.set_mood(Mood::Well);
    assert!(sync(folder.path(), &server, &[]).status.success());
    assert_eq!(record_count(folder.path()), 35);
}

#[test]
fn files_that_are_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::write(here.join("letter.txt"), "Dear Sir or Madam, this is not a database but a letter.".repeat(99))
        .unwrap();
    for store in ["sqlite", "redb", "sled"] {
        let error = failure(here, &["status", "--db", "letter.txt", "--store", store]);
        assert!(error.contains("letter.txt"), "{store}: {error}");
    }
    assert!(std::fs::read_to_string(here.join("letter.txt")).unwrap().starts_with("Dear Sir"), "it was left alone");
}

#[test]
fn a_store_of_a_newer_format() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let server = GitHub::start(3, Mood::Well);
    assert!(sync(here, &server, &[]).status.success());
    let database = Connection::open(here.join("app.db")).unwrap();
    // The identity's first byte is the format; docs/store-format.md.
    database
        .execute("UPDATE hw_state SET value = x'63' || substr(value, 2) WHERE key = CAST('i' AS BLOB)", [])
        .unwrap();
    drop(database);
    let error = failure(here, &["status", "--db", "app.db"]);
    assert!(error.contains("newer version") && error.contains("upgrade"), "{error}");
}

#[test]
fn a_folder_that_may_not_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("locked");
    std::fs::create_dir(&here).unwrap();
    let Some(mut command) =
        as_nobody(&here, &["sync", "github", "issues", "--config", "owner=o,repo=r", "--db", "app.db"])
    else {
        println!("skipped: the command cannot be run as a user without rights here");
        return;
    };
    let error = one_line(command.output().unwrap(), 1);
    assert!(error.contains("app.db") && (error.contains("permit") || error.contains("permission")), "{error}");
}

/// The command as a user who may not write to `folder`; `None` where that cannot be arranged.
#[cfg(unix)]
fn as_nobody(folder: &Path, arguments: &[&str]) -> Option<Command> {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    std::fs::set_permissions(folder.parent()?, PermissionsExt::from_mode(0o755)).ok()?;
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o555)).ok()?;
    let tried = std::fs::write(folder.join("probe"), "");
    let mut command = highwater(folder, arguments);
    if tried.is_ok() {
        // A user with all rights: the command runs as one with none, from a place where that one may read.
        std::fs::remove_file(folder.join("probe")).ok()?;
        let program = folder.parent()?.join("highwater");
        std::fs::copy(env!("CARGO_BIN_EXE_highwater"), &program).ok()?;
        command = Command::new(program);
        command.current_dir(folder).args(arguments).env_remove("HIGHWATER_DB").uid(65534).gid(65534);
        let mut probe = Command::new("true");
        probe.uid(65534).gid(65534).current_dir(folder).status().ok()?;
    }
    Some(command)
}

#[cfg(not(unix))]
fn as_nobody(_: &Path, _: &[&str]) -> Option<Command> {
    None
}

#[test]
fn a_second_process_on_a_store_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let server = GitHub::start(3, Mood::Well);
    let at = ["--db", "app.sled", "--store", "sled"];
    let sync = ["sync", "github", "issues", "--config", "owner=o,repo=r", "--base-url", &server.url];
    text(here, &[&sync[..], &at[..]].concat());
    let mut first = highwater(here, &[&["tail", "Issue", "--json"][..], &at[..]].concat());
    let mut first = first.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(first.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let error = failure(here, &[&["status"][..], &at[..]].concat());
    assert!(error.contains("process") && error.contains("app.sled"), "{error}");
    first.kill().unwrap();
    first.wait().unwrap();
    until(|| run(here, &[&["status"][..], &at[..]].concat()).status.success());
}
