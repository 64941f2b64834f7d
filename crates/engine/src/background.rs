//! An engine at work: on the host's runtime, or on a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use crate::cancel::CancelToken;
use crate::engine::Engine;
use crate::scheduler::{Command, Scheduler};
use crate::timer;

/// The work of an engine in the background: it runs the enabled syncs. Made by [`Engine::start`].
///
/// A clone controls the same work, and every method takes a shared reference: keep it in a field, an `Arc`, or the state of an
/// application. The work is asked to stop when the last clone is dropped; what was saved stays, and nothing that was
/// acknowledged is lost.
///
/// ```no_run
/// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
/// use std::time::Duration;
/// let background = engine.start(&tokio::runtime::Handle::current());
/// background.pause().await?; // on battery, say
/// background.resume().await?;
/// background.shutdown(Duration::from_secs(10)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "dropping it stops the background work"]
pub struct Background {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cancel: CancelToken,
    commands: mpsc::UnboundedSender<(Command, oneshot::Sender<()>)>,
    /// Whether the work has ended; closed without that where it failed.
    ended: watch::Receiver<bool>,
}

impl Background {
    /// Stops every run, and begins none until [`resume`](Background::resume). Once it returns, no run of this engine's schedule
    /// writes anything. Unlike [`SyncHandle::pause`](crate::SyncHandle::pause) it ends with the process.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] once the work has ended.
    pub async fn pause(&self) -> Result<()> {
        self.send(Command::Pause).await
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] once the work has ended.
    pub async fn resume(&self) -> Result<()> {
        self.send(Command::Resume).await
    }

    /// Tells that the network is back: syncs that were offline are tried now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] once the work has ended.
    pub async fn notify_online(&self) -> Result<()> {
        self.send(Command::Online).await
    }

    /// Tells that the machine was asleep. It is noticed without this too, within a few seconds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] once the work has ended.
    pub async fn notify_resumed(&self) -> Result<()> {
        self.send(Command::Resumed).await
    }

    /// Asks every run to stop and waits for them, at most for `timeout`. What was saved stays; the next start goes on from
    /// there. A second call waits too, and returns at once when the work has ended.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] where a run did not stop in time, [`ErrorKind::Internal`] where the work had failed.
    pub async fn shutdown(&self, timeout: Duration) -> Result<()> {
        self.inner.cancel.cancel();
        let mut ended = self.inner.ended.clone();
        match timer::timeout(timeout, ended.wait_for(|ended| *ended)).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(source)) => {
                Err(Error::new(ErrorKind::Internal, "the engine's background work failed").because(source))
            }
            None => Err(Error::new(
                ErrorKind::Busy,
                "a run did not stop in time; it commits nothing more once the store closes",
            )),
        }
    }

    async fn send(&self, command: Command) -> Result<()> {
        let (done, answer) = oneshot::channel();
        let stopped = || Error::new(ErrorKind::Closed, "the engine's background work has ended: start it again");
        self.inner.commands.send((command, done)).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Engine {
    /// Begins to run the enabled syncs on `runtime`, until the returned value and its clones are dropped or shut down. Missed
    /// times collapse into one run; a sync that fails waits longer each time.
    pub fn start(&self, runtime: &Handle) -> Background {
        let cancel = CancelToken::new();
        let (commands, received) = mpsc::unbounded_channel();
        let scheduler = Scheduler::new(self.clone(), runtime.clone(), cancel.clone(), received);
        let (end, ended) = watch::channel(false);
        runtime.spawn(async move {
            scheduler.work().await;
            end.send_replace(true);
        });
        Background { inner: Arc::new(Inner { cancel, commands, ended }) }
    }
}
