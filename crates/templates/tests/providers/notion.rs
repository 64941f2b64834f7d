//! Notion's queries, which end at 10,000 results without an error.

use std::time::Duration;

use highwater_core::Environment;
use highwater_templates::notion::{AllPages, Rows};
use highwater_testkit::fakes::Notion;
use highwater_testkit::{FakeApi, Fault, Hostile, Trial};

use super::{refresh, run, shared};

/// Rows of which `a_minute` were created in each minute.
fn rows(count: usize, a_minute: usize) -> Notion {
    let mut api = Notion::default();
    api.page = 100;
    for n in 0..count {
        if n % a_minute == 0 {
            api.now += 60;
        }
        api.put_now(&format!("p{n:05}"), "Draft");
    }
    api
}

async fn data_source<A: FakeApi>(api: A) -> Trial<A> {
    let trial = Trial::with_config(shared(Rows::new()), api, &[("data_source", "ds")]).await.unwrap();
    trial.environment.skip(Duration::from_secs(7 * 86_400));
    trial
}

#[tokio::test(start_paused = true)]
async fn more_rows_than_a_query_gives() {
    let trial = data_source(rows(11_500, 300)).await;
    assert_eq!(run(&trial).await, (11_500, 0, 0));
    assert_eq!(run(&trial).await, (0, 0, 0));
    // All are edited, more of them in some minutes than a query gives.
    trial.api.with(|api| {
        api.now += 3600;
        (0..11_500).for_each(|n| api.put_now(&format!("p{n:05}"), "Final"));
        api.trash("p00003");
    });
    assert_eq!(run(&trial).await, (0, 11_499, 0));
    assert_eq!(refresh(&trial).await, (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn rows_of_one_minute_beyond_what_any_query_gives_delete_nothing() {
    let mut api = rows(40, 40);
    (api.page, api.cap) = (10, 100);
    let trial = data_source(api).await;
    assert_eq!(run(&trial).await, (40, 0, 0));
    // Now a query gives fewer than were created in one minute and edited in one minute.
    trial.api.with(|api| api.cap = 20);
    let _ = trial.refresh().await;
    assert_eq!(trial.ids("Page").await.unwrap().len(), 40);
    trial.api.with(|api| {
        api.now += 3600;
        api.put_now("p00039", "Final");
        api.cap = 100;
    });
    run(&trial).await;
    let page = trial.record("Page", "p00039").await.unwrap().unwrap();
    assert_eq!(page["properties"]["Name"]["title"][0]["plain_text"], "Final");
    assert_eq!(refresh(&trial).await, (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_first_reading_that_breaks_off_goes_on_where_it_was() {
    let mut api = rows(60, 2);
    (api.page, api.cap) = (10, 20);
    let trial = data_source(Hostile::new(api)).await;
    trial.api.with(|api| api.add([Fault::None, Fault::None, Fault::None, Fault::None, Fault::Status(404)]));
    trial.run().await.unwrap_err();
    let known = trial.ids("Page").await.unwrap().len();
    assert!(known >= 30, "{known}");
    // One that was read already is edited meanwhile.
    trial.api.with(|api| {
        api.api.now += 600;
        api.api.put_now("p00001", "Final");
    });
    trial.api.take_seen();
    run(&trial).await;
    assert!(trial.api.seen().len() <= 5, "{}", trial.api.seen().len());
    run(&trial).await;
    let page = trial.record("Page", "p00001").await.unwrap().unwrap();
    assert_eq!(page["properties"]["Name"]["title"][0]["plain_text"], "Final");
    assert_eq!(trial.ids("Page").await.unwrap().len(), 60);
    assert_eq!(refresh(&trial).await, (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_search_deletes_nothing_for_it_need_not_give_every_page() {
    let mut api = rows(8, 1);
    api.page = 3;
    let trial = Trial::new(shared(AllPages::new()), api).await.unwrap();
    trial.environment.skip(Duration::from_secs(3600));
    assert_eq!(run(&trial).await, (8, 0, 0));
    trial.api.with(|api| api.unindexed.push("p00003".to_owned()));
    assert_eq!(refresh(&trial).await, (0, 0, 0));
    assert_eq!(trial.ids("Page").await.unwrap().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_search_that_is_cut_is_read_from_both_ends() {
    let mut api = rows(35, 1);
    (api.page, api.cap) = (10, 20);
    let trial = Trial::new(shared(AllPages::new()), api).await.unwrap();
    trial.environment.skip(Duration::from_secs(86_400));
    let began = trial.environment.now().unix_ms();
    assert_eq!(run(&trial).await, (35, 0, 0));
    assert!(trial.environment.now().unix_ms() >= began);
    // Too many even for that: what can be read is read, and the run says that it is not all.
    trial.api.with(|api| (35..60).for_each(|n| api.put(&format!("p{n:05}"), "Draft")));
    trial.environment.skip(Duration::from_secs(86_400));
    let _ = trial.refresh().await;
    assert_eq!(trial.ids("Page").await.unwrap().len(), 55);
}
