//! Connect sessions: for half an hour, somebody with a session's token may connect one account, on a page of this server.
//!
//! They are kept in memory, by the hashes of their tokens, with the sign-ins that have begun in them: those hold secrets of
//! integrations. So a session ends with the process, and another process does not know it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use highwater_core::locks::lock;
use highwater_core::{Environment, Timestamp, mutant};
use highwater_engine::connections::EndUser;
use highwater_engine::credentials::{BrowserSignIn, CodeSignIn};
use highwater_engine::{ConnectionSettings, Credentials};

use crate::error::ApiError;

/// How long a session lasts.
pub(crate) const LIFE: Duration = Duration::from_secs(30 * 60);
/// The most sessions at a time.
const MOST: usize = 10_000;
/// The most forms and redirects of one session.
const ATTEMPTS: u32 = 100;
/// What every token begins with.
const MARK: &str = "hwcs_";
/// Bytes of a token, and of an id.
const TOKEN: usize = 32;
const ID: usize = 8;

/// What a session is for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Purpose {
    /// Whose account is connected.
    pub(crate) end_user: Option<EndUser>,
    /// Tags of the connection.
    pub(crate) tags: BTreeMap<String, String>,
    /// The integrations to choose from; empty for all.
    pub(crate) allowed: Vec<String>,
    /// Settings of the connection, by integration. The user is not asked for them.
    pub(crate) defaults: BTreeMap<String, BTreeMap<String, String>>,
    /// The connection that is signed in again, instead of a new one.
    pub(crate) reconnect: Option<String>,
    /// What happens if that one is signed in to another account.
    pub(crate) account_change: ChangeRule,
    /// The id of a new connection; otherwise a random one.
    pub(crate) id: Option<String>,
    /// Where the last page leads, below where the router is mounted.
    pub(crate) back: Option<String>,
}

/// What a session does with credentials of another account than its connection's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ChangeRule {
    #[default]
    Refuse,
    /// The user of the page decides.
    Ask,
    Allow,
}

impl ChangeRule {
    pub(crate) const WORDS: [(&str, ChangeRule); 3] =
        [("refuse", ChangeRule::Refuse), ("ask", ChangeRule::Ask), ("allow", ChangeRule::Allow)];
}

/// A session.
#[derive(Debug)]
pub(crate) struct ConnectSession {
    /// Stands in addresses. It lets nobody in.
    pub(crate) id: String,
    pub(crate) csrf: String,
    pub(crate) until: Timestamp,
    pub(crate) purpose: Purpose,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    attempts: u32,
    /// What ends with a redirect that carries this state.
    browser: Option<(BrowserSignIn, ConnectionSettings)>,
    /// What ends when the user has entered a code elsewhere.
    code: Option<(Arc<CodeSignIn>, ConnectionSettings)>,
    /// Credentials of another account, until the user decides.
    other: Option<(Credentials, ConnectionSettings)>,
}

impl ConnectSession {
    /// Counts a form or a redirect; refuses too many.
    pub(crate) fn attempt(&self) -> Result<(), ApiError> {
        let mut progress = lock(&self.progress);
        progress.attempts += 1;
        if progress.attempts <= ATTEMPTS || mutant!("connect-session-tries") {
            return Ok(());
        }
        let message = "this link was tried too often: have another one made";
        Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_request", message))
    }

    /// Keeps a sign-in until its redirect, in place of an earlier one.
    pub(crate) fn begin_browser(&self, begun: BrowserSignIn, settings: ConnectionSettings) {
        lock(&self.progress).browser = Some((begun, settings));
    }

    /// Takes the sign-in of this state: it works once.
    pub(crate) fn take_browser(&self, state: &str) -> Option<(BrowserSignIn, ConnectionSettings)> {
        let mut progress = lock(&self.progress);
        let known = progress.browser.as_ref().is_some_and(|(begun, _)| same(begun.state(), state));
        if known { progress.browser.take() } else { None }
    }

    pub(crate) fn begin_code(&self, begun: Arc<CodeSignIn>, settings: ConnectionSettings) {
        lock(&self.progress).code = Some((begun, settings));
    }

