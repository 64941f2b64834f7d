//! Views over records whose members have names that SQL finds odd, in files where others have names too.
#![allow(clippy::disallowed_methods)]

use std::path::Path;

use highwater_core::{ErrorKind, Store, StreamKey, WriteBatch};
use highwater_store_sqlite::rusqlite::Connection;
use highwater_store_sqlite::rusqlite::types::Value;
use highwater_store_sqlite::{SqliteStore, ViewColumn, ViewMembers};

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

/// The text, or the number, that the only row of a view has in a column.
fn cell(path: &Path, view: &str, column: &str) -> Value {
    let host = Connection::open(path).unwrap();
    host.query_row(&format!("SELECT \"{column}\" FROM \"{view}\""), [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn columns_are_those_of_most_records_and_what_has_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    // A hundred and fifty members: the later their name, the more records have them. One is in the oldest 40 alone.
    let record = |n: usize| {
        let mut members: Vec<String> = (0..150).filter(|m| n % 150 <= *m).map(|m| format!("\"m{m:03}\":{n}")).collect();
        members.extend((n < 40).then(|| "\"old\":1".to_owned()));
        format!(r#"{{"id":"{n}","{}":null,{}}}"#, "never", members.join(","))
    };
    let records: Vec<String> = (0..250).map(record).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let Some(store) = store_of(&path, &records).await else { return };
    let made = store.create_view(&notes(), "most", Vec::new()).await.unwrap();
    assert_eq!((made.columns.len(), made.left_out.len(), made.left_out_total), (100, 52, 52));
    assert!(made.columns.iter().all(|column| &*column.name >= "m050"), "{:?}", made.columns);
    let old = made.left_out.iter().find(|member| member.column.name == "old").expect("of the oldest records");
    assert_eq!(old.records, 40);
    assert_eq!(made.left_out.last().map(|member| (&*member.column.name, member.records)), Some(("never", 0)));
    assert!(made.left_out.windows(2).all(|pair| pair[0].records >= pair[1].records));
    // The way to have them too.
    let all = made.columns.into_iter().chain(made.left_out.into_iter().map(|member| member.column)).collect();
    let made = store.create_view(&notes(), "most", all).await.unwrap();
    assert_eq!((made.columns.len(), made.left_out_total), (152, 0));
    let host = Connection::open(&path).unwrap();
    assert_eq!(host.query_row("SELECT count(old) FROM most", [], |row| row.get::<_, i64>(0)).unwrap(), 40);
    let found = store.view_members(&notes()).await.unwrap();
    assert_eq!((found.members.len(), found.total), (152, 152));
}

#[tokio::test]
async fn very_many_members_are_counted_and_named_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let members = (0..12_000).map(|n| format!("\"k{n}\":{n}")).collect::<Vec<_>>().join(",");
    let Some(store) = store_of(&path, &[&format!(r#"{{"id":"1",{members}}}"#)]).await else { return };
    let made = store.create_view(&notes(), "wide", Vec::new()).await.unwrap();
    let told = (made.columns.len(), made.left_out.len(), made.left_out_total);
    assert_eq!(told, (100, ViewMembers::LISTED - 100, 11_900));
}

#[tokio::test]
async fn a_column_shows_the_member_whose_name_it_has() {
    let folder = tempfile::tempdir().unwrap();
    for (nth, record) in [
        r#"{"id":"1","Name":"big","name":"small","name_2":"two"}"#,
        r#"{"id":"1","name_2":"two","name_3":"three","NAME":"huge","Name":"big","name":"small"}"#,
        r#"{"id":"1","_cursor":"c","_cursor_2":"two","ID":"i","id_2":"two"}"#,
        r#"{"id":"1","a":{"b":"deep"},"a_b":"flat","a_b_2":"two"}"#,
        r#"{"id":"1","a":{"b":"deep","b_2":"deep two"},"a_b":"flat"}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(format!("{nth}.db"));
        let Some(store) = store_of(&path, &[record]).await else { return };
        let made = store.create_view(&notes(), "v", Vec::new()).await.unwrap();
        let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(record).unwrap();
        for column in &made.columns {
            let shown = cell(&path, "v", &column.name);
            if let Some(own) = members.get(&column.name).and_then(|own| own.as_str()) {
                assert_eq!(shown, Value::Text(own.to_owned()), "{record}: {column:?}");
            }
        }
        let names: std::collections::HashSet<_> = made.columns.iter().map(|c| c.name.to_lowercase()).collect();
        assert_eq!(names.len(), made.columns.len(), "{record}");
    }
}

#[tokio::test]
async fn a_view_of_another_stream_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let Some(store) = store_of(&path, &[r#"{"id":"1","t":1}"#]).await else { return };
    let other = StreamKey::new("other", "Note");
    let mut batch = WriteBatch::new();
    batch.on(&other).upsert(r#"{"id":"2","t":2}"#);
    store.commit(batch).await.unwrap();
    for name in ["note", "a \" quoted", "FROM hw_log CROSS JOIN slot WHERE"] {
        store.create_view(&notes(), name, Vec::new()).await.unwrap();
        let error = store.create_view(&other, &name.to_uppercase(), Vec::new()).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Invalid && error.message().contains("choose another name"), "{error}");
        assert_eq!(cell(&path, &name.replace('"', "\"\""), "t"), Value::Integer(1), "as it was");
        store.create_view(&notes(), name, Vec::new()).await.unwrap();
    }
    // A view of the host's that reads as ours do, and one that is made of one of ours.
    let host = Connection::open(&path).unwrap();
    let ours: String =
        host.query_row("SELECT sql FROM sqlite_schema WHERE name = 'note'", [], |row| row.get(0)).unwrap();
    let body = ours.split_once("AS").unwrap().1;
    for (name, sql) in [
        ("mine", format!("CREATE VIEW mine AS {body}")),
        ("longer", format!("CREATE VIEW \"longer\" AS {body} AND id <> ''")),
        ("within", format!("CREATE VIEW \"within\" AS SELECT t FROM ({body})")),
    ] {
        host.execute_batch(&sql).unwrap();
        let error = store.create_view(&notes(), name, Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name}: {error}");
    }
}

#[tokio::test]
async fn numbers_that_sql_cannot_hold_are_text_and_floats_are_exact() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let text = |text: &str| Value::Text(text.to_owned());
    let cases = [
        ("9223372036854775807", Value::Integer(i64::MAX)),
        ("9223372036854775808", text("9223372036854775808")),
        ("9223372036854775809", text("9223372036854775809")),
        ("-9223372036854775808", Value::Integer(i64::MIN)),
        ("-9223372036854775809", text("-9223372036854775809")),
        ("123456789012345678901234567890", text("123456789012345678901234567890")),
        ("1e400", text("1e400")),
        ("-1e400", text("-1e400")),
        ("1.7976931348623157e308", Value::Real(f64::MAX)),
        ("31.245270191439438", Value::Real(31.245_270_191_439_438)),
        ("0.1", Value::Real(0.1)),
        ("1.0", Value::Real(1.0)),
        ("7", Value::Integer(7)),
        ("true", Value::Integer(1)),
        ("null", Value::Null),
        (r#""9,2""#, text("9,2")),
        (r#"[1,2]"#, text("[1,2]")),
    ];
    let members: Vec<String> = cases.iter().enumerate().map(|(n, (json, _))| format!("\"m{n}\":{json}")).collect();
    let Some(store) = store_of(&path, &[&format!(r#"{{"id":"1",{}}}"#, members.join(","))]).await else { return };
    let column = |n: usize| ViewColumn { name: format!("m{n}"), path: format!("$.m{n}") };
    store.create_view(&notes(), "v", (0..cases.len()).map(column).collect()).await.unwrap();
    for (n, (json, expected)) in cases.into_iter().enumerate() {
        assert_eq!(cell(&path, "v", &format!("m{n}")), expected, "{json}");
    }
}
