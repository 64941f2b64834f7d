//! The outbox: to whom, how often, and what an answer does. A scripted receiver, a clock by hand.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "support/receiver.rs"]
mod receiver;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use highwater_core::{Environment, ErrorKind, MemoryStore, Store};
use highwater_engine::Secret;
use highwater_engine::webhooks::{Destination, Outbox, SIGNATURE_TOLERANCE, verify};
use receiver::{HOUR, SECRET, World, header};
use serde_json::Value;

#[tokio::test]
async fn failures_are_tried_again_with_growing_pauses() {
    let world = World::new().await;
    world.run(&[r#"{"id":"a"}"#]).await;
    world.receiver.will_answer(&[(500, None), (404, None), (0, None), (302, None), (429, Some("7200"))]);
    let mut ids = Vec::new();
    for pause in [0, 6_500, 19_000, 57_000, 170_000] {
        world.pass_time(pause);
        assert_eq!(world.deliver().await, (0, 1));
        assert_eq!(world.deliver().await, (0, 0), "a pause was not kept");
        ids.push(header(&world.receiver.last(), "webhook-id").to_owned());
    }
    // The receiver asked for two hours.
    world.pass_time(2 * HOUR - 1);
    assert_eq!(world.deliver().await, (0, 0));
    world.pass_time(1);
    assert_eq!(world.deliver().await, (1, 0));
    ids.push(header(&world.receiver.last(), "webhook-id").to_owned());
    ids.dedup();
    assert_eq!(ids.len(), 1, "each try has the same id");
    assert_eq!((world.receiver.seen(), world.waiting().await), (6, 0));
}

/// What receivers write there: too much, too little, nothing that can be read.
#[tokio::test]
async fn a_retry_after_that_makes_no_sense_neither_hurries_nor_stops_a_delivery() {
    for (value, at_least_ms, at_most_ms) in [
        ("9999999999", 5_000, 24 * HOUR),
        ("99999999999999999999999999", 5_000, 24 * HOUR),
        ("1e400", 5_000, 6_250),
        ("-5", 5_000, 6_250),
        ("0", 5_000, 6_250),
        ("soon", 5_000, 6_250),
        ("", 5_000, 6_250),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 5_000, 6_250),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 24 * HOUR, 24 * HOUR),
        ("120", 120_000, 120_000),
    ] {
        let world = World::new().await;
        world.run(&[r#"{"id":"a"}"#]).await;
        world.receiver.will_answer(&[(429, Some(value))]);
        assert_eq!(world.deliver().await, (0, 1));
        let row = world.outbox.waiting("crm", "", 1).await.unwrap().remove(0);
        let pause_ms = u64::try_from(row.pause.as_millis()).unwrap();
        assert!((at_least_ms..=at_most_ms).contains(&pause_ms), "{value}: {pause_ms} ms");
        world.pass_time(pause_ms);
        assert_eq!(world.deliver().await, (1, 0), "{value}");
    }
}

#[tokio::test]
async fn one_delivery_that_always_fails_does_not_hold_up_the_others_for_long() {
    let world = World::new().await;
    world.run(&[r#"{"id":"a"}"#]).await;
    world.pass_time(1);
    world.run(&[r#"{"id":"b"}"#]).await;
    for _ in 0..5 {
        world.receiver.will_answer(&[(400, None)]);
        world.deliver().await;
        world.pass_time(61_000);
    }
    world.receiver.will_answer(&[(400, None)]);
    while world.waiting().await > 1 {
        world.deliver().await;
        world.pass_time(61_000);
    }
    assert!(world.receiver.seen() < 12);
}

#[tokio::test]
async fn after_three_days_it_is_a_dead_letter_that_can_be_replayed() {
    let world = World::new().await;
    world.run(&[r#"{"id":"a"}"#]).await;
    let begun = world.clock.now().unix_ms();
    for _ in 0..200 {
        world.receiver.will_answer(&[(503, None)]);
        let pass = world.outbox.deliver_due().await.unwrap();
        if pass.dead > 0 {
            break;
        }
        world.clock.0.store(pass.next_at.unwrap().unix_ms(), Ordering::Relaxed);
    }
    assert!(world.clock.now().unix_ms() - begun >= 24 * HOUR);
    assert_eq!(world.waiting().await, 0);
    let dead = world.outbox.dead_letters("crm", "", 10).await.unwrap();
    assert!(dead[0].last_error.as_ref().unwrap().contains("503") && dead[0].attempts > 10);
    assert_eq!(world.outbox.replay("crm", "nonsense").await.unwrap_err().kind(), ErrorKind::NotFound);
    world.receiver.answers.lock().unwrap().clear();
    world.outbox.replay("crm", &dead[0].id).await.unwrap();
    assert_eq!(world.deliver().await, (1, 0));
    assert_eq!(world.outbox.replay_all("crm").await.unwrap(), 0);
}

#[tokio::test]
async fn gone_disables_until_the_host_says_otherwise() {
    let world = World::new().await;
    world.run(&[r#"{"id":"a"}"#]).await;
    world.receiver.will_answer(&[(410, None)]);
    assert_eq!(world.deliver().await, (0, 1));
    world.pass_time(HOUR);
    assert_eq!(world.deliver().await, (0, 0));
    assert!(world.outbox.destinations().await.unwrap()[0].disabled.as_ref().unwrap().contains("410"));
    world.run(&[r#"{"id":"b"}"#]).await;
    assert_eq!(world.waiting().await, 1, "a disabled destination is told nothing more");
    world.outbox.add(Destination::new("crm", "https://crm.example/hook")).await.unwrap();
    assert_eq!(world.deliver().await, (1, 0));
    world.outbox.remove("crm").await.unwrap();
    assert!(world.store.documents("outbox/", "", 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn secrets_change_without_a_gap_and_never_touch_the_store() {
    let world = World::new().await;
    let new = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    world.outbox.set_secrets("crm", vec![Secret::new(new), Secret::new(SECRET)]).unwrap();
    assert!(world.outbox.set_secrets("crm", Vec::new()).is_err());
    assert!(world.outbox.set_secrets("crm", vec![Secret::new("whsec_ no base64")]).is_err());
    world.run(&[r#"{"id":"a"}"#]).await;
    assert_eq!(world.deliver().await, (1, 0));
    let request = world.receiver.last();
    let now = world.clock.now();
    for secret in [new, SECRET] {
        let secrets = [Secret::new(secret)];
        verify(&request.headers, request.body.as_ref().unwrap(), &secrets, now, SIGNATURE_TOLERANCE).unwrap();
    }
    let documents = world.store.documents("", "", 1000).await.unwrap();
    assert!(documents.iter().all(|document| !document.value.as_str().contains("whsec_")));
    assert!(!format!("{:?}", world.outbox).contains("whsec_"));
    // Without a secret nothing is sent, nothing is lost, and no attempt counts: another process may have the secret.
    let forgetful = Outbox::new(&world.engine);
    world.run(&[r#"{"id":"b"}"#]).await;
    assert_eq!(forgetful.deliver_due().await.unwrap().failed, 0);
    assert_eq!(world.outbox.waiting("crm", "", 1).await.unwrap()[0].attempts, 0);
    assert_eq!((world.receiver.seen(), world.waiting().await), (1, 1));
}

#[tokio::test]
async fn of_two_processes_one_delivers() {
    let world = World::new().await;
    for page in [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#, r#"{"id":4}"#, r#"{"id":5}"#, r#"{"id":6}"#] {
        world.run(&[page]).await;
    }
    let other = Outbox::new(&world.engine);
    other.set_secrets("crm", vec![Secret::new(SECRET)]).unwrap();
    let (one, two) = tokio::join!(world.outbox.deliver_due(), other.deliver_due());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.delivered + two.delivered, one.delivered.min(two.delivered)), (6, 0));
    assert_eq!(world.receiver.seen(), 6);
}

#[tokio::test]
async fn a_pause_holds_in_every_process_and_over_restarts() {
    let world = World::new().await;
    world.run(&[r#"{"id":"a"}"#]).await;
    world.run(&[r#"{"id":"b"}"#]).await;
    world.receiver.will_answer(&[(429, Some("7200"))]);
    assert_eq!(world.deliver().await, (0, 1));
    let other = Outbox::new(&world.another(Arc::<MemoryStore>::clone(&world.store)));
    other.set_secrets("crm", vec![Secret::new(SECRET)]).unwrap();
    for _ in 0..3 {
        world.pass_time(HOUR / 2);
        assert_eq!(other.deliver_due().await.unwrap().failed, 0);
        assert_eq!(world.receiver.seen(), 1, "it asked for two hours");
    }
    world.pass_time(HOUR);
    assert_eq!(other.deliver_due().await.unwrap().delivered, 2);
}

#[tokio::test]
async fn a_clock_that_was_ahead_puts_nothing_off() {
    let world = World::new().await;
    world.run(&[r#"{"id":"a"}"#]).await;
    // Once the pause is the schedule's, once the receiver asked for it.
    for (answer, pause) in [((503, None), 6_300), ((429, Some("600")), 600_000)] {
        world.pass_time(20 * HOUR);
        world.receiver.will_answer(&[answer]);
        assert_eq!(world.deliver().await, (0, 1));
        world.clock.0.fetch_sub(20 * HOUR, Ordering::Relaxed);
        // It waits for its pause from now on, and no longer, whoever looks and however often.
        let seen = world.receiver.seen();
        for _ in 0..3 {
            assert_eq!(world.deliver().await, (0, 0));
            world.pass_time(pause / 4);
        }
        assert_eq!((world.deliver().await, world.receiver.seen()), ((0, 0), seen));
        world.pass_time(pause / 4);
        world.receiver.will_answer(&[(200, None)]);
        assert_eq!(world.deliver().await, (1, 0), "{answer:?}");
        world.run(&[r#"{"id":"a","x":1}"#]).await;
    }
}

#[tokio::test]
async fn in_the_background_news_leave_at_once() {
    let world = World::new().await;
    let delivering = world.outbox.start(&tokio::runtime::Handle::current());
    world.run(&[r#"{"id":"a"}"#]).await;
    while world.receiver.seen() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    delivering.shutdown().await.unwrap();
    world.run(&[r#"{"id":"b"}"#]).await;
    assert_eq!(world.waiting().await, 1);
}

/// Two verifiers of others agree with our signatures.
#[tokio::test]
async fn the_published_verifiers_accept_a_delivery() {
    let world = World::new().await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    world.clock.0.store(u64::try_from(now).unwrap(), Ordering::Relaxed);
    world.run(&[r#"{"id":"ä","text":"ünï\n\"quoted\""}"#]).await;
    assert_eq!(world.deliver().await, (1, 0));
    let request = world.receiver.last();
    let folder = tempfile::tempdir().unwrap();
    let headers: serde_json::Map<String, Value> =
        request.headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    std::fs::write(folder.path().join("headers.json"), serde_json::to_vec(&headers).unwrap()).unwrap();
    std::fs::write(folder.path().join("body"), request.body.as_ref().unwrap()).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(folder.path()).output();
        output
            .ok()
            .filter(|output| output.status.success())
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };

    let script = format!(
        "const {{ Webhook }} = require('standardwebhooks'); const fs = require('fs');\
         const check = (body) => new Webhook('{SECRET}').verify(body, JSON.parse(fs.readFileSync('headers.json', 'utf8')));\
         const body = fs.readFileSync('body', 'utf8'); check(body);\
         let refused = false; try {{ check(body + ' ') }} catch {{ refused = true }}; console.log('checked', refused)"
    );
    match run("npm", &["install", "--silent", "--no-audit", "--no-fund", "standardwebhooks@1.1.1"]) {
        Some(_) => assert_eq!(run("node", &["-e", &script]).as_deref(), Some("checked true\n")),
        None => println!("skipped: standardwebhooks could not be installed from npm"),
    }

    let script = format!(
        "import json\nfrom standardwebhooks.webhooks import Webhook\nbody = open('body', 'rb').read().decode()\n\
         headers = {{k.lower(): v for k, v in json.load(open('headers.json')).items()}}\n\
         Webhook('{SECRET}').verify(body, headers)\ntry:\n    Webhook('{SECRET}').verify(body + ' ', headers)\n\
         except Exception:\n    print('checked')\n"
    );
    let python = if cfg!(windows) { "v/Scripts/python" } else { "v/bin/python" };
    let installed = run("python3", &["-m", "venv", "v"])
        .and_then(|_| run(python, &["-m", "pip", "install", "-q", "standardwebhooks==1.1.0"]));
    match installed {
        Some(_) => assert_eq!(run(python, &["-c", &script]).as_deref(), Some("checked\n")),
        None => println!("skipped: standardwebhooks could not be installed from PyPI"),
    }
}
