//! Slack's events, shaped after the pages of <https://docs.slack.dev/reference/events>, beside the runs that read the same
//! messages, channels and users.

use highwater_core::{Environment, ErrorKind, Result};
use highwater_engine::webhooks::ReceivedWebhook;
use highwater_engine::{Credentials, Phase, Secret, SyncOptions};
use highwater_template::Template;
use highwater_templates::slack;
use highwater_testkit::Trial;
use highwater_testkit::fakes::Slack;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{run, shared};

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const FIRST: &str = "1767225601.000001";

/// An enabled sync of a workspace with the channels `C1` and `C7`, where somebody wrote at [`FIRST`].
async fn world(template: impl Template, config: &[(&str, &str)]) -> Trial<Slack> {
    let mut api = Slack::default();
    api.put_user("U1", "ann");
    api.put_channel("C1", true);
    api.put_channel("C7", true);
    assert_eq!(api.post("C1", "Hello"), FIRST);
    let id = template.info().id();
    let trial = Trial::with_config(shared(template), api, config).await.unwrap();
    let secret = Secret::new(SECRET);
    trial.use_credentials(Credentials::token(Secret::new("token")).secret("webhook_secret", secret));
    trial.engine.sync("trial", &id).unwrap().enable(SyncOptions::default()).await.unwrap();
    run(&trial).await;
    trial
}

/// Hands a body to the engine as Slack sends it: <https://docs.slack.dev/authentication/verifying-requests-from-slack>.
async fn post(trial: &Trial<Slack>, body: &str, seconds_ago: u64) -> Result<ReceivedWebhook> {
    let at = (trial.environment.now().unix_ms() / 1000 - seconds_ago).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("v0:{at}:{body}").as_bytes());
    let hex = hex::encode(mac.finalize().into_bytes());
    let headers = [
        ("Content-Type", "application/json"),
        ("X-Slack-Request-Timestamp", &at),
        ("X-Slack-Signature", &format!("v0={hex}")),
    ];
    trial.engine.receive("trial", &headers, body.as_bytes()).await
}

/// An event in its wrapper: <https://docs.slack.dev/apis/events-api#callback-field>.
async fn tell(trial: &Trial<Slack>, id: &str, event: Value) -> ReceivedWebhook {
    let wrapper = json!({
        "token": "XXYYZZ", "team_id": "T123ABC456", "api_app_id": "A123ABC456", "event": event,
        "type": "event_callback", "event_id": id, "event_time": 1_234_567_890,
        "authorizations": [{"team_id": "T123ABC456", "user_id": "U123ABC456", "is_bot": false}],
    });
    post(trial, &wrapper.to_string(), 0).await.unwrap()
}

fn message(ts: &str, text: &str) -> Value {
    json!({"type": "message", "channel": "C1", "user": "U1", "text": text, "ts": ts, "event_ts": ts, "channel_type": "channel"})
}

fn changed(ts: &str, text: &str, at: &str) -> Value {
    let inner = json!({"type": "message", "user": "U1", "text": text, "ts": ts, "edited": {"user": "U1", "ts": at}});
    json!({"type": "message", "subtype": "message_changed", "hidden": true, "channel": "C1", "channel_type": "channel",
        "ts": at, "event_ts": at, "message": inner, "previous_message": {"type": "message", "ts": ts, "text": "before"}})
}

fn deleted(ts: &str, at: &str) -> Value {
    json!({"type": "message", "subtype": "message_deleted", "hidden": true, "channel": "C1", "channel_type": "channel",
        "ts": at, "event_ts": at, "deleted_ts": ts})
}

/// Texts of the messages, by `ts`.
async fn texts(trial: &Trial<Slack>) -> Vec<(String, String)> {
    let records = trial.records("Message").await.unwrap();
    let text = |value: &Value, member: &str| value[member].as_str().unwrap().to_owned();
    let each = records.iter().map(|record| record.to::<Value>().unwrap());
    each.map(|value| (text(&value, "ts"), text(&value, "text"))).collect()
}

