//! Actions: performed while the caller waits, or queued for the background work.

mod queue;
mod work;

pub use queue::{ActionError, ActionState, QueuedAction};
pub(crate) use work::work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::{Error, ErrorKind, Result, Timestamp};
use highwater_template::actions::{ActionContext, ActionInfo, ActionTemplate};
use highwater_template::auth::{CredentialUse, SecretRenewal};
use highwater_template::host::ApiHost;
use highwater_template::{HttpRequest, HttpResponse, LogLevel, Provider, Secret};
use serde_json::Value;

use crate::calls::{Call, asked};
use crate::documents::{ConnectionSettings, RunMode, StoredHealth};
use crate::engine::Engine;
use crate::http::Client;
use crate::parts::Parts;
use crate::run::nothing_forgotten;
use crate::timer;

impl Engine {
    /// The actions of the catalogue, by id.
    pub fn actions(&self) -> impl Iterator<Item = &ActionInfo> {
        self.parts().actions.values().map(|action| action.info())
    }

    /// Runs an action with a connection. It is never retried automatically if that might perform it twice. The log records it
    /// with its outcome ([`RunMode::Action`](crate::runs::RunMode::Action)).
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// let input = serde_json::json!({"title": "Leak in the cellar"});
    /// let issue = engine.act("github-main", "github/create_issue", input).await?;
    /// println!("{}", issue["html_url"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection or action, [`ErrorKind::Invalid`] for an input that lacks a required member,
    /// and those of the action and its API. After [`ErrorKind::Unavailable`] or [`ErrorKind::TimedOut`] the action may have been
    /// performed: check the API before you repeat it.
    pub async fn act(&self, connection: &str, action: &str, input: Value) -> Result<Value> {
        let parts = self.parts();
        let found = parts.actions.get(action).ok_or_else(|| unknown_action(action, &parts.actions))?;
        let info = found.info();
        let settings = self.connection(connection).await?;
        parts.admit(&settings, &info.provider)?;
        check_input(info, &input)?;
        let config = settings.config_of(&info.id(), &info.config)?;
        let (client, met) = self.provider_client(&settings, &info.provider).await?;
        let call = Call::begin(self, connection, &info.id(), RunMode::Action).await?;
        let host = ActionHost { parts, client, call };
        let context = ActionContext::new(&host, config, settings.metadata.clone());
        let outcome = host.call.during(found.run(&context, input)).await;
        let outcome = outcome.map_err(nothing_forgotten);
        let outcome = outcome.map_err(|error| host.client.session().redact_error(error));
        match &outcome {
            Ok(_) => tracing::info!(target: "highwater::action", action, connection, "done"),
            Err(error) => tracing::warn!(target: "highwater::action", action, connection, "{error}"),
        }
        self.settle_health(connection, &met, outcome.as_ref().err()).await;
        host.call.end(outcome.as_ref().err()).await;
        outcome
    }

    /// A client for a call, and how the connection stood when it was made.
    pub(crate) async fn provider_client(
        &self,
        settings: &ConnectionSettings,
        provider: &Provider,
    ) -> Result<(Client, StoredHealth)> {
        let parts = self.parts();
        let urls = parts.urls(settings, provider)?;
        let met = self.meet_signed_in(&settings.id).await?;
        match parts.client(settings, provider, &urls, CredentialUse::Optional).await {
            Ok(client) => Ok((client, met)),
            Err(error) => {
                self.settle_health(&settings.id, &met, Some(&error)).await;
                Err(error)
            }
        }
    }
}

fn unknown_action(wanted: &str, actions: &BTreeMap<String, Arc<dyn ActionTemplate>>) -> Error {
    Error::new(ErrorKind::NotFound, "no such action")
        .with("action", wanted)
        .with("known", actions.keys().cloned().collect::<Vec<_>>().join(", "))
}

/// Checks that the members required by the schema are there; the action itself checks their values.
fn check_input(info: &ActionInfo, input: &Value) -> Result<()> {
    let required = info.input.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    match required.into_iter().find(|name| input.get(name).is_none_or(Value::is_null)) {
        None => Ok(()),
        Some(missing) => Err(Error::new(ErrorKind::Invalid, "the action's input lacks a member")
            .with("action", info.id())
            .with("member", missing)),
    }
}

/// The engine's side of an action.
struct ActionHost<'e> {
    parts: &'e Parts,
    client: Client,
    call: Call<'e>,
}

#[async_trait]
impl ApiHost for ActionHost<'_> {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        let asked = asked(&request);
        let answer = self.client.send(request, &|level: LogLevel, message: &str| self.log(level, message)).await;
        self.call.note_exchange(&self.client, &asked, &answer);
        answer
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        self.client.secret(name)
    }

    async fn renew_secrets(&self, renewal: &mut dyn SecretRenewal) -> Result<()> {
        self.client.renew_secrets(renewal).await
    }

    async fn sleep(&self, time: Duration) {
        timer::sleep(time).await;
    }

    fn log(&self, level: LogLevel, message: &str) {
        let message = self.client.session().redact(message);
        self.call.line(level, &message);
        match level {
            LogLevel::Debug => tracing::debug!(target: "highwater::action", "{message}"),
            LogLevel::Info => tracing::info!(target: "highwater::action", "{message}"),
            LogLevel::Warning | LogLevel::Error => tracing::warn!(target: "highwater::action", "{message}"),
        }
    }

    fn now(&self) -> Timestamp {
        self.parts.environment.now()
    }
}
