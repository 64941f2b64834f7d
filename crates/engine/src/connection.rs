//! Connections: accounts at APIs, from `connect` to `disconnect`.

mod connect;
mod disconnect;
mod settings;

pub use disconnect::DisconnectMode;
pub(crate) use disconnect::no_connection;
pub use settings::ConnectionSettings;
pub(crate) use settings::{check_base_url, connection_key};
