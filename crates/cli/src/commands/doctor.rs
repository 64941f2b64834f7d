//! `highwater doctor`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use highwater::maintenance::{ClockHealth, Maintenance, MaintenanceReport};
use highwater::{Error, ErrorKind, Result, Store, Timestamp};
use serde_json::json;

use super::connections;
use crate::args::StoreOptions;
use crate::output::{Output, counted};
use crate::{stores, vaults};

pub(crate) async fn run(options: &StoreOptions, output: &Output) -> Result<()> {
    let store = stores::open_reading(options)?;
    stores::tell_unfinished(&*store, output).await?;
    let files = check_files(&*store, output).await?;
    let mut broken = 0;
    let mut missing = BTreeMap::new();
    for head in store.streams().await? {
        let report = store.maintain(Maintenance::Verify(head.stream.clone())).await?;
        let MaintenanceReport::Verified(found) = report else { continue };
        output.object(
            "verification", &json!({ "stream": head.stream, "entries": found.entries, "versions": found.versions, "problems": found.problems, "missing": found.missing }),
        );
        let summary = match found.versions {
            0 => format!("{}: {}", head.stream, counted(found.entries, "entry")),
            versions => {
                format!("{}: {}, {}", head.stream, counted(found.entries, "entry"), counted(versions, "kept version"))
            }
        };
        if found.is_clean() {
            output.line(format!("{summary}, all well"));
        } else {
            broken += u64::from(!found.problems.is_empty());
            output.line(summary);
            for problem in &found.problems {
                output.line(format!("  {problem}"));
            }
            for (need, payloads) in found.missing {
                output.line(format!("  {} not checked: reading needs {need}", counted(payloads, "payload")));
                *missing.entry(need).or_insert(0) += payloads;
            }
        }
    }
    for removal in &stores::engine(&store, options)?.pending_removals().await? {
        connections::tell_removal(removal, output);
    }
    let unreadable = check_credentials(&store, options, output).await?;
    let clock = match store.maintain(Maintenance::CheckClock).await? {
        MaintenanceReport::Clock(health) => Some(health),
        _ => None,
    };
    if let Some(health) = &clock {
        let lead_ms = u64::try_from(health.lead.as_millis()).unwrap_or(u64::MAX);
        output.object(
            "clock",
            &json!({ "now": health.now, "last_position_at": health.last_position_at, "accepted_at": health.accepted_at,
                "lead_ms": lead_ms, "implausible": health.implausible }),
        );
        tell_clock(health, output);
    }
    store.close().await?;
    if files == 0 && broken == 0 && missing.is_empty() {
        if unreadable.is_empty() {
            return Ok(());
        }
        let message = "stored credentials were changed or damaged: sign these connections in again";
        return Err(Error::new(ErrorKind::Corrupt, message)
            .with("connections", unreadable.join(", "))
            .with("db", options.db.display()));
    }
    if files == 0 && broken == 0 {
        let needs: Vec<String> = missing.into_keys().collect();
        let message = "payloads need a key or a dictionary that is missing: add each with --key-env NUMBER=NAME or --dictionary FILE";
        return Err(Error::new(ErrorKind::WrongKey, message)
            .with("needs", needs.join(", "))
            .with("db", options.db.display()));
    }
    Err(Error::new(ErrorKind::Corrupt, "the store is damaged: restore a backup, or sync into a new file")
        .with("streams", broken)
        .with("problems_of_files", files)
        .with("db", options.db.display()))
}

/// Reports credentials that do not open, and returns whose they are.
async fn check_credentials(store: &Arc<dyn Store>, options: &StoreOptions, output: &Output) -> Result<Vec<String>> {
    let Some(found) = vaults::check(store, options, output).await? else { return Ok(Vec::new()) };
    output.object("credentials", &json!({ "checked": found.credentials, "unreadable": found.unreadable }));
    match found.unreadable.len() {
        0 => output.line(format!("credentials: {}, all well", found.credentials)),
        damaged => output.line(format!("credentials: {}, {damaged} do not open", found.credentials)),
    }
    for name in &found.unreadable {
        output.line(format!("  {name}"));
    }
    Ok(found.unreadable)
}

/// Reports problems of the files themselves, and returns their number.
async fn check_files(store: &dyn Store, output: &Output) -> Result<usize> {
    let MaintenanceReport::Files(found) = store.maintain(Maintenance::CheckFiles).await? else { return Ok(0) };
    output.object("files", &json!({ "problems": found.problems, "pages_checked": found.pages_checked }));
    let problems = found.problems;
    if !problems.is_empty() {
        output.line(format!("files: {}", counted(problems.len(), "problem")));
        problems.iter().for_each(|problem| output.line(format!("  {problem}")));
    }
    Ok(problems.len())
}

/// How far positions may be ahead of the clock before a note explains how to correct that.
const LONG: Duration = DAY;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long nothing changed before a note asks whether the clock is right.
const QUIET_DAYS: u64 = 366;

fn tell_clock(health: &ClockHealth, output: &Output) {
    let shown = Timestamp::from_unix_ms(health.now.unix_ms() / 1000 * 1000);
    let quiet_days =
        health.last_position_at.map_or(0, |last| health.now.duration_since(last).as_secs() / DAY.as_secs());
    if health.implausible {
        output.line(format!("clock: it shows {shown}, which is implausible"));
        output.note("Set the clock: until then, syncs that find changes fail.");
    } else if !health.lead.is_zero() {
        let lead = Duration::from_secs(health.lead.as_secs());
        output.line(format!("clock: it shows {shown}, the last position is {lead:?} ahead"));
        output.note("Order is not harmed; new records carry the later time until the clock has caught up.");
        if health.lead > LONG {
            output.note(
                "If the clock is right: wait, or run `highwater maintain rebase-clock`, after which every reader starts over.",
            );
        }
    } else if quiet_days > QUIET_DAYS {
        output.line(format!("clock: it shows {shown}, nothing has changed for {}", counted(quiet_days, "day")));
        output.note("If that is right, nothing needs to be done; otherwise set the clock before the next sync.");
    } else {
        output.line("clock: in step with the log");
    }
}
