//! A backup over HTTP: whole, and gone from the server's disk afterwards.
#![allow(clippy::disallowed_methods)]

#[path = "dashboard/browser.rs"]
mod browser;
mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Store, StreamKey};
use highwater_engine::{ConnectionSettings, Engine};
use highwater_server::Scope;
use highwater_store_sqlite::SqliteStore;
use support::{save, start, start_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The folders of backups that were made and not removed.
fn left(temporary: &Path) -> usize {
    std::fs::read_dir(temporary).unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_downloaded_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(folder.path().join("app.db")).unwrap());
    let provider = highwater_template::Provider::new("crm", "https://crm.example");
    let engine = Engine::builder(Arc::clone(&store)).provider(provider).build().unwrap();
    engine.connect(ConnectionSettings::new("main", "crm")).await.unwrap();
    save(&engine, "Contact", (0..3000).map(|id| format!(r#"{{"id":{id},"text":"{}"}}"#, "x".repeat(300)))).await;
    let running = start_with(engine.clone(), |server| server.temporary_folder(&temporary)).await;

    let answer = running.call("GET", "/store/backup", None).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
    assert!(answer.header("content-disposition").unwrap().starts_with("attachment; filename=\"highwater-"));
    let browser = browser::Browser::signed_in(&running, Scope::Admin).await;
    let page = browser.submit("/dashboard/environment", "/dashboard/environment/backup", &[]).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("application/octet-stream")));
    assert!(page.header("content-disposition").unwrap().starts_with("attachment; filename=\"highwater-"));
    let copy = folder.path().join("copy.db");
    std::fs::write(&copy, &answer.body).unwrap();
    let copied = SqliteStore::open(&copy).unwrap();
    let contacts = StreamKey::new("main", "Contact");
    assert_eq!(copied.head(&contacts).await.unwrap(), store.head(&contacts).await.unwrap());
    copied.close().await.unwrap();

    // A client that reads a little and leaves.
    let mut client = tokio::net::TcpStream::connect(running.address).await.unwrap();
    let request =
        format!("GET /store/backup HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n", running.key);
    client.write_all(request.as_bytes()).await.unwrap();
    client.read_exact(&mut [0; 100]).await.unwrap();
    drop(client);
    // And one that leaves while the copy is made.
    let mut client = tokio::net::TcpStream::connect(running.address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    drop(client);
    // The second may begin only now: what counts is that there is a moment without any.
    let removed = async {
        while left(&temporary) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), removed).await.expect("the copies are removed");
}

#[tokio::test]
async fn only_an_admin_gets_a_backup_and_a_store_in_memory_has_none() {
    let running = start().await;
    let answer = running.call("GET", "/store/backup", None).await;
    assert_eq!((answer.status, answer.code().as_str()), (501, "unsupported"));
    let key = running.server.keys().create("writer", Scope::Write).await.unwrap();
    let bearer = format!("Bearer {}", key.secret.expose());
    let answer = running.call_with("GET", "/store/backup", None, &[("Authorization", &bearer)]).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"));
}
