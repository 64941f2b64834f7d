//! Whether the store is sound.

use highwater_core::{Maintenance, MaintenanceReport};
use maud::html;

use super::super::visit::{Answer, Visit};
use super::super::words::{Look, counted, cut, state};
use super::show;

pub(in super::super) async fn doctor(visit: Visit) -> Answer {
    let (mut problems, mut waiting): (Vec<String>, Vec<String>) = Default::default();
    let (mut entries, mut missing) = (0, 0);
    for head in visit.store().streams().await? {
        if let MaintenanceReport::Verified(found) =
            visit.store().maintain(Maintenance::Verify(head.stream.clone())).await?
        {
            entries += found.entries;
            missing += found.missing.values().sum::<u64>();
            problems.extend(found.problems.iter().map(|problem| format!("{}: {problem}", head.stream)));
        }
    }
    if let MaintenanceReport::Files(found) = visit.store().maintain(Maintenance::CheckFiles).await? {
        problems.extend(found.problems);
    }
    if let MaintenanceReport::Codec(codec) = visit.store().maintain(Maintenance::CheckCodec).await?
        && codec.unfinished
    {
        problems.push("payloads are being moved from one key to another: recode again with both keys".to_owned());
    }
    for removal in visit.engine().pending_removals().await? {
        let what = removal.connection.or(removal.integration).unwrap_or_default();
        waiting.push(format!("the secrets of {what}, which is removed, are still in the credential store"));
    }
    if let MaintenanceReport::Clock(clock) = visit.store().maintain(Maintenance::CheckClock).await?
        && clock.implausible
    {
        problems.push("the clock is far from the time of the last entry: set it right".to_owned());
    }
    let checked = html! {
        div.notice {
            @if problems.is_empty() { p { (state(Look::Well, "sound")) " " (counted(entries, "entry", "entries")) " read, all as their sums say." } }
            @else { p { (state(Look::Failed, "damaged")) " Restore a backup, or sync into a new file." } ul { @for problem in problems.iter().take(100) { li { (cut(problem, 300)) } } } }
            @for note in &waiting { p { (state(Look::Waits, "goes on")) " " (cut(note, 300)) "." } }
            @if missing > 0 { p { (counted(missing, "payload", "payloads")) " not checked: reading them needs a key or a dictionary that this program lacks." } }
        }
    };
    show(&visit, None, Some(checked)).await
}
