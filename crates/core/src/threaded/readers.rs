//! The threads that read, each with a handle of its own.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use tokio::sync::oneshot;

use super::panics::catch_panic;
use crate::backend::{BackendRead, BackendReader};
use crate::error::{Error, ErrorKind, Result};
use crate::locks::lock;
use crate::log::read::Attempt;
use crate::log::shared::Shared;
use crate::log::state::Head;

/// Fresh snapshots taken before a read that keeps being overtaken is given up.
const MAX_ATTEMPTS: usize = 32;

type Task<R> = Box<dyn FnOnce(&Shared, &mut R) + Send>;

pub(super) struct Readers<R> {
    tasks: Option<mpsc::Sender<Task<R>>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl<R: BackendReader> Readers<R> {
    pub(super) fn start(handles: Vec<R>, shared: &Arc<Shared>) -> Result<Self> {
        let (tasks, queue) = mpsc::channel::<Task<R>>();
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = Vec::new();
        for (number, mut handle) in handles.into_iter().enumerate() {
            let (queue, shared) = (Arc::clone(&queue), Arc::clone(shared));
            threads.push(super::spawn(format!("highwater-reader-{number}"), move || {
                loop {
                    let task = lock(&queue).recv();
                    match task {
                        Ok(task) => task(&shared, &mut handle),
                        Err(_) => return,
                    }
                }
            })?);
        }
        Ok(Readers { tasks: Some(tasks), threads })
    }

    pub(super) fn send<T: Send + 'static>(
        &self,
        work: impl Fn(&Shared, &mut dyn BackendRead) -> Result<Attempt<T>> + Send + 'static,
        answer: oneshot::Sender<Result<T>>,
    ) -> Result<()> {
        let task: Task<R> = Box::new(move |shared, handle| {
            // A reader that went away does not want the answer.
            if !answer.is_closed() {
                let _ = answer.send(read(shared, handle, &work));
            }
        });
        let tasks = self.tasks.as_ref().ok_or_else(super::closed)?;
        tasks.send(task).map_err(|_| super::closed())
    }
}

impl<R> Drop for Readers<R> {
    /// Waits for the threads: they hold handles that the backend must see returned before it closes.
    fn drop(&mut self) {
        self.tasks = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Reads one snapshot; `true` when that was the answer, `false` where the snapshot was overtaken.
type Work<'w> = dyn FnMut(&Shared, &mut dyn BackendRead) -> Result<bool> + 'w;

/// Reads on a snapshot, on a later one where it is overtaken. A panic becomes an error.
pub(super) fn read<R: BackendReader, T>(
    shared: &Shared,
    handle: &mut R,
    work: &impl Fn(&Shared, &mut dyn BackendRead) -> Result<Attempt<T>>,
) -> Result<T> {
    let mut value = None;
    {
        let work: &mut Work<'_> = &mut |shared, read| {
            value = work(shared, read)?.done();
            Ok(value.is_some())
        };
        catch_panic(|| read_snapshots(shared, handle, work))?;
    }
    value.ok_or_else(astray)
}

/// Not generic over what is read, so that there is one copy.
fn read_snapshots<R: BackendReader>(shared: &Shared, handle: &mut R, work: &mut Work<'_>) -> Result<()> {
    let mut first = None;
    let mut moved = false;
    for _ in 0..MAX_ATTEMPTS {
        let mut snapshot = handle.snapshot()?;
        let outcome = match work(shared, &mut snapshot) {
            Ok(false) => Head::load(&mut snapshot).map(|head| {
                moved |= *first.get_or_insert(head) != head;
                false
            }),
            outcome => outcome,
        };
        drop(snapshot);
        if !handle.held() {
            moved = true;
        } else if outcome? {
            return Ok(());
        }
    }
    Err(if moved { overtaken() } else { astray() })
}

/// Nothing was written, but the index refers to rows that do not exist.
pub(super) fn astray() -> Error {
    Error::corrupt(
        "the index does not fit the log: verify the store (Maintenance::Verify), restore a backup, or sync into a new file",
    )
}

fn overtaken() -> Error {
    Error::new(ErrorKind::Busy, "the stream changed faster than it could be read; try again")
}
