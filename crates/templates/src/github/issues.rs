//! Issues of a repository, by `since`.

use async_trait::async_trait;
use bytes::Bytes;
use highwater_core::Result;
use highwater_core::template::{HttpRequest, SyncContext, Template, TemplateInfo};

use super::{Checkpoint, PER_PAGE, Position, before, describe, with_repository};

/// Issues of a repository, open and closed, without pull requests.
///
/// Incremental by `since` (inclusive, with two minutes of overlap). GitHub never tells of deleted
/// issues: a full refresh notices them.
#[derive(Debug)]
pub struct Issues(TemplateInfo);

impl Issues {
    /// The template.
    pub fn new() -> Self {
        let info = with_repository(describe("issues"))
            .description("Issues of a repository, open and closed")
            .model("Issue", "An issue (pull requests are left out)")
            .deletes("noticed by a full refresh");
        Issues(info)
    }
}

impl Default for Issues {
    fn default() -> Self {
        Issues::new()
    }
}

#[async_trait]
impl Template for Issues {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let path = format!("/repos/{}/{}/issues", context.config("owner")?, context.config("repo")?);
        let last: Option<Checkpoint> = context.last_checkpoint()?;
        let mut since = last.as_ref().map(|last| before(&last.updated_at)).transpose()?;
        let mut newest = last.map(|last| last.updated_at);
        let mut link: Option<String> = None;
        loop {
            let request = match link.take() {
                Some(link) => HttpRequest::get(link),
                None => first_page(&path, since.as_deref()),
            };
            let page = context.send(request).await?;
            let next = page.next_link();
            let records = page.elements()?;
            let positions = records.iter().map(Position::of).collect::<Result<Vec<_>>>()?;
            let end = positions.last().map(|position| position.updated_at.clone());
            let issues: Vec<Bytes> = records
                .into_iter()
                .zip(&positions)
                .filter(|(_, position)| position.pull_request.is_none())
                .map(|(record, _)| record)
                .collect();
            // GitHub writes times in one fixed format: their order is the order of the texts.
            newest = newest.max(end.clone());
            if let Some(updated_at) = &newest {
                context.checkpoint(&Checkpoint { updated_at: updated_at.clone() })?;
            }
            context.save("Issue", issues).await?;
            let Some(next) = next else { break };
            // An issue that changes meanwhile moves to the end and pulls the rest one place forward, past
            // the next page's beginning. So go on from the last time seen, by page only within one second.
            if end > since { since = end } else { link = Some(next) }
        }
        if context.is_full_refresh() { context.complete("Issue").await } else { Ok(()) }
    }
}

fn first_page(path: &str, since: Option<&str>) -> HttpRequest {
    let request = HttpRequest::get(path)
        .query("state", "all")
        .query("sort", "updated")
        .query("direction", "asc")
        .query("per_page", PER_PAGE);
    match since {
        Some(since) => request.query("since", since),
        None => request,
    }
}
