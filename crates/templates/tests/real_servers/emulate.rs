//! The npm package `emulate`: Slack, Stripe and Linear, as far as it has them.

use std::process::Command;

use highwater_engine::Credentials;
use highwater_template::{HttpRequest, Secret};
use serde_json::json;

use super::Bench;
use super::server::{Server, npm};

const SEED: &str = r"tokens:
  sk_test_0: {login: developer, scopes: [repo]}
slack:
  team: {name: W, domain: w}
  users: [{name: developer, real_name: Dev, email: dev@example.com}]
  channels: [{name: general}]
  tokens: [{token: xoxb-local-test, user: developer, scopes: [channels:read, channels:history, chat:write, users:read]}]
linear:
  organization: {name: Acme, url_key: acme}
  users: [{email: admin@example.com, name: Admin, admin: true}]
  teams: [{key: ENG, name: Engineering, states: [{name: Todo, type: unstarted}]}]
  tokens: [{token: lin_test_admin, user: admin@example.com, scopes: [read, write, admin]}]
";

fn start() -> Result<Server, String> {
    let program = npm("emulate", "0.11.2", "emulate")?;
    Server::start(3, |folder, port| {
        let seed = folder.join("seed.yaml");
        std::fs::write(&seed, SEED).map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args(["--service", "slack,stripe,linear", "--seed"]).arg(seed).args(["--port", &port.to_string()]);
        Ok(command)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_stripe_and_linear() {
    let server = match start() {
        Ok(server) => server,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    slack(&server).await;
    stripe(&server).await;
    linear(&server).await;
}

async fn slack(server: &Server) {
    let url = format!("{}/api", server.base_url(0));
    let bench = Bench::new("slack", url, &[], Credentials::token(Secret::new("xoxb-local-test"))).await;
    assert!(bench.run("slack/users").await.0 >= 1);
    assert!(bench.run("slack/channels").await.0 >= 1);
    assert_eq!(bench.run("slack/channels").await, (0, 0, 0));
    let channels = bench.records("Channel").await;
    let (general, _) = channels.iter().find(|(_, channel)| channel["name"] == "general").unwrap();
    // The app reads channels that it is a member of.
    bench.ask(HttpRequest::new("POST", "/conversations.join").form([("channel", general)])).await;
    bench.run("slack/messages").await;
    let before = bench.records("Message").await.len();
    for n in 0..30 {
        let input = json!({"channel": general, "text": format!("Water level {n}")});
        bench.engine.act("c", "slack/post_message", input).await.unwrap();
    }
    assert_eq!(bench.run("slack/messages").await, (30, 0, 0));
    assert_eq!(bench.run("slack/messages").await, (0, 0, 0));
    let messages = bench.records("Message").await;
    assert_eq!(messages.len(), before + 30);
    assert!(messages.values().all(|message| message["channel"].is_string()));
    let error =
        bench.engine.act("c", "slack/post_message", json!({"channel": "nowhere", "text": "x"})).await.unwrap_err();
    assert_eq!(error.context("error"), Some("channel_not_found"), "{error}");
}

async fn stripe(server: &Server) {
    let bench = Bench::new("stripe", server.base_url(1), &[], Credentials::token(Secret::new("sk_test_0"))).await;
    let before = bench.run("stripe/customers").await.0;
    for n in 0..120 {
        let input = json!({"email": format!("c{n}@example.com"), "name": format!("Customer {n}")});
        let created = bench.engine.act("c", "stripe/create_customer", input).await.unwrap();
        assert!(created["id"].as_str().is_some_and(|id| id.starts_with("cus_")), "{created}");
    }
    // This server has no events: the template reads everything each time, and notices deletes by it.
    assert_eq!(bench.run("stripe/customers").await, (120, 0, 0));
    assert_eq!(bench.run("stripe/customers").await, (0, 0, 0));
    assert_eq!(bench.records("Customer").await.len() as u64, before + 120);
    let customers = bench.records("Customer").await;
    let (id, _) = customers.iter().find(|(_, customer)| customer["email"] == "c7@example.com").unwrap();
    bench.ask(HttpRequest::new("DELETE", format!("/v1/customers/{id}"))).await;
    assert_eq!(bench.run("stripe/customers").await, (0, 0, 1));
}

async fn linear(server: &Server) {
    let bench = Bench::new("linear", server.base_url(2), &[], Credentials::token(Secret::new("lin_test_admin"))).await;
    assert_eq!(bench.run("linear/teams").await, (1, 0, 0));
    assert!(bench.run("linear/users").await.0 >= 1);
    let teams = bench.records("Team").await;
    let (team, _) = teams.first_key_value().unwrap();
    for n in 0..25 {
        let input = json!({"teamId": team, "title": format!("Leak {n}")});
        let created = bench.engine.act("c", "linear/create_issue", input).await.unwrap();
        assert_eq!(created["title"], format!("Leak {n}"));
    }
    // This server knows neither `trashed` nor `includeArchived`: the issues' own test has a fake.
    let error = bench.try_run("linear/issues", false).await.unwrap_err();
    assert!(
        error.context("told").is_some_and(|told| ["trashed", "includeArchived"].iter().any(|word| told.contains(word))),
        "{error}"
    );
}
