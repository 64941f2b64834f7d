//! News on their way: committed with what they tell of, and made into deliveries right after, or by whoever looks next.

use std::collections::BTreeMap;

use highwater_core::{
    ChangeSummary, Document, Environment, Error, ErrorKind, Result, RunId, Store, Timestamp, WriteBatch,
};
use serde::{Deserialize, Deserializer, Serialize};

use super::collapse::collapse_waiting;
use super::news::{RunNews, add_rows};
use crate::logs;
use crate::mutants::mutant;
use crate::run::{RunMode, RunReport};
use crate::sync::SyncKey;

/// Drafts read at a time.
const PAGE: usize = 100;

/// Tries of a draft whose accounts others keep adding to.
const TRIES: u32 = 20;

/// Where every draft lies.
pub(super) const DRAFTS: &str = "outbox/draft/";

/// What a run or a webhook has to tell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Draft {
    pub(super) run: RunId,
    pub(super) connection: String,
    pub(super) template: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) variant: Option<String>,
    pub(super) mode: RunMode,
    #[serde(rename = "started_ms", with = "highwater_core::timestamp::unix_ms")]
    pub(super) started: Timestamp,
    #[serde(rename = "ended_ms", with = "highwater_core::timestamp::unix_ms")]
    pub(super) ended: Timestamp,
    /// Where the account of each model lies.
    pub(super) accounts: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Failure>,
    /// Whether it tells that the streams were emptied, rather than what a run or a webhook did.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) cleared: bool,
}

/// Why a run failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    #[serde(deserialize_with = "kind")]
    pub(super) kind: ErrorKind,
    pub(super) description: String,
}

/// Reads the name of a kind, also as it was written before kinds had names in JSON: `RateLimited`.
fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ErrorKind, D::Error> {
    let name = String::deserialize(deserializer)?;
    let known = ErrorKind::ALL.into_iter().find(|kind| kind.as_str() == name || format!("{kind:?}") == name);
    Ok(known.unwrap_or(ErrorKind::Internal))
}

impl Failure {
    pub(super) fn of(error: &Error) -> Self {
        Failure { kind: error.kind(), description: error.to_string() }
    }
}

impl Draft {
    pub(crate) fn new(report: &RunReport, accounts: BTreeMap<String, String>) -> Self {
        Draft {
            run: report.id,
            connection: report.connection.clone(),
            template: report.template.clone(),
            variant: report.variant.clone(),
            mode: report.mode,
            started: report.started_at,
            ended: report.ended_at.unwrap_or(report.started_at),
            accounts,
            error: None,
            cleared: false,
        }
    }

    /// That the streams are emptied, by the run of this id or by somebody else.
    pub(super) fn of_clear(key: &SyncKey, id: RunId, now: Timestamp) -> Self {
        let mut report = RunReport::new(key, id, RunMode::Initial, now);
        report.ended_at = Some(now);
        Draft { cleared: true, ..Draft::new(&report, BTreeMap::new()) }
    }

    /// What a receiver is told that it was.
    pub(super) fn sync_type(&self) -> &'static str {
        match self.mode {
            _ if self.cleared => "CLEAR",
            RunMode::Initial => "INITIAL",
            RunMode::Incremental => "INCREMENTAL",
            RunMode::Webhook => "WEBHOOK",
            RunMode::Action => "ACTION",
            RunMode::Proxy => "PROXY",
        }
    }

    /// Where it lies.
    pub(crate) fn key(&self, sync: &SyncKey) -> String {
        // The run itself has something to tell too.
        format!("{}{}{}", drafts_of(sync), self.run, if self.cleared { "-clear" } else { "" })
    }
}

/// Where a sync's drafts lie.
pub(crate) fn drafts_of(sync: &SyncKey) -> String {
    format!("{DRAFTS}{}/", sync.path())
}

/// Makes deliveries of the drafts under a prefix. Several may do this at a time: each draft becomes deliveries once.
pub(crate) async fn tell(store: &dyn Store, environment: &dyn Environment, prefix: &str) -> Result<()> {
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
        // A run that failed leaves its accounts to the next one.
        for (model, key) in draft.accounts.iter().filter(|_| draft.error.is_none()) {
            // Told with another draft already: what came since is in an account of its own.
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
            // Somebody else told it, a later run adds to its accounts just now, or an id was given twice.
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

/// Writes into a webhook's record what it changed: known only once it was committed.
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
