//! Input that no source should give: what each store says to it, and that nothing else suffers.
#![allow(clippy::disallowed_methods)]

use std::path::Path;
use std::sync::Arc;

use highwater::{
    BadRecords, ErrorKind, Maintenance, MaintenanceReport, MemoryStore, Outcome, Result, Store, StreamKey, WriteBatch,
};
use highwater_store_redb::RedbStore;
use highwater_store_sled::SledStore;
use highwater_store_sqlite::SqliteStore;

const STORES: [&str; 4] = ["memory", "sqlite", "redb", "sled"];

fn open(kind: &str, path: &Path) -> Result<Arc<dyn Store>> {
    Ok(match kind {
        "memory" => Arc::new(MemoryStore::new()?),
        "sqlite" => Arc::new(SqliteStore::open(path)?),
        "redb" => Arc::new(RedbStore::open(path)?),
        _ => Arc::new(SledStore::open(path)?),
    })
}

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

/// A row of the table: what is saved, and under which id it must be found, or that it is refused.
struct Case {
    name: &'static str,
    id: Option<String>,
    payload: Vec<u8>,
    /// The id under which these bytes are found again (less leading spaces); `None`: refused.
    kept_as: Option<String>,
}

fn kept(name: &'static str, payload: impl Into<Vec<u8>>, id: impl Into<String>) -> Case {
    Case { name, id: None, payload: payload.into(), kept_as: Some(id.into()) }
}

