//! APIs that give a token and tell what changed since.

use highwater_core::ErrorKind;
use highwater_templates::google::{calendar, drive, gmail};
use highwater_testkit::fakes::{Calendar, Drive, Gmail};
use highwater_testkit::{Fault, Hostile, Trial};

use super::{kind, refresh, run, shared};

#[tokio::test(start_paused = true)]
async fn google_calendar_by_sync_token() {
    let mut api = Calendar::default();
    (1..=8).for_each(|n| api.put(&format!("e{n}"), "Meeting"));
    api.cancel("e8");
    let trial = Trial::new(shared(calendar::Events::new()), api).await.unwrap();
    assert_eq!(run(&trial).await, (7, 0, 0));
    trial.api.take_seen();
    assert_eq!(run(&trial).await, (0, 0, 0));
    assert_eq!(trial.api.seen().len(), 1, "a quiet calendar costs one request");
    trial.api.with(|api| {
        api.put("e1", "Moved");
        api.put("e9", "New");
        (2..=5).for_each(|n| api.cancel(&format!("e{n}")));
    });
    assert_eq!(run(&trial).await, (1, 1, 4));
    assert_eq!(trial.ids("Event").await.unwrap(), ["e1", "e6", "e7", "e9"]);
    // Every page of a list carries the same parameters but the page's token.
    assert!(trial.api.seen().iter().all(|request| request.query("maxResults") == Some("2500")));
}

