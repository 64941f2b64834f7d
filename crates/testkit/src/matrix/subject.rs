//! The subject of a matrix: a template, and the API that it reads.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use highwater_engine::Credentials;
use highwater_engine::credentials::OAuthTokens;
use highwater_template::auth::{AuthKind, CredentialKind};
use highwater_template::{HttpResponse, Provider, Secret, Template};
use serde_json::Value;

use crate::fake::{FakeApi, FakeRequest};

/// The secret of every trial, as the engine holds it. A fake sees `token` in its place.
pub(super) const SECRET: &str = "hw-s3cret-9f4c1e7ab2";

/// The token that an OAuth token endpoint gives for [`REFRESH`].
pub(super) const RENEWED: &str = "hw-s3cret-renewed-51d0c8";

/// The refresh token of every trial.
pub(super) const REFRESH: &str = "hw-s3cret-refresh-77aa03";

/// Live records by model and id, each with a text that its stored payload contains and that changes with the record.
pub type Live = BTreeMap<(String, String), String>;

/// A fake API that a matrix can change between runs. Its records have to fill several pages, because most faults are faults of
/// paging.
pub trait TrialApi: FakeApi {
    /// Returns the live records, which the template has to have.
    fn live(&self) -> Live;

    /// Changes one record and adds one. `round` counts from 1, so that changes differ; the same round changes each new API in
    /// the same way.
    fn change(&mut self, round: u32);

    /// Deletes a record, another one in each round. Defaults to none, for APIs without deletes.
    fn delete(&mut self, _round: u32) {}

    /// Returns the time on the server's clock in Unix seconds, if it has one. Defaults to none.
    fn now_s(&self) -> Option<u64> {
        None
    }

    /// Sets the server's clock ahead to this time in Unix seconds.
    fn set_now_s(&mut self, _now_s: u64) {}
}

type Make = Arc<dyn Fn() -> Box<dyn TrialApi> + Send + Sync>;
type Answer = fn() -> HttpResponse;

/// A template, how to make the API that it reads, and what the API's responses look like.
#[derive(Clone)]
pub struct Subject {
    pub(super) template: Arc<dyn Template>,
    pub(super) make: Make,
    pub(super) make_tied: Option<Make>,
    pub(super) config: Vec<(String, String)>,
    pub(super) secrets: Vec<String>,
    pub(super) origins: Vec<String>,
    pub(super) ids_at: Vec<String>,
    pub(super) time_at: Option<String>,
    pub(super) holds_records: fn(&FakeRequest) -> bool,
    pub(super) lacks_empty_lists: bool,
    pub(super) lists_names: bool,
    pub(super) has_own_limits: bool,
    pub(super) root_object_is_record: bool,
    pub(super) incomplete: Option<fn(&mut Value)>,
    pub(super) limit_told: Option<Answer>,
    pub(super) token_end_told: Option<Answer>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Subject {
    /// Makes a subject of a template. `make` makes a new API for each trial.
    pub fn new<A: TrialApi>(template: Arc<dyn Template>, make: impl Fn() -> A + Send + Sync + 'static) -> Self {
        Subject {
            template,
            make: Arc::new(move || Box::new(make())),
            make_tied: None,
            config: Vec::new(),
            secrets: Vec::new(),
            origins: Vec::new(),
            ids_at: vec!["/id".to_owned()],
            time_at: None,
            holds_records: |_| true,
            lacks_empty_lists: false,
            lists_names: false,
            has_own_limits: false,
            root_object_is_record: false,
            incomplete: None,
            limit_told: None,
            token_end_told: None,
        }
    }

    /// Sets how to make the same API with one time of change for all records, for faults of equal times.
    #[must_use]
    pub fn with_ties<A: TrialApi>(mut self, make: impl Fn() -> A + Send + Sync + 'static) -> Self {
        self.make_tied = Some(Arc::new(move || Box::new(make())));
        self
    }

    /// Adds a setting of the connection.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.push((name.into(), value.into()));
        self
    }

    /// Names the secret settings of the template: each gets the secret of the trial.
    #[must_use]
    pub fn secrets(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.secrets.extend(names);
        self
    }

    /// Adds an origin that may get the secret, beside those of the provider.
    #[must_use]
    pub fn origin(mut self, url: impl Into<String>) -> Self {
        self.origins.push(url.into());
        self
    }

