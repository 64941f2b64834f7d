//! The ways to sign in.

use highwater_core::Result;
use highwater_template::auth::{AuthKind, BaseUrlLookup, ClientAuth, DesktopSignIn, OAuth2, TokenBaseUrl};

use crate::addresses::{Settings, page};
use crate::at;
use crate::fields::Fields;
use crate::provider::pointer;
use crate::tree::Node;

#[derive(Clone, Copy)]
enum Kind {
    Bearer,
    Header,
    Query,
    Basic,
    OAuth2,
    ServiceAccount,
    GitHubApp,
}

const KINDS: [(&str, Kind); 7] = [
    ("bearer", Kind::Bearer),
    ("header", Kind::Header),
    ("query", Kind::Query),
    ("basic", Kind::Basic),
    ("oauth2", Kind::OAuth2),
    ("service_account", Kind::ServiceAccount),
    ("github_app", Kind::GitHubApp),
];

const CLIENTS: [(&str, ClientAuth); 3] =
    [("body", ClientAuth::Body), ("basic", ClientAuth::Basic), ("basic_with_json", ClientAuth::BasicWithJson)];

const DESKTOPS: [(&str, DesktopSignIn); 4] = [
    ("pkce_public", DesktopSignIn::PkcePublic),
    ("pkce_with_secret", DesktopSignIn::PkceWithSecret),
    ("device", DesktopSignIn::Device),
    ("broker", DesktopSignIn::Broker),
];

/// Reads one way to sign in.
pub(crate) fn read(node: &Node, settings: &Settings<'_>) -> Result<AuthKind> {
    let fields = Fields::of(node, "an entry of `auth`")?;
    let Some(kind) = fields.word("kind", &KINDS)? else {
        let words: Vec<&str> = KINDS.iter().map(|(word, _)| *word).collect();
        return Err(at(fields.line(), format!("an entry of `auth` lacks `kind`: use one of {}", words.join(", "))));
    };
    let help = fields.text_or("help", "")?;
    let page = fields.placed("page")?.map(|(line, url)| page(line, "page", url)).transpose()?;
    let made = match kind {
        Kind::Bearer => AuthKind::bearer(help),
        Kind::Header => {
            let name = fields.text("name")?;
            check_header(fields.line(), &name)?;
            AuthKind::header(name, fields.text_or("prefix", "")?, help)
        }
        Kind::Query => AuthKind::query(fields.text("name")?, help),
        Kind::Basic => AuthKind::basic(help),
        Kind::OAuth2 => AuthKind::OAuth2(oauth2(&fields, settings, help)?),
        Kind::ServiceAccount => AuthKind::service_account(help),
        Kind::GitHubApp => AuthKind::github_app(help),
    };
    fields.end()?;
    Ok(page.into_iter().fold(made, AuthKind::page))
}

fn oauth2(fields: &Fields<'_>, settings: &Settings<'_>, help: String) -> Result<OAuth2> {
    let url = |key: &'static str| fields.placed(key)?.map(|(line, url)| settings.url(line, key, url)).transpose();
    let Some(token_url) = url("token_url")? else {
        return Err(at(fields.line(), "the `oauth2` entry of `auth` lacks `token_url`: add it"));
    };
    let desktop = fields.word("desktop", &DESKTOPS)?;
    let device_url = url("device_url")?;
    if desktop == Some(DesktopSignIn::Device) && device_url.is_none() {
        return Err(at(fields.line(), "`desktop: device` needs `device_url`: add it"));
    }
    let mut oauth = match url("authorize_url")? {
        Some(authorize_url) => OAuth2::new(authorize_url, token_url, desktop.unwrap_or(DesktopSignIn::Broker)),
        None if desktop.is_some_and(|desktop| desktop != DesktopSignIn::Device) => {
            let message = "a sign-in of users needs `authorize_url`: add it, or leave `desktop` out where only applications sign in";
            return Err(at(fields.line(), message));
        }
        None => OAuth2::client_credentials(token_url),
    };
    if let Some(desktop) = desktop {
        oauth.desktop = desktop;
    }
    oauth.device_url = device_url;
    oauth.revocation_url = url("revocation_url")?;
    oauth.scopes = fields.texts("scopes")?.into_iter().map(|(_, scope)| scope).collect();
    oauth.scope_separator = separator(fields)?;
    oauth.client = fields.word("client", &CLIENTS)?.unwrap_or_default();
    let pairs = |key| Ok(fields.pairs(key)?.into_iter().map(|(_, name, value)| (name, value)).collect());
    oauth.authorize_parameters = pairs("authorize_parameters")?;
    oauth.token_parameters = pairs("token_parameters")?;
    oauth.base_url =
        fields.fields("base_url_lookup")?.map(|fields| lookup(fields, settings).map(Box::new)).transpose()?;
    oauth.token_base_url =
        fields.fields("token_base_url")?.map(|fields| token_base_url(fields).map(Box::new)).transpose()?;
    if let (Some(told), Some(_)) = (fields.find("token_base_url"), &oauth.base_url) {
        let message = "`token_base_url` and `base_url_lookup` both say where the tokens are valid: remove one";
        return Err(at(told.line, message));
    }
    oauth.help = help;
    Ok(oauth)
}

fn token_base_url(fields: Fields<'_>) -> Result<TokenBaseUrl> {
    let mut found = TokenBaseUrl::new(fields.text("member")?);
    if let Some((line, path)) = fields.placed("path")? {
        if !path.starts_with('/') || path.contains(['?', '#', '{']) {
            return Err(at(
                line,
                "`path` of `token_base_url` is what follows the URL that the API tells: write it as `/v1`",
            ));
        }
        found = found.path(path);
    }
    fields.end()?;
    Ok(found)
}

fn lookup(fields: Fields<'_>, settings: &Settings<'_>) -> Result<BaseUrlLookup> {
    let url = |key: &'static str, settings: &Settings<'_>| {
        let lacks = || at(fields.line(), format!("`base_url_lookup` lacks `{key}`: add it"));
        fields.placed(key)?.ok_or_else(lacks).and_then(|(line, url)| Ok((line, settings.url(line, key, url)?)))
    };
    let (_, asked) = url("url", settings)?;
    let with_id = Settings(settings.0.iter().copied().chain(["id"]).collect());
    let (line, base_url) = url("base_url", &with_id)?;
    if !base_url.contains("{id}") {
        return Err(at(
            line,
            "`base_url` of `base_url_lookup` lacks `{id}`, which stands for the site's id: write it where the id is",
        ));
    }
    let found = BaseUrlLookup::new(asked, pointer(&fields, "site")?, pointer(&fields, "id")?, base_url);
    fields.end()?;
    Ok(found)
}

/// The separator between scopes: usually a space, which does not count as empty here.
fn separator(fields: &Fields<'_>) -> Result<String> {
    let words = [("space", " "), ("comma", ","), (",", ","), ("plus", "+"), ("+", "+")];
    Ok(fields.word("scope_separator", &words)?.unwrap_or(" ").to_owned())
}

/// Refuses an invalid header name.
pub(crate) fn check_header(line: usize, name: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte);
    if name.bytes().all(fits) {
        return Ok(());
    }
    Err(at(line, format!("{name:?} is not the name of a header: use letters, digits and `-`")))
}
