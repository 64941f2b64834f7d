//! Radicale: CalDAV with sync tokens, and what happens when it forgets one.

use std::process::Command;

use highwater_core::ErrorKind;
use highwater_engine::Credentials;
use highwater_template::{HttpRequest, Secret};

use super::Bench;
use super::server::{Server, python};

fn event(n: usize, summary: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test\r\nBEGIN:VEVENT\r\nUID:e{n}\r\nDTSTAMP:20260101T000000Z\r\n\
         DTSTART:20260102T000000Z\r\nSUMMARY:{summary}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

async fn put(bench: &Bench, n: usize, summary: &str) {
    let request = HttpRequest::new("PUT", format!("/u/work/e{n}.ics"));
    bench.ask(request.body("text/calendar", event(n, summary))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_by_sync_token_and_a_bad_token() {
    let started = python("radicale", &["radicale==3.5.0"]).and_then(|python| {
        Server::start(1, |folder, port| {
            let mut command = Command::new(python);
            command.args(["-m", "radicale", "--server-hosts", &format!("127.0.0.1:{port}"), "--auth-type", "none"]);
            command.arg("--storage-filesystem-folder").arg(folder.join("data"));
            Ok(command)
        })
    });
    let server = match started {
        Ok(server) => server,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let config = [("host", "127.0.0.1"), ("calendar", "/u/work/")];
    let bench = Bench::new("caldav", server.base_url(0), &config, Credentials::basic("u", Secret::new("p"))).await;
    bench.ask(HttpRequest::new("MKCALENDAR", "/u/work/")).await;
    for n in 0..130 {
        put(&bench, n, "Fish & chips <for two>").await;
    }
    assert_eq!(bench.run("caldav/entries").await, (130, 0, 0));
    assert_eq!(bench.run("caldav/entries").await, (0, 0, 0));
    let records = bench.records("Entry").await;
    let data = records["/u/work/e7.ics"]["calendar_data"].as_str().unwrap();
    assert!(data.contains("SUMMARY:Fish & chips <for two>"), "{data}");

    put(&bench, 3, "Moved").await;
    put(&bench, 200, "New").await;
    bench.ask(HttpRequest::new("DELETE", "/u/work/e5.ics")).await;
    assert_eq!(bench.run("caldav/entries").await, (1, 1, 1));
    assert_eq!(bench.run("caldav/entries").await, (0, 0, 0));

    // The server forgets its tokens: a full resync, and what is gone is deleted by absence.
    bench.ask(HttpRequest::new("DELETE", "/u/work/e6.ics")).await;
    let tokens = server.folder.path().join("data/collection-root/u/work/.Radicale.cache/sync-token");
    std::fs::remove_dir_all(&tokens).unwrap();
    if let Err(error) = bench.try_run("caldav/entries", false).await {
        assert_eq!(error.kind(), ErrorKind::SourceReset, "{error}");
        bench.run("caldav/entries").await;
    }
    let records = bench.records("Entry").await;
    assert_eq!(records.len(), 129);
    assert!(!records.contains_key("/u/work/e6.ics"));
    assert_eq!(bench.run("caldav/entries").await, (0, 0, 0));
}
