//! `highwater sql-view`

use std::path::PathBuf;

use clap::Args;
use highwater::store::DEFAULT_VARIANT;
use highwater::stores::{SqliteStore, ViewColumn};
use highwater::{Error, ErrorKind, Result, Store, StreamKey};
use serde_json::json;

use crate::args::CodecOptions;
use crate::output::Output;
use crate::stores;

/// The number of members that a note names.
const EXAMPLES: usize = 12;

#[derive(Debug, Args)]
pub(crate) struct SqlViewOptions {
    /// The connection, or its provider.
    connection: String,
    /// The model.
    model: String,
    /// The variant, if there are several.
    #[arg(long)]
    variant: Option<String>,
    /// The view's name. Defaults to the model's in lower case, with the connection (and variant) added if several have
    /// the model.
    #[arg(long)]
    name: Option<String>,
    /// Columns, by the names that the command prints: `title,user_login`, or `all` for every member. Defaults to the members
    /// that most records have.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    columns: Vec<String>,
    /// The database file.
    #[arg(long, default_value = "highwater.db", env = "HIGHWATER_DB")]
    db: PathBuf,
    #[command(flatten)]
    codec: CodecOptions,
}

pub(crate) async fn run(options: &SqlViewOptions, output: &Output) -> Result<()> {
    if !options.db.exists() {
        return Err(stores::nothing_there(&options.db));
    }
    stores::check_sqlite(&options.db)?;
    let store = stores::open_sqlite(&options.db, &options.codec)?;
    let streams: Vec<StreamKey> = store.streams().await?.into_iter().map(|head| head.stream).collect();
    let namesakes = streams.iter().filter(|stream| stream.model().eq_ignore_ascii_case(&options.model)).count();
    let of_provider = format!("{}-", options.connection);
    let mut found = stores::of_model(streams, &options.model, options.variant.as_deref());
    found.retain(|stream| stream.connection() == options.connection || stream.connection().starts_with(&of_provider));
    stores::narrow(&mut found, |stream| stream.connection() == options.connection);
    let stream = match found.as_slice() {
        [stream] => stream,
        [] => {
            return Err(Error::new(ErrorKind::NotFound, "the database has no such model; see `highwater status`")
                .with("model", &options.model)
                .with("connection", &options.connection));
        }
        several => return Err(stores::ambiguous(several)),
    };
    let name = options.name.clone().unwrap_or_else(|| {
        let model = stream.model().to_lowercase();
        match (namesakes, stream.variant()) {
            (1, _) => model,
            (_, DEFAULT_VARIANT) => format!("{model}_{}", stream.connection()),
            (_, variant) => format!("{model}_{}_{variant}", stream.connection()),
        }
    });
    let columns = named(&store, stream, &options.columns).await?;
    let made = store.create_view(stream, &name, columns).await.map_err(|error| match options.name {
        None if error.context("view").is_some() => error.with("hint", "name the view with --name"),
        _ => error,
    })?;
    let live = store.head(stream).await?.live;
    store.close().await?;
    let names: Vec<&str> = made.columns.iter().map(|column| column.name.as_str()).collect();
    let left_out: Vec<&str> = made.left_out.iter().map(|member| member.column.name.as_str()).collect();
    output.object(
        "view",
        &json!({
            "view": name, "stream": stream, "columns": names,
            "left_out": left_out, "left_out_total": made.left_out_total,
        }),
    );
    match names.as_slice() {
        [] if live > 0 => {
            output.line(format!("view {name}: id and metadata only; SQL cannot read encrypted or compressed payloads"))
        }
        [] => output.line(format!("view {name}: id only; the model has no records yet: sync, then create it again")),
        names => output.line(format!("view {name}: id, {}", names.join(", "))),
    }
    if made.left_out_total > 0 {
        let some = left_out.iter().take(EXAMPLES).copied().collect::<Vec<_>>().join(", ");
        let more = if left_out.len() > EXAMPLES { ", ..." } else { "" };
        output.line(format!(
            "without a column: {} members that fewer records have ({some}{more}); include some with --columns NAMES, or --columns all",
            made.left_out_total
        ));
    }
    let sql = format!("SELECT * FROM \"{}\" LIMIT 5", name.replace('"', "\"\""));
    output.line(format!("Next: sqlite3 {} {}", word(&as_file(&options.db.display().to_string())), quoted(&sql)));
    Ok(())
}

/// The columns that the user named; empty if none.
async fn named(store: &SqliteStore, stream: &StreamKey, wanted: &[String]) -> Result<Vec<ViewColumn>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let found = store.view_members(stream).await?.members;
    if wanted == ["all"] {
        return Ok(found.into_iter().map(|member| member.column).collect());
    }
    let mut columns = Vec::new();
    for name in wanted {
        let member = found.iter().find(|member| member.column.name == *name);
        let member = member.ok_or_else(|| {
            let known: Vec<&str> = found.iter().take(EXAMPLES).map(|member| member.column.name.as_str()).collect();
            Error::new(
                ErrorKind::NotFound,
                "no record has such a member; `sql-view --json` without --columns lists them",
            )
            .with("column", name)
            .with("known", format!("{}, ...", known.join(", ")))
        })?;
        columns.push(member.column.clone());
    }
    Ok(columns)
}

/// A path that `sqlite3` treats as a file, not as a URI, an option or a database in memory.
fn as_file(path: &str) -> String {
    let other = path.starts_with("file:") || path.starts_with(['-', ':']);
    if other { format!("./{path}") } else { path.to_owned() }
}

/// A word of a shell's command line.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
