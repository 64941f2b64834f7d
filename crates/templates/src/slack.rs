//! Slack: users, channels, messages.

mod events;
mod messages;

pub use messages::{Message, Messages};

use std::time::Duration;

use highwater_core::{ErrorKind, Result};
use highwater_template::actions::{ActionContext, ActionInfo};
use highwater_template::auth::{AuthKind, DesktopSignIn, OAuth2};
use highwater_template::limits::RateLimits;
use highwater_template::paging::RequestField;
use highwater_template::webhooks::{WebhookRecipient, WebhookScheme};
use highwater_template::{HttpRequest, HttpResponse, Pages, Paging, Provider, SyncContext, TemplateInfo, Verification};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::common::{DELETES_BY_EVERY_RUN, HasSchema, action, model, schema, schemas, template, whole};

schemas!("slack": Channel, NewMessage, User);

template! {
    /// Users of the workspace; deactivated ones have `deleted: true`.
    Users, whole_list::<User>("users", "User", "A person or an application", "users:read"), fetch_users, events::users
}
template! {
    /// Channels.
    Channels, channels(), fetch_channels, events::channels
}
action! {
    /// Posts a message.
    PostMessage, post_message(), post
}

/// Describes Slack.
pub fn provider() -> Provider {
    let oauth = OAuth2::new(
        "https://slack.com/oauth/v2/authorize",
        "https://slack.com/api/oauth.v2.access",
        DesktopSignIn::Broker,
    )
    // https://docs.slack.dev/authentication/installing-with-oauth
    .scope_separator(",")
    // A desktop application may use PKCE without a secret, and then gets no scopes of a bot.
    // <https://docs.slack.dev/authentication/using-pkce>
    .registered("an app, from Create New App", "https://api.slack.com/apps");
    Provider::new("slack", "https://slack.com/api")
        .auth(
            AuthKind::bearer("a bot token (xoxb-...), from your app's OAuth & Permissions")
                .page("https://api.slack.com/apps"),
        )
        // https://docs.slack.dev/reference/methods/auth.test
        .verification(
            Verification::new("POST", "/auth.test").id("/team_id").id("/user_id").name("/user").refusal("/error"),
        )
        .auth(AuthKind::OAuth2(oauth))
        // Slack documents 429, and answers some requests with 200 and only this text.
        .limits(RateLimits::new().text("/error", "ratelimited").first_backoff(Duration::from_secs(60)))
        // A token of an app with token rotation lasts twelve hours. <https://docs.slack.dev/authentication/using-token-rotation>
        .expired_token_text("/error", "token_expired")
        .docs("https://docs.slack.dev/apis/web-api")
        .webhooks(WebhookScheme::Slack)
        .webhook_recipient(WebhookRecipient::Account("/team_id".into()))
}

fn whole_list<T: HasSchema>(name: &str, model_name: &str, description: &str, scope: &str) -> TemplateInfo {
    let info = provider().template(name).description(format!("The workspace's {name}")).scope(scope);
    info.model_info(model::<T>(model_name, description)).deletes(DELETES_BY_EVERY_RUN)
}

fn channels() -> TemplateInfo {
    whole_list::<Channel>("channels", "Channel", "A channel", "channels:read").scope("groups:read")
}

async fn fetch_users(context: &mut SyncContext<'_>) -> Result<()> {
    whole(context, "User", pages("/users.list", "/members", &[]), &[]).await
}

async fn fetch_channels(context: &mut SyncContext<'_>) -> Result<()> {
    whole(context, "Channel", pages(CHANNELS.0, "/channels", &[("types", CHANNELS.1)]), &[]).await
}

/// Public channels need the scope `channels:read`, private ones `groups:read`.
const CHANNELS: (&str, &str) = ("/conversations.list", "public_channel,private_channel");

/// Makes a list of Slack, whose methods take their arguments as a form.
fn pages(method: &str, records: &str, arguments: &[(&str, &str)]) -> Pages {
    let fields = [("limit", "200")].into_iter().chain(arguments.iter().copied());
    let paging = Paging::Cursor {
        at: "/response_metadata/next_cursor".to_owned(),
        to: RequestField::Form("cursor".to_owned()),
        more: None,
    };
    Pages::new(HttpRequest::new("POST", method).form(fields), paging).records_at(records).check(ok)
}

/// Refuses a response with an error, which Slack reports with status 200.
fn ok(response: &HttpResponse) -> Result<()> {
    let Some(code) = response.text_at("/error")? else { return Ok(()) };
    let (kind, message) = match code.as_str() {
        "missing_scope" => (
            ErrorKind::Unauthorized,
            "the token lacks a scope: add it to your app, install the app again and give the connection the new token",
        ),
        "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive" => {
            (ErrorKind::Unauthorized, "Slack refuses the token: give the connection a valid one")
        }
        "channel_not_found" => (
            ErrorKind::NotFound,
            "Slack knows no such channel: check the settings, and that the app is a member of a private one",
        ),
        _ => (ErrorKind::Remote, "Slack refuses the request"),
    };
    let mut error = response.error(kind, message).with("error", code);
    // The scope that is needed, and those that the token has.
    for member in ["needed", "provided"] {
        if let Some(told) = response.text_at(&format!("/{member}"))? {
            error = error.with(member, told);
        }
    }
    Err(error)
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct NewMessage {
    /// The channel's id.
    channel: String,
    /// The message, in Slack's markup.
    text: String,
    /// The `ts` of the message it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thread_ts: Option<String>,
}

fn post_message() -> ActionInfo {
    let info = provider().action("post_message").description("Posts a message").scope("chat:write");
    info.input(schema::<NewMessage>()).output(json!({"type": "object", "required": ["ok", "ts"]}))
}

async fn post(context: &ActionContext<'_>, input: NewMessage) -> Result<Value> {
    let response = context.send(HttpRequest::post_json("/chat.postMessage", &input)?).await?;
    ok(&response)?;
    response.json()
}

/// A person or an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct User {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its full name.
    #[serde(default)]
    pub real_name: Option<String>,
    /// Whether it was deactivated.
    #[serde(default)]
    pub deleted: bool,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Channel {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it was archived.
    #[serde(default)]
    pub is_archived: bool,
    /// Whether it is private.
    #[serde(default)]
    pub is_private: bool,
}
