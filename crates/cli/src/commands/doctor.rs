//! `highwater doctor`

use std::collections::BTreeMap;

use highwater::{Error, ErrorKind, Maintenance, MaintenanceReport, Result, Store};
use serde_json::json;

use crate::args::StoreOptions;
use crate::output::Output;
use crate::stores;

pub(crate) async fn run(options: &StoreOptions, output: &Output) -> Result<()> {
    let store = stores::open_reading(options)?;
    stores::tell_unfinished(&*store, output).await?;
    let mut broken = 0;
    let mut missing = BTreeMap::new();
    for head in store.streams().await? {
        let report = store.maintain(Maintenance::Verify(head.stream.clone())).await?;
        let MaintenanceReport::Verified(found) = report else { continue };
        output.object(
            &json!({ "stream": head.stream.to_string(), "entries": found.entries, "versions": found.versions, "problems": found.problems, "missing": found.missing }),
        );
        let counted = match found.versions {
            0 => format!("{}: {} entries", head.stream, found.entries),
            versions => format!("{}: {} entries, {versions} kept versions", head.stream, found.entries),
        };
        if found.is_clean() {
            output.line(format!("{counted}, all well"));
        } else {
            broken += u64::from(!found.problems.is_empty());
            output.line(counted);
            for problem in &found.problems {
                output.line(format!("  {problem}"));
            }
            for (need, payloads) in found.missing {
                output.line(format!("  {payloads} payloads were not looked at: they need {need}"));
                *missing.entry(need).or_insert(0) += payloads;
            }
        }
    }
    let clock = match store.maintain(Maintenance::CheckClock).await? {
        MaintenanceReport::Clock(health) => Some(health),
        _ => None,
    };
    if let Some(health) = clock.filter(|health| !health.lead.is_zero() || health.implausible) {
        output.object(&json!({ "clock": health }));
        let lead = std::time::Duration::from_secs(health.lead.as_secs());
        output.line(format!("clock: it shows {}, the last position is {lead:?} ahead", health.now.to_rfc3339()));
        output.note(match health.implausible {
            true => "Set the clock right before the next sync: it will be refused.",
            false => "Order is not harmed; new records carry the later time until the clock has caught up.",
        });
    } else if clock.is_some() {
        output.object(&json!({ "clock": clock }));
        output.line("clock: in step with the log");
    }
    store.close().await?;
    if broken == 0 && missing.is_empty() {
        return Ok(());
    }
    if broken == 0 {
        let needs: Vec<String> = missing.into_keys().collect();
        let message = "payloads need a key or a dictionary that was not given: add each with --key-env NUMBER=NAME or --dictionary FILE";
        return Err(Error::new(ErrorKind::WrongKey, message)
            .with("needs", needs.join(", "))
            .with("db", options.db.display()));
    }
    Err(Error::new(ErrorKind::Corrupt, "the store is damaged: restore a backup, or sync into a new file")
        .with("streams", broken)
        .with("db", options.db.display()))
}
