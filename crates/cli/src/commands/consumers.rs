//! `highwater consumers`

use std::sync::Arc;

use clap::{Args, Subcommand};
use highwater::consumer::{ConsumerCommand, ConsumerReply, ConsumerStatus, Seek};
use highwater::{Cursor, Error, ErrorKind, Result, Timestamp};
use highwater::{Store, StoreExt, StreamKey};
use serde_json::{Value, json};

use crate::args::StoreOptions;
use crate::output::{Output, counted};
use crate::stores;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ConsumersOptions {
    #[command(subcommand)]
    action: Option<ConsumersAction>,
    #[command(flatten)]
    store: StoreOptions,
}

#[derive(Debug, Subcommand)]
enum ConsumersAction {
    /// List the consumers of every stream (the default without a subcommand).
    List(StoreOptions),
    /// Show one, with the ids of the records that are parked.
    Show(ConsumerOptions),
    /// Deliver records again that were parked after too many failures.
    Unpark(ConsumerOptions),
    /// Move a consumer to another position. A program that reads under its name loses its current batch.
    Seek(SeekOptions),
    /// Remove a consumer and its position: pruning no longer waits for it.
    Remove(ConsumerOptions),
}

#[derive(Debug, Args)]
struct ConsumerOptions {
    /// Its name.
    name: String,
    /// The connection, if consumers of several streams have the name.
    #[arg(long)]
    connection: Option<String>,
    /// The model, if consumers of several streams have the name.
    #[arg(long)]
    model: Option<String>,
    /// The variant, if consumers of several streams have the name.
    #[arg(long)]
    variant: Option<String>,
    #[command(flatten)]
    store: StoreOptions,
}

#[derive(Debug, Args)]
struct SeekOptions {
    #[command(flatten)]
    consumer: ConsumerOptions,
    /// `start`, `end`, a cursor, or a time (RFC 3339, with its offset).
    #[arg(value_parser = position)]
    position: Seek,
}

fn position(text: &str) -> std::result::Result<Seek, String> {
    match text {
        "start" => return Ok(Seek::Start),
        "end" => return Ok(Seek::End),
        _ => {}
    }
    let cursor = text.parse::<Cursor>().map(Seek::Cursor).ok();
    let time = || text.parse::<Timestamp>().map(Seek::Time).ok();
    cursor.or_else(time).ok_or_else(|| "write `start`, `end`, a cursor, or a time as 2026-11-23T10:00:00Z".to_owned())
}

pub(crate) async fn run(options: &ConsumersOptions, output: &Output) -> Result<()> {
    match &options.action {
        None => list(&options.store, output).await,
        Some(ConsumersAction::List(store)) => list(store, output).await,
        Some(ConsumersAction::Show(consumer)) => show(consumer, output).await,
        Some(ConsumersAction::Unpark(consumer)) => unpark(consumer, output).await,
        Some(ConsumersAction::Seek(options)) => seek(options, output).await,
        Some(ConsumersAction::Remove(consumer)) => remove(consumer, output).await,
    }
}

async fn list(options: &StoreOptions, output: &Output) -> Result<()> {
    let store = stores::open_reading(options)?;
    let mut any = false;
    for head in store.streams().await? {
        for status in of_stream(&*store, &head.stream).await? {
            any = true;
            output.object("consumer", &object(&head.stream, &status));
            output.line(line(&head.stream, &status));
        }
    }
    if !any {
        output.note("No consumers: a program creates one when it polls under a name, and so does `highwater tail`.");
    }
    store.close().await
}

async fn show(options: &ConsumerOptions, output: &Output) -> Result<()> {
    let store = stores::open_reading(&options.store)?;
    let stream = find(&store, options).await?;
    tell(&store, &stream, &options.name, output).await?;
    store.close().await
}

async fn unpark(options: &ConsumerOptions, output: &Output) -> Result<()> {
    let store = stores::open_existing(&options.store)?;
    let stream = find(&store, options).await?;
    let ids = store.consumer(&stream, &options.name).unpark().await?;
    output.done("unparked", &json!({ "consumer": options.name, "stream": stream, "ids": ids }));
    output.line(format!("{} will be delivered again", counted(ids.len(), "record")));
    store.close().await
}

