//! Who is signed in to the dashboard, and links to do so once. Both are kept in memory, by the hashes of their tokens.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use highwater_core::locks::lock;
use highwater_core::{Environment, Timestamp};

use crate::keys::{Key, Scope};

/// How long a session lasts.
const SESSION: Duration = Duration::from_secs(12 * 3600);
/// How long a link may be used.
const LINK: Duration = Duration::from_secs(15 * 60);
/// The most sessions, and the most links; the oldest go first.
const MOST: usize = 1000;
/// Bytes of a token.
const TOKEN: usize = 32;

/// A person who is signed in.
#[derive(Clone)]
pub(super) struct Session {
    /// Whose rights they have.
    pub(super) key: Key,
    /// Whether the key is stored, and may be revoked.
    pub(super) stored: bool,
    /// What each form carries.
    pub(super) csrf: String,
}

struct Kept {
    session: Session,
    until: Timestamp,
    /// What the next page says about the last change.
    notice: Option<String>,
}

#[derive(Default)]
pub(super) struct Sessions {
    sessions: Mutex<HashMap<blake3::Hash, Kept>>,
    links: Mutex<HashMap<blake3::Hash, (Scope, Timestamp)>>,
}

impl Sessions {
    /// Makes a link's token.
    pub(super) fn add_link(&self, environment: &dyn Environment, scope: Scope) -> String {
        let token = random(environment);
        let mut links = lock(&self.links);
        make_room(&mut links, environment.now(), |(_, until)| *until);
        links.insert(hash(&token), (scope, environment.now() + LINK));
        token
    }

    /// Takes the link of this token: it works once.
    pub(super) fn take_link(&self, environment: &dyn Environment, token: &str) -> Option<Scope> {
        let (scope, until) = lock(&self.links).remove(&hash(token))?;
        (environment.now() < until).then_some(scope)
    }

    /// Begins a session, and returns its token.
    pub(super) fn begin(&self, environment: &dyn Environment, key: Key, stored: bool) -> String {
        let token = random(environment);
        let session = Session { key, stored, csrf: random(environment) };
        let mut sessions = lock(&self.sessions);
        make_room(&mut sessions, environment.now(), |kept| kept.until);
        sessions.insert(hash(&token), Kept { session, until: environment.now() + SESSION, notice: None });
        token
    }

    /// Returns the session of this token, and the notice that waited for its next page.
    pub(super) fn find(&self, now: Timestamp, token: &str) -> Option<Session> {
        lock(&self.sessions).get(&hash(token)).filter(|kept| now < kept.until).map(|kept| kept.session.clone())
    }

    pub(super) fn set_notice(&self, token: &str, notice: String) {
        if let Some(kept) = lock(&self.sessions).get_mut(&hash(token)) {
            kept.notice = Some(notice);
        }
    }

    pub(super) fn take_notice(&self, token: &str) -> Option<String> {
        lock(&self.sessions).get_mut(&hash(token))?.notice.take()
    }

    pub(super) fn end(&self, token: &str) {
        lock(&self.sessions).remove(&hash(token));
    }
}

/// Tokens are random and long: a lookup by their hash tells nothing by the time that it takes.
fn hash(token: &str) -> blake3::Hash {
    blake3::hash(token.as_bytes())
}

/// Compares in a time that does not depend on where the texts differ.
pub(super) fn same(known: &str, given: &str) -> bool {
    hash(known) == hash(given)
}

fn random(environment: &dyn Environment) -> String {
    let mut bytes = [0; TOKEN];
    environment.fill_random(&mut bytes);
    hex::encode(bytes)
}

fn make_room<V>(kept: &mut HashMap<blake3::Hash, V>, now: Timestamp, until: impl Fn(&V) -> Timestamp) {
    kept.retain(|_, value| now < until(value));
    if kept.len() >= MOST
        && let Some(oldest) = kept.iter().min_by_key(|(_, value)| until(value)).map(|(hash, _)| *hash)
    {
        kept.remove(&oldest);
    }
}
