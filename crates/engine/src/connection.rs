//! Connections: accounts at APIs, from `connect` to `disconnect`.

mod change;
mod connect;
mod disconnect;
mod settle;
mod sign_in;
mod state;

pub use disconnect::DisconnectMode;
pub use state::{ConnectionFilter, ConnectionPage, ConnectionState};
