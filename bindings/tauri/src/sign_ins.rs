//! Sign-ins in the system's browser, with a redirect to this machine.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use highwater::engine::{CancelToken, Credentials};
use highwater::sign_in::{LoopbackRedirect, RedirectStrategy};
use highwater::{ConnectionSettings, Engine, Error, ErrorKind, Result};

/// Opens an address.
pub(crate) type Open = Arc<dyn Fn(&str) -> Result<()> + Send + Sync>;

/// The sign-ins that wait for their users.
pub(crate) struct SignIns {
    application: String,
    open: Open,
    /// By the connection's id: the window that began it, and what ends it.
    waiting: Mutex<HashMap<String, (String, CancelToken)>>,
}

impl fmt::Debug for SignIns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIns").field("application", &self.application).finish_non_exhaustive()
    }
}

impl SignIns {
    pub(crate) fn new(application: String, open: Open) -> Self {
        SignIns { application, open, waiting: Mutex::default() }
    }

    /// Opens the provider's page, and waits for the redirect until the sign-in is ended. A second one for the same connection ends
    /// the first.
    pub(crate) async fn run(
        &self,
        engine: &Engine,
        settings: &ConnectionSettings,
        webview: &str,
        ports: Vec<u16>,
    ) -> Result<Credentials> {
        let mut redirect = LoopbackRedirect::builder(&self.application);
        if !ports.is_empty() {
            redirect = redirect.ports(ports);
        }
        let mut redirect = redirect.bind().await?;
        let begun = engine.begin_browser_sign_in(settings, redirect.redirect_uri()).await?;
        let ended = CancelToken::new();
        if let Some((_, former)) = self.lock().insert(settings.id.clone(), (webview.to_owned(), ended.clone())) {
            former.cancel();
        }
        let outcome = async {
            (self.open)(begun.url())?;
            let received = tokio::select! {
                received = redirect.receive(begun.state()) => received?,
                () = ended.cancelled() => {
                    return Err(Error::new(ErrorKind::Cancelled, "the sign-in was given up").with("connection", &settings.id));
                }
            };
            begun.finish(received.code.expose(), &received.state).await
        }
        .await;
        // A later sign-in of the same connection has ended this one, and stays.
        if !ended.is_cancelled() {
            self.lock().remove(&settings.id);
        }
        outcome
    }

    /// Ends the sign-in of a connection. Returns whether there was one.
    pub(crate) fn end(&self, connection: &str) -> bool {
        let found = self.lock().remove(connection);
        found.is_some_and(|(_, waiting)| {
            waiting.cancel();
            true
        })
    }

    pub(crate) fn end_of(&self, webview: &str) {
        self.lock().retain(|_, (label, waiting)| {
            let stays = label != webview;
            if !stays {
                waiting.cancel();
            }
            stays
        });
    }

    pub(crate) fn end_all(&self) {
        for (_, (_, waiting)) in self.lock().drain() {
            waiting.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (String, CancelToken)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
