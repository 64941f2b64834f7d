//! Keys that are rotated while others use the vault, and rotations that are cut short.
#![allow(clippy::disallowed_methods)]

mod support;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::{ErrorKind, MemoryStore, Result, Store, WriteBatch};
use highwater_engine::{CredentialStore, Credentials, Secret};
use highwater_vault::{ChangeSecrets, GivenKeys, SecretStore, Vault};
use support::{block_on, given};
use tokio::sync::Notify;

fn token(n: usize) -> Credentials {
    Credentials::token(Secret::new(format!("token-{n}")))
}

async fn filled(store: &Arc<dyn Store>, keys: &Arc<GivenKeys>, count: usize) -> Vault {
    let vault = Vault::open(Arc::clone(store), Arc::clone(keys) as _).await.unwrap();
    for n in 0..count {
        vault.save(&format!("c{n}"), &token(n)).await.unwrap();
    }
    vault
}

async fn assert_whole(vault: &Vault, count: usize) {
    for n in 0..count {
        assert_eq!(vault.load(&format!("c{n}")).await.unwrap(), Some(token(n)));
    }
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new().unwrap())
}

#[test]
fn the_former_key_opens_nothing_afterwards() {
    block_on(async {
        let (store, keys) = (memory(), given());
        let vault = filled(&store, &keys, 210).await;
        let former = keys.secrets();
        let rotation = vault.rotate().await.unwrap();
        assert_eq!((rotation.rows, rotation.former_keys), (210, 1));
        assert!(!vault.is_rotating());
        let error = Vault::open(Arc::clone(&store), Arc::new(GivenKeys::new(former.clone()))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongKey);
        vault.forget_former_keys().await.unwrap();
        assert!(keys.secrets().len() == 1 && keys.secrets() != former);
        assert_whole(&Vault::open(store, keys as _).await.unwrap(), 210).await;
    });
}

#[test]
fn other_processes_go_on_through_rotations() {
    block_on(async {
        let (store, keys) = (memory(), given());
        let one = filled(&store, &keys, 3).await;
        let two = Vault::open(Arc::clone(&store), Arc::clone(&keys) as _).await.unwrap();
        // More rotations than there are numbers for data keys.
        for round in 0..300 {
            one.rotate().await.unwrap();
            one.forget_former_keys().await.unwrap();
            if round % 50 == 0 {
                assert_whole(&two, 3).await;
            }
            // `two` still holds the keys from before the rotation.
            two.save("c1", &token(1)).await.unwrap();
            assert_eq!(one.load("c1").await.unwrap(), Some(token(1)));
        }
        assert_whole(&two, 3).await;
    });
}

#[test]
fn what_is_saved_and_removed_during_a_rotation_stays_so() {
    block_on(async {
        let (store, keys) = (memory(), given());
        let vault = filled(&store, &keys, 600).await;
        let other = vault.clone();
        let busy = tokio::spawn(async move {
            for n in (0..600).step_by(7) {
                other.save(&format!("c{n}"), &token(n + 1_000)).await.unwrap();
                other.remove(&format!("c{}", n + 1)).await.unwrap();
            }
        });
        for _ in 0..3 {
            vault.rotate().await.unwrap();
        }
        busy.await.unwrap();
        for n in 0..600 {
            let expected = match n % 7 {
                0 => Some(token(n + 1_000)),
                1 => None,
                _ => Some(token(n)),
            };
            assert_eq!(vault.load(&format!("c{n}")).await.unwrap(), expected, "c{n}");
        }
    });
}

#[test]
fn renewals_at_the_same_time_overwrite_nothing() {
    block_on(async {
        let (store, keys) = (memory(), given());
        let one = filled(&store, &keys, 1).await;
        let two = Vault::open(Arc::clone(&store), Arc::clone(&keys) as _).await.unwrap();
        // Each renewal counts one on, and tells its own from the other's.
        let renew = |vault: Vault, who: usize| async move {
            for _ in 0..50 {
                loop {
                    let known = vault.load("c0").await.unwrap().unwrap();
                    let count = (0..).find(|n| known == token(*n)).unwrap() / 2;
                    if vault.replace("c0", Some(&known), &token(2 * (count + 1) + who)).await.unwrap() {
                        break;
                    }
                }
            }
        };
        let rotate = async {
            for _ in 0..5 {
                one.rotate().await.unwrap();
            }
        };
        tokio::join!(renew(one.clone(), 0), renew(two.clone(), 1), rotate);
        let last = one.load("c0").await.unwrap().unwrap();
        assert!([token(200), token(201)].contains(&last), "each of 100 renewals counts");
        // What is stored already counts as saved; what was removed stays so.
        assert!(one.replace("c0", Some(&token(7)), &last).await.unwrap());
        one.remove("c0").await.unwrap();
        assert!(!two.replace("c0", Some(&last), &token(7)).await.unwrap());
        assert!(two.replace("c0", None, &token(1)).await.unwrap());
        assert_eq!(one.load("c0").await.unwrap(), Some(token(1)));
    });
}

