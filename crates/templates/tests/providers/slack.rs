//! Slack's users and channels, and messages with the answers in their threads.

use std::time::Duration;

use highwater_core::{Environment, ErrorKind};
use highwater_templates::slack;
use highwater_testkit::fakes::Slack;
use highwater_testkit::{Fault, Hostile, Trial};

use super::{kind, refresh, run, shared};

/// Two channels that the app is a member of, with messages, one of them with answers; and one that it is not.
fn workspace() -> (Slack, String) {
    let mut api = Slack::default();
    api.put_channel("C1", true);
    api.put_channel("C2", true);
    api.put_channel("C3", false);
    (0..5).for_each(|n| {
        api.post("C1", &format!("Water level {n}"));
    });
    let thread = api.post("C2", "Who mends the pump?");
    (0..4).for_each(|n| {
        api.reply("C2", &thread, &format!("Not me {n}"));
    });
    api.post("C3", "Nobody hears this");
    (api, thread)
}

#[tokio::test(start_paused = true)]
async fn users_and_channels_whole() {
    let mut api = Slack::default();
    (1..=7).for_each(|n| api.put_user(&format!("U{n}"), "ann"));
    let trial = Trial::new(shared(slack::Users::new()), api).await.unwrap();
    assert_eq!(run(&trial).await, (7, 0, 0));
    trial.api.with(|api| api.put_user("U2", "bob"));
    assert_eq!(run(&trial).await, (0, 1, 0));

    let trial = Trial::new(shared(slack::Channels::new()), workspace().0).await.unwrap();
    assert_eq!(run(&trial).await, (3, 0, 0));
    trial.api.with(|api| api.remove_channel("C3"));
    assert_eq!(run(&trial).await, (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn messages_answers_edits_and_deletes() {
    let (api, thread) = workspace();
    let trial = Trial::new(shared(slack::Messages::new()), api).await.unwrap();
    assert_eq!(run(&trial).await, (10, 0, 0));
    trial.api.take_seen();
    assert_eq!(run(&trial).await, (0, 0, 0));
    let threads = trial.api.take_seen().into_iter().filter(|request| request.path.ends_with("replies")).count();
    assert_eq!(threads, 0, "a thread without new answers is not read again");

    let reply = trial.api.with(|api| {
        api.now += 3600;
        let new = api.post("C1", "Flood");
        api.edit("C2", &thread, "Who mends the pump today?");
        api.delete("C1", &new);
        api.post("C1", "Flood!");
        api.reply("C2", &thread, "I do")
    });
    assert_eq!(run(&trial).await, (2, 1, 0));
    let found = trial.records("Message").await.unwrap();
    let answer = found.iter().map(|record| record.to::<slack::Message>().unwrap()).find(|message| message.ts == reply);
    let answer = answer.unwrap();
    assert_eq!((answer.channel.as_str(), answer.thread_ts.as_deref()), ("C2", Some(thread.as_str())));

    trial.api.with(|api| api.delete("C2", &reply));
    // The first message of the thread tells of its answers, so it changed; that one is gone only a full refresh tells.
    assert_eq!(run(&trial).await, (0, 1, 0));
    assert_eq!(refresh(&trial).await, (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_given_while_other_threads_are_read_comes_with_the_next_run() {
    let mut api = Slack::default();
    api.put_channel("C1", true);
    let threads: Vec<String> = (0..8).map(|n| api.post("C1", &format!("Question {n}"))).collect();
    threads.iter().for_each(|thread| {
        api.reply("C1", thread, "Yes");
    });
    // The newest thread is read first; it gets an answer, and then an older one does, which is read later.
    api.reply_after_reading("C1", &threads[7]);
    api.reply_after_reading("C1", &threads[0]);
    let trial = Trial::new(shared(slack::Messages::new()), api).await.unwrap();
    assert_eq!(run(&trial).await.0, 17);
    assert_eq!(run(&trial).await.0, 1);
    assert_eq!(trial.ids("Message").await.unwrap().len(), 18);
}

#[tokio::test(start_paused = true)]
async fn without_answers_no_thread_is_read() {
    let trial = Trial::with_config(shared(slack::Messages::new()), workspace().0, &[("replies", "false")]).await;
    let trial = trial.unwrap();
    assert_eq!(run(&trial).await, (6, 0, 0));
    assert!(trial.api.seen().iter().all(|request| !request.path.ends_with("replies")));
    let trial = Trial::with_config(shared(slack::Messages::new()), workspace().0, &[("replies", "perhaps")]).await;
    assert_eq!(kind(&trial.unwrap()).await, ErrorKind::Invalid);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_threw_the_app_out_keeps_its_messages_until_somebody_looks() {
    let trial = Trial::with_config(shared(slack::Messages::new()), workspace().0, &[("channels", "C1,C2")]).await;
    let trial = trial.unwrap();
    assert_eq!(run(&trial).await, (10, 0, 0));
    trial.api.with(|api| {
        api.put_channel("C1", false);
        api.post("C2", "Where is C1?");
    });
    assert_eq!(run(&trial).await, (1, 0, 0));
    // A full refresh does not call its messages deleted; it says what it could not see.
    let report = trial.refresh().await.unwrap();
    assert_eq!((report.progress.counts.deleted, report.is_clean()), (0, false));
    assert_eq!(report.incomplete["Message"], "the app is not a member of channel C1");
    assert_eq!(trial.ids("Message").await.unwrap().len(), 11);
}

#[tokio::test(start_paused = true)]
async fn slack_names_its_limit_in_a_header_and_refuses_in_a_body() {
    let trial = Trial::new(shared(slack::Messages::new()), Hostile::new(workspace().0)).await.unwrap();
    let began = trial.environment.now().unix_ms();
    trial.api.with(|api| api.add([Fault::None, Fault::RetryAfter(40), Fault::None, Fault::Truncated]));
    assert_eq!(kind(&trial).await, ErrorKind::Remote);
    assert!(trial.environment.now().unix_ms() - began >= Duration::from_secs(40).as_millis() as u64);
    run(&trial).await;
    assert_eq!(trial.ids("Message").await.unwrap().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn private_channels_need_scopes_that_are_declared_and_named_when_they_are_missing() {
    let scopes = |template: &dyn highwater_template::Template| template.info().scopes.clone();
    assert!(scopes(&slack::Channels::new()).contains(&"groups:read".to_owned()));
    let declared = scopes(&slack::Messages::new());
    assert!(
        ["groups:read", "groups:history"].iter().all(|scope| declared.iter().any(|known| known == scope)),
        "{declared:?}"
    );
    let mut api = workspace().0;
    api.put_private_channel("G1");
    api.post("G1", "Between us");
    let trial = Trial::new(shared(slack::Messages::new()), api).await.unwrap();
    assert_eq!(run(&trial).await, (11, 0, 0));
    trial.api.with(|api| api.scopes = ["channels:read", "channels:history"].into());
    let error = trial.run().await.unwrap_err();
    assert_eq!((error.kind(), error.context("error")), (ErrorKind::Unauthorized, Some("missing_scope")));
    assert_eq!(error.context("needed"), Some("groups:read"));
    assert_eq!(error.context("provided"), Some("channels:history,channels:read"));
}

#[tokio::test(start_paused = true)]
async fn a_long_channel_comes_to_its_end_however_often_it_breaks_off() {
    let mut api = Slack::default();
    api.put_channel("C1", true);
    let mut threads = Vec::new();
    for n in 0..60 {
        let ts = api.post("C1", &format!("Water level {n}"));
        if n % 10 == 0 {
            threads.push(ts);
        }
    }
    for thread in &threads {
        (0..20).for_each(|_| {
            api.reply("C1", thread, "Not me");
        });
    }
    api.page = 15;
    let messages = 60 + 20 * threads.len();
    let trial = Trial::new(shared(slack::Messages::new()), Hostile::new(api)).await.unwrap();
    // Three requests, and the run ends: one of them lists the channels.
    let mut runs = 0;
    loop {
        trial.api.with(|api| {
            api.clear();
            api.add([Fault::None, Fault::None, Fault::None, Fault::Status(404)]);
        });
        runs += 1;
        assert!(runs < 40, "{} of {messages} messages", trial.ids("Message").await.unwrap().len());
        if trial.run().await.is_ok() {
            break;
        }
        // Cursors do not live for ever.
        trial.api.with(|api| api.api.cursor_generation += 1);
    }
    assert_eq!(trial.ids("Message").await.unwrap().len(), messages);
    trial.api.with(|api| api.clear());
    assert_eq!(run(&trial).await, (0, 0, 0));
    assert_eq!(refresh(&trial).await, (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_broke_off_misses_nothing_that_was_written_meanwhile() {
    let mut api = Slack::default();
    ["C1", "C2"].into_iter().for_each(|channel| api.put_channel(channel, true));
    (0..12).for_each(|_| {
        api.post("C1", "Water level");
        api.post("C2", "Water level");
    });
    let trial = Trial::new(shared(slack::Messages::new()), Hostile::new(api)).await.unwrap();
    trial.api.with(|api| api.add([Fault::None, Fault::None, Fault::None, Fault::Status(404)]));
    assert_eq!(kind(&trial).await, ErrorKind::NotFound);
    trial.api.with(|api| {
        let api = &mut api.api;
        let thread = api.post("C1", "New");
        api.reply("C1", &thread, "Newer");
        api.post("C2", "New");
    });
    run(&trial).await;
    run(&trial).await;
    assert_eq!(trial.ids("Message").await.unwrap().len(), 27);
    assert_eq!(refresh(&trial).await, (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn limits_are_waited_out_in_either_form() {
    for status in [429, 200] {
        let trial = Trial::new(shared(slack::Messages::new()), workspace().0).await.unwrap();
        trial.api.with(|api| api.limit_next(2, status));
        let began = trial.environment.now().unix_ms();
        assert_eq!(run(&trial).await, (10, 0, 0), "{status}");
        let waited = trial.environment.now().unix_ms() - began;
        assert!((120_000..600_000).contains(&waited), "{waited} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_was_archived_keeps_its_messages() {
    let trial = Trial::new(shared(slack::Messages::new()), workspace().0).await.unwrap();
    assert_eq!(run(&trial).await, (10, 0, 0));
    trial.api.with(|api| api.archive_channel("C1"));
    assert_eq!(refresh(&trial).await, (0, 0, 0));
    assert_eq!(trial.ids("Message").await.unwrap().len(), 10);
}
