//! A redirect that somebody hands over: the system, by the application's own URI scheme, or the user.

use async_trait::async_trait;
use highwater_core::{Error, ErrorKind, Result};
use highwater_template::Secret;
use tokio::sync::mpsc;
use url::Url;

use crate::redirect::{Received, Redirect, RedirectStrategy};

/// Takes the redirect from a [`Forwarder`]: of an application that the system opens by a URI scheme of its own, or of a
/// user who pastes the address that the browser shows at the end, or the code.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use highwater_sign_in::{ForwardedRedirect, RedirectStrategy};
/// let (mut redirect, forwarder) = ForwardedRedirect::new("com.example.notes:/signed-in");
/// forwarder.forward("com.example.notes:/signed-in?code=abc&state=xyz"); // where the system hands the address over
/// assert_eq!(redirect.receive("xyz").await?.code.expose(), "abc");
/// # Ok::<(), highwater_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct ForwardedRedirect {
    redirect_uri: String,
    texts: mpsc::UnboundedReceiver<Secret>,
}

/// Hands addresses over. A clone forwards to the same sign-in.
#[derive(Clone, Debug)]
pub struct Forwarder(mpsc::UnboundedSender<Secret>);

impl Forwarder {
    /// Hands over an address that came, or what a user pasted. Whether anybody waits for it.
    pub fn forward(&self, text: impl Into<String>) -> bool {
        self.0.send(Secret::new(text)).is_ok()
    }
}

impl ForwardedRedirect {
    /// Names the redirect URI that is registered with the provider.
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
        Err(Error::new(ErrorKind::Cancelled, "nobody can hand the redirect over any more: begin again"))
    }
}

/// The redirect in a text, if it is ours. A bare code has no state to check: a user who pastes one has seen its page.
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
        Received::Ours(outcome) if place(&url) == place(&expected) => Some(outcome),
        _ => None,
    }
}
