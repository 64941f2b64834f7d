//! GitHub: issues, pull requests, comments, releases, repositories. Works with GitHub Enterprise through the
//! connection's base URL.

mod actions;
mod issues;
mod models;
mod others;
mod pull_requests;
mod webhooks;

pub use actions::{CloseIssue, CommentOnIssue, CreateIssue};
pub use issues::{Comments, Issues};
pub use models::{Comment, Issue, Label, PullRequest, Release, Repository, User};
pub use others::{Releases, Repositories};
pub use pull_requests::PullRequests;

use std::time::Duration;

use highwater_core::Result;
use highwater_template::auth::{AuthKind, CredentialUse, DesktopSignIn, OAuth2};
use highwater_template::http::escape;
use highwater_template::limits::RateLimits;
use highwater_template::webhooks::{WebhookRecipient, WebhookScheme};
use highwater_template::{ConfigKey, Provider, SyncContext, TemplateInfo, Verification};

/// Records in a page: the most that GitHub returns.
const PER_PAGE: &str = "100";

/// Describes GitHub.
pub fn provider() -> Provider {
    let oauth = OAuth2::new(
        "https://github.com/login/oauth/authorize",
        "https://github.com/login/oauth/access_token",
        DesktopSignIn::Device,
    )
    // https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps#device-flow
    .device_url("https://github.com/login/device/code")
    // https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/creating-an-oauth-app
    .registered(
        "an OAuth app with the device flow enabled, from Settings > Developer settings",
        "https://github.com/settings/developers",
    );
    Provider::new("github", "https://api.github.com")
        // https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/managing-your-personal-access-tokens
        .auth(
            AuthKind::bearer("a personal access token, from Settings > Developer settings")
                .page("https://github.com/settings/tokens"),
        )
        .auth(AuthKind::OAuth2(oauth))
        // https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation
        .auth(
            AuthKind::github_app("the private key of a GitHub App, the App's id, and the number of an installation")
                .page("https://github.com/settings/apps"),
        )
        // https://docs.github.com/en/rest/users/users#get-the-authenticated-user
        .verification(Verification::get("/user").id("/id").name("/login"))
        .header("accept", "application/vnd.github+json")
        .header("x-github-api-version", "2022-11-28")
        // A secondary limit without a time: GitHub asks to wait at least a minute.
        .limits(RateLimits::new().status_with_text(403, "secondary rate limit").first_backoff(Duration::from_secs(60)))
        .docs("https://docs.github.com/en/rest")
        .webhooks(WebhookScheme::GitHub)
        .webhook_recipient(WebhookRecipient::Settings)
}

fn owner() -> ConfigKey {
    ConfigKey::required("owner", "the user or organisation, as in github.com/OWNER")
}

fn repo() -> ConfigKey {
    ConfigKey::required("repo", "the repository's name, as in github.com/OWNER/REPO")
}

fn describe(name: &str) -> TemplateInfo {
    provider()
        .template(name)
        .credentials(CredentialUse::Optional)
        .scope("repo")
        .config(owner())
        .interval(Duration::from_secs(300))
}

fn repository_path(context: &SyncContext<'_>, list: &str) -> Result<String> {
    Ok(format!("/repos/{}/{}/{list}", escape(context.config("owner")?), escape(context.config("repo")?)))
}
