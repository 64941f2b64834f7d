//! Requests, responses, and the transport that carries them.
//!
//! A template sends a [`HttpRequest`] with [`SyncContext::send`](crate::SyncContext::send) and gets a [`HttpResponse`]. Below
//! that, a [`Transport`] sends single requests that are complete: hosts and tests implement it, templates never see it.

mod complaint;
mod escape;
mod link;
mod request;
mod response;
mod transport;

pub use escape::{escape, unescape};
pub use link::Link;
pub use request::HttpRequest;
pub use response::{HttpResponse, Validator};
pub use transport::Transport;
