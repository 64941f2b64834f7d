//! What a reader of `highwater serve` keeps.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::served::Served;

/// What a reader holds: each record's last version, and where it continues.
#[derive(Default)]
pub(crate) struct Copy {
    records: BTreeMap<String, Value>,
    /// The cursors of what arrived: none may come twice.
    pub(crate) cursors: Vec<String>,
    pub(crate) resume: Option<String>,
}

impl Copy {
    pub(crate) fn take(&mut self, record: &Value) {
        let cursor = record["_highwater_metadata"]["cursor"].as_str().unwrap().to_owned();
        assert!(!self.cursors.contains(&cursor), "{cursor} came twice");
        self.cursors.push(cursor);
        self.records.insert(record["id"].as_str().unwrap().to_owned(), record.clone());
    }

    /// Compares it with what the server has.
    pub(crate) fn holds_the_same_as(&self, served: &Served) {
        let all = served.get("/records?model=Contact&limit=10000").unwrap();
        let live = |record: &&Value| record["_highwater_metadata"]["last_action"] != "DELETED";
        let ids = |records: &mut dyn Iterator<Item = &Value>| -> Vec<String> {
            records.map(|record| without_metadata(record).to_string()).collect()
        };
        let mut there = ids(&mut all["records"].as_array().unwrap().iter().filter(live));
        let mut here = ids(&mut self.records.values().filter(live));
        there.sort();
        here.sort();
        assert_eq!(here.len(), there.len());
        assert_eq!(here, there);
    }
}

fn without_metadata(record: &Value) -> Value {
    let mut record = record.clone();
    record.as_object_mut().unwrap().remove("_highwater_metadata");
    record
}

/// Reads the rest of what the store has after the last kill, and compares.
pub(crate) fn continue_and_compare(folder: &Path, mut copy: Copy) {
    let served = Served::start(folder, &[]);
    let cursor = copy.resume.take().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
    let rest = served.get(&format!("/records?model=Contact&limit=10000{cursor}")).unwrap();
    rest["records"].as_array().unwrap().iter().for_each(|record| copy.take(record));
    copy.holds_the_same_as(&served);
}
