//! Keys: made here, shown once, and revoked.

use maud::{Markup, html};

use super::super::frame::{button, csrf};
use super::super::visit::{Answer, Visit};
use super::super::words::{cut, id, when, when_or};
use super::show;
use crate::error::ApiError;
use crate::keys::{Key, Scope};

/// What each scope lets its holder do.
const SCOPES: [(Scope, &str); 3] = [
    (Scope::Read, "read: records and states"),
    (Scope::Write, "write: also connections, syncs, actions and requests to providers"),
    (Scope::Admin, "admin: also integrations with their secrets, webhooks, keys"),
];

pub(super) fn section(visit: &Visit, keys: &[Key], made: Option<&str>) -> Markup {
    let action = visit.to(["environment", "key"]);
    html! {
        @if let Some(made) = made {
            div.notice role="status" { p { "The new key. It is shown this once: hand it to whoever uses it." } pre data-copy="the key" { (made) } }
        }
        @if keys.is_empty() { p.quiet { "No key is stored. Programs need one: make it here." } } @else {
            div.scroll { table {
                thead { tr { th { "Name" } th.wide { "Id" } th { "Scope" } th.wide { "Made" } th { "Last used" } th { span.hidden { "What to do" } } } }
                tbody { @for key in keys {
                    tr {
                        td.long { (cut(&key.name, 80)) } td.wide { (id(&key.id)) } td { (key.scope) }
                        td.wide { (when(key.created_at, visit.now)) } td { (when_or(key.last_used_at, visit.now, "never")) }
                        td.number { (button(visit, &action, &[("do", "revoke"), ("id", &key.id)], "small danger", "Revoke")) }
                    }
                } }
            } }
        }
        details.card open[keys.is_empty()] {
            summary { "Make a key" }
            form method="post" action=(action) {
                (csrf(visit))
                input type="hidden" name="do" value="create";
                label { "Name" input name="name" required maxlength="200" placeholder="backend"; span.hint { "Which program uses it." } }
                label { "Scope" select name="scope" { @for (scope, what) in SCOPES { option value=(scope) { (what) } } } }
                button.primary { "Make a key" }
            }
        }
    }
}

pub(in super::super) async fn change_key(visit: Visit) -> Answer {
    match visit.field("do") {
        "create" => {
            let made = visit.keys().create(visit.field("name"), visit.field("scope").parse()?).await?;
            // No redirect: the key is in this answer, and nowhere else.
            show(&visit, Some(made.secret.expose()), None).await
        }
        "revoke" => {
            visit.keys().revoke(visit.field("id")).await?;
            visit.done(visit.to(["environment"]), "The key is revoked: nobody gets in with it from now on.")
        }
        _ => Err(ApiError::bad("invalid_body", "there is no such button: open the page again")),
    }
}
