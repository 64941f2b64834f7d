//! Views that show a stream's records as columns, for SQL queries.

mod members;

pub use members::{ViewMember, ViewMembers, view_members};

use std::collections::HashSet;

use highwater_core::{Error, ErrorKind, Result};
use rusqlite::ffi::ErrorCode;
use rusqlite::{Connection, OptionalExtension};

use crate::block::{ACTION_SHIFT, ENTRY, MAX_ROWS, place};
use crate::errors::Explain;

/// The most columns of a view whose columns were not named.
pub const DEFAULT_COLUMNS: usize = 100;

/// A column of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewColumn {
    /// The column's name.
    pub name: String,
    /// The value's place in the payload: a JSON path such as `$.user.login`.
    pub path: String,
}

/// A view that was created.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelView {
    /// Its columns, beside the id and the metadata that every view has.
    pub columns: Vec<ViewColumn>,
    /// Members without a column, if the columns were not named: the most frequent first, at most
    /// [`ViewMembers::LISTED`]. To include them, create the view again with its columns and these.
    pub left_out: Vec<ViewMember>,
    /// The number of members without a column; it can be greater than the length of `left_out`.
    pub left_out_total: u64,
}

impl ModelView {
    /// Returns the columns of the members that most records have.
    pub(crate) fn of_most(members: ViewMembers) -> Self {
        let ViewMembers { mut members, total } = members;
        let left_out = members.split_off(members.len().min(DEFAULT_COLUMNS));
        // In a view, members come before those one level deeper, and are sorted by name.
        members.sort_by_key(|member| (member.deeper, member.column.name.to_ascii_lowercase()));
        let columns: Vec<ViewColumn> = members.into_iter().map(|member| member.column).collect();
        let left_out_total = total.saturating_sub(columns.len() as u64);
        ModelView { columns, left_out, left_out_total }
    }

    /// A view with the columns that the caller named.
    pub(crate) fn named(columns: Vec<ViewColumn>) -> Self {
        ModelView { columns, left_out: Vec::new(), left_out_total: 0 }
    }
}

/// Names that every view has beside the columns of its records.
const OWN: [&str; 5] = ["id", "_cursor", "_first_seen_at", "_last_modified_at", "_last_action"];

/// How our views begin, after their names.
const HEAD: &str = "WITH RECURSIVE slot(n) AS (VALUES (0) UNION ALL";

/// The source that our views read.
const SOURCE: &str = "FROM hw_log CROSS JOIN slot WHERE";

/// Creates or replaces the view `view` over the live records of the stream with this number.
/// Every view has `id`, the given columns, and the metadata as `_cursor` (hexadecimal),
/// `_first_seen_at`, `_last_modified_at` and `_last_action` (`added` or `updated`). A number that SQL cannot hold (an integer
/// beyond 64 bits, a float beyond the greatest) is shown as its text.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] for invalid names and paths, and if the name belongs to the view of another stream or to anything
/// that was not created by this function: those are not replaced.
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
    let mut selected = String::new();
    for column in columns {
        let Some(path) = column.path.strip_prefix('$') else {
            return Err(Error::new(ErrorKind::Invalid, "a column's path begins with `$`, as in `$.user.login`")
                .with("column", &column.name)
                .with("path", &column.path));
        };
        selected.push_str(&format!(", {} AS {}", exact(path), quoted(&column.name, '"')));
    }
    // A row of the table is a block of records: `slot` counts them off.
    let sql = format!(
        "DROP VIEW IF EXISTS {view};
         CREATE VIEW {view} AS
         {HEAD} SELECT n + 1 FROM slot WHERE n < {most} - 1),
         record AS (
           SELECT n, details, payloads, substr(directory, n * {ENTRY} + 1, {ENTRY}) AS entry,
             CASE n WHEN 0 THEN 0 ELSE {details_end} END AS begin
           {SOURCE} {range} AND n * {ENTRY} < length(directory))
         SELECT CAST(substr(details, begin + 1, {id_length}) AS TEXT) AS id{selected},
           hex(substr(entry, 1, 16)) AS _cursor,
           strftime('%Y-%m-%dT%H:%M:%fZ', {first_seen} / 1000.0, 'unixepoch') AS _first_seen_at,
           strftime('%Y-%m-%dT%H:%M:%fZ', {modified} / 1000.0, 'unixepoch') AS _last_modified_at,
           CASE {action} WHEN 0 THEN 'added' ELSE 'updated' END AS _last_action
         FROM record WHERE {action} <> 2;",
        view = quoted(view, '"'),
        range = range_of(stream),
        most = MAX_ROWS,
        details_end = whole("directory", &format!("(n - 1) * {ENTRY} + {}", place::DETAILS_END), 4),
        id_length = whole("entry", &place::ID_LENGTH.to_string(), 2),
        // Cursors begin with their time; times are eight bytes, of which the last six tell.
        modified = whole("entry", &place::CURSOR.to_string(), 6),
        first_seen = whole("entry", &(place::FIRST_SEEN + 2).to_string(), 6),
        action = action("entry"),
    );
    connection.execute_batch("BEGIN IMMEDIATE").explain("view")?;
    let outcome = replace_view(connection, view, stream, &sql);
    let end = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = if connection.is_autocommit() { Ok(()) } else { connection.execute_batch(end).explain("view") };
    outcome.and(ended)
}

