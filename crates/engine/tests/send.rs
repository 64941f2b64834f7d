//! Every call can be made from a task that moves between threads.

use highwater_core::RunId;
use highwater_engine::logs::LogFilter;
use highwater_engine::{DisableMode, Engine, RunOptions, Schedule, SyncHandle, SyncOptions, TriggerMode};

fn sent<T: Send>(value: T) -> T {
    value
}

/// Compiles, or does not.
#[allow(dead_code)]
fn calls(engine: &Engine, sync: &SyncHandle) {
    drop(sent(sync.enable(SyncOptions::default())));
    drop(sent(sync.disable(DisableMode::Keep)));
    drop(sent(sync.pause()));
    drop(sent(sync.resume()));
    drop(sent(sync.set_schedule(None::<Schedule>)));
    drop(sent(sync.trigger(TriggerMode::Plain)));
    drop(sent(sync.run_once(RunOptions::default())));
    drop(sent(sync.cancel()));
    drop(sent(sync.state()));
    drop(sent(sync.runs()));
    drop(sent(sync.streams()));
    drop(sent(engine.approve(RunId::default())));
    drop(sent(engine.reject(RunId::default())));
    drop(sent(engine.sync_states()));
    drop(sent(engine.runs_matching(&LogFilter::default())));
    drop(sent(engine.log_lines(&LogFilter::default())));
    drop(sent(engine.sweep_logs()));
    drop(sent(engine.receive("c", &[("a", "b")], b"{}")));
}

#[test]
fn engines_are_shared_between_threads() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<Engine>();
    shared::<SyncHandle>();
    shared::<highwater_engine::blocking::SyncHandle>();
    shared::<highwater_engine::blocking::Engine>();
    shared::<highwater_engine::Background>();
}
