//! An engine at work: on the host's runtime, or on a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::cancel::CancelToken;
use crate::engine::Engine;
use crate::scheduler::{Command, Scheduler};
use crate::timer;

/// An engine at work in the background. Dropping it asks the work to stop; what was saved stays, and
/// nothing that was acknowledged is lost.
#[derive(Debug)]
#[must_use = "dropping it stops the background work"]
pub struct Running {
    control: Control,
    task: Option<JoinHandle<()>>,
}

/// Speaks to an engine at work. A clone speaks to the same.
#[derive(Clone, Debug)]
pub struct Control {
    cancel: CancelToken,
    commands: Arc<mpsc::UnboundedSender<(Command, oneshot::Sender<()>)>>,
}

impl Control {
    /// Stops every run and begins none until [`resume`](Control::resume). Once it returns, no run of
    /// this engine's schedule writes anything. Unlike [`SyncHandle::pause`](crate::SyncHandle::pause) it ends with the process.
    pub async fn pause(&self) -> Result<()> {
        self.say(Command::Pause).await
    }

    /// Goes on after a pause.
    pub async fn resume(&self) -> Result<()> {
        self.say(Command::Resume).await
    }

    /// The network is back: whatever was offline is tried now.
    pub async fn notify_online(&self) -> Result<()> {
        self.say(Command::Online).await
    }

    /// The machine was asleep. It is noticed without this too, within a few seconds.
    pub async fn notify_resumed(&self) -> Result<()> {
        self.say(Command::Resumed).await
    }

    async fn say(&self, command: Command) -> Result<()> {
        let (done, answer) = oneshot::channel();
        let stopped = || Error::new(ErrorKind::Closed, "the engine's background work has ended: start it again");
        self.commands.send((command, done)).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    }
}

impl Running {
    /// What speaks to the work, for others to hold.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// See [`Control::pause`].
    pub async fn pause(&self) -> Result<()> {
        self.control.pause().await
    }

    /// See [`Control::resume`].
    pub async fn resume(&self) -> Result<()> {
        self.control.resume().await
    }

    /// See [`Control::notify_online`].
    pub async fn notify_online(&self) -> Result<()> {
        self.control.notify_online().await
    }

    /// See [`Control::notify_resumed`].
    pub async fn notify_resumed(&self) -> Result<()> {
        self.control.notify_resumed().await
    }

    /// Asks every run to stop and waits for them. What was saved stays; the next start goes on from there.
    pub async fn shutdown(mut self, timeout: Duration) -> Result<()> {
        self.control.cancel.cancel();
        let Some(task) = self.task.take() else { return Ok(()) };
        match timer::timeout(timeout, task).await {
            Some(Ok(())) => Ok(()),
            Some(Err(source)) => {
                Err(Error::new(ErrorKind::Internal, "the engine's background work failed").because(source))
            }
            None => Err(Error::new(
                ErrorKind::Busy,
                "a run did not stop in time; it commits nothing more once the store closes",
            )),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.cancel.cancel();
    }
}

impl Engine {
    /// Begins to run the enabled syncs, on the given runtime, until the returned value is dropped or
    /// shut down. Missed times collapse into one run; a sync that fails waits longer each time.
    pub fn start(&self, runtime: &Handle) -> Running {
        let cancel = CancelToken::new();
        let (commands, received) = mpsc::unbounded_channel();
        let scheduler = Scheduler::new(self.clone(), runtime.clone(), cancel.clone(), received);
        let task = runtime.spawn(scheduler.work());
        Running { control: Control { cancel, commands: Arc::new(commands) }, task: Some(task) }
    }
}
