//! The background work of an engine, on the host's runtime or on its own thread.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use crate::actions;
use crate::cancel::CancelToken;
use crate::engine::Engine;
use crate::scheduler::{Command, Scheduler};
use crate::timer;

/// Runs an engine's enabled syncs in the background. Returned by [`Engine::start`].
///
/// A clone controls the same work, and every method takes a shared reference: keep it in a field, an `Arc`, or your
/// application's state. When the last clone is dropped, the work is asked to stop; everything saved stays, and nothing
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
    /// Whether the work has ended; closed without a value if it failed.
    ended: watch::Receiver<bool>,
}

impl Background {
    /// Stops every run, and starts none until [`resume`](Background::resume). Once it returns, no run of this engine's schedule
    /// writes anything. Unlike [`SyncHandle::pause`](crate::SyncHandle::pause) it does not survive the process.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] once the work has ended.
    pub async fn pause(&self) -> Result<()> {
        self.send(Command::Pause).await
    }

    /// Resumes after a pause.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] once the work has ended.
    pub async fn resume(&self) -> Result<()> {
        self.send(Command::Resume).await
    }

    /// Tells the schedule that the network is back: offline syncs are tried at once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] once the work has ended.
    pub async fn notify_online(&self) -> Result<()> {
        self.send(Command::Online).await
    }

    /// Tells the schedule that the machine was asleep. Without this call it notices within a few seconds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] once the work has ended.
    pub async fn notify_resumed(&self) -> Result<()> {
        self.send(Command::Resumed).await
    }

    /// Asks every run to stop and waits for them, at most for `timeout`. Everything saved stays, and the next start continues from
    /// there. A second call waits too, and returns at once if the work has ended.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] if a run did not stop in time, [`ErrorKind::Internal`] if the work had failed.
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
    /// Starts to run the enabled syncs on `runtime`, and to perform [queued actions](Engine::queue_action), until the returned
    /// value and its clones are dropped or shut down. Missed slots collapse into one run; a failing sync is retried with growing
    /// pauses.
    pub fn start(&self, runtime: &Handle) -> Background {
        let cancel = CancelToken::new();
        let (commands, received) = mpsc::unbounded_channel();
        let scheduler = Scheduler::new(self.clone(), runtime.clone(), cancel.clone(), received);
        let queued = actions::work(self.clone(), runtime.clone(), cancel.clone());
        let (end, ended) = watch::channel(false);
        runtime.spawn(async move {
            tokio::join!(scheduler.work(), queued);
            end.send_replace(true);
        });
        Background { inner: Arc::new(Inner { cancel, commands, ended }) }
    }
}