fn kept_under(name: &'static str, id: impl Into<String>) -> Case {
    let id = id.into();
    Case { name, payload: br#"{"x":1}"#.to_vec(), kept_as: Some(id.clone()), id: Some(id) }
}

fn refused(name: &'static str, payload: impl Into<Vec<u8>>) -> Case {
    Case { name, id: None, payload: payload.into(), kept_as: None }
}

fn refused_under(name: &'static str, id: impl Into<String>) -> Case {
    Case { name, id: Some(id.into()), payload: br#"{"x":1}"#.to_vec(), kept_as: None }
}

fn cases() -> Vec<Case> {
    let deep = |depth: usize| format!(r#"{{"id":"deep{depth}","d":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let big = format!(r#"{{"id":"big","text":"{}"}}"#, "x".repeat(16 << 20));
    vec![
        // Ids.
        refused("an empty id", r#"{"id":""}"#),
        refused_under("an empty id, given", ""),
        refused("an id of one megabyte", format!(r#"{{"id":"{}"}}"#, "i".repeat(1 << 20))),
        refused_under("an id of one megabyte, given", "i".repeat(1 << 20)),
        refused_under("an id of one byte too many", "i".repeat(4097)),
        kept_under("the longest id", "i".repeat(4096)),
        refused("no id", r#"{"x":1}"#),
        refused("an id that is null", r#"{"id":null}"#),
        refused("an id that is an object", r#"{"id":{"a":1}}"#),
        refused("an id that is true", r#"{"id":true}"#),
        refused("an id that is a fraction", r#"{"id":1.5}"#),
        kept("an id with NUL", br#"{"id":"a\u0000b"}"#.as_slice(), "a\0b"),
        kept_under("an id with NUL, given", "c\0d"),
        kept("an id of four-byte UTF-8", r#"{"id":"🌊𝔘"}"#, "🌊𝔘"),
        kept("the same id as another, escaped", br#"{"id":"\ud83c\udf0a"}"#.as_slice(), "🌊"),
        kept("an id that looks like a path", r#"{"id":"../../etc/passwd"}"#, "../../etc/passwd"),
        kept("an id that looks like SQL", r#"{"id":"'; DROP TABLE hw_log; --"}"#, "'; DROP TABLE hw_log; --"),
        kept("zero", r#"{"id":0}"#, "0"),
        kept("an id beyond 2^64", r#"{"id":18446744073709551617}"#, "18446744073709551617"),
        kept("composed", "{\"id\":\"\u{e9}\"}", "\u{e9}"),
        kept("decomposed is another", "{\"id\":\"e\u{301}\"}", "e\u{301}"),
        // Payloads.
        kept("sixteen megabytes", big, "big"),
        kept(
            "integers beyond 2^64",
            r#"{"id":"int","n":123456789012345678901234567890,"m":-99999999999999999999}"#,
            "int",
        ),
        kept("numbers beyond a double", r#"{"id":"float","n":1e400,"m":1e-400}"#, "float"),
        // Kept without the spaces before it.
        kept("spaces around", "  \n{\"id\":\"space\"}\n ", "space"),
        refused("a duplicate key", r#"{"id":"dup","a":1,"a":2}"#),
        refused("a duplicate key, escaped", br#"{"id":"dup2","a":1,"\u0061":2}"#.as_slice()),
        refused("a duplicate id", r#"{"id":"dup3","id":"dup4"}"#),
        refused("invalid UTF-8", b"{\"id\":\"utf\",\"a\":\"\xff\xfe\"}".as_slice()),
        refused("UTF-8 of a surrogate", b"{\"id\":\"utf2\",\"a\":\"\xed\xa0\x80\"}".as_slice()),
        refused("an overlong encoding", b"{\"id\":\"utf3\",\"a\":\"\xc0\xaf\"}".as_slice()),
        refused("a lone surrogate", br#"{"id":"sur","a":"\ud800"}"#.as_slice()),
        refused("a lone low surrogate", br#"{"id":"sur2","a":"\udc00x"}"#.as_slice()),
        refused("surrogates the wrong way round", br#"{"id":"sur3","a":"\udc00\ud800"}"#.as_slice()),
        kept("deep enough", deep(100), "deep100"),
        refused("a bomb of depth", deep(100_000)),
        refused("a bomb of depth that does not end", format!(r#"{{"id":"b","d":{}"#, r#"{"a":"#.repeat(1_000_000))),
        refused("nothing", ""),
        refused("spaces", "   "),
        refused("an array", "[1]"),
        refused("a string", r#""id""#),
        refused("null", "null"),
        refused("cut short", r#"{"id":"cut","a":"#),
        refused("two values", r#"{"id":"one"}{"id":"two"}"#),
        refused("a comment", r#"{"id":"c"/* */}"#),
        refused("a trailing comma", r#"{"id":"t",}"#),
        refused("NaN", r#"{"id":"nan","a":NaN}"#),
        refused("a leading zero", r#"{"id":"z","a":01}"#),
        refused("a control character", "{\"id\":\"ctl\",\"a\":\"\u{1}\"}"),
        refused("a byte order mark", "\u{feff}{\"id\":\"bom\"}"),
    ]
}

fn put(batch: &mut WriteBatch, case: &Case) {
    match &case.id {
        Some(id) => batch.on(&notes()).upsert_as(id.as_str(), case.payload.clone()),
        None => batch.on(&notes()).upsert(case.payload.clone()),
    };
}

async fn verified(store: &dyn Store) -> Vec<String> {
    match store.maintain(Maintenance::Verify(notes())).await.unwrap() {
        MaintenanceReport::Verified(found) => found.problems,
        other => panic!("{other:?}"),
    }
}

/// By itself, under the strict policy: kept to the byte, or refused by name with nothing written.
#[tokio::test]
async fn each_is_kept_to_the_byte_or_refused_by_name() {
    for kind in STORES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let mut store = open(kind, &path).unwrap();
        let mut expected = 0;
        for case in cases() {
            let mut batch = WriteBatch::new();
            batch.on(&notes()).upsert(r#"{"id":"before"}"#);
            put(&mut batch, &case);
            batch.put_document("seen", case.name).unwrap();
            let before = store.head(&notes()).await.unwrap();
            match (store.commit(batch).await, &case.kept_as) {
                (Ok(_), Some(id)) => {
                    expected += 1;
                    let found = store.get(&notes(), &[id]).await.unwrap();
                    let found = found[0].as_ref().unwrap_or_else(|| panic!("{kind}: {}: not found", case.name));
                    assert_eq!(&*found.id, id);
                    assert!(
                        found.payload.as_ref().unwrap().as_bytes() == case.payload.trim_ascii_start(),
                        "{kind}: {}",
                        case.name
                    );
                }
                (Err(error), None) => {
                    assert_eq!(error.kind(), ErrorKind::Invalid, "{kind}: {}: {error}", case.name);
                    assert_eq!((error.context("record"), error.context("stream")), (Some("1"), Some("demo/Note")));
                    assert!(error.to_string().len() < 400, "{kind}: {}: {error}", case.name);
                    // Nothing of the batch was written, its document neither.
                    assert_eq!(store.head(&notes()).await.unwrap(), before);
                    assert_ne!(
                        store.document("seen").await.unwrap().map(|seen| seen.as_bytes().to_vec()),
                        Some(serde_json::to_vec(case.name).unwrap())
                    );
                }
                (Ok(_), None) => panic!("{kind}: {}: taken", case.name),
                (Err(error), Some(_)) => panic!("{kind}: {}: {error}", case.name),
            }
        }
        assert_eq!(store.head(&notes()).await.unwrap().live, expected + 1);
        assert_eq!(verified(&*store).await, Vec::<String>::new(), "{kind}");
        if kind != "memory" {
            store.close().await.unwrap();
            drop(store);
            store = open(kind, &path).unwrap();
            for case in cases() {
                let Some(id) = &case.kept_as else { continue };
                let found = store.get(&notes(), &[id]).await.unwrap();
                assert!(
                    found[0].as_ref().unwrap().payload.as_ref().unwrap().as_bytes() == case.payload.trim_ascii_start()
                );
            }
            assert_eq!(verified(&*store).await, Vec::<String>::new(), "{kind}");
        }
    }
}

/// All in one batch, under the lenient policy: the good are kept, the bad are listed and set aside.
#[tokio::test]
async fn with_quarantine_nothing_good_suffers_and_nothing_bad_is_forgotten() {
    let mut reasons: Option<Vec<String>> = None;
    for kind in STORES {
        let folder = tempfile::tempdir().unwrap();
        let store = open(kind, &folder.path().join("store")).unwrap();
        let cases = cases();
        let mut batch = WriteBatch::new();
        batch.on(&notes()).bad_records(BadRecords::Quarantine);
        cases.iter().for_each(|case| put(&mut batch, case));
        let commit = store.commit(batch).await.unwrap();
        let outcome = &commit.streams[0];
        let rejected: Vec<usize> = outcome.rejected.iter().map(|rejected| rejected.index).collect();
        let bad: Vec<usize> =
            cases.iter().enumerate().filter(|(_, case)| case.kept_as.is_none()).map(|(n, _)| n).collect();
        assert_eq!(rejected, bad, "{kind}");
        assert_eq!(outcome.added, (cases.len() - bad.len()) as u64);
        for (case, outcome) in cases.iter().zip(&outcome.outcomes) {
            let expected = if case.kept_as.is_some() { Outcome::Added } else { Outcome::Rejected };
            assert_eq!(*outcome, expected, "{kind}: {}", case.name);
        }
        let aside = store.documents("quarantine/", "", 1000).await.unwrap();
        assert!(aside.len() > 20, "{kind}: {}", aside.len());
        assert_eq!(verified(&*store).await, Vec::<String>::new(), "{kind}");
        // Every store says the same.
        let said: Vec<String> = outcome.rejected.iter().map(|rejected| rejected.reason.clone()).collect();
        assert_eq!(*reasons.get_or_insert_with(|| said.clone()), said, "{kind}");
    }
}
