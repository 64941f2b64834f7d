//! Kinto: a feed of changes with tombstones.

use std::process::Command;

use highwater_engine::Credentials;
use highwater_template::{HttpRequest, Secret};
use serde_json::json;

use super::Bench;
use super::server::{Server, python};

const SETTINGS: &str = r"[server:main]
use = egg:waitress
host = 127.0.0.1
port = PORT
[app:main]
use = egg:kinto
kinto.storage_backend = kinto.core.storage.memory
kinto.permission_backend = kinto.core.permission.memory
kinto.cache_backend = kinto.core.cache.memory
kinto.userid_hmac_secret = abc123
kinto.bucket_create_principals = system.Everyone
multiauth.policies = basicauth
kinto.paginate_by = 100
kinto.batch_max_requests = 100
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = ERROR
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
level = NOTSET
formatter = generic
[formatter_generic]
format = %(levelname)s %(message)s
";

const RECORDS: &str = "/buckets/hw/collections/tickets/records";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_changes_and_tombstones() {
    let started = python("kinto", &["kinto==26.5.0", "setuptools<81"]).and_then(|python| {
        Server::start(1, |folder, port| {
            let settings = folder.join("kinto.ini");
            std::fs::write(&settings, SETTINGS.replace("PORT", &port.to_string()))
                .map_err(|error| error.to_string())?;
            let mut command = Command::new(python.with_file_name("kinto"));
            command.args(["start", "--ini"]).arg(settings).args(["--port", &port.to_string()]);
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
    let config = [("bucket", "hw"), ("collection", "tickets")];
    let url = format!("{}/v1", server.base_url(0));
    let bench = Bench::new("kinto", url, &config, Credentials::basic("tok", Secret::new("en"))).await;
    bench.ask(HttpRequest::new("PUT", "/buckets/hw")).await;
    bench.ask(HttpRequest::new("PUT", "/buckets/hw/collections/tickets")).await;
    for batch in 0..3 {
        let requests: Vec<_> =
            (0..100).map(|n| json!({"body": {"data": {"id": format!("t{}", batch * 100 + n), "n": n}}})).collect();
        let body = json!({"defaults": {"method": "POST", "path": RECORDS}, "requests": requests});
        bench.ask(HttpRequest::post_json("/batch", &body).unwrap()).await;
    }
    // The server gives at most 100 records, whatever the template asks for.
    assert_eq!(bench.run("kinto/records").await, (300, 0, 0));
    assert_eq!(bench.run("kinto/records").await, (0, 0, 0));
    for n in 0..5 {
        let request = HttpRequest::new("PATCH", format!("{RECORDS}/t{n}"));
        bench.ask(request.json(&json!({"data": {"n": 1000}})).unwrap()).await;
        bench.ask(HttpRequest::new("DELETE", format!("{RECORDS}/t{}", n + 100))).await;
    }
    assert_eq!(bench.run("kinto/records").await, (0, 5, 5));
    assert_eq!(bench.run("kinto/records").await, (0, 0, 0));
    assert_eq!(bench.refresh("kinto/records").await, (0, 0, 0));
    let records = bench.records("Record").await;
    assert_eq!((records.len(), &records["t0"]["n"]), (295, &json!(1000)));
}
