//! Bounds the rows of an unreachable receiver: beyond a limit, rows about the same stream are collapsed into one that covers
//! them all, of those about a connection's health only the latest of each operation stays, and of those about queued actions
//! and those that forward a provider's webhooks the newest ones.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};

use highwater_core::{Cursor, Document, Environment, ErrorKind, Result, Store, WriteBatch};

use super::auth::{AuthBody, AuthKey};
use super::forward::is_forward;
use super::news::{Body, Ids};
use super::performed::ActionBody;
use crate::documents::{Destination, OutboxRow, dead_key, dead_prefix, row_key, rows_prefix};
use crate::mutants::mutant;

/// Rows read at a time.
const PAGE: usize = 500;

/// Collapses a destination's waiting rows, if there are more than it keeps.
pub(super) async fn collapse_waiting(
    store: &dyn Store,
    environment: &dyn Environment,
    destination: &Destination,
) -> Result<()> {
    let kept = Kept { prefix: rows_prefix(&destination.id), key: row_key };
    collapse(store, environment, destination, &kept).await
}

/// Collapses a destination's dead letters, if there are more than it keeps.
pub(super) async fn collapse_dead(
    store: &dyn Store,
    environment: &dyn Environment,
    destination: &Destination,
) -> Result<()> {
    let kept = Kept { prefix: dead_prefix(&destination.id), key: dead_key };
    collapse(store, environment, destination, &kept).await
}

/// The key prefix of rows of one kind.
struct Kept {
    prefix: String,
    key: fn(&str, &str) -> String,
}

/// Rows about the same stream, or about failures of the same sync.
type Group = (String, String, String, String, Option<String>);

async fn collapse(
    store: &dyn Store,
    environment: &dyn Environment,
    destination: &Destination,
    kept: &Kept,
) -> Result<()> {
    if store.documents(&kept.prefix, "", destination.max_rows.saturating_add(1)).await?.len() <= destination.max_rows {
        return Ok(());
    }
    let (mut groups, mut rows, mut after) =
        (BTreeMap::<Group, Vec<(Document, OutboxRow, Body)>>::new(), 0, String::new());
    let (mut latest, mut outdated) = (BTreeMap::<AuthKey, Document>::new(), Vec::new());
    let (mut ended, mut forwarded) = (VecDeque::new(), VecDeque::new());
    loop {
        let page = store.documents(&kept.prefix, &after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.key);
        for document in page {
            let row: OutboxRow = document.value.to()?;
            rows += 1;
            if let Ok(body) = serde_json::from_str::<Body>(&row.body) {
                groups.entry(group(&body)).or_default().push((document, row, body));
            } else if let Ok(body) = serde_json::from_str::<AuthBody>(&row.body) {
                let key = body.key();
                outdated.extend(if mutant!("old-health-stays") && latest.contains_key(&key) {
                    Some(document)
                } else {
                    latest.insert(key, document)
                });
            } else if serde_json::from_str::<ActionBody>(&row.body).is_ok() {
                // An outcome is kept for a day, so that news of many actions is soon about nothing.
                ended.push_back(document);
                if ended.len() > destination.max_rows {
                    outdated.extend(ended.pop_front());
                }
            } else if is_forward(&row.body) {
                forwarded.push_back(document);
                if forwarded.len() > destination.max_rows {
                    outdated.extend(forwarded.pop_front());
                }
            }
            // A body unknown to this version stays unchanged.
        }
    }
    let left = rows - groups.values().map(|group| group.len() - 1).sum::<usize>() - outdated.len();
    let mut batch = WriteBatch::new();
    // The latest stays as it is, in its place: later rows of the connection come after it, and a receiver that has seen it knows it.
    for document in &outdated {
        batch.expect_document(&*document.key, Some(&document.value)).remove_document(&*document.key);
    }
    let mut ids = Ids::new(environment, environment.now(), 0);
    for group in groups.into_values().filter(|group| group.len() > 1) {
        for (document, ..) in &group {
            batch.expect_document(&*document.key, Some(&document.value)).remove_document(&*document.key);
        }
        let mut merged: Option<(OutboxRow, Body)> = None;
        for (_, row, body) in group {
            merged = Some(match merged {
                None => (row, body),
                Some((earlier_row, earlier)) => (later(earlier_row, row), merge(earlier, body)),
            });
        }
        let Some((row, body)) = merged else { continue };
        // Under a new id, so that a receiver that has seen one of them does not discard it.
        let row = OutboxRow { id: ids.next(), body: body.text()?, ..row };
        let key = (kept.key)(&destination.id, &row.id);
        batch.expect_document(&*key, None).put_document(&*key, &row)?;
    }
    if batch.is_empty() {
        return Ok(());
    }
    match store.commit(batch).await {
        Ok(_) => {
            tracing::warn!(
                target: "highwater::outbox",
                destination = %destination.id,
                rows,
                left,
                "too many deliveries wait for the receiver: those about the same stream, or the same connection, were collapsed into one",
            );
            Ok(())
        }
        // One of them was attempted at this moment: the next check collapses the rest.
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        Err(error) => Err(error),
    }
}

fn group(body: &Body) -> Group {
    (
        body.connection_id.clone(),
        body.provider_config_key.clone(),
        body.sync_name.clone(),
        body.sync_variant.clone(),
        body.success.then(|| body.model.clone()),
    )
}

/// The later row, with its remaining attempts.
fn later(earlier: OutboxRow, row: OutboxRow) -> OutboxRow {
    OutboxRow { last_error: row.last_error.or(earlier.last_error), created_at: earlier.created_at, ..row }
}

/// One body that covers both: from the beginning of the earlier to the end of the later.
fn merge(earlier: Body, mut body: Body) -> Body {
    body.collapsed = Some(earlier.collapsed.unwrap_or(1) + body.collapsed.unwrap_or(1));
    if let (Some(range), Some(before)) = (&mut body.cursor, earlier.cursor) {
        // Rows are in order of a clock, which may have gone back.
        range.from = either(before.from, std::mem::take(&mut range.from), Ordering::is_le);
        range.to = either(before.to, std::mem::take(&mut range.to), Ordering::is_ge);
    }
    let (results, before) = (&mut body.response_results, earlier.response_results);
    results.added += before.added;
    results.updated += before.updated;
    results.deleted += before.deleted;
    body.started_at = earlier.started_at;
    body.modified_after = earlier.modified_after;
    body
}

/// The one of two cursors that compares this way to the other.
fn either(one: String, other: String, stands: fn(Ordering) -> bool) -> String {
    let position = |text: &str| text.parse::<Cursor>().map_or(Cursor::START, |cursor| cursor).position();
    if stands(position(&one).cmp(&position(&other))) { one } else { other }
}