#[tokio::test(start_paused = true)]
async fn h51_a_forgotten_sync_token_leads_to_a_new_list_and_deletes_by_absence() {
    let mut api = Calendar::default();
    (1..=4).for_each(|n| api.put(&format!("e{n}"), "Meeting"));
    let trial = Trial::new(shared(calendar::Events::new()), api).await.unwrap();
    run(&trial).await;
    trial.api.with(|api| {
        api.cancel("e2");
        api.put("e5", "New");
        api.forget();
    });
    // The run that meets it may go on with a new list itself, or leave that to the next one.
    if let Err(error) = trial.run().await {
        assert_eq!(error.kind(), ErrorKind::SourceReset);
        run(&trial).await;
    }
    assert_eq!(trial.ids("Event").await.unwrap(), ["e1", "e3", "e4", "e5"]);
    assert_eq!(run(&trial).await, (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_breaks_off_goes_on_where_it_was() {
    let mut api = Calendar::default();
    (1..=9).for_each(|n| api.put(&format!("e{n}"), "Meeting"));
    let trial = Trial::new(shared(calendar::Events::new()), Hostile::new(api)).await.unwrap();
    trial.api.with(|api| api.add([Fault::None, Fault::Status(404)]));
    assert_eq!(kind(&trial).await, ErrorKind::NotFound);
    assert_eq!(trial.ids("Event").await.unwrap().len(), 3);
    trial.api.take_seen();
    run(&trial).await;
    assert_eq!(trial.api.seen()[0].query("pageToken"), Some("3"), "the first page is not asked for again");
    assert_eq!(trial.ids("Event").await.unwrap().len(), 9);
    assert_eq!(run(&trial).await, (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_sync_token_that_is_called_invalid_is_as_good_as_forgotten() {
    let mut api = Calendar::default();
    (1..=4).for_each(|n| api.put(&format!("e{n}"), "Meeting"));
    let trial = Trial::new(shared(calendar::Events::new()), api).await.unwrap();
    run(&trial).await;
    trial.api.with(|api| {
        api.cancel("e2");
        api.put("e5", "New");
        api.forget();
        api.forgets_by_400 = true;
    });
    if let Err(error) = trial.run().await {
        assert_eq!(error.kind(), ErrorKind::SourceReset, "{error:?}");
        run(&trial).await;
    }
    assert_eq!(trial.ids("Event").await.unwrap(), ["e1", "e3", "e4", "e5"]);
    assert_eq!(run(&trial).await, (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_page_token_that_is_refused_begins_the_list_anew() {
    let broken = || [Fault::None, Fault::None, Fault::None, Fault::None, Fault::Status(404)];
    let mut api = Calendar::default();
    (1..=20).for_each(|n| api.put(&format!("e{n:02}"), "Meeting"));
    let trial = Trial::new(shared(calendar::Events::new()), Hostile::new(api).faults(broken())).await.unwrap();
    assert_eq!(kind(&trial).await, ErrorKind::NotFound);
    trial.api.with(|api| api.api.page_generation += 1);
    run(&trial).await;
    assert_eq!((trial.ids("Event").await.unwrap().len(), run(&trial).await), (20, (0, 0, 0)));

    let mut api = Drive::default();
    (1..=20).for_each(|n| api.put(&format!("f{n:02}"), "Plan", false));
    let trial = Trial::new(shared(drive::Files::new()), Hostile::new(api).faults(broken())).await.unwrap();
    assert_eq!(kind(&trial).await, ErrorKind::NotFound);
    trial.api.with(|api| api.api.page_generation += 1);
    run(&trial).await;
    assert_eq!((trial.ids("File").await.unwrap().len(), run(&trial).await), (20, (0, 0, 0)));

    let mut api = Gmail::default();
    (1..=9).for_each(|n| api.receive(&format!("m{n}")));
    let broken = (0..5).map(|_| Fault::None).chain([Fault::Status(403)]);
    let trial = Trial::new(shared(gmail::Messages::new()), Hostile::new(api).faults(broken)).await.unwrap();
    assert_eq!(kind(&trial).await, ErrorKind::Unauthorized);
    trial.api.with(|api| api.api.page_generation += 1);
    run(&trial).await;
    assert_eq!((trial.ids("Message").await.unwrap().len(), run(&trial).await), (9, (0, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_drive_that_did_not_look_everywhere_deletes_nothing() {
    let mut api = Drive::default();
    (1..=7).for_each(|n| api.put(&format!("f{n}"), "Plan", false));
    let trial = Trial::new(shared(drive::Files::new()), api).await.unwrap();
    assert_eq!(run(&trial).await, (7, 0, 0));
    trial.api.with(|api| api.incomplete_search = true);
    let _ = trial.refresh().await;
    assert_eq!(trial.ids("File").await.unwrap().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn gmail_by_history() {
    let mut api = Gmail::default();
    (1..=7).for_each(|n| api.receive(&format!("m{n}")));
    let trial = Trial::new(shared(gmail::Messages::new()), api).await.unwrap();
    assert_eq!(run(&trial).await, (7, 0, 0));
    assert_eq!(run(&trial).await, (0, 0, 0));
    trial.api.with(|api| {
        api.receive("m8");
        api.receive("m9");
        api.read("m1");
        api.delete("m2");
        api.delete("m9");
    });
    assert_eq!(run(&trial).await, (1, 1, 1));
    assert_eq!(trial.record("Message", "m1").await.unwrap().unwrap()["labelIds"], serde_json::json!(["INBOX"]));
    assert_eq!(trial.ids("Message").await.unwrap(), ["m1", "m3", "m4", "m5", "m6", "m7", "m8"]);
    trial.api.with(|api| {
        api.delete("m3");
        api.forgotten_before = u64::MAX;
    });
    if let Err(error) = trial.run().await {
        assert_eq!(error.kind(), ErrorKind::SourceReset);
        trial.api.with(|api| api.forgotten_before = 0);
        run(&trial).await;
    }
    assert!(!trial.ids("Message").await.unwrap().contains(&"m3".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_empty_mailbox_is_no_error() {
    let trial = Trial::new(shared(gmail::Messages::new()), Gmail::default()).await.unwrap();
    assert_eq!(run(&trial).await, (0, 0, 0));
    trial.api.with(|api| api.receive("m1"));
    assert_eq!(run(&trial).await, (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn google_drive_by_changes() {
    let mut api = Drive::default();
    (1..=7).for_each(|n| api.put(&format!("f{n}"), "Plan", false));
    let trial = Trial::new(shared(drive::Files::new()), api).await.unwrap();
    assert_eq!(run(&trial).await, (7, 0, 0));
    assert_eq!(run(&trial).await, (0, 0, 0));
    trial.api.with(|api| {
        api.put("f1", "Renamed", false);
        api.put("f2", "Plan", true);
        api.put("f8", "New", false);
        api.remove("f3");
    });
    assert_eq!(run(&trial).await, (1, 2, 1));
    assert_eq!(trial.record("File", "f2").await.unwrap().unwrap()["trashed"], true, "in the bin is not gone");
    assert_eq!(run(&trial).await, (0, 0, 0));
    trial.api.with(|api| api.remove("f4"));
    assert_eq!(refresh(&trial).await, (0, 0, 1));
}
