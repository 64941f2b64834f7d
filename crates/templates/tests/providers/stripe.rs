//! Stripe: lists at first, then events.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_templates::stripe::{Customers, Invoices, Subscriptions};
use highwater_testkit::fakes::Stripe;
use highwater_testkit::{Fault, Hostile, Trial};
use serde_json::json;

use super::{kind, refresh, run, shared};

/// A little before a trial's clock begins.
const NOW: i64 = 1_767_225_000;

fn account(customers: usize) -> Stripe {
    let mut api = Stripe::at(NOW);
    (0..customers).for_each(|n| {
        api.create("customer", json!({"email": format!("c{n}@example.com")}));
    });
    api
}

#[tokio::test(start_paused = true)]
async fn changes_and_deletes_by_events() {
    let trial = Trial::new(shared(Customers::new()), account(8)).await.unwrap();
    assert_eq!(run(&trial).await, (8, 0, 0));
    assert_eq!(run(&trial).await, (0, 0, 0));
    trial.api.with(|api| {
        // Several events of one object: its latest state counts.
        (0..5).for_each(|n| api.update("customer_0001", json!({"name": format!("Name {n}")})));
        api.delete("customer_0002");
        api.create("customer", json!({"email": "new@example.com"}));
        api.create("subscription", json!({"customer": "customer_0001", "status": "active"}));
        let gone = api.create("customer", json!({}));
        api.delete(&gone);
    });
    assert_eq!(run(&trial).await, (1, 1, 1));
    assert_eq!(trial.record("Customer", "customer_0001").await.unwrap().unwrap()["name"], "Name 4");
    assert_eq!(trial.ids("Customer").await.unwrap().len(), 8, "a subscription is no customer");
    // The overlap reads old events again; they undo nothing.
    assert_eq!(run(&trial).await, (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_changes_while_the_list_is_read_is_not_lost() {
    let trial = Trial::new(shared(Customers::new()), Hostile::new(account(8))).await.unwrap();
    // Event, first page, then the list breaks off; meanwhile an object on the first page changes.
    trial.api.with(|hostile| hostile.add([Fault::None, Fault::None, Fault::Status(404)]));
    assert_eq!(kind(&trial).await, ErrorKind::NotFound);
    trial.api.with(|hostile| hostile.api.update("customer_0008", json!({"name": "Changed"})));
    trial.api.take_seen();
    run(&trial).await;
    assert!(trial.api.seen()[0].query("starting_after").is_some(), "it goes on where it was");
    run(&trial).await;
    assert_eq!(trial.ids("Customer").await.unwrap().len(), 8);
    assert_eq!(trial.record("Customer", "customer_0008").await.unwrap().unwrap()["name"], "Changed");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_older_than_the_events_is_given_up() {
    let trial = Trial::new(shared(Customers::new()), account(3)).await.unwrap();
    run(&trial).await;
    trial.environment.skip(Duration::from_secs(40 * 86_400));
    trial.api.with(|api| {
        api.now += 40 * 86_400;
        api.delete("customer_0001");
    });
    if let Err(error) = trial.run().await {
        assert_eq!(error.kind(), ErrorKind::SourceReset);
        run(&trial).await;
    }
    assert_eq!(trial.ids("Customer").await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_without_events_reads_everything_each_time() {
    let mut api = account(4);
    api.events_forbidden = true;
    let trial = Trial::new(shared(Customers::new()), api).await.unwrap();
    assert_eq!(run(&trial).await, (4, 0, 0));
    trial.api.with(|api| api.delete("customer_0003"));
    assert_eq!(run(&trial).await, (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_ended_subscription_stays() {
    let mut api = account(1);
    api.create("subscription", json!({"customer": "customer_0001", "status": "active"}));
    let trial = Trial::new(shared(Subscriptions::new()), api).await.unwrap();
    assert_eq!(run(&trial).await, (1, 0, 0));
    trial.api.with(|api| api.update("subscription_0002", json!({"status": "canceled"})));
    assert_eq!(run(&trial).await, (0, 1, 0));
    assert_eq!(refresh(&trial).await, (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_customer_is_created_once_with_a_key_and_never_twice_without() {
    let actions = highwater_templates::actions();
    let api = Hostile::new(account(0));
    let trial = Trial::with_actions(Arc::new(Customers::new()), actions, api, &[]).await.unwrap();
    let customers = || trial.api.with(|hostile| hostile.left());
    // The answer is lost: with a key the request is sent again, and Stripe knows it.
    trial.api.with(|hostile| hostile.add([Fault::Lost]));
    let input = json!({"email": "a@example.com", "idempotency_key": "k1"});
    let created = trial.act("stripe/create_customer", input).await.unwrap();
    assert_eq!((created["email"].as_str(), customers()), (Some("a@example.com"), 0));
    assert_eq!(run(&trial).await, (1, 0, 0));
    // Without one nobody knows whether it arrived: the host is told.
    trial.api.take_seen();
    trial.api.with(|hostile| hostile.add([Fault::Lost]));
    let error = trial.act("stripe/create_customer", json!({"email": "b@example.com"})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(trial.api.seen().len(), 1);
    let error = trial.act("stripe/create_supplier", json!({})).await.unwrap_err();
    assert!(error.context("known").is_some_and(|known| known.contains("stripe/create_customer")));
}

#[tokio::test(start_paused = true)]
async fn an_invoice_that_is_about_to_be_made_is_no_record_and_stops_nothing() {
    let mut api = account(1);
    let invoice = api.create("invoice", json!({"customer": "customer_0001", "status": "open", "total": 5}));
    let trial = Trial::new(shared(Invoices::new()), api).await.unwrap();
    assert_eq!(run(&trial).await, (1, 0, 0));
    trial.api.with(|api| {
        api.update(&invoice, json!({"status": "paid"}));
        api.preview_invoice("customer_0001");
    });
    assert_eq!(run(&trial).await, (0, 1, 0));
    assert_eq!(trial.record("Invoice", &invoice).await.unwrap().unwrap()["status"], "paid");
    assert_eq!(trial.ids("Invoice").await.unwrap(), [invoice]);
}

#[tokio::test(start_paused = true)]
async fn objects_have_one_shape_whatever_version_the_account_and_its_events_have() {
    let mut api = account(1);
    let period = json!({"customer": "customer_0001", "status": "active", "current_period_end": NOW});
    let (first, second) = (api.create("subscription", period.clone()), api.create("subscription", period));
    let trial = Trial::new(shared(Subscriptions::new()), api).await.unwrap();
    assert_eq!(run(&trial).await, (2, 0, 0));
    assert!(trial.api.seen().iter().all(|request| request.header("stripe-version").is_some()));
    trial.api.with(|api| {
        api.update(&first, json!({"current_period_end": NOW + 86_400}));
        // The account is upgraded; what happens from now on is told in another shape.
        api.version = "2026-09-30.endive".to_owned();
        api.update(&second, json!({"current_period_end": NOW + 86_400}));
    });
    assert_eq!(run(&trial).await, (0, 2, 0));
    for id in [first, second] {
        let record = trial.record("Subscription", &id).await.unwrap().unwrap();
        assert_eq!(record["items"]["data"][0]["current_period_end"], NOW + 86_400, "{record}");
        assert_eq!(record.get("current_period_end"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_goes_on_though_the_object_it_stopped_at_is_gone() {
    let trial = Trial::new(shared(Customers::new()), Hostile::new(account(8))).await.unwrap();
    trial.api.with(|hostile| hostile.add([Fault::None, Fault::None, Fault::Status(404)]));
    assert_eq!(kind(&trial).await, ErrorKind::NotFound);
    trial.api.with(|hostile| hostile.api.delete("customer_0006"));
    run(&trial).await;
    run(&trial).await;
    assert_eq!(trial.ids("Customer").await.unwrap().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn what_happens_in_a_new_account_is_seen_though_our_clock_is_ahead() {
    let trial = Trial::new(shared(Customers::new()), account(0)).await.unwrap();
    trial.environment.skip(Duration::from_secs(2 * 3600));
    assert_eq!(run(&trial).await, (0, 0, 0));
    trial.api.with(|api| api.create("customer", json!({"email": "first@example.com"})));
    assert_eq!(run(&trial).await, (1, 0, 0));
}
