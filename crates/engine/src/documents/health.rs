//! How a connection stands with its API, and what changes that. Nothing here reads or writes the store.

use std::time::Duration;

use highwater_core::timestamp::unix_ms;
use highwater_core::{Error, ErrorKind, Timestamp};
use highwater_template::Account;
use serde::{Deserialize, Serialize};

/// How early a token that cannot be renewed counts as expiring, at most.
const EARLY: Duration = Duration::from_secs(7 * 24 * 3600);

/// And at most this part of its lifetime before: a quarter.
const EARLY_PART: u32 = 4;

/// A sign-in whose end nobody noted for this long was cut short.
const SIGN_IN: Duration = Duration::from_secs(60);

/// The longest error that is kept, in bytes.
const ERROR: usize = 1000;

/// How a connection stands with its API. It is stored: every process on the store sees the same, also after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConnectionHealth {
    /// Nothing is known to be wrong.
    #[default]
    Ok,
    /// The access token ends soon and nothing renews it: within 7 days, or within the last quarter of its lifetime where that
    /// is shorter.
    Expiring {
        /// When it ends.
        #[serde(rename = "at_ms", with = "unix_ms")]
        at: Timestamp,
    },
    /// The user has to sign in again. Until then syncs of the connection rest.
    NeedsSignIn {
        /// Why.
        reason: SignInReason,
        /// Since when.
        #[serde(rename = "since_ms", with = "unix_ms")]
        since: Timestamp,
    },
    /// The user or the API withdrew the access. Syncs rest until somebody signs in again.
    Revoked {
        /// Since when.
        #[serde(rename = "since_ms", with = "unix_ms")]
        since: Timestamp,
    },
}

impl ConnectionHealth {
    /// Returns which of the states it is.
    pub fn kind(&self) -> HealthKind {
        match self {
            ConnectionHealth::Ok => HealthKind::Ok,
            ConnectionHealth::Expiring { .. } => HealthKind::Expiring,
            ConnectionHealth::NeedsSignIn { .. } => HealthKind::NeedsSignIn,
            ConnectionHealth::Revoked { .. } => HealthKind::Revoked,
        }
    }

    /// Whether syncs of the connection rest until somebody signs in.
    pub fn needs_sign_in(&self) -> bool {
        matches!(self, ConnectionHealth::NeedsSignIn { .. } | ConnectionHealth::Revoked { .. })
    }

    pub(crate) fn reason(&self) -> Option<SignInReason> {
        match self {
            ConnectionHealth::NeedsSignIn { reason, .. } => Some(*reason),
            _ => None,
        }
    }
}

/// The name of a [`ConnectionHealth`], for filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HealthKind {
    /// Nothing is known to be wrong.
    #[default]
    Ok,
    /// The access token ends soon and nothing renews it.
    Expiring,
    /// The user has to sign in again.
    NeedsSignIn,
    /// The user or the API withdrew the access.
    Revoked,
}

impl HealthKind {
    /// Returns its name in JSON, such as `needs_sign_in`.
    pub const fn as_str(self) -> &'static str {
        match self {
            HealthKind::Ok => "ok",
            HealthKind::Expiring => "expiring",
            HealthKind::NeedsSignIn => "needs_sign_in",
            HealthKind::Revoked => "revoked",
        }
    }
}

/// Why somebody has to sign in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SignInReason {
    /// There are no credentials.
    NoCredentials,
    /// The API refused the credentials: a 401, or its own way to say so.
    Refused,
    /// The access token has ended, and nothing renews it.
    Expired,
    /// The API no longer takes the refresh token.
    RefreshRefused,
    /// The stored credentials were changed or damaged.
    Unreadable,
}

impl SignInReason {
    /// Returns its name in JSON, such as `refresh_refused`.
    pub const fn as_str(self) -> &'static str {
        match self {
            SignInReason::NoCredentials => "no_credentials",
            SignInReason::Refused => "refused",
            SignInReason::Expired => "expired",
            SignInReason::RefreshRefused => "refresh_refused",
            SignInReason::Unreadable => "unreadable",
        }
    }
}

/// What stands in the way of a connection's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Obstacle {
    NeedsSignIn(SignInReason),
    Revoked,
}

/// What using a connection's credentials showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The API took them.
    Accepted,
    /// It did not, or they could not be used at all.
    Failed(Obstacle),
}

/// Whether the credentials of a connection may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// Not before somebody signs in.
    Closed,
    /// Somebody is signing in. If nobody notes the end of that until then, the credentials are tried.
    ClosedUntil(Timestamp),
}

