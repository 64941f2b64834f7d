//! Where the writer sits: on a thread of its own, or with whoever calls.

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

/// Where a store does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On threads of its own.
    Threads,
    /// On the thread of the caller, before the call returns.
    Here,
}

/// The way to the writer.
pub(super) enum Desk<B: Backend> {
    Thread { jobs: Mutex<Option<mpsc::Sender<Job<B>>>>, thread: Mutex<Option<thread::JoinHandle<()>>> },
    Here { writer: Box<Mutex<Writer<B>>>, reader: Mutex<Option<B::Reader>> },
}

impl<B: Backend> Desk<B> {
    pub(super) fn thread(name: String, writer: Writer<B>) -> Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let thread = spawn(name, move || writer.run(&queue))?;
        Ok(Desk::Thread { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn here(writer: Writer<B>, reader: Option<B::Reader>) -> Self {
        Desk::Here { writer: Box::new(Mutex::new(writer)), reader: Mutex::new(reader) }
    }

    pub(super) fn send(&self, job: Job<B>) -> Result<()> {
        match self {
            Desk::Thread { jobs, .. } => match &*lock(jobs) {
                Some(jobs) => jobs.send(job).map_err(|_| closed()),
                None => Err(closed()),
            },
            Desk::Here { writer, .. } => {
                lock(writer).work(job);
                Ok(())
            }
        }
    }

    /// Reads on this thread, where that is the way; `None` where it is not.
    pub(super) fn read_here<T>(
        &self,
        shared: &Shared,
        work: &impl Fn(&Shared, &mut dyn BackendRead) -> Result<Attempt<T>>,
    ) -> Option<Result<T>> {
        match self {
            Desk::Here { reader, .. } => lock(reader).as_mut().map(|handle| readers::read(shared, handle, work)),
            Desk::Thread { .. } => None,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Desk::Thread { jobs, .. } if lock(jobs).is_none())
    }

    /// Takes nothing more.
    pub(super) fn hang_up(&self) {
        match self {
            Desk::Thread { jobs, .. } => *lock(jobs) = None,
            Desk::Here { reader, .. } => *lock(reader) = None,
        }
    }

    /// Waits until what was submitted is done and the files are closed.
    pub(super) fn close(&self) {
        self.hang_up();
        match self {
            Desk::Thread { thread, .. } => {
                if let Some(thread) = lock(thread).take()
                    && thread.thread().id() != thread::current().id()
                {
                    // A thread that panicked has said so itself.
                    let _ = thread.join();
                }
            }
            Desk::Here { writer, .. } => {
                // Files that fail to close at the very end have nobody left to be told.
                let _ = lock(writer).close();
            }
        }
    }
}
