//! Repositories of an owner and releases of a repository: short lists, read completely in each run.

use highwater_core::{Error, ErrorKind, Result};
use highwater_template::http::escape;
use highwater_template::{ConfigKey, HttpRequest, Pages, Paging, SyncContext, TemplateInfo};

use super::{PER_PAGE, Release, Repository, describe, repo, repository_path, webhooks};
use crate::common::{DELETES_BY_EVERY_RUN, model, template, whole};

template! {
    /// Repositories of a user or an organisation, all of them in each run.
    Repositories, repositories(), fetch_repositories
}

template! {
    /// Releases of a repository, all of them in each run.
    Releases, releases(), fetch_releases, webhooks::releases
}

fn repositories() -> TemplateInfo {
    describe("repositories")
        .description("Repositories of a user or an organisation")
        .model_info(model::<Repository>("Repository", "A repository"))
        .config(ConfigKey::with_default("kind", "what the owner is: user or org", "user"))
        .deletes(DELETES_BY_EVERY_RUN)
}

fn releases() -> TemplateInfo {
    describe("releases")
        .config(repo())
        .description("Releases of a repository")
        .model_info(model::<Release>("Release", "A release"))
        .deletes(DELETES_BY_EVERY_RUN)
}

async fn fetch_repositories(context: &mut SyncContext<'_>) -> Result<()> {
    let owner = escape(context.config("owner")?);
    let path = match context.config("kind")? {
        "user" => format!("/users/{owner}/repos"),
        "org" => format!("/orgs/{owner}/repos"),
        other => {
            return Err(
                Error::new(ErrorKind::Invalid, "the setting `kind` has to be `user` or `org`").with("kind", other)
            );
        }
    };
    let request = HttpRequest::get(path).query("per_page", PER_PAGE).query("sort", "full_name");
    whole(context, "Repository", Pages::new(request, Paging::Link), &[]).await
}

async fn fetch_releases(context: &mut SyncContext<'_>) -> Result<()> {
    let request = HttpRequest::get(repository_path(context, "releases")?).query("per_page", PER_PAGE);
    whole(context, "Release", Pages::new(request, Paging::Link), &[]).await
}
