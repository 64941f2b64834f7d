//! Gmail: messages, by history id.

use std::collections::BTreeSet;
use std::time::Duration;

use highwater_core::{Error, ErrorKind, RecordId, Result};
use highwater_template::records::string_at;
use highwater_template::{
    ConfigKey, HttpRequest, HttpResponse, Pages, Paging, Provider, SourceRecord, SyncContext, TemplateInfo,
    Verification,
};
use serde::{Deserialize, Serialize};

use crate::common::{Resumed, complete, model, read, schemas, template};

schemas!("google": Message);

template! {
    /// Messages of a mailbox.
    ///
    /// The first run lists them and fetches each; later ones read the history after the last history id. When Gmail no longer
    /// knows it (status 404), everything is read again.
    Messages, info(), fetch
}

/// Describes Gmail.
pub fn provider() -> Provider {
    let mut provider = super::provider(
        "gmail",
        "https://www.googleapis.com/auth/gmail.readonly",
        "https://developers.google.com/workspace/gmail/api/guides/sync",
        // https://developers.google.com/workspace/gmail/api/reference/rest/v1/users/getProfile
        Verification::get("/gmail/v1/users/me/profile").name("/emailAddress"),
    );
    provider.base_url = "https://gmail.googleapis.com".to_owned();
    provider
}

fn info() -> TemplateInfo {
    provider()
        .template("messages")
        .description("Messages of a mailbox")
        .model_info(model::<Message>("Message", "A message"))
        .config(ConfigKey::optional("query", "only messages that match, as in Gmail's search box; for the first run"))
        .config(ConfigKey::with_default("format", "how much of a message: minimal, metadata or full", "metadata"))
        .incremental("by history id")
        .deletes("reported by the history")
        .interval(Duration::from_secs(300))
}

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    /// The history that is known.
    history: String,
    /// Where the first list continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    page: Option<String>,
}

async fn fetch(context: &mut SyncContext<'_>) -> Result<()> {
    match context.last_checkpoint()? {
        Some(Checkpoint { history, page: None }) => read_history(context, history).await,
        Some(Checkpoint { history, page }) => {
            read_list(context, history.clone(), page).await?;
            // An earlier run began the list.
            read_history(context, history).await
        }
        None => {
            // Before the list is read, so that the history has what changes meanwhile.
            let profile = context.send(HttpRequest::get("/gmail/v1/users/me/profile")).await?;
            let history = profile.string_at("/historyId")?;
            read_list(context, history, None).await
        }
    }
}

async fn read_list(context: &mut SyncContext<'_>, history: String, page: Option<String>) -> Result<()> {
    let mut request = HttpRequest::get("/gmail/v1/users/me/messages").query("maxResults", "100");
    if let Some(query) = context.optional_config("query") {
        request = request.query("q", query);
    }
    let mut pages = Resumed::new(|| list(request.clone(), "/messages").check(is_list), page);
    while let Some(page) = pages.next(context).await? {
        // The whole entry is parsed: one that is not JSON names no message to fetch.
        let ids = context.read_each("Message", page.records, |entry| {
            read::<serde_json::Value>(entry)?;
            string_at(entry, "/id")
        });
        let (messages, gone) = messages(context, ids).await?;
        context.checkpoint(&Checkpoint { history: history.clone(), page: page.next })?;
        context.apply("Message", messages, record_ids(gone)).await?;
    }
    complete(context, "Message").await
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct History {
    messages_added: Vec<Changed>,
    messages_deleted: Vec<Changed>,
    labels_added: Vec<Changed>,
    labels_removed: Vec<Changed>,
}

#[derive(Deserialize)]
struct Changed {
    message: Id,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

async fn read_history(context: &mut SyncContext<'_>, since: String) -> Result<()> {
    let request = HttpRequest::get("/gmail/v1/users/me/history")
        .query("maxResults", "500")
        .query("startHistoryId", since.clone());
    let mut pages = list(request, "/history").check(is_history);
    let (mut changed, mut deleted, mut newest) = (BTreeSet::new(), BTreeSet::new(), since);
    while let Some(page) = pages.next(context).await.map_err(forgotten)? {
        for entry in &page.records {
            // Which messages it names is not known, so the next run reads it again.
            let entry: History = match read(entry) {
                Ok(entry) => entry,
                Err(error) => {
                    context.mark_incomplete("Message", format!("an entry of the history cannot be read: {error}"));
                    continue;
                }
            };
            let touched = entry.messages_added.into_iter().chain(entry.labels_added).chain(entry.labels_removed);
            changed.extend(touched.map(|change| change.message.id));
            deleted.extend(entry.messages_deleted.into_iter().map(|change| change.message.id));
        }
        newest = page.response.text_at("/historyId")?.unwrap_or(newest);
    }
    let wanted: Vec<String> = changed.difference(&deleted).cloned().collect();
    // The checkpoint moves with the last commit, when everything in the history is saved.
    let mut chunks = wanted.chunks(100).peekable();
    while let Some(chunk) = chunks.next() {
        let (messages, gone) = messages(context, chunk.to_vec()).await?;
        deleted.extend(gone);
        if chunks.peek().is_some() {
            context.apply("Message", messages, Vec::new()).await?;
        } else {
            context.checkpoint(&Checkpoint { history: newest.clone(), page: None })?;
            return context.apply("Message", messages, record_ids(deleted)).await.map(drop);
        }
    }
    context.checkpoint(&Checkpoint { history: newest, page: None })?;
    context.apply("Message", Vec::new(), record_ids(deleted)).await.map(drop)
}

fn forgotten(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => {
            Error::new(ErrorKind::SourceReset, "Gmail no longer has the history: everything has to be read again")
                .because(error)
        }
        _ => error,
    }
}

fn list(request: HttpRequest, records: &str) -> Pages {
    // An empty list lacks the member.
    Pages::new(request, Paging::cursor("/nextPageToken", "pageToken")).optional_records_at(records)
}

/// Checks for what every response has, so that one of another shape does not end the list.
fn is_list(response: &HttpResponse) -> Result<()> {
    response.string_at("/resultSizeEstimate").map(drop)
}

fn is_history(response: &HttpResponse) -> Result<()> {
    response.string_at("/historyId").map(drop)
}

fn record_ids(ids: impl IntoIterator<Item = String>) -> Vec<RecordId> {
    ids.into_iter().map(RecordId::from).collect()
}

/// Fetches the messages of these ids. Returns also the ids of those that were deleted since.
async fn messages(context: &SyncContext<'_>, ids: Vec<String>) -> Result<(Vec<SourceRecord>, Vec<String>)> {
    let (mut found, mut gone) = (Vec::with_capacity(ids.len()), Vec::new());
    for id in ids {
        let path = format!("/gmail/v1/users/me/messages/{id}");
        let request = HttpRequest::get(path).query("format", context.config("format")?);
        match context.send(request).await {
            Ok(message) => {
                if message.string_at("/id")? != id {
                    return Err(message.error(ErrorKind::Remote, "Gmail answered with another message").with("id", id));
                }
                found.push(SourceRecord::from(message.record()?));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => gone.push(id),
            Err(error) => return Err(error),
        }
    }
    Ok((found, gone))
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its id.
    pub id: String,
    /// The conversation it belongs to.
    pub thread_id: String,
    /// Its labels, such as `INBOX` and `UNREAD`.
    #[serde(default)]
    pub label_ids: Vec<String>,
    /// Its beginning.
    #[serde(default)]
    pub snippet: String,
}
