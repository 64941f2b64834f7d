//! Views that show a stream's records as columns, for people and their SQL.

use std::collections::BTreeMap;

use highwater_core::{Error, ErrorKind, Result};
use rusqlite::Connection;

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

/// Makes (or replaces) the view `view` over the live records of the stream with this number.
/// Every view has `id`, the given columns, and the metadata as `_cursor` (hexadecimal),
/// `_first_seen_at`, `_last_modified_at` and `_last_action`.
pub fn create_model_view(connection: &Connection, view: &str, stream: u32, columns: &[ViewColumn]) -> Result<()> {
    if view.is_empty() || view.starts_with("sqlite_") || view.starts_with("hw_") {
        return Err(Error::new(
            ErrorKind::Invalid,
            "a view needs a name of its own, not beginning with sqlite_ or hw_",
        ));
    }
    let taken: bool = connection
        .query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1 AND type <> 'view')", [view], |row| {
            row.get(0)
        })
        .explain("view")?;
    if taken {
        return Err(
            Error::new(ErrorKind::Invalid, "a table of this name exists: choose another name").with("view", view)
        );
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
           FROM hw_log CROSS JOIN slot WHERE key >= {low} AND key < {high} AND n * {ENTRY} < length(directory))
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
    let outcome = connection.execute_batch(&format!("BEGIN IMMEDIATE; {sql} COMMIT;")).explain("view");
    if outcome.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK").explain("view")?;
    }
    outcome
}

/// Proposes a column for every scalar member of the newest live records, and for those one level deeper.
pub fn propose_columns(connection: &Connection, stream: u32, records: u32) -> Result<Vec<ViewColumn>> {
    let sql = format!(
        "SELECT DISTINCT tree.fullkey, tree.path = '$' FROM
           (SELECT item.value AS record FROM
              (SELECT key, directory, payloads FROM hw_log
               WHERE key >= ?1 AND key < ?2 AND typeof(payloads) = 'text' ORDER BY key DESC LIMIT ?3) AS block,
              json_each(block.payloads) AS item
            WHERE item.type = 'object' AND {action} <> 2
            ORDER BY block.key DESC, item.key DESC LIMIT ?3) AS newest,
           json_tree(newest.record) AS tree
         WHERE tree.type NOT IN ('object', 'array') AND tree.fullkey NOT LIKE '%[%'
           AND length(tree.fullkey) - length(replace(tree.fullkey, '.', '')) <= 2",
        action = action(&format!("substr(block.directory, item.key * {ENTRY} + 1, {ENTRY})")),
    );
    let mut statement = connection.prepare(&sql).explain("view")?;
    let range = (i64::from(stream) << 40, i64::from(stream + 1) << 40, records);
    let mut rows = statement.query(range).explain("view")?;
    let mut columns = BTreeMap::new();
    while let Some(row) = rows.next().explain("view")? {
        let path: String = row.get(0).explain("view")?;
        let top: bool = row.get(1).explain("view")?;
        let name: String = path.trim_start_matches("$.").chars().filter(|c| *c != '"').collect();
        let name = name.replace('.', "_");
        if name != "id" && !name.starts_with('_') && columns.len() < MAX_COLUMNS {
            columns.insert((!top, name.to_lowercase()), ViewColumn { name, path });
        }
    }
    Ok(columns.into_values().collect())
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
