//! Each template against a stateful API that follows its provider's documentation: first run, nothing, changes, deletes.

mod caldav;
mod change_feeds;
mod faults;
mod github;
mod hostile;
mod hubspot;
mod jira_sites;
mod kinto;
mod notion;
mod sign_in;
mod slack;
mod slack_events;
mod stripe;
mod updated_filters;

use std::sync::Arc;

use highwater_core::ErrorKind;
use highwater_template::Template;
use highwater_testkit::{FakeApi, Trial};

/// What a run brought: added, updated, deleted.
async fn run<A: FakeApi>(trial: &Trial<A>) -> (u64, u64, u64) {
    let report = trial.run().await.unwrap();
    (report.progress.counts.added, report.progress.counts.updated, report.progress.counts.deleted)
}

/// The same of a full refresh.
async fn refresh<A: FakeApi>(trial: &Trial<A>) -> (u64, u64, u64) {
    let report = trial.refresh().await.unwrap();
    (report.progress.counts.added, report.progress.counts.updated, report.progress.counts.deleted)
}

async fn kind<A: FakeApi>(trial: &Trial<A>) -> ErrorKind {
    trial.run().await.unwrap_err().kind()
}

#[test]
fn the_catalogue_page_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/catalogue.md");
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page == highwater_templates::catalogue(), "run `cargo xtask catalogue`");
}

fn shared(template: impl Template) -> Arc<dyn Template> {
    Arc::new(template)
}
