//! The table against a map: whatever is written, removed and read, in whatever order.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::schema::TABLES;

/// A row that owns its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    action: Action,
    id: String,
    extra: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
}

impl Owned {
    fn as_row(&self, sequence: u64) -> LogRow<'_> {
        LogRow {
            sequence,
            cursor: u128::from(sequence) << 64,
            epoch: 1,
            birth: if self.extra.is_some() { 1 } else { u128::from(sequence) << 64 },
            action: self.action,
            first_seen_at: 77,
            pruned_at: self.payload.is_none().then_some(5),
            id: &self.id,
            hashes: &[7; 32],
            extra: self.extra.as_deref(),
            payload: self.payload.as_deref(),
        }
    }

    fn of(row: &LogRow<'_>) -> (u64, Self) {
        let owned = Owned {
            action: row.action,
            id: row.id.to_owned(),
            extra: row.extra.map(<[u8]>::to_vec),
            payload: row.payload.map(<[u8]>::to_vec),
        };
        assert_eq!(&owned.as_row(row.sequence), row);
        (row.sequence, owned)
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Behind everything that the stream ever had.
    Append(u32, Owned),
    /// In the place of a row that is or was there, and away with one.
    Replace(u32, prop::sample::Index, Owned),
    Remove(u32, prop::sample::Index),
    Row(u32, prop::sample::Index),
    Scan(u32, prop::sample::Index, Option<Action>),
    Commit,
    RollBack,
}

fn owned() -> impl Strategy<Value = Owned> {
    let payload = prop_oneof![
        6 => (0_usize..900).prop_map(|length| Some(format!("{{\"a\":\"{}\"}}", "x".repeat(length)).into_bytes())),
        1 => Just(None),
        1 => vec(any::<u8>(), 1..700).prop_map(|mut bytes| { bytes[0] = 1; Some(bytes) }),
        1 => Just(Some(format!("{{\"a\":\"{}\"}}", "y".repeat(9000)).into_bytes())),
    ];
    let action = prop_oneof![5 => Just(Action::Added), 2 => Just(Action::Updated), 2 => Just(Action::Deleted)];
    (action, "[a-zé\u{0}]{1,40}", prop::option::weighted(0.1, vec(any::<u8>(), 0..20)), payload)
        .prop_map(|(action, id, extra, payload)| Owned { action, id, extra, payload })
}

fn step() -> impl Strategy<Value = Step> {
    let stream = || prop_oneof![6 => Just(1_u32), 2 => Just(2), 2 => 1_u32..12];
    let place = any::<prop::sample::Index>;
    prop_oneof![
        20 => (stream(), owned()).prop_map(|(stream, row)| Step::Append(stream, row)),
        3 => (stream(), place(), owned()).prop_map(|(stream, place, row)| Step::Replace(stream, place, row)),
        6 => (stream(), place()).prop_map(|(stream, place)| Step::Remove(stream, place)),
        3 => (stream(), place()).prop_map(|(stream, place)| Step::Row(stream, place)),
        2 => (stream(), place(), prop::option::of(Just(Action::Deleted)))
            .prop_map(|(stream, place, only)| Step::Scan(stream, place, only)),
        1 => Just(Step::Commit),
        1 => Just(Step::RollBack),
    ]
}

type Model = BTreeMap<u32, (u64, BTreeMap<u64, Owned>)>;

