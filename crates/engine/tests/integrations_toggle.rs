//! Endpoints that are enabled and disabled for every connection of an integration.
#![allow(clippy::disallowed_methods)]

#[path = "support/members.rs"]
mod members;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use highwater_core::{ErrorKind, StreamKey};
use highwater_engine::integrations::IntegrationChange;
use highwater_engine::syncs::{Phase, SyncChange, SyncOrigin};
use highwater_engine::{
    ConnectionSettings, DisableMode, DisconnectMode, RunOptions, RunState, Schedule, SyncOptions, TriggerMode,
};
use members::{Members, SYNCS};
use tokio::runtime::Handle;

fn every(seconds: u64) -> SyncOptions {
    SyncOptions::default().schedule(Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_runs_for_every_connection_now_and_later() {
    let world = Members::new().await;
    let _running = world.engine.start(&Handle::current());
    let (mut syncs, mut integrations) = (world.engine.sync_events(), world.engine.integration_events());
    world.connect("a").await;
    world.crm.enable("people", every(60)).await.unwrap();
    world.wait(5.0).await;
    world.connect("b").await;
    world.wait(50.0).await;
    for id in ["a", "b"] {
        assert_eq!(world.begun(&format!("{id}/crm/people")), 1, "{id}");
        let state = world.engine.sync(id, "crm/people").unwrap().state().await.unwrap();
        assert!(state.has_synced && state.follows_integration && state.missing_settings.is_empty(), "{state:?}");
        assert_eq!(state.settings.unwrap().origin, SyncOrigin::Integration);
    }
    world.wait(60.0).await;
    assert_eq!((world.begun("a/crm/people"), world.begun("b/crm/people")), (2, 2));
    // The same again changes nothing; other options do, for both.
    let before = world.documents().await;
    world.crm.enable("crm/people", every(60)).await.unwrap();
    assert_eq!(world.documents().await, before);
    world.crm.enable("people", every(600)).await.unwrap();
    world.wait(120.0).await;
    assert_eq!((world.begun("a/crm/people"), world.begun("b/crm/people")), (2, 2));
    world.crm.disable("people", DisableMode::Keep).await.unwrap();
    world.wait(2000.0).await;
    assert_eq!((world.begun("a/crm/people"), world.begun("b/crm/people")), (2, 2));
    // It goes on where it was: in its rhythm, which is over.
    world.crm.enable("people", every(600)).await.unwrap();
    world.wait(5.0).await;
    assert_eq!((world.begun("a/crm/people"), world.begun("b/crm/people")), (3, 3));

    let mut seen = Vec::new();
    while let Ok(event) = syncs.try_recv() {
        seen.push((event.connection, event.change));
    }
    let told = |id: &str, change| seen.iter().filter(|(of, told)| of == id && *told == change).count();
    assert_eq!((told("b", SyncChange::Enabled), told("b", SyncChange::Disabled)), (2, 1), "{seen:?}");
    assert_eq!(told("a", SyncChange::SettingsChanged), 1, "{seen:?}");
    let mut seen = Vec::new();
    while let Ok(event) = integrations.try_recv() {
        assert_eq!((&*event.integration, event.sync.as_deref()), ("main", Some("crm/people")));
        seen.push(event.change);
    }
    use IntegrationChange::{EndpointDisabled, EndpointEnabled};
    assert_eq!(seen, [EndpointEnabled, EndpointEnabled, EndpointDisabled, EndpointEnabled]);
}

#[tokio::test(start_paused = true)]
async fn own_decisions_survive_what_the_integration_says_later() {
    let world = Members::new().await;
    for id in ["off", "slow", "paused", "plain"] {
        world.connect(id).await;
    }
    world.crm.enable("people", every(60)).await.unwrap();
    let sync = |id: &str| world.engine.sync(id, "crm/people").unwrap();
    sync("off").disable(DisableMode::Keep).await.unwrap();
    sync("slow").set_schedule(Some(Schedule::every(Duration::from_secs(3600)))).await.unwrap();
    sync("paused").pause().await.unwrap();
    let look = async || {
        let mut found = Vec::new();
        for id in ["off", "slow", "paused", "plain"] {
            let state = sync(id).state().await.unwrap();
            let every = state.settings.as_ref().and_then(|settings| settings.schedule.interval());
            found.push((id, state.phase, every.map(|every| every.as_secs()), state.follows_integration));
        }
        found
    };
    let own = [
        ("off", Phase::Disabled, None, false),
        ("slow", Phase::Waiting, Some(3600), false),
        ("paused", Phase::Paused, Some(60), false),
    ];
    assert_eq!(look().await[..3], own);
    let endpoint = world.crm.endpoints().await.unwrap().into_iter().find(|endpoint| endpoint.sync == SYNCS[0]).unwrap();
    assert_eq!((endpoint.is_enabled(), endpoint.connections, endpoint.own_decisions), (true, 3, 3));
    for seconds in [None, Some(120), Some(30)] {
        match seconds {
            None => world.crm.disable("people", DisableMode::Clear).await.unwrap(),
            Some(seconds) => world.crm.enable("people", every(seconds)).await.unwrap(),
        }
        let now = look().await;
        assert_eq!(now[..3], own, "{seconds:?}");
        assert_eq!((now[3].2, now[3].3), (seconds, true), "{seconds:?}");
    }
    for id in ["off", "slow", "paused"] {
        sync(id).follow_integration().await.unwrap();
        let state = sync(id).state().await.unwrap();
        assert!(state.follows_integration && state.phase == Phase::Waiting, "{id}: {state:?}");
    }
    assert!(world.documents().await.keys().all(|key| !key.starts_with("off/")));
    // Where the integration has it off, to follow is to be off.
    sync("slow").enable(every(5)).await.unwrap();
    world.crm.disable("people", DisableMode::Keep).await.unwrap();
    assert_eq!(world.enabled().await.keys().collect::<Vec<_>>(), ["slow"]);
    sync("slow").follow_integration().await.unwrap();
    assert!(world.enabled().await.is_empty());

    // Off before the integration ever enabled it; and a variant, which is another sync.
    world.engine.sync("off", "crm/deals").unwrap().disable(DisableMode::Keep).await.unwrap();
    world.engine.sync("plain", "crm/deals::open").unwrap().enable(every(5)).await.unwrap();
    world.crm.enable("deals", every(60)).await.unwrap();
    world.crm.disable("deals", DisableMode::Keep).await.unwrap();
    world.crm.enable("deals", every(60)).await.unwrap();
    let enabled = world.enabled().await;
    assert_eq!(enabled.keys().collect::<Vec<_>>(), ["paused", "plain", "slow"]);
    assert_eq!(enabled["plain"].len(), 2);
    // Only a connection of an integration can follow one.
    world.engine.connect(ConnectionSettings::new("alone", "crm")).await.unwrap();
    let error = world.engine.sync("alone", SYNCS[0]).unwrap().follow_integration().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test(start_paused = true)]
async fn a_template_waits_for_a_setting_and_says_which() {
    let world = Members::new().await;
    let bare = || ConnectionSettings::of_integration("a", "main");
    world.engine.connect(bare()).await.unwrap();
    world.connect("b").await;
    let mut events = world.engine.sync_events();
    let _running = world.engine.start(&Handle::current());
    world.crm.enable("notes", every(60)).await.unwrap();
    world.crm.enable("people", every(60)).await.unwrap();
    world.wait(300.0).await;
    let sync = world.engine.sync("a", "crm/notes").unwrap();
    let state = sync.state().await.unwrap();
    assert_eq!((state.phase, &state.missing_settings[..]), (Phase::NeedsSetting, &["owner".to_owned()][..]));
    assert_eq!((state.status.failures, state.status.last_error), (0, None));
    assert!(world.begun("a/crm/notes") == 0 && world.begun("a/crm/people") > 3 && world.begun("b/crm/notes") > 3);
    let endpoints = world.crm.endpoints().await.unwrap();
    let notes = endpoints.iter().find(|endpoint| endpoint.sync == "crm/notes").unwrap();
    assert_eq!((notes.connections, notes.waiting, notes.missing_settings["owner"]), (2, 1, 1));
    let mut needs = 0;
    while let Ok(event) = events.try_recv() {
        needs += usize::from(event.change == SyncChange::NeedsAction && event.error_kind == Some(ErrorKind::Invalid));
    }
    assert_eq!(needs, 1, "told once");
    // By hand it is an error, and the connection's own enabling is refused, as ever.
    assert_eq!(sync.run_once(RunOptions::default()).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(sync.enable(every(60)).await.unwrap_err().kind(), ErrorKind::Invalid);
    // The setting arrives: it runs.
    world.engine.connect(bare().config("owner", "me")).await.unwrap();
    world.wait(5.0).await;
    assert_eq!(world.begun("a/crm/notes"), 1);
    assert!(sync.state().await.unwrap().missing_settings.is_empty());
    // It goes again, and comes with the integration.
    world.engine.connect(bare()).await.unwrap();
    world.wait(300.0).await;
    assert_eq!(world.begun("a/crm/notes"), 1);
    world.crm.update(|settings| settings.config("owner", "all")).await.unwrap();
    world.wait(5.0).await;
    assert_eq!(world.begun("a/crm/notes"), 2);
    assert_eq!(world.engine.connection("a").await.unwrap().config["owner"], "all");
}

#[tokio::test(start_paused = true)]
async fn after_disable_nothing_more_is_written() {
    for mode in [DisableMode::Keep, DisableMode::Clear] {
        for after_ms in [500_u64, 1500, 4000] {
            let world = Members::new().await;
            world.api.pages.store(20, Ordering::Relaxed);
            world.api.delay_ms.store(1000, Ordering::Relaxed);
            for n in 0..8 {
                world.connect(&format!("c{n}")).await;
            }
            // Runs here, in two other processes, and one that is asked for by hand.
            let others = [world.another(), world.another()];
            let _running: Vec<_> =
                others.iter().chain([&world.engine]).map(|engine| engine.start(&Handle::current())).collect();
            world.engine.sync("c7", "crm/people").unwrap().disable(DisableMode::Keep).await.unwrap();
            world.crm.enable("people", every(60)).await.unwrap();
            let by_hand = world.another();
            let by_hand = tokio::spawn(async move {
                let sync = by_hand.sync("c0", "crm/people").unwrap();
                sync.run_once(RunOptions::default()).await.map(drop)
            });
            world.wait(after_ms as f64 / 1000.0).await;
            world.crm.disable("people", mode).await.unwrap();
            let heads = world.store.streams().await.unwrap();
            let documents = world.documents().await;
            for n in 0..8 {
                let sync = world.engine.sync(format!("c{n}"), "crm/people").unwrap();
                for run in sync.runs().await.unwrap() {
                    assert_eq!(run.state, RunState::Cancelled, "{mode:?} {after_ms}: {run:?}");
                    assert_eq!(run.error.as_deref(), Some("the sync was paused or disabled; everything saved stays"));
                }
                let live = world.store.head(&StreamKey::new(&*format!("c{n}"), "Person")).await.unwrap().live;
                assert!(mode == DisableMode::Keep || live == 0, "{live}");
            }
            world.wait(300.0).await;
            assert_eq!(world.store.streams().await.unwrap(), heads, "{mode:?} {after_ms}");
            assert_eq!(world.documents().await, documents, "{mode:?} {after_ms}");
            assert!(by_hand.await.unwrap().is_err());
            let kept = documents.keys().filter(|key| ["sync/", "holder/"].iter().any(|of| key.starts_with(of)));
            assert_eq!(kept.count(), 0);
            let begun = documents.keys().filter(|key| key.starts_with("open/")).count();
            assert_eq!(begun, if mode == DisableMode::Keep { 7 } else { 0 });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn first_runs_do_not_come_together() {
    let world = Members::new().await;
    for n in 0..100 {
        world.connect(&format!("c{n}")).await;
    }
    world.crm.enable("people", every(3600)).await.unwrap();
    world.crm.enable("deals", every(3600).jitter(Duration::from_secs(600))).await.unwrap();
    let mut due = [BTreeSet::new(), BTreeSet::new()];
    for state in world.engine.sync_states().await.unwrap() {
        let place = usize::from(state.sync == "crm/deals");
        due[place].insert(state.status.next_due_at.unwrap().unix_ms());
    }
    let spread = |due: &BTreeSet<u64>| due.last().unwrap() - due.first().unwrap();
    assert!(due[0].len() > 90 && (1000..2000).contains(&spread(&due[0])), "{}", spread(&due[0]));
    assert!(due[1].len() > 90 && (400_000..600_000).contains(&spread(&due[1])), "{}", spread(&due[1]));
    // One connection does not wait.
    let world = Members::new().await;
    world.connect("only").await;
    let _running = world.engine.start(&Handle::current());
    world.crm.enable("people", every(3600)).await.unwrap();
    world.wait(0.01).await;
    assert_eq!(world.begun("only/crm/people"), 1);
    // Triggered before it is due, it does not run twice.
    world.crm.enable("deals", every(3600)).await.unwrap();
    world.engine.sync("only", "crm/deals").unwrap().trigger(TriggerMode::Plain).await.unwrap();
    world.wait(60.0).await;
    assert_eq!(world.begun("only/crm/deals"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_enabled_is_refused() {
    let world = Members::new().await;
    world.connect("a").await;
    let before = world.documents().await;
    for (sync, options, kind) in [
        ("nothing", every(60), ErrorKind::NotFound),
        ("crm/nothing", every(60), ErrorKind::NotFound),
        ("erp/items", every(60), ErrorKind::Invalid),
        ("people::", every(60), ErrorKind::Invalid),
        ("people", SyncOptions::default().schedule(Schedule::cron("0 0 0 1 1 * 2020").unwrap()), ErrorKind::Invalid),
    ] {
        let error = world.crm.enable(sync, options).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{sync}: {error}");
    }
    assert_eq!(world.crm.disable("nothing", DisableMode::Keep).await.unwrap_err().kind(), ErrorKind::NotFound);
    world.crm.disable("people", DisableMode::Keep).await.unwrap();
    let nobody = world.engine.integration("nobody").unwrap();
    assert_eq!(nobody.enable("people", every(60)).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(nobody.endpoints().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(world.documents().await, before);
    let endpoints = world.crm.endpoints().await.unwrap();
    assert_eq!(
        endpoints.iter().map(|endpoint| &*endpoint.sync).collect::<Vec<_>>(),
        ["crm/deals", "crm/notes", "crm/people"]
    );
    assert!(endpoints.iter().all(|endpoint| !endpoint.is_enabled() && endpoint.connections == 0));
    // A variant is an endpoint of its own once it is enabled.
    world.crm.enable("people::old", every(60)).await.unwrap();
    assert_eq!(world.crm.endpoints().await.unwrap().len(), 4);
    let a = world.enabled().await.remove("a").unwrap();
    assert_eq!(a[0].sync(), "crm/people::old");
    world.engine.disconnect("a", DisconnectMode::KeepRecords).await.unwrap();
    assert!(world.enabled().await.is_empty() && world.crm.endpoints().await.unwrap()[3].connections == 0);
}
