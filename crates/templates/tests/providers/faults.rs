//! Every template, and every kind of fault at every request of a full refresh: no record is lost or deleted, and the
//! error says that it is the API's.

use std::sync::Arc;

use highwater_core::ErrorKind;
use highwater_core::template::Template;
use highwater_engine::RunOptions;
use highwater_templates::google::{calendar, drive, gmail};
use highwater_templates::{airtable, github, hubspot, jira, linear, notion, slack, stripe};
use highwater_testkit::fakes::{
    Airtable, Calendar, Drive, GitHub, Gmail, HubSpot, Jira, Linear, Notion, Slack, Stripe,
};
use highwater_testkit::{FakeApi, Fault, Hostile, Trial};
use serde_json::json;

use super::{refresh, run, shared};

/// Requests that a fault meets: the first so many of each run.
const REQUESTS: usize = 7;

fn faults() -> Vec<(&'static str, Vec<Fault>)> {
    let body = |text: &str| Fault::Body(200, text.to_owned());
    vec![
        ("half an answer", vec![Fault::Truncated]),
        ("no answer, three times", vec![Fault::Lost, Fault::Lost, Fault::Lost]),
        ("a server that fails, three times", vec![Fault::Status(500), Fault::Status(502), Fault::Status(503)]),
        ("a server that fails once", vec![Fault::Status(503)]),
        ("too many requests", vec![Fault::RetryAfter(3)]),
        ("an ended token", vec![Fault::TokenEnded]),
        ("an empty object", vec![body("{}")]),
        ("null", vec![body("null")]),
        ("nothing", vec![body("")]),
        ("a page for people", vec![body("<html><body>We are working on it</body></html>")]),
    ]
}

async fn bears<A: FakeApi>(template: Arc<dyn Template>, api: A, settings: &[(&str, &str)]) {
    let (name, model) = (template.info().id(), template.info().models[0].name.clone());
    let trial = Trial::with_config(template, Hostile::new(api), settings).await.unwrap();
    assert_eq!(run(&trial).await.0, 8, "{name}");
    let ids = trial.ids(&model).await.unwrap();
    for (what, faults) in faults() {
        for place in 0..REQUESTS {
            trial.api.with(|api| {
                api.clear();
                api.add((0..place).map(|_| Fault::None).chain(faults.iter().cloned()));
            });
            if let Err(error) = trial.run_with(RunOptions::default().full(true)).await {
                let expected = [
                    ErrorKind::Remote,
                    ErrorKind::Unauthorized,
                    ErrorKind::RateLimited,
                    ErrorKind::Unavailable,
                    ErrorKind::AwaitingApproval,
                ];
                assert!(expected.contains(&error.kind()), "{name}, {what} at request {place}: {error:?}");
            }
            assert_eq!(trial.ids(&model).await.unwrap(), ids, "{name}, {what} at request {place}");
        }
    }
    trial.api.with(|api| api.clear());
    assert_eq!(refresh(&trial).await, (0, 0, 0), "{name}");
}

#[tokio::test(start_paused = true)]
async fn github_bears_them() {
    let settings = [("owner", "acme"), ("repo", "pump")];
    let repository = || {
        let mut api = GitHub::default();
        for n in 1..=8 {
            api.now += 300;
            api.put_issue(n, "Leak");
            api.put_comment(n, "Same here");
            api.put_release(n, "v1");
            api.put_repository(n, "pump");
        }
        api
    };
    bears(shared(github::Issues::new()), repository(), &settings).await;
    bears(shared(github::Comments::new()), repository(), &settings).await;
    bears(shared(github::Releases::new()), repository(), &settings).await;
    bears(shared(github::Repositories::new()), repository(), &settings[..1]).await;
    let mut api = GitHub::default();
    (1..=8).for_each(|n| api.put_pull(n, "Mend"));
    bears(shared(github::PullRequests::new()), api, &settings).await;
}

#[tokio::test(start_paused = true)]
async fn google_bears_them() {
    let mut api = Calendar::default();
    (1..=8).for_each(|n| api.put(&format!("e{n}"), "Meeting"));
    bears(shared(calendar::Events::new()), api, &[]).await;
    let mut api = Gmail::default();
    (1..=8).for_each(|n| api.receive(&format!("m{n}")));
    bears(shared(gmail::Messages::new()), api, &[]).await;
    let mut api = Drive::default();
    (1..=8).for_each(|n| api.put(&format!("f{n}"), "Plan", false));
    bears(shared(drive::Files::new()), api, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn slack_bears_them() {
    let mut api = Slack::default();
    (1..=8).for_each(|n| api.put_user(&format!("U{n}"), "ann"));
    bears(shared(slack::Users::new()), api, &[]).await;
    let mut api = Slack::default();
    api.put_channel("C1", true);
    api.put_channel("C2", true);
    (1..=3).for_each(|_| {
        api.post("C1", "Water level");
    });
    let thread = api.post("C2", "Who mends the pump?");
    (1..=4).for_each(|_| {
        api.reply("C2", &thread, "Not me");
    });
    bears(shared(slack::Messages::new()), api, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn stripe_bears_them() {
    let mut api = Stripe::at(1_767_225_000);
    (1..=8).for_each(|_| {
        api.create("customer", json!({}));
    });
    bears(shared(stripe::Customers::new()), api, &[]).await;
    let mut api = Stripe::at(1_767_225_000);
    (1..=8).for_each(|_| {
        api.create("invoice", json!({}));
    });
    bears(shared(stripe::Invoices::new()), api, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn those_that_filter_by_time_bear_them() {
    let mut api = Notion::default();
    (1..=8).for_each(|n| api.put(&format!("p{n}"), "Draft"));
    bears(shared(notion::AllPages::new()), api, &[]).await;
    let mut api = Jira::default();
    (1..=8).for_each(|n| api.put(n, "Leak"));
    bears(shared(jira::Issues::new()), api, &[("site", "acme")]).await;
    let mut api = HubSpot::default();
    (1..=8).for_each(|n| api.put(&format!("10{n}"), "a@example.com"));
    bears(shared(hubspot::Contacts::new()), api, &[]).await;
    let mut api = Airtable::default();
    (1..=8).for_each(|n| api.put(&format!("rec{n}"), "A"));
    bears(shared(airtable::Records::new()), api, &[("base", "app1"), ("table", "Table 1")]).await;
    let mut api = Linear::default();
    (1..=8).for_each(|n| api.put(&format!("ENG-{n}"), "Leak"));
    bears(shared(linear::Issues::new()), api, &[]).await;
}