async fn seek(options: &SeekOptions, output: &Output) -> Result<()> {
    let store = stores::open_existing(&options.consumer.store)?;
    let stream = find(&store, &options.consumer).await?;
    store.consumer(&stream, &options.consumer.name).seek(options.position).await?;
    tell(&store, &stream, &options.consumer.name, output).await?;
    store.close().await
}

async fn remove(options: &ConsumerOptions, output: &Output) -> Result<()> {
    let store = stores::open_existing(&options.store)?;
    let stream = find(&store, options).await?;
    store.consumer(&stream, &options.name).remove().await?;
    output.done("removed", &json!({ "consumer": options.name, "stream": stream }));
    output.line(format!("consumer {} of {stream} was removed", options.name));
    store.close().await
}

/// One consumer, with the ids of its parked records.
async fn tell(store: &Arc<dyn Store>, stream: &StreamKey, name: &str, output: &Output) -> Result<()> {
    let status = store.consumer(stream, name).status().await?;
    output.object("consumer", &object(stream, &status));
    output.line(line(stream, &status));
    for id in &status.parked {
        output.line(format!("  parked: {id}"));
    }
    Ok(())
}

/// The only stream with a consumer of this name.
async fn find(store: &Arc<dyn Store>, options: &ConsumerOptions) -> Result<StreamKey> {
    let wanted = |stream: &StreamKey| {
        options.connection.as_ref().is_none_or(|connection| stream.connection() == connection)
            && options.model.as_ref().is_none_or(|model| stream.model().eq_ignore_ascii_case(model))
            && options.variant.as_ref().is_none_or(|variant| stream.variant() == variant)
    };
    let (mut found, mut known) = (Vec::new(), Vec::new());
    for head in store.streams().await?.into_iter().filter(|head| wanted(&head.stream)) {
        for name in store.consumers(&head.stream).await? {
            if name == options.name {
                found.push(head.stream.clone());
            }
            known.push(name);
        }
    }
    if let Some(model) = &options.model {
        stores::narrow(&mut found, |stream| stream.model() == model);
    }
    match found.as_slice() {
        [stream] => Ok(stream.clone()),
        [] => Err(Error::new(ErrorKind::NotFound, "the store has no such consumer; see `highwater consumers`")
            .with("consumer", &options.name)
            .with("known", known.join(", "))),
        several => {
            let streams: Vec<String> = several.iter().map(ToString::to_string).collect();
            let message =
                "consumers of several streams have this name: choose one with --connection, --model or --variant";
            Err(Error::new(ErrorKind::Invalid, message)
                .with("consumer", &options.name)
                .with("found", streams.join(", ")))
        }
    }
}

/// The state of each consumer of a stream.
pub(super) async fn of_stream(store: &dyn Store, stream: &StreamKey) -> Result<Vec<ConsumerStatus>> {
    let mut consumers = Vec::new();
    for name in store.consumers(stream).await? {
        if let ConsumerReply::Status(status) = store.consumer_command(stream, &name, ConsumerCommand::Status).await? {
            consumers.push(status);
        }
    }
    Ok(consumers)
}

/// A consumer, for machines.
pub(super) fn object(stream: &StreamKey, status: &ConsumerStatus) -> Value {
    let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    json!({
        "consumer": status.name, "stream": stream, "acknowledged": status.acknowledged,
        "lag": status.lag, "lag_ms": status.lag_time.map(ms), "leased": status.leased,
        "parked": status.parked, "evicted": status.evicted, "backoff_ms": status.backoff.map(ms),
    })
}

fn line(stream: &StreamKey, status: &ConsumerStatus) -> String {
    let leased = if status.leased { ", leased" } else { "" };
    format!("{stream} {}: at {}, {}{leased}", status.name, status.acknowledged, standing(status))
}

/// The state of a consumer, for people.
pub(super) fn standing(status: &ConsumerStatus) -> String {
    let parked = match status.parked.len() {
        0 => String::new(),
        count => format!(", {} parked", counted(count, "record")),
    };
    let backoff = status
        .backoff
        .map_or_else(String::new, |left| format!(", waits another {} s after a failure", left.as_secs() + 1));
    let evicted = if status.evicted { ", evicted: it has to start over" } else { "" };
    format!("{} behind{parked}{backoff}{evicted}", status.lag)
}
