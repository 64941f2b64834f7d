//! The description of an API: where it is, how to sign in, how it limits requests.

use std::collections::BTreeMap;

use serde::Serialize;

use super::actions::ActionInfo;
use super::auth::{AuthKind, BaseUrlLookup, ExpiredTokenText, OAuth2};
use super::info::{ConfigKey, TemplateInfo, fill_in};
use super::limits::RateLimits;
use super::paging::Lists;
use super::verification::Verification;
use super::webhooks::{WebhookRecipient, WebhookScheme};
use highwater_core::Result;

/// The description of an API: what its templates and actions have in common.
///
/// ```
/// use highwater_template::auth::AuthKind;
/// use highwater_template::Provider;
///
/// let provider = Provider::new("acme", "https://{site}.acme.example/api")
///     .auth(AuthKind::bearer("a personal token, from Settings > API"))
///     .header("accept", "application/json");
/// assert_eq!(provider.template("users").id(), "acme/users");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Provider {
    /// The name, such as `github`.
    pub name: String,
    /// The base URL, unless a connection sets another. `{setting}` stands for a setting's value.
    pub base_url: String,
    /// URLs at which the API answers beside the base URL (`https://uploads.acme.example`), with `{setting}` too. Requests
    /// and credentials go to these origins and to that of the base URL, nowhere else.
    pub origins: Vec<String>,
    /// Ways to sign in. A token goes by the first that takes one.
    pub auth: Vec<AuthKind>,
    /// Headers of every request.
    pub headers: Vec<(String, String)>,
    /// How the API limits the rate of requests.
    pub limits: RateLimits,
    /// The URL of the API's documentation.
    pub docs: String,
    /// How the API signs webhooks, if its templates take them.
    pub webhooks: Option<WebhookScheme>,
    /// How a webhook tells for which connection it is.
    #[serde(skip_serializing_if = "WebhookRecipient::is_address")]
    pub webhook_recipient: WebhookRecipient,
    /// Texts that say that the access token has expired, beside a 401.
    #[serde(rename = "token_ends", skip_serializing_if = "Vec::is_empty")]
    pub expired_token_texts: Vec<ExpiredTokenText>,
    /// Settings that its URLs need, beside those of its templates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<ConfigKey>,
    /// How most of its lists are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lists: Option<Lists>,
    /// The request that tells whose account a connection is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
}

impl Provider {
    /// Describes an API at `base_url`.
    pub fn new(name: impl Into<String>, base_url: impl Into<String>) -> Self {
        Provider {
            name: name.into(),
            base_url: base_url.into(),
            origins: Vec::new(),
            auth: Vec::new(),
            headers: Vec::new(),
            limits: RateLimits::default(),
            docs: String::new(),
            webhooks: None,
            webhook_recipient: WebhookRecipient::default(),
            expired_token_texts: Vec::new(),
            config: Vec::new(),
            lists: None,
            verification: None,
        }
    }

    /// Adds a setting that its URLs need.
    #[must_use]
    pub fn config(mut self, key: ConfigKey) -> Self {
        self.config.push(key);
        self
    }

    /// Sets how most of its lists are read.
    #[must_use]
    pub fn lists(mut self, lists: Lists) -> Self {
        self.lists = Some(lists);
        self
    }

    /// Sets the request that tells whose account a connection is.
    #[must_use]
    pub fn verification(mut self, verification: Verification) -> Self {
        self.verification = Some(verification);
        self
    }

    /// Treats a response whose text at the JSON pointer is `value`, whatever its status, as the answer to an expired access token.
    /// The token is refreshed once, and the request is sent again. A 401, and `WWW-Authenticate: Bearer error="invalid_token"`,
    /// always count as one.
    #[must_use]
    pub fn expired_token_text(mut self, pointer: impl Into<String>, value: impl Into<String>) -> Self {
        self.expired_token_texts.push(ExpiredTokenText::new(pointer.into(), value.into()));
        self
    }

    /// Sets how the API signs webhooks.
    #[must_use]
    pub fn webhooks(mut self, scheme: WebhookScheme) -> Self {
        self.webhooks = Some(scheme);
        self
    }

