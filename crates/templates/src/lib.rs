//! Ready templates for Highwater.
//!
//! ```
//! let ids: Vec<String> = highwater_templates::all().iter().map(|template| template.info().id()).collect();
//! assert!(ids.contains(&"github/issues".to_owned()));
//! ```
#![deny(missing_docs)]

pub mod github;

use std::sync::Arc;

use highwater_core::template::Template;

/// Every template of this crate.
pub fn all() -> Vec<Arc<dyn Template>> {
    vec![Arc::new(github::Issues::new()), Arc::new(github::PullRequests::new()), Arc::new(github::Repositories::new())]
}
