//! Views that show a stream's records as columns, for people and their SQL.

use std::collections::HashSet;

use highwater_core::{Error, ErrorKind, Result};
use rusqlite::ffi::ErrorCode;
use rusqlite::{Connection, OptionalExtension};

use crate::block::{ACTION_SHIFT, ENTRY, MAX_ROWS, place};
use crate::errors::Explain;

/// Columns a proposed view has, at most.
const MAX_COLUMNS: usize = 100;

/// A column of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewColumn {
    /// The column's name.
    pub name: String,
    /// Where the value lies in the payload: a JSON path such as `$.user.login`.
    pub path: String,
}

/// Names that every view has beside the columns of its records.
const OWN: [&str; 5] = ["id", "_cursor", "_first_seen_at", "_last_modified_at", "_last_action"];

/// By this a view is known as one of ours.
const MARK: &str = "FROM hw_log CROSS JOIN slot";

/// Makes (or replaces) the view `view` over the live records of the stream with this number.
/// Every view has `id`, the given columns, and the metadata as `_cursor` (hexadecimal),
/// `_first_seen_at`, `_last_modified_at` and `_last_action`. A table, or a view that was not made here, is
/// not replaced.
pub fn create_model_view(connection: &Connection, view: &str, stream: u32, columns: &[ViewColumn]) -> Result<()> {
    let begins = |prefix: &str| view.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if view.is_empty() || view.contains('\0') || begins("sqlite_") || begins("hw_") {
        return Err(Error::new(
            ErrorKind::Invalid,
            "a view needs a name of its own, without NUL and not beginning with sqlite_ or hw_",
        )
        .with("view", view));
    }
    let mut names = HashSet::from(OWN.map(str::to_owned));
    for column in columns {
        if column.name.contains('\0') || !names.insert(column.name.to_ascii_lowercase()) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "each column needs a name of its own, without NUL; upper and lower case are the same to SQL, and every view has id and the metadata",
            )
            .with("column", &column.name));
        }
    }
    let encoding: String = connection.query_row("PRAGMA encoding", [], |row| row.get(0)).explain("view")?;
    if encoding != "UTF-8" {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "views are for files whose text is UTF-8: in this one SQL cannot read the ids",
        )
        .with("encoding", encoding));
    }
    let (low, high) = (i64::from(stream) << 40, i64::from(stream + 1) << 40);
    let mut selected = String::new();
    for column in columns {
        let Some(path) = column.path.strip_prefix('$') else {
            return Err(Error::new(ErrorKind::Invalid, "a column's path begins with `$`, as in `$.user.login`")
                .with("column", &column.name)
                .with("path", &column.path));
        };
        selected.push_str(&format!(
            ", CASE typeof(payloads) WHEN 'text' THEN json_extract(payloads, '$[' || n || ']' || {}) END AS {}",
            quoted(path, '\''),
            quoted(&column.name, '"')
        ));
    }
    // A row of the table is a block of records: `slot` counts them off.
    let sql = format!(
        "DROP VIEW IF EXISTS {view};
         CREATE VIEW {view} AS
         WITH RECURSIVE slot(n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM slot WHERE n < {most} - 1),
         record AS (
           SELECT n, details, payloads, substr(directory, n * {ENTRY} + 1, {ENTRY}) AS entry,
             CASE n WHEN 0 THEN 0 ELSE {details_end} END AS begin
           {MARK} WHERE key >= {low} AND key < {high} AND n * {ENTRY} < length(directory))
         SELECT CAST(substr(details, begin + 1, {id_length}) AS TEXT) AS id{selected},
           hex(substr(entry, 1, 16)) AS _cursor,
           strftime('%Y-%m-%dT%H:%M:%fZ', {first_seen} / 1000.0, 'unixepoch') AS _first_seen_at,
           strftime('%Y-%m-%dT%H:%M:%fZ', {modified} / 1000.0, 'unixepoch') AS _last_modified_at,
           CASE {action} WHEN 0 THEN 'ADDED' ELSE 'UPDATED' END AS _last_action
         FROM record WHERE {action} <> 2;",
        view = quoted(view, '"'),
        most = MAX_ROWS,
        details_end = whole("directory", &format!("(n - 1) * {ENTRY} + {}", place::DETAILS_END), 4),
        id_length = whole("entry", &place::ID_LENGTH.to_string(), 2),
        // Cursors begin with their time; times are eight bytes, of which the last six tell.
        modified = whole("entry", &place::CURSOR.to_string(), 6),
        first_seen = whole("entry", &(place::FIRST_SEEN + 2).to_string(), 6),
        action = action("entry"),
    );
    connection.execute_batch("BEGIN IMMEDIATE").explain("view")?;
    let outcome = replace_view(connection, view, &sql);
    let end = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = if connection.is_autocommit() { Ok(()) } else { connection.execute_batch(end).explain("view") };
    outcome.and(ended)
}

