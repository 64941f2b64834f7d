//! `highwater sql-view`

use highwater::{DEFAULT_VARIANT, Error, ErrorKind, Result, Store, StreamKey};
use serde_json::json;

use crate::args::SqlViewOptions;
use crate::output::Output;
use crate::stores;

pub(crate) async fn run(options: &SqlViewOptions, output: &Output) -> Result<()> {
    if !options.db.exists() {
        return Err(Error::new(ErrorKind::NotFound, "there is no such database: sync something into it first")
            .with("db", options.db.display()));
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
        match (namesakes, stream.variant_name()) {
            (1, _) => model,
            (_, DEFAULT_VARIANT) => format!("{model}_{}", stream.connection()),
            (_, variant) => format!("{model}_{}_{variant}", stream.connection()),
        }
    });
    let columns = store.create_view(stream, &name, Vec::new()).await?;
    let live = store.head(stream).await?.live;
    store.close().await?;
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    output.object(&json!({ "view": name, "stream": stream.to_string(), "columns": names }));
    match names.as_slice() {
        [] if live > 0 => output.line(format!(
            "view {name}: id and metadata alone; SQL cannot look into payloads that are encrypted or compressed"
        )),
        [] => output.line(format!("view {name}: id alone; the model has no records yet: sync, then make it again")),
        names => output.line(format!("view {name}: id, {}", names.join(", "))),
    }
    let sql = format!("SELECT * FROM \"{}\" LIMIT 5", name.replace('"', "\"\""));
    output.line(format!("Next: sqlite3 {} {}", word(&options.db.display().to_string()), quoted(&sql)));
    Ok(())
}

/// A word of a shell's command line.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
