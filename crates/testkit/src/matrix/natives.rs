//! The subjects of the ready templates: each with a [fake](crate::fakes) of a few pages.

mod feeds;
mod github;
mod lists;
mod slack;
mod stock;

use std::sync::Arc;

use highwater_template::Template;

use super::subject::Subject;

/// Returns the subject of a ready template, by its id; `None` for a template that is not one of Highwater's own.
///
/// ```
/// use highwater_testkit::matrix::natives;
/// let subjects = highwater_templates::all().into_iter().map(natives::subject);
/// assert!(subjects.collect::<Option<Vec<_>>>().is_some());
/// ```
pub fn subject(template: Arc<dyn Template>) -> Option<Subject> {
    let id = template.info().id();
    let (provider, _) = id.split_once('/')?;
    match provider {
        "github" => github::subject(&id, template),
        "slack" => slack::subject(&id, template),
        "gmail" | "google-calendar" | "google-drive" | "caldav" | "kinto" | "stripe" => feeds::subject(&id, template),
        _ => lists::subject(&id, template),
    }
}
