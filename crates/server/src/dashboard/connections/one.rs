//! One connection: its health and what mends it, its syncs, and the host's own data.

use highwater_core::{ErrorKind, Result, StreamKey};
use highwater_engine::connections::{ConnectionHealth, ConnectionState};
use highwater_engine::syncs::SyncState;
use highwater_engine::{ConnectionSettings, Credentials, DisableMode, Phase, Secret, SyncOptions, TriggerMode};
use maud::{Markup, html};

use super::super::frame::{Page, button, csrf, empty, sentence};
use super::super::home::stream_page;
use super::super::integrations::{minutes, template};
use super::super::visit::{Answer, Visit};
use super::super::words::{counted, cut, number, of_health, of_sync, schedule, when, when_or, why};
use super::about;
use crate::error::ApiError;
use crate::keys::Scope;

/// Where nothing can keep credentials.
const UNTIL_THE_END: &str = "The token is in use until this program ends: it has no vault to keep it in.";

pub(in super::super) async fn one(visit: Visit) -> Answer {
    let id = visit.path("id");
    let connection = visit.engine().connection_state(id).await?;
    let syncs = syncs(&visit, &connection).await?;
    let settings = &connection.settings;
    let on = syncs.iter().filter(|sync| sync.phase != Phase::Disabled).count();
    let lead = html! {
        (of_health(&connection.health)) " "
        @if connection.health == ConnectionHealth::Ok && connection.last_error.is_some() { "The sign-in is well, and a sync needs you. " } @else { (why(&connection.health)) " " }
        (on) " of " (counted(syncs.len() as u64, "sync is", "syncs are")) " on."
    };
    let content = html! {
        @if let Some(error) = &connection.last_error {
            div.error { p { (cut(&sentence(&error.message), 500)) } @if let Some(sync) = &error.sync { p.quiet { "The last run of " (cut(sync, 80)) " said so." } } code { (error.kind.as_str()) } }
        }
        div.split {
            div {
                section {
                    h2 { "Syncs" }
                    @if syncs.is_empty() {
                        (empty("This program has no template of the provider", &html! { "Build it with one, and its syncs are listed here." }))
                    } @else { (sync_table(&visit, &syncs, settings.integration.is_some())) }
                }
                section {
                    h2 { "Account" }
                    (sign_in_card(&visit, &connection))
                    (about::forms(&visit, &connection))
                    @if visit.may(Scope::Write) { p { a.button.danger href=(visit.to(["connections", id, "delete"])) { "Delete the connection…" } } }
                }
            }
            (about::facts(&visit, &connection))
        }
    };
    let title = cut(settings.display_name.as_ref().unwrap_or(&settings.id), 80);
    let page = Page::new(&visit, title, lead).under("Connections", visit.to(["connections"])).live();
    Ok(page.beside(again(&visit, &connection)).show(content))
}

/// The button that mends a connection whose users sign in at the provider.
fn again(visit: &Visit, connection: &ConnectionState) -> Markup {
    let needs = connection.health.needs_sign_in();
    html! {
        @if visit.may(Scope::Write) && signs_in_by_browser(visit, &connection.settings.provider) {
            form.inline method="post" action=(visit.to(["connect", "sign-in"])) {
                (csrf(visit))
                input type="hidden" name="connection" value=(connection.settings.id);
                button.primary[needs] { "Sign in again at the provider" }
            }
        }
    }
}

fn sign_in_card(visit: &Visit, connection: &ConnectionState) -> Markup {
    let needs = connection.health.needs_sign_in();
    html! {
        @if visit.may(Scope::Write) {
            details.card open[needs] {
                summary { "Sign in with a token" }
                form method="post" action=(visit.to(["connections", &connection.settings.id, "token"])) {
                    (csrf(visit))
                    label { "Token" input type="password" name="token" required autocomplete="off"; span.hint { "It replaces the credentials that the connection has now, and is shown to nobody." } }
                    button.primary[needs] { "Sign in" }
                }
            }
        }
    }
}

/// Whether users of a provider sign in by OAuth 2.
pub(super) fn signs_in_by_browser(visit: &Visit, provider: &str) -> bool {
    let provider = visit.engine().providers().find(|known| known.name == provider);
    provider.and_then(|provider| provider.oauth2()).is_some_and(|oauth| oauth.authorize_url.is_some())
}

/// Returns the state of every sync that the connection can have, by name.
async fn syncs(visit: &Visit, connection: &ConnectionState) -> Result<Vec<SyncState>> {
    let (engine, id) = (visit.engine(), &connection.settings.id);
    let mut names: Vec<String> = engine
        .templates()
        .filter(|info| info.provider.name == connection.settings.provider)
        .map(|info| info.id())
        .collect();
    let enabled = engine.enabled_syncs().await?.into_iter().filter(|settings| settings.connection == *id);
    names.extend(enabled.map(|settings| settings.sync()));
    names.sort_unstable();
    names.dedup();
    let mut states = Vec::new();
    for name in names {
        match engine.sync(id, &name)?.state().await {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            state => states.push(state?),
        }
    }
    Ok(states)
}

