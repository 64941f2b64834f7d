//! Backups: P42.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use highwater_core::{
    Backup, Cursor, Error, ErrorKind, Maintenance, MaintenanceReport, PollOptions, Result, StreamKey, WriteBatch,
};

use crate::rig::{Rig, ids, note, notes, wait};
use crate::subject::Subject;

/// Commits while a backup is made.
const LEAST: u64 = 5;

fn back_up<S: Subject>(rig: &Rig<S>, path: &Path) -> Result<u64> {
    match wait(rig.store().maintain(Maintenance::BackUp(Backup::to(path))))? {
        MaintenanceReport::BackedUp(report) => Ok(report.bytes),
        other => panic!("a backup was answered with {other:?}"),
    }
}

/// Returns where a backup may go; for a store that cannot make any, checks that it says so.
fn place<S: Subject>(rig: &Rig<S>) -> Option<PathBuf> {
    let path = rig.subject.backup_path();
    if path.is_none() {
        // Each call has a folder of its own: what one left behind, as a broken rule does, is not in another's way.
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            back_up(rig, &folder.path().join("backup")).map_err(|error| error.kind()),
            Err(ErrorKind::Unsupported)
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
    path
}

/// What stands in the folder of a backup beside the store's own files.
fn beginnings(path: &Path) -> Vec<String> {
    let folder = std::fs::read_dir(path.parent().unwrap()).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("backup")).collect()
}

/// A backup that is made while others write opens as a store with the log, the heads, the documents and the readers of one moment,
/// and with its cursors: those of the time before it are good, and those of the time after it are refused.
pub fn p42_a_backup_is_the_store_at_one_moment<S: Subject>() {
    let rig = Rig::<S>::new();
    let Some(path) = place(&rig) else { return };
    let twins = StreamKey::new("demo", "Twin");
    rig.save_all(0..200, 1);
    rig.delete("7");
    let mut batch = WriteBatch::new();
    batch.put_document("of/host", &1).unwrap();
    rig.commit(batch).unwrap();
    let delivery = rig.poll_with("reader", &PollOptions::default().limit(50)).unwrap();
    rig.ack("reader", delivery.token).unwrap();
    let before = rig.end();

    let write = |store: &Arc<dyn highwater_core::Store>, n: u64| -> Result<()> {
        let mut batch = WriteBatch::new();
        batch.on(&notes()).upsert(note("n", n)).upsert(note("m", n));
        batch.on(&twins).upsert(note("n", n));
        batch.put_document("of/host", &n)?;
        wait(store.commit(batch)).map(drop)
    };
    write(rig.store(), 0).unwrap();
    let ended = AtomicBool::new(false);
    let (begun, written) = thread::scope(|scope| {
        let (first, told) = std::sync::mpsc::channel();
        let (store, ended, write) = (rig.store(), &ended, &write);
        let writer = scope.spawn(move || {
            let mut n = 0;
            while n < LEAST || !ended.load(Ordering::SeqCst) {
                n += 1;
                write(store, n).unwrap();
                if n == LEAST {
                    first.send(()).unwrap();
                }
            }
            n
        });
        told.recv().unwrap();
        let begun = number(&rig, "n");
        let bytes = back_up(&rig, &path);
        ended.store(true, Ordering::SeqCst);
        let written = writer.join().unwrap();
        assert_eq!(bytes.unwrap(), std::fs::metadata(&path).unwrap().len(), "p42: the report counts the copy's bytes");
        (begun, written)
    });
    assert_eq!(beginnings(&path), ["backup"]);
    write(rig.store(), written + 1).unwrap();
    let lost = rig.end();

    let copy = Rig::at(S::of_backup(&path), Arc::clone(&rig.environment), rig.memory_budget);
    copy.verify(&notes());
    copy.verify(&twins);
    let at = number(&copy, "n");
    assert!((begun..=written).contains(&at), "p42: {at} is of no moment between {begun} and {written}");
    assert_eq!(number(&copy, "m"), at, "p42: a batch is in it as a whole");
    let twin = wait(copy.store().get(&twins, &["n"])).unwrap().remove(0).unwrap();
    assert_eq!(twin.payload.unwrap().to_string(), note("n", at), "p42: in every stream");
    let document = wait(copy.store().document("of/host")).unwrap().unwrap();
    assert_eq!(document.to::<u64>().unwrap(), at, "p42: with its documents");
    let (all, end) = copy.drain(Cursor::START, 64);
    assert_eq!(all.len(), 202);
    let since = copy.drain(before, 64).0;
    let mut since = ids(&since);
    since.sort_unstable();
    assert_eq!(since, ["m", "n"], "p42: a cursor of the time before is good");
    assert_eq!(copy.status("reader").acknowledged, rig.status("reader").acknowledged, "p42: with its readers");
    let refused = [Some(ErrorKind::CursorFuture), Some(ErrorKind::CursorForked)];
    assert!(refused.contains(&copy.refusal(lost)), "p42: a cursor of the time after is refused");
    copy.save("later", 1);
    assert!(refused.contains(&copy.refusal(lost)), "p42: also once the copy has gone on");
    assert_eq!(ids(&copy.drain(end, 64).0), ["later"]);
    // The original knows nothing of what the copy gave out.
    let copied = copy.end();
    rig.save("here", 1);
    assert!(refused.contains(&rig.refusal(copied)), "p42: nor does the original take the copy's cursors");
    rig.verify(&notes());
}

