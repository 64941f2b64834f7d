//! HubSpot's search, which ends at 10,000 results of a query.

use std::time::Duration;

use highwater_templates::hubspot::Contacts;
use highwater_testkit::fakes::HubSpot;
use highwater_testkit::{Fault, Hostile, Trial};

use super::{refresh, run, shared};

fn account(contacts: u64) -> HubSpot {
    let mut api = HubSpot::default();
    api.page = 100;
    (1..=contacts).for_each(|n| api.put_now(&n.to_string(), "a@example.com"));
    api
}

#[tokio::test(start_paused = true)]
async fn more_contacts_than_a_search_gives_that_changed_at_one_time() {
    let trial = Trial::new(shared(Contacts::new()), Hostile::new(account(50))).await.unwrap();
    trial.environment.skip(Duration::from_secs(3600));
    assert_eq!(run(&trial).await, (50, 0, 0));
    // An import: all of them get the same time.
    trial.api.with(|api| {
        api.api.now += 600;
        (1..=11_500).for_each(|n| api.api.put_now(&n.to_string(), "b@example.com"));
    });
    trial.environment.skip(Duration::from_secs(3600));
    assert_eq!(run(&trial).await, (11_450, 50, 0));
    trial.api.with(|api| {
        api.api.now += 600;
        api.api.put_now("7", "c@example.com");
    });
    assert_eq!(run(&trial).await, (0, 1, 0));
    assert_eq!(refresh(&trial).await, (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_search_that_breaks_off_goes_on_where_it_was_and_misses_nothing_that_changed_meanwhile() {
    let trial = Trial::new(shared(Contacts::new()), Hostile::new(account(50))).await.unwrap();
    trial.environment.skip(Duration::from_secs(3600));
    assert_eq!(run(&trial).await, (50, 0, 0));
    trial.api.with(|api| {
        api.api.page = 10;
        api.api.now += 600;
        (1..=50).for_each(|n| api.api.put_now(&n.to_string(), "b@example.com"));
        api.add([Fault::None, Fault::None, Fault::None, Fault::Status(404)]);
    });
    trial.run().await.unwrap_err();
    // One that was read already changes before the search goes on, and one that was not.
    trial.api.with(|api| {
        api.api.now += 600;
        api.api.put_now("3", "c@example.com");
        api.api.put_now("44", "c@example.com");
    });
    trial.environment.skip(Duration::from_secs(3600));
    trial.api.take_seen();
    run(&trial).await;
    assert!(trial.api.seen().len() <= 3, "what was read is not read again: {}", trial.api.seen().len());
    run(&trial).await;
    for id in ["3", "44"] {
        let contact = trial.record("Contact", id).await.unwrap().unwrap();
        assert_eq!(contact["properties"]["email"], "c@example.com", "{id}");
    }
    assert_eq!(refresh(&trial).await, (0, 0, 0));
}
