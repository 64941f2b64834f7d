//! What is known of a connection, and the host's own data about it: name, end user, tags and metadata.

use std::collections::BTreeMap;

use highwater_engine::ConnectionSettings;
use highwater_engine::connections::{ConnectionHealth, ConnectionState, EndUser};
use maud::{Markup, html};

use super::super::frame::{csrf, fact};
use super::super::visit::{Answer, Visit};
use super::super::words::{cut, when, when_or};
use crate::error::ApiError;
use crate::keys::Scope;

pub(super) fn facts(visit: &Visit, connection: &ConnectionState) -> Markup {
    let settings = &connection.settings;
    let text = |text: &str| html! { (cut(text, 200)) };
    let account = connection.account.name.as_ref().or(connection.account.id.as_ref());
    html! {
        aside.side aria-label="About the connection" { dl {
            (fact("Id", &html! { code data-copy="the id" title=(settings.id) { (cut(&settings.id, 60)) } }))
            @match &settings.integration {
                Some(key) => { (fact("Integration", &html! { a href=(visit.to(["integrations", key])) { (cut(key, 80)) } })) },
                None => { (fact("Provider", &text(&settings.provider))) },
            }
            @if let Some(account) = account { (fact("Account at the API", &text(account))) }
            @match &connection.health {
                ConnectionHealth::Expiring { at } => { (fact("Access ends", &when(*at, visit.now))) },
                ConnectionHealth::NeedsSignIn { since, .. } | ConnectionHealth::Revoked { since } => { (fact("Not well since", &when(*since, visit.now))) },
                _ => {},
            }
            @if let Some(user) = &settings.end_user {
                (fact("End user", &html! { (cut(&user.id, 200)) @if let Some(email) = &user.email { div { (cut(email, 200)) } } @if let Some(of) = &user.organisation { div.quiet { (cut(of, 200)) } } }))
            }
            @if !settings.tags.is_empty() {
                (fact("Tags", &html! { @for (name, value) in &settings.tags { div { (cut(name, 64)) "=" (cut(value, 200)) } } }))
            }
            @if let Some(url) = &settings.base_url { (fact("Base URL", &text(url))) }
            @for (name, value) in &settings.config { (fact(&cut(name, 60), &text(value))) }
            (fact("Connected", &when_or(connection.created_at, visit.now, "at an unknown time")))
            (fact("Last fetched", &when_or(connection.last_fetched_at, visit.now, "never")))
        } }
    }
}

/// The forms that change it.
pub(super) fn forms(visit: &Visit, connection: &ConnectionState) -> Markup {
    html! {
        @if visit.may(Scope::Write) { (notes(visit, &connection.settings)) }
        (metadata(visit, connection))
    }
}

fn notes(visit: &Visit, settings: &ConnectionSettings) -> Markup {
    let user = settings.end_user.clone().unwrap_or_default();
    let tags: Vec<String> = settings.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    html! {
        details.card {
            summary { "Name, end user and tags" }
            form method="post" action=(visit.to(["connections", &settings.id, "about"])) {
                (csrf(visit))
                label { "Display name" input name="display_name" value=(text(&settings.display_name)) maxlength="255"; }
                label { "End user" input name="user" value=(user.id) maxlength="255"; span.hint { "Your own id of whoever the account belongs to." } }
                label { "Mail address" input name="email" type="email" value=(text(&user.email)) maxlength="254"; }
                label { "Organisation" input name="organisation" value=(text(&user.organisation)) maxlength="255"; }
                label { "Tags" textarea name="tags" rows="3" spellcheck="false" placeholder="plan=team" { (tags.join("\n")) } span.hint { "One name=value on each line." } }
                button.primary { "Save" }
            }
        }
    }
}

pub(in super::super) async fn set_about(visit: Visit) -> Answer {
    let id = visit.path("id");
    let user = visit.optional("user").map(|user| {
        let mut user = EndUser::new(user);
        user.email = visit.optional("email").map(str::to_owned);
        user.organisation = visit.optional("organisation").map(str::to_owned);
        user
    });
    if user.is_none() && (visit.optional("email").is_some() || visit.optional("organisation").is_some()) {
        return Err(ApiError::bad(
            "invalid_body",
            "the end user has no id: give one, or leave the mail address and the organisation out",
        ));
    }
    let lines = visit.field("tags").lines().map(str::trim).filter(|line| !line.is_empty());
    let tags: Option<BTreeMap<String, String>> = lines
        .map(|line| line.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())))
        .collect();
    let tags = tags.ok_or_else(|| {
        ApiError::bad("invalid_body", "each line of the tags is name=value: correct the one without =")
    })?;
    let name = visit.optional("display_name").map(str::to_owned);
    let change = |mut settings: ConnectionSettings| {
        settings.display_name.clone_from(&name);
        settings.end_user.clone_from(&user);
        settings.tags.clone_from(&tags);
        settings
    };
    visit.engine().update_connection(id, change).await?;
    visit.done(visit.to(["connections", id]), "Saved.")
}

fn metadata(visit: &Visit, connection: &ConnectionState) -> Markup {
    let metadata = &connection.settings.metadata;
    let text = serde_json::to_string_pretty(metadata).unwrap_or_default();
    html! {
        details.card open[!metadata.is_empty()] {
            summary { "Metadata" }
            p.hint { "Your program's own JSON, which templates and actions can read. At most 64 KiB; no secrets." }
            @if visit.may(Scope::Write) {
                form method="post" action=(visit.to(["connections", &connection.settings.id, "metadata"])) {
                    (csrf(visit))
                    label { span.hidden { "Metadata as JSON" } textarea name="metadata" rows="6" spellcheck="false" { (text) } }
                    button { "Save the metadata" }
                }
            } @else { pre { (text) } }
        }
    }
}

pub(in super::super) async fn set_metadata(visit: Visit) -> Answer {
    let id = visit.path("id");
    let metadata = serde_json::from_str(visit.field("metadata")).map_err(|error| {
        ApiError::bad("invalid_body", format!("the metadata is not JSON ({error}): go back and correct it"))
    })?;
    visit.engine().set_metadata(id, metadata).await?;
    visit.done(visit.to(["connections", id]), "The metadata is saved.")
}
