//! What holds after every step.

use std::collections::BTreeMap;

use highwater_core::content::{canonical, record_checksum};
use highwater_core::{Action, ChangeSummary, Cursor, Page, PageRequest, StreamHead};

use super::model::{Aside, LOST, Model, consumer_name, id_of, plain};
use super::steps::{IDS, STREAMS};
use super::system::{System, p10_page_is_the_models, p32_refused, rules, stream, summary};
use crate::rig::wait;
use crate::subject::Subject;

/// Every check, in turn.
pub(crate) fn everything<S: Subject>(system: &System<S>, model: &Model) {
    let mut positions = BTreeMap::new();
    for place in 0..STREAMS {
        let key = stream(place);
        let page = wait(system.rig.store().page(PageRequest::new(key.clone()).limit(1000))).expect("START is good");
        let head = wait(system.rig.store().head(&key)).expect("the counters read");
        p33_only_what_was_written(model, place, &page);
        p08_metadata_is_coherent(&page);
        p37_counters_and_checksum(model, place, &page, &head);
        p01_every_record_is_found(system, place, &page);
        p03_positions_ascend_as_they_were_given(model, place, &page, &mut positions);
        p25_consumers_stand_where_they_are(system, model, place);
        system.rig.verify(&key);
    }
    p26_what_was_set_aside_is_there(system, model);
    p29_summaries_are_of_the_same_commits(system, model);
    p29_the_checkpoint_is_of_the_same_commit(system, model);
    p32_lost_cursors_stay_refused(system);
}

fn p33_only_what_was_written(model: &Model, place: usize, page: &Page) {
    let start = super::model::Token { stream: place, position: 0, filtered: false, exact: false, drain: 0 };
    p10_page_is_the_models(Ok(page.clone()), &model.page(start, &plain(1000, false)), false);
}

fn p08_metadata_is_coherent(page: &Page) {
    for change in &page.changes {
        let metadata = &change.record.metadata;
        assert_eq!(metadata.last_modified_at, metadata.cursor.time(), "p08");
        assert!(metadata.first_seen_at <= metadata.last_modified_at, "p08");
        assert_eq!(metadata.deleted_at.is_some(), metadata.last_action == Action::Deleted, "p08");
        assert!(metadata.deleted_at.is_none_or(|at| at <= metadata.last_modified_at), "p08");
        assert!(metadata.cursor.position() <= page.high_water.position(), "p04: nothing beyond the end");
    }
}

fn p37_counters_and_checksum(model: &Model, place: usize, page: &Page, head: &StreamHead) {
    let live: Vec<_> = model.live(place).collect();
    let entries = &model.world.streams[place].entries;
    assert_eq!((head.live, head.deleted), (live.len() as u64, (entries.len() - live.len()) as u64), "p01: counters");
    assert_eq!(head.high_water, page.high_water);
    let sum = live.iter().fold(0_u128, |sum, (id, entry)| {
        // Under the rules that it was written under.
        let canonical = canonical(&rules(entry.without_n), entry.spelled.text.as_bytes()).expect("it is JSON");
        sum.wrapping_add(record_checksum(IDS[*id], &canonical.hash))
    });
    let bytes: usize = live.iter().filter(|(_, entry)| !entry.pruned).map(|(_, entry)| entry.spelled.text.len()).sum();
    assert_eq!(head.bytes, bytes as u64, "p01: payload bytes");
    assert_eq!(head.checksum, format!("{sum:032x}"), "p37: the checksum is the reader's");
}

fn p01_every_record_is_found<S: Subject>(system: &System<S>, place: usize, page: &Page) {
    let found = wait(system.rig.store().get(&stream(place), &IDS)).expect("records read");
    let listed: BTreeMap<&str, _> = page.changes.iter().map(|change| (&*change.record.id, &change.record)).collect();
    for (id, record) in IDS.iter().zip(&found) {
        assert_eq!(record.as_ref(), listed.get(id).copied(), "p01: {id:?} by its id");
    }
}

