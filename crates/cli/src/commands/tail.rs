//! `highwater tail`: the five steps of a reader, on a screen.

use std::time::Duration;

use highwater::engine::CancelToken;
use highwater::{Cursor, ErrorKind, PollOptions, Result, Seek, Store, StoreExt};

use crate::args::TailOptions;
use crate::output::Output;
use crate::stores;

/// How long a tail that was killed keeps its place from the next one.
const LEASE: Duration = Duration::from_secs(5);

pub(crate) async fn run(options: &TailOptions, output: &Output, cancel: &CancelToken) -> Result<()> {
    let mut begun = false;
    match keeping(options, output, cancel, &mut begun).await {
        Err(error) if error.kind() == ErrorKind::PermissionDenied && !begun => {
            output.note(format!("The store cannot be written: the position of {:?} is not kept.", options.name));
            reading(options, output, cancel).await
        }
        outcome => outcome,
    }
}

/// Reads on from where the last tail of this name stopped, without a word to the store.
async fn reading(options: &TailOptions, output: &Output, cancel: &CancelToken) -> Result<()> {
    let store = stores::open_reading(&options.stream.store)?;
    let stream = stores::find_stream(&*store, &options.stream).await?;
    let mut cursor = match options.from.as_deref() {
        Some("start") => Cursor::START,
        Some("end") => store.head(&stream).await?.high_water,
        Some(cursor) => cursor.parse()?,
        None => match store.reader(&stream, &options.name).status().await {
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
            tokio::select! {
                () = cancel.cancelled() => break,
                woken = tokio::time::timeout(Duration::from_secs(2), wakeups.changed()) => {
                    if let Ok(closed @ Err(_)) = woken {
                        return closed;
                    }
                }
            }
        }
    }
    store.close().await
}

/// Reads under a name whose position the store keeps.
async fn keeping(options: &TailOptions, output: &Output, cancel: &CancelToken, begun: &mut bool) -> Result<()> {
    let store = stores::open_existing(&options.stream.store)?;
    let stream = stores::find_stream(&*store, &options.stream).await?;
    let reader = store.reader(&stream, &options.name).options(PollOptions::default().limit(500).lease(LEASE));
    if let Some(from) = &options.from {
        reader
            .seek(match from.as_str() {
                "start" => Seek::Start,
                "end" => Seek::End,
                cursor => Seek::Cursor(cursor.parse()?),
            })
            .await?;
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
        for change in &delivery.page.changes {
            output.change(stream.model(), change);
        }
        let (caught_up, empty) = (delivery.page.caught_up, delivery.page.changes.is_empty());
        if !empty {
            reader.ack(delivery.token).await?;
        }
        if caught_up && options.once {
            break;
        }
        if caught_up {
            tokio::select! {
                () = cancel.cancelled() => break,
                // Also look without being woken: a wake-up is a hint.
                woken = tokio::time::timeout(Duration::from_secs(2), wakeups.changed()) => {
                    if let Ok(closed @ Err(_)) = woken {
                        return closed;
                    }
                }
            }
        }
    }
    store.close().await
}

async fn pause(cancel: &CancelToken, wait: Duration) {
    tokio::select! {
        () = cancel.cancelled() => {}
        () = tokio::time::sleep(wait) => {}
    }
}
