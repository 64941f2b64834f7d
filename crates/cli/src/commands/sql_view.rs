//! `highwater sql-view`

use highwater::stores::SqliteStore;
use highwater::{Error, ErrorKind, Result, Store, StreamKey};
use serde_json::json;

use crate::args::SqlViewOptions;
use crate::output::Output;

pub(crate) async fn run(options: &SqlViewOptions, output: &Output) -> Result<()> {
    if !options.db.exists() {
        return Err(Error::new(ErrorKind::NotFound, "there is no such database: sync something into it first")
            .with("db", options.db.display()));
    }
    let store = SqliteStore::open(&options.db)?;
    let wanted = |stream: &StreamKey| {
        let connection = stream.connection();
        stream.model().eq_ignore_ascii_case(&options.model)
            && (connection == options.connection || connection.starts_with(&format!("{}-", options.connection)))
    };
    let found: Vec<StreamKey> = store.streams().await?.into_iter().map(|head| head.stream).filter(wanted).collect();
    let [stream] = found.as_slice() else {
        let known: Vec<String> = found.iter().map(ToString::to_string).collect();
        let message = if found.is_empty() {
            "the database has no such model; see `highwater status`"
        } else {
            "several connections have this model: name one of them"
        };
        return Err(Error::new(ErrorKind::NotFound, message)
            .with("model", &options.model)
            .with("found", known.join(", ")));
    };
    let name = options.name.clone().unwrap_or_else(|| options.model.to_lowercase());
    let columns = store.create_view(stream, &name, Vec::new()).await?;
    store.close().await?;
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    output.object(&json!({ "view": name, "stream": stream.to_string(), "columns": names }));
    match names.as_slice() {
        [] => output.line(format!("view {name}: id alone; the model has no records yet: sync, then make it again")),
        names => output.line(format!("view {name}: id, {}", names.join(", "))),
    }
    output.line(format!("Next: sqlite3 {} 'SELECT * FROM \"{name}\" LIMIT 5'", options.db.display()));
    Ok(())
}
