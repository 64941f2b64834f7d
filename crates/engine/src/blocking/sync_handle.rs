//! The handle to one sync, for programs without an async runtime.

use highwater_core::{Result, StreamKey};

use super::Engine;
use crate::aside::UnsavedRecord;
use crate::control::DisableMode;
use crate::documents::{RunReport, Schedule, SyncOptions, SyncSettings, SyncState, TriggerMode};
use crate::run::{DryRun, RunOptions};

/// A [`SyncHandle`](crate::SyncHandle) whose calls block the calling thread. A clone is the same sync.
#[derive(Clone, Debug)]
pub struct SyncHandle {
    engine: Engine,
    inner: crate::SyncHandle,
}

impl SyncHandle {
    pub(super) fn new(engine: &Engine, inner: crate::SyncHandle) -> Self {
        SyncHandle { engine: engine.clone(), inner }
    }

    /// Returns the connection's id.
    pub fn connection(&self) -> &str {
        self.inner.connection()
    }

    /// See [`SyncHandle::name`](crate::SyncHandle::name).
    pub fn name(&self) -> String {
        self.inner.name()
    }

    /// See [`SyncHandle::enable`](crate::SyncHandle::enable).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn enable(&self, options: SyncOptions) -> Result<SyncSettings> {
        self.engine.wait(self.inner.enable(options))
    }

    /// See [`SyncHandle::disable`](crate::SyncHandle::disable).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn disable(&self, mode: DisableMode) -> Result<()> {
        self.engine.wait(self.inner.disable(mode))
    }

    /// See [`SyncHandle::pause`](crate::SyncHandle::pause).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn pause(&self) -> Result<()> {
        self.engine.wait(self.inner.pause())
    }

    /// See [`SyncHandle::resume`](crate::SyncHandle::resume).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn resume(&self) -> Result<()> {
        self.engine.wait(self.inner.resume())
    }

    /// See [`SyncHandle::set_schedule`](crate::SyncHandle::set_schedule).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn set_schedule(&self, schedule: Option<Schedule>) -> Result<SyncSettings> {
        self.engine.wait(self.inner.set_schedule(schedule))
    }

    /// See [`SyncHandle::follow_integration`](crate::SyncHandle::follow_integration).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn follow_integration(&self) -> Result<()> {
        self.engine.wait(self.inner.follow_integration())
    }

    /// See [`SyncHandle::trigger`](crate::SyncHandle::trigger).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn trigger(&self, mode: TriggerMode) -> Result<()> {
        self.engine.wait(self.inner.trigger(mode))
    }

    /// See [`SyncHandle::cancel`](crate::SyncHandle::cancel).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn cancel(&self) -> Result<bool> {
        self.engine.wait(self.inner.cancel())
    }

    /// See [`SyncHandle::run_once`](crate::SyncHandle::run_once).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn run_once(&self, options: RunOptions) -> Result<RunReport> {
        self.engine.wait(self.inner.run_once(options))
    }

    /// See [`SyncHandle::dry_run`](crate::SyncHandle::dry_run).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn dry_run(&self, records: usize) -> Result<DryRun> {
        self.engine.wait(self.inner.dry_run(records))
    }

    /// See [`SyncHandle::state`](crate::SyncHandle::state).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn state(&self) -> Result<SyncState> {
        self.engine.wait(self.inner.state())
    }

    /// See [`SyncHandle::runs`](crate::SyncHandle::runs).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn runs(&self) -> Result<Vec<RunReport>> {
        self.engine.wait(self.inner.runs())
    }

    /// See [`SyncHandle::set_aside`](crate::SyncHandle::set_aside).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn set_aside(&self) -> Result<Vec<UnsavedRecord>> {
        self.engine.wait(self.inner.set_aside())
    }

    /// See [`SyncHandle::stream`](crate::SyncHandle::stream).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn stream(&self, model: &str) -> Result<StreamKey> {
        self.engine.wait(self.inner.stream(model))
    }

    /// See [`SyncHandle::streams`](crate::SyncHandle::streams).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn streams(&self) -> Result<Vec<StreamKey>> {
        self.engine.wait(self.inner.streams())
    }
}
