//! Every template, and every kind of fault at every request: no record is lost or deleted, no change is missed, and
//! the error says that it is the API's.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::{ErrorKind, Result};
use highwater_engine::{RunOptions, RunReport};
use highwater_template::Template;
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
        ("another record", vec![body(r#"{"id":"another"}"#)]),
        ("null", vec![body("null")]),
        ("nothing", vec![body("")]),
        ("a page for people", vec![body("<html><body>We are working on it</body></html>")]),
    ]
}

/// Tries a template that has eight records; `change` writes something new into one of them.
async fn bears<A: FakeApi>(
    template: Arc<dyn Template>,
    api: A,
    settings: &[(&str, &str)],
    change: impl Fn(&mut A, &str),
) {
    let (name, model) = (template.info().id(), template.info().models[0].name.clone());
    let trial = Trial::with_config(template, Hostile::new(api), settings).await.unwrap();
    // What the API has is in the past by our clock.
    trial.environment.skip(Duration::from_secs(7 * 24 * 3600));
    assert_eq!(run(&trial).await.0, 8, "{name}");
    let ids = trial.ids(&model).await.unwrap();
    for (what, faults) in faults() {
        for place in 0..REQUESTS {
            let told = format!("{name}, {what} at request {place}");
            let meet = |api: &mut Hostile<A>| {
                api.clear();
                api.add((0..place).map(|_| Fault::None).chain(faults.iter().cloned()));
            };
            trial.api.with(|api| {
                change(&mut api.api, &told);
                meet(api);
            });
            ended_well_or_by_the_api(&told, trial.run().await);
            trial.api.with(meet);
            ended_well_or_by_the_api(&told, trial.run_with(RunOptions::default().full(true)).await);
            assert_eq!(trial.ids(&model).await.unwrap(), ids, "{told}");
            // What the run with the fault did not bring, the next one does.
            trial.api.with(|api| {
                api.clear();
                change(&mut api.api, &told);
                change(&mut api.api, &format!("{told}, again"));
                meet(api);
            });
            ended_well_or_by_the_api(&told, trial.run().await);
            trial.api.with(|api| api.clear());
            run(&trial).await;
            assert_eq!(refresh(&trial).await, (0, 0, 0), "{told}");
        }
    }
}

fn ended_well_or_by_the_api(told: &str, outcome: Result<RunReport>) {
    let by_the_api = [
        ErrorKind::Remote,
        ErrorKind::Unauthorized,
        ErrorKind::RateLimited,
        ErrorKind::Unavailable,
        ErrorKind::AwaitingApproval,
    ];
    if let Err(error) = outcome {
        assert!(by_the_api.contains(&error.kind()), "{told}: {error:?}");
    }
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
    bears(shared(github::Issues::new()), repository(), &settings, |api, text| api.put_issue(3, text)).await;
    bears(shared(github::Comments::new()), repository(), &settings, |api, text| api.put_comment(3, text)).await;
    bears(shared(github::Releases::new()), repository(), &settings, |api, text| api.put_release(3, text)).await;
    bears(shared(github::Repositories::new()), repository(), &settings[..1], |api, text| api.put_repository(3, text))
        .await;
    let mut api = GitHub::default();
    (1..=8).for_each(|n| api.put_pull(n, "Mend"));
    bears(shared(github::PullRequests::new()), api, &settings, |api, text| api.put_pull(3, text)).await;
}

#[tokio::test(start_paused = true)]
async fn google_bears_them() {
    let mut api = Calendar::default();
    (1..=8).for_each(|n| api.put(&format!("e{n}"), "Meeting"));
    bears(shared(calendar::Events::new()), api, &[], |api, text| api.put("e3", text)).await;
    let mut api = Gmail::default();
    (1..=8).for_each(|n| api.receive(&format!("m{n}")));
    bears(shared(gmail::Messages::new()), api, &[], |api, _| api.read("m3")).await;
    let mut api = Drive::default();
    (1..=8).for_each(|n| api.put(&format!("f{n}"), "Plan", false));
    bears(shared(drive::Files::new()), api, &[], |api, text| api.put("f3", text, false)).await;
}

#[tokio::test(start_paused = true)]
async fn slack_bears_them() {
    let mut api = Slack::default();
    (1..=8).for_each(|n| api.put_user(&format!("U{n}"), "ann"));
    bears(shared(slack::Users::new()), api, &[], |api, text| api.put_user("U3", text)).await;
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
    bears(shared(slack::Messages::new()), api, &[], |api, text| api.edit("C2", &thread, text)).await;
}

#[tokio::test(start_paused = true)]
async fn stripe_bears_them() {
    let mut api = Stripe::at(1_767_225_000);
    (1..=8).for_each(|_| {
        api.create("customer", json!({}));
    });
    bears(shared(stripe::Customers::new()), api, &[], |api, text| api.update("customer_0003", json!({"name": text})))
        .await;
    let mut api = Stripe::at(1_767_225_000);
    (1..=8).for_each(|_| {
        api.create("invoice", json!({}));
    });
    bears(shared(stripe::Invoices::new()), api, &[], |api, text| api.update("invoice_0003", json!({"memo": text})))
        .await;
}

#[tokio::test(start_paused = true)]
async fn those_that_filter_by_time_bear_them() {
    let mut api = Notion::default();
    (1..=8).for_each(|n| api.put(&format!("p{n}"), "Draft"));
    bears(shared(notion::AllPages::new()), api, &[], |api, text| api.put("p3", text)).await;
    let mut api = Jira::default();
    (1..=8).for_each(|n| api.put(n, "Leak"));
    bears(shared(jira::Issues::new()), api, &[("site", "acme")], |api, text| api.put(3, text)).await;
    let mut api = HubSpot::default();
    (1..=8).for_each(|n| api.put(&format!("10{n}"), "a@example.com"));
    bears(shared(hubspot::Contacts::new()), api, &[], |api, text| api.put("103", text)).await;
    let mut api = Airtable::default();
    (1..=8).for_each(|n| api.put(&format!("rec{n}"), "A"));
    bears(shared(airtable::Records::new()), api, &[("base", "app1"), ("table", "Table 1")], |api, text| {
        api.put("rec3", text)
    })
    .await;
    let mut api = Linear::default();
    (1..=8).for_each(|n| api.put(&format!("ENG-{n}"), "Leak"));
    bears(shared(linear::Issues::new()), api, &[], |api, text| api.put("ENG-3", text)).await;
}
