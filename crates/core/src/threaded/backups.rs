//! Backups, each on a thread of its own, so that neither commits nor readings wait for it.

use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::executor::Executor;
use super::panics::catch_panic;
use super::{Threaded, closed, spawn};
use crate::backend::{Backend, BackendReader};
use crate::backup::{Backup, BackupProgress, BackupReport, Copying};
use crate::error::Result;
use crate::locks::lock;

/// Between two looks at a backup that is being cancelled.
const MOMENT: Duration = Duration::from_millis(5);

/// The backups that are being made; `None` once the store is closed.
pub(super) struct Backups(Mutex<Option<Vec<Running>>>);

struct Running {
    progress: BackupProgress,
    thread: JoinHandle<()>,
}

impl Backups {
    pub(super) fn new() -> Self {
        Backups(Mutex::new(Some(Vec::new())))
    }

    fn start(&self, progress: &BackupProgress, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let mut running = lock(&self.0);
        let running = running.as_mut().ok_or_else(closed)?;
        running.retain(|one| !one.thread.is_finished());
        running.push(Running { progress: progress.clone(), thread: spawn("highwater-backup".to_owned(), work)? });
        Ok(())
    }

    /// Cancels them all and waits for their threads: they hold handles that the backend must see returned before it closes.
    pub(super) fn stop(&self) {
        for Running { progress, thread } in lock(&self.0).take().into_iter().flatten() {
            while !thread.is_finished() {
                // Again each time: one that had not begun to copy could not be interrupted.
                progress.cancel();
                std::thread::sleep(MOMENT);
            }
            // A panic in it was caught.
            let _ = thread.join();
        }
    }
}

/// Cancels a backup that nobody waits for any more.
struct Awaited(BackupProgress);

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl<B: Backend> Threaded<B> {
    pub(super) async fn back_up(&self, backup: Backup) -> Result<BackupReport> {
        let awaited = Awaited(backup.progress().clone());
        let (reader, size) = self
            .on_writer(|writer| writer.with_backend(|backend| Ok((backend.reader()?, backend.size()?.unwrap_or(0)))))
            .await?;
        awaited.0.check()?;
        let copying = Copying::begin(backup.path(), &*self.inner.shared.environment)?;
        backup.progress().begin(copying.file(), size);
        let Some(mut reader) = reader else {
            // Everything goes through the writer.
            return self
                .on_writer(move |writer| {
                    let copy = |backend: &mut B| backend.copy_to(copying.file(), backup.progress());
                    finish(writer.with_backend(copy), copying, &backup)
                })
                .await;
        };
        let (answer, answered) = oneshot::channel();
        let work = move || {
            let copied = catch_panic(|| reader.copy_to(copying.file(), backup.progress()));
            // Whoever went away has cancelled it.
            let _ = answer.send(finish(copied, copying, &backup));
        };
        match &self.inner.executor {
            Executor::Inline { .. } => work(),
            Executor::Thread { .. } => self.inner.backups.start(&awaited.0, work)?,
        }
        answered.await.map_err(|_| closed())?.map_err(|error| self.named(error))
    }
}

fn finish(copied: Result<()>, copying: Copying, backup: &Backup) -> Result<BackupReport> {
    // However the backend's library calls it.
    backup.progress().check()?;
    copied?;
    let report = copying.finish()?;
    backup.progress().end(backup.path());
    Ok(report)
}