/// Within a transaction: the view, if nothing else has its name, and if it can be read.
fn replace_view(connection: &Connection, view: &str, sql: &str) -> Result<()> {
    let found = connection
        .query_row("SELECT type, coalesce(sql, '') FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE", [view], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })
        .optional()
        .explain("view")?;
    if let Some((kind, _)) = found.filter(|(kind, sql)| kind != "view" || !sql.contains(MARK)) {
        return Err(Error::new(
            ErrorKind::Invalid,
            "the database has something else of this name, which is not replaced: choose another name",
        )
        .with("view", view)
        .with("type", kind));
    }
    connection.execute_batch(sql).explain("view")?;
    let look = format!("SELECT * FROM {} LIMIT 1", quoted(view, '"'));
    match connection.prepare(&look).and_then(|mut look| look.query([])?.next().map(drop)) {
        Err(source) if source.sqlite_error_code() == Some(ErrorCode::Unknown) => Err(Error::new(
            ErrorKind::Invalid,
            "the view could not be read, and was not made: correct the columns' paths, or take fewer columns",
        )
        .with("view", view)
        .because(source)),
        looked => looked.explain("view"),
    }
}

/// Proposes a column for every scalar member of the newest live records, and for those one level deeper, a hundred at
/// most. Names that SQL takes for the same are told apart by a number.
pub fn propose_columns(connection: &Connection, stream: u32, records: u32) -> Result<Vec<ViewColumn>> {
    let sql = format!(
        "WITH newest AS
           (SELECT item.value AS record FROM
              (SELECT key, directory, payloads FROM hw_log
               WHERE key >= ?1 AND key < ?2 AND typeof(payloads) = 'text' ORDER BY key DESC LIMIT ?3) AS block,
              json_each(block.payloads) AS item
            WHERE item.type = 'object' AND {action} <> 2
            ORDER BY block.key DESC, item.key DESC LIMIT ?3),
         member AS (SELECT top.key, top.value, top.type, top.fullkey FROM newest, json_each(newest.record) AS top)
         SELECT DISTINCT 0, key, fullkey FROM member WHERE type NOT IN ('object', 'array')
         UNION
         SELECT DISTINCT 1, member.key || '_' || deeper.key, member.fullkey || substr(deeper.fullkey, 2)
         FROM member, json_each(member.value) AS deeper
         WHERE member.type = 'object' AND deeper.type NOT IN ('object', 'array')",
        action = action(&format!("substr(block.directory, item.key * {ENTRY} + 1, {ENTRY})")),
    );
    let mut statement = connection.prepare(&sql).explain("view")?;
    let range = (i64::from(stream) << 40, i64::from(stream + 1) << 40, records);
    let mut rows = statement.query(range).explain("view")?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().explain("view")? {
        let deeper: bool = row.get(0).explain("view")?;
        let name: String = row.get(1).explain("view")?;
        let path: String = row.get(2).explain("view")?;
        if (deeper || name != "id") && !name.contains('\0') && !path.contains('\0') {
            found.push((deeper, name.to_ascii_lowercase(), name, path));
        }
    }
    found.sort();
    found.truncate(MAX_COLUMNS);
    let mut taken = HashSet::from(OWN.map(str::to_owned));
    let mut columns = Vec::with_capacity(found.len());
    for (_, _, name, path) in found {
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| taken.insert(name.to_ascii_lowercase()));
        columns.push(ViewColumn { name: free.unwrap_or(name), path });
    }
    Ok(columns)
}

/// In SQL: bytes of a blob as a number, from a place that is counted from 0.
fn whole(blob: &str, from: &str, bytes: usize) -> String {
    let digits = bytes * 2;
    let digit = |place: usize| {
        format!(
            "(instr('123456789ABCDEF', substr(hex(substr({blob}, {from} + 1, {bytes})), {place}, 1)) << {})",
            (digits - place) * 4
        )
    };
    format!("({})", (1..=digits).map(digit).collect::<Vec<_>>().join(" + "))
}

/// In SQL: the action in an entry of a directory.
fn action(entry: &str) -> String {
    format!("({} >> {ACTION_SHIFT})", whole(entry, &place::FLAGS.to_string(), 1))
}

fn quoted(text: &str, quote: char) -> String {
    let doubled: String = text.chars().flat_map(|c| std::iter::repeat_n(c, if c == quote { 2 } else { 1 })).collect();
    format!("{quote}{doubled}{quote}")
}
