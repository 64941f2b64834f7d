//! Input that no source should give: what each store says to it, and that nothing else suffers.
#![allow(clippy::disallowed_methods)]

use std::path::Path;
use std::sync::Arc;

use highwater::batch::{BadRecords, MAX_PAYLOAD_BYTES, WriteOutcome};
use highwater::consumer::{ConsumerCommand, PollOptions};
use highwater::cursor::PageRequest;
use highwater::maintenance::{Maintenance, MaintenanceReport};
use highwater::{ErrorKind, MemoryStore, Result, Store, StreamKey, WriteBatch};
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
    let frame = r#"{"id":"big2","text":""}"#.len();
    let too_big = format!(r#"{{"id":"big2","text":"{}"}}"#, "x".repeat(MAX_PAYLOAD_BYTES + 1 - frame));
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
        refused("one byte more than a record may have", too_big),
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
            let expected = if case.kept_as.is_some() { WriteOutcome::Added } else { WriteOutcome::Rejected };
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

/// A delete, a patch and a mark need an id as an upsert does.
#[tokio::test]
async fn no_operation_takes_a_bad_id() {
    for kind in STORES {
        let folder = tempfile::tempdir().unwrap();
        let store = open(kind, &folder.path().join("store")).unwrap();
        for id in [String::new(), "i".repeat(4097), "🌊".repeat(1 << 18)] {
            for operation in ["delete", "patch", "seen"] {
                for policy in [BadRecords::Fail, BadRecords::Quarantine] {
                    let mut batch = WriteBatch::new();
                    let target = batch.on(&notes());
                    target.bad_records(policy).upsert(r#"{"id":"good"}"#);
                    match operation {
                        "delete" => target.delete(id.as_str()),
                        "patch" => target.patch(id.as_str(), "{}"),
                        _ => target.seen(id.as_str()),
                    };
                    let what = format!("{kind}: {operation} of {} bytes, {policy:?}", id.len());
                    match (store.commit(batch).await, policy) {
                        (Ok(commit), BadRecords::Quarantine) => {
                            assert_eq!(commit.streams[0].outcomes[1], WriteOutcome::Rejected, "{what}");
                            assert!(commit.streams[0].rejected[0].reason.len() < 400, "{what}");
                        }
                        (Err(error), BadRecords::Fail) => {
                            assert_eq!(error.kind(), ErrorKind::Invalid, "{what}: {error}");
                            assert_eq!(error.context("record"), Some("1"), "{what}: {error}");
                        }
                        other => panic!("{what}: {other:?}"),
                    }
                }
            }
        }
        assert_eq!(store.head(&notes()).await.unwrap().live, 1);
        // To ask for an id that cannot be is no fault: there is no such record.
        let long = "i".repeat(1 << 20);
        assert_eq!(store.get(&notes(), &["", &long]).await.unwrap(), [None, None]);
        let page = store.page(PageRequest::new(notes()).ids(["", &long, "good"])).await.unwrap();
        assert_eq!((page.changes.len(), page.caught_up), (1, true));
        assert_eq!(verified(&*store).await, Vec::<String>::new(), "{kind}");
    }
}

/// Names of streams, consumers, documents and leases: too short or too long is refused before anything is written.
#[tokio::test]
async fn names_are_checked_wherever_they_are_given() {
    for kind in STORES {
        let folder = tempfile::tempdir().unwrap();
        let store = open(kind, &folder.path().join("store")).unwrap();
        for (what, error) in refused_names(&*store).await {
            let error = error.unwrap_or_else(|| panic!("{kind}: {what}: taken"));
            assert_eq!(error.kind(), ErrorKind::Invalid, "{kind}: {what}: {error}");
            assert!(error.to_string().len() < 400 && error.to_string().contains("must have 1 to"), "{what}: {error}");
        }
        assert_eq!(store.streams().await.unwrap(), [], "{kind}");
        assert_eq!(store.documents("", "", 10).await.unwrap(), [], "{kind}");
        // The longest there may be, of letters that are four bytes each; and letters that mean something elsewhere.
        for name in ["🌊".repeat(63), "a/b\0c'\"%\\".to_owned()] {
            let stream = StreamKey::new(name.as_str(), name.as_str()).with_variant(name.as_str());
            let mut batch = WriteBatch::new();
            batch.on(&stream).upsert(r#"{"id":"a"}"#);
            batch.put_document(name.as_str(), &1).unwrap();
            batch.take_lease(name.as_str());
            store.commit(batch).await.unwrap();
            store.consumer_command(&stream, &name, ConsumerCommand::Poll(PollOptions::default())).await.unwrap();
            assert_eq!(store.head(&stream).await.unwrap().live, 1, "{kind}");
            assert_eq!(store.consumers(&stream).await.unwrap(), [name.as_str()], "{kind}");
            assert_eq!(store.document(&name).await.unwrap().unwrap().as_str(), "1", "{kind}");
            assert_eq!(store.lease(&name).await.unwrap().token(), 2, "{kind}");
        }
        assert_eq!(store.streams().await.unwrap().len(), 2, "{kind}");
    }
}

/// What a store says to names of no bytes and of too many, wherever one can be given.
async fn refused_names(store: &dyn Store) -> Vec<(String, Option<highwater::Error>)> {
    let mut said = Vec::new();
    let commit = async |fill: &dyn Fn(&mut WriteBatch)| {
        let mut batch = WriteBatch::new();
        fill(&mut batch);
        store.commit(batch).await.err()
    };
    for name in [String::new(), "n".repeat(600)] {
        let bytes = name.len();
        let streams = [
            StreamKey::new(name.as_str(), "Note"),
            StreamKey::new("demo", name.as_str()),
            notes().with_variant(name.as_str()),
        ];
        for stream in &streams {
            let save = |batch: &mut WriteBatch| {
                batch.on(stream).upsert(r#"{"id":"a"}"#);
            };
            said.push((format!("a save to {stream:?}"), commit(&save).await));
            said.push((format!("a page of {stream:?}"), store.page(PageRequest::new(stream.clone())).await.err()));
        }
        let document = |batch: &mut WriteBatch| {
            batch.put_document(name.as_str(), &1).unwrap();
        };
        said.push((format!("a document's key of {bytes} bytes"), commit(&document).await));
        let poll = ConsumerCommand::Poll(PollOptions::default());
        said.push((
            format!("a consumer's name of {bytes} bytes"),
            store.consumer_command(&notes(), &name, poll).await.err(),
        ));
        said.push((format!("a lease's name of {bytes} bytes"), store.lease(&name).await.err()));
        let lease = |batch: &mut WriteBatch| {
            batch.take_lease(name.as_str());
        };
        said.push((format!("a lease of {bytes} bytes, with a batch"), commit(&lease).await));
    }
    said
}
