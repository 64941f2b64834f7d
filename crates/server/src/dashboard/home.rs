//! The home page: does anything need me?

use highwater_core::{Action, ErrorKind, Result};
use highwater_engine::Phase;
use highwater_engine::connections::{ConnectionFilter, HealthKind};
use highwater_engine::syncs::SyncState;
use highwater_engine::webhooks::Outbox;
use maud::{Markup, html};

use super::frame::{Page, empty, sentence};
use super::newest::newest;
use super::plot::Plot;
use super::visit::{Answer, Visit};
use super::words::{Look, counted, cut, id, number, state, when};

/// The most of each kind that are listed; the rest is counted.
const LISTED: usize = 20;
/// The most dead letters that are counted.
const DEAD: usize = 1000;
/// Changes that are listed.
const CHANGES: usize = 10;

/// What waits for somebody: what it is, why, and where to mend it.
struct Need {
    look: Look,
    kind: &'static str,
    thing: String,
    why: String,
    act: &'static str,
    to: String,
}

pub(super) async fn page(visit: Visit) -> Answer {
    let engine = visit.engine();
    let syncs = engine.sync_states().await?;
    let needs = needs(&visit, &syncs).await?;
    let plot = Plot::read(engine, visit.now).await?;
    let changes = newest(&**visit.store(), CHANGES).await?;
    let running: Vec<&SyncState> = syncs.iter().filter(|sync| sync.phase == Phase::Running).collect();
    let lead = match needs.len() {
        0 if syncs.is_empty() => html! { "Nothing is synced yet." },
        0 => html! { "Nothing needs you: " (counted(syncs.len() as u64, "sync", "syncs")) " as they should be." },
        1 => html! { "One thing needs you." },
        count => html! { (number(count as u64)) " things need you." },
    };
    let content = html! {
        @if syncs.is_empty() && changes.is_empty() {
            (empty("No sync is on", &html! {
                "Set up an API, connect an account, and turn on what you want to keep here. "
                a href=(visit.to(["connect"])) { "Connect an account" } " or " a href=(visit.to(["integrations"])) { "set up an integration" } "."
            }))
        } @else {
            @if !needs.is_empty() { (list(&needs)) }
            section {
                h2 { "Running now" }
                @if running.is_empty() { p.quiet { "No run is in progress." } } @else { (runs(&visit, &running)) }
            }
            section {
                h2 { "Changes per hour" }
                p.quiet { (counted(plot.total(), "change", "changes")) " saved by runs in the last 48 hours." }
                (plot.draw())
            }
            section {
                h2 { "The newest changes" }
                @if changes.is_empty() { p.quiet { "No record has arrived yet." } } @else {
                    div.scroll { table {
                        thead { tr { th { "Change" } th { "Record" } th { "Model" } th { "Connection" } th { "When" } } }
                        tbody {
                            @for (stream, change) in &changes {
                                @let record = &change.record;
                                tr {
                                    td { (action(record.metadata.last_action)) }
                                    td { a href=(record_page(&visit, stream, record.id.as_str())) { (id(record.id.as_str())) } }
                                    td { a href=(stream_page(&visit, stream)) { (cut(stream.model(), 60)) } }
                                    td { a href=(visit.to(["connections", stream.connection()])) { (cut(stream.connection(), 60)) } }
                                    td { (when(record.metadata.last_modified_at, visit.now)) }
                                }
                            }
                        }
                    } }
                }
            }
        }
    };
    Ok(Page::new(&visit, "Home", lead).live().show(content))
}

pub(super) fn action(action: Action) -> Markup {
    let word = match action {
        Action::Added => "added",
        Action::Updated => "updated",
        Action::Deleted => "deleted",
    };
    html! { span.action.(word) { (word) } }
}

/// The page of a stream's records.
pub(super) fn stream_page(visit: &Visit, stream: &highwater_core::StreamKey) -> String {
    visit.to_with("records", &stream_query(stream))
}

/// The page of a record.
pub(super) fn record_page(visit: &Visit, stream: &highwater_core::StreamKey, id: &str) -> String {
    let [connection, model, variant] = stream_query(stream);
    visit.to_with("record", &[connection, model, variant, ("id", id)])
}

