//! Issues and comments of a repository, by `since`.

use bytes::Bytes;
use highwater_core::{Error, ErrorKind, Result};
use highwater_template::paging::RepeatGuard;
use highwater_template::records::text_at;
use highwater_template::{HttpRequest, SyncContext, TemplateInfo, Window};

use super::{Comment, Issue, PER_PAGE, describe, repo, repository_path, webhooks};
use crate::common::{DELETES_BY_REFRESH, Mark, OVERLAP, complete, model, template, timed};

template! {
    /// Issues of a repository, open and closed, without pull requests.
    ///
    /// Incremental by `since` (inclusive, with two minutes of overlap). A request that finds nothing new does not count against
    /// the rate limit. GitHub does not report deleted issues; a full refresh finds them.
    Issues, issues(), fetch_issues, webhooks::issues
}

template! {
    /// Comments on issues and pull requests of a repository, by `since`.
    Comments, comments(), fetch_comments, webhooks::comments
}

fn issues() -> TemplateInfo {
    describe("issues")
        .config(repo())
        .description("Issues of a repository, open and closed")
        .model_info(model::<Issue>("Issue", "An issue (pull requests are left out)").version_pointer("/updated_at"))
        .incremental("by `since`, with two minutes of overlap")
        .deletes(DELETES_BY_REFRESH)
}

fn comments() -> TemplateInfo {
    describe("comments")
        .config(repo())
        .description("Comments on a repository's issues and pull requests")
        .model_info(model::<Comment>("Comment", "A comment").version_pointer("/updated_at"))
        .incremental("by `since`, with two minutes of overlap")
        .deletes(DELETES_BY_REFRESH)
}

async fn fetch_issues(context: &mut SyncContext<'_>) -> Result<()> {
    by_since(context, "Issue", "issues", |record| Ok(text_at(record, "/pull_request/url")?.is_none())).await
}

async fn fetch_comments(context: &mut SyncContext<'_>) -> Result<()> {
    by_since(context, "Comment", "issues/comments", |_| Ok(true)).await
}

async fn by_since(
    context: &mut SyncContext<'_>,
    model: &str,
    list: &str,
    wanted: impl Fn(&Bytes) -> Result<bool>,
) -> Result<()> {
    let path = repository_path(context, list)?;
    let known: Option<Mark> = context.last_checkpoint()?;
    let started_at = context.started_at();
    let behind = |at: Option<&str>| Window::new(at, OVERLAP, started_at);
    let mut window = behind(known.as_ref().map(Mark::at))?;
    let mut since = window.since_rfc3339();
    let mut link: Option<String> = None;
    let mut repeats = RepeatGuard::default();
    let mut validator = known.as_ref().and_then(Mark::validator).filter(|_| !context.is_full_refresh());
    loop {
        let by_time = link.is_none();
        let request = match link.take() {
            Some(link) => HttpRequest::get(link),
            None => first_page(&path, since.as_deref()),
        };
        let request = match validator.take() {
            Some(validator) => request.if_changed_since(validator),
            None => request,
        };
        let response = context.send(request).await.map_err(|error| switched_off(error, &path))?;
        if response.is_unchanged() {
            break;
        }
        let next = response.next_link();
        let records = response.elements()?;
        repeats.check(&records)?;
        let records = timed(context, model, records, &mut window, "/updated_at");
        let end = records.last().map(|record| text_at(record, "/updated_at")).transpose()?.flatten();
        if let Some(at) = window.checkpoint() {
            // The next run sends this request again, so it can ask whether the response is still the same.
            let asks_again = by_time && next.is_none() && behind(Some(at))?.since_rfc3339() == since;
            let mark = Mark::new(at, response.validator().filter(|_| asks_again));
            context.checkpoint(&mark)?;
        }
        let kept = context.read_each(model, records, |record| Ok(wanted(record)?.then(|| record.clone())));
        context.save(model, kept.into_iter().flatten().collect()).await?;
        let Some(next) = next else { break };
        // A record that changes meanwhile moves to the end, and the others move forward, past the next page's
        // beginning. So go on from the last time seen, and by page only within one second. GitHub writes times in
        // one format, so texts sort as times.
        if end > since { since = end } else { link = Some(next) }
    }
    complete(context, model).await
}

/// Explains `410 Gone`: GitHub never forgets a checkpoint, but a repository can have issues switched off.
fn switched_off(error: Error, path: &str) -> Error {
    if error.kind() != ErrorKind::SourceReset {
        return error;
    }
    let message = "issues are switched off in this repository: switch them on in its settings, or disable the sync";
    Error::new(ErrorKind::NotFound, message).with("path", path)
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
