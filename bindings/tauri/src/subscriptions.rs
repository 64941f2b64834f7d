//! Pages and events that windows are sent: in order, at most a few at a time.
//!
//! Tauri's channels have no back-pressure, so the page in the webview acknowledges each message. Until it does, nothing more is
//! read: a record that changes ten times meanwhile arrives once, as it is then.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater::cursor::Records;
use highwater::{Error, ErrorKind, Page, Result, Store};
use serde::Serialize;
use tauri::ipc::{Channel, InvokeResponseBody};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::failure::Failure;

/// The most subscriptions of one window.
const MOST: usize = 64;
/// How long changes are collected before the next live page.
const PAUSE: Duration = Duration::from_millis(50);

/// What a window is subscribed to.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    runtime: Handle,
    next: AtomicU32,
    open: Arc<Mutex<HashMap<u32, Subscription>>>,
}

#[derive(Debug)]
struct Subscription {
    webview: String,
    credit: Arc<Semaphore>,
    task: AbortHandle,
}

impl Subscriptions {
    pub(crate) fn new(runtime: Handle) -> Self {
        Subscriptions { runtime, next: AtomicU32::new(1), open: Arc::default() }
    }

    /// Runs `work` with an outlet that holds at most `in_flight` messages, until it ends, its window ends or it is ended. An error of
    /// it is the last message.
    pub(crate) fn begin<W, F>(
        &self,
        webview: &str,
        channel: Channel<InvokeResponseBody>,
        in_flight: usize,
        work: W,
    ) -> Result<u32>
    where
        W: FnOnce(Outlet) -> F,
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let mut open = lock(&self.open);
        if open.values().filter(|subscription| subscription.webview == webview).count() >= MOST {
            return Err(Error::new(ErrorKind::Invalid, "too many subscriptions of one window: end some first")
                .with("most", MOST));
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let credit = Arc::new(Semaphore::new(in_flight));
        let working = work(Outlet { channel: channel.clone(), credit: Arc::clone(&credit) });
        let all = Arc::clone(&self.open);
        // It waits for the lock before it ends, so it cannot end before it is in the table.
        let task = self.runtime.spawn(async move {
            if let Err(error) = working.await {
                // Without a window nobody waits for the message.
                let _ = channel.send(InvokeResponseBody::Json(message("failure", &Failure::from(error))));
            }
            lock(&all).remove(&id);
        });
        open.insert(id, Subscription { webview: webview.to_owned(), credit, task: task.abort_handle() });
        Ok(id)
    }

    /// Lets one more message go. Acknowledgements of ended subscriptions are ignored.
    pub(crate) fn acknowledge(&self, webview: &str, id: u32, in_flight: usize) {
        if let Some(subscription) = lock(&self.open).get(&id)
            && subscription.webview == webview
            && subscription.credit.available_permits() < in_flight
        {
            subscription.credit.add_permits(1);
        }
    }

    /// Ends one. Returns whether there was one.
    pub(crate) fn end(&self, webview: &str, id: u32) -> bool {
        let mut open = lock(&self.open);
        let ours = open.get(&id).is_some_and(|subscription| subscription.webview == webview);
        if ours && let Some(subscription) = open.remove(&id) {
            subscription.task.abort();
        }
        ours
    }

    pub(crate) fn end_of(&self, webview: &str) {
        lock(&self.open).retain(|_, subscription| {
            let stays = subscription.webview != webview;
            if !stays {
                subscription.task.abort();
            }
            stays
        });
    }

    pub(crate) fn end_all(&self) {
        for (_, subscription) in lock(&self.open).drain() {
            subscription.task.abort();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `{"page": ...}`, with payloads as they are stored.
fn message(name: &str, value: &impl Serialize) -> String {
    match serde_json::to_string(value) {
        Ok(text) => format!("{{\"{name}\":{text}}}"),
        Err(_) => format!("{{\"{name}\":null}}"),
    }
}

/// Where a subscription's messages go.
pub(crate) struct Outlet {
    channel: Channel<InvokeResponseBody>,
    credit: Arc<Semaphore>,
}

impl Outlet {
    /// Waits until another message may go.
    pub(crate) async fn ready(&self) -> Result<()> {
        let permit = self.credit.acquire().await.map_err(|_| gone())?;
        permit.forget();
        Ok(())
    }

    pub(crate) fn send(&self, name: &str, value: &impl Serialize) -> Result<()> {
        self.channel.send(InvokeResponseBody::Json(message(name, value))).map_err(|_| gone())
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Closed, "the window is gone")
}

/// Sends the first page, even if it is empty, and then each page that has changes.
pub(crate) async fn follow(
    store: Arc<dyn Store>,
    reading: impl for<'s> Fn(&'s dyn Store) -> Records<'s>,
    outlet: Outlet,
) -> Result<()> {
    outlet.ready().await?;
    let mut page: Page = reading(&*store).page().await?;
    outlet.send("page", &page)?;
    let mut following = reading(&*store).since(page.next_cursor).follow();
    loop {
        outlet.ready().await?;
        if page.caught_up {
            tokio::time::sleep(PAUSE).await;
        }
        page = following.next().await?;
        outlet.send("page", &page)?;
    }
}
