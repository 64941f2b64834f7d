//! `highwater tail`: the five steps of a reader, on a screen.

use std::time::Duration;

use highwater::engine::CancelToken;
use highwater::{ErrorKind, PollOptions, Result, Store, StoreExt};

use crate::args::TailOptions;
use crate::output::Output;
use crate::stores;

/// How long a tail that was killed keeps its place from the next one.
const LEASE: Duration = Duration::from_secs(5);

pub(crate) async fn run(options: &TailOptions, output: &Output, cancel: &CancelToken) -> Result<()> {
    let store = stores::open_existing(&options.stream.store)?;
    let stream = stores::find_stream(&*store, &options.stream).await?;
    let reader = store.reader(&stream, &options.name).options(PollOptions::default().limit(500).lease(LEASE));
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
            Err(error) => return Err(error),
        };
        for change in &delivery.page.changes {
            output.change(stream.model(), change);
        }
        // What was not printed is not acknowledged.
        if output.is_closed() {
            break;
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