    /// Sets how a webhook tells for which connection it is. Without it, the address of the webhook names the connection.
    #[must_use]
    pub fn webhook_recipient(mut self, recipient: WebhookRecipient) -> Self {
        self.webhook_recipient = recipient;
        self
    }

    /// Adds an origin to which requests and credentials may go.
    #[must_use]
    pub fn origin(mut self, url: impl Into<String>) -> Self {
        self.origins.push(url.into());
        self
    }

    /// Adds a way to sign in.
    #[must_use]
    pub fn auth(mut self, kind: AuthKind) -> Self {
        self.auth.push(kind);
        self
    }

    /// Adds a header to every request.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets how the API limits the rate of requests.
    #[must_use]
    pub fn limits(mut self, limits: RateLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the URL of the API's documentation.
    #[must_use]
    pub fn docs(mut self, url: impl Into<String>) -> Self {
        self.docs = url.into();
        self
    }

    /// Returns the description of OAuth 2 at the API, if it is a way to sign in.
    pub fn oauth2(&self) -> Option<&OAuth2> {
        self.auth.iter().find_map(AuthKind::oauth2)
    }

    /// Returns the API's URLs with the settings filled in, the base URL first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if a setting is missing, or has characters other than letters,
    /// digits, `-`, `_` and `.`.
    pub fn urls(&self, config: &BTreeMap<String, String>) -> Result<Vec<String>> {
        std::iter::once(&self.base_url).chain(&self.origins).map(|url| fill_in(url, config)).collect()
    }

    /// Returns the provider with the settings filled in, in each of its URLs: for a sign-in at an API whose address a setting names.
    /// A setting that is not in `config` has its default.
    ///
    /// ```
    /// use highwater_template::auth::{AuthKind, DesktopSignIn, OAuth2};
    /// use highwater_template::{ConfigKey, Provider};
    ///
    /// let oauth = OAuth2::new("https://{host}/oauth/authorize", "https://{host}/oauth/token", DesktopSignIn::PkcePublic);
    /// let provider = Provider::new("forge", "https://{host}/api")
    ///     .config(ConfigKey::with_default("host", "the server's name", "forge.example"))
    ///     .auth(AuthKind::OAuth2(oauth));
    /// let filled = provider.filled_in(&Default::default())?;
    /// assert_eq!(filled.oauth2().unwrap().token_url, "https://forge.example/oauth/token");
    /// # Ok::<(), highwater_template::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`urls`](Provider::urls).
    pub fn filled_in(&self, config: &BTreeMap<String, String>) -> Result<Provider> {
        let mut filled = self.clone();
        let mut config = config.clone();
        for key in &self.config {
            if let Some(default) = &key.default {
                config.entry(key.name.clone()).or_insert_with(|| default.clone());
            }
        }
        let mut fill = |url: &mut String| fill_in(url, &config).map(|whole| *url = whole);
        fill(&mut filled.base_url)?;
        filled.origins.iter_mut().try_for_each(&mut fill)?;
        for kind in &mut filled.auth {
            if let AuthKind::OAuth2(oauth) = kind {
                fill(&mut oauth.token_url)?;
                let optional = [&mut oauth.authorize_url, &mut oauth.device_url, &mut oauth.revocation_url];
                optional.into_iter().flatten().try_for_each(&mut fill)?;
                if let Some(lookup) = &mut oauth.base_url {
                    fill(&mut lookup.url)?;
                    let mut parts: Vec<String> = lookup.base_url.split(BaseUrlLookup::ID).map(str::to_owned).collect();
                    parts.iter_mut().try_for_each(&mut fill)?;
                    lookup.base_url = parts.join(BaseUrlLookup::ID);
                }
            }
        }
        Ok(filled)
    }

    /// Begins the description of one of its templates.
    pub fn template(&self, name: impl Into<String>) -> TemplateInfo {
        TemplateInfo::of(self.clone(), name)
    }

    /// Begins the description of one of its actions.
    pub fn action(&self, name: impl Into<String>) -> ActionInfo {
        ActionInfo::of(self.clone(), name)
    }
}
