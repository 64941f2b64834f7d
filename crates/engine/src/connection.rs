//! Connections: accounts at APIs, from `connect` to `disconnect`.

mod about;
mod change;
mod connect;
mod disconnect;
mod settings;

pub use about::EndUser;
pub use disconnect::DisconnectMode;
pub(crate) use disconnect::no_connection;
pub use settings::ConnectionSettings;
pub(crate) use settings::{check_base_url, connection_key};
