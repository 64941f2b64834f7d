//! Views that show a stream's records as columns, for people and their SQL.

use std::collections::BTreeMap;

use highwater_core::{Error, ErrorKind, Result};
use rusqlite::Connection;

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
        selected.push_str(&format!(
            ", CASE typeof(payload) WHEN 'text' THEN json_extract(payload, {}) END AS {}",
            quoted(&column.path, '\''),
            quoted(&column.name, '"')
        ));
    }
    let sql = format!(
        "DROP VIEW IF EXISTS {view};
         CREATE VIEW {view} AS SELECT id{selected}, hex(substr(facts, 1, 16)) AS _cursor,
           strftime('%Y-%m-%dT%H:%M:%fZ', {first_seen} / 1000.0, 'unixepoch') AS _first_seen_at,
           strftime('%Y-%m-%dT%H:%M:%fZ', {modified} / 1000.0, 'unixepoch') AS _last_modified_at,
           CASE action WHEN 0 THEN 'ADDED' ELSE 'UPDATED' END AS _last_action
         FROM hw_log WHERE key >= {low} AND key < {high} AND action <> 2;",
        view = quoted(view, '"'),
        // Cursors begin with their time; what is behind them is eight bytes, of which the last six tell.
        modified = milliseconds(1),
        first_seen = milliseconds(19),
    );
    let outcome = connection.execute_batch(&format!("BEGIN IMMEDIATE; {sql} COMMIT;")).explain("view");
    if outcome.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK").explain("view")?;
    }
    outcome
}

/// Proposes a column for every scalar member of the newest live records, and for those one level deeper.
pub fn propose_columns(connection: &Connection, stream: u32, records: u32) -> Result<Vec<ViewColumn>> {
    let sql = "SELECT DISTINCT tree.fullkey, tree.path = '$' FROM
                 (SELECT payload FROM hw_log WHERE key >= ?1 AND key < ?2 AND action <> 2 AND typeof(payload) = 'text'
                  ORDER BY key DESC LIMIT ?3) AS newest,
                 json_tree(newest.payload) AS tree
               WHERE tree.type NOT IN ('object', 'array') AND tree.fullkey NOT LIKE '%[%'
                 AND length(tree.fullkey) - length(replace(tree.fullkey, '.', '')) <= 2";
    let mut statement = connection.prepare_cached(sql).explain("view")?;
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

/// A time in SQL: six bytes of `facts` as a number.
fn milliseconds(from: usize) -> String {
    let digit = |place: usize| {
        format!("(instr('123456789ABCDEF', substr(hex(substr(facts, {from}, 6)), {place}, 1)) << {})", (12 - place) * 4)
    };
    format!("({})", (1..=12).map(digit).collect::<Vec<_>>().join(" + "))
}

fn quoted(text: &str, quote: char) -> String {
    let doubled: String = text.chars().flat_map(|c| std::iter::repeat_n(c, if c == quote { 2 } else { 1 })).collect();
    format!("{quote}{doubled}{quote}")
}
