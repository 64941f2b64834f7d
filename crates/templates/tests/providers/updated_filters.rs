//! APIs that are asked for what changed since a time.

use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_templates::{airtable, hubspot, jira, linear, notion};
use highwater_testkit::fakes::{Airtable, HubSpot, Jira, Linear, Notion};
use highwater_testkit::{FakeApi, Trial};

use super::{refresh, run, shared};

/// Lets an hour pass at both ends.
fn an_hour_later<A: FakeApi>(trial: &Trial<A>) {
    trial.environment.skip(Duration::from_secs(3600));
}

#[tokio::test(start_paused = true)]
async fn notion_pages_newest_first() {
    let mut api = Notion::default();
    (1..=8).for_each(|n| api.put(&format!("p{n}"), "Draft"));
    let trial = Trial::new(shared(notion::AllPages::new()), api).await.unwrap();
    an_hour_later(&trial);
    assert_eq!(run(&trial).await, (8, 0, 0));
    trial.api.take_seen();
    assert_eq!(run(&trial).await, (0, 0, 0));
    assert!(trial.api.seen().len() < 3, "it does not read to the end again");
    trial.api.with(|api| {
        api.put("p1", "Final");
        api.put("p9", "New");
        api.trash("p2");
    });
    assert_eq!(run(&trial).await, (1, 1, 0));
    // The search need not give every page: what it leaves out may still be there.
    assert_eq!(refresh(&trial).await, (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn notion_rows_oldest_first() {
    let mut api = Notion::default();
    (1..=8).for_each(|n| api.put(&format!("p{n}"), "Draft"));
    let trial = Trial::with_config(shared(notion::Rows::new()), api, &[("data_source", "ds")]).await.unwrap();
    an_hour_later(&trial);
    assert_eq!(run(&trial).await, (8, 0, 0));
    trial.api.with(|api| api.put("p1", "Final"));
    trial.api.take_seen();
    assert_eq!(run(&trial).await, (0, 1, 0));
    assert!(trial.api.seen().len() <= 2, "the filter leaves out what is old");
}

#[tokio::test(start_paused = true)]
async fn jira_by_minutes_before_now() {
    let mut api = Jira::default();
    (1..=8).for_each(|n| {
        api.now += 60;
        api.put(n, "Leak");
    });
    let settings = [("site", "acme"), ("jql", "project = ENG")];
    let trial = Trial::with_config(shared(jira::Issues::new()), api, &settings).await.unwrap();
    trial.environment.skip(Duration::from_secs(8 * 60));
    assert_eq!(run(&trial).await, (8, 0, 0));
    // An hour later by either clock one issue changes, in the same minute as the last one before it.
    an_hour_later(&trial);
    trial.api.with(|api| {
        api.now += 3600;
        api.put(3, "Flood");
        api.delete(4);
    });
    trial.api.take_seen();
    assert_eq!(run(&trial).await, (0, 1, 0));
    let seen = trial.api.seen();
    assert!(seen[0].query("jql").is_some_and(|jql| jql.starts_with("(project = ENG) AND updated >= \"-")), "{seen:?}");
    assert_eq!(refresh(&trial).await, (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn jira_counts_minutes_by_the_servers_clock() {
    let mut api = Jira::default();
    api.now = 600;
    api.put(1, "Leak");
    let trial = Trial::with_config(shared(jira::Issues::new()), api, &[("site", "acme")]).await.unwrap();
    trial.environment.skip(Duration::from_secs(600));
    assert_eq!(run(&trial).await, (1, 0, 0));
    // Two hours later by the server's clock, one hour later by ours.
    trial.api.with(|api| {
        for (at, id) in [(1500, 2), (4000, 3)] {
            api.now = at;
            api.put(id, "Flood");
        }
        api.now = 7800;
    });
    trial.environment.skip(Duration::from_secs(3600));
    run(&trial).await;
    trial.environment.skip(Duration::from_secs(3600));
    run(&trial).await;
    assert_eq!(trial.ids("Issue").await.unwrap(), ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn hubspot_lists_then_searches() {
    let mut api = HubSpot::default();
    (1..=8).for_each(|n| api.put(&format!("10{n}"), "a@example.com"));
    let trial = Trial::new(shared(hubspot::Contacts::new()), api).await.unwrap();
    an_hour_later(&trial);
    assert_eq!(run(&trial).await, (8, 0, 0));
    assert_eq!(run(&trial).await, (0, 0, 0));
    trial.api.with(|api| {
        (1..=5).for_each(|n| api.put(&format!("10{n}"), "b@example.com"));
        api.put("109", "new@example.com");
        api.archive("108");
    });
    assert_eq!(run(&trial).await, (1, 5, 0));
    assert_eq!(refresh(&trial).await, (0, 0, 1));
    // Four requests a second, shared by all: the clock moved on its own while they waited.
    assert!(trial.api.seen().len() > 8);
}

#[tokio::test(start_paused = true)]
async fn airtable_by_the_servers_clock() {
    let mut api = Airtable::default();
    api.now = 5000;
    (1..=8).for_each(|n| api.put(&format!("rec{n}"), "A"));
    api.now += 600;
    let settings = [("base", "app1"), ("table", "Table 1")];
    let trial = Trial::with_config(shared(airtable::Records::new()), api, &settings).await.unwrap();
    assert_eq!(run(&trial).await, (8, 0, 0));
    trial.api.with(|api| {
        api.now += 3600;
        api.put("rec2", "B");
        api.delete("rec3");
    });
    trial.api.take_seen();
    // Our clock stands an hour behind the server's; the checkpoint is the server's own time.
    assert_eq!(run(&trial).await, (0, 1, 0));
    assert_eq!(trial.api.seen().len(), 1);
    assert_eq!(refresh(&trial).await, (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn linear_by_graphql() {
    let mut api = Linear::default();
    (1..=8).for_each(|n| api.put(&format!("ENG-{n}"), "Leak"));
    api.limited = 2;
    let trial = Trial::new(shared(linear::Issues::new()), api).await.unwrap();
    an_hour_later(&trial);
    assert_eq!(run(&trial).await, (8, 0, 0), "a limit that comes as a 400 is waited out");
    trial.api.with(|api| (api.limited, api.limited_with) = (2, 200));
    assert_eq!(run(&trial).await, (0, 0, 0), "and so is one that comes with 200");
    trial.api.with(|api| {
        api.now += 3600;
        api.put("ENG-1", "Flood");
        api.delete("ENG-2");
    });
    an_hour_later(&trial);
    trial.api.take_seen();
    assert_eq!(run(&trial).await, (0, 1, 0));
    // Archived issues and those in the bin come only when they are asked for, and tell what they are.
    let query = trial.api.seen()[0].json()["query"].as_str().unwrap().to_owned();
    assert!(query.contains("includeArchived: true") && query.contains("archivedAt") && query.contains("trashed"));
    // Two minutes before the latest change known.
    let since = &trial.api.seen()[0].json()["variables"]["filter"]["updatedAt"]["gte"];
    assert_eq!(since, "2025-12-31T23:58:08.000Z");
    assert_eq!(refresh(&trial).await, (0, 0, 1));
    trial.use_credentials(highwater_engine::Credentials::token(highwater_engine::Secret::new("another")));
    let error = trial.run().await.unwrap_err();
    assert_eq!((error.kind(), error.context("told")), (ErrorKind::Remote, Some("not understood")));
}
