//! The home page: does anything need me?

use highwater_core::{Action, Change, ErrorKind, Result, StreamKey};
use highwater_engine::Phase;
use highwater_engine::connections::{ConnectionFilter, HealthKind};
use highwater_engine::logs::LogFilter;
use highwater_engine::runs::RunReport;
use highwater_engine::syncs::SyncState;
use maud::{Markup, html};

use super::frame::{Page, empty, sentence};
use super::newest::newest;
use super::plot::Plot;
use super::visit::{Answer, Visit};
use super::webhooks::COUNTED;
use super::words::{Look, counted, cut, id, number, of_run, state, when};

/// The most of each kind that are listed; the rest is counted.
const LISTED: usize = 20;
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
    let heads = visit.store().streams().await?;
    let records = heads.iter().map(|head| head.live).sum();
    let changes = newest(&**visit.store(), heads, CHANGES).await?;
    let runs = engine.runs_matching(&LogFilter::default().limit(CHANGES)).await?.runs;
    let lead = match needs.len() {
        0 if syncs.is_empty() => html! { "Nothing is synced yet." },
        0 => html! { "Nothing needs you." },
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
            (figures(&visit, &syncs, records, &needs))
            @if !needs.is_empty() { (list(&needs)) }
            section data-part="plot" {
                h2 { "Changes per hour" }
                (plot.draw())
            }
            div.two {
                section data-part="changes" {
                    h2 { "Newest changes" }
                    @if changes.is_empty() { p.quiet { "No record has arrived yet." } } @else { (newest_table(&visit, &changes)) }
                }
                section data-part="runs" {
                    h2 { "Latest runs" }
                    @if runs.is_empty() { p.quiet { "Nothing has run yet." } } @else { (run_table(&visit, &runs)) }
                }
            }
        }
    };
    Ok(Page::new(&visit, "Home", lead).live().show(content))
}

/// The numbers at the top, each with the page behind it.
fn figures(visit: &Visit, syncs: &[SyncState], records: u64, needs: &[Need]) -> Markup {
    let of = |wanted: fn(&SyncState) -> bool| syncs.iter().filter(|sync| wanted(sync)).count() as u64;
    let running = of(|sync| sync.phase == Phase::Running);
    let on = of(|sync| sync.phase != Phase::Disabled);
    let failed = needs.iter().filter(|need| need.look == Look::Failed).count() as u64;
    let waiting = needs.len() as u64 - failed;
    let figure = |to: String, count: u64, name: &str, shape: Option<Look>| {
        html! { a href=(to) { strong { (number(count)) } span { @if let Some(look) = shape.filter(|_| count > 0) { (state(look, name)) } @else { (name) } } } }
    };
    html! {
        div.figures data-part="figures" {
            (figure(visit.to(["records"]), records, if records == 1 { "record" } else { "records" }, None))
            (figure(visit.to(["connections"]), on, if on == 1 { "sync on" } else { "syncs on" }, None))
            (figure(visit.to_with("runs", &[("state", "running")]), running, "running", Some(Look::Running)))
            (figure(visit.to_with("runs", &[("state", "error")]), failed, "failed", Some(Look::Failed)))
            (figure(visit.to_with("runs", &[("state", "awaiting_approval")]), waiting, if waiting == 1 { "waits for you" } else { "wait for you" }, Some(Look::Waits)))
        }
    }
}

fn newest_table(visit: &Visit, changes: &[(StreamKey, Change)]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "Change" } th { "Record" } th { "Model" } th.wide { "Connection" } th.number { "When" } } }
            tbody {
                @for (stream, change) in changes {
                    @let record = &change.record;
                    tr {
                        td { (action(record.metadata.last_action)) }
                        td { a href=(record_page(visit, stream, record.id.as_str())) { (id(record.id.as_str())) } }
                        td { a href=(stream_page(visit, stream)) { (cut(stream.model(), 60)) } }
                        td.wide { a href=(visit.to(["connections", stream.connection()])) { (cut(stream.connection(), 60)) } }
                        td.number { (when(record.metadata.last_modified_at, visit.now)) }
                    }
                }
            }
        } }
    }
}

fn run_table(visit: &Visit, runs: &[RunReport]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "State" } th { "Sync" } th.wide { "Connection" } th.number { "Began" } } }
            tbody {
                @for run in runs {
                    tr {
                        td { (of_run(run.state)) }
                        td { a href=(visit.to(["runs", &run.id.to_string()])) { (cut(&run.template, 60)) } }
                        td.wide { a href=(visit.to(["connections", &run.connection])) { (cut(&run.connection, 60)) } }
                        td.number { (when(run.started_at, visit.now)) }
                    }
                }
            }
        } }
    }
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
pub(super) fn stream_page(visit: &Visit, stream: &StreamKey) -> String {
    visit.to_with("records", &stream_query(stream))
}

/// The page of a record.
pub(super) fn record_page(visit: &Visit, stream: &StreamKey, id: &str) -> String {
    let [connection, model, variant] = stream_query(stream);
    visit.to_with("record", &[connection, model, variant, ("id", id)])
}

/// The parameters that name a stream.
pub(super) fn stream_query(stream: &StreamKey) -> [(&'static str, &str); 3] {
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
    let outbox = &visit.state().outbox;
    for destination in outbox.destinations().await? {
        let dead = outbox.dead_letters(&destination.id, "", COUNTED).await?.len() as u64;
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
