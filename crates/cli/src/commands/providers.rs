//! `highwater providers`

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use highwater::template::Provider;
use highwater::template::auth::CredentialKind;
use highwater::{Error, ErrorKind, Result};

use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct ProvidersOptions {
    #[command(subcommand)]
    command: Option<ProvidersCommand>,
}

#[derive(Debug, Subcommand)]
enum ProvidersCommand {
    /// List the providers (the default).
    List,
    /// Show one provider and how to sign in.
    Show {
        /// The name, such as `github`.
        name: String,
    },
    /// Check a YAML file that describes a provider.
    Check {
        /// The file.
        file: PathBuf,
    },
}

pub(crate) fn run(options: &ProvidersOptions, output: &Output) -> Result<()> {
    match &options.command {
        None | Some(ProvidersCommand::List) => {
            for provider in all().values() {
                output.object("provider", provider);
                output.line(format!("{:16} {}", provider.name, provider.docs));
            }
            output.line("Details: highwater providers show NAME");
            Ok(())
        }
        Some(ProvidersCommand::Show { name }) => {
            let providers = all();
            let provider = providers.get(name).ok_or_else(|| {
                Error::new(ErrorKind::NotFound, "no such provider; `highwater providers` lists them")
                    .with("provider", name)
                    .with("known", providers.keys().cloned().collect::<Vec<_>>().join(", "))
            })?;
            show(provider, output);
            Ok(())
        }
        Some(ProvidersCommand::Check { file }) => {
            show(&highwater::provider_file::read(file)?, output);
            Ok(())
        }
    }
}

/// The providers of the catalogue, by name.
fn all() -> BTreeMap<String, Provider> {
    let of_templates = highwater::templates::all();
    of_templates.iter().map(|template| &template.info().provider).map(|one| (one.name.clone(), one.clone())).collect()
}

fn show(provider: &Provider, output: &Output) {
    output.object("provider", provider);
    output.line(format!("{}: {}", provider.name, provider.docs));
    output.line(format!("  API       {}", provider.base_url));
    for key in &provider.config {
        let need = key.default.as_ref().map_or("required".to_owned(), |default| format!("default {default}"));
        output.line(format!("  config    {} ({need}): {}", key.name, key.help));
    }
    tell_sign_in(provider, &[], output);
}

/// Prints how to sign in at a provider, with the scopes that a template needs beside the provider's.
pub(super) fn tell_sign_in(provider: &Provider, scopes: &[String], output: &Output) {
    for kind in &provider.auth {
        let what = match kind.credential() {
            CredentialKind::Token => "token",
            CredentialKind::NameAndPassword => "name and password",
            CredentialKind::OAuth2 => "OAuth 2",
            CredentialKind::ServiceAccount => "service account",
            CredentialKind::GitHubApp => "GitHub App",
        };
        output.line(format!("  sign-in   {what}: {}", kind.help().unwrap_or("see the API's documentation")));
        if let Some(page) = kind.page_url() {
            output.line(format!("            at {page}"));
        }
        let Some(oauth) = kind.oauth2() else { continue };
        output.line(format!("            {}", oauth.desktop.description()));
        if oauth.device_url.is_some() {
            output.line("            the device flow works");
        }
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let scopes = oauth.scopes_with(&scopes);
        if !scopes.is_empty() {
            output.line(format!("            scopes {}", scopes.join(" ")));
        }
    }
    if !provider.auth.iter().any(|kind| kind.oauth2().is_some()) && !scopes.is_empty() {
        output.line(format!("  scopes    {}", scopes.join(" ")));
    }
    if let Some(verification) = &provider.verification {
        output.line(format!("  account   from {} {}", verification.method, verification.path));
    }
}
