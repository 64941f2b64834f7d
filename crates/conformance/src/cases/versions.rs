//! Versions of streams: P43.

use std::collections::HashMap;
use std::sync::Arc;

use highwater_core::{
    Action, Cursor, History, Maintenance, PageRequest, PruneWhat, Store, StreamKey, StreamOptions, StreamVersion,
    WriteBatch,
};

use crate::rig::{Rig, note, notes, wait};
use crate::subject::Subject;

/// Steps of one history.
const STEPS: usize = 60;
/// Records that there are.
const IDS: u64 = 5;

/// Numbers that look random; the same for each seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// While a stream has one version, all its pages are the same, whoever writes; and what changes no page leaves the version as it
/// was. A store without versions says so every time.
pub fn p43_pages_of_one_version_are_equal<S: Subject>() {
    for seed in 1..=4 {
        history::<S>(seed);
    }
}

fn history<S: Subject>(seed: u64) {
    let rig = Rig::<S>::new();
    let shared = rig.store().capabilities().multi_process;
    let handles = if shared { vec![Arc::clone(rig.store()), rig.handle()] } else { vec![Arc::clone(rig.store())] };
    let (stream, mut dice) = (notes(), Dice(seed));
    // Each handle's own versions.
    let mut known: Vec<HashMap<StreamVersion, String>> = vec![HashMap::new(); handles.len()];
    let mut cursors = vec![Cursor::START];
    for step in 0..STEPS {
        let writer = &handles[usize::try_from(dice.roll(handles.len() as u64)).unwrap()];
        rig.environment.step_ms(i64::try_from(dice.roll(3)).unwrap());
        let before: Vec<_> = handles.iter().map(|handle| handle.stream_version(&stream)).collect();
        let pages = everything(writer, &cursors);
        let done = change(writer, &mut dice);
        let unchanged = everything(writer, &cursors) == pages;
        for (handle, (known, before)) in handles.iter().zip(known.iter_mut().zip(before)) {
            let version = handle.stream_version(&stream);
            let pages = everything(handle, &cursors);
            let after = handle.stream_version(&stream);
            assert_eq!(version, after, "p43: seed {seed}, step {step}, {done}: nothing was written");
            let Some(version) = version else {
                assert!(known.is_empty(), "p43: seed {seed}, step {step}, {done}: a store has versions or has none");
                continue;
            };
            // Bookkeeping of a stream may give it a new version; what is elsewhere may not.
            let elsewhere = done == "another stream" || done == "a document" || done == "the same again";
            assert!(!elsewhere || unchanged && before == Some(version), "p43: seed {seed}, step {step}, {done}");
            let first = known.entry(version).or_insert_with(|| pages.clone());
            assert_eq!(*first, pages, "p43: seed {seed}, step {step}, {done}: two readings of one version");
        }
        let page = wait(writer.page(PageRequest::new(stream.clone()).limit(3))).expect("START is good");
        if cursors.len() < 6 {
            // What was read of the versions so far did not begin at the new cursor.
            known.iter_mut().for_each(HashMap::clear);
            cursors.push(page.next_cursor);
        }
    }
    for handle in handles.iter().skip(1) {
        wait(handle.close()).expect("it closes");
    }
}

/// Does one thing, and says what.
fn change(store: &Arc<dyn Store>, dice: &mut Dice) -> &'static str {
    let (stream, mut batch) = (notes(), WriteBatch::new());
    let id = dice.roll(IDS).to_string();
    let done = match dice.roll(12) {
        0..=3 => {
            batch.on(&stream).upsert(note(&id, dice.roll(3)));
            "a note"
        }
        4 => {
            batch.on(&stream).delete(id);
            "a delete"
        }
        5 => {
            batch.on(&StreamKey::new("demo", "Other")).upsert(note(&id, dice.roll(1000)));
            "another stream"
        }
        6 => {
            batch.put_document("of/host", &dice.roll(1000)).expect("a number is JSON");
            "a document"
        }
        7 => {
            let live = wait(store.page(PageRequest::new(stream.clone()).filter([Action::Added, Action::Updated])));
            for change in live.expect("START is good").changes {
                if let Some(payload) = change.record.payload {
                    batch.on(&stream).upsert(payload.to_string());
                }
            }
            "the same again"
        }
        8 | 9 => {
            let what = if dice.roll(2) == 0 { PruneWhat::Payloads } else { PruneWhat::Tombstones };
            let place = PageRequest::new(stream.clone()).limit(1 + usize::try_from(dice.roll(4)).unwrap_or(0));
            let up_to = wait(store.page(place)).expect("START is good").next_cursor;
            wait(store.maintain(Maintenance::Prune { stream, what, up_to })).expect("it prunes");
            return "a prune";
        }
        10 => {
            let history = if dice.roll(2) == 0 { History::Off } else { History::Versions(2) };
            let options = StreamOptions::default().history(history);
            wait(store.maintain(Maintenance::Configure(stream, options))).expect("it is configured");
            return "options";
        }
        _ if dice.roll(4) == 0 => {
            wait(store.maintain(Maintenance::Clear(stream))).expect("it clears");
            return "a clear";
        }
        _ => return "nothing",
    };
    wait(store.commit(batch)).expect("the commit succeeds");
    done
}

/// Every page that a reader can get, as text.
fn everything(store: &Arc<dyn Store>, cursors: &[Cursor]) -> String {
    let mut pages = String::new();
    for cursor in cursors {
        for request in [
            PageRequest::new(notes()).since(*cursor),
            PageRequest::new(notes()).since(*cursor).limit(2),
            PageRequest::new(notes()).since(*cursor).filter([Action::Deleted]),
            PageRequest::new(notes()).since(*cursor).ids(["1", "3"]),
        ] {
            match wait(store.page(request)) {
                Ok(page) => pages.push_str(&format!("{page:?}\n")),
                Err(error) => pages.push_str(&format!("{:?}\n", error.kind())),
            }
        }
    }
    pages
}