/// Keys whose place is slow: the next `load` after `hold` reads nothing until `let_go`, or until a moment has passed where
/// the vault lets the other wait for it.
#[derive(Debug, Default)]
struct SlowKeys {
    kept: Arc<GivenKeys>,
    hold: AtomicBool,
    held: Notify,
    let_go: Notify,
    /// How many updates pass before one that lets go of the load, and waits for `passed` itself.
    updates: AtomicUsize,
    passed: Notify,
}

impl SlowKeys {
    async fn wait(signal: &Notify) {
        let _ = tokio::time::timeout(Duration::from_millis(300), signal.notified()).await;
    }
}

#[async_trait]
impl SecretStore for SlowKeys {
    async fn load(&self) -> Result<Vec<Secret>> {
        if self.hold.swap(false, SeqCst) {
            self.held.notify_one();
            Self::wait(&self.let_go).await;
        }
        self.kept.load().await
    }

    async fn save(&self, secrets: &[Secret]) -> Result<()> {
        self.kept.save(secrets).await
    }

    async fn update(&self, change: &ChangeSecrets<'_>) -> Result<Vec<Secret>> {
        if self.updates.fetch_sub(1, SeqCst) == 1 {
            self.let_go.notify_one();
            Self::wait(&self.passed).await;
        }
        self.kept.update(change).await
    }

    fn location(&self) -> String {
        self.kept.location()
    }
}

#[test]
fn what_was_read_before_a_rotation_replaces_nothing_read_after_it() {
    block_on(async {
        let (store, keys) = (memory(), Arc::new(SlowKeys::default()));
        let vault = Vault::open(store, Arc::clone(&keys) as _).await.unwrap();
        vault.save("c0", &token(0)).await.unwrap();
        keys.hold.store(true, SeqCst);
        // The second update of a rotation comes after its commit.
        keys.updates.store(2, SeqCst);
        let read_before = async {
            let _ = vault.forget_former_keys().await;
            keys.passed.notify_one();
        };
        let ((), rotation) = tokio::join!(read_before, vault.rotate());
        assert_eq!(rotation.unwrap().rows, 1);
        assert!(!vault.is_rotating());
    });
}

#[test]
fn what_a_rotation_replaced_is_no_damage() {
    block_on(async {
        let (store, kept) = (memory(), given());
        let keys = Arc::new(SlowKeys { kept: Arc::clone(&kept), ..SlowKeys::default() });
        let one = filled(&store, &kept, 1).await;
        let two = Vault::open(store, Arc::clone(&keys) as _).await.unwrap();
        one.rotate().await.unwrap();
        // `two` does not know the key of the row, and is kept from reading the vault's document until the row has another.
        keys.hold.store(true, SeqCst);
        let rotate = async {
            keys.held.notified().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            one.rotate().await.unwrap();
            keys.let_go.notify_one();
        };
        let (refreshed, loaded, ()) = tokio::join!(two.forget_former_keys(), two.load("c0"), rotate);
        refreshed.unwrap();
        assert_eq!(loaded.unwrap(), Some(token(0)));
    });
}

#[test]
fn a_key_that_a_rotation_forgot_is_not_a_wrong_one() {
    block_on(async {
        let (store, kept) = (memory(), given());
        let keys = Arc::new(SlowKeys { kept: Arc::clone(&kept), ..SlowKeys::default() });
        let one = filled(&store, &kept, 1).await;
        keys.hold.store(true, SeqCst);
        let rotate = async {
            keys.held.notified().await;
            one.rotate().await.unwrap();
            one.forget_former_keys().await.unwrap();
            keys.let_go.notify_one();
        };
        let (two, ()) = tokio::join!(Vault::open(Arc::clone(&store), Arc::clone(&keys) as _), rotate);
        assert_eq!(two.unwrap().load("c0").await.unwrap(), Some(token(0)));
    });
}

/// Polls `future` so often, then drops it; whether it came to its end.
async fn cut_short<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[test]
fn a_rotation_that_is_cut_short_anywhere_loses_nothing_and_goes_on() {
    block_on(async {
        let mut ended = 0;
        for polls in 0..60 {
            let (store, keys) = (memory(), given());
            let vault = filled(&store, &keys, 210).await;
            ended += usize::from(cut_short(vault.rotate(), polls).await.is_some());
            // What was submitted by then may be done yet: the store does one thing after another.
            let mut last = WriteBatch::new();
            last.put_document("test/last", &polls).unwrap();
            store.commit(last).await.unwrap();
            // A new process, with what the place of keys has.
            let again = Vault::open(Arc::clone(&store), Arc::clone(&keys) as _).await.unwrap();
            assert_whole(&again, 210).await;
            let unfinished = again.is_rotating();
            if unfinished {
                assert_eq!(again.forget_former_keys().await.unwrap_err().kind(), ErrorKind::Conflict);
            }
            again.rotate().await.unwrap();
            again.forget_former_keys().await.unwrap();
            assert_eq!((again.is_rotating(), keys.secrets().len()), (false, 1), "after {polls} polls");
            assert_whole(&again, 210).await;
        }
        assert!((1..60).contains(&ended), "cut at every step, and not at all: {ended}");
    });
}
