//! Signs users in at a provider, from programs on the user's own machine.
//!
//! OAuth 2 ends with a redirect of the browser that carries a code. A [`RedirectStrategy`] is how the program gets it:
//!
//! | strategy | for |
//! |---|---|
//! | [`LoopbackRedirect`] | desktop applications and commands: a server on the loopback interface that accepts one request (RFC 8252) |
//! | [`ForwardedRedirect`] | applications with their own URI scheme; and users who paste the address, or the code |
//! | [`Redirect::of_query`] | servers, which have a route for the redirects of all their users |
//!
//! [`sign_in`] runs the whole sign-in: it shows the user the provider's page, waits for the redirect, and exchanges the code
//! for tokens.
//!
//! ```no_run
//! # async fn example(oauth: highwater_template::auth::OAuth2, transport: &dyn highwater_template::http::Transport) -> highwater_core::Result<()> {
//! use highwater_core::SystemEnvironment;
//! use highwater_engine::credentials::OAuthTokens;
//! use highwater_sign_in::{LoopbackRedirect, sign_in};
//!
//! let mut redirect = LoopbackRedirect::builder("Notes").bind().await?;
//! let client = OAuthTokens::new("the-client-id");
//! let show = |url: &str| {
//!     println!("Sign in at {url}"); // or open the browser
//!     Ok(())
//! };
//! let tokens = sign_in(&oauth, client, &["repo"], &mut redirect, show, transport, &SystemEnvironment).await?;
//! # let _ = tokens;
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here has a time limit, because users take their time. Drop the future to give up.
#![deny(missing_docs, clippy::missing_errors_doc)]

#[cfg(feature = "browser")]
mod browser;
mod forwarded;
mod loopback;
mod mutants;
mod page;
mod redirect;
mod request;

#[cfg(feature = "browser")]
pub use browser::open_browser;
pub use forwarded::{ForwardedRedirect, Forwarder};
pub use loopback::{LoopbackBuilder, LoopbackHost, LoopbackRedirect};
pub use redirect::{Redirect, RedirectStrategy, sign_in};