#[tokio::test(start_paused = true)]
async fn slack_verifies_the_request_url() {
    let trial = world(slack::Messages::new(), &[]).await;
    // https://docs.slack.dev/reference/events/url_verification
    let challenge = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P";
    let body = json!({"token": "Jhj5dZrVaK7ZwHHjRyZWjbDl", "challenge": challenge, "type": "url_verification"});
    for _ in 0..2 {
        let received = post(&trial, &body.to_string(), 0).await.unwrap();
        assert_eq!((received.answer.as_deref(), received.duplicate), (Some(challenge), false));
    }
    let error = post(&trial, &body.to_string(), 301).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
}

#[tokio::test(start_paused = true)]
async fn slack_messages_are_written_changed_and_deleted_by_events() {
    let trial = world(slack::Messages::new(), &[]).await;
    let second = "1767225602.000002";
    let received = tell(&trial, "Ev1", message(second, "Flood!")).await;
    assert_eq!((received.changes[0].progress.counts.added, received.ignored), (1, false));
    assert!(tell(&trial, "Ev1", message(second, "Flood!")).await.duplicate, "Slack tries again");
    let stored = trial.records("Message").await.unwrap()[1].to::<Value>().unwrap();
    assert_eq!(stored, json!({"type": "message", "channel": "C1", "user": "U1", "text": "Flood!", "ts": second}));

    // The run that reads the same message finds nothing new.
    assert_eq!(trial.api.with(|api| api.post("C1", "Flood!")), second);
    assert_eq!(run(&trial).await, (0, 0, 0));

    let received = tell(&trial, "Ev2", changed(FIRST, "Hello, world!", "1767225700.000001")).await;
    assert_eq!(received.changes[0].progress.counts.updated, 1);
    assert_eq!(texts(&trial).await[0], (FIRST.to_owned(), "Hello, world!".to_owned()));
    let received = tell(&trial, "Ev3", deleted(second, "1767225701.000001")).await;
    assert_eq!((received.changes[0].progress.counts.deleted, texts(&trial).await.len()), (1, 1));
}

