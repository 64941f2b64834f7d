//! Every call can be made from a task that moves between threads.

use highwater_engine::{DisableMode, Engine, LogFilter, RunOptions, Schedule, SyncOptions, TriggerMode};

fn sent<T: Send>(value: T) -> T {
    value
}

/// Compiles, or does not.
#[allow(dead_code)]
fn calls(engine: &Engine) {
    drop(sent(engine.enable_with("c", "p/t", SyncOptions::default())));
    drop(sent(engine.disable("c", "p/t", DisableMode::Keep)));
    drop(sent(engine.pause_sync("c", "p/t")));
    drop(sent(engine.start_sync("c", "p/t")));
    drop(sent(engine.set_schedule("c", "p/t", None::<Schedule>)));
    drop(sent(engine.trigger("c", "p/t", TriggerMode::Plain)));
    drop(sent(engine.run_once("c", "p/t", RunOptions::default())));
    drop(sent(engine.approve("run")));
    drop(sent(engine.reject("run")));
    drop(sent(engine.sync_state("c", "p/t")));
    drop(sent(engine.runs_matching(&LogFilter::default())));
    drop(sent(engine.log_lines(&LogFilter::default())));
    drop(sent(engine.sweep_logs()));
    drop(sent(engine.receive("c", &[("a", "b")], b"{}")));
}

#[test]
fn engines_are_shared_between_threads() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<Engine>();
    shared::<highwater_engine::blocking::Engine>();
    shared::<highwater_engine::Control>();
}
