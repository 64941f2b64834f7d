//! Writes credentials to the host's store without overwriting what another process stored there meanwhile.

use highwater_core::{Error, ErrorKind, Result};
use highwater_template::redact::Redactor;

use super::credential_store::CredentialStore;
use super::credentials::Credentials;
use crate::mutants::mutant;

/// Tries of a write that others keep overtaking.
const TRIES: usize = 20;

/// Saves renewed credentials in place of `known`, which they came from; none where the store was not read before. Returns what
/// the store has then: a sign-in that was saved meanwhile takes precedence, and what was removed stays so.
pub(super) async fn save_renewed(
    store: &dyn CredentialStore,
    connection: &str,
    known: Option<Option<Credentials>>,
    mut renewed: Credentials,
) -> Result<Option<Credentials>> {
    let Some(mut known) = known.filter(|_| !mutant!("renewed-over-sign-in")) else {
        store.save(connection, &renewed).await?;
        return Ok(Some(renewed));
    };
    for _ in 0..TRIES {
        if store.replace(connection, known.as_ref(), &renewed).await? {
            return Ok(Some(renewed));
        }
        let Some(stored) = store.load(connection).await? else { return Ok(None) };
        renewed = merge(&known.unwrap_or_default(), renewed, &stored);
        if renewed == stored {
            return Ok(Some(stored));
        }
        known = Some(stored);
    }
    Err(overtaken())
}

/// Changes the stored credentials. Returns them.
pub(super) async fn save_changed(
    store: &dyn CredentialStore,
    connection: &str,
    change: impl Fn(&mut Credentials),
) -> Result<Credentials> {
    for _ in 0..TRIES {
        let known = store.load(connection).await?;
        let mut changed = known.clone().unwrap_or_default();
        change(&mut changed);
        let redactor = Redactor::new(&changed.all_secrets());
        let saved = store.replace(connection, known.as_ref(), &changed).await;
        if saved.map_err(|error| redactor.redact_error(error))? {
            return Ok(changed);
        }
    }
    Err(overtaken())
}

/// Combines renewed credentials with those that somebody stored meanwhile. Both came from `known`; where both changed
/// something, what was stored takes precedence: it may be a new sign-in.
fn merge(known: &Credentials, renewed: Credentials, stored: &Credentials) -> Credentials {
    let mut merged = stored.clone();
    if stored.sign_in == known.sign_in {
        merged.sign_in = renewed.sign_in;
    }
    for (name, secret) in renewed.secrets {
        if known.secrets.get(&name) == stored.secrets.get(&name) {
            merged.secrets.insert(name, secret);
        }
    }
    merged
}

fn overtaken() -> Error {
    Error::new(ErrorKind::Busy, "other processes keep changing the stored credentials: try again later")
}

#[cfg(test)]
mod tests {
    use highwater_template::Secret;

    use super::*;

    /// A sign-in with this token, and secret settings.
    fn with(token: &str, secrets: &[(&str, &str)]) -> Credentials {
        let credentials = Credentials::token(Secret::new(token));
        secrets.iter().fold(credentials, |all, (name, secret)| all.secret(*name, Secret::new(*secret)))
    }

    #[test]
    fn what_was_stored_meanwhile_takes_precedence() {
        let known = with("old", &[("session", "s0"), ("key", "k0")]);
        let renewed = with("renewed", &[("session", "s1"), ("key", "k0"), ("more", "m1")]);
        let none = Credentials::none;
        for (stored, merged) in [
            (known.clone(), renewed.clone()),
            (
                with("new", &[("session", "s0"), ("key", "k0")]),
                with("new", &[("session", "s1"), ("key", "k0"), ("more", "m1")]),
            ),
            (with("new", &[("key", "k1")]), with("new", &[("key", "k1"), ("more", "m1")])),
            (
                with("old", &[("session", "s2"), ("key", "k1")]),
                with("renewed", &[("session", "s2"), ("key", "k1"), ("more", "m1")]),
            ),
            (none(), none().secret("more", Secret::new("m1"))),
        ] {
            assert!(merge(&known, renewed.clone(), &stored) == merged, "{stored:?}");
        }
    }
}