    pub(crate) fn code(&self) -> Option<(Arc<CodeSignIn>, ConnectionSettings)> {
        lock(&self.progress).code.clone()
    }

    /// Keeps credentials of another account until the user decides.
    pub(crate) fn keep_other(&self, credentials: Credentials, settings: ConnectionSettings) {
        lock(&self.progress).other = Some((credentials, settings));
    }

    pub(crate) fn take_other(&self) -> Option<(Credentials, ConnectionSettings)> {
        lock(&self.progress).other.take()
    }

    /// Whether the session is for this integration too.
    pub(crate) fn allows(&self, integration: &str) -> bool {
        self.purpose.allowed.is_empty() || self.purpose.allowed.iter().any(|known| known == integration)
    }
}

/// What a session has made, or signed in again.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) connection: String,
    /// The integration's key, or the provider's name.
    pub(crate) integration: String,
}

/// The sessions of a server.
#[derive(Debug, Default)]
pub(crate) struct ConnectSessions {
    open: Mutex<HashMap<blake3::Hash, Arc<ConnectSession>>>,
    /// What those that have ended made, until each would have expired.
    made: Mutex<HashMap<blake3::Hash, (Made, Timestamp)>>,
}

impl ConnectSessions {
    /// Makes a session, and returns its token.
    pub(crate) fn create(
        &self,
        environment: &dyn Environment,
        purpose: Purpose,
    ) -> Result<(String, Arc<ConnectSession>), ApiError> {
        let token = format!("{MARK}{}", random::<TOKEN>(environment));
        let now = environment.now();
        let session = Arc::new(ConnectSession {
            id: random::<ID>(environment),
            csrf: random::<TOKEN>(environment),
            until: now + LIFE,
            purpose,
            progress: Mutex::default(),
        });
        let mut sessions = lock(&self.open);
        if sessions.len() >= MOST {
            sessions.retain(|_, session| now < session.until);
        }
        if sessions.len() >= MOST {
            let message = "too many connect sessions are open: end some, or wait until they expire";
            return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_request", message).retry_in(LIFE));
        }
        sessions.insert(blake3::hash(token.as_bytes()), Arc::clone(&session));
        Ok((token, session))
    }

    /// Returns the session of a token, if it has not expired.
    pub(crate) fn find(&self, now: Timestamp, token: &str) -> Option<Arc<ConnectSession>> {
        let session = lock(&self.open).get(&blake3::hash(token.as_bytes())).cloned();
        session.filter(|session| now < session.until || mutant!("connect-session-unending"))
    }

    /// Takes back the end of a session that led to nothing.
    pub(crate) fn resume(&self, token: &str, session: &Arc<ConnectSession>) {
        lock(&self.open).insert(blake3::hash(token.as_bytes()), Arc::clone(session));
    }

    /// Ends a session; returns whether this call did.
    pub(crate) fn end(&self, token: &str) -> bool {
        lock(&self.open).remove(&blake3::hash(token.as_bytes())).is_some()
    }

    /// Notes what a session made that has ended so.
    pub(crate) fn note_made(&self, now: Timestamp, token: &str, made: Made) {
        let mut known = lock(&self.made);
        if known.len() >= MOST {
            known.retain(|_, (_, until)| now < *until);
        }
        // What does not fit is not told: the connection is there all the same.
        if known.len() < MOST {
            known.insert(blake3::hash(token.as_bytes()), (made, now + LIFE));
        }
    }

    /// Returns what the session of this token has made.
    pub(crate) fn made_by(&self, now: Timestamp, token: &str) -> Option<Made> {
        let made = lock(&self.made).get(&blake3::hash(token.as_bytes())).cloned();
        made.filter(|(_, until)| now < *until).map(|(made, _)| made)
    }
}

/// Compares in a time that does not depend on where the texts differ.
pub(crate) fn same(known: &str, given: &str) -> bool {
    blake3::hash(known.as_bytes()) == blake3::hash(given.as_bytes())
}

fn random<const BYTES: usize>(environment: &dyn Environment) -> String {
    let mut bytes = [0; BYTES];
    environment.fill_random(&mut bytes);
    hex::encode(bytes)
}
