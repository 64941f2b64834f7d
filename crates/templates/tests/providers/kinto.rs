//! Kinto's feed of changes.

use highwater_templates::kinto::Records;
use highwater_testkit::Trial;
use highwater_testkit::fakes::Kinto;

use super::{refresh, run, shared};

#[tokio::test(start_paused = true)]
async fn records_changes_and_tombstones() {
    let mut api = Kinto::default();
    (1..=8).for_each(|n| api.put(&format!("t{n}"), "Leak"));
    api.delete("t8");
    let settings = [("bucket", Kinto::BUCKET), ("collection", Kinto::COLLECTION)];
    let trial = Trial::with_config(shared(Records::new()), api, &settings).await.unwrap();
    assert_eq!(run(&trial).await, (7, 0, 0));
    assert_eq!(run(&trial).await, (0, 0, 0));
    trial.api.with(|api| {
        api.put("t1", "Flood");
        api.put("t9", "New");
        (2..=6).for_each(|n| api.delete(&format!("t{n}")));
    });
    assert_eq!(run(&trial).await, (1, 1, 5));
    assert_eq!(trial.ids("Record").await.unwrap(), ["t1", "t7", "t9"]);
    // A purged tombstone is told by nobody: the full refresh notices that the record is gone.
    trial.api.with(|api| {
        api.delete("t7");
        api.purge();
    });
    assert_eq!(run(&trial).await, (0, 0, 0));
    assert_eq!(refresh(&trial).await, (0, 0, 1));
}
