//! Pull requests of a repository, newest changes first.

use async_trait::async_trait;
use highwater_core::Result;
use highwater_core::template::{HttpRequest, SyncContext, Template, TemplateInfo};

use super::{Checkpoint, PER_PAGE, Position, before, describe, with_repository};

/// Pull requests of a repository, open and closed.
///
/// GitHub has no `since` here: an incremental run reads from the latest change back to the last
/// checkpoint. One that changes meanwhile moves to the front, which repeats a record but skips none.
#[derive(Debug)]
pub struct PullRequests(TemplateInfo);

impl PullRequests {
    /// The template.
    pub fn new() -> Self {
        let info = with_repository(describe("pull_requests"))
            .description("Pull requests of a repository, open and closed")
            .model("PullRequest", "A pull request")
            .deletes("noticed by a full refresh");
        PullRequests(info)
    }
}

impl Default for PullRequests {
    fn default() -> Self {
        PullRequests::new()
    }
}

#[async_trait]
impl Template for PullRequests {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let path = format!("/repos/{}/{}/pulls", context.config("owner")?, context.config("repo")?);
        let last: Option<Checkpoint> = context.last_checkpoint()?;
        let since = last.as_ref().map(|last| before(&last.updated_at)).transpose()?;
        let mut newest = last.map(|last| last.updated_at);
        let mut request = HttpRequest::get(path)
            .query("state", "all")
            .query("sort", "updated")
            .query("direction", "desc")
            .query("per_page", PER_PAGE);
        loop {
            let page = context.send(request).await?;
            let next = page.next_link();
            let records = page.elements()?;
            let positions = records.iter().map(Position::of).collect::<Result<Vec<_>>>()?;
            newest = newest.max(positions.first().map(|position| position.updated_at.clone()));
            let reached = positions.last().is_some_and(|oldest| Some(&oldest.updated_at) < since.as_ref());
            context.save("PullRequest", records).await?;
            match next {
                Some(next) if !reached => request = HttpRequest::get(next),
                _ => break,
            }
        }
        let full = context.is_full_refresh();
        // Only now is everything up to the newest change saved.
        if let Some(updated_at) = newest {
            context.checkpoint(&Checkpoint { updated_at })?;
        }
        if full { context.complete("PullRequest").await } else { Ok(()) }
    }
}
