//! The members of a stream's records, and the names of their columns.

use std::collections::{HashMap, HashSet};

use highwater_core::Result;
use rusqlite::Connection;

use super::{OWN, ViewColumn, action, range_of};
use crate::block::ENTRY;
use crate::errors::Explain;

/// A member of records, as a column of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ViewMember {
    /// Its column.
    pub column: ViewColumn,
    /// How many records have it, with a value that is not null.
    pub records: u64,
    /// Whether it is a member of a member.
    pub deeper: bool,
}

/// The members of a stream's live records that can be columns: those whose values are not objects or lists, and the members
/// of objects one level deeper.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ViewMembers {
    /// The members that most records have come first; at most [`LISTED`](ViewMembers::LISTED).
    pub members: Vec<ViewMember>,
    /// How many members there are.
    pub total: u64,
}

impl ViewMembers {
    /// Members that are listed, at most: records may use ids as the names of members.
    pub const LISTED: usize = 10_000;
}

/// Finds the members of the live records of the stream with this number. Reads every record once; takes about a second for
/// 100,000 records of 1 KB.
///
/// # Errors
///
/// The kinds of I/O errors, and [`ErrorKind::Corrupt`](highwater_core::ErrorKind::Corrupt) for a damaged file.
pub fn view_members(connection: &Connection, stream: u32) -> Result<ViewMembers> {
    let sql = format!(
        "WITH record AS
           (SELECT item.value AS record FROM
              (SELECT directory, payloads FROM hw_log WHERE {range} AND typeof(payloads) = 'text') AS block,
              json_each(block.payloads) AS item
            WHERE item.type = 'object' AND {action} <> 2),
         member AS (SELECT top.key, top.value, top.type, top.fullkey FROM record, json_each(record.record) AS top),
         found AS
           (SELECT 0 AS deeper, key AS name, fullkey AS path, sum(type <> 'null') AS records
            FROM member WHERE type NOT IN ('object', 'array') GROUP BY fullkey
            UNION ALL
            SELECT 1, member.key || '_' || deeper.key, member.fullkey || substr(deeper.fullkey, 2) AS place,
              sum(deeper.type <> 'null')
            FROM member, json_each(member.value) AS deeper
            WHERE member.type = 'object' AND deeper.type NOT IN ('object', 'array') GROUP BY place)
         SELECT deeper, name, path, records, count(*) OVER () FROM found
         WHERE (deeper OR name <> 'id') AND instr(name, char(0)) = 0 AND instr(path, char(0)) = 0
         ORDER BY records DESC, deeper, lower(name), name, path LIMIT {listed}",
        range = range_of(stream),
        action = action(&format!("substr(block.directory, item.key * {ENTRY} + 1, {ENTRY})")),
        listed = ViewMembers::LISTED,
    );
    let mut statement = connection.prepare(&sql).explain("view")?;
    let mut rows = statement.query([]).explain("view")?;
    let (mut members, mut total) = (Vec::new(), 0);
    while let Some(row) = rows.next().explain("view")? {
        let column = ViewColumn { name: row.get(1).explain("view")?, path: row.get(2).explain("view")? };
        let records: i64 = row.get(3).explain("view")?;
        let count: i64 = row.get(4).explain("view")?;
        members.push(ViewMember { column, records: records.unsigned_abs(), deeper: row.get(0).explain("view")? });
        total = count.unsigned_abs();
    }
    tell_apart(&mut members);
    Ok(ViewMembers { members, total })
}

/// Gives each column a name that SQL considers unique. A member keeps its own name if possible, whether it gets a column or
/// not, so that no column has the name of another member; the others get a number.
fn tell_apart(members: &mut [ViewMember]) {
    let mut owners: HashMap<String, usize> = HashMap::new();
    let mut by_name: Vec<usize> = (0..members.len()).collect();
    by_name.sort_by(|one, other| {
        let of = |at: &usize| (members[*at].deeper, &members[*at].column.name, &members[*at].column.path);
        of(one).cmp(&of(other))
    });
    for at in by_name.iter().copied() {
        owners.entry(members[at].column.name.to_ascii_lowercase()).or_insert(at);
    }
    let own = OWN.map(str::to_owned);
    let mut taken: HashSet<String> = owners.keys().cloned().chain(own.iter().cloned()).collect();
    for at in by_name {
        let name = members[at].column.name.clone();
        let lower = name.to_ascii_lowercase();
        if owners.get(&lower) == Some(&at) && !own.contains(&lower) {
            continue;
        }
        let mut numbered = (2_u64..).map(|number| format!("{name}_{number}"));
        if let Some(free) = numbered.find(|name| taken.insert(name.to_ascii_lowercase())) {
            members[at].column.name = free;
        }
    }
}