/// When an access token ends that nothing renews.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenEnd {
    #[serde(rename = "at_ms", with = "unix_ms")]
    at: Timestamp,
    /// When the connection starts to count as expiring.
    #[serde(rename = "told_from_ms", with = "unix_ms")]
    told_from: Timestamp,
}

impl TokenEnd {
    pub(crate) fn new(at: Timestamp, lifetime: Option<Duration>) -> Self {
        let early = lifetime.map_or(EARLY, |lifetime| EARLY.min(lifetime / EARLY_PART));
        TokenEnd { at, told_from: at - early }
    }
}

/// The document `health/<connection>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StoredHealth {
    /// Another number after each sign-in: an engine that knows an earlier one loads the credentials again.
    pub(crate) generation: u64,
    /// Somebody signed in since the connection was made.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    signed_in: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
    /// When a sign-in began whose end nobody noted yet: credentials may have been saved.
    #[serde(rename = "signing_in_ms", with = "unix_ms::option", skip_serializing_if = "Option::is_none")]
    signing_in: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_end: Option<TokenEnd>,
    /// Whose account it was when somebody last signed in or verified it.
    #[serde(skip_serializing_if = "Account::is_unknown")]
    account: Account,
    /// The health that was told last.
    told: HealthKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Problem {
    obstacle: Obstacle,
    #[serde(rename = "since_ms", with = "unix_ms")]
    since: Timestamp,
    error_kind: ErrorKind,
    error: String,
}

/// An error of a connection: what to act on, and a line for people without any secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConnectionError {
    /// What to act on.
    pub kind: ErrorKind,
    /// One line for people.
    pub message: String,
    /// The sync whose last run failed with it; none where it is about the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<String>,
}

impl StoredHealth {
    /// That of a connection that is new.
    pub(crate) fn first(now: Timestamp, chance: u16) -> Self {
        StoredHealth { generation: now.unix_ms() << 10 | u64::from(chance % 1024), ..StoredHealth::default() }
    }

    pub(crate) fn health(&self, now: Timestamp) -> ConnectionHealth {
        match (&self.problem, self.token_end) {
            (Some(Problem { obstacle: Obstacle::NeedsSignIn(reason), since, .. }), _) => {
                ConnectionHealth::NeedsSignIn { reason: *reason, since: *since }
            }
            (Some(Problem { obstacle: Obstacle::Revoked, since, .. }), _) => {
                ConnectionHealth::Revoked { since: *since }
            }
            (None, Some(end)) if end.at <= now => {
                ConnectionHealth::NeedsSignIn { reason: SignInReason::Expired, since: end.at }
            }
            (None, Some(end)) if end.told_from <= now => ConnectionHealth::Expiring { at: end.at },
            (None, _) => ConnectionHealth::Ok,
        }
    }

    /// Why the credentials are not used.
    pub(crate) fn error(&self) -> Option<ConnectionError> {
        let problem = self.problem.as_ref()?;
        Some(ConnectionError { kind: problem.error_kind, message: problem.error.clone(), sync: None })
    }

    /// Whether the credentials may be used.
    pub(crate) fn gate(&self, now: Timestamp) -> Gate {
        match (&self.problem, self.signing_in) {
            (None, None) => Gate::Open,
            (Some(_), None) => Gate::Closed,
            // A sign-in that began later than now was timed by another clock.
            (_, Some(began)) if began + SIGN_IN <= now || began > now + SIGN_IN => Gate::Open,
            (_, Some(began)) => Gate::ClosedUntil(began + SIGN_IN),
        }
    }

    /// Whether somebody has to sign in before the credentials are used.
    pub(crate) fn has_problem(&self) -> bool {
        self.problem.is_some()
    }

    /// Notes what came of using the credentials. `error` has no secret any more.
    pub(crate) fn find(&mut self, finding: Finding, error: Option<&Error>, now: Timestamp) {
        let Finding::Failed(obstacle) = finding else {
            self.problem = None;
            self.signing_in = None;
            return;
        };
        self.signing_in = None;
        // Another reason to sign in again is no news.
        if self.problem.as_ref().is_some_and(|known| known.obstacle == obstacle || obstacle != Obstacle::Revoked) {
            return;
        }
        let message =
            error.map_or_else(|| "the sign-in is over: sign in again".to_owned(), |error| cut(error.to_string()));
        self.problem = Some(Problem {
            obstacle,
            since: self.problem.as_ref().map_or(now, |known| known.since),
            error_kind: error.map_or(ErrorKind::Unauthorized, Error::kind),
            error: message,
        });
    }

