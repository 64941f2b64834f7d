//! `highwater webhooks`

use clap::{Args, Subcommand};
use highwater::Result;
use highwater::engine::webhooks::{Destination, Outbox, OutboxRow};
use serde::Serialize;
use serde_json::json;

use crate::args::StoreOptions;
use crate::args::values::at_least_one;
use crate::output::{Output, counted, moment};
use crate::stores;

/// The most deliveries that are counted or listed.
const MOST: usize = 1000;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct WebhooksOptions {
    #[command(subcommand)]
    action: Option<WebhooksAction>,
    #[command(flatten)]
    store: StoreOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksAction {
    /// List waiting deliveries, oldest first.
    Waiting(DestinationOptions),
    /// List deliveries that failed for three days, oldest first.
    Dead(DestinationOptions),
    /// Queue failed deliveries again.
    Replay(ReplayOptions),
}

#[derive(Debug, Args)]
pub(crate) struct DestinationOptions {
    /// The destination's id.
    destination: String,
    /// Continue after this delivery.
    #[arg(long, default_value = "")]
    after: String,
    /// At most this many.
    #[arg(long, default_value = "25", value_parser = at_least_one)]
    limit: usize,
    #[command(flatten)]
    store: StoreOptions,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayOptions {
    /// The destination's id.
    destination: String,
    /// The delivery's id; all of them by default.
    id: Option<String>,
    #[command(flatten)]
    store: StoreOptions,
}

pub(crate) async fn run(options: &WebhooksOptions, output: &Output) -> Result<()> {
    match &options.action {
        None => list(&options.store, output).await,
        Some(WebhooksAction::Waiting(of)) => deliveries(of, output, false).await,
        Some(WebhooksAction::Dead(of)) => deliveries(of, output, true).await,
        Some(WebhooksAction::Replay(replay)) => replay_dead(replay, output).await,
    }
}

#[derive(Serialize)]
struct Counted<'d> {
    #[serde(flatten)]
    destination: &'d Destination,
    waiting: usize,
    dead: usize,
}

async fn list(options: &StoreOptions, output: &Output) -> Result<()> {
    let store = stores::open_reading(options)?;
    let outbox = Outbox::new(&stores::engine(&store, options)?);
    let destinations = outbox.destinations().await?;
    for destination in &destinations {
        let waiting = outbox.waiting(&destination.id, "", MOST).await?.len();
        let dead = outbox.dead_letters(&destination.id, "", MOST).await?.len();
        output.object("destination", &Counted { destination, waiting, dead });
        let disabled = destination.disabled.as_ref().map_or(String::new(), |why| format!(", disabled: {why}"));
        output.line(format!(
            "{} {}: {} waiting, {} dead{disabled}",
            destination.id,
            destination.url,
            at_most(waiting),
            at_most(dead)
        ));
        if dead > 0 {
            output.note(format!("Look at them: highwater webhooks dead {}", destination.id));
        }
    }
    if destinations.is_empty() {
        output.note("No destinations: the program that delivers adds them (docs/webhooks.md).");
    }
    store.close().await
}

fn at_most(count: usize) -> String {
    if count < MOST { count.to_string() } else { format!("{MOST} or more") }
}

async fn deliveries(options: &DestinationOptions, output: &Output, dead: bool) -> Result<()> {
    let store = stores::open_reading(&options.store)?;
    let outbox = Outbox::new(&stores::engine(&store, &options.store)?);
    let (destination, after, limit) = (&options.destination, &options.after, options.limit.min(MOST));
    let rows = match dead {
        true => outbox.dead_letters(destination, after, limit).await?,
        false => outbox.waiting(destination, after, limit).await?,
    };
    for row in &rows {
        output.object("delivery", row);
        output.line(line(row, dead));
    }
    match rows.last() {
        None => output.note("None."),
        Some(last) if rows.len() == limit => output.note(format!("More: --after {}", last.id)),
        Some(_) if dead => output.note(format!("Try them again: highwater webhooks replay {destination}")),
        Some(_) => {}
    }
    store.close().await
}

fn line(row: &OutboxRow, dead: bool) -> String {
    let next = if dead { String::new() } else { format!(", next attempt {}", moment(row.next_try_at)) };
    let why = row.last_error.as_ref().map_or(String::new(), |why| format!(": {why}"));
    format!("{} of {}: {}{next}{why}", row.id, moment(row.created_at), counted(row.attempts, "attempt"))
}

async fn replay_dead(options: &ReplayOptions, output: &Output) -> Result<()> {
    let store = stores::open_existing(&options.store)?;
    let outbox = Outbox::new(&stores::engine(&store, &options.store)?);
    let replayed = match &options.id {
        Some(id) => outbox.replay(&options.destination, id).await.map(|()| 1)?,
        None => outbox.replay_all(&options.destination).await?,
    };
    output.done("replayed", &json!({ "destination": options.destination, "deliveries": replayed }));
    output.line(format!(
        "Put back {}: the program that delivers sends again within a minute.",
        counted(replayed, "delivery")
    ));
    store.close().await
}