fn number<S: Subject>(rig: &Rig<S>, id: &str) -> u64 {
    let record = rig.get(id).expect("the record is there");
    record.to::<serde_json::Value>().unwrap()["n"].as_u64().unwrap()
}

/// A backup overwrites nothing, and leaves nothing where it fails, is cancelled, or is not awaited any more.
pub fn p42_a_backup_that_fails_leaves_nothing<S: Subject>() {
    let rig = Rig::<S>::new();
    let Some(path) = place(&rig) else { return };
    rig.save_all(0..2000, 1);
    std::fs::write(&path, "of somebody else").unwrap();
    assert_eq!(back_up(&rig, &path).map_err(|error| error.kind()), Err(ErrorKind::Invalid));
    assert_eq!(std::fs::read(&path).unwrap(), b"of somebody else");
    std::fs::remove_file(&path).unwrap();
    assert!(back_up(&rig, &path.with_file_name("no-such-folder").join("backup")).is_err());

    let start = || {
        let backup = Backup::to(&path);
        let progress = backup.progress().clone();
        (rig.store().maintain(Maintenance::BackUp(backup)), progress)
    };
    let (backup, progress) = start();
    progress.cancel();
    assert_eq!(wait(backup).map_err(|error| error.kind()), Err(ErrorKind::Cancelled));
    assert_eq!(beginnings(&path), Vec::<String>::new());

    // Cancelled at some moment: either there is no copy, or a whole one.
    let (backup, progress) = start();
    let outcome = thread::scope(|scope| {
        let cancelling = scope.spawn(|| {
            while progress.copied() == 0 && progress.total() == 0 {
                thread::yield_now();
            }
            progress.cancel();
        });
        let outcome = wait(backup);
        cancelling.join().unwrap();
        outcome
    });
    match outcome.map_err(|error: Error| error.kind()) {
        Ok(_) => {
            assert_eq!(beginnings(&path), ["backup"]);
            let copy = Rig::at(S::of_backup(&path), Arc::clone(&rig.environment), rig.memory_budget);
            copy.verify(&notes());
        }
        Err(kind) => assert_eq!(kind, ErrorKind::Cancelled),
    }
    assert_eq!(beginnings(&path), Vec::<String>::new());

    // Nobody waits for it any more: it ends by itself, at the latest when the store is closed.
    let (mut backup, _) = start();
    wait(std::future::poll_fn(|context| {
        // Begun, and not looked at again.
        let _ = backup.as_mut().poll(context);
        std::task::Poll::Ready(())
    }));
    drop(backup);
    let mut rig = rig;
    rig.reopen();
    let left = beginnings(&path);
    assert!(left.is_empty() || left == ["backup"], "p42: {left:?}");
}
