//! Ready templates and actions for Highwater. `docs/catalogue.md` describes each.
//!
//! ```
//! let ids: Vec<String> = highwater_templates::all().iter().map(|template| template.info().id()).collect();
//! assert!(ids.contains(&"github/issues".to_owned()));
//! let actions: Vec<String> = highwater_templates::actions().iter().map(|action| action.info().id()).collect();
//! assert!(actions.contains(&"github/create_issue".to_owned()));
//! ```
#![deny(missing_docs, clippy::missing_errors_doc)]

pub mod airtable;
pub mod caldav;
mod catalogue;
mod common;
pub mod github;
pub mod google;
pub mod hubspot;
pub mod jira;
pub mod kinto;
pub mod linear;
pub mod notion;
pub mod slack;
pub mod stripe;

pub use catalogue::catalogue;

use std::sync::Arc;

use highwater_template::Template;
use highwater_template::actions::ActionTemplate;

/// Returns every template of this crate.
pub fn all() -> Vec<Arc<dyn Template>> {
    vec![
        Arc::new(airtable::Records::new()),
        Arc::new(caldav::Entries::new()),
        Arc::new(github::Comments::new()),
        Arc::new(github::Issues::new()),
        Arc::new(github::PullRequests::new()),
        Arc::new(github::Releases::new()),
        Arc::new(github::Repositories::new()),
        Arc::new(google::gmail::Messages::new()),
        Arc::new(google::calendar::Events::new()),
        Arc::new(google::drive::Files::new()),
        Arc::new(hubspot::Companies::new()),
        Arc::new(hubspot::Contacts::new()),
        Arc::new(hubspot::Deals::new()),
        Arc::new(jira::Issues::new()),
        Arc::new(kinto::Records::new()),
        Arc::new(linear::Issues::new()),
        Arc::new(linear::Teams::new()),
        Arc::new(linear::Users::new()),
        Arc::new(notion::AllPages::new()),
        Arc::new(notion::Rows::new()),
        Arc::new(slack::Channels::new()),
        Arc::new(slack::Messages::new()),
        Arc::new(slack::Users::new()),
        Arc::new(stripe::Charges::new()),
        Arc::new(stripe::Customers::new()),
        Arc::new(stripe::Invoices::new()),
        Arc::new(stripe::Subscriptions::new()),
    ]
}

/// Returns every action of this crate.
pub fn actions() -> Vec<Arc<dyn ActionTemplate>> {
    vec![
        Arc::new(github::CloseIssue::new()),
        Arc::new(github::CommentOnIssue::new()),
        Arc::new(github::CreateIssue::new()),
        Arc::new(linear::CreateIssue::new()),
        Arc::new(slack::PostMessage::new()),
        Arc::new(stripe::CreateCustomer::new()),
    ]
}
