//! The way to an API: credentials, limits, retries; and what carries the bytes.

mod answer;
mod budget;
mod charset;
mod client;
mod credentials;
mod limits;
mod oauth;
mod origins;
#[cfg(feature = "http")]
mod proxies;
mod redirect;
mod renewal;
mod session;
mod turn;
#[cfg(feature = "http")]
mod ureq;

pub(crate) use client::Client;
pub use credentials::{CredentialStore, Credentials, OAuthTokens};
pub use limits::RequestLimits;
pub(crate) use limits::time_until;
pub use oauth::SignIn;
pub(crate) use session::Sessions;
#[cfg(feature = "http")]
pub use ureq::UreqTransport;
