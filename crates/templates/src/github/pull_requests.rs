//! Pull requests of a repository, newest changes first.

use highwater_core::Result;
use highwater_core::template::{HttpRequest, Pages, Paging, SyncContext, TemplateInfo};

use super::{PER_PAGE, PullRequest, describe, repo, repository_path, webhooks};
use crate::common::{DELETES_BY_REFRESH, OVERLAP, model, newest_first, template, window};

template! {
    /// Pull requests of a repository, open and closed.
    ///
    /// GitHub has no `since` here: an incremental run reads from the latest change back to the last
    /// checkpoint. One that changes meanwhile moves to the front, which repeats a record but skips none.
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
    let mut window = window(context, OVERLAP)?;
    newest_first(context, "PullRequest", Pages::new(request, Paging::Link), &mut window, "/updated_at").await
}
