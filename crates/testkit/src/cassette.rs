//! Responses of a real API, recorded once and replayed.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use highwater_core::locks::lock;
use highwater_core::{Error, ErrorKind, Result};
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse, Secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

/// What replaces a secret in a cassette.
const REDACTED: &str = "[secret]";

/// Headers of responses that are kept: what paging, limits and validators need.
const KEPT_HEADERS: [&str; 9] =
    ["content-type", "link", "etag", "last-modified", "retry-after", "date", "location", "next-page", "sync-token"];

/// A transport that records another one, or replays a recording.
///
/// A cassette never contains a request's headers, the secrets that it was given, or the value of a query parameter, form field or
/// JSON member whose name is that of a secret (`access_token`, `api_key`, `password`, ...). It is replayed by method, path,
/// query and body; responses to equal requests come in the recorded order.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use highwater_template::http::Transport;
/// # use highwater_template::Secret;
/// # use highwater_testkit::Cassette;
/// # fn example(real: Arc<dyn Transport>) -> highwater_core::Result<()> {
/// let cassette = Arc::new(Cassette::record(real, [Secret::new("ghp_...")]));
/// // ... an engine with `.transport(cassette.clone())` runs the template ...
/// cassette.save("tests/cassettes/issues.json")?;
/// let played = Cassette::load("tests/cassettes/issues.json")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Cassette {
    recorded: Option<Arc<dyn Transport>>,
    secrets: Vec<Secret>,
    tape: Mutex<Tape>,
}

#[derive(Debug, Default)]
struct Tape {
    exchanges: Vec<Exchange>,
    /// For replay: the indexes of each request's responses that were not given yet.
    ahead: HashMap<Asked, VecDeque<usize>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Asked {
    method: String,
    /// Path and query.
    url: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    body: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Exchange {
    request: Asked,
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Cassette {
    /// Makes a cassette that records the responses of `transport`, without these secrets.
    pub fn record(transport: Arc<dyn Transport>, secrets: impl IntoIterator<Item = Secret>) -> Self {
        Cassette { recorded: Some(transport), secrets: secrets.into_iter().collect(), tape: Mutex::default() }
    }

    /// Loads a cassette to replay it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the file cannot be read, [`ErrorKind::Invalid`] if it is not a cassette.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read(path).map_err(|source| {
            Error::new(ErrorKind::NotFound, "the cassette cannot be read").with("path", path.display()).because(source)
        })?;
        let exchanges: Vec<Exchange> = serde_json::from_slice(&text).map_err(|source| {
            Error::new(ErrorKind::Invalid, "the file is not a cassette").with("path", path.display()).because(source)
        })?;
        let mut tape = Tape { exchanges, ahead: HashMap::new() };
        for (index, exchange) in tape.exchanges.iter().enumerate() {
            tape.ahead.entry(exchange.request.clone()).or_default().push_back(index);
        }
        Ok(Cassette { recorded: None, secrets: Vec::new(), tape: Mutex::new(tape) })
    }

    /// Writes the recording to a file, in place of what is there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = serde_json::to_vec_pretty(&self.tape().exchanges)
            .map_err(|source| Error::new(ErrorKind::Internal, "the cassette cannot be written").because(source))?;
        std::fs::write(path, text).map_err(|source| {
            Error::new(ErrorKind::Invalid, "the cassette cannot be written")
                .with("path", path.display())
                .because(source)
        })
    }

    /// Returns the method and path of each recorded request that was not replayed yet, in order.
    pub fn unplayed(&self) -> Vec<String> {
        let tape = self.tape();
        let mut indexes: Vec<usize> = tape.ahead.values().flatten().copied().collect();
        indexes.sort_unstable();
        indexes
            .into_iter()
            .map(|index| &tape.exchanges[index].request)
            .map(|asked| format!("{} {}", asked.method, asked.url))
            .collect()
    }

    fn tape(&self) -> MutexGuard<'_, Tape> {
        lock(&self.tape)
    }

    fn asked(&self, request: &HttpRequest) -> Asked {
        let url = match Url::parse(&request.url) {
            Ok(mut url) => {
                let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
                if !pairs.is_empty() {
                    let kept = pairs.iter().map(|(name, value)| (name, if tells(name) { REDACTED } else { value }));
                    url.query_pairs_mut().clear().extend_pairs(kept);
                }
                url[url::Position::BeforePath..].to_owned()
            }
            Err(_) => request.url.clone(),
        };
        let body = request.body.as_ref().map(|body| String::from_utf8_lossy(body).into_owned()).unwrap_or_default();
        Asked { method: request.method.clone(), url: self.clean(&url), body: self.clean_body(&body) }
    }

    fn clean(&self, text: &str) -> String {
        let secrets = self.secrets.iter().map(Secret::expose).filter(|secret| !secret.is_empty());
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, REDACTED))
    }

    fn clean_body(&self, body: &str) -> String {
        let text = self.clean(body);
        match serde_json::from_str::<Value>(&text) {
            // Only a body that contains a secret is rewritten: the others stay unchanged.
            Ok(mut value) => {
                if hide(&mut value) {
                    value.to_string()
                } else {
                    text
                }
            }
            Err(_) if text.contains('=') && !text.contains(['<', '{', ' ']) => {
                let pairs = url::form_urlencoded::parse(text.as_bytes())
                    .map(|(name, value)| if tells(&name) { (name, REDACTED.into()) } else { (name, value) });
                url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
            }
            Err(_) => text,
        }
    }
}

#[async_trait]
impl Transport for Cassette {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        let asked = self.asked(&request);
        let Some(transport) = &self.recorded else {
            let mut tape = self.tape();
            let index = tape.ahead.get_mut(&asked).and_then(VecDeque::pop_front).ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    "the cassette has no (further) response to this request: record it again",
                )
                .with("method", &asked.method)
                .with("url", &asked.url)
                .with("body", &asked.body)
            })?;
            let exchange = &tape.exchanges[index];
            return Ok(HttpResponse::new(exchange.status, exchange.headers.clone(), exchange.body.clone()));
        };
        let response = transport.send(request).await?;
        let headers = response.headers.iter().filter(|(name, _)| {
            let name = name.to_lowercase();
            KEPT_HEADERS.contains(&name.as_str()) || name.contains("ratelimit")
        });
        let exchange = Exchange {
            request: asked,
            status: response.status,
            headers: headers.map(|(name, value)| (name.clone(), self.clean(value))).collect(),
            body: self.clean_body(&String::from_utf8_lossy(&response.body)),
        };
        self.tape().exchanges.push(exchange);
        Ok(response)
    }
}

/// Returns whether a name is that of a secret.
fn tells(name: &str) -> bool {
    let name = name.to_lowercase().replace('-', "_");
    ["secret", "password", "api_key", "apikey", "authorization", "signature", "code_verifier"]
        .iter()
        .any(|word| name.contains(word))
        || ["token", "access_token", "refresh_token", "id_token", "code", "key"].contains(&name.as_str())
}

/// Hides members whose names are those of secrets. Returns whether there were any.
fn hide(value: &mut Value) -> bool {
    match value {
        Value::Object(members) => {
            let mut hidden = false;
            for (name, value) in members {
                if tells(name) && value.is_string() {
                    *value = Value::from(REDACTED);
                    hidden = true;
                } else {
                    hidden |= hide(value);
                }
            }
            hidden
        }
        Value::Array(items) => items.iter_mut().fold(false, |hidden, item| hide(item) | hidden),
        _ => false,
    }
}
