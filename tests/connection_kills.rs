//! Processes that are killed with SIGKILL while they create an integration and delete it, turn its endpoints on and off, connect,
//! sign in and disconnect: what the store, the keychain and the provider have afterwards.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "support/account.rs"]
mod account;
#[path = "support/account_steps.rs"]
mod account_steps;
#[path = "support/processes.rs"]
mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use account::{ENDPOINTS, Keychain, number_of, open, token};
use account_steps::{IDS, INTEGRATION, Known, Model, Step, Work, step};
use highwater::engine::CredentialStore;
use highwater::engine::connections::ConnectionState;
use highwater::{Engine, ErrorKind, Store, StoreExt, StreamKey, WriteBatch};
use serde_json::Value;
use support::{Chance, block_on, run_and_kill, setting};

/// Documents that outlive the connection whose id is in their keys.
const OUTLIVE: [&str; 4] = ["removal/", "renewal/", "run/", "log/"];

/// Not a test of its own: what the children do.
#[test]
fn child() {
    let Some(role) = support::role() else { return };
    let [folder, first] = &role[..] else { panic!("no such role: {role:?}") };
    block_on(async {
        let (store, engine) = open(Path::new(folder));
        for number in first.parse().unwrap().. {
            step(number).take(&engine, &*store, number).await.unwrap();
            println!("acknowledged {number}");
        }
    });
}

/// What the store and the keychain have, once it was checked that nothing is half made and no credentials are lost sight of.
async fn found(store: &dyn Store, engine: &Engine, keychain: &Keychain) -> Model {
    let mut model = Model::default();
    let documents = store.documents("", "", 10_000).await.unwrap();
    let keys: Vec<&str> = documents.iter().map(|document| &*document.key).collect();
    let removals = engine.pending_removals().await.unwrap();
    let pending: BTreeSet<String> = removals
        .into_iter()
        .map(|removal| removal.connection.unwrap_or_else(|| format!("integration/{}", removal.integration.unwrap())))
        .collect();
    let mut owners = BTreeSet::new();
    if let Ok(endpoints) = engine.integration(INTEGRATION).unwrap().endpoints().await {
        let on: BTreeSet<String> =
            endpoints.into_iter().filter(|endpoint| endpoint.is_enabled()).map(|endpoint| endpoint.sync).collect();
        let name = format!("integration/{INTEGRATION}");
        let secret = keychain.load(&name).await.unwrap().map(|kept| number_of(&kept));
        let endpoints = ENDPOINTS.iter().map(|(endpoint, _)| *endpoint).filter(|endpoint| on.contains(*endpoint));
        model.integration = Some(Work { endpoints: endpoints.collect(), secret });
        owners.insert(name);
    }
    for id in IDS {
        let of_id = |key: &&&str| key.split('/').any(|part| part == id);
        match engine.connection_state(id).await {
            Ok(state) => {
                let syncs: Vec<&str> =
                    keys.iter().filter_map(|key| key.strip_prefix(&*format!("sync/{id}/"))).collect();
                let on = model.integration.as_ref().expect("a connection has its integration").endpoints.iter();
                assert_eq!(syncs, on.copied().collect::<Vec<_>>(), "{id}");
                assert!(keys.contains(&&*format!("health/{id}")), "{id}");
                model.connections.insert(id, known(&state, keychain.load(id).await.unwrap().as_ref().map(number_of)));
                owners.insert(id.to_owned());
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound);
                let outlives = |key: &&&str| OUTLIVE.iter().any(|kind| key.starts_with(kind));
                let left: Vec<&&str> = keys.iter().filter(of_id).filter(|key| !outlives(key)).collect();
                assert!(left.is_empty(), "{id} is not there, but {left:?}");
            }
        }
        for (_, of) in ENDPOINTS {
            let page = store.records(&StreamKey::new(id, of)).page().await.unwrap();
            let records: BTreeSet<u64> = page
                .changes
                .iter()
                .filter(|change| change.record.metadata.deleted_at.is_none())
                .map(|change| change.record.id.to_string().parse().unwrap())
                .collect();
            if !records.is_empty() {
                model.records.insert((id, of), records);
            }
        }
    }
    assert!(owners.is_disjoint(&pending), "{pending:?} are to be removed, and there");
    for name in keychain.names() {
        assert!(owners.contains(&name) || pending.contains(&name), "credentials of {name} are lost sight of");
    }
    model
}

