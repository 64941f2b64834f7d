//! Credentials that are still in the credential store although their connection or integration is gone.

use std::time::Duration;

use highwater_core::{Error, Timestamp};
use serde::{Deserialize, Serialize};

use super::connection::ConnectionSettings;
use super::health::{ConnectionError, cut};
use super::integration::INTEGRATIONS;
use crate::timer::duration_ms;

/// The pause after the first failed try; each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// The key prefix of all removals.
pub(crate) const REMOVALS: &str = "removal/";

/// The document `removal/<connection>` or `removal/integration/<key>`. It is written in the commit that removes the connection or
/// the integration, and removed once the credential store has nothing of it any more. While it is there, nothing new can take
/// the name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StoredRemoval {
    #[serde(rename = "since_ms", with = "highwater_core::timestamp::unix_ms")]
    since: Timestamp,
    /// Failed tries so far.
    pub(crate) tries: u32,
    #[serde(rename = "next_ms", with = "highwater_core::timestamp::unix_ms")]
    next_try_at: Timestamp,
    /// The pause before the next try, which bounds the wait whatever the clock shows.
    #[serde(rename = "pause_ms", with = "duration_ms")]
    pause: Duration,
    /// Why the last try failed, without secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ConnectionError>,
    /// Where the sign-in is to be revoked first; none once that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revoke: Option<ConnectionSettings>,
}

impl StoredRemoval {
    pub(crate) fn new(now: Timestamp, revoke: Option<ConnectionSettings>) -> Self {
        StoredRemoval { since: now, next_try_at: now, revoke, ..StoredRemoval::default() }
    }

    /// When the next try is due; now, if a clock that was ahead set a later time than the pause allows.
    pub(crate) fn due_at(&self, now: Timestamp) -> Timestamp {
        if self.next_try_at > now + self.pause { now } else { self.next_try_at }
    }

    /// Records a failed try. `error` has no secret any more.
    pub(crate) fn failed(&mut self, error: &Error, now: Timestamp) {
        self.pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.tries)).min(LONGEST_PAUSE);
        self.tries = self.tries.saturating_add(1);
        self.next_try_at = now + self.pause;
        self.error = Some(ConnectionError { kind: error.kind(), message: cut(error.to_string()), sync: None });
        self.revoke = None;
    }

    /// The form for hosts, of the removal with this key.
    pub(crate) fn pending(self, key: &str) -> PendingRemoval {
        let name = key.strip_prefix(REMOVALS).unwrap_or(key);
        let integration = name.strip_prefix(INTEGRATIONS).map(str::to_owned);
        PendingRemoval {
            connection: integration.is_none().then(|| name.to_owned()),
            integration,
            since: self.since,
            tries: self.tries,
            next_try_at: self.next_try_at,
            error: self.error,
        }
    }
}

/// Credentials of a removed connection, or secrets of a deleted integration, that the credential store still has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PendingRemoval {
    /// The connection that was removed; none for an integration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// The key of the integration that was deleted; none for a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integration: Option<String>,
    /// When it was removed.
    #[serde(rename = "since_ms", with = "highwater_core::timestamp::unix_ms")]
    pub since: Timestamp,
    /// How many tries failed.
    pub tries: u32,
    /// When the next try is due. The background work makes it within a minute of that.
    #[serde(rename = "next_try_ms", with = "highwater_core::timestamp::unix_ms")]
    pub next_try_at: Timestamp,
    /// Why the last try failed; none before the first one ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ConnectionError>,
}

/// The key of the removal of a connection's credentials, or of an integration's secrets, which are stored under `name`.
pub(crate) fn removal_key(name: &str) -> String {
    format!("{REMOVALS}{name}")
}

#[cfg(test)]
mod tests {
    use highwater_core::ErrorKind;

    use super::*;

    #[test]
    fn pauses_grow_up_to_an_hour_and_a_clock_that_was_set_back_delays_nothing() {
        let start = Timestamp::from_unix_ms(1_000_000_000_000);
        let mut removal = StoredRemoval::new(start, Some(ConnectionSettings::new("c", "acme")));
        assert_eq!(removal.due_at(start), start);
        let error = Error::new(ErrorKind::PermissionDenied, "x".repeat(5000));
        let mut pauses = Vec::new();
        for _ in 0..40 {
            removal.failed(&error, start);
            pauses.push(removal.due_at(start).duration_since(start).as_secs());
        }
        assert!(pauses[..4] == [5, 10, 20, 40] && pauses.is_sorted() && pauses[39] == 3600, "{pauses:?}");
        let earlier = Timestamp::from_unix_ms(500_000_000_000);
        assert_eq!(removal.due_at(earlier), earlier);
        assert!(removal.revoke.is_none(), "a provider is asked once");
        let pending = removal.pending("removal/integration/main");
        assert_eq!((pending.connection, pending.integration.as_deref(), pending.tries), (None, Some("main"), 40));
        assert!(pending.error.is_some_and(|error| error.message.len() < 3000));
        let pending = StoredRemoval::default().pending("removal/integration");
        assert_eq!((pending.connection.as_deref(), pending.integration), (Some("integration"), None));
    }

    #[test]
    fn a_document_without_members_is_due_at_once() {
        let read: StoredRemoval = serde_json::from_str("{}").unwrap();
        let now = Timestamp::from_unix_ms(7);
        assert!(read.due_at(now) <= now);
    }
}