    /// Whether both have the same problem, or none.
    pub(crate) fn has_problem_of(&self, other: &StoredHealth) -> bool {
        self.problem == other.problem
    }

    pub(crate) fn set_token_end(&mut self, end: Option<TokenEnd>) {
        self.token_end = end;
    }

    /// Whether nobody has signed in since the connection was made, by this count.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.signed_in
    }

    pub(crate) fn begin_sign_in(&mut self, now: Timestamp) {
        self.signing_in = Some(now);
    }

    pub(crate) fn end_sign_in(&mut self, end: Option<TokenEnd>, account: Account) {
        self.generation += 1;
        self.signed_in = true;
        (self.problem, self.signing_in, self.token_end) = (None, None, end);
        self.account = account;
    }

    /// Whose account it is, as far as anybody found out.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// Notes whose account it is, if nobody did before.
    pub(crate) fn note_account(&mut self, account: &Account) {
        if self.account.is_unknown() {
            self.account.clone_from(account);
        }
    }

    /// Takes the health for told. Returns it where it is another than the one that was told last.
    pub(crate) fn tell(&mut self, now: Timestamp) -> Option<ConnectionHealth> {
        let health = self.health(now);
        let before = std::mem::replace(&mut self.told, health.kind());
        (before != self.told).then_some(health)
    }
}

/// An error's text, at most as long as the store keeps one.
pub(super) fn cut(mut text: String) -> String {
    if text.len() > ERROR {
        let end = (0..=ERROR).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

pub(crate) fn health_key(connection: &str) -> String {
    format!("health/{connection}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_unix_ms(1_000_000_000_000);
    const REFUSED: Finding = Finding::Failed(Obstacle::NeedsSignIn(SignInReason::Refused));

    fn days(days: u64) -> Duration {
        Duration::from_secs(days * 24 * 3600)
    }

    #[test]
    fn each_change_is_told_once() {
        let mut health = StoredHealth::first(START, 7);
        assert_eq!(health.tell(START), None, "a new connection is ok");
        let error = Error::new(ErrorKind::Unauthorized, "x".repeat(5000));
        health.find(REFUSED, Some(&error), START);
        let needs = ConnectionHealth::NeedsSignIn { reason: SignInReason::Refused, since: START };
        assert_eq!(health.tell(START), Some(needs));
        health.find(REFUSED, None, START + days(1));
        assert_eq!(health.tell(START + days(1)), None);
        assert!(health.gate(START) == Gate::Closed && health.error().unwrap().message.len() <= ERROR);
        health.find(Finding::Failed(Obstacle::Revoked), None, START + days(2));
        assert_eq!(health.tell(START + days(2)), Some(ConnectionHealth::Revoked { since: START }));
        health.find(Finding::Accepted, None, START + days(3));
        assert_eq!(health.tell(START + days(3)), Some(ConnectionHealth::Ok));
        assert_eq!(health.tell(START + days(4)), None);
    }

    #[test]
    fn a_token_that_nothing_renews_ends() {
        let mut health = StoredHealth::default();
        let end = START + days(90);
        health.set_token_end(Some(TokenEnd::new(end, None)));
        assert_eq!(health.tell(end - days(8)), None);
        assert_eq!(health.tell(end - days(7)), Some(ConnectionHealth::Expiring { at: end }));
        assert_eq!(health.tell(end - days(1)), None);
        let ended = ConnectionHealth::NeedsSignIn { reason: SignInReason::Expired, since: end };
        assert_eq!(health.tell(end), Some(ended));
        health.end_sign_in(Some(TokenEnd::new(end + days(4), Some(days(4)))), Account::default());
        assert_eq!(health.tell(end), Some(ConnectionHealth::Ok));
        assert_eq!(health.tell(end + days(2)), None, "a quarter of four days before the end");
        assert_eq!(health.tell(end + days(3)), Some(ConnectionHealth::Expiring { at: end + days(4) }));
    }

    #[test]
    fn a_sign_in_that_was_cut_short_opens_the_way_once() {
        let mut health = StoredHealth::default();
        health.find(REFUSED, None, START);
        health.begin_sign_in(START);
        let end = START + SIGN_IN;
        assert_eq!((health.gate(START), health.gate(end)), (Gate::ClosedUntil(end), Gate::Open));
        assert!(health.health(end).needs_sign_in());
        health.find(REFUSED, None, end);
        assert_eq!(health.gate(end), Gate::Closed);
    }
}