/// What was not taken comes again after one and after five minutes, so that younger events overtake it:
/// <https://docs.slack.dev/apis/events-api#retries>.
#[tokio::test(start_paused = true)]
async fn slack_events_that_come_late_undo_nothing() {
    let trial = world(slack::Messages::new(), &[]).await;
    let ts = "1767225602.000002";
    tell(&trial, "Ev3", changed(ts, "second edit", "1767225630.000001")).await;
    tell(&trial, "Ev2", changed(ts, "first edit", "1767225620.000001")).await;
    tell(&trial, "Ev1", message(ts, "as written")).await;
    let again = tell(&trial, "Ev1-under-another-id", message(ts, "as written")).await;
    assert_eq!((again.duplicate, again.changes[0].progress.counts.updated), (false, 0));
    assert_eq!(texts(&trial).await[1].1, "second edit");
    tell(&trial, "Ev5", deleted(ts, "1767225650.000001")).await;
    tell(&trial, "Ev4", changed(ts, "third edit", "1767225640.000001")).await;
    assert_eq!(texts(&trial).await.len(), 1, "it stays deleted");

    // Deleted before it came.
    let ts = "1767225603.000003";
    tell(&trial, "Ev7", deleted(ts, "1767225660.000001")).await;
    tell(&trial, "Ev6", message(ts, "as written")).await;
    assert_eq!(texts(&trial).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn slack_events_of_what_a_sync_does_not_read_are_ignored() {
    let trial = world(slack::Messages::new(), &[("channels", "C1, C7"), ("replies", "false")]).await;
    let of = |channel: &str, kind: &str| {
        let mut event = message("1767225602.000002", "Elsewhere");
        (event["channel"], event["channel_type"]) = (json!(channel), json!(kind));
        event
    };
    let mut reply = message("1767225602.000003", "In a thread");
    reply["thread_ts"] = json!(FIRST);
    let unknown = json!({"type": "function_executed", "function": {"id": "Fn123"}, "event_ts": "1767225602.000004"});
    let reaction =
        json!({"type": "reaction_added", "user": "U1", "item": {"type": "message", "channel": "C1", "ts": FIRST}});
    let replied = json!({"type": "message", "subtype": "message_replied", "channel": "C1", "ts": "1767225602.000005",
        "message": {"type": "message", "ts": FIRST, "thread_ts": FIRST, "reply_count": 1}});
    for (id, event) in [of("C2", "channel"), of("D1", "im"), reply, unknown, reaction, replied].into_iter().enumerate()
    {
        let received = tell(&trial, &format!("Ev{id}"), event).await;
        assert!(received.ignored && received.changes.is_empty() && received.triggered.is_empty(), "{received:?}");
    }
    assert_eq!(tell(&trial, "Ev10", of("C7", "group")).await.changes[0].progress.counts.added, 1);

    let all = world(slack::Messages::new(), &[]).await;
    assert!(tell(&all, "Ev1", of("D1", "im")).await.ignored, "no list has direct messages");
    let mut reply = message("1767225602.000003", "In a thread");
    reply["thread_ts"] = json!(FIRST);
    assert_eq!(tell(&all, "Ev2", reply).await.changes[0].progress.counts.added, 1);
}

#[tokio::test(start_paused = true)]
async fn slack_channels_and_users_follow_their_events() {
    let trial = world(slack::Channels::new(), &[]).await;
    for (id, event) in [
        json!({"type": "channel_created", "channel": {"id": "C2", "name": "fun", "created": 1_360_782_804, "creator": "U1"}}),
        json!({"type": "channel_rename", "channel": {"id": "C02ELGNBH", "name": "new_name", "created": 1_360_782_804}}),
        json!({"type": "channel_archive", "channel": "C1", "user": "U1"}),
        json!({"type": "channel_deleted", "channel": "C1"}),
        json!({"type": "group_unarchive", "channel": "G1"}),
    ]
    .into_iter()
    .enumerate()
    {
        let received = tell(&trial, &format!("Ev{id}"), event).await;
        assert_eq!((received.triggered.len(), received.changes.len()), (1, 0), "{received:?}");
    }
    assert_eq!(trial.engine.sync("trial", "slack/channels").unwrap().state().await.unwrap().phase, Phase::Queued);
    assert!(tell(&trial, "Ev9", json!({"type": "channel_history_changed", "channel": "C1"})).await.ignored);
    assert!(tell(&trial, "Ev10", message("1767225602.000002", "Hi")).await.ignored);

    let trial = world(slack::Users::new(), &[]).await;
    let bob = |name: &str, at: &str| json!({"type": "user_change", "user": {"id": "U2", "name": name}, "event_ts": at});
    let joined = json!({"type": "team_join", "user": {"id": "U2", "name": "bob"}, "event_ts": "1767225610.000001"});
    assert_eq!(tell(&trial, "Ev1", joined).await.changes[0].progress.counts.added, 1);
    tell(&trial, "Ev3", bob("bert", "1767225630.000001")).await;
    tell(&trial, "Ev2", bob("rob", "1767225620.000001")).await;
    assert_eq!(trial.record("User", "U2").await.unwrap().unwrap()["name"], "bert");
}

/// <https://docs.slack.dev/reference/events/app_rate_limited>: what was held back is read by a run.
#[tokio::test(start_paused = true)]
async fn slack_events_that_were_held_back_ask_for_a_run() {
    let body = json!({"token": "Jhj5dZrVaK7ZwHHjRyZWjbDl", "type": "app_rate_limited", "team_id": "T123456",
        "minute_rate_limited": 1_518_467_820, "api_app_id": "A123456"});
    let trial = world(slack::Messages::new(), &[]).await;
    assert_eq!(post(&trial, &body.to_string(), 0).await.unwrap().triggered, ["slack/messages"]);
    let trial = world(slack::Users::new(), &[]).await;
    assert_eq!(post(&trial, &body.to_string(), 0).await.unwrap().triggered, ["slack/users"]);
}
