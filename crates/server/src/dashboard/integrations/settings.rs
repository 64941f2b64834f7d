//! The settings of an integration: the application that users sign in to, its secrets, and its end.

use highwater_engine::integrations::DeleteMode;
use highwater_engine::{IntegrationSettings, Secret};
use maud::{Markup, html};

use super::super::frame::{button, csrf, fact};
use super::super::visit::{Answer, Visit};
use super::super::words::{Look, cut, state, when};
use super::part;
use crate::error::ApiError;
use crate::keys::Scope;
use crate::routes::incoming;

pub(in super::super) async fn settings(visit: Visit) -> Answer {
    let handle = visit.engine().integration(visit.path("key"))?;
    let settings = handle.settings().await?;
    let secret = |found: highwater_core::Result<Option<Secret>>| match found {
        Ok(Some(_)) => state(Look::Well, "set"),
        Ok(None) => state(Look::Off, "not set"),
        Err(_) => state(Look::Failed, "cannot be read"),
    };
    let (client, webhook) = (secret(handle.client_secret().await), secret(handle.webhook_secret().await));
    let provider = visit.engine().providers().find(|known| known.name == settings.provider);
    let takes = provider.is_some_and(|provider| provider.webhooks.is_some());
    let address = takes.then(|| incoming::address(&visit.origin, &settings.key));
    let lead = html! { "Where the API is, and the application that users sign in to." };
    let content = html! {
        div.split {
            div { @if visit.may(Scope::Admin) { (forms(&visit, &settings)) } @else { p.quiet { "Changing them needs a key of the scope admin." } } }
            aside.side aria-label="As they are" { dl {
                (fact("Key", &html! { code data-copy="the key" { (settings.key) } }))
                (fact("Provider", &html! { (settings.provider) }))
                (fact("Client secret", &client))
                (fact("Webhook secret", &webhook))
                @if let Some(address) = &address { (fact("Webhook address", &html! { code data-copy="the address" { (address) } })) }
                @for (name, value) in &settings.config { (fact(&cut(name, 60), &html! { (cut(value, 200)) })) }
                @if let Some(scopes) = scopes(&visit, &settings) { (fact("Scopes that its endpoints need", &scopes)) }
                (fact("Created", &when(settings.created_at, visit.now)))
                (fact("Changed", &when(settings.changed_at, visit.now)))
            } }
        }
    };
    Ok(part(&visit, &settings, lead, "settings").show(content))
}

/// The scopes that the provider's templates and actions need, and which of them does.
fn scopes(visit: &Visit, settings: &IntegrationSettings) -> Option<Markup> {
    let engine = visit.engine();
    let of_templates = engine.templates().filter(|info| info.provider.name == settings.provider);
    let of_actions = engine.actions().filter(|info| info.provider.name == settings.provider);
    let mut needed: Vec<(&str, &str)> = Vec::new();
    needed.extend(of_templates.flat_map(|info| info.scopes.iter().map(|scope| (scope.as_str(), info.name.as_str()))));
    needed.extend(of_actions.flat_map(|info| info.scopes.iter().map(|scope| (scope.as_str(), info.name.as_str()))));
    needed.sort_unstable();
    let mut scopes: Vec<&str> = needed.iter().map(|(scope, _)| *scope).collect();
    scopes.dedup();
    (!scopes.is_empty()).then(|| {
        html! {
            @for scope in scopes {
                @let users: Vec<&str> = needed.iter().filter(|(known, _)| *known == scope).map(|(_, user)| *user).collect();
                div { code { (scope) } " " span.hint { "for " (users.join(", ")) } }
            }
        }
    })
}

fn forms(visit: &Visit, settings: &IntegrationSettings) -> Markup {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let key = settings.key.as_str();
    html! {
        form.card method="post" action=(visit.to(["integrations", key, "settings"])) {
            (csrf(visit))
            label { "Display name" input name="display_name" value=(text(&settings.display_name)) maxlength="200"; }
            label { "Client id" input name="client_id" value=(text(&settings.client_id)) maxlength="2048" autocomplete="off"; span.hint { "Of the application that users sign in to." } }
            label { "Scopes" input name="scopes" value=(settings.scopes.join(" ")) autocomplete="off"; span.hint { "With spaces between them." } }
            label { "Base URL" input name="base_url" type="url" value=(text(&settings.base_url)) maxlength="2048"; span.hint { "Only where the API is not at its usual address." } }
            button.primary { "Save" }
        }
        form.card method="post" action=(visit.to(["integrations", key, "secret"])) {
            (csrf(visit))
            label { "Which secret" select name="which" { option value="client" { "Client secret" } option value="webhook" { "Webhook secret" } } }
            label { "New value" input name="secret" type="password" autocomplete="new-password"; span.hint { "It is kept encrypted, and shown to nobody. Empty removes it." } }
            button { "Set the secret" }
        }
        details.card {
            summary { "Delete the integration" }
            p { "Only an integration without connections can be deleted here. Its secrets go with it." }
            (button(visit, &visit.to(["integrations", key, "delete"]), &[], "danger", "Delete the integration"))
        }
    }
}

pub(in super::super) async fn update(visit: Visit) -> Answer {
    let key = visit.path("key");
    let text = |name: &str| visit.optional(name).map(str::to_owned);
    let scopes: Vec<String> = visit.field("scopes").split_whitespace().map(str::to_owned).collect();
    let change = |mut settings: IntegrationSettings| {
        settings.display_name = text("display_name");
        settings.client_id = text("client_id");
        settings.scopes.clone_from(&scopes);
        settings.public_base_url(text("base_url"))
    };
    visit.engine().integration(key)?.update(change).await?;
    visit.done(visit.to(["integrations", key, "settings"]), "Saved.")
}

pub(in super::super) async fn set_secret(visit: Visit) -> Answer {
    let key = visit.path("key");
    let handle = visit.engine().integration(key)?;
    let secret = visit.optional("secret").map(Secret::new);
    let done = if secret.is_some() { "The secret is set." } else { "The secret is removed." };
    match visit.field("which") {
        "client" => handle.set_client_secret(secret).await?,
        "webhook" => handle.set_webhook_secret(secret).await?,
        _ => return Err(ApiError::bad("invalid_body", "a secret is the client's or the webhook's: choose one")),
    }
    visit.done(visit.to(["integrations", key, "settings"]), done)
}

pub(in super::super) async fn delete(visit: Visit) -> Answer {
    visit.engine().integration(visit.path("key"))?.delete(DeleteMode::IfUnused).await?;
    visit.done(visit.to(["integrations"]), "The integration is deleted.")
}
