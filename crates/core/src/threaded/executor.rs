//! Where the writer runs: on a thread of its own, or on the calling thread.

use std::sync::{Mutex, mpsc};
use std::thread;

use super::readers;
use super::writer::{Job, Writer};
use super::{closed, spawn};
use crate::backend::{Backend, BackendRead};
use crate::error::Result;
use crate::locks::lock;
use crate::log::read::Attempt;
use crate::log::shared::Shared;

/// On which threads a store does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// On threads of its own.
    Threads,
    /// On the calling thread, before the call returns.
    Inline,
}

/// Runs the writer's jobs.
pub(super) enum Executor<B: Backend> {
    Thread { jobs: Mutex<Option<mpsc::Sender<Job<B>>>>, thread: Mutex<Option<thread::JoinHandle<()>>> },
    Inline { writer: Box<Mutex<Writer<B>>>, reader: Mutex<Option<B::Reader>> },
}

impl<B: Backend> Executor<B> {
    pub(super) fn thread(name: String, writer: Writer<B>) -> Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let thread = spawn(name, move || writer.run(&queue))?;
        Ok(Executor::Thread { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn inline(writer: Writer<B>, reader: Option<B::Reader>) -> Self {
        Executor::Inline { writer: Box::new(Mutex::new(writer)), reader: Mutex::new(reader) }
    }

    pub(super) fn send(&self, job: Job<B>) -> Result<()> {
        match self {
            Executor::Thread { jobs, .. } => match &*lock(jobs) {
                Some(jobs) => jobs.send(job).map_err(|_| closed()),
                None => Err(closed()),
            },
            Executor::Inline { writer, .. } => {
                lock(writer).work(job);
                Ok(())
            }
        }
    }

    /// Reads on the calling thread, if this is an inline executor.
    pub(super) fn read_inline<T>(
        &self,
        shared: &Shared,
        work: &impl Fn(&Shared, &mut dyn BackendRead) -> Result<Attempt<T>>,
    ) -> Option<Result<T>> {
        match self {
            Executor::Inline { reader, .. } => lock(reader).as_mut().map(|handle| readers::read(shared, handle, work)),
            Executor::Thread { .. } => None,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Executor::Thread { jobs, .. } if lock(jobs).is_none())
    }

    /// Accepts no more jobs.
    pub(super) fn stop_accepting(&self) {
        match self {
            Executor::Thread { jobs, .. } => *lock(jobs) = None,
            Executor::Inline { reader, .. } => *lock(reader) = None,
        }
    }

    /// Waits until what was submitted is done and the files are closed.
    pub(super) fn close(&self) {
        self.stop_accepting();
        match self {
            Executor::Thread { thread, .. } => {
                if let Some(thread) = lock(thread).take()
                    && thread.thread().id() != thread::current().id()
                {
                    // Its panic was reported by the panic hook.
                    let _ = thread.join();
                }
            }
            Executor::Inline { writer, .. } => {
                // No caller is left to receive the error.
                let _ = lock(writer).close();
            }
        }
    }
}