    /// Sets where a listed item has the id of its record, by JSON pointers; the first that an item has counts. Defaults to
    /// `/id`.
    #[must_use]
    pub fn ids_at<'p>(mut self, pointers: impl IntoIterator<Item = &'p str>) -> Self {
        self.ids_at = pointers.into_iter().map(str::to_owned).collect();
        self
    }

    /// Sets where a listed item has the time of its last change. Without it, faults of times do not apply.
    #[must_use]
    pub fn time_at(mut self, pointer: impl Into<String>) -> Self {
        self.time_at = Some(pointer.into());
        self
    }

    /// Sets which requests return records of the template's models. All by default.
    #[must_use]
    pub fn holds_records(mut self, holds_records: fn(&FakeRequest) -> bool) -> Self {
        self.holds_records = holds_records;
        self
    }

    /// Declares that the template itself decides what a limit is, how long it waits, and what a response without a list or a
    /// record without an id means, as a manifest does.
    #[must_use]
    pub fn has_own_limits(mut self) -> Self {
        self.has_own_limits = true;
        self
    }

    /// Declares that listed items only name records, which are then fetched one by one.
    #[must_use]
    pub fn lists_names_only(mut self) -> Self {
        self.lists_names = true;
        self
    }

    /// Declares that this API leaves an empty list out of a response, so that a list that is missing means an empty one.
    #[must_use]
    pub fn omits_empty_lists(mut self) -> Self {
        self.lacks_empty_lists = true;
        self
    }

    /// Sets how this API says in a response that a list is incomplete.
    #[must_use]
    pub fn marks_incomplete(mut self, mark: fn(&mut Value)) -> Self {
        self.incomplete = Some(mark);
        self
    }

    /// Sets the response by which this API reports a rate limit in a body.
    #[must_use]
    pub fn limit_response(mut self, answer: fn() -> HttpResponse) -> Self {
        self.limit_told = Some(answer);
        self
    }

    /// Sets the response by which this API reports an expired token without status 401.
    #[must_use]
    pub fn expired_token_response(mut self, answer: fn() -> HttpResponse) -> Self {
        self.token_end_told = Some(answer);
        self
    }

    /// Returns the template's id, such as `github/issues`.
    pub fn name(&self) -> String {
        self.template.info().id()
    }

    /// Runs the template against its API without a fault: a first run, an incremental run and a full refresh, with changes
    /// in between.
    ///
    /// # Errors
    ///
    /// A description of what is wrong. Trials mean nothing until that is fixed.
    pub fn check(&self) -> std::result::Result<(), String> {
        super::check(self)
    }

    pub(super) fn provider(&self) -> &Provider {
        &self.template.info().provider
    }

    /// The connection's settings, with the template's defaults.
    pub(super) fn settings(&self) -> BTreeMap<String, String> {
        let defaults = self.template.info().config.iter();
        let defaults = defaults.filter_map(|key| Some((key.name.clone(), key.default.clone()?)));
        defaults.chain(self.config.iter().cloned()).collect()
    }

    /// The token endpoint, where the provider signs in by OAuth alone.
    pub(super) fn token_url(&self) -> Option<&str> {
        let provider = self.provider();
        let others = provider.auth.iter().any(|kind| kind.credential() != CredentialKind::OAuth2);
        provider.oauth2().filter(|_| !others).map(|oauth| oauth.token_url.as_str())
    }

    /// Whether an expired token can be renewed without a person.
    pub(super) fn renews(&self) -> bool {
        self.token_url().is_some()
    }

    /// Credentials of the provider's own kind, with the trial's secrets.
    pub(super) fn credentials(&self) -> Credentials {
        let secret = || Secret::new(SECRET);
        let credentials = match self.provider().auth.first().map(AuthKind::credential) {
            Some(CredentialKind::NameAndPassword) => Credentials::basic("trial", secret()),
            _ if self.renews() => {
                let tokens = OAuthTokens::new("trial").client_secret(Secret::new("hw-s3cret-client-40"));
                Credentials::oauth2(tokens.access(secret(), None).refresh(Secret::new(REFRESH)))
            }
            None => Credentials::none(),
            _ => Credentials::token(secret()),
        };
        self.secrets.iter().fold(credentials, |credentials, name| credentials.secret(name, secret()))
    }
}
