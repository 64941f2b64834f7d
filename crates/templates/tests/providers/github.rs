//! GitHub's lists: by `since`, newest first, and whole.

use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_template::Template;
use highwater_templates::github;
use highwater_testkit::fakes::GitHub;
use highwater_testkit::{FakeRequest, Trial, json};

use super::{refresh, run, shared};

async fn trial(template: impl Template, api: GitHub) -> Trial<GitHub> {
    let trial = Trial::with_config(shared(template), api, &[("owner", "acme"), ("repo", "pump")]).await.unwrap();
    // The trial's clock stands at the beginning of what the fake knows: what it has is in the past.
    trial.environment.skip(Duration::from_secs(3600));
    trial
}

/// Runs that find nothing, once it is known that there is nothing, cost no request of the limit.
async fn quiet_runs_are_free(trial: &Trial<GitHub>) {
    assert_eq!(run(trial).await, (0, 0, 0));
    let charged = trial.api.with(|api| api.charged);
    for _ in 0..3 {
        assert_eq!(run(trial).await, (0, 0, 0));
    }
    assert_eq!(trial.api.with(|api| api.charged), charged);
}

#[tokio::test(start_paused = true)]
async fn issues_by_since_without_pull_requests() {
    let mut api = GitHub::default();
    for n in 1..=8 {
        api.now += 300;
        api.put_issue(n, "Leak");
    }
    api.put_pull(9, "Mend the leak");
    let trial = trial(github::Issues::new(), api).await;
    assert_eq!(run(&trial).await, (8, 0, 0));
    quiet_runs_are_free(&trial).await;

    trial.api.with(|api| {
        api.now += 1000;
        api.put_issue(3, "Flood");
        api.put_issue(10, "Drought");
        api.put_pull(11, "Dig a well");
    });
    assert_eq!(run(&trial).await, (1, 1, 0));
    assert_eq!(trial.record("Issue", "3").await.unwrap().unwrap()["title"], "Flood");
    quiet_runs_are_free(&trial).await;

    // One that only goes away is no change to a list by `since`.
    trial.api.with(|api| api.delete("issues", 1));
    assert_eq!(run(&trial).await, (0, 0, 0));
    assert_eq!(refresh(&trial).await, (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_change_between_two_pages_hides_no_issue() {
    let mut api = GitHub::default();
    (1..=9).for_each(|n| api.put_issue(n, "Leak"));
    // It moves to the end of the list, and the rest a place forward.
    api.change_after_next_page("issues", 1);
    let trial = trial(github::Issues::new(), api).await;
    assert_eq!(run(&trial).await.0, 9);
    assert_eq!(trial.ids("Issue").await.unwrap().len(), 9);
}

#[tokio::test(start_paused = true)]
async fn comments_by_since() {
    let mut api = GitHub::default();
    for n in 1..=7 {
        api.now += 300;
        api.put_comment(n, "Same here");
    }
    let trial = trial(github::Comments::new(), api).await;
    assert_eq!(run(&trial).await, (7, 0, 0));
    quiet_runs_are_free(&trial).await;
    trial.api.with(|api| {
        api.now += 500;
        api.put_comment(2, "Solved");
        api.put_comment(8, "Thanks");
    });
    assert_eq!(run(&trial).await, (1, 1, 0));
    trial.api.with(|api| api.delete("comments", 4));
    assert_eq!(refresh(&trial).await, (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn pull_requests_newest_first() {
    let mut api = GitHub::default();
    for n in 1..=8 {
        api.now += 300;
        api.put_pull(n, "Mend");
    }
    let trial = trial(github::PullRequests::new(), api).await;
    assert_eq!(run(&trial).await, (8, 0, 0));
    let charged = trial.api.with(|api| api.charged);
    assert_eq!(run(&trial).await, (0, 0, 0));
    assert_eq!(trial.api.with(|api| api.charged), charged, "the first page was known from the first run on");

    trial.api.with(|api| {
        api.now += 1000;
        api.put_pull(3, "Mend it well");
        api.put_pull(9, "Paint");
    });
    trial.api.take_seen();
    assert_eq!(run(&trial).await, (1, 1, 0));
    assert!(trial.api.seen().len() <= 2, "it does not read to the end again");
    quiet_runs_are_free(&trial).await;
    trial.api.with(|api| api.delete("pulls", 1));
    assert_eq!(refresh(&trial).await, (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_pull_request_that_changes_while_pages_are_read_comes_with_the_next_run() {
    let mut api = GitHub::default();
    (1..=8).for_each(|n| api.put_pull(n, "Mend"));
    api.change_after_next_page("pulls", 8);
    let trial = trial(github::PullRequests::new(), api).await;
    assert_eq!(run(&trial).await.0, 8);
    let before = trial.record("PullRequest", "8").await.unwrap().unwrap()["updated_at"].clone();
    run(&trial).await;
    let after = trial.record("PullRequest", "8").await.unwrap().unwrap()["updated_at"].clone();
    assert_ne!(before, after, "the mark of the first page was older than the change");
}

#[tokio::test(start_paused = true)]
async fn releases_and_repositories_whole() {
    let mut api = GitHub::default();
    (1..=5).for_each(|n| api.put_release(n, &format!("v{n}")));
    let trial = trial(github::Releases::new(), api).await;
    assert_eq!(run(&trial).await, (5, 0, 0));
    trial.api.with(|api| {
        api.delete("releases", 2);
        api.put_release(5, "v5.1");
    });
    assert_eq!(run(&trial).await, (0, 1, 1));

    for kind in ["user", "org"] {
        let settings = [("owner", "acme"), ("kind", kind)];
        let mut api = GitHub::default();
        (1..=5).for_each(|n| api.put_repository(n, &format!("r{n}")));
        let trial = Trial::with_config(shared(github::Repositories::new()), api, &settings).await.unwrap();
        assert_eq!(run(&trial).await, (5, 0, 0));
        trial.api.with(|api| api.delete("repos", 2));
        assert_eq!(run(&trial).await, (0, 0, 1));
        let place = if kind == "user" { "/users/acme/repos" } else { "/orgs/acme/repos" };
        assert!(trial.api.seen().iter().all(|request| request.path == place));
    }
}

#[tokio::test(start_paused = true)]
async fn issues_that_were_switched_off_are_told_as_that_and_stay() {
    let mut on = true;
    let api = move |_: &FakeRequest| {
        let answer = match on {
            true => json(200, r#"[{"id": 1, "number": 1, "updated_at": "2025-12-01T10:00:00Z"}]"#),
            false => json(410, r#"{"message": "Issues are disabled for this repo"}"#),
        };
        on = false;
        answer
    };
    let settings = [("owner", "acme"), ("repo", "pump")];
    let trial = Trial::with_config(shared(github::Issues::new()), api, &settings).await.unwrap();
    trial.run().await.unwrap();
    for attempt in 2..4 {
        let error = trial.run().await.unwrap_err();
        assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("switched off"), "{error}");
        assert_eq!(trial.api.seen().len(), attempt, "nothing is read again for it");
    }
    assert_eq!(trial.ids("Issue").await.unwrap(), ["1"]);
}
