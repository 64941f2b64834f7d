//! Records of third-party APIs in a Tauri application: synced in its own process, kept in a local store, followed by the webview.
//!
//! ```ignore
//! fn main() {
//!     tauri::Builder::default()
//!         .plugin(tauri_plugin_highwater::Builder::new().templates(tauri_plugin_highwater::highwater::templates::all()).build())
//!         .run(tauri::generate_context!("../../examples/desktop/tauri.conf.json"))
//!         .expect("the application failed");
//! }
//! ```
//!
//! The store is a SQLite file in the application's data directory. The schedule starts with the application and ends with it:
//! at `RunEvent::Exit` runs are asked to stop, and the store is closed. What was acknowledged is durable before, so that an
//! application that is killed loses nothing.
//!
//! Rust has the whole library by [`HighwaterExt::highwater`]. The webview has the commands that its capability allows:
//! `highwater:default` reads; `highwater:allow-connect`, `highwater:allow-trigger`, `highwater:allow-proxy` and
//! `highwater:allow-admin` are off unless named. See `docs/tauri.md`.
#![deny(missing_docs, clippy::missing_errors_doc)]

mod builder;
mod commands;
mod failure;
mod lifetime;
mod managed;
mod sign_ins;
mod subscriptions;

pub use builder::Builder;
pub use failure::Failure;
pub use highwater;
pub use managed::{Highwater, HighwaterExt};