fn known(state: &ConnectionState, signed_in: Option<u64>) -> Known {
    assert!(!state.health.needs_sign_in(), "{state:?}");
    let noted = state.settings.metadata.get("n").and_then(Value::as_u64);
    assert_eq!(noted, state.settings.metadata.get("again").and_then(Value::as_u64), "half a change");
    Known { connected: state.settings.tags["step"].parse().unwrap(), noted, signed_in }
}

#[test]
fn a_kill_leaves_each_connection_whole_or_gone_and_no_credentials_of_the_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (keychain, api) = (Keychain::in_folder(folder.path()), account::Api::in_folder(folder.path()));
    let mut chance = Chance::new("connections");
    let (mut expected, mut first, mut ended) = (Model::default(), 0, BTreeSet::new());
    let (rounds, mut cut, mut pending, mut deletions) = (setting("HIGHWATER_TEST_KILLS", 24), 0, 0, 0);
    for round in 0..rounds {
        let from = first.to_string();
        let last = run_and_kill(&[folder.path().to_str().unwrap(), &from], 16, &mut chance).unwrap();
        for number in first..=last {
            let next = expected.after(number);
            ended.extend(expected.ended(&next));
            expected = next;
        }
        // The next step was in progress, or not even begun.
        let possible = expected.in_the_middle_of(last + 1);
        first = last + 2;
        block_on(async {
            let (store, engine) = open(folder.path());
            end_turns(&*store).await;
            let now = found(&*store, &engine, &keychain).await;
            assert!(possible.contains(&now), "round {round}, step {}: {now:?} is none of {possible:?}", last + 1);
            ended.extend(expected.ended(&now));
            cut += u64::from(now != expected);
            expected = now;
            pending += engine.pending_removals().await.unwrap().len();
            // Every other time the next process's own steps find what is left.
            if round % 2 == 0 || round + 1 == rounds {
                finish(&engine, &*store).await;
                if matches!(step(last + 1), Step::Delete(_)) {
                    deletions += 1;
                    step(last + 1).take(&engine, &*store, last + 1).await.unwrap();
                    let next = expected.after(last + 1);
                    ended.extend(expected.ended(&next));
                    expected = next;
                }
                assert_eq!(found(&*store, &engine, &keychain).await, expected, "round {round}");
                assert!(engine.pending_removals().await.unwrap().is_empty());
                let revoked: BTreeSet<String> = api.revoked().into_iter().collect();
                let works: Vec<_> = ended.iter().filter(|number| !revoked.contains(&token(**number))).collect();
                assert!(works.is_empty(), "round {round}: the provider still takes the sign-ins of steps {works:?}");
            }
            store.close().await.unwrap();
        });
    }
    println!(
        "killed {rounds} times until step {first}: {cut} steps had done something unacknowledged, {pending} removals were pending, \
         {deletions} deletions were taken up again, {} sign-ins ended",
        ended.len(),
    );
}

/// Ends the dead process's turns to change credentials, as the others' patience of a minute does.
async fn end_turns(store: &dyn Store) {
    let mut batch = WriteBatch::new();
    for turn in turns(store).await {
        batch.remove_document(turn);
    }
    store.commit(batch).await.unwrap();
}

async fn turns(store: &dyn Store) -> Vec<String> {
    let turns = store.documents("renewal/", "", 100).await.unwrap();
    turns.into_iter().map(|document| document.key.to_string()).collect()
}

/// Lets the background work of this process finish the removals that are pending.
async fn finish(engine: &Engine, store: &dyn Store) {
    let background = engine.start(&tokio::runtime::Handle::current());
    // A turn that the end of the background work cuts short would hold up the next process.
    while !engine.pending_removals().await.unwrap().is_empty() || !turns(store).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    background.shutdown(Duration::from_secs(600)).await.unwrap();
}
