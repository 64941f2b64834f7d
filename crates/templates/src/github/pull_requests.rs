//! Pull requests of a repository, newest changes first.

use highwater_core::Result;
use highwater_template::{HttpRequest, Pages, Paging, SyncContext, TemplateInfo, Window};

use super::{PER_PAGE, PullRequest, describe, repo, repository_path, webhooks};
use crate::common::{DELETES_BY_REFRESH, Mark, OVERLAP, complete, model, save_newest_first, template};

template! {
    /// Pull requests of a repository, open and closed.
    ///
    /// GitHub has no `since` here: an incremental run reads from the latest change back to the last checkpoint. A request that
    /// finds nothing new does not count against the rate limit. A pull request that changes meanwhile moves to the front, which
    /// repeats a record but skips none.
    PullRequests, info(), fetch, webhooks::pull_requests
}

fn info() -> TemplateInfo {
    describe("pull_requests")
        .config(repo())
        .description("Pull requests of a repository, open and closed")
        .model_info(model::<PullRequest>("PullRequest", "A pull request"))
        .incremental("from the latest change back to the last one known")
        .deletes(DELETES_BY_REFRESH)
}

async fn fetch(context: &mut SyncContext<'_>) -> Result<()> {
    let request = HttpRequest::get(repository_path(context, "pulls")?)
        .query("state", "all")
        .query("sort", "updated")
        .query("direction", "desc")
        .query("per_page", PER_PAGE);
    let known: Option<Mark> = context.last_checkpoint()?;
    let mut window = Window::new(known.as_ref().map(Mark::at), OVERLAP, context.started_at())?;
    // The first page has the latest change. If it is the same, so is everything after it.
    let request = match known.as_ref().and_then(Mark::validator) {
        Some(validator) if !context.is_full_refresh() => request.if_changed_since(validator),
        _ => request,
    };
    let pages = Pages::new(request, Paging::Link);
    let first = save_newest_first(context, "PullRequest", pages, &mut window, "/updated_at").await?;
    if let (Some(first), Some(at)) = (first.filter(|first| !first.is_unchanged()), window.checkpoint()) {
        context.checkpoint(&Mark::new(at, first.validator()))?;
    }
    complete(context, "PullRequest").await
}
