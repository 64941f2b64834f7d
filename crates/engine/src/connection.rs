//! Connections: accounts at APIs, from `connect` to `disconnect`.

mod base_url;
mod change;
mod connect;
mod credentials;
mod disconnect;
mod disconnect_options;
mod remove;
mod settle;
mod sign_in;
mod state;
mod user_sign_in;

pub use credentials::CredentialRenewal;
pub use disconnect_options::{DisconnectMode, DisconnectOptions, DisconnectReport, RevocationMode};
pub use state::{ConnectionFilter, ConnectionOrder, ConnectionPage, ConnectionState};
pub use user_sign_in::{BrowserSignIn, CodeSignIn};
