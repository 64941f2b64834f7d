//! The way to an API: credentials, limits, retries; and what carries the bytes.

mod client;
mod limits;
mod secret;
#[cfg(feature = "http")]
mod ureq;

pub(crate) use client::Client;
pub use limits::RequestLimits;
pub use secret::Secret;
#[cfg(feature = "http")]
pub use ureq::UreqTransport;
