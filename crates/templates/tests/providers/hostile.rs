//! What every template bears, shown on one.

use std::time::Duration;

use highwater_core::{Environment, ErrorKind};
use highwater_templates::google::drive;
use highwater_testkit::fakes::Drive;
use highwater_testkit::{Fault, Hostile, Trial};

use super::{kind, run, shared};

fn files(count: usize) -> Hostile<Drive> {
    let mut api = Drive::default();
    (0..count).for_each(|n| api.put(&format!("f{n:02}"), "Plan", false));
    Hostile::new(api)
}

#[tokio::test(start_paused = true)]
async fn faults_of_every_kind_and_the_copy_is_right() {
    let trial = Trial::new(shared(drive::Files::new()), files(20)).await.unwrap();
    let now_s = trial.environment.now().unix_ms() / 1000;
    trial.api.with(|api| {
        api.add([
            Fault::RetryAfter(30),
            Fault::None,
            Fault::RetryAfterDate(now_s + 90),
            Fault::Status(502),
            Fault::Lost,
            Fault::None,
            Fault::UsedUp(((now_s + 300) * 1000).to_string()),
            Fault::Refused,
            Fault::Status(503),
            Fault::Body(403, r#"{"error":{"errors":[{"reason":"userRateLimitExceeded"}]}}"#.to_owned()),
        ]);
    });
    assert_eq!(run(&trial).await, (20, 0, 0));
    assert_eq!(trial.api.with(|api| api.left()), 0);
    // What was asked for was waited: at least until the reset, and not for years.
    let waited = trial.environment.now().unix_ms() / 1000 - now_s;
    assert!((300..400).contains(&waited), "{waited} s");
    assert_eq!(run(&trial).await, (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn half_a_page_saves_nothing_and_repeats_do_no_harm() {
    let trial = Trial::new(shared(drive::Files::new()), files(9)).await.unwrap();
    trial.api.with(|api| api.add([Fault::None, Fault::None, Fault::Truncated]));
    assert_eq!(kind(&trial).await, ErrorKind::Remote);
    assert_eq!(trial.ids("File").await.unwrap().len(), 3);
    run(&trial).await;
    assert_eq!(trial.ids("File").await.unwrap().len(), 9);
    // A page that comes twice names itself as the next one: the list would have no end.
    trial.api.with(|api| {
        (20..30).for_each(|n| api.api.put(&format!("f{n}"), "New", false));
        api.add([Fault::None, Fault::Repeated]);
    });
    assert_eq!(kind(&trial).await, ErrorKind::Remote);
    run(&trial).await;
    assert_eq!(trial.ids("File").await.unwrap().len(), 19);
}

#[tokio::test(start_paused = true)]
async fn a_reset_a_day_away_ends_the_run_and_says_when() {
    let trial = Trial::new(shared(drive::Files::new()), files(9)).await.unwrap();
    trial.api.with(|api| api.add([Fault::None, Fault::None, Fault::UsedUp("99999999999".to_owned())]));
    let error = trial.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited, "{error}");
    assert!(error.retry_after().is_some_and(|wait| wait <= Duration::from_secs(24 * 60 * 60)), "{error:?}");
    assert_eq!(trial.ids("File").await.unwrap().len(), 3);
}
