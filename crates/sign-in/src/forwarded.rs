//! A redirect that is passed in: by the system, through the application's own URI scheme, or by the user.

use async_trait::async_trait;
use highwater_core::{Error, ErrorKind, Result};
use highwater_template::Secret;
use tokio::sync::mpsc;
use url::Url;

use crate::mutants::mutant;
use crate::redirect::{Received, Redirect, RedirectStrategy};

/// Receives the redirect through a [`Forwarder`]: for an application that the system opens for its own URI scheme, or for a
/// user who pastes the address that the browser shows at the end, or the code.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use highwater_sign_in::{ForwardedRedirect, RedirectStrategy};
/// let (mut redirect, forwarder) = ForwardedRedirect::new("com.example.notes:/signed-in");
/// forwarder.forward("com.example.notes:/signed-in?code=abc&state=xyz"); // when the system passes the address to the application
/// assert_eq!(redirect.receive("xyz").await?.code.expose(), "abc");
/// # Ok::<(), highwater_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct ForwardedRedirect {
    redirect_uri: String,
    texts: mpsc::UnboundedReceiver<Secret>,
}

/// Passes addresses to a [`ForwardedRedirect`]. A clone forwards to the same sign-in.
#[derive(Clone, Debug)]
pub struct Forwarder(mpsc::UnboundedSender<Secret>);

impl Forwarder {
    /// Forwards an address, or a text that the user pasted. Returns whether a sign-in still waits for it.
    pub fn forward(&self, text: impl Into<String>) -> bool {
        self.0.send(Secret::new(text)).is_ok()
    }
}

impl ForwardedRedirect {
    /// Creates the pair for the redirect URI that is registered with the provider.
    pub fn new(redirect_uri: impl Into<String>) -> (Self, Forwarder) {
        let (sender, texts) = mpsc::unbounded_channel();
        (ForwardedRedirect { redirect_uri: redirect_uri.into(), texts }, Forwarder(sender))
    }
}

#[async_trait]
impl RedirectStrategy for ForwardedRedirect {
    fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    async fn receive(&mut self, state: &str) -> Result<Redirect> {
        while let Some(text) = self.texts.recv().await {
            if let Some(outcome) = read(text.expose().trim(), &self.redirect_uri, state) {
                return outcome;
            }
        }
        Err(Error::new(
            ErrorKind::Cancelled,
            "every Forwarder of this sign-in was dropped, so no redirect can arrive: begin again",
        ))
    }
}

/// Extracts the redirect from a text, if it is ours. A bare code has no state to check: the user copied it from the page.
fn read(text: &str, redirect_uri: &str, state: &str) -> Option<Result<Redirect>> {
    let expected = Url::parse(redirect_uri).ok()?;
    let is_address = |url: &Url| url.scheme() == expected.scheme() || matches!(url.scheme(), "http" | "https");
    let Some(url) = Url::parse(text).ok().filter(is_address) else {
        let is_code = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        return is_code.then(|| Ok(Redirect { code: Secret::new(text), state: state.to_owned() }));
    };
    let place =
        |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port(), url.path().to_owned());
    match Received::of_query(url.query().unwrap_or_default(), state) {
        Received::Ours(outcome) if mutant!("forwarded-from-anywhere") || place(&url) == place(&expected) => {
            Some(outcome)
        }
        _ => None,
    }
}
