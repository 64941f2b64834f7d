//! `highwater tail`: the five steps of a reader, on a screen.

use std::time::Duration;

use clap::Args;
use highwater::consumer::{PollOptions, Seek};
use highwater::engine::CancelToken;
use highwater::store::Wakeups;
use highwater::{Cursor, ErrorKind, Result, Store, StoreExt};

use crate::args::StreamOptions;
use crate::output::Output;
use crate::stores;

/// How long a killed tail keeps its lease from the next one. A live one renews it.
const LEASE: Duration = Duration::from_secs(5);

/// How long a stopped tail may take to finish printing its current page.
const GRACE: Duration = Duration::from_millis(300);

#[derive(Debug, Args)]
pub(crate) struct TailOptions {
    #[command(flatten)]
    stream: StreamOptions,
    /// The name under which the position is kept.
    #[arg(long, default_value = "tail")]
    name: String,
    /// Start at `start`, `end` or a cursor instead of where it stopped.
    #[arg(long, value_parser = seek)]
    from: Option<Seek>,
    /// End once everything was printed.
    #[arg(long)]
    once: bool,
}

pub(crate) async fn run(options: &TailOptions, output: &Output, cancel: &CancelToken) -> Result<()> {
    let mut begun = false;
    match keeping(options, output, cancel, &mut begun).await {
        Err(error) if error.kind() == ErrorKind::PermissionDenied && !begun => {
            output.note(format!("The store is not writable: the position of {:?} is not saved.", options.name));
            reading(options, output, cancel).await
        }
        outcome => outcome,
    }
}

/// Reads on from where the last tail of this name stopped, without writing to the store.
async fn reading(options: &TailOptions, output: &Output, cancel: &CancelToken) -> Result<()> {
    let store = stores::open_reading(&options.stream.store)?;
    let stream = stores::find_stream(&*store, &options.stream).await?;
    let mut cursor = match options.from {
        Some(Seek::End) => store.head(&stream).await?.high_water,
        Some(Seek::Cursor(cursor)) => cursor,
        Some(_) => Cursor::START,
        None => match store.consumer(&stream, &options.name).status().await {
            Ok(status) => status.acknowledged,
            Err(error) if error.kind() == ErrorKind::NotFound => Cursor::START,
            Err(error) => return Err(error),
        },
    };
    let mut wakeups = store.subscribe();
    while !cancel.is_cancelled() {
        let page = store.records(&stream).since(cursor).limit(500).page().await?;
        for change in &page.changes {
            output.change(stream.model(), change);
        }
        cursor = page.next_cursor;
        if page.caught_up {
            if options.once {
                break;
            }
            woken(cancel, &mut wakeups).await?;
        }
    }
    store.close().await
}

/// Reads under a name whose position the store keeps.
async fn keeping(options: &TailOptions, output: &Output, cancel: &CancelToken, begun: &mut bool) -> Result<()> {
    let store = stores::open_existing(&options.stream.store)?;
    let stream = stores::find_stream(&*store, &options.stream).await?;
    let reader = store.consumer(&stream, &options.name).options(PollOptions::default().limit(500).lease(LEASE));
    if let Some(from) = options.from {
        reader.seek(from).await?;
    }
    let mut wakeups = store.subscribe();
    while !cancel.is_cancelled() {
        let delivery = match reader.poll().await {
            Ok(delivery) => delivery,
            Err(error) if error.kind() == ErrorKind::LeaseLost => {
                let wait = error.retry_after().unwrap_or(LEASE);
                output.note(format!(
                    "another tail named {:?} reads; waiting up to {} s",
                    options.name,
                    wait.as_secs() + 1
                ));
                pause(cancel, wait + Duration::from_millis(50)).await;
                continue;
            }
            Err(error) if error.kind() == ErrorKind::BackingOff => {
                pause(cancel, error.retry_after().unwrap_or(LEASE)).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        *begun = true;
        let (caught_up, empty) = (delivery.page.caught_up, delivery.page.changes.is_empty());
        // Printing may block for long: no other tail may print the same in the meantime.
        let (printer, model) = (*output, stream.model().to_owned());
        let mut printing = tokio::task::spawn_blocking(move || {
            delivery.page.changes.iter().for_each(|change| printer.change(&model, change));
        });
        let mut held = true;
        let printed = loop {
            tokio::select! {
                printed = &mut printing => break printed.is_ok(),
                () = cancel.cancelled() => {
                    break tokio::time::timeout(GRACE, &mut printing).await.is_ok_and(|printed| printed.is_ok());
                }
                () = tokio::time::sleep(LEASE / 3), if held => match reader.renew(delivery.token).await {
                    // The machine was asleep, for example, and another reader has the batch.
                    Err(error) if error.kind() == ErrorKind::LeaseLost => held = false,
                    renewed => renewed?,
                },
            }
        };
        // Records that were not printed are not acknowledged.
        if !printed || output.is_closed() {
            break;
        }
        if !empty && held {
            reader.ack(delivery.token).await?;
        }
        if caught_up && options.once {
            break;
        }
        if caught_up {
            woken(cancel, &mut wakeups).await?;
        }
    }
    store.close().await
}

/// Waits until there may be something new. Also polls without a wake-up, which is only a hint.
async fn woken(cancel: &CancelToken, wakeups: &mut Wakeups) -> Result<()> {
    tokio::select! {
        () = cancel.cancelled() => Ok(()),
        woken = tokio::time::timeout(Duration::from_secs(2), wakeups.changed()) => woken.unwrap_or(Ok(())),
    }
}

async fn pause(cancel: &CancelToken, wait: Duration) {
    tokio::select! {
        () = cancel.cancelled() => {}
        () = tokio::time::sleep(wait) => {}
    }
}

fn seek(text: &str) -> Result<Seek, String> {
    match text {
        "start" => Ok(Seek::Start),
        "end" => Ok(Seek::End),
        text => text.parse().map(Seek::Cursor).map_err(|_| "write `start`, `end` or a cursor".to_owned()),
    }
}
