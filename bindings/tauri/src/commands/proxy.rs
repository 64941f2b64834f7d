//! Requests and actions with an account's credentials, which stay in this process.

use std::collections::BTreeMap;

use highwater::template::HttpRequest;
use highwater::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tauri::{AppHandle, Runtime};

use super::{Answer, answer, opened};

/// A request. Its URL is a path, or of one of the provider's origins.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestArguments {
    method: String,
    url: String,
    #[serde(default)]
    query: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<Value>,
}

impl TryFrom<RequestArguments> for HttpRequest {
    type Error = Error;

    fn try_from(arguments: RequestArguments) -> Result<Self> {
        const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
        if !METHODS.contains(&arguments.method.as_str()) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "not a method that is sent: use GET, HEAD, POST, PUT, PATCH or DELETE",
            )
            .with("method", arguments.method));
        }
        let mut request = HttpRequest::new(arguments.method, arguments.url);
        for (name, value) in arguments.query {
            request = request.query(name, value);
        }
        for (name, value) in arguments.headers {
            request = request.header(name, value);
        }
        if let Some(body) = arguments.body {
            request = request.header("content-type", "application/json");
            request.body = Some(body.to_string().into());
        }
        Ok(request)
    }
}

/// Headers by which an API hands out secrets.
const KEPT_BACK: [&str; 4] = ["authorization", "proxy-authorization", "set-cookie", "www-authenticate"];

#[derive(Serialize)]
struct Answered {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

#[tauri::command]
pub(crate) async fn send_request<R: Runtime>(
    app: AppHandle<R>,
    connection: String,
    request: RequestArguments,
) -> Answer {
    let response = opened(&app)?.engine().proxy(&connection, request.try_into()?).await?;
    let mut headers = BTreeMap::new();
    for (name, value) in &response.headers {
        let name = name.to_ascii_lowercase();
        if !KEPT_BACK.contains(&name.as_str()) {
            headers.insert(name, value.to_string());
        }
    }
    let body = String::from_utf8_lossy(&response.body).into_owned();
    answer(&Answered { status: response.status, headers, body })
}

#[tauri::command]
pub(crate) async fn run_action<R: Runtime>(
    app: AppHandle<R>,
    connection: String,
    action: String,
    input: Value,
) -> Answer {
    answer(&opened(&app)?.engine().act(&connection, &action, input).await?)
}
