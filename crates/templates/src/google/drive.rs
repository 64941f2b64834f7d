//! Google Drive: files, by change token.

use std::time::Duration;

use highwater_core::Result;
use highwater_template::records::{text_at, value_at};
use highwater_template::{HttpRequest, Pages, Paging, Provider, SourceRecord, SyncContext, TemplateInfo, Verification};
use serde::{Deserialize, Serialize};

use crate::common::{Resumed, complete, model, schemas, template};

schemas!("google": File);

template! {
    /// Files of a drive; those in the bin have `trashed: true`.
    Files, info(), fetch
}

/// Describes Google Drive.
pub fn provider() -> Provider {
    super::provider(
        "google-drive",
        "https://www.googleapis.com/auth/drive.metadata.readonly",
        "https://developers.google.com/workspace/drive/api/reference/rest/v3/changes",
        // https://developers.google.com/workspace/drive/api/reference/rest/v3/about/get
        Verification::get("/drive/v3/about?fields=user(emailAddress,displayName)")
            .name("/user/emailAddress")
            .name("/user/displayName"),
    )
}

const FIELDS: &str = "id,name,mimeType,parents,trashed,size,md5Checksum,createdTime,modifiedTime,version,webViewLink,owners(emailAddress,displayName)";

fn info() -> TemplateInfo {
    provider()
        .template("files")
        .description("Files and folders of a drive")
        .model_info(model::<File>("File", "A file or folder"))
        .incremental("by change token")
        .deletes("reported by the feed (`removed`)")
        .interval(Duration::from_secs(300))
}

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    /// The token that gets changes.
    changes: String,
    /// Where the first list continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    page: Option<String>,
}

async fn fetch(context: &mut SyncContext<'_>) -> Result<()> {
    match context.last_checkpoint()? {
        Some(Checkpoint { changes, page: None }) => read_changes(context, changes).await,
        Some(Checkpoint { changes, page }) => {
            read_list(context, changes.clone(), page).await?;
            // An earlier run began the list.
            read_changes(context, changes).await
        }
        None => {
            // Before the list is read, so that the feed reports what changes meanwhile.
            let start = context.send(HttpRequest::get("/drive/v3/changes/startPageToken")).await?;
            let changes = start.string_at("/startPageToken")?;
            read_list(context, changes, None).await
        }
    }
}

async fn read_list(context: &mut SyncContext<'_>, changes: String, page: Option<String>) -> Result<()> {
    let request = HttpRequest::get("/drive/v3/files")
        .query("pageSize", "1000")
        .query("fields", format!("nextPageToken,incompleteSearch,files({FIELDS})"));
    let list = || Pages::new(request.clone(), Paging::cursor("/nextPageToken", "pageToken")).records_at("/files");
    let mut pages = Resumed::new(list, page);
    while let Some(page) = pages.next(context).await? {
        if page.response.text_at("/incompleteSearch")?.as_deref() == Some("true") {
            context.mark_incomplete(
                "File",
                "Google Drive did not search everywhere: some files are missing from its list",
            );
        }
        context.checkpoint(&Checkpoint { changes: changes.clone(), page: page.next })?;
        context.save("File", page.records).await?;
    }
    complete(context, "File").await
}

async fn read_changes(context: &mut SyncContext<'_>, changes: String) -> Result<()> {
    let request = HttpRequest::get("/drive/v3/changes")
        .query("pageSize", "1000")
        .query("includeRemoved", "true")
        .query("fields", format!("nextPageToken,newStartPageToken,changes(fileId,removed,file({FIELDS}))"));
    let paging = Paging::cursor("/nextPageToken", "pageToken");
    let mut pages = Pages::new(request, paging).records_at("/changes").resume(Some(changes));
    while let Some(page) = pages.next(context).await? {
        let (mut changed, mut deleted) = (Vec::new(), Vec::new());
        context.read_each("File", page.records, |change| {
            // A change of a shared drive names no file.
            let Some(id) = text_at(change, "/fileId")? else { return Ok(()) };
            match value_at(change, "/file")? {
                Some(file) if text_at(change, "/removed")?.as_deref() != Some("true") => {
                    changed.push(SourceRecord::from(change.slice_ref(file)));
                }
                _ => deleted.push(id.into()),
            }
            Ok(())
        });
        // Each page's token continues where the page ended.
        if let Some(next) = page.next.or(page.response.text_at("/newStartPageToken")?) {
            context.checkpoint(&Checkpoint { changes: next, page: None })?;
        }
        context.apply("File", changed, deleted).await?;
    }
    Ok(())
}

/// A file or folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is; folders are `application/vnd.google-apps.folder`.
    pub mime_type: String,
    /// The folders it is in.
    #[serde(default)]
    pub parents: Vec<String>,
    /// Whether it is in the bin.
    #[serde(default)]
    pub trashed: bool,
    /// Its size in bytes, as a text.
    #[serde(default)]
    pub size: Option<String>,
}
