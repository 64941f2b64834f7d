//! What a run did, kept so that a crash in its middle leaves nothing untold.
//!
//! With a run's first commit to a model goes a note of where the stream ended before. The run that
//! ends well tells of everything since, and removes the note; one that fails leaves it for the next.

use std::collections::BTreeMap;
use std::sync::Mutex;

use highwater_core::{
    Cursor, Environment, Error, NetAction, PageRequest, Result, Store, StreamCommit, StreamKey, WriteBatch,
};

use super::destination::destinations;
use super::lock;
use super::news::{ModelNews, RunNews, add_rows};
use crate::run::RunReport;
use crate::sync::SyncKey;

/// Changes counted at a time.
const PAGE: usize = 1000;

/// A run's account of its models.
#[derive(Debug)]
pub(crate) struct Tally {
    sync: SyncKey,
    /// Where the note lies meanwhile.
    note: String,
    /// Whether anybody is to be told.
    active: bool,
    models: Mutex<BTreeMap<String, Counted>>,
}

#[derive(Clone, Debug)]
struct Counted {
    from: Cursor,
    /// Whether an earlier run, which did not get to tell, began at `from`.
    inherited: bool,
    added: u64,
    updated: u64,
    deleted: u64,
}

impl Tally {
    /// Opens the account of a run, with what earlier runs left untold.
    pub(crate) async fn open(store: &dyn Store, sync: &SyncKey) -> Result<Self> {
        Tally::open_at(store, sync, format!("outbox/untold/{}", sync.path())).await
    }

    /// Opens the account of a webhook's changes, apart from a run that may be in progress. What a crash leaves
    /// untold, the next webhook tells.
    pub(crate) async fn open_apart(store: &dyn Store, sync: &SyncKey) -> Result<Self> {
        Tally::open_at(store, sync, format!("outbox/untold-webhook/{}", sync.path())).await
    }

    async fn open_at(store: &dyn Store, sync: &SyncKey, note: String) -> Result<Self> {
        let active = destinations(store).await?.iter().any(|destination| destination.disabled.is_none());
        let untold = match store.document(&note).await? {
            Some(document) if active => document.to::<BTreeMap<String, String>>()?,
            _ => BTreeMap::new(),
        };
        let models = untold.into_iter().map(|(model, from)| {
            // A position that does not read any more: tell of everything.
            let from = from.parse().unwrap_or(Cursor::START);
            (model, Counted { from, inherited: true, added: 0, updated: 0, deleted: 0 })
        });
        Ok(Tally { sync: sync.clone(), note, active, models: Mutex::new(models.collect()) })
    }

    /// Before a commit to `model`: notes where its stream ends, with the commit itself.
    pub(crate) async fn begin(&self, store: &dyn Store, model: &str, batch: &mut WriteBatch) -> Result<()> {
        if !self.active || lock(&self.models).contains_key(model) {
            return Ok(());
        }
        let from = store.head(&self.stream(model)).await?.high_water;
        let counted = Counted { from, inherited: false, added: 0, updated: 0, deleted: 0 };
        let mut models = lock(&self.models);
        models.insert(model.to_owned(), counted);
        let untold: BTreeMap<&String, String> =
            models.iter().map(|(model, counted)| (model, counted.from.to_string())).collect();
        batch.put_document(&*self.note, &untold)?;
        Ok(())
    }

    /// After a commit to `model`: counts what it did.
    pub(crate) fn note(&self, model: &str, commit: &StreamCommit) {
        if let Some(counted) = lock(&self.models).get_mut(model) {
            counted.added += commit.added;
            counted.updated += commit.updated;
            counted.deleted += commit.deleted;
        }
    }

    /// Adds what is to be told to the batch that ends the run.
    pub(crate) async fn conclude(
        &self,
        store: &dyn Store,
        environment: &dyn Environment,
        report: &RunReport,
        error: Option<&Error>,
        batch: &mut WriteBatch,
    ) -> Result<()> {
        if !self.active || report.state == crate::run::RunState::Cancelled {
            return Ok(());
        }
        let mut models = BTreeMap::new();
        let mut counted = lock(&self.models).clone();
        // The deletes of a full refresh come with the batch that ends it.
        for (model, counted) in &mut counted {
            counted.deleted = report.models.get(model).map_or(0, |counts| counts.deleted).max(counted.deleted);
        }
        for (model, counted) in counted {
            let news = self.news(store, &model, counted, error.is_none()).await?;
            models.insert(model, news);
        }
        let (integration, sync) = report.template.split_once('/').unwrap_or(("", &report.template));
        let news = RunNews {
            run: &report.id,
            connection: &report.connection,
            integration,
            sync,
            variant: report.variant.as_deref().unwrap_or(highwater_core::DEFAULT_VARIANT),
            mode: report.mode,
            started_ms: report.started_ms,
            ended_ms: report.ended_ms.unwrap_or(report.started_ms),
            models: &models,
            error,
        };
        add_rows(store, environment, &news, batch).await?;
        if error.is_none() {
            batch.remove_document(&*self.note);
        }
        Ok(())
    }

    async fn news(&self, store: &dyn Store, model: &str, counted: Counted, count: bool) -> Result<ModelNews> {
        let stream = self.stream(model);
        let to = store.head(&stream).await?.high_water;
        let Counted { from, inherited, added, updated, deleted } = counted;
        let mut news = ModelNews { added, updated, deleted, from, to };
        if inherited && count {
            // The earlier runs' counts are lost with them: the log has what became of it all.
            match net_counts(store, &stream, from).await {
                Ok([added, updated, deleted]) => news = ModelNews { added, updated, deleted, from, to },
                Err(error) if error.cursor_fault().is_some() => news.from = Cursor::START,
                Err(error) => return Err(error),
            }
        }
        Ok(news)
    }

    fn stream(&self, model: &str) -> StreamKey {
        self.sync.stream(model)
    }
}

async fn net_counts(store: &dyn Store, stream: &StreamKey, from: Cursor) -> Result<[u64; 3]> {
    let [mut added, mut updated, mut deleted] = [0; 3];
    let mut request = PageRequest::new(stream.clone()).since(from).limit(PAGE).metadata_only();
    loop {
        let page = store.page(request.clone()).await?;
        for change in &page.changes {
            match change.net {
                NetAction::Added => added += 1,
                NetAction::Updated => updated += 1,
                NetAction::Deleted | NetAction::Left => deleted += 1,
                _ => {}
            }
        }
        if !page.has_more {
            return Ok([added, updated, deleted]);
        }
        request = request.since(page.next_cursor);
    }
}