/// The parameters that name a stream.
pub(super) fn stream_query(stream: &highwater_core::StreamKey) -> [(&'static str, &str); 3] {
    let variant = Some(stream.variant()).filter(|variant| *variant != highwater_core::DEFAULT_VARIANT);
    [("connection", stream.connection()), ("model", stream.model()), ("variant", variant.unwrap_or_default())]
}

async fn needs(visit: &Visit, syncs: &[SyncState]) -> Result<Vec<Need>> {
    let mut needs = Vec::new();
    for kind in [HealthKind::NeedsSignIn, HealthKind::Revoked] {
        let filter = ConnectionFilter::default().health(kind).limit(LISTED);
        for found in visit.engine().connection_states(&filter).await?.connections {
            let connection = &found.settings.id;
            needs.push(Need {
                look: Look::Failed,
                kind: "needs sign-in",
                thing: connection.clone(),
                why: super::words::why(&found.health).to_owned(),
                act: "Sign in again",
                to: visit.to(["connections", connection]),
            });
        }
    }
    for sync in syncs {
        let thing = format!("{} of {}", sync.sync, sync.connection);
        let to = visit.to(["connections", &sync.connection]);
        let error = sync.status.last_error.as_deref();
        if let Some(run) = sync.status.parked_run {
            let why = error.unwrap_or("A run would delete more than its guard allows.").to_owned();
            let to = visit.to(["runs", &run.to_string()]);
            needs.push(Need { look: Look::Waits, kind: "deletes held", thing, why, act: "Approve or reject", to });
        } else if sync.phase == Phase::NeedsSetting {
            let why = format!("It waits for: {}.", sync.missing_settings.join(", "));
            needs.push(Need { look: Look::Waits, kind: "needs a setting", thing, why, act: "Give the setting", to });
        } else if let Some(error) = error
            && !matches!(sync.phase, Phase::NeedsSignIn | Phase::Disabled | Phase::Offline)
            && sync.status.last_error_kind != Some(ErrorKind::Cancelled)
        {
            let why = error.to_owned();
            let to = sync.status.last_run.map_or(to, |run| visit.to(["runs", &run.to_string()]));
            needs.push(Need { look: Look::Failed, kind: "failed", thing, why, act: "See the run", to });
        }
    }
    let outbox = Outbox::new(visit.engine());
    for destination in outbox.destinations().await? {
        let dead = outbox.dead_letters(&destination.id, "", DEAD).await?.len() as u64;
        let why = match &destination.disabled {
            Some(why) => format!("It is disabled: {why}"),
            None if dead > 0 => format!("{} could not be delivered.", counted(dead, "webhook", "webhooks")),
            None => continue,
        };
        let to = visit.to(["webhooks", &destination.id]);
        needs.push(Need {
            look: Look::Failed,
            kind: "dead letters",
            thing: destination.id,
            why,
            act: "See and replay",
            to,
        });
    }
    Ok(needs)
}

fn list(needs: &[Need]) -> Markup {
    html! {
        ul.needs {
            @for need in needs.iter().take(LISTED) {
                li {
                    (state(need.look, need.kind))
                    div { strong { (cut(&need.thing, 120)) } p { (cut(&sentence(&need.why), 300)) } }
                    a.button href=(need.to) { (need.act) }
                }
            }
            @if needs.len() > LISTED { li.quiet { "and " (number((needs.len() - LISTED) as u64)) " more" } }
        }
    }
}

fn runs(visit: &Visit, running: &[&SyncState]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "Sync" } th { "Connection" } th.number { "Records so far" } th { "Since" } } }
            tbody {
                @for sync in running {
                    tr {
                        td { (state(Look::Running, &cut(&sync.sync, 60))) }
                        td { a href=(visit.to(["connections", &sync.connection])) { (cut(&sync.connection, 60)) } }
                        @if let Some(run) = &sync.run {
                            td.number { a href=(visit.to(["runs", &run.id.to_string()])) {
                                (number(run.progress.fetched)) @if let Some(total) = run.progress.total { " of " (number(total)) }
                            } }
                            td { (when(run.started_at, visit.now)) }
                        } @else { td {} td {} }
                    }
                }
            }
        } }
    }
}
