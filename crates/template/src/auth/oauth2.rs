//! How OAuth 2 works at an API.

use serde::Serialize;

use super::{BaseUrlLookup, TokenBaseUrl};

/// How OAuth 2 works at an API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OAuth2 {
    /// The authorization endpoint, where the user agrees. `None` where only applications sign in, by client credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorize_url: Option<String>,
    /// The token endpoint.
    pub token_url: String,
    /// Scopes that the provider's templates need at least.
    pub scopes: Vec<String>,
    /// What stands between two scopes in a request. A space by default.
    pub scope_separator: String,
    /// How the client authenticates at the token endpoint. In the form by default.
    pub client: ClientAuth,
    /// What a desktop application, which cannot keep a secret, can do.
    pub desktop: DesktopSignIn,
    /// The device authorization endpoint (RFC 8628), where the API has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_url: Option<String>,
    /// The revocation endpoint (RFC 7009), where the API has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation_url: Option<String>,
    /// Parameters to add to the authorization URL, such as `access_type=offline`.
    pub authorize_parameters: Vec<(String, String)>,
    /// Parameters to add to each request for tokens, such as an `audience`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub token_parameters: Vec<(String, String)>,
    /// How the base URL is found after a sign-in, where it is another than for other ways to sign in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<Box<BaseUrlLookup>>,
    /// Where a token response tells the base URL, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_base_url: Option<Box<TokenBaseUrl>>,
    /// How an application is registered, in one line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub help: String,
    /// The URL of the page where an application is registered.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub page: String,
}

impl OAuth2 {
    /// Describes OAuth 2 with these two endpoints.
    pub fn new(authorize_url: impl Into<String>, token_url: impl Into<String>, desktop: DesktopSignIn) -> Self {
        OAuth2 {
            authorize_url: Some(authorize_url.into()),
            token_url: token_url.into(),
            scopes: Vec::new(),
            scope_separator: " ".to_owned(),
            client: ClientAuth::Body,
            desktop,
            device_url: None,
            revocation_url: None,
            authorize_parameters: Vec::new(),
            token_parameters: Vec::new(),
            base_url: None,
            token_base_url: None,
            help: String::new(),
            page: String::new(),
        }
    }

    /// Describes OAuth 2 at an API where only applications sign in, by client credentials.
    pub fn client_credentials(token_url: impl Into<String>) -> Self {
        OAuth2 { authorize_url: None, ..OAuth2::new("", token_url, DesktopSignIn::Broker) }
    }

    /// Adds a scope.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Sets what stands between two scopes in a request.
    #[must_use]
    pub fn scope_separator(mut self, separator: impl Into<String>) -> Self {
        self.scope_separator = separator.into();
        self
    }

    /// Sets how the client authenticates at the token endpoint.
    #[must_use]
    pub fn client(mut self, client: ClientAuth) -> Self {
        self.client = client;
        self
    }

    /// Sets the device authorization endpoint.
    #[must_use]
    pub fn device_url(mut self, url: impl Into<String>) -> Self {
        self.device_url = Some(url.into());
        self
    }

    /// Sets the revocation endpoint.
    #[must_use]
    pub fn revocation_url(mut self, url: impl Into<String>) -> Self {
        self.revocation_url = Some(url.into());
        self
    }

    /// Returns its own scopes and `others`, each once.
    ///
    /// ```
    /// use highwater_template::auth::{DesktopSignIn, OAuth2};
    /// let oauth = OAuth2::new("https://a.example/authorize", "https://a.example/token", DesktopSignIn::PkcePublic);
    /// assert_eq!(oauth.scope("read").scopes_with(&["write", "read"]), ["read", "write"]);
    /// ```
    pub fn scopes_with(&self, others: &[&str]) -> Vec<String> {
        let mut all = self.scopes.clone();
        for scope in others {
            if !all.iter().any(|known| known == scope) {
                all.push((*scope).to_owned());
            }
        }
        all
    }

    /// Adds a parameter to the authorization URL.
    #[must_use]
    pub fn authorize_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.authorize_parameters.push((name.into(), value.into()));
        self
    }

    /// Adds a parameter to each request for tokens.
    #[must_use]
    pub fn token_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.token_parameters.push((name.into(), value.into()));
        self
    }

    /// Sets how the base URL is found after a sign-in.
    #[must_use]
    pub fn base_url(mut self, lookup: BaseUrlLookup) -> Self {
        self.base_url = Some(Box::new(lookup));
        self
    }

    /// Sets where a token response tells the base URL.
    #[must_use]
    pub fn token_base_url(mut self, base_url: TokenBaseUrl) -> Self {
        self.token_base_url = Some(Box::new(base_url));
        self
    }

    /// Sets how an application is registered, in one line, and the URL of the page for it.
    #[must_use]
    pub fn registered(mut self, help: impl Into<String>, page: impl Into<String>) -> Self {
        (self.help, self.page) = (help.into(), page.into());
        self
    }

    /// Returns every URL that receives secrets of a sign-in.
    pub fn endpoints(&self) -> impl Iterator<Item = &str> {
        let optional = [&self.device_url, &self.revocation_url].into_iter().flatten();
        std::iter::once(&self.token_url).chain(optional).map(String::as_str)
    }
}

/// How a client authenticates at a token endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientAuth {
    /// `client_id` and `client_secret` in the form.
    #[default]
    Body,
    /// `Authorization: Basic`.
    Basic,
    /// `Authorization: Basic`, and the rest as a JSON object in place of a form.
    BasicWithJson,
}

/// What a desktop application can do to sign a user in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DesktopSignIn {
    /// Authorization code with PKCE over a loopback address, without a secret.
    PkcePublic,
    /// The same, but the API wants a client secret that is not secret (Google's desktop clients).
    PkceWithSecret,
    /// The device flow, without a secret.
    Device,
    /// Only with a server of the vendor that keeps the secret, or with a token that the user pastes.
    Broker,
}

impl DesktopSignIn {
    /// Returns what that means to a desktop application, in one line.
    pub fn description(self) -> &'static str {
        match self {
            DesktopSignIn::PkcePublic => "a desktop application needs no secret (PKCE)",
            DesktopSignIn::PkceWithSecret => "a desktop application ships a client secret that is not secret (PKCE)",
            DesktopSignIn::Device => "a desktop application needs no secret (device flow)",
            DesktopSignIn::Broker => {
                "the client secret has to stay on a server of yours; a desktop application takes a token instead"
            }
        }
    }
}
