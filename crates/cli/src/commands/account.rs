//! Options of commands that use an API: the template's name, the account, the token.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use clap::Args;
use highwater::engine::Credentials;
use highwater::engine::credentials::OAuthTokens;
use highwater::template::auth::{AuthKind, CredentialKind};
use highwater::template::{Provider, TemplateInfo};
use highwater::{ConnectionSettings, Engine, Error, ErrorKind, MemoryStore, Result, Secret, Store};

use crate::args::values::key_value;
use crate::catalogue::CatalogueOptions;

/// The id of a connection that exists only during the command.
pub(super) const CONNECTION: &str = "dryrun";

/// The account of an API, and how to sign in to it.
#[derive(Debug, Args)]
pub(super) struct AccountOptions {
    /// Settings: `owner=rust-lang,repo=cargo`.
    #[arg(long, value_delimiter = ',', value_parser = key_value)]
    pub(super) config: Vec<(String, String)>,
    /// The API's base URL, if it is not the usual one.
    #[arg(long)]
    pub(super) base_url: Option<String>,
    /// The environment variable that holds the token, `name:password` if the API needs these, or the text of a service
    /// account's key file.
    #[arg(long, value_name = "NAME")]
    pub(super) token_env: Option<String>,
}

/// The error for an unknown template: it lists the provider's templates, or else the providers.
pub(super) fn no_such_template<'i>(wanted: &str, templates: impl Iterator<Item = &'i TemplateInfo>) -> Error {
    let provider = wanted.split('/').next().unwrap_or_default();
    let mut ids: Vec<(String, String)> = templates.map(|info| (info.provider.name.clone(), info.id())).collect();
    ids.sort();
    let of_provider: Vec<String> =
        ids.iter().filter(|(name, _)| name == provider).map(|(_, id)| id.replace('/', " ")).collect();
    let error =
        Error::new(ErrorKind::NotFound, "no such template; `highwater templates` lists them").with("template", wanted);
    if of_provider.is_empty() {
        ids.dedup_by(|one, other| one.0 == other.0);
        let providers: Vec<String> = ids.into_iter().map(|(name, _)| name).collect();
        return error.with("providers", providers.join(", "));
    }
    error.with("known", of_provider.join(", "))
}

/// The id of a connection that nobody named: one per provider and settings, so that two repositories do not share a stream.
pub(super) fn connection_id(provider: &str, config: &[(String, String)]) -> String {
    let mut parts = vec![provider];
    parts.extend(config.iter().map(|(_, value)| value.as_str()));
    let id: String =
        parts.join("-").chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    id.chars().take(180).collect()
}

/// The token or secret in an environment variable.
pub(super) fn read_token(variable: &str) -> Result<Secret> {
    match std::env::var(variable) {
        Ok(token) if !token.trim().is_empty() => Ok(Secret::new(token.trim())),
        _ => Err(Error::new(
            ErrorKind::Invalid,
            format!("the environment variable is not set: export {variable}=..., or name another"),
        )),
    }
}

/// The longest secret that is read from standard input, in bytes.
const LONGEST: u64 = 64 * 1024;

/// A secret from standard input.
pub(super) fn read_stdin(what: &str) -> Result<Secret> {
    let mut text = String::new();
    std::io::stdin().lock().take(LONGEST).read_to_string(&mut text).map_err(|source| {
        Error::new(ErrorKind::Invalid, format!("the {what} cannot be read from standard input")).because(source)
    })?;
    match text.trim() {
        "" => {
            let message = format!("there is no {what} on standard input: pipe it into the command");
            Err(Error::new(ErrorKind::Invalid, message))
        }
        secret => Ok(Secret::new(secret)),
    }
}

/// A token, name and password for an API with Basic auth, or a service account's key file.
pub(super) fn credentials(provider: &Provider, token: &Secret) -> Result<Credentials> {
    let takes = |wanted| provider.auth.iter().any(|kind| kind.credential() == wanted);
    if token.expose().starts_with('{') && takes(CredentialKind::ServiceAccount) {
        return OAuthTokens::service_account(token).map(Credentials::oauth2);
    }
    let first = provider.auth.iter().find(|kind| kind.oauth2().is_none());
    Ok(match (first.map(AuthKind::credential), token.expose().split_once(':')) {
        (Some(CredentialKind::NameAndPassword), Some((name, password))) => {
            Credentials::basic(name, Secret::new(password))
        }
        // No API's token has others, and an invisible one of a copied text would fail as a wrong token.
        _ if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) => {
            let message =
                "the token has a space, a line break or an invisible character in it: copy it again, whole and alone";
            return Err(Error::new(ErrorKind::Invalid, message).with("provider", &provider.name));
        }
        _ => Credentials::token(token.clone()),
    })
}

/// How to get a token for a template that cannot work without one.
pub(super) fn needs_token(info: &TemplateInfo) -> Error {
    let help = info.provider.auth.iter().filter(|kind| kind.oauth2().is_none()).find_map(AuthKind::help);
    let message = "the template needs a token: `highwater connect` stores one, or put one into an environment variable and add --token-env NAME";
    Error::new(ErrorKind::Unauthorized, message)
        .with("template", info.id())
        .with("token", help.unwrap_or("see the API's documentation"))
}

/// An engine over a store in memory, with one connection to the provider.
pub(super) async fn engine(
    provider: &str,
    options: &AccountOptions,
    catalogue: &CatalogueOptions,
) -> Result<(Engine, Arc<dyn Store>)> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new()?);
    let engine = catalogue.builder(&store)?.build()?;
    if !engine.providers().any(|known| known.name == provider) {
        return Err(match (catalogue.provider()?, &catalogue.provider_file) {
            (Some(described), Some(file)) => {
                Error::new(ErrorKind::Invalid, "the file describes another provider: name that one")
                    .with("file", file.display())
                    .with("provider", described.name)
                    .with("given", provider)
            }
            _ => no_such_template(provider, engine.templates()),
        });
    }
    connect(&engine, provider, options).await?;
    Ok((engine, store))
}

/// Makes the connection, with the token that the options name.
async fn connect(engine: &Engine, provider: &str, options: &AccountOptions) -> Result<()> {
    let mut settings = ConnectionSettings::new(CONNECTION, provider);
    settings.base_url.clone_from(&options.base_url);
    settings.config = options.config.iter().cloned().collect::<BTreeMap<_, _>>();
    engine.connect(settings).await?;
    if let Some(name) = &options.token_env {
        let token = read_token(name)?;
        if let Some(provider) = engine.providers().find(|known| known.name == provider) {
            engine.use_credentials(CONNECTION, credentials(provider, &token)?);
        }
    }
    Ok(())
}
