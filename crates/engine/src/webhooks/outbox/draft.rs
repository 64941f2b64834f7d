//! Drafts of notifications: committed with the changes that they report, and turned into deliveries right after, or by the next
//! process that checks.

use std::collections::BTreeMap;

use highwater_core::{ChangeSummary, Document, Environment, ErrorKind, Result, Store, StoreFuture, WriteBatch};

use super::collapse::collapse_waiting;
use super::news::{RunNews, add_rows};
use crate::documents::{Draft, RunMode, SyncKey};
use crate::logs;
use crate::mutants::mutant;

/// Drafts read at a time.
const PAGE: usize = 100;

/// Attempts at a draft whose summaries keep changing.
const TRIES: u32 = 20;

/// Turns the drafts under a prefix into deliveries. Several processes may do this at a time: each draft is delivered once.
pub(crate) fn tell<'a>(store: &'a dyn Store, environment: &'a dyn Environment, prefix: &'a str) -> StoreFuture<'a, ()> {
    // Boxed: one copy in the program, whoever calls it.
    Box::pin(tell_all(store, environment, prefix))
}

async fn tell_all(store: &dyn Store, environment: &dyn Environment, prefix: &str) -> Result<()> {
    let mut after = String::new();
    loop {
        let page = store.documents(prefix, &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.key);
        for document in &page {
            tell_one(store, environment, document).await?;
        }
    }
}

async fn tell_one(store: &dyn Store, environment: &dyn Environment, document: &Document) -> Result<()> {
    let draft: Draft = document.value.to()?;
    let mut tries = 0;
    loop {
        let mut batch = WriteBatch::new();
        if !mutant!("draft-stays") {
            batch.expect_document(&*document.key, Some(&document.value)).remove_document(&*document.key);
        }
        let mut accounts = BTreeMap::new();
        // A failed run leaves its summaries to the next one.
        for (model, key) in draft.accounts.iter().filter(|_| draft.error.is_none()) {
            // Already reported with another draft: later changes are in a new summary.
            let Some(stored) = store.document(key).await? else { continue };
            batch.expect_document(&**key, Some(&stored)).remove_document(&**key);
            accounts.insert(model.clone(), stored.to::<ChangeSummary>()?);
        }
        if draft.mode == RunMode::Webhook {
            count(store, &draft, &accounts, &mut batch).await?;
        }
        let news = RunNews { draft: &draft, accounts: &accounts };
        let told = add_rows(store, environment, &news, tries, &mut batch).await?;
        match store.commit(batch).await {
            Ok(_) => {
                for destination in &told {
                    collapse_waiting(store, environment, destination).await?;
                }
                return Ok(());
            }
            // Another process delivered it, a later run is adding to its summaries, or an id was used twice.
            Err(error) if error.kind() == ErrorKind::Conflict => {
                tries += 1;
                if store.document(&document.key).await?.is_none() {
                    return Ok(());
                }
                if tries >= TRIES {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Adds the changes of a webhook to its record: they are known only after its commit.
async fn count(
    store: &dyn Store,
    draft: &Draft,
    accounts: &BTreeMap<String, ChangeSummary>,
    batch: &mut WriteBatch,
) -> Result<()> {
    let key = SyncKey {
        connection: draft.connection.clone(),
        template: draft.template.clone(),
        variant: draft.variant.clone(),
    };
    let Some(mut report) = logs::read_run(store, &key, draft.run).await? else {
        return Ok(()); // no longer kept
    };
    report.take_counts(accounts);
    logs::put_run(batch, &key, &report, false)
}
