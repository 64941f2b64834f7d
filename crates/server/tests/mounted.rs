//! A host that mounts the router beside its own routes.

#![allow(clippy::disallowed_methods)]

mod support;

use axum::Router;
use axum::routing::get;
use highwater_engine::IntegrationSettings;
use highwater_server::{Scope, Server};
use support::{engine, save, start};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_host_mounts_the_router_under_a_path_of_its_own() {
    let engine = engine().await;
    save(&engine, "Deal", [r#"{"id":1}"#.to_owned()]).await;
    engine.create_integration(IntegrationSettings::new("work", "crm")).await.unwrap();
    let server = Server::builder(engine).temporary_key(Scope::Admin).build().unwrap();
    let app = Router::new()
        .route("/", get(|| async { "the host" }))
        .nest("/sync", server.router())
        .fallback(|| async { (axum::http::StatusCode::NOT_FOUND, "the host has no such page") });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // The client and its headers are those of the other tests; the server is the host's.
    let mut running = start().await;
    running.address = listener.local_addr().unwrap();
    running.key = server.temporary_key().unwrap().expose().to_owned();
    tokio::spawn(async move { axum::serve(listener, app).await });
    assert_eq!(running.get("/").await.text(), "the host");
    assert_eq!(running.get("/elsewhere").await.text(), "the host has no such page");
    for path in ["/sync/records?model=Deal", "/sync/records/?model=Deal"] {
        assert_eq!(running.get(path).await.json()["records"][0]["id"], "1");
    }
    let none = running.get("/sync/nothing").await;
    assert_eq!((none.status, none.code().as_str()), (404, "not_found"));
    let method = running.call("DELETE", "/sync/records", None).await;
    assert_eq!((method.status, method.code().as_str()), (405, "method_not_allowed"));
    // Its checks hold for its own routes only.
    let foreign = [("Host", "evil.example")];
    assert_eq!(running.call_with("GET", "/", None, &foreign).await.text(), "the host");
    assert_eq!(running.call_with("GET", "/sync/records?model=Deal", None, &foreign).await.code(), "unknown_host");

    // The paths of the document are beside it.
    assert_eq!(running.get("/sync/openapi.json").await.json()["servers"], serde_json::json!([{ "url": "./" }]));
    // Links for users, and the pages that they lead to.
    let made = running.call("POST", "/sync/connect/sessions", Some("{}")).await.json();
    let link = made["data"]["connect_link"].as_str().unwrap().to_owned();
    let path = link.strip_prefix(&format!("http://{}", running.address)).unwrap();
    assert!(path.starts_with("/sync/connect?session_token="), "{path}");
    let arrived = running.call_with("GET", path, None, &[("Authorization", "")]).await;
    let (page, cookie) = (arrived.header("location").unwrap(), arrived.header("set-cookie").unwrap());
    assert!(page.starts_with("/sync/connect/page/") && cookie.contains("; Path=/sync/; "), "{page} {cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let shown = running.call_with("GET", page, None, &[("Authorization", ""), ("Cookie", cookie)]).await;
    assert_eq!(shown.status, 200, "{}", shown.text());
    for attribute in [" href=\"", " src=\"", " action=\""] {
        for address in shown.text().split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(address.starts_with("/sync/"), "{attribute}{address}");
        }
    }
}