/// `member`: whether the connection belongs to an integration.
fn sync_table(visit: &Visit, syncs: &[SyncState], member: bool) -> Markup {
    let may = visit.may(Scope::Write);
    html! {
        div.scroll { table.tall {
            thead { tr { th { "State" } th { "Sync" } th.wide { "Records" } th.wide { "Last success" } th { "Next run" } } }
            tbody {
                @for sync in syncs {
                    tr {
                        td { (of_sync(sync)) }
                        td.long {
                            (cut(&sync.sync, 80))
                            @if let Some(info) = template(visit, &sync.sync) { div.quiet { (cut(&info.description, 120)) } }
                            @if let Some(error) = &sync.status.last_error { div.fault { (cut(error, 300)) } }
                            @if !sync.missing_settings.is_empty() { div.fault { "It waits for: " (sync.missing_settings.join(", ")) } }
                            @if sync.follows_integration { div.quiet { "As the integration says" } }
                            @if may { (doings(visit, sync, member)) }
                        }
                        td.wide { (records(visit, sync)) }
                        td.wide { (when_or(sync.status.last_success_at, visit.now, "never")) }
                        td {
                            @match (&sync.settings, sync.status.next_due_at) {
                                (Some(settings), Some(due)) => { (when(due, visit.now)) div.quiet { (schedule(&settings.schedule)) } },
                                (Some(settings), None) => { (schedule(&settings.schedule)) },
                                (None, _) => { span.quiet { "off" } },
                            }
                        }
                    }
                }
            }
        } }
    }
}

fn records(visit: &Visit, sync: &SyncState) -> Markup {
    let variant = sync.sync.split_once("::").map(|(_, variant)| variant);
    html! {
        @for (model, count) in &sync.records {
            @let stream = StreamKey::new(&sync.connection, model);
            @let stream = variant.map_or(stream.clone(), |variant| stream.with_variant(variant));
            div.whole { a href=(stream_page(visit, &stream)) { (number(*count)) " " (cut(model, 40)) } }
        }
    }
}

/// The buttons of a sync.
fn doings(visit: &Visit, sync: &SyncState, member: bool) -> Markup {
    let action = visit.to(["connections", &sync.connection, "sync"]);
    let act = |what: &str, label: &str| button(visit, &action, &[("sync", &sync.sync), ("do", what)], "small", label);
    let paused = sync.settings.as_ref().is_some_and(|settings| settings.paused);
    html! {
        div.doings {
            @if sync.settings.is_none() {
                (act("enable", "Turn on"))
            } @else {
                (act("run", "Run now"))
                @if paused { (act("resume", "Resume")) } @else { (act("pause", "Pause")) }
                details {
                    summary { "More" }
                    (act("refresh", "Read everything again"))
                    p.hint { "Compares every record with the API, and notices what was deleted there. The log keeps its cursors." }
                    (act("disable", "Turn off"))
                    p.hint { "The records stay." }
                    form.inline method="post" action=(action) {
                        (csrf(visit))
                        input type="hidden" name="sync" value=(sync.sync);
                        input type="hidden" name="do" value="schedule";
                        label { "Every" input.narrow name="minutes" inputmode="numeric" placeholder="60"; " minutes" }
                        button.small { "Set" }
                        p.hint { "Empty: as the template says." }
                    }
                }
            }
            @if !sync.follows_integration && member { (act("follow", "Follow the integration")) }
        }
    }
}

pub(in super::super) async fn change_sync(visit: Visit) -> Answer {
    let id = visit.path("id");
    let sync = visit.engine().sync(id, visit.field("sync"))?;
    let name = cut(visit.field("sync"), 80);
    let done = match visit.field("do") {
        "enable" => {
            sync.enable(SyncOptions::default()).await?;
            format!("{name} is on.")
        }
        "disable" => {
            sync.disable(DisableMode::Keep).await?;
            format!("{name} is off. Its records stay.")
        }
        "pause" => {
            sync.pause().await?;
            format!("{name} is paused.")
        }
        "resume" => {
            sync.resume().await?;
            format!("{name} goes on.")
        }
        "run" => {
            sync.trigger(TriggerMode::Plain).await?;
            format!("{name} runs as soon as the scheduler has a slot.")
        }
        "refresh" => {
            sync.trigger(TriggerMode::Reset).await?;
            format!("{name} reads everything again as soon as the scheduler has a slot.")
        }
        "follow" => {
            sync.follow_integration().await?;
            format!("{name} is as the integration says.")
        }
        "schedule" => {
            let interval = minutes(visit.field("minutes"))?;
            let settings = sync.set_schedule(interval.map(Into::into)).await?;
            format!("{name} runs {}.", schedule(&settings.schedule))
        }
        _ => return Err(ApiError::bad("invalid_body", "there is no such button: open the page again")),
    };
    visit.done(visit.to(["connections", id]), done)
}

pub(in super::super) async fn set_token(visit: Visit) -> Answer {
    let id = visit.path("id");
    let done = sign_in(&visit, id, visit.field("token")).await?;
    visit.done(visit.to(["connections", id]), done)
}

/// Connects, and signs in with a token: both or neither.
pub(super) async fn connect_and_sign_in(
    visit: &Visit,
    settings: ConnectionSettings,
    token: &str,
) -> Result<&'static str, ApiError> {
    let (engine, token) = (visit.engine(), given(token)?);
    match engine.connect_and_sign_in(settings.clone(), Credentials::token(token.clone())).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            engine.connect(settings.clone()).await?;
            engine.use_token(&settings.id, token);
            Ok(UNTIL_THE_END)
        }
        outcome => Ok(outcome.map(|()| "Connected and signed in.")?),
    }
}

/// Signs a connection in with a token: for good where the engine can keep credentials, otherwise until the program ends.
pub(super) async fn sign_in(visit: &Visit, id: &str, token: &str) -> Result<&'static str, ApiError> {
    let (engine, token) = (visit.engine(), given(token)?);
    match engine.sign_in(id, Credentials::token(token.clone())).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            engine.connection(id).await?;
            engine.use_token(id, token);
            Ok(UNTIL_THE_END)
        }
        outcome => Ok(outcome.map(|()| "Signed in. The syncs go on.")?),
    }
}

fn given(token: &str) -> Result<Secret, ApiError> {
    match token {
        "" => Err(ApiError::bad("invalid_body", "the token is empty: paste it")),
        token => Ok(Secret::new(token)),
    }
}
