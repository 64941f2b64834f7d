//! Connections: accounts at APIs, from `connect` to `disconnect`.

mod change;
mod connect;
mod disconnect;

pub use disconnect::DisconnectMode;
