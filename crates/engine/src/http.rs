//! HTTP to an API: credentials, rate limits, retries, and the transport.

mod address;
mod answer;
mod assertion;
mod attempt;
mod budget;
mod charset;
mod client;
mod credential_store;
mod credentials;
mod device;
mod findings;
#[cfg(feature = "http")]
mod global;
mod guarded;
mod keeping;
mod limits;
mod oauth;
mod origins;
#[cfg(feature = "http")]
mod proxies;
mod redirect;
mod renewal;
mod revocation;
mod session;
mod sessions;
mod sign_in;
mod skew;
mod token_answer;
mod tokens;
mod turn;
#[cfg(feature = "http")]
mod ureq;
mod written;

pub(crate) use address::Address;
pub(crate) use attempt::{Listener, Note};
pub(crate) use client::Client;
pub use credential_store::CredentialStore;
pub use credentials::{Credentials, SignInMethod};
pub use device::DeviceSignIn;
pub use guarded::PrivateAddresses;
pub(crate) use guarded::{Guarded, fixed_origin};
pub use limits::RequestLimits;
pub(crate) use limits::{passing, time_until};
pub(crate) use origins::is_loopback;
pub(crate) use renewal::Place;
pub use revocation::Revocation;
pub(crate) use session::Session;
pub(crate) use sessions::Sessions;
pub use sign_in::SignIn;
pub use tokens::{OAuthGrant, OAuthTokens};
#[cfg(feature = "http")]
pub use ureq::UreqTransport;
