//! Handles: numbers that stand for what is open. A number is never used twice.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use highwater_bindings::{Engine, Failure, Following, HostRun, Outcome};

use crate::watch::Watch;

/// What a handle stands for.
#[derive(Clone)]
pub(crate) enum Item {
    Engine(Engine),
    Following(Following),
    Watch(Watch),
    Run(HostRun),
}

struct Table {
    next: u64,
    open: BTreeMap<u64, Item>,
}

static TABLE: Mutex<Table> = Mutex::new(Table { next: 1, open: BTreeMap::new() });

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Issues a handle.
pub(crate) fn add(item: Item) -> u64 {
    let mut table = table();
    let handle = table.next;
    table.next += 1;
    table.open.insert(handle, item);
    handle
}

/// Takes a handle back. `None` if that was done before.
pub(crate) fn remove(handle: u64) -> Outcome<Option<Item>> {
    let mut table = table();
    match table.open.remove(&handle) {
        None if !was_issued(&table, handle) => Err(never_issued()),
        found => Ok(found),
    }
}

/// Gives a handle back that [`remove`] took.
pub(crate) fn restore(handle: u64, item: Item) {
    table().open.insert(handle, item);
}

fn find(handle: u64) -> Outcome<Item> {
    let table = table();
    match table.open.get(&handle) {
        Some(item) => Ok(item.clone()),
        None if was_issued(&table, handle) => Err(Failure::new("closed", "the handle is closed: open it again")),
        None => Err(never_issued()),
    }
}

fn was_issued(table: &Table, handle: u64) -> bool {
    handle != 0 && handle < table.next
}

fn never_issued() -> Failure {
    Failure::new("invalid", "this is no handle: pass handles exactly as they were given out")
}

fn other(expected: &str) -> Failure {
    Failure::new("invalid", format!("this is a handle of another kind: pass the handle of {expected}"))
}

pub(crate) fn engine(handle: u64) -> Outcome<Engine> {
    match find(handle)? {
        Item::Engine(engine) => Ok(engine),
        _ => Err(other("an engine")),
    }
}

pub(crate) fn following(handle: u64) -> Outcome<Following> {
    match find(handle)? {
        Item::Following(following) => Ok(following),
        _ => Err(other("hw_follow")),
    }
}

pub(crate) fn run(handle: u64) -> Outcome<HostRun> {
    match find(handle)? {
        Item::Run(run) => Ok(run),
        _ => Err(other("a run")),
    }
}
