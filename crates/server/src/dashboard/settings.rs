//! Settings: who may reach the server, how much it holds, and whether the store is sound.

use highwater_core::{Maintenance, MaintenanceReport, StreamHead};
use maud::{Markup, html};

use super::frame::{Page, button, csrf};
use super::home::stream_page;
use super::visit::{Answer, Visit};
use super::words::{Look, bytes, counted, cut, id, number, state, when, when_or};
use crate::error::ApiError;
use crate::keys::{Key, Scope};

pub(super) async fn page(visit: Visit) -> Answer {
    show(&visit, None, None).await
}

async fn show(visit: &Visit, made: Option<&str>, checked: Option<Markup>) -> Answer {
    let admin = visit.may(Scope::Admin);
    let keys = if admin { visit.keys().list().await? } else { Vec::new() };
    let heads: Vec<StreamHead> =
        visit.store().streams().await?.into_iter().filter(|head| !head.never_written()).collect();
    let size: u64 = heads.iter().map(|head| head.bytes).sum();
    let lead = html! {
        (counted(heads.iter().map(|head| head.live).sum(), "record", "records")) " in " (bytes(size)) " of payloads"
        @if admin { ", " (counted(keys.len() as u64, "key", "keys")) " to reach them" } "."
    };
    let content = html! {
        section {
            h2 { "Keys" }
            @if let Some(made) = made {
                div.notice { p { "The new key. It is shown this once: hand it to whoever uses it." } pre data-copy { (made) } }
            }
            @if admin { (key_table(visit, &keys)) } @else { p.quiet { "Keys are shown to those who sign in with a key of the scope admin." } }
        }
        section {
            h2 { "Is the store sound?" }
            @match checked {
                Some(checked) => { (checked) },
                None => { p.quiet { "The doctor reads everything once and compares it with its sums. That takes a while in a large store." } },
            }
            (button(visit, &visit.to(["settings", "doctor"]), &[], "plain-button", "Run the doctor"))
        }
        section {
            h2 { "Sizes" }
            @if heads.is_empty() { p.quiet { "Nothing is stored yet." } } @else {
                div.scroll { table {
                    thead { tr { th { "Stream" } th.number { "Records" } th.number { "Deleted" } th.number { "Size" } } }
                    tbody { @for head in &heads {
                        tr { td { a href=(stream_page(visit, &head.stream)) { (cut(&head.stream.to_string(), 120)) } } td.number { (number(head.live)) } td.number { (number(head.deleted)) } td.number { (bytes(head.bytes)) } }
                    } }
                } }
            }
        }
        section { h2 { "Version" } p { "Highwater " (env!("CARGO_PKG_VERSION")) } }
    };
    Ok(Page::new(visit, "Settings", lead).show(content))
}

fn key_table(visit: &Visit, keys: &[Key]) -> Markup {
    let action = visit.to(["settings", "key"]);
    html! {
        @if keys.is_empty() { p.quiet { "No key is stored. Programs need one: make it here." } } @else {
            div.scroll { table {
                thead { tr { th { "Name" } th { "Id" } th { "Scope" } th { "Made" } th { "Last used" } th { "Do" } } }
                tbody { @for key in keys {
                    tr {
                        td { (cut(&key.name, 80)) } td { (id(&key.id)) } td { (key.scope) }
                        td { (when(key.created_at, visit.now)) } td { (when_or(key.last_used_at, visit.now, "never")) }
                        td { (button(visit, &action, &[("do", "revoke"), ("id", &key.id)], "small danger", "Revoke")) }
                    }
                } }
            } }
        }
        form.card method="post" action=(action) {
            (csrf(visit))
            input type="hidden" name="do" value="create";
            label { "Name" input name="name" required maxlength="200" placeholder="backend"; }
            label { "Scope" select name="scope" { @for scope in Scope::ALL { option value=(scope) { (scope) } } } }
            button.primary { "Make a key" }
        }
    }
}

pub(super) async fn change_key(visit: Visit) -> Answer {
    match visit.field("do") {
        "create" => {
            let made = visit.keys().create(visit.field("name"), visit.field("scope").parse()?).await?;
            // No redirect: the key is in this answer, and nowhere else.
            show(&visit, Some(made.secret.expose()), None).await
        }
        "revoke" => {
            visit.keys().revoke(visit.field("id")).await?;
            visit.done(visit.to(["settings"]), "The key is revoked: nobody gets in with it from now on.")
        }
        _ => Err(ApiError::bad("invalid_body", "there is no such button: open the page again")),
    }
}

pub(super) async fn doctor(visit: Visit) -> Answer {
    let mut problems: Vec<String> = Vec::new();
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
    if let MaintenanceReport::Clock(clock) = visit.store().maintain(Maintenance::CheckClock).await?
        && clock.implausible
    {
        problems.push("the clock is far from the time of the last entry: set it right".to_owned());
    }
    let checked = html! {
        div.notice {
            @if problems.is_empty() { p { (state(Look::Well, "sound")) " " (counted(entries, "entry", "entries")) " read, all as their sums say." } }
            @else { p { (state(Look::Failed, "damaged")) " Restore a backup, or sync into a new file." } ul { @for problem in problems.iter().take(100) { li { (cut(problem, 300)) } } } }
            @if missing > 0 { p { (counted(missing, "payload", "payloads")) " not checked: reading them needs a key or a dictionary that this program lacks." } }
        }
    };
    show(&visit, None, Some(checked)).await
}
