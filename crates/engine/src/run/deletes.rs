//! The delete gate at the end of a full refresh: verifies missing records, spares those with strikes left, and asks for
//! approval beyond the guard. The log itself deletes, and only records from before the run that it did not see (P26, H38).

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_core::{DeleteGuard, Error, ErrorKind, RecordId, Result, UnseenRecords, WriteBatch};
use highwater_template::host::ApiHost;
use highwater_template::{LogLevel, SyncContext, Template};

use super::begin::Beginning;
use super::host::Host;
use crate::documents::HeldDeletes;
use crate::mutants::mutant;

/// The most missing records that are looked up one by one; with more, only the guard decides.
const VERIFIED: usize = 500;

/// The number of ids that a parked run lists.
const NAMED: usize = 100;

/// The deletes at the end of a full refresh.
#[derive(Debug, Default)]
pub(super) struct Settlement {
    pub(super) models: Vec<Settled>,
}

/// The deletes of one model at the end of a full refresh.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) model: String,
    /// Missing records that stay this time.
    spared: Vec<Arc<str>>,
    /// The absences so far of those that stay.
    strikes: BTreeMap<Arc<str>, u32>,
    pub(super) deletes: u64,
    live: u64,
    guard: DeleteGuard,
}

impl Settlement {
    /// The same as waiting deletes, for a guard that found more in the end.
    pub(super) fn held(&self) -> Vec<HeldDeletes> {
        let deletes = self.models.iter().filter(|settled| settled.deletes > 0);
        deletes
            .map(|settled| HeldDeletes {
                model: settled.model.clone(),
                deletes: settled.deletes,
                live: settled.live,
                unidentified: 0,
                ids: Vec::new(),
            })
            .collect()
    }

    /// Adds the deletes to the batch that ends the run.
    pub(super) fn write(&self, host: &Host<'_>, batch: &mut WriteBatch) -> Result<()> {
        for settled in &self.models {
            let stream = batch.on(&host.key.stream(&settled.model));
            stream.in_run(host.run);
            for id in &settled.spared {
                stream.seen(Arc::clone(id));
            }
            stream.complete_run(host.run, settled.guard);
            host.account(&settled.model, stream);
            let key = host.key.strikes_key(&settled.model);
            if settled.strikes.is_empty() {
                batch.remove_document(key);
            } else {
                batch.put_document(key, &settled.strikes)?;
            }
        }
        Ok(())
    }
}

/// Decides about the models that were read completely, and stores the decision in the host.
pub(super) async fn settle(
    host: &Host<'_>,
    template: &dyn Template,
    context: &mut SyncContext<'_>,
    run: &Beginning,
    approved: bool,
) -> Result<()> {
    let mut settlement = Settlement::default();
    let (mut held, mut park, mut bad) = (Vec::new(), false, 0);
    for model in whole(host) {
        let mut unseen = list(host, &model).await?;
        if run.policy.verify && !mutant!("unverified-deletes") && (1..=VERIFIED as u64).contains(&unseen.missing) {
            verify(host, template, context, &model, &unseen).await?;
            unseen = list(host, &model).await?;
        }
        // The guard counts all missing records, including those that strikes spare this time.
        let hidden = mutant!("strikes-hide-from-guard") && run.policy.strikes > 1;
        // Any missing record may be one that could not be saved.
        let aside = host.set_aside_of(&model).max(unseen.unidentified);
        let uncertain = aside > 0 && unseen.missing > 0 && !mutant!("set-aside-deletes");
        park |= (uncertain || !hidden && run.policy.as_guard().holds_back(&unseen)) && !approved;
        bad += if uncertain { aside } else { 0 };
        if unseen.missing > 0 {
            held.push(HeldDeletes {
                model: model.clone(),
                deletes: unseen.missing,
                live: unseen.live,
                unidentified: aside,
                ids: unseen.ids.iter().take(NAMED).map(ToString::to_string).collect(),
            });
        }
        settlement.models.push(strike(host, model, &unseen, run, approved).await?);
    }
    if !park {
        host.settle(settlement);
        return Ok(());
    }
    let deletes: u64 = held.iter().map(|held| held.deletes).sum();
    let models: Vec<&str> = held.iter().map(|held| held.model.as_str()).collect();
    let message = match bad {
        0 => "the run would delete more than its guard allows: check the source, then approve or reject the run",
        _ => {
            "the run set aside records that it could not save, so it is uncertain which records are missing: check them, then approve or reject its deletes"
        }
    };
    let error = Error::new(ErrorKind::AwaitingApproval, message)
        .with("run", host.run)
        .with("models", models.join(", "))
        .with("deletes", deletes);
    let error = if bad > 0 { error.with("set aside", bad) } else { error };
    host.change_report(|report| report.held = held);
    Err(error)
}

/// The models of which the run saw every record, as far as it knows.
fn whole(host: &Host<'_>) -> Vec<String> {
    let open = host.open();
    let is_whole = |model: &String| !open.incomplete.contains_key(model) || mutant!("incomplete-is-complete");
    open.complete.iter().filter(|model| is_whole(model)).cloned().collect()
}

async fn list(host: &Host<'_>, model: &str) -> Result<UnseenRecords> {
    let mut batch = host.batch();
    batch.on(&host.key.stream(model)).list_unseen(host.run, usize::MAX);
    let commit = host.store().commit(batch).await?;
    let unseen = commit.streams.into_iter().next().and_then(|stream| stream.unseen);
    unseen.ok_or_else(|| Error::new(ErrorKind::Internal, "a commit came back without its list of unseen records"))
}

/// Requests the missing records from the API; those that still exist are saved, and so marked as seen.
async fn verify(
    host: &Host<'_>,
    template: &dyn Template,
    context: &mut SyncContext<'_>,
    model: &str,
    unseen: &UnseenRecords,
) -> Result<()> {
    let ids: Vec<RecordId> = unseen.ids.iter().map(|id| RecordId::from(&**id)).collect();
    let Some(found) = template.verify(context, model, &ids).await? else { return Ok(()) };
    if !found.is_empty() {
        let message =
            format!("{} of {} missing {model} records still exist: the list skipped them", found.len(), ids.len());
        host.log(LogLevel::Warning, &message);
        context.save(model, found).await?;
    }
    Ok(())
}

/// Counts the absence of each missing record, and spares those that have not been absent often enough.
async fn strike(
    host: &Host<'_>,
    model: String,
    unseen: &UnseenRecords,
    run: &Beginning,
    approved: bool,
) -> Result<Settled> {
    let mut strikes = BTreeMap::new();
    let needed = if approved { 1 } else { run.policy.strikes };
    if needed > 1 && unseen.missing > 0 {
        let stored = host.store().document(&host.key.strikes_key(&model)).await?;
        let before: BTreeMap<Arc<str>, u32> = stored.map(|stored| stored.to()).transpose()?.unwrap_or_default();
        for id in &unseen.ids {
            let count = before.get(&**id).copied().unwrap_or(0) + 1;
            if count < needed {
                strikes.insert(id.clone().into(), count);
            }
        }
    }
    let spared: Vec<Arc<str>> = strikes.keys().cloned().collect();
    let deletes = unseen.missing.saturating_sub(spared.len() as u64);
    let guard = if approved { DeleteGuard::APPROVED } else { run.policy.as_guard() };
    Ok(Settled { model, spared, strikes, deletes, live: unseen.live, guard })
}
