//! Child processes for tests: the test program itself, told by an environment variable what to be.
#![allow(dead_code)] // each test program uses its part

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use highwater::maintenance::{Maintenance, MaintenanceReport};
use highwater::{Result, Store, StreamKey};
use highwater_store_redb::RedbStore;
use highwater_store_sled::SledStore;
use highwater_store_sqlite::SqliteStore;

const ROLE: &str = "HIGHWATER_TEST_ROLE";

/// The words of the role this process has, if it is a child: the test named `child` acts on them.
pub(crate) fn role() -> Option<Vec<String>> {
    std::env::var(ROLE).ok().map(|role| role.split('|').map(str::to_owned).collect())
}

/// A call of this program that acts out `role`.
pub(crate) fn command(role: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]).env(ROLE, role.join("|"));
    command
}

/// A child that was killed or has ended, and what it said.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) lines: Box<dyn Iterator<Item = String> + Send>,
}

pub(crate) fn start(role: &[&str]) -> Running {
    let mut child = command(role).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(std::result::Result::ok);
    Running { child, lines: Box::new(lines) }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn open(kind: &str, path: &Path) -> Result<Arc<dyn Store>> {
    Ok(match kind {
        "sqlite" => Arc::new(SqliteStore::open(path)?),
        "redb" => Arc::new(RedbStore::open(path)?),
        "sled" => Arc::new(SledStore::open(path)?),
        other => panic!("no such store: {other}"),
    })
}

pub(crate) async fn problems(store: &dyn Store, stream: &StreamKey) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for task in [Maintenance::CheckFiles, Maintenance::Verify(stream.clone())] {
        match store.maintain(task).await? {
            MaintenanceReport::Files(found) => problems.extend(found.problems),
            MaintenanceReport::Verified(found) => problems.extend(found.problems),
            other => panic!("{other:?}"),
        }
    }
    Ok(problems)
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
}

/// A number from the environment.
pub(crate) fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Chance, from the seed in HIGHWATER_TEST_SEED or a new one. A failure prints it.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(what: &str) -> Self {
        let seed = setting("HIGHWATER_TEST_SEED", RandomState::new().build_hasher().finish() | 1);
        println!("{what}: HIGHWATER_TEST_SEED={seed}");
        Chance(seed | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }
}

/// Kills the child at a random moment after a random number of acknowledgements; the last of them.
pub(crate) fn run_and_kill(role: &[&str], most: u64, chance: &mut Chance) -> Option<u64> {
    let mut running = start(role);
    let mut acknowledged = None;
    let wanted = 1 + chance.below(most);
    for _ in 0..wanted {
        let Some(line) = running.lines.by_ref().find(|line| line.contains("acknowledged ")) else {
            panic!("the child ended by itself");
        };
        acknowledged = line.rsplit(' ').next().and_then(|n| n.parse().ok());
    }
    std::thread::sleep(Duration::from_micros(chance.below(4000)));
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    // Said before the kill, read after it.
    for line in running.lines.by_ref() {
        if let Some(n) = line.strip_prefix("acknowledged ").and_then(|n| n.parse().ok()) {
            acknowledged = Some(n);
        }
    }
    acknowledged
}
