//! Views over records whose members have names that SQL finds odd, in files where others have names too.
#![allow(clippy::disallowed_methods)]

use std::path::Path;

use highwater_core::{ErrorKind, Store, StreamKey, WriteBatch};
use highwater_store_sqlite::rusqlite::Connection;
use highwater_store_sqlite::{SqliteStore, ViewColumn};

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

async fn store_of(path: &Path, payloads: &[&str]) -> Option<SqliteStore> {
    let store = SqliteStore::open(path).unwrap();
    let mut batch = WriteBatch::new();
    for payload in payloads {
        batch.on(&notes()).upsert((*payload).to_owned());
    }
    store.commit(batch).await.unwrap();
    // An SQLite before 3.51.3 has a WAL file for itself: no second connection can look.
    store.capabilities().multi_process.then_some(store)
}

/// What a view's only row has, by the names that SQL gives the columns.
fn row(path: &Path, view: &str) -> Vec<(String, String)> {
    let host = Connection::open(path).unwrap();
    let mut statement = host.prepare(&format!("SELECT * FROM \"{view}\"")).unwrap();
    let name = |place: usize| statement.column_name(place).unwrap().to_owned();
    let names: Vec<String> = (0..statement.column_count()).map(name).collect();
    statement
        .query_row([], |row| {
            let value =
                |place: usize| row.get::<_, i64>(place).map(|n| n.to_string()).or_else(|_| row.get::<_, String>(place));
            Ok(names.iter().enumerate().map(|(place, name)| (name.clone(), value(place).unwrap_or_default())).collect())
        })
        .unwrap()
}

#[tokio::test]
async fn every_member_has_a_column_whatever_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let record = r#"{"id":"1","a.b":1,"a":{"b":2,"x.y":3,"":4,"deep":{"er":0},"list":[1]},"a_b":5,"quo\"te":6,"it's":7,"名 é":8,
        "":9,"select":10,"Case":11,"case":12,"ID":13,"_id":14,"_cursor":15,"back\\slash":16,"br[0]":17,"$":18,"nul\u0000":19,
        "payloads":20,"n":21,"entry":22,"CASE":23,"esc\u0061ped":24}"#;
    let Some(store) = store_of(&path, &[record]).await else { return };
    store.create_view(&notes(), "odd", Vec::new()).await.unwrap();
    let shown = row(&path, "odd");
    let wanted = [
        ("id", "1"),
        ("", "9"),
        ("$", "18"),
        ("_cursor_2", "15"),
        ("_id", "14"),
        ("a.b", "1"),
        ("a_b", "5"),
        ("back\\slash", "16"),
        ("br[0]", "17"),
        ("CASE", "23"),
        ("Case_2", "11"),
        ("case_3", "12"),
        ("entry", "22"),
        ("escaped", "24"),
        ("ID_2", "13"),
        ("it's", "7"),
        ("n", "21"),
        ("payloads", "20"),
        ("quo\"te", "6"),
        ("select", "10"),
        ("名 é", "8"),
        ("a_", "4"),
        ("a_b_2", "2"),
        ("a_x.y", "3"),
    ];
    let shown: Vec<(&str, &str)> = shown.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(shown[..wanted.len()], wanted);
    assert_eq!(
        shown[wanted.len()..].iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["_cursor", "_first_seen_at", "_last_modified_at", "_last_action"]
    );
}

#[tokio::test]
async fn nothing_of_the_hosts_gives_way_to_a_view() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let Some(store) = store_of(&path, &[r#"{"id":"1","t":1}"#]).await else { return };
    let host = Connection::open(&path).unwrap();
    host.execute_batch("CREATE TABLE Mine (x); CREATE VIEW seen AS SELECT 7 AS x; CREATE INDEX by_x ON Mine (x)")
        .unwrap();
    for taken in ["mine", "MINE", "seen", "SEEN", "by_x", "", "SQLITE_x", "hw_x", "HW_x", "nul\0"] {
        let error = store.create_view(&notes(), taken, Vec::new()).await.unwrap_err();
        assert_eq!((error.kind(), error.context("view")), (ErrorKind::Invalid, Some(taken)), "{error}");
    }
    assert_eq!(host.query_row("SELECT x FROM seen", [], |row| row.get::<_, i64>(0)).unwrap(), 7);
    // One of ours is made anew, in whatever case it is named.
    for name in ["note; --'", "NOTE; --'"] {
        store.create_view(&notes(), name, Vec::new()).await.unwrap();
    }
    assert_eq!(row(&path, "note; --'")[1], ("t".to_owned(), "1".to_owned()));
}

#[tokio::test]
async fn columns_that_could_not_be_read_make_no_view() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let Some(store) = store_of(&path, &[r#"{"id":"1","t":1}"#]).await else { return };
    store.create_view(&notes(), "good", Vec::new()).await.unwrap();
    let column = |name: &str, path: &str| ViewColumn { name: name.into(), path: path.into() };
    let many = (0..2500).map(|n| column(&format!("c{n}"), "$.t")).collect();
    for columns in [
        vec![column("x", "$.t"), column("X", "$.t")],
        vec![column("ID", "$.t")],
        vec![column("_Cursor", "$.t")],
        vec![column("nul\0", "$.t")],
        vec![column("x", "$.t.")],
        vec![column("x", "t")],
        many,
    ] {
        let error = store.create_view(&notes(), "good", columns.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{:?}: {error}", columns.first());
    }
    assert_eq!(row(&path, "good")[1], ("t".to_owned(), "1".to_owned()));
    store.create_view(&notes(), "good", vec![column("twice", "$.t"), column("whole", "$")]).await.unwrap();
    assert_eq!(row(&path, "good")[1], ("twice".to_owned(), "1".to_owned()));
}

#[tokio::test]
async fn a_file_of_another_encoding_keeps_records_but_shows_no_views() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    Connection::open(&path).unwrap().execute_batch("PRAGMA encoding = 'UTF-16'; CREATE TABLE mine (x)").unwrap();
    let record = r#"{"id":"é🌊","t":"名"}"#;
    let Some(store) = store_of(&path, &[record]).await else { return };
    let found = store.get(&notes(), &["é🌊"]).await.unwrap().remove(0).unwrap();
    assert_eq!(found.payload.unwrap().as_str(), record);
    let error = store.create_view(&notes(), "notes", Vec::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.context("encoding")), (ErrorKind::Unsupported, Some("UTF-16le")), "{error}");
}