/// Within a transaction: the view, if nothing else has its name, and if it can be read.
fn replace_view(connection: &Connection, view: &str, stream: u32, sql: &str) -> Result<()> {
    let found = connection
        .query_row("SELECT type, coalesce(sql, '') FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE", [view], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })
        .optional()
        .explain("view")?;
    if let Some((kind, known)) = found {
        let taken = if kind != "view" || !is_ours(&known) {
            "the database has a table or view of this name, which is not replaced: choose another name"
        } else if !known.contains(&format!("{SOURCE} {} ", range_of(stream))) {
            "the name is taken by the view of another stream, which is not replaced: choose another name"
        } else {
            ""
        };
        if !taken.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, taken).with("view", view).with("type", kind));
        }
    }
    connection.execute_batch(sql).explain("view")?;
    let look = format!("SELECT * FROM {} LIMIT 1", quoted(view, '"'));
    match connection.prepare(&look).and_then(|mut look| look.query([])?.next().map(drop)) {
        Err(source) if source.sqlite_error_code() == Some(ErrorCode::Unknown) => Err(Error::new(
            ErrorKind::Invalid,
            "the view could not be read, and was not created: correct the columns' paths, or use fewer columns",
        )
        .with("view", view)
        .because(source)),
        looked => looked.explain("view"),
    }
}

/// Whether a view was created by this crate: a host's view may read the same table.
fn is_ours(sql: &str) -> bool {
    let name_end = |rest: &str| {
        // A name in quotes, in which a quote is doubled.
        let mut quotes = rest.char_indices().filter(|(_, c)| *c == '"').map(|(at, _)| at).skip(1).peekable();
        while let Some(at) = quotes.next() {
            if quotes.peek() == Some(&(at + 1)) {
                quotes.next();
            } else {
                return Some(at + 1);
            }
        }
        None
    };
    let Some(rest) = sql.strip_prefix("CREATE VIEW ").filter(|rest| rest.starts_with('"')) else { return false };
    let Some(body) = name_end(rest).and_then(|end| rest.get(end..)) else { return false };
    let body = body.trim_start().strip_prefix("AS").map(str::trim_start).unwrap_or_default();
    let end = format!("FROM record WHERE {} <> 2", action("entry"));
    body.starts_with(HEAD) && body.matches(SOURCE).count() == 1 && body.trim_end().ends_with(&end)
}

/// In SQL: that a row of the log's table belongs to a stream.
fn range_of(stream: u32) -> String {
    format!("key >= {} AND key < {}", i64::from(stream) << 40, i64::from(stream + 1) << 40)
}

/// In SQL: the value at a path of the record, behind its `$`. SQL has integers of 64 bits, and makes floats of longer ones:
/// those, and floats that are none, stay text.
fn exact(path: &str) -> String {
    let place = format!("payloads, '$[' || n || ']' || {}", quoted(path, '\''));
    let text = format!("json_extract({place}, '$[' || n || ']' || {})", quoted(path, '\''));
    format!(
        "CASE typeof(payloads) WHEN 'text' THEN
           CASE WHEN typeof(json_extract({place})) = 'real'
             AND (json_type({place}) = 'integer' OR abs(json_extract({place})) > 1.7976931348623157e308)
           THEN substr({text}, 2, instr({text}, ',') - 2) ELSE json_extract({place}) END END"
    )
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
