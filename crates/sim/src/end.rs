//! The end of a simulation: faults stop, and everything must converge.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::locks::lock;
use highwater_core::{
    ErrorKind, Inline, Maintenance, MaintenanceReport, MemoryBackend, Store, StoreOptions, StreamKey, WriteBatch,
};
use highwater_engine::{CredentialStore, RunOptions};
use tokio::time::Instant;

use crate::api::kind;
use crate::consumers::Kind;
use crate::disk::{NAMES, stream};
use crate::plan::{Action, CONNECTIONS, Knob, Style};
use crate::process::{give_webhook_secret, sign_in};
use crate::template::SYNC;
use crate::world::World;
use crate::{integrations, toggles};

/// How long the last phase may take, in virtual time.
const PATIENCE: Duration = Duration::from_secs(3 * 3600);

impl World {
    /// Stops faults and writes: everything must converge.
    pub(crate) async fn end(&mut self) -> highwater_core::Result<()> {
        self.shared.note(|| "the end begins".to_owned());
        self.shared.calm_down();
        self.shared.die();
        self.wait(Duration::from_secs(600)).await?;
        for connection in 0..CONNECTIONS {
            self.apis[connection].narrow(false);
            self.make_well(connection).await?;
            self.converge(connection).await?;
        }
        let Some(engine) = self.process.engines.first() else { return Ok(()) };
        // Whoever takes a name finishes what the one before left.
        let left = engine.pending_removals().await?;
        if !left.is_empty() {
            self.shared.broken("sign-in", format!("removals are pending at the end: {left:?}"));
        }
        for number in 0..self.consumers.len() {
            if self.consumers[number].kind != Kind::Twin {
                self.drain(number).await?;
            }
        }
        if let Some(hoarder) = self.consumers.iter_mut().find(|consumer| consumer.kind == Kind::Hoarder) {
            hoarder.replay_hoard(&self.process.store).await;
        }
        self.settle_deliveries().await
    }

    /// Everything is on again. Where a grant is over, the user signs in again; where it is not, nobody needs to.
    async fn make_well(&mut self, connection: usize) -> highwater_core::Result<()> {
        let (name, shared) = (NAMES[connection], Arc::clone(&self.shared));
        let Some(engine) = self.process.engines.first().cloned() else { return Ok(()) };
        lock(&self.removed).remove(name);
        if shared.plan.has(Knob::Toggles) || shared.plan.has(Knob::Integrations) {
            integrations::turn_on(&engine, &shared.plan).await?;
            toggles::connect(&engine, &shared.plan, name).await?;
            engine.sync(name, SYNC)?.enable(toggles::schedule()).await?;
            give_webhook_secret(&self.process.engines, &shared, name);
        }
        let Some(vault) = self.process.vaults.first() else { return Ok(()) };
        if vault.is_rotating() {
            vault.rotate().await?;
        }
        let api = &self.apis[connection];
        if api.issuer.is_revoked() || vault.load(name).await?.is_none() {
            sign_in(&shared, api, vault, name).await;
        }
        Ok(())
    }

    /// Receivers accept everything from now on, and dead letters are replayed.
    async fn settle_deliveries(&mut self) -> highwater_core::Result<()> {
        let Some(outbox) = self.process.outboxes.first() else { return Ok(()) };
        let begun = Instant::now();
        // A pause that a wrong clock set may last as long as any pause.
        while begun.elapsed() < 12 * PATIENCE {
            for destination in outbox.destinations().await?.iter().filter(|found| found.disabled.is_none()) {
                outbox.replay_all(&destination.id).await?;
            }
            tokio::time::sleep(Duration::from_secs(300)).await;
            if self.receivers.is_done() {
                break;
            }
        }
        if self.shared.checks {
            self.receivers.check_end();
        }
        let left = self.process.store.inner.documents("outbox/", "", 1000).await?;
        for document in left.iter().filter(|found| !found.key.starts_with("outbox/destination/")) {
            let of_leaving = document.key.contains("/leaving");
            if !of_leaving && !document.key.starts_with("outbox/rest/") && document.key != "outbox/worker" {
                self.shared.broken("outbox", format!("{} is left at the end", document.key));
            }
        }
        Ok(())
    }