/// The order of ULIDs is the order of commits, over all streams.
fn p03_positions_ascend_as_they_were_given(
    model: &Model,
    place: usize,
    page: &Page,
    positions: &mut BTreeMap<u64, Cursor>,
) {
    for change in &page.changes {
        let id = super::model::id_of(&change.record.id);
        if let Some(entry) = model.world.streams[place].entries.get(&id) {
            positions.insert(entry.position, change.record.metadata.cursor);
        }
    }
    assert!(positions.values().is_sorted_by(|a, b| a.position() < b.position()), "p03: {positions:?}");
}

/// Parked, evicted, leased; and what lies behind the position that was acknowledged.
fn p25_consumers_stand_where_they_are<S: Subject>(system: &System<S>, model: &Model, place: usize) {
    let of_model = &model.world.streams[place];
    let mut names = wait(system.rig.store().consumers(&stream(place))).expect("consumers read");
    names.sort_unstable();
    let mut expected: Vec<&str> = of_model.consumers.keys().map(|name| consumer_name(*name)).collect();
    expected.sort_unstable();
    assert_eq!(names, expected, "p25: the consumers");
    for (name, consumer) in &of_model.consumers {
        let status = system.status(place, *name);
        let parked: Vec<usize> = status.parked.iter().map(|id| id_of(id)).collect();
        assert_eq!(parked, consumer.parked_ids(), "p21: set aside");
        assert_eq!(
            (status.evicted, status.leased, status.backoff.is_some()),
            (consumer.evicted, consumer.is_leased(model.now_ms), consumer.is_paused(model.now_ms)),
            "p25: evicted, leased, paused"
        );
        let behind = of_model.entries.values().filter(|entry| entry.position > consumer.acknowledged).count();
        // Positions of before a rebase, or of a lost history, do not compare with those of now.
        if !consumer.evicted {
            assert_eq!(status.lag, behind as u64, "p25: the lag");
        }
    }
}

/// Under its stream and id, with its newest content and a reason of one line.
fn p26_what_was_set_aside_is_there<S: Subject>(system: &System<S>, model: &Model) {
    let found = wait(system.rig.store().documents("quarantine/", "", 1000)).expect("documents read");
    let mut told: Vec<(String, Option<String>, String)> = Vec::new();
    for document in &found {
        let value: serde_json::Value = document.value.to().expect("a document is JSON");
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let reason = text("reason").unwrap_or_default();
        assert!(!reason.is_empty() && !reason.contains('\n'), "p26: {value}");
        told.push((text("stream").unwrap_or_default(), text("id"), text("payload").unwrap_or_default()));
    }
    told.sort_unstable();
    let of_model = |((place, id), payload): (&Aside, &String)| {
        (stream(*place).to_string(), id.ok().map(|id| IDS[id].to_owned()), payload.clone())
    };
    let mut expected: Vec<_> = model.world.quarantine.iter().map(of_model).collect();
    expected.sort_unstable();
    assert_eq!(told, expected, "p26: what was set aside");
}

fn p29_summaries_are_of_the_same_commits<S: Subject>(system: &System<S>, model: &Model) {
    for (place, expected) in model.world.summaries.iter().enumerate() {
        let found = wait(system.rig.store().document(&summary(place))).expect("documents read");
        let found: Option<ChangeSummary> = found.map(|summary| summary.to().expect("it is a summary"));
        let found = found.map(|kept| [kept.added, kept.updated, kept.unchanged, kept.deleted]);
        assert_eq!(found, *expected, "p29: the summary");
    }
}

fn p29_the_checkpoint_is_of_the_same_commit<S: Subject>(system: &System<S>, model: &Model) {
    let found = wait(system.rig.store().document("checkpoint")).expect("documents read");
    let expected = model.world.checkpoint.map(|checkpoint| checkpoint.to_string());
    assert_eq!(found.map(|document| document.to_string()), expected, "p29: the checkpoint");
}

fn p32_lost_cursors_stay_refused<S: Subject>(system: &System<S>) {
    for cursor in system.lost.iter().rev().take(3) {
        let page = wait(system.rig.store().page(PageRequest::new(stream(0)).since(*cursor)));
        p32_refused(page.map(drop), LOST);
    }
}
