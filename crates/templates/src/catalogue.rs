//! The catalogue as a page of Markdown: `docs/catalogue.md`.

use std::collections::BTreeMap;
use std::fmt::Write;

use highwater_template::auth::{AuthKind, CredentialKind, CredentialUse, DesktopSignIn};
use highwater_template::{Provider, SyncMode, TemplateInfo};

/// Returns the page, made from the templates' own descriptions.
pub fn catalogue() -> String {
    let templates = crate::all();
    let actions = crate::actions();
    let mut providers: BTreeMap<&str, (&Provider, Vec<&TemplateInfo>)> = BTreeMap::new();
    for template in &templates {
        let info = template.info();
        providers.entry(&info.provider.name).or_insert((&info.provider, Vec::new())).1.push(info);
    }
    let mut page =
        "# Catalogue\n\nGenerated from the code by `cargo xtask catalogue`; do not edit it by hand.\n".to_owned();
    let _ = writeln!(
        page,
        "\n{} APIs, {} syncs, {} actions. Records are stored as the API sends them, with every member; the typed models have \
         the ones most hosts want.",
        providers.len(),
        templates.len(),
        actions.len()
    );
    for (name, (provider, infos)) in providers {
        let _ = writeln!(page, "\n## {name}\n\n{}\n", provider.docs);
        let _ = writeln!(page, "* **Base URL** `{}`", provider.base_url);
        for kind in &provider.auth {
            let _ = writeln!(page, "* **Signs in** {}", sign_in(kind));
        }
        if let Some(verification) = &provider.verification {
            let path = verification.path.split('?').next().unwrap_or_default();
            let _ = writeln!(page, "* **Account** told by `{} {path}`", verification.method);
        }
        let _ = writeln!(page, "* **Limits** {}", limits(provider));
        let _ = writeln!(
            page,
            "\n| sync | models | changes | deletes | every | scopes | settings |\n|---|---|---|---|---|---|---|"
        );
        for info in infos {
            let models: Vec<&str> = info.models.iter().map(|model| model.name.as_str()).collect();
            let changes = match info.mode {
                SyncMode::Incremental => info.changes.as_str(),
                _ => "reads everything; unchanged records cost nothing",
            };
            let settings = info.config.iter().map(|key| match (&key.default, key.required) {
                (Some(default), _) => format!("`{}` ({}; `{default}` by default)", key.name, key.help),
                (None, true) => format!("**`{}`** ({})", key.name, key.help),
                (None, false) => format!("`{}` ({})", key.name, key.help),
            });
            let settings = settings.collect::<Vec<_>>().join("; ");
            let optional =
                if info.credentials == CredentialUse::Optional { " (public data without credentials)" } else { "" };
            let _ = writeln!(
                page,
                "| `{}`<br>{}{optional} | {} | {changes} | {} | {} s | {} | {settings} |",
                info.id(),
                info.description,
                models.join(", "),
                info.deletes,
                info.interval.as_secs(),
                scopes(info),
            );
        }
        let of_provider: Vec<_> =
            actions.iter().map(|action| action.info()).filter(|info| info.provider.name == name).collect();
        if !of_provider.is_empty() {
            let _ = writeln!(page, "\n| action | does | input |\n|---|---|---|");
        }
        for info in of_provider {
            let required: Vec<&str> = required(&info.input).collect();
            let members = info.input["properties"].as_object();
            let mut members: Vec<&String> = members.into_iter().flat_map(|members| members.keys()).collect();
            // Whether a JSON object keeps its order depends on the features that other crates choose.
            members.sort_unstable();
            let members = members.into_iter().map(|name| {
                if required.contains(&name.as_str()) { format!("**`{name}`**") } else { format!("`{name}`") }
            });
            let members = members.collect::<Vec<_>>().join(", ");
            let _ = writeln!(page, "| `{}` | {} | {members} |", info.id(), info.description);
        }
    }
    page
}

fn required(schema: &serde_json::Value) -> impl Iterator<Item = &str> {
    schema["required"].as_array().into_iter().flatten().filter_map(|name| name.as_str())
}

fn sign_in(kind: &AuthKind) -> String {
    let by = match kind.credential() {
        CredentialKind::Token => "a token",
        CredentialKind::NameAndPassword => "name and password",
        CredentialKind::OAuth2 => "OAuth 2",
        CredentialKind::ServiceAccount => "a service account",
        CredentialKind::GitHubApp => "a GitHub App",
    };
    let mut told = format!("with {by}: {}", kind.help().unwrap_or_default());
    if let Some(url) = kind.page_url() {
        let _ = write!(told, " (<{url}>)");
    }
    let Some(oauth) = kind.oauth2() else { return told };
    let _ = write!(told, "; {}", oauth.desktop.description());
    if oauth.device_url.is_some() && oauth.desktop != DesktopSignIn::Device {
        told.push_str("; the device flow works");
    }
    if oauth.revocation_url.is_some() {
        told.push_str("; a sign-in can be revoked");
    }
    told
}

/// The scopes that a token of OAuth 2 needs for a template.
fn scopes(info: &TemplateInfo) -> String {
    let of_template: Vec<&str> = info.scopes.iter().map(String::as_str).collect();
    let Some(oauth) = info.provider.oauth2() else { return String::new() };
    let scopes: Vec<String> = oauth.scopes_with(&of_template).iter().map(|scope| format!("`{scope}`")).collect();
    scopes.join(" ")
}

fn limits(provider: &Provider) -> String {
    let limits = &provider.limits;
    let mut told = vec!["429 and `Retry-After` are waited out".to_owned()];
    if let Some(rate) = limits.rate {
        told.insert(0, format!("at most {} requests in {} s", rate.requests, rate.period.as_secs_f64()));
    }
    for limit in &limits.statuses {
        let with = limit.body.as_ref().map(|text| format!(" with `{text}`")).unwrap_or_default();
        told.push(format!("so is {}{with}", limit.status));
    }
    for text in &limits.texts {
        told.push(format!("so is an answer of any status with `{}` at `{}`", text.value, text.pointer));
    }
    told.join("; ")
}
