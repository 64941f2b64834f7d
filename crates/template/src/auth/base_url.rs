//! Base URLs that an API tells after a sign-in.

use serde::Serialize;
use serde_json::Value;

use crate::http::HttpResponse;
use highwater_core::{Error, ErrorKind, Result};

/// Sites that an error names, and characters of each.
const MOST_SITES: usize = 20;
const LONGEST_URL: usize = 100;

/// A base URL that comes with the tokens, such as `instance_url` of Salesforce's token responses and `api_domain` of Zoho's.
///
/// ```
/// use highwater_template::auth::TokenBaseUrl;
/// let base_url = TokenBaseUrl::new("api_domain").path("/crm/v8");
/// assert_eq!(base_url.of("https://www.zohoapis.eu/"), "https://www.zohoapis.eu/crm/v8");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TokenBaseUrl {
    /// The member of the token response that has it.
    pub member: String,
    /// What follows it in the base URL; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
}

impl TokenBaseUrl {
    /// Names the member of the token response.
    pub fn new(member: impl Into<String>) -> Self {
        TokenBaseUrl { member: member.into(), path: String::new() }
    }

    /// Sets what follows it in the base URL.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Returns the base URL for what the member says.
    pub fn of(&self, told: &str) -> String {
        format!("{}{}", told.trim_end_matches('/'), self.path)
    }
}

/// A request that tells at which base URL an access token is valid, for APIs that name a site by its id there. The response is an
/// array of sites, in any order: the one that the connection's settings lead to counts, never simply the first.
///
/// ```
/// use highwater_template::HttpResponse;
/// use highwater_template::auth::BaseUrlLookup;
/// let lookup = BaseUrlLookup::new("https://api.a.example/sites", "/url", "/id", "https://api.a.example/site/{id}");
/// let response = HttpResponse::new(200, Vec::new(), r#"[{"id": "7", "url": "https://acme.a.example"}]"#);
/// assert_eq!(lookup.find(&response, "https://acme.a.example")?, "https://api.a.example/site/7");
/// # Ok::<(), highwater_template::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BaseUrlLookup {
    /// The URL of the request, at one of the provider's origins.
    pub url: String,
    /// Where a site has its usual base URL, as a JSON pointer.
    pub site: String,
    /// Where a site has its id, as a JSON pointer.
    pub id: String,
    /// The base URL; `{id}` stands for the site's id.
    pub base_url: String,
}

impl BaseUrlLookup {
    /// What stands for the site's id in [`base_url`](BaseUrlLookup::base_url).
    pub(crate) const ID: &str = "{id}";

    /// Describes the request.
    pub fn new(
        url: impl Into<String>,
        site: impl Into<String>,
        id: impl Into<String>,
        base_url: impl Into<String>,
    ) -> Self {
        BaseUrlLookup { url: url.into(), site: site.into(), id: id.into(), base_url: base_url.into() }
    }

    /// Returns the base URL of the site whose usual base URL is `usual`.
    ///
    /// # Errors
    ///
    /// What the status means ([`HttpResponse::error_for_status`]), [`ErrorKind::NotFound`] if the sign-in does not include the site,
    /// and [`ErrorKind::Remote`] for a response of another shape.
    pub fn find(&self, response: &HttpResponse, usual: &str) -> Result<String> {
        let response = response.clone().error_for_status()?;
        let unusable = || response.error(ErrorKind::Remote, "the API did not tell the sites of the sign-in");
        let sites: Vec<Value> = serde_json::from_slice(&response.body).map_err(|_| unusable())?;
        let text = |site: &Value, pointer: &str| site.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let same = |url: &str| url.trim_end_matches('/').eq_ignore_ascii_case(usual.trim_end_matches('/'));
        let Some(site) = sites.iter().find(|site| text(site, &self.site).is_some_and(|url| same(&url))) else {
            let known = sites.iter().filter_map(|site| text(site, &self.site)).take(MOST_SITES);
            let known: Vec<String> = known.map(|url| url.chars().take(LONGEST_URL).collect()).collect();
            let message =
                "the sign-in does not include this site: choose one of those that the user allowed, or sign in again";
            let error = Error::new(ErrorKind::NotFound, message).with("site", usual);
            return Err(error.with("allowed", known.join(", ")));
        };
        let id = text(site, &self.id).ok_or_else(unusable)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.is_empty() || id.len() > LONGEST_URL || !id.chars().all(plain) {
            return Err(unusable());
        }
        Ok(self.base_url.replace(Self::ID, &id))
    }
}
