//! What an API echoes of a token is never printed: by no command, in no form.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use axum::http::{HeaderMap, StatusCode, Uri};
use support::highwater;

const TOKEN: &str = "ghp-0ne/Tw0+Thr33=F0ur";

/// The forms in which the server below gives the token back.
const ECHOED: [&str; 3] = [TOKEN, "ghp-0ne%2FTw0%2BThr33%3DF0ur", "Z2hwLTBuZS9UdzArVGhyMzM9RjB1cg"];

/// Refuses everything, and says which token it was; a list is a page of something else.
async fn echo(uri: Uri, headers: HeaderMap) -> (StatusCode, String) {
    assert!(headers["authorization"].to_str().unwrap().ends_with(TOKEN));
    let echoed = ECHOED.join(" and ");
    match uri.query().unwrap_or_default() {
        query if query.contains("page") => (StatusCode::OK, format!("<p>{echoed}</p>")),
        _ => (StatusCode::BAD_REQUEST, format!(r#"{{"message":"bad token {echoed}"}}"#)),
    }
}

fn serve() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let app = axum::Router::new().fallback(echo);
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), app).await.unwrap();
        });
    });
    url
}

#[test]
fn no_command_prints_a_token_that_the_api_echoes() {
    let folder = tempfile::tempdir().unwrap();
    let url = serve();
    let to = ["--base-url", &url, "--config", "owner=o,repo=r", "--token-env", "THE_TOKEN"];
    let commands: [&[&str]; 4] = [
        &["sync", "github", "issues", "--db", "app.db"],
        &["act", "github/create_issue", r#"{"title":"A leak"}"#],
        &["proxy", "github", "POST", "/user"],
        &["dryrun", "github/issues"],
    ];
    let (mut failed, mut redacted) = (0, 0);
    for command in commands {
        for json in [&[][..], &["--json"][..]] {
            let arguments = [command, &to[..], json].concat();
            let output = highwater(folder.path(), &arguments).env("THE_TOKEN", TOKEN).output().unwrap();
            let mut printed = String::from_utf8_lossy(&output.stderr).into_owned();
            if command[0] != "proxy" {
                // The answer to a request of one's own is printed as it came.
                printed += &String::from_utf8_lossy(&output.stdout);
            }
            failed += usize::from(output.status.code() == Some(1));
            redacted += usize::from(printed.contains("[secret]"));
            for echoed in ECHOED {
                assert!(!printed.contains(echoed), "{arguments:?}: {printed}");
            }
        }
    }
    assert!(failed >= 6 && redacted >= 6, "{failed} commands failed, {redacted} told of it");
    for command in [&["runs", "--db", "app.db"][..], &["logs", "--db", "app.db"], &["status", "--db", "app.db"]] {
        for json in [&[][..], &["--json"][..]] {
            let output = highwater(folder.path(), &[command, json].concat()).output().unwrap();
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(ECHOED.iter().all(|echoed| !printed.contains(echoed)), "{command:?}: {printed}");
        }
    }
    let bytes = std::fs::read(folder.path().join("app.db")).unwrap();
    assert!(!bytes.windows(10).any(|part| part == &TOKEN.as_bytes()[..10]), "a token is never stored");
}