    async fn converge(&mut self, connection: usize) -> highwater_core::Result<()> {
        let plan = self.shared.plan.clone();
        let stream = stream(connection);
        // First without a full refresh: the template's own guarantee. The first run may only finish a listing
        // that was interrupted.
        self.run_until_well(connection, false).await?;
        self.run_until_well(connection, false).await?;
        let narrowed = plan.actions.iter().any(|(_, action)| matches!(action, Action::Narrow { .. }));
        let waits = self.process.engines[0].sync(NAMES[connection], SYNC)?.state().await?.status.parked_run.is_some();
        let exact = match plan.styles[connection] {
            Style::Offset | Style::Keyset => true,
            // A feed does not report again the deletes that a refresh could not apply without approval.
            Style::Feed => !narrowed && !waits,
            Style::Since => false,
        };
        let reads_all = !plan.has(Knob::ClockJumps) && !narrowed;
        if exact {
            self.compare(connection, &stream, "the source and the log differ after a run", false);
        } else if plan.styles[connection] == Style::Since && reads_all {
            self.compare(connection, &stream, "an incremental run missed a change", true);
        }
        self.run_until_well(connection, true).await?;
        self.compare(connection, &stream, "the source and the log differ after a full refresh", false);
        let before = self.process.store.inner.head(&stream).await?;
        self.run_until_well(connection, true).await?;
        let after = self.process.store.inner.head(&stream).await?;
        if (before.high_water, &before.checksum) != (after.high_water, &after.checksum) {
            self.shared.broken("P6", "a second refresh of an unchanged source emitted something".to_owned());
        }
        match self.process.store.inner.maintain(Maintenance::Verify(stream.clone())).await? {
            MaintenanceReport::Verified(found) if found.is_clean() => {}
            other => self.shared.broken("P37", format!("the recount of {stream} finds {other:?}")),
        }
        self.check_checksum(&stream, &after.checksum).await
    }

    /// A consumer that has the same records has the same checksum (P37).
    async fn check_checksum(&self, stream: &StreamKey, expected: &str) -> highwater_core::Result<()> {
        if !self.shared.checks {
            return Ok(());
        }
        let (page, _) = self.process.store.whole(stream).await?;
        if page.changes.iter().any(|change| change.record.metadata.pruned_at.is_some()) {
            return Ok(());
        }
        let copy = Inline::open(MemoryBackend::default(), StoreOptions::new())?;
        let mut batch = WriteBatch::new();
        let live = page.changes.iter().filter(|change| change.record.metadata.deleted_at.is_none());
        for payload in live.filter_map(|change| change.record.payload.as_ref()) {
            batch.on(stream).upsert(payload.as_bytes().to_vec());
        }
        copy.commit(batch).await?;
        let found = copy.head(stream).await?.checksum;
        if found != expected {
            self.shared.broken("P37", format!("the checksum is {expected}, that of the same records {found}"));
        }
        Ok(())
    }

    async fn run_until_well(&mut self, connection: usize, full: bool) -> highwater_core::Result<()> {
        let begun = Instant::now();
        let name = NAMES[connection];
        loop {
            let options = RunOptions::default().full(full).approve_deletes(true);
            match self.process.engines[0].sync(name, SYNC)?.run_once(options).await {
                Ok(_) => return Ok(()),
                Err(error) => {
                    self.shared.note(|| format!("at the end: {error}"));
                    // An answer that was lost may end a grant whose tokens are good for one use.
                    if error.kind() == ErrorKind::Unauthorized {
                        self.make_well(connection).await?;
                    }
                }
            }
            if begun.elapsed() > PATIENCE {
                self.shared.broken("P27", format!("no run of {name} succeeds although nothing fails any more"));
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }

    fn compare(&self, connection: usize, stream: &StreamKey, what: &str, only_there: bool) {
        if !self.shared.checks {
            return;
        }
        let live = self.process.store.oracle().live(stream);
        let live: BTreeMap<String, (u64, u64)> = live
            .into_iter()
            .map(|(id, value)| (id, (value["version"].as_u64().unwrap_or(0), value["value"].as_u64().unwrap_or(0))))
            .collect();
        let mut truth = self.apis[connection].truth();
        if only_there {
            truth.retain(|id, item| live.get(id) != Some(item));
        }
        let same = if only_there { truth.is_empty() } else { truth == live };
        if !same {
            self.shared.broken("P17", format!("{what}: {stream} has {live:?}, the source {truth:?}"));
        }
        debug_assert!(live.values().all(|(_, value)| matches!(kind(*value), 'x' | 'y')));
    }

    async fn drain(&mut self, number: usize) -> highwater_core::Result<()> {
        self.consumers[number].go_back();
        for _ in 0..20_000 {
            let caught_up = self.consumers[number].step(&self.process.store).await;
            if caught_up {
                // The last acknowledgement.
                if matches!(self.consumers[number].kind, Kind::Named) {
                    self.consumers[number].step(&self.process.store).await;
                }
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // The twins share their deliveries between them.
        if !matches!(self.consumers[number].kind, Kind::Named | Kind::Twin) {
            self.consumers[number].check_replica(&self.process.store);
        }
        Ok(())
    }
}
