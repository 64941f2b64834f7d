//! What was found beside what the model says.

use highwater_core::{Error, NetAction, Page, Result};

use super::super::content::Content;
use super::super::model::{Entry, Item, Model, Paged, Refusal, Token, id_of};
use super::Copy;

/// The refusal is one of those that the specification allows.
pub(crate) fn p32_refused(outcome: Result<()>, refusal: Refusal) {
    match outcome {
        Ok(()) => panic!("p32: accepted, where the specification says {refusal:?}"),
        Err(error) => assert!(refusal.contains(&error.kind()), "p32: {refusal:?} expected: {error:?}"),
    }
}

pub(super) fn p25_consumer_answer(outcome: Result<(), Error>, expected: &std::result::Result<u64, Refusal>) {
    match expected {
        Ok(_) => outcome.expect("p25: the consumer is served"),
        Err(refusal) => p32_refused(outcome, refusal),
    }
}

/// A page holds exactly what the model says, in its order, and ends where the model ends.
pub(crate) fn p10_page_is_the_models(
    page: Result<Page>,
    expected: &std::result::Result<Paged, Refusal>,
    metadata_only: bool,
) -> Option<Page> {
    let expected = match expected {
        Ok(expected) => expected,
        Err(refusal) => {
            p32_refused(page.map(drop), refusal);
            return None;
        }
    };
    let page = page.expect("p32: a good cursor is accepted");
    let found: Vec<_> = page
        .changes
        .iter()
        .map(|change| {
            let payload = change.record.payload.as_ref().map(|payload| payload.as_str());
            (id_of(&change.record.id), change.net, change.record.metadata.last_action, payload)
        })
        .collect();
    let items: Vec<_> = expected
        .items
        .iter()
        .map(|Item { id, net, entry }| {
            let unseen = entry.pruned || metadata_only || *net == NetAction::Left;
            let payload = (!unseen).then_some(&*entry.spelled.text);
            (*id, *net, entry.action, payload)
        })
        .collect();
    assert_eq!(found, items, "p10: the page");
    assert_eq!((page.has_more, page.caught_up), (expected.has_more, !expected.has_more), "p15: the end of the page");
    let cursors: Vec<_> = page.changes.iter().map(|change| change.record.metadata.cursor.position()).collect();
    assert!(cursors.is_sorted_by(|a, b| a < b), "p02: strictly ascending");
    assert!(cursors.last().is_none_or(|last| *last <= page.next_cursor.position()));
    Some(page)
}

/// Puts and removes; told exactly to whom held everything, but for records that ended before: their end may have
/// moved on before a reader came by, so that it is told again.
pub(super) fn p19_apply(copy: &mut Copy, page: &Page, model: &Model, token: Token, exact: bool) {
    for change in &page.changes {
        let id = id_of(&change.record.id);
        let held = match change.net {
            NetAction::Added | NetAction::Updated => {
                let content = change.record.payload.as_ref().map(|payload| Content::read(payload.as_str()));
                copy.insert(id, content).is_some()
            }
            _ => copy.remove(&id).is_some(),
        };
        let expected = !matches!(change.net, NetAction::Added | NetAction::Void);
        let again = matches!(change.net, NetAction::Deleted | NetAction::Left)
            && model.world.streams[token.stream].entries.get(&id).is_some_and(Entry::ended_before);
        assert!(!exact || held == expected || again, "p19: {:?} of {:?}", change.net, change.record.id);
    }
}

pub(super) fn p20_caught_up_is_true(model: &Model, token: Token, copy: &Copy) {
    let mut truth: Copy = model.world.streams[token.stream]
        .entries
        .iter()
        .filter(|(_, entry)| entry.is_live())
        .map(|(id, entry)| (*id, (!entry.pruned).then_some(entry.content)))
        .collect();
    let mut copy = copy.clone();
    let entries = &model.world.streams[token.stream].entries;
    let exact = token.exact || token.position == 0;
    if token.filtered {
        // Of what was pruned it is known whether it was open, where somebody reads those.
        let was_open = |id: &usize| exact && entries.get(id).is_some_and(|entry| entry.pruned_open);
        truth.retain(|id, content| content.map_or(was_open(id), |content| content.open == Some(true)));
    }
    // What was pruned after it was read is still in the reader's copy.
    for (id, content) in &truth {
        if content.is_none()
            && let Some(held) = copy.get_mut(id)
        {
            *held = None;
        }
    }
    if token.filtered && !exact {
        let pruned = |id: &usize| entries.get(id).is_some_and(|entry| entry.pruned);
        copy.retain(|id, _| !pruned(id));
    }
    assert_eq!(copy, truth, "p20: caught up, and not the truth");
}
