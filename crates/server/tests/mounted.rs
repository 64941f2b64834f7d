//! A host that mounts the router beside its own routes.

#![allow(clippy::disallowed_methods)]

mod support;

use axum::Router;
use axum::routing::get;
use highwater_server::{Scope, Server};
use support::{engine, save, start};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_host_mounts_the_router_under_a_path_of_its_own() {
    let engine = engine().await;
    save(&engine, "Deal", [r#"{"id":1}"#.to_owned()]).await;
    let server = Server::builder(engine).temporary_key(Scope::Read).build().unwrap();
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
}