fn scanned(table: &mut LogTable<'_>, stream: u32, from: u64, only: Option<Action>, payload: bool) -> Vec<(u64, Owned)> {
    let mut rows = Vec::new();
    table
        .scan(stream, LogScan { from, only, payload }, &mut |row| {
            if only.is_none_or(|only| only == row.action) {
                rows.push(if payload {
                    Owned::of(row)
                } else {
                    assert!(row.payload.is_none());
                    (row.sequence, Owned { action: row.action, id: row.id.to_owned(), extra: None, payload: None })
                });
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    rows
}

fn play(connection: &Connection, steps: Vec<Step>) {
    let begin = || connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    begin();
    let mut table = LogTable::new(connection);
    let (mut model, mut committed) = (Model::new(), Model::new());
    for step in steps {
        match step {
            Step::Append(stream, row) => {
                let (last, rows) = model.entry(stream).or_default();
                *last += 1;
                table.put(stream, &row.as_row(*last)).unwrap();
                rows.insert(*last, row);
            }
            Step::Replace(stream, place, row) => {
                let (last, rows) = model.entry(stream).or_default();
                if *last > 0 {
                    let sequence = place.index(*last as usize) as u64 + 1;
                    table.put(stream, &row.as_row(sequence)).unwrap();
                    rows.insert(sequence, row);
                }
            }
            Step::Remove(stream, place) => {
                let (last, rows) = model.entry(stream).or_default();
                let sequence = place.index(*last as usize + 2) as u64 + 1;
                table.remove(stream, sequence).unwrap();
                rows.remove(&sequence);
            }
            Step::Row(stream, place) => {
                let (last, rows) = model.entry(stream).or_default();
                let sequence = place.index(*last as usize + 2) as u64 + 1;
                let mut found = None;
                let there = table.row(stream, sequence, true, &mut |row| {
                    found = Some(Owned::of(row).1);
                    Ok(ControlFlow::Continue(()))
                });
                assert_eq!(there.unwrap(), found.is_some());
                assert_eq!(found.as_ref(), rows.get(&sequence), "row {sequence} of stream {stream}");
            }
            Step::Scan(stream, place, only) => {
                let (last, rows) = model.entry(stream).or_default();
                let from = place.index(*last as usize + 2) as u64;
                let wanted = rows.range(from..).filter(|(_, row)| only.is_none_or(|only| only == row.action));
                let wanted: Vec<_> = wanted.map(|(sequence, row)| (*sequence, row.clone())).collect();
                assert_eq!(scanned(&mut table, stream, from, only, true), wanted);
                let bare = scanned(&mut table, stream, from, only, false);
                assert!(bare.iter().zip(&wanted).all(|(a, b)| (a.0, &a.1.id) == (b.0, &b.1.id)));
                assert_eq!(bare.len(), wanted.len());
            }
            Step::Commit => {
                table.flush().unwrap();
                table = LogTable::new(connection);
                connection.execute_batch("COMMIT").unwrap();
                begin();
                committed = model.clone();
            }
            Step::RollBack => {
                table = LogTable::new(connection);
                connection.execute_batch("ROLLBACK").unwrap();
                begin();
                model = committed.clone();
            }
        }
    }
    for (stream, (_, rows)) in model {
        assert_eq!(scanned(&mut table, stream, 0, None, true), rows.into_iter().collect::<Vec<_>>());
    }
    // Each block's key is its last row's, and its count of deleted rows is right.
    let sql = "SELECT directory, details, payloads, deleted, key FROM hw_log";
    let mut statement = connection.prepare(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let block = Block::new(bytes(row, 0).unwrap(), bytes(row, 1).unwrap(), Payloads::Unread).unwrap();
        let deleted = block.rows(0).filter(|row| row.as_ref().unwrap().action == Action::Deleted).count();
        assert_eq!(integer(row, 3).unwrap(), deleted as i64);
        let last = block.sequence(block.len() - 1).unwrap();
        assert_eq!(integer(row, 4).unwrap() & ((1 << SEQUENCE_BITS) - 1), last as i64);
    }
    connection.execute_batch("COMMIT").unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn the_table_has_what_a_map_has(page in prop::sample::select(vec![1024, 4096, 8192]), steps in vec(step(), 1..160)) {
        let connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "page_size", page).unwrap();
        connection.execute_batch(TABLES).unwrap();
        play(&connection, steps);
    }
}

/// How many rows `hw_log` has, and of how many pages it is made.
fn size(connection: &Connection) -> (i64, i64) {
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get(0)).unwrap();
    (count("SELECT count(*) FROM hw_log"), count("SELECT page_count FROM pragma_page_count"))
}

#[test]
fn small_commits_fill_blocks_as_large_ones_do() {
    let sizes = [1, 10, 1000].map(|batch| {
        let connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "page_size", 8192).unwrap();
        connection.execute_batch(TABLES).unwrap();
        let payload = format!("{{\"a\":\"{}\"}}", "x".repeat(900)).into_bytes();
        let row = Owned { action: Action::Added, id: "id".into(), extra: None, payload: Some(payload) };
        for first in (1..=1000).step_by(batch) {
            let mut table = LogTable::new(&connection);
            for sequence in first..first + batch as u64 {
                // Two streams in turn, as a template with two models saves them.
                table.put(1 + u32::from(sequence % 2 == 0), &row.as_row(sequence)).unwrap();
            }
            table.flush().unwrap();
        }
        size(&connection)
    });
    assert_eq!(sizes[0], sizes[2]);
    assert_eq!(sizes[1], sizes[2]);
    assert!(sizes[0].0 <= 126, "{sizes:?}");
}
